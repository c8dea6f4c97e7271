//! Which database is meant and with which password: from `--url`, the PG variables, ~/.pgpass, standard input, a prompt.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use howdah_domain::{Connection, Failure, FailureCode, Secret};
use howdah_postgres::environment::Environment;
use howdah_postgres::parse::parse_connection;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::arguments::Target;
use crate::output::Output;

/// How long the connection may take that finds out whether a password is wanted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A database and how to log in.
pub(crate) struct Resolved {
    pub(crate) connection: Connection,
    pub(crate) password: Option<Secret>,
}

/// Resolves what the command line says. Warnings are told.
pub(crate) async fn resolve(
    target: &Target,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Resolved, Failure> {
    let environment = environment(output)?;
    let mut resolved = match &target.url {
        Some(url) => understand(url, &environment, output)?,
        None => from_environment(&environment)?,
    };
    if target.password_stdin {
        resolved.password = Some(from_stdin()?);
    }
    if resolved.password.is_none() {
        resolved.password = password_for(&environment, &resolved.connection, output);
    }
    if resolved.password.is_none() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        resolved.password = ask_if_wanted(&resolved.connection, cancel).await?;
    }
    Ok(resolved)
}

/// The PG variables of this process; what is wrong with them is told.
fn environment(output: Output) -> Result<Environment, Failure> {
    let environment = Environment::of_process().map_err(|error| error.to_failure())?;
    for warning in &environment.warnings {
        output.warn(warning);
    }
    Ok(environment)
}

/// The password from `PGPASSWORD` or the password file.
fn password_for(environment: &Environment, connection: &Connection, output: Output) -> Option<Secret> {
    let (password, warning) = environment.password_for(connection);
    if let Some(warning) = warning {
        output.warn(&warning);
    }
    password
}

/// Understands a connection that was typed; the environment fills what it leaves open. Warnings are told.
fn understand(url: &str, environment: &Environment, output: Output) -> Result<Resolved, Failure> {
    let parsed = parse_connection(url, &environment.defaults).map_err(|error| error.to_failure())?;
    for warning in &parsed.warnings {
        output.warn(warning);
    }
    if parsed.password.is_some() {
        // Arguments are seen by every user of the machine.
        output.warn(
            "every user of this machine can see the password in the URL while the command runs; PGPASSWORD, ~/.pgpass and \
             --password-stdin keep it to yourself.",
        );
    }
    Ok(Resolved {
        connection: parsed.connection,
        password: parsed.password,
    })
}

/// Without a URL at least one of the variables must say where to go: a dump of `localhost` by accident helps nobody.
fn from_environment(environment: &Environment) -> Result<Resolved, Failure> {
    if ["PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"]
        .iter()
        .all(|name| std::env::var_os(name).is_none())
    {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "It is not said which database is meant.",
        )
        .hint("Add --url postgres://role@host:5432/database, or set PGHOST and PGDATABASE."));
    }
    let defaults = environment.defaults.clone();
    let database = defaults.database.unwrap_or_else(|| defaults.role.clone());
    Ok(Resolved {
        connection: Connection {
            host: defaults.host,
            port: defaults.port,
            role: defaults.role,
            database,
            tls: defaults.tls,
            tunnel: None,
            forwarded: None,
        },
        password: None,
    })
}

/// The first line of standard input, without its line break.
pub(crate) fn from_stdin() -> Result<Secret, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(|error| {
        Failure::new(
            FailureCode::InvalidInput,
            "The password could not be read from standard input.",
        )
        .details(error.to_string())
    })?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new(
            FailureCode::PasswordRequired,
            "There is no password on standard input.",
        )
        .hint("--password-stdin reads the first line: printf '%s\\n' \"$PASSWORD\" | howdah …"));
    }
    Ok(Secret::new(password))
}

/// Asks a person for the password, if the server wants one.
async fn ask_if_wanted(
    connection: &Connection,
    cancel: &CancellationToken,
) -> Result<Option<Secret>, Failure> {
    let attempt = howdah_postgres::connect(connection, None, "howdah", CONNECT_TIMEOUT, cancel);
    match attempt.await.map_err(|error| error.to_failure()) {
        Err(failure) if failure.code == FailureCode::PasswordRequired => {}
        // Whatever else is wrong is told by the command itself.
        _ => return Ok(None),
    }
    let question = format!("Password for {}: ", connection.display());
    // rpassword speaks to the terminal itself, and shows nothing of what is typed.
    let asked = tokio::task::spawn_blocking(move || rpassword::prompt_password(question));
    let typed = tokio::select! {
        typed = asked => typed,
        () = cancel.cancelled() => return Err(cancelled()),
    };
    match typed {
        Ok(Ok(password)) if !password.is_empty() => Ok(Some(Secret::new(password))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => Err(cancelled()),
        _ => Ok(None),
    }
}

fn cancelled() -> Failure {
    Failure::new(FailureCode::Cancelled, "It was cancelled.")
}
