//! Rows without what is defined: into tables that are there and empty, in one transaction.
//!
//! Empty, so that what is there afterwards is what was dumped and can be compared with it; who wants to add to what is there has
//! `howdah extract`.

use howdah_archive::Entry;
use howdah_domain::{Failure, FailureCode, TableName};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Options, Prepared, Restore};
use crate::connect::Session;
use crate::contents::Contents;
use crate::{Error, quote};

/// Tables that an error names.
const NAMED: usize = 10;

/// A table that rows cannot come into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The table.
    pub table: TableName,
    /// Why not.
    pub why: WhyUnfit,
}

/// Why rows cannot come into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyUnfit {
    /// It is not there.
    Missing,
    /// It holds rows.
    NotEmpty,
}

/// The tables of the session's database that an archive's rows cannot come into, of those that `options` choose.
///
/// # Errors
/// [`FailureCode::NotFound`] for a table or a schema that the archive does not hold; as [`Session::ask`].
pub async fn unfit(
    session: &Session,
    contents: &Contents,
    options: &Options,
    cancel: &CancellationToken,
) -> Result<Vec<Unfit>, Error> {
    let part = options.part(contents, &mut Vec::new())?;
    let chosen = |id| part.as_ref().is_none_or(|part| part.has(id));
    unfit_of(session, contents, chosen, cancel).await
}

async fn unfit_of(
    session: &Session,
    contents: &Contents,
    chosen: impl Fn(i32) -> bool,
    cancel: &CancellationToken,
) -> Result<Vec<Unfit>, Error> {
    const WHAT: &str = "looking at the tables that rows come into";
    let mut tables: Vec<TableName> = contents
        .items
        .iter()
        .filter(|item| item.kind == Entry::TABLE_DATA && chosen(item.dump_id))
        .map(|item| item.table_name())
        .collect();
    tables.sort();
    tables.dedup();
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let rows = session
        .ask(
            WHAT,
            cancel,
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname::text = w.schema AND c.relname::text = w.name)
             FROM unnest($1, $2) WITH ORDINALITY AS w(schema, name, place) ORDER BY w.place",
            &[(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut unfit = Vec::new();
    for (table, row) in tables.into_iter().zip(rows) {
        let why = if row.get(0) {
            let any = format!(
                "SELECT 1 FROM ONLY {}.{} LIMIT 1",
                quote::ident(&table.schema),
                quote::ident(&table.name)
            );
            if session.ask(WHAT, cancel, &any, &[]).await?.is_empty() {
                continue;
            }
            WhyUnfit::NotEmpty
        } else {
            WhyUnfit::Missing
        };
        unfit.push(Unfit { table, why });
    }
    Ok(unfit)
}

impl Restore {
    /// Looks whether the rows can come, and whether the target's triggers and foreign keys can be silent meanwhile.
    pub(super) async fn ready_for_rows(
        &self,
        contents: &Contents,
        session: &Session,
        prepared: &mut Prepared,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let unfit = unfit_of(session, contents, |id| prepared.wants(id), cancel).await?;
        if !unfit.is_empty() {
            return Err(refused(&unfit, &self.target.database).into());
        }
        let rows = session
            .ask(
                "asking for the role's rights",
                cancel,
                "SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
                &[],
            )
            .await?;
        if rows.first().is_some_and(|row| row.get(0)) {
            prepared.flags.push("--disable-triggers");
        } else {
            prepared.warnings.push(format!(
                "{} is no superuser, so triggers fire and foreign keys are checked while the rows come in.",
                self.target.role
            ));
        }
        Ok(())
    }
}

fn refused(unfit: &[Unfit], database: &str) -> Failure {
    let named = |why: WhyUnfit| -> Vec<String> {
        let of_it = unfit.iter().filter(|table| table.why == why);
        of_it
            .map(|found| format!("{}.{}", found.table.schema, found.table.name))
            .collect()
    };
    let (missing, filled) = (named(WhyUnfit::Missing), named(WhyUnfit::NotEmpty));
    if !missing.is_empty() {
        return Failure::new(
            FailureCode::NotFound,
            format!(
                "Rows alone come into tables that are there, and {database} has no {}.",
                shortened(&missing)
            ),
        )
        .hint("Restore what is defined first, or choose the tables whose rows are wanted.");
    }
    Failure::new(
        FailureCode::InvalidInput,
        format!(
            "Rows alone come into empty tables, and there are rows in {} of {database}.",
            shortened(&filled)
        ),
    )
    .hint(
        "Empty them first (TRUNCATE), or choose other tables. To add rows to others there is howdah extract.",
    )
}

fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
