//! psql in the desktop's terminal. The password goes by the environment: arguments are for everybody to see.
//!
//! The terminal is the person's own, and so outlives Howdah, unlike every other child.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use howdah_domain::{Connection, Failure, FailureCode, Secret};
use howdah_postgres::libpq::{conninfo, libpq_environment};
use howdah_postgres::programs::Client;

/// Terminals, the system's own choice first, and the argument after which each takes a command.
const TERMINALS: [(&str, &str); 10] = [
    ("x-terminal-emulator", "-e"),
    ("xdg-terminal-exec", "--"),
    ("gnome-terminal", "--"),
    ("ptyxis", "--"),
    ("konsole", "-e"),
    ("xfce4-terminal", "-x"),
    ("kitty", "--"),
    ("alacritty", "-e"),
    ("foot", "--"),
    ("xterm", "-e"),
];

/// Opens one with psql on a database.
///
/// # Errors
/// Where none of the known terminals is on this machine.
pub(crate) fn psql(client: &Client, connection: &Connection, password: &Secret) -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = TERMINALS.iter().find_map(|(name, before)| {
        let program = std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())?;
        Some((program, *before))
    });
    let Some((terminal, before)) = found else {
        return Err(Failure::new(
            FailureCode::ProgramMissing,
            "No terminal was found on this machine.",
        )
        .hint("Copy the psql command, and run it in a terminal of yours."));
    };
    command(terminal, before, client, connection, password)
        .spawn()
        .map(drop)
        .map_err(|error| {
            Failure::new(FailureCode::Internal, "The terminal could not be opened.")
                .hint("Copy the psql command, and run it in a terminal of yours.")
                .details(error.to_string())
        })
}

fn command(
    terminal: PathBuf,
    before: &str,
    client: &Client,
    connection: &Connection,
    password: &Secret,
) -> Command {
    let mut command = Command::new(terminal);
    command
        .arg(before)
        .arg(&client.psql)
        .arg(format!("--dbname={}", conninfo(connection)))
        .envs(libpq_environment(connection, Some(password), client.major))
        // People's own time zone, as in any other session of theirs.
        .env_remove("PGTZ")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_the_environment_and_not_in_the_arguments() {
        let client = Client {
            major: 18,
            version: "18.6".into(),
            pg_dump: "/x/pg_dump".into(),
            pg_restore: "/x/pg_restore".into(),
            pg_dumpall: "/x/pg_dumpall".into(),
            psql: "/x/psql".into(),
            library_path: Vec::new(),
            newer_than_server: false,
        };
        let connection = Connection {
            host: "127.0.0.1".into(),
            port: 54_321,
            role: "postgres".into(),
            database: "shop".into(),
            tls: Default::default(),
            tunnel: None,
            forwarded: None,
        };
        let command = command(
            "/usr/bin/xterm".into(),
            "-e",
            &client,
            &connection,
            &Secret::new("hunter2"),
        );
        let arguments: Vec<_> = command.get_args().map(|one| one.to_string_lossy()).collect();
        assert_eq!(arguments[..2], ["-e", "/x/psql"]);
        assert!(arguments[2].contains("shop"), "{arguments:?}");
        assert!(!arguments.iter().any(|one| one.contains("hunter2")));
        assert!(
            command.get_envs().any(|(name, value)| {
                name == "PGPASSWORD" && value.is_some_and(|value| value == "hunter2")
            })
        );
    }
}
