//! Why a PostgreSQL program failed: its stderr and exit status become a [`Failure`] with a code, a sentence and a hint.
//!
//! Codes of connection errors and SQLSTATE-like texts are [`crate::classify`]'s; what is added here is what only the
//! programs' context tells: which object, which statement, how many errors in all.

use std::process::ExitStatus;

use howdah_domain::{Connection, Failure, FailureCode};

use crate::classify::classify_libpq;
use crate::stderr::{Complaint, Stderr, cut};
use crate::words;

mod objects;

use objects::{locked_tables, named_object, qualified_in, quoted_name};

/// One thing that a restore could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreError {
    /// The object, as far as told: `TABLE "public.orders"`, `TABLE DATA orders shop`.
    pub object: String,
    /// What went wrong, in the server's words where it said something, with its detail and hint.
    pub error: String,
    /// The statement that failed, shortened.
    pub command: Option<String>,
}

impl RestoreError {
    /// Whether it changes nothing of what is restored: pg_restore 17 and newer switch off a timeout that an older server does not have. What
    /// another worker says at the same moment may stand behind the statement, on its line.
    pub fn is_harmless(&self) -> bool {
        self.command
            .as_deref()
            .is_some_and(|command| command.trim_start().starts_with("SET transaction_timeout = 0;"))
    }

    /// Whether it says that the server's disk is full.
    pub fn is_about_room(&self) -> bool {
        classify_libpq(&self.error) == Some(FailureCode::DiskFull)
    }
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.error)
    }
}

/// Why the program that wrote `stderr` ended with `status`, which is no success. `connection` is where it was told to connect.
pub fn verdict(stderr: &Stderr, status: ExitStatus, connection: &Connection) -> Failure {
    let program = stderr.program();
    let last = stderr.errors().next_back();
    if let Some(error) = last
        && error.full_text().contains("max_locks_per_transaction")
    {
        return Failure::new(
            FailureCode::ProgramFailed,
            format!("{program} needs a lock on every table at once, and the server has no room for so many."),
        )
        .hint("Raise max_locks_per_transaction on the server (256 is enough for some 25,000 tables with the default max_connections) and restart it, or back up schema by schema.")
        .details(stderr.end());
    }
    if let Some(failure) = stderr.errors().rev().find_map(|error| {
        let code = code_of(error)?;
        Some(in_words(program, code, error, connection))
    }) {
        return failure.details(stderr.end());
    }
    if let Some(signal) = killed_by(status) {
        return Failure::new(
            FailureCode::ProgramKilled,
            format!("{program} was killed ({signal}) before it was done."),
        )
        .hint(
            "Somebody ended it, or this machine ran out of memory (see its system log). Howdah tries again.",
        )
        .details(stderr.end());
    }
    let said = last.map_or_else(
        || match stderr.text().lines().last() {
            Some(line) if !line.trim().is_empty() => line.to_owned(),
            _ => format!("it ended with {status} and said nothing"),
        },
        |error| error.server_text().unwrap_or(&error.text).to_owned(),
    );
    let code = if last.is_none() && said.contains("error while loading shared libraries") {
        FailureCode::ProgramMissing
    } else {
        FailureCode::ProgramFailed
    };
    Failure::new(code, format!("{program} failed: {}", one_line(&said)))
        .hint("The details hold the program's own words.")
        .details(stderr.end())
}

/// Every error of a pg_restore as a [`RestoreError`], oldest first (at most the first 1,000).
pub fn restore_errors(stderr: &Stderr) -> Vec<RestoreError> {
    stderr
        .errors()
        .map(|error| RestoreError {
            object: error
                .entry
                .as_ref()
                .map_or_else(|| "The restore".to_owned(), |entry| entry.label.clone()),
            error: {
                let mut text = error.server_text().unwrap_or(&error.text).to_owned();
                for note in &error.notes {
                    text.push_str("; ");
                    text.push_str(note);
                }
                one_line(&text)
            },
            command: error.command.clone(),
        })
        .collect()
}

/// A restore that ended with errors, in words: how many, the first of them, and up to 50 in the details.
pub fn restore_failure(errors: &[RestoreError], count: u64) -> Failure {
    let first = errors
        .first()
        .map_or_else(|| "no error was named".to_owned(), ToString::to_string);
    let message = if count == 1 {
        format!("The restore could not do one thing: {first}")
    } else {
        format!("The restore could not do {count} things; the first: {first}")
    };
    let mut details: Vec<String> = errors.iter().take(50).map(detail).collect();
    if count > details.len() as u64 {
        details.push(format!("… and {} more.", count - details.len() as u64));
    }
    Failure::new(FailureCode::RestoreFailed, message).details(details.join("\n"))
}

