//! How large a database's rows are on the server: an estimate of what a dump will have, before the first one was made.

use tokio_postgres::Client;

use crate::Error;

/// Bytes of all ordinary and partitioned tables' heaps and TOAST data, without indexes (`pg_table_size`, PostgreSQL
/// manual, "Database Object Management Functions"). Text in a dump is a little larger or smaller than that.
///
/// # Errors
/// A statement's error ([`Error::Query`]).
pub async fn table_bytes(client: &Client) -> Result<u64, Error> {
    let rows = client
        .query_typed(
            "SELECT coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'",
            &[],
        )
        .await
        .map_err(|error| Error::query("asking for the database's size", error))?;
    let bytes = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    Ok(u64::try_from(bytes).unwrap_or(0))
}
