//! The command line's grammar: what can be said, and what it is called. It does nothing.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use howdah_domain::drill::DrillWhen;
use howdah_domain::{Environment, Schedule, Selection, TableName};
use howdah_engine::api::RowFormat;

use crate::{schedule, table_name};

pub(crate) mod channel;
pub(crate) mod conditions;
mod restore;

pub(crate) use restore::Restore;

/// Backs up PostgreSQL databases, and proves that they come back.
#[derive(Debug, Parser)]
#[command(name = "howdah", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but not proved equal.\n\
    A password comes from the URL (seen by other users: better not), --password-stdin, PGPASSWORD, PGPASSFILE or ~/.pgpass, \
    or is asked for."
)]
pub(crate) struct Arguments {
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on standard error but warnings and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The folder in which Howdah keeps servers, plans and runs
    #[arg(long, global = true, value_name = "DIR", env = "HOWDAH_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Open encrypted backups with this age key file, or recovery kit
    #[arg(long, global = true, value_name = "FILE", env = "HOWDAH_KEY_FILE")]
    pub(crate) key: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// Where it makes no sense.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::try_parse()?.checked()
    }

    /// What no single argument can know.
    fn checked(self) -> Result<Self, clap::Error> {
        match &self.command {
            Command::Extract(extract) if self.json && extract.to.is_none() => Err(Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "with --json the rows need a file: --to FILE. Standard output has one JSON object and nothing else",
            )),
            _ => Ok(self),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back up one database
    Backup(Backup),
    /// Read a backup again: every checksum, every frame, index against content
    Verify {
        /// The backup's folder or URL, or its id
        backup: String,
    },
    /// Restore a backup into a database, and compare each table with what was dumped
    Restore(Restore),
    /// Prove a backup: restore it into a PostgreSQL of its own, compare every row, remove it again
    Drill(Drill),
    /// The PostgreSQLs on this machine that backups were restored into
    #[command(subcommand)]
    Instance(Instance),
    /// The databases that a backup took the place of, which are kept for seven days
    #[command(subcommand)]
    Replaced(Replaced),
    /// List the backups in a folder or at a destination's URL
    List {
        /// A folder or a destination's URL; without it, the backups that the data directory knows
        #[arg(value_name = "DIR|URL")]
        place: Option<String>,
    },
    /// Show a backup's manifest, tables, rows and sizes
    Show {
        /// The backup's folder or URL, or its id
        backup: String,
    },
    /// Write one table's rows to standard output or into a file, reading only its part of a backup
    Extract(Extract),
    /// List the bundled PostgreSQL programs
    Programs,
    /// Start a sample server, back it up, restore it, compare; leaves nothing behind
    Demo,
    /// The servers that Howdah knows
    #[command(subcommand)]
    Server(Server),
    /// What is backed up, when, to where
    #[command(subcommand)]
    Plan(Plan),
    /// Where copies of backups live
    #[command(subcommand)]
    Destination(Destination),
    /// Who is told of what needs somebody
    #[command(subcommand)]
    Channel(channel::Channel),
    /// The keys of encrypted backups, and the recovery kit
    #[command(subcommand)]
    Key(Key),
    /// All settings as one encrypted file, and back on another machine
    #[command(subcommand)]
    Settings(Settings),
    /// Delete the backups that the plans' rules no longer keep
    Prune {
        /// Only this plan's, by its id
        #[arg(long)]
        plan: Option<String>,
        /// Say what would be deleted and why, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Databases: whether they answer, their newest backups, and what is due next
    Status,
    /// Run schedule, checks and notifications in the foreground, for a machine without a screen
    Run,
}

/// How a server is reached.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The database: postgres://role@host:5432/database, a keyword string, or what `psql` takes; without it, from PGHOST,
    /// PGDATABASE and the other PG variables
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) tunnel: Tunnel,
}