fn detail(error: &RestoreError) -> String {
    match &error.command {
        Some(command) => format!("{error}\n    {}", one_line(cut(command, 300))),
        None => error.to_string(),
    }
}

/// What an error's text means, where it means something that has a code.
fn code_of(error: &Complaint) -> Option<FailureCode> {
    let text = error.full_text();
    let locking = error
        .command
        .as_deref()
        .is_some_and(|command| command.starts_with("LOCK TABLE"));
    if error
        .text
        .contains("user may lack SELECT privilege on the sequence")
    {
        return Some(FailureCode::PermissionDenied);
    }
    // The programs quote at length; only what they and the server say is looked at, not the statement.
    let said = match text.split_once("\nCommand was: ") {
        Some((said, _)) => said,
        None => &text,
    };
    match classify_libpq(said) {
        // pg_dump puts --lock-wait-timeout into statement_timeout while it locks.
        Some(FailureCode::Timeout) if locking => Some(FailureCode::LockTimeout),
        code => code,
    }
}

fn in_words(program: &str, code: FailureCode, error: &Complaint, connection: &Connection) -> Failure {
    let said = error.server_text().unwrap_or(&error.text);
    let role = &connection.role;
    match code {
        FailureCode::PermissionDenied => {
            let object = named_object(said, error.command.as_deref());
            let message = match object {
                Some(object) => format!("Role {role} may not read {object}, so {program} stopped."),
                None => format!("Role {role} lacks a right, so {program} stopped: {}", one_line(said)),
            };
            Failure::new(code, message).hint(
                "Grant it to the role (Test lists everything that is missing, with the SQL), or leave the object out of the plan.",
            )
        }
        FailureCode::RowSecurity => {
            let table = quoted_name(said).map_or_else(
                || "a table".to_owned(),
                |name| format!("table {}", qualified_in(error.command.as_deref(), name)),
            );
            Failure::new(
                code,
                format!("Row-level security would hide rows of {table} from role {role}, so {program} stopped."),
            )
            .hint("Use a role with BYPASSRLS (ALTER ROLE … BYPASSRLS), or the table's owner, or leave the table's data out of the plan.")
        }
        FailureCode::LockTimeout => {
            let tables = error
                .command
                .as_deref()
                .and_then(locked_tables)
                .unwrap_or_else(|| "a table".to_owned());
            Failure::new(
                code,
                format!("{program} waited in vain for a lock on {tables}: somebody is changing a table's definition, or holds it locked."),
            )
            .hint("Look for a long transaction or a migration that hangs. Howdah tries again; how long it waits for locks can be set.")
        }
        FailureCode::DiskFull => Failure::new(
            code,
            format!("The server (not this machine) ran out of disk space: {}", one_line(said)),
        )
        .hint("Make room on the server."),
        FailureCode::UnsupportedVersion => Failure::new(
            code,
            format!("This {program} is older than the server and does not work with it."),
        )
        .hint("Howdah needs the programs of the server's own major version or a newer one."),
        FailureCode::NotFound => Failure::new(
            code,
            format!("What the plan names is not in the database: {}", one_line(said)),
        )
        .hint("It was dropped or renamed. Change the plan's selection."),
        FailureCode::ConnectionLost if said.contains("conflict with recovery") => Failure::new(
            code,
            format!("The standby could not wait for {program} any longer and cancelled it."),
        )
        .hint("Back up from the primary, or set hot_standby_feedback = on, or raise max_standby_streaming_delay."),
        FailureCode::ConnectionLost if said.starts_with("could not connect to database") => Failure::new(
            code,
            format!("{program} could not connect to {} and does not say why.", words::place(connection)),
        )
        .hint("The server may have been stopped, or have no connection left. Howdah tries again, and says why if it still cannot connect."),
        FailureCode::ConnectionLost => {
            let at = error
                .command
                .as_deref()
                .map_or_else(String::new, |command| format!(" during {}", one_line(cut(command, 200))));
            Failure::new(
                code,
                format!("The connection to {} broke{at}.", words::place(connection)),
            )
            .hint("The server may have been restarted, or something between cut the connection. Howdah tries again; if it lasts, look into the server's log.")
        }
        FailureCode::InvalidConnection => Failure::new(
            code,
            format!("{program} cannot use the client key: {}", one_line(said)),
        )
        .hint("Close it to others (chmod 600), and check the path."),
        FailureCode::Timeout if error.command.is_some() => words::statement(code, "A statement of the dump"),
        code => words::connecting(code, connection),
    }
}

