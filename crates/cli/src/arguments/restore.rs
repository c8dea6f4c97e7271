//! What `howdah restore` takes.

use clap::Args;
use howdah_domain::{RestoreContent, TableName};
use howdah_engine::api::RestoreOptions;

use super::Target;
use crate::table_name;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup's folder or URL, or its id
    pub(crate) backup: String,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Into a new PostgreSQL on this machine, which goes on running; prints its URL
    #[arg(long, conflicts_with_all = ["url", "create", "clean"])]
    pub(crate) local: bool,
    /// With --local: what to call it; without it, after the backup
    #[arg(long, value_name = "NAME", requires = "local")]
    pub(crate) name: Option<String>,
    /// Replace this database of a server that Howdah knows, and keep the one that is there for seven days (`howdah replaced`)
    #[arg(
        long,
        value_name = "DATABASE",
        requires = "server",
        conflicts_with_all = ["url", "local", "create", "clean", "table", "schema", "no_extensions", "schema_only", "data_only", "no_compare", "jobs", "exit_on_error"]
    )]
    pub(crate) replace: Option<String>,
    /// With --replace: which server, by its name or id (`howdah server list`)
    #[arg(long, value_name = "SERVER", requires = "replace")]
    pub(crate) server: Option<String>,
    /// Create the database that the URL names
    #[arg(long)]
    pub(crate) create: bool,
    /// Drop what the backup holds before making it anew
    #[arg(long, conflicts_with = "create")]
    pub(crate) clean: bool,
    /// Only this table, as SQL writes it: shop.orders, "My schema"."My table"; with its rows, indexes and constraints; repeatable
    #[arg(long, value_name = "SCHEMA.TABLE", value_parser = table_name::parse)]
    pub(crate) table: Vec<TableName>,
    /// Only this schema, with all that lies in it, besides the tables named; repeatable
    #[arg(long, value_name = "SCHEMA")]
    pub(crate) schema: Vec<String>,
    /// Leave the extensions out, where they are there already or may not be created
    #[arg(long)]
    pub(crate) no_extensions: bool,
    /// Only what is defined, without rows, large objects and sequences' values
    #[arg(long)]
    pub(crate) schema_only: bool,
    /// Only rows, large objects and sequences' values, into tables that are there and empty: all of them or none
    #[arg(long, conflicts_with_all = ["schema_only", "create", "clean", "local"])]
    pub(crate) data_only: bool,
    /// Stop at the first error, and drop the database that --create or --local made; without it, go on and name each
    #[arg(long)]
    pub(crate) exit_on_error: bool,
    /// Make the roles that the server lacks from the backup's globals first; --local always does
    #[arg(long)]
    pub(crate) roles: bool,
    /// Leave owners out: everything belongs to the role that restores
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Leave privileges out
    #[arg(long)]
    pub(crate) no_privileges: bool,
    /// Do not compare each table with what was dumped
    #[arg(long)]
    pub(crate) no_compare: bool,
    /// Connections that load at once; without it, as many as there are processors, up to four
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,
}

impl Restore {
    /// What of the backup is restored, and how.
    pub(crate) fn options(&self) -> RestoreOptions {
        RestoreOptions {
            tables: self.table.clone(),
            schemas: self.schema.clone(),
            extensions: !self.no_extensions,
            owners: !self.no_owner,
            privileges: !self.no_privileges,
            content: match (self.schema_only, self.data_only) {
                (true, _) => RestoreContent::Definitions,
                (false, true) => RestoreContent::Rows,
                (false, false) => RestoreContent::All,
            },
            exit_on_error: self.exit_on_error,
            roles: self.roles,
        }
    }
}