/// Through which SSH server a database is reached.
#[derive(Debug, Args)]
pub(crate) struct Tunnel {
    /// Go through this SSH server: user@host, user@host:port, ssh://host?key=FILE, or an alias of ~/.ssh/config. A passphrase or
    /// password comes from HOWDAH_SSH_SECRET
    #[arg(long, value_name = "USER@HOST")]
    pub(crate) tunnel: Option<String>,
    /// Accept the SSH server's key with this fingerprint
    #[arg(long, value_name = "SHA256:…", requires = "tunnel")]
    pub(crate) accept_host_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Where the backup goes: a folder, or a destination's URL (s3://bucket/prefix?endpoint=…, sftp://user@host/path, webdavs:,
    /// ftps:, azblob:, gs:, drive:); repeatable, all are written in one pass. What opens them comes from the environment:
    /// HOWDAH_DESTINATION_SECRET (of several --to: HOWDAH_DESTINATION_SECRET_1, _2, …), or AWS's own
    #[arg(long, value_name = "DIR|URL", required = true)]
    pub(crate) to: Vec<String>,
    /// Encrypt to this age public key; repeatable, the holder of each can read it
    #[arg(long, value_name = "age1…", conflicts_with = "encrypt_passphrase")]
    pub(crate) encrypt_to: Vec<String>,
    /// Encrypt with the passphrase in HOWDAH_BACKUP_PASSPHRASE, which also opens such backups
    #[arg(long)]
    pub(crate) encrypt_passphrase: bool,
    /// zstd's level: 1 is fastest, 19 smallest
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) level: Option<i32>,
    /// Threads that compress; without it, as many as there are processors, up to four
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4))]
    pub(crate) jobs: Option<u16>,
    #[command(flatten)]
    pub(crate) what: What,
    /// Leave out roles and other globals
    #[arg(long)]
    pub(crate) no_globals: bool,
}

/// What of a database is dumped.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// Only this schema, named exactly; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) schema: Vec<String>,
    /// Not this schema; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude_schema: Vec<String>,
    /// Only this table, as SQL writes it: shop.orders, "My schema"."My table"; repeatable
    #[arg(long, value_name = "SCHEMA.TABLE", value_parser = table_name::parse)]
    pub(crate) table: Vec<TableName>,
    /// Not this table; repeatable
    #[arg(long, value_name = "SCHEMA.TABLE", value_parser = table_name::parse)]
    pub(crate) exclude_table: Vec<TableName>,
    /// This table's definition without its rows; repeatable
    #[arg(long, value_name = "SCHEMA.TABLE", value_parser = table_name::parse)]
    pub(crate) exclude_table_data: Vec<TableName>,
    /// Take extensions along although schemas or tables were chosen (PostgreSQL 14 and later)
    #[arg(long)]
    pub(crate) with_extensions: bool,
    /// Take large objects along although schemas or tables were chosen
    #[arg(long)]
    pub(crate) with_large_objects: bool,
}

