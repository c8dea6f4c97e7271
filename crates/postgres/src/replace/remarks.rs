//! What goes by a database's name or by its OID and so may not be right after a swap, in sentences. Most of it travels: settings,
//! privileges and comment belong to the database (its OID), and the restored one has its own from the backup. Told is where
//! these differ from what is in force now, and what nobody but the server's owner can put right.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::Record;
use crate::Error;
use crate::connect::Session;

/// What of a database is compared, as one list of texts; each with what to call it.
const OF_DATABASE: &str = "SELECT d.oid,
        pg_catalog.pg_get_userbyid(d.datdba)::text,
        d.datconnlimit::text, d.datistemplate::text,
        pg_catalog.pg_encoding_to_char(d.encoding)::text,
        d.datcollate::text || ' / ' || d.datctype::text,
        (SELECT t.spcname::text FROM pg_catalog.pg_tablespace t WHERE t.oid = d.dattablespace),
        pg_catalog.shobj_description(d.oid, 'pg_database'),
        coalesce(d.datacl::text[], '{}'),
        coalesce((SELECT pg_catalog.array_agg(coalesce('for role ' || pg_catalog.pg_get_userbyid(s.setrole)::text || ' ', '') || c.setting)
                  FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c(setting)
                  WHERE s.setdatabase = d.oid AND s.setrole <> 0), '{}')
        || coalesce((SELECT pg_catalog.array_agg(c.setting)
                  FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c(setting)
                  WHERE s.setdatabase = d.oid AND s.setrole = 0), '{}')
    FROM pg_catalog.pg_database d WHERE d.oid IN ($1, $2)";

struct Facts {
    single: Vec<Option<String>>,
    privileges: BTreeSet<String>,
    settings: BTreeSet<String>,
}

const SINGLE: [&str; 7] = [
    "owner",
    "connection limit",
    "mark as a template",
    "encoding",
    "locale",
    "tablespace",
    "comment",
];

/// Compares what belongs to the old database as a whole with what belongs to the restored one, and looks for what is tied to the
/// old one; before a swap or after it. Sentences, none where all is the same. `session` is on any database of the server.
///
/// # Errors
/// As [`Session::run`].
pub async fn remarks(
    session: &Session,
    record: &Record,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let rows = session
        .ask(
            "comparing the two databases",
            cancel,
            OF_DATABASE,
            &[(&record.old.oid, Type::OID), (&record.new.oid, Type::OID)],
        )
        .await?;
    let facts = |oid: u32| {
        let row = rows.iter().find(|row| row.get::<_, u32>(0) == oid)?;
        Some(Facts {
            single: (1..=SINGLE.len()).map(|at| row.get(at)).collect(),
            privileges: row.get::<_, Vec<String>>(8).into_iter().collect(),
            settings: row.get::<_, Vec<String>>(9).into_iter().collect(),
        })
    };
    let mut sentences = Vec::new();
    if let (Some(old), Some(new)) = (facts(record.old.oid), facts(record.new.oid)) {
        compare(&record.name, &old, &new, &mut sentences);
    }
    sentences.extend(tied(session, record, cancel).await?);
    sentences.extend(host_rules(session, record, cancel).await?);
    Ok(sentences)
}

fn compare(name: &str, old: &Facts, new: &Facts, sentences: &mut Vec<String>) {
    for (at, what) in SINGLE.iter().enumerate() {
        let (old, new) = (&old.single[at], &new.single[at]);
        if old != new {
            let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            sentences.push(format!(
                "The {what} of {name} is {} now, and {} in the restored database.",
                say(old),
                say(new)
            ));
        }
    }
    for (what, old, new) in [
        ("setting", &old.settings, &new.settings),
        ("privilege", &old.privileges, &new.privileges),
    ] {
        for lost in old.difference(new) {
            sentences.push(format!(
                "{name} has the {what} {lost} now, which the restored database does not have."
            ));
        }
        for more in new.difference(old) {
            sentences.push(format!(
                "The restored database has the {what} {more}, which {name} does not have now."
            ));
        }
    }
}

/// Replication slots and subscriptions: they stay with the old database whatever it is called.
async fn tied(session: &Session, record: &Record, cancel: &CancellationToken) -> Result<Vec<String>, Error> {
    let (name, kept) = (&record.name, &record.kept);
    let slots = session.ask("listing the replication slots", cancel, "SELECT s.slot_name::text, s.active FROM pg_catalog.pg_replication_slots s WHERE s.datoid = $1 ORDER BY 1",
        &[(&record.old.oid, Type::OID)]).await?;
    let mut sentences: Vec<String> = slots
        .iter()
        .map(|row| {
            let slot: String = row.get(0);
            let reader = if row.get(1) { "Its reader" } else { "Whoever reads it" };
            format!(
                "The replication slot {slot} stays with the old database ({kept}) and keeps it from being dropped. {reader} gets no changes of the restored {name}: make a slot there, and let the subscriber begin anew."
            )
        })
        .collect();
    let subscriptions = session.ask("listing the subscriptions", cancel, "SELECT s.subname::text FROM pg_catalog.pg_subscription s WHERE s.subdbid = $1 AND s.subenabled ORDER BY 1",
        &[(&record.old.oid, Type::OID)]).await;
    match subscriptions {
        Ok(rows) => sentences.extend(rows.iter().map(|row| {
            let subscription: String = row.get(0);
            format!(
                "The subscription {subscription} goes on filling the old database ({kept}). In the restored {name} it is disabled: decide which of the two is to get the changes."
            )
        })),
        // Some columns are the superuser's; the two that are read are everybody's since 13, but a managed service may differ.
        Err(error) if error.code() == howdah_domain::FailureCode::PermissionDenied => sentences.push(
            "Whether subscriptions fill the old database could not be seen with this role.".to_owned(),
        ),
        Err(error) => return Err(error),
    }
    Ok(sentences)
}

/// Lines of pg_hba.conf that name the database: they hold for the restored one from then on, and not for the kept one.
async fn host_rules(
    session: &Session,
    record: &Record,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let may = session
        .ask(
            "asking for pg_hba.conf",
            cancel,
            "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_hba_file_rules', 'SELECT')
             AND pg_catalog.has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')",
            &[],
        )
        .await?;
    if !may.first().is_some_and(|row| row.get(0)) {
        return Ok(vec![format!(
            "Whether pg_hba.conf has lines for {} by name could not be seen with this role; such lines hold for the restored database, and not for the kept one.",
            record.name
        )]);
    }
    let rows = session
        .ask(
            "reading pg_hba.conf",
            cancel,
            "SELECT pg_catalog.string_agg(h.line_number::text, ', ' ORDER BY h.line_number)
         FROM pg_catalog.pg_hba_file_rules h WHERE $1 = ANY (h.database)",
            &[(&record.name, Type::TEXT)],
        )
        .await?;
    let lines: Option<String> = rows.first().and_then(|row| row.get(0));
    Ok(lines
        .map(|lines| {
            format!(
                "pg_hba.conf names {} (line {lines}): that holds for the restored database, and not for the old one once it is called {}.",
                record.name, record.kept
            )
        })
        .into_iter()
        .collect())
}
