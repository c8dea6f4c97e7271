//! A restore that reaches nobody: what [`crate::tame`] decides is put into what is restored, and what comes of it is told apart
//! from what is wrong with the backup.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::{Errors, Prepared, Restore};
use crate::choice::Part;
use crate::connect::Session;
use crate::contents::Contents;
use crate::needs;
use crate::tame::{LeftOut, Machine, Tamed, Why, tame};
use crate::{Error, quote};

impl Restore {
    /// Decides what is left out, and readies the database for the rest.
    pub(super) async fn isolate(
        &self,
        contents: &Contents,
        session: &Session,
        prepared: &mut Prepared,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let machine = Machine::read(session, contents, cancel).await?;
        let wanted = |dump_id| prepared.part.as_ref().is_none_or(|part| part.has(dump_id));
        let mut tamed = tame(contents, &machine, wanted);
        for statement in &tamed.before {
            session
                .tell(
                    "making a collation that this machine does not have",
                    cancel,
                    statement,
                )
                .await?;
        }
        if tamed.leaves_out() {
            prepared.part = Some(Part::kept(contents, prepared.part.as_ref(), |item| {
                tamed.keeps(item.dump_id)
            }));
        }
        // What was found of the database's own properties before.
        tamed.left_out.append(&mut prepared.tamed.left_out);
        let made = self.missing_roles(contents, session, cancel).await?;
        prepared.warnings.extend(made);
        prepared.tamed = tamed;
        Ok(())
    }

    /// Roles without which policies (and, where they are kept, owners and privileges) cannot be made. They can do nothing.
    async fn missing_roles(
        &self,
        contents: &Contents,
        session: &Session,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>, Error> {
        const WHAT: &str = "making the roles that the backup names";
        let wanted: BTreeSet<String> = needs::needs(contents)
            .roles
            .into_iter()
            .filter(|role| role.policies || self.options.owners || self.options.privileges)
            .map(|role| role.name)
            .filter(|name| !name.starts_with("pg_"))
            .collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        let rows = session
            .ask(
                WHAT,
                cancel,
                "SELECT w.name FROM unnest($1) w(name)
             WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles r WHERE r.rolname::text = w.name)",
                &[(&wanted, Type::TEXT_ARRAY)],
            )
            .await?;
        let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        for name in &missing {
            let create = format!("CREATE ROLE {} NOLOGIN", quote::ident(name));
            session.tell(WHAT, cancel, &create).await?;
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![format!(
            "The backup names roles that are not there; they were made, without a login: {}.",
            missing.join(", ")
        )])
    }
}

impl Errors {
    /// Takes out the errors that come from what was left out, and tells of them together with that.
    pub(super) fn excused(&mut self, tamed: Tamed) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        self.forget(|error| {
            let excused = tamed.explains(&error.object, &error.error);
            if excused {
                left_out.push(LeftOut {
                    kind: "MATERIALIZED VIEW DATA".to_owned(),
                    schema: None,
                    name: error
                        .object
                        .trim_start_matches("MATERIALIZED VIEW DATA ")
                        .to_owned(),
                    why: Why::ReachesOut,
                    because: format!("it could not be filled without reaching out ({})", error.error),
                    altered: false,
                });
            }
            excused
        });
        let mut all = tamed.left_out;
        all.append(&mut left_out);
        all
    }
}