/// Lines joined by spaces.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(unix)]
fn killed_by(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal()?;
    Some(match nix::sys::signal::Signal::try_from(signal) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("signal {signal}"),
    })
}

#[cfg(not(unix))]
fn killed_by(_status: ExitStatus) -> Option<String> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use howdah_domain::Tls;
    use rstest::rstest;

    use super::*;
    use crate::stderr::read_lines;

    fn heard(program: &str, text: &str) -> Stderr {
        let mut stderr = Stderr::new(program, 1 << 20);
        read_lines(text.as_bytes(), |line| {
            stderr.push(line);
        });
        stderr.finish();
        stderr
    }

    fn connection() -> Connection {
        Connection {
            host: "db.example.com".into(),
            port: 5432,
            role: "backup".into(),
            database: "shop".into(),
            tls: Tls::default(),
            tunnel: None,
            forwarded: None,
        }
    }

    #[rstest]
    #[case::on_its_own_line("SET transaction_timeout = 0;\npg_restore: executing SELECT 1", true)]
    #[case::with_another_workers_words_behind_it("SET transaction_timeout = 0; executing SELECT 1", true)]
    #[case::another_setting("SET default_table_access_method = heap;", false)]
    fn a_timeout_that_an_older_server_does_not_have_is_no_error(
        #[case] command: &str,
        #[case] harmless: bool,
    ) {
        let text = format!(
            "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter\nCommand was: {command}\n"
        );
        let errors = restore_errors(&heard("pg_restore", &text));
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].is_harmless(), harmless, "{errors:?}");
    }

    fn failure_of(text: &str) -> Failure {
        verdict(&heard("pg_dump", text), ExitStatus::from_raw(256), &connection())
    }

    #[rstest]
    #[case::table_13(
        "pg_dump: error: query failed: ERROR:  permission denied for table b\npg_dump: error: query was: LOCK TABLE public.b IN ACCESS SHARE MODE",
        FailureCode::PermissionDenied,
        "table public.b"
    )]
    #[case::one_of_many(
        "pg_dump: error: query failed: ERROR:  permission denied for table R x\npg_dump: detail: Query was: LOCK TABLE public.a, public.\"R x\", hid.t IN ACCESS SHARE MODE",
        FailureCode::PermissionDenied,
        "table public.\"R x\""
    )]
    #[case::ambiguous(
        "pg_dump: error: query failed: ERROR:  permission denied for table t\npg_dump: detail: Query was: LOCK TABLE a.t, b.t IN ACCESS SHARE MODE",
        FailureCode::PermissionDenied,
        "read table t,"
    )]
    #[case::sequence_18(
        "pg_dump: error: failed to get data for sequence \"sq\"; user may lack SELECT privilege on the sequence or the sequence may have been concurrently dropped",
        FailureCode::PermissionDenied,
        "sequence sq"
    )]
    #[case::large_object(
        "pg_dump: error: could not open large object 4711: ERROR:  permission denied for large object 4711",
        FailureCode::PermissionDenied,
        "large object 4711"
    )]
    #[case::schema(
        "pg_dump: error: query failed: ERROR:  permission denied for schema hid\npg_dump: detail: Query was: LOCK TABLE hid.t IN ACCESS SHARE MODE",
        FailureCode::PermissionDenied,
        "schema hid"
    )]
    #[case::row_security(
        "pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table \"R x\"\npg_dump: detail: Query was: COPY public.\"R x\" (z) TO stdout;",
        FailureCode::RowSecurity,
        "table public.\"R x\""
    )]
    #[case::lock(
        "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\npg_dump: detail: Query was: LOCK TABLE public.a IN ACCESS SHARE MODE",
        FailureCode::LockTimeout,
        "public.a"
    )]
    #[case::lock_on_one_of_many(
        "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\npg_dump: detail: Query was: LOCK TABLE public.a, public.\"b, c\", x.d IN ACCESS SHARE MODE",
        FailureCode::LockTimeout,
        "one of 3 tables (public.a, …)"
    )]
    #[case::too_many_tables(
        "pg_dump: error: query failed: ERROR:  out of shared memory\nHINT:  You might need to increase \"max_locks_per_transaction\".\npg_dump: detail: Query was: LOCK TABLE public.a IN ACCESS SHARE MODE",
        FailureCode::ProgramFailed,
        "a lock on every table"
    )]
    #[case::killed_server(
        "pg_dump: error: Dumping the contents of table \"big\" failed: PQgetCopyData() failed.\npg_dump: detail: Error message from server: server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.\npg_dump: detail: Command was: COPY public.big (g) TO stdout;",
        FailureCode::ConnectionLost,
        "COPY public.big"
    )]
    #[case::strict_names(
        "pg_dump: error: no matching tables were found for pattern \"\"public\".\"no pe\"\"",
        FailureCode::NotFound,
        "no pe"
    )]
    #[case::version_13(
        "pg_dump: error: server version: 18.4; pg_dump version: 13.23\npg_dump: error: aborting because of server version mismatch",
        FailureCode::UnsupportedVersion,
        "older than the server"
    )]
    #[case::no_database(
        "pg_dump: error: connection to server on socket \"/s/.s.PGSQL.5417\" failed: FATAL:  database \"nodb\" does not exist",
        FailureCode::DatabaseNotFound,
        "shop"
    )]
    #[case::unknown(
        "pg_dump: error: query failed: ERROR:  cache lookup failed for index 4711\npg_dump: detail: Query was: SELECT x",
        FailureCode::ProgramFailed,
        "cache lookup failed for index 4711"
    )]
    fn what_pg_dump_says_becomes_a_code_and_a_sentence(
        #[case] stderr: &str,
        #[case] code: FailureCode,
        #[case] names: &str,
    ) {
        let failure = failure_of(stderr);
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.message.contains(names), "{}", failure.message);
        assert!(failure.details.is_some());
    }

    #[test]
    fn a_pg_dumpall_that_keeps_its_reason_to_itself_is_tried_again() {
        let said = "pg_dumpall: error: could not connect to database \"dbname='shop' keepalives=1\"";
        let failure = verdict(
            &heard("pg_dumpall", said),
            ExitStatus::from_raw(256),
            &connection(),
        );
        assert_eq!(failure.code, FailureCode::ConnectionLost, "{failure:?}");
        assert!(failure.is_retryable());
        assert!(
            failure
                .message
                .contains("pg_dumpall could not connect to db.example.com"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_statement_that_mentions_permissions_is_no_permission_error() {
        let failure = failure_of(
            "pg_dump: error: query failed: ERROR:  syntax error\npg_dump: detail: Query was: SELECT 'permission denied for table x'",
        );
        assert_eq!(failure.code, FailureCode::ProgramFailed);
    }

    #[test]
    fn a_program_killed_by_a_signal_says_which() {
        let failure = verdict(&heard("pg_dump", ""), ExitStatus::from_raw(9), &connection());
        assert_eq!(failure.code, FailureCode::ProgramKilled);
        assert!(failure.message.contains("SIGKILL"), "{}", failure.message);
    }

    #[test]
    fn a_restore_names_each_of_its_errors() {
        let stderr = heard(
            "pg_restore",
            "pg_restore: from TOC entry 201; 1259 16386 TABLE a postgres\n\
             pg_restore: error: could not execute query: ERROR:  relation \"a\" already exists\n\
             Command was: CREATE TABLE public.a (\n    x integer\n);\n\n\n\
             pg_restore: from TOC entry 2940; 0 16386 TABLE DATA a postgres\n\
             pg_restore: error: COPY failed for table \"a\": ERROR:  duplicate key\nDETAIL:  Key (x)=(1) already exists.\n\
             pg_restore: warning: errors ignored on restore: 2\n",
        );
        let errors = restore_errors(&stderr);
        assert_eq!(errors.len(), 2);
        let failure = restore_failure(&errors, stderr.error_count());
        assert_eq!(failure.code, FailureCode::RestoreFailed);
        assert!(failure.message.contains("2 things"), "{}", failure.message);
        let details = failure.details.unwrap();
        assert!(
            details.contains("Key (x)=(1)") && details.contains("TABLE DATA a"),
            "{details}"
        );
    }
}
