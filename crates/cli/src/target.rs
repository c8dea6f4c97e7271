//! Which database is meant and with which password: from `--url`, the PG variables, ~/.pgpass, standard input, a prompt.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use howdah_domain::destination::SshTarget;
use howdah_domain::{Connection, Failure, FailureCode, Secret};
use howdah_engine::api::ConnectionInput;
use howdah_postgres::Reach;
use howdah_postgres::environment::Environment;
use howdah_postgres::parse::parse_connection;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::arguments::Target;
use crate::output::Output;
use crate::{host_key, installation};

/// Holds the passphrase or the password of an SSH login.
const SSH_SECRET_VARIABLE: &str = "HOWDAH_SSH_SECRET";

/// How long the connection may take that finds out whether a password is wanted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A database and how to log in.
struct Resolved {
    connection: Connection,
    password: Option<Secret>,
    /// What opens the tunnel, where there is one that needs it.
    ssh_secret: Option<Secret>,
}

/// A database within reach: its tunnel, where it has one, is open while this is held.
pub(crate) struct Reached {
    reach: Reach,
    pub(crate) password: Option<Secret>,
}

impl Reached {
    /// The connection to use.
    pub(crate) fn connection(&self) -> &Connection {
        self.reach.connection()
    }

    /// What came of work on it; a broken tunnel is told as that.
    pub(crate) async fn judged<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match outcome {
            Ok(done) => Ok(done),
            Err(failure) => Err(self.reach.judge(failure).await),
        }
    }
}

/// Resolves what the command line says, and opens the way there. Warnings are told; a person at a terminal is asked for a
/// password that is missing, and whether an SSH server's key is the right one.
pub(crate) async fn reach(
    target: &Target,
    data_dir: Option<&Path>,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Reached, Failure> {
    let resolved = resolve(target, output)?;
    reach_resolved(resolved, target, data_dir, cancel).await
}

/// The same as what the engine takes: the way there is tried, and not kept open.
pub(crate) async fn input(
    target: &Target,
    data_dir: Option<&Path>,
    output: Output,
    cancel: &CancellationToken,
) -> Result<ConnectionInput, Failure> {
    let resolved = resolve(target, output)?;
    let (connection, ssh_secret) = (resolved.connection.clone(), resolved.ssh_secret.clone());
    let password = if connection.tunnel.is_some() {
        reach_resolved(resolved, target, data_dir, cancel).await?.password
    } else {
        // Whether it can be reached is told by a test; a server that is away now can be added.
        with_password(resolved.password, &connection, cancel).await?
    };
    Ok(ConnectionInput::Form {
        connection,
        password,
        ssh_secret,
    })
}

async fn reach_resolved(
    resolved: Resolved,
    target: &Target,
    data_dir: Option<&Path>,
    cancel: &CancellationToken,
) -> Result<Reached, Failure> {
    // A data directory that cannot be used must not keep a restore from its target.
    let known_hosts = installation::known_hosts(data_dir).ok();
    let accepted = target.tunnel.accept_host_key.as_deref();
    let reach = host_key::with_question(known_hosts.as_deref(), accepted, async || {
        Reach::open(
            &resolved.connection,
            resolved.ssh_secret.as_ref(),
            known_hosts.as_deref(),
            cancel,
        )
        .await
        .map_err(|error| error.to_failure())
    })
    .await?;
    let password = with_password(resolved.password, reach.connection(), cancel).await?;
    Ok(Reached { reach, password })
}

/// The password that is known, or that a person at the terminal types where one is wanted.
async fn with_password(
    known: Option<Secret>,
    connection: &Connection,
    cancel: &CancellationToken,
) -> Result<Option<Secret>, Failure> {
    if known.is_none() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        ask_if_wanted(connection, cancel).await
    } else {
        Ok(known)
    }
}

/// What the command line and the environment say. Warnings are told; nobody is asked.
fn resolve(target: &Target, output: Output) -> Result<Resolved, Failure> {
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
    if let Some(tunnel) = &target.tunnel.tunnel {
        let (tunnel, secret) = SshTarget::from_text(tunnel)
            .map_err(|error| Failure::new(FailureCode::InvalidInput, error.to_string()))?;
        if secret.is_some() {
            output.warn(&format!(
                "every user of this machine can see the password in --tunnel while the command runs; {SSH_SECRET_VARIABLE} \
                 keeps it to yourself."
            ));
        }
        let from_environment = || std::env::var(SSH_SECRET_VARIABLE).ok().map(Secret::new);
        resolved.ssh_secret = secret.or_else(from_environment);
        resolved.connection.tunnel = Some(tunnel);
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
        ssh_secret: None,
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
        ssh_secret: None,
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
