//! The sample schema with every kind of object, by major.

use crate::cluster::Cluster;

/// Roles that the samples need; created once per cluster.
const ROLES: &str = include_str!("../sql/roles.sql");

/// What every major from 13 on has.
const EVERY_KIND: &str = include_str!("../sql/every_kind.sql");

/// What came with a major, for it and all later ones.
const SINCE: [(u16, &str); 5] = [
    (14, include_str!("../sql/every_kind_14.sql")),
    (15, include_str!("../sql/every_kind_15.sql")),
    (16, include_str!("../sql/every_kind_16.sql")),
    (17, include_str!("../sql/every_kind_17.sql")),
    (18, include_str!("../sql/every_kind_18.sql")),
];

/// Creates a database with every kind of object that a dump must carry over.
///
/// # Errors
/// The statement that fails.
pub async fn every_kind(cluster: &Cluster, database: &str) -> anyhow::Result<()> {
    cluster.sql("postgres", ROLES).await?;
    cluster.create_database(database).await?;
    cluster.sql(database, EVERY_KIND).await?;
    for (major, statements) in SINCE {
        if cluster.major() >= major {
            cluster.sql(database, statements).await?;
        }
    }
    Ok(())
}