impl What {
    /// The same in the engine's words.
    pub(crate) fn into_selection(self) -> Selection {
        Selection {
            schemas: self.schema,
            exclude_schemas: self.exclude_schema,
            tables: self.table,
            exclude_tables: self.exclude_table,
            exclude_data: self.exclude_table_data,
            keep_extensions: self.with_extensions,
            keep_large_objects: self.with_large_objects,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Drill {
    /// The backup's folder or URL, or its id
    pub(crate) backup: String,
    /// Something that must be true in the restored database: an expression, or a query that answers one boolean; repeatable
    #[arg(long, value_name = "SQL")]
    pub(crate) assert: Vec<String>,
    /// Seconds that one assertion may take
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) assert_timeout: Option<u64>,
    /// Write the report as a page that stands on its own
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Connections that load and compare at once; without it, as many as there are processors, up to four
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Replaced {
    /// List them, and until when each is kept
    List,
    /// Give one its name back; what was restored stays beside it
    PutBack {
        /// Its name now or before, or its id
        database: String,
    },
    /// Drop one before its time
    Drop {
        /// Its name now (shop_before_2026_11_27_1530), or its id
        database: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Instance {
    /// List them
    List,
    /// Start one; prints its URL. It goes on when this command has ended
    Start {
        /// Its name or id
        instance: String,
    },
    /// Stop one; what is in it stays
    Stop {
        /// Its name or id
        instance: String,
    },
    /// Delete one with everything in it
    Delete {
        /// Its name or id
        instance: String,
    },
    /// Print how a running one is reached, with its password
    Url {
        /// Its name or id
        instance: String,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Rows are in the database's own encoding, byte for byte as they were dumped. At the end they are compared with the \
    backup's index: rows on standard output are whole when the exit code is 0, and a file is there only when it is whole. \
    Generated columns are not in a dump."
)]
pub(crate) struct Extract {
    /// The backup's folder or URL, or its id
    pub(crate) backup: String,
    /// The table, as SQL writes it: shop.orders, "My schema"."My table"
    #[arg(long, value_name = "SCHEMA.TABLE", value_parser = table_name::parse)]
    pub(crate) table: TableName,
    /// What the rows are written as
    #[arg(long, value_enum, default_value_t = ExtractFormat::Copy)]
    pub(crate) format: ExtractFormat,
    /// Write into this file, which is replaced as a whole or not at all; without it, to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExtractFormat {
    /// Exactly what pg_dump stored: the lines of COPY's text format, for `COPY … FROM STDIN`
    Copy,
    /// Comma-separated values with the columns' names first, as `COPY … WITH (FORMAT csv, HEADER)` writes them
    Csv,
    /// INSERT statements in one transaction
    Sql,
}

impl From<ExtractFormat> for RowFormat {
    fn from(format: ExtractFormat) -> Self {
        match format {
            ExtractFormat::Copy => Self::Copy,
            ExtractFormat::Csv => Self::Csv,
            ExtractFormat::Sql => Self::Sql,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Add a server; its password goes to the system's keyring
    Add {
        /// How it is reached: a URL, a keyword string, a psql line
        url: String,
        /// What to call it; without it, its host's name
        #[arg(long)]
        name: Option<String>,
        /// What it is used for
        #[arg(long, value_enum, default_value_t = EnvironmentName::None)]
        environment: EnvironmentName,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        tunnel: Tunnel,
    },
    /// List the servers
    List,
    /// Test whether a backup of a server's database would work
    Test {
        /// The server's name or id
        server: String,
    },
    /// Forget a server, its plans and its password; backups stay where they are
    Remove {
        /// The server's name or id
        server: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Destination {
    /// Add a destination; what opens it (HOWDAH_DESTINATION_SECRET) goes to the system's keyring
    Add {
        /// A folder, or a URL: s3://bucket/prefix?endpoint=…&key-id=…, sftp://user@host/path, webdavs:, ftps:, azblob:, gs:
        #[arg(value_name = "DIR|URL")]
        place: String,
        /// What to call it; without it, a name from the place
        #[arg(long)]
        name: Option<String>,
        /// Accept the SSH server's key with this fingerprint
        #[arg(long, value_name = "SHA256:…")]
        accept_host_key: Option<String>,
    },
    /// List the destinations
    List,
    /// Write, read back, list and delete a probe object
    Test {
        /// The destination's name or id, a folder or a URL
        destination: String,
    },
    /// List the backups that lie there, also another machine's: they can be restored from here then
    Attach {
        /// The destination's name or id
        destination: String,
    },
    /// Forget a destination that no plan writes to; what lies there stays
    Remove {
        /// The destination's name or id
        destination: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show the public keys; this machine's own is made where there is none yet
    Show,
    /// Save the recovery kit: with it and a destination, everything can be restored on any machine
    Kit {
        /// The file to write; it must not be there yet
        file: PathBuf,
    },
    /// Read a saved kit back, and say whether it is the right one
    Test {
        /// The kit's file
        file: PathBuf,
    },
    /// Bring in the key of a kit or of an age key file
    Import {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Settings {
    /// Write servers, destinations, plans, channels and settings into a file, encrypted to this machine's own key
    Export {
        /// The file to write; it must not be there yet
        file: PathBuf,
        /// Passwords, tokens and keys too
        #[arg(long)]
        with_secrets: bool,
        /// Encrypt with the passphrase in HOWDAH_EXPORT_PASSPHRASE instead
        #[arg(long)]
        passphrase: bool,
    },
    /// Take over what an export holds and this machine does not know. Plans come in switched off
    Import {
        /// The file; HOWDAH_EXPORT_PASSPHRASE opens one that a passphrase encrypts
        file: PathBuf,
    },
    /// Take over the settings that lie at a destination of encrypted backups; the key comes from `howdah key import KIT`
    ImportFrom {
        /// The destination's name or id
        destination: String,
        /// Of which machine; without it, the newest
        #[arg(long)]
        machine: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnvironmentName {
    Production,
    Staging,
    Development,
    None,
}

impl From<EnvironmentName> for Environment {
    fn from(name: EnvironmentName) -> Self {
        match name {
            EnvironmentName::Production => Self::Production,
            EnvironmentName::Staging => Self::Staging,
            EnvironmentName::Development => Self::Development,
            EnvironmentName::None => Self::None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prove {
    /// Only when somebody asks
    Never,
    /// Each one, when it is made
    Each,
    /// The newest, once a week
    Weekly,
    /// The newest, once a month
    Monthly,
}

impl From<Prove> for DrillWhen {
    fn from(prove: Prove) -> Self {
        match prove {
            Prove::Never => Self::Never,
            Prove::Each => Self::EachBackup,
            Prove::Weekly => Self::Weekly,
            Prove::Monthly => Self::Monthly,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plan {
    /// Add a plan for one database of a server, or for all of them
    Add(Box<PlanAdd>),
    /// List the plans
    List,
    /// Remove a plan; its backups stay where they are
    Remove {
        /// The plan's id
        plan: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PlanAdd {
    /// The server's name or id
    pub(crate) server: String,
    /// The database; without it, the one that the server was added with
    #[arg(long, conflicts_with = "all_databases")]
    pub(crate) database: Option<String>,
    /// All of the server's databases, also those created later
    #[arg(long)]
    pub(crate) all_databases: bool,
    /// With --all-databases: not this one; repeatable
    #[arg(long, value_name = "NAME", requires = "all_databases")]
    pub(crate) except: Vec<String>,
    /// When: `hourly`, `hourly :30`, `daily 04:00`, `weekly mon,thu 04:00`, `monthly 31 04:00`, `manual`, or five fields of
    /// cron
    #[arg(long, value_name = "WHEN", default_value = "daily 04:00", value_parser = schedule::parse)]
    pub(crate) schedule: Schedule,
    /// The IANA time zone that the schedule is meant in; without it, the system's
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Encrypt to this machine's own key
    #[arg(long)]
    pub(crate) encrypt: bool,
    /// Encrypt to this age public key; repeatable, the holder of each can read the backups
    #[arg(long, value_name = "age1…")]
    pub(crate) encrypt_to: Vec<String>,
    /// Keep only the last so many backups (and whatever else is to be kept)
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<u32>,
    /// Keep all backups of the last so many days
    #[arg(long, value_name = "DAYS")]
    pub(crate) keep_days: Option<u32>,
    /// Keep one backup per day for so many days
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<u32>,
    /// Keep one backup per week for so many weeks
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<u32>,
    /// Keep one backup per month for so many months
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<u32>,
    /// Keep one backup per year for so many years
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<u32>,
    /// When backups are proved by a drill on this machine
    #[arg(long, value_enum, default_value_t = Prove::Weekly)]
    pub(crate) prove: Prove,
    /// Something that must be true in each backup that is proved: an expression, or a query that answers one boolean; repeatable
    #[arg(long, value_name = "SQL")]
    pub(crate) assert: Vec<String>,
    /// Where backups go: a destination's name, a folder or a URL; repeatable, all are written in one pass; without it, the folder
    /// in the settings
    #[arg(long, value_name = "NAME|DIR|URL")]
    pub(crate) to: Vec<String>,
    #[command(flatten)]
    pub(crate) when: conditions::When,
    #[command(flatten)]
    pub(crate) what: What,
    /// Leave out roles and other globals
    #[arg(long)]
    pub(crate) no_globals: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_has_no_contradictions() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn rows_and_a_json_object_do_not_share_standard_output() {
        let read = |more: &[&str]| {
            let all = ["howdah", "extract", "/backup", "--table", "public.t"];
            Arguments::try_parse_from(all.iter().chain(more)).and_then(Arguments::checked)
        };
        assert!(read(&[]).is_ok());
        assert!(read(&["--json", "--to", "rows.copy"]).is_ok());
        let refused = read(&["--json"]).unwrap_err();
        assert!(refused.to_string().contains("--to FILE"), "{refused}");
    }

    #[test]
    fn a_backup_takes_a_url_a_folder_and_exact_names() {
        let arguments = Arguments::try_parse_from([
            "howdah",
            "backup",
            "--url",
            "postgres://u@h/db",
            "--to",
            "/backups",
            "--json",
            "--table",
            r#""My schema"."a.b""#,
            "--exclude-schema",
            "temp*",
        ])
        .unwrap();
        assert!(arguments.json);
        let Command::Backup(backup) = arguments.command else {
            panic!("it is a backup");
        };
        let selection = backup.what.into_selection();
        assert_eq!(
            selection.tables,
            [TableName {
                schema: "My schema".into(),
                name: "a.b".into()
            }]
        );
        assert_eq!(selection.exclude_schemas, ["temp*"]);
    }
}
