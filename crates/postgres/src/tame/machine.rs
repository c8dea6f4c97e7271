//! What the PostgreSQL that is restored into has, as far as it decides what is left out: asked in the database itself.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::Session;
use crate::contents::Contents;
use crate::needs;
use crate::script::tokens;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a PostgreSQL has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Extensions that can be created.
    pub extensions: BTreeSet<String>,
    /// Whether it compresses with lz4.
    pub lz4: bool,
    /// The archive's collations (by dump id) whose locale it does not have.
    pub lacking: HashSet<i32>,
    /// The server's own collations that the archive names and it does not have.
    pub missing_collations: Vec<String>,
}

impl Machine {
    /// Asks in the database that is to be restored into. Whether a locale is there is tried out, in transactions that are taken back.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn read(
        session: &Session,
        contents: &Contents,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let extensions = session
            .ask(
                "listing the extensions",
                cancel,
                "SELECT name::text FROM pg_catalog.pg_available_extensions",
                &[],
            )
            .await?;
        // The values that are compiled in (`default_toast_compression` came with 14).
        let lz4 = session.ask("asking for compression methods", cancel, "SELECT 1 FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)",
            &[]).await?;
        let mut machine = Self {
            extensions: extensions.iter().map(|row| row.get(0)).collect(),
            lz4: !lz4.is_empty(),
            ..Self::default()
        };
        for item in contents.items.iter().filter(|item| item.kind == "COLLATION") {
            let sql = String::from_utf8_lossy(&item.definition);
            let Some(options) = tokens(&sql).into_iter().find(|token| token.text == "(") else {
                continue;
            };
            let options = sql[options.at..].trim().trim_end_matches(';');
            if !can_collate(session, options, cancel).await? {
                machine.lacking.insert(item.dump_id);
            }
        }
        let wanted = needs::needs(contents).system_collations;
        if !wanted.is_empty() {
            let missing = session.ask("looking for collations", cancel, "SELECT w.name FROM unnest($1) w(name)
                 WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_collation c
                     WHERE c.collname::text = w.name AND c.collnamespace = 'pg_catalog'::pg_catalog.regnamespace
                         AND c.collencoding IN (-1, (SELECT d.encoding FROM pg_catalog.pg_database d
                                                     WHERE d.datname = pg_catalog.current_database())))",
                &[(&wanted, Type::TEXT_ARRAY)]).await?;
            machine.missing_collations = missing.iter().map(|row| row.get(0)).collect();
        }
        Ok(machine)
    }
}

/// Whether a collation with these options (as pg_dump writes them, in parentheses) can be made.
async fn can_collate(session: &Session, options: &str, cancel: &CancellationToken) -> Result<bool, Error> {
    const WHAT: &str = "trying a collation";
    let client = &session.client;
    session.tell(WHAT, cancel, "BEGIN").await?;
    let create = format!("CREATE COLLATION pg_temp.howdah_tries_it {options}");
    let made = session
        .run(WHAT, PATIENCE, cancel, async {
            match client.batch_execute(&create).await {
                Ok(()) => Ok(true),
                Err(error) if error.as_db_error().is_some() && !error.is_closed() => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await?;
    session.tell(WHAT, cancel, "ROLLBACK").await?;
    Ok(made)
}
