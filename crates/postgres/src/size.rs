//! How large a database's rows are on the server: an estimate of what a dump will have, before the first one was made.

use tokio_postgres::Client;

use crate::Error;

/// Bytes of all ordinary tables' heaps and TOAST data as last counted (`pg_class.relpages`, brought up to date by VACUUM and
/// ANALYZE; PostgreSQL manual, "pg_class"), without indexes. Takes no lock on any table, as `pg_table_size` would: a table that
/// somebody has locked must not hold up an estimate.
///
/// # Errors
/// A statement's error ([`Error::Query`]).
pub async fn table_bytes(client: &Client) -> Result<u64, Error> {
    let rows = client
        .query_typed(
            "SELECT coalesce(sum(greatest(c.relpages, 0)::bigint + greatest(coalesce(t.relpages, 0), 0)::bigint), 0)::bigint
                    * pg_catalog.current_setting('block_size')::bigint
             FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
             WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'",
            &[],
        )
        .await
        .map_err(|error| Error::query("asking for the database's size", error))?;
    let bytes = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    Ok(u64::try_from(bytes).unwrap_or(0))
}
