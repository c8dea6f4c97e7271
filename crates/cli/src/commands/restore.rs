//! `howdah restore`: a backup into a database, compared with what was dumped.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_domain::units::{count, counted, duration};
use howdah_domain::{BackupId, Failure, FailureCode, RestoreContent};
use howdah_engine::api::{PreflightVerdict, RestoreOptions, RestoreTarget, RestoreWish};
use howdah_engine::oneoff::Here;
use howdah_engine::restore::{RestoreRequest, bring_roles, compare_with, restore};
use howdah_engine::stored::StoredBackup;
use howdah_engine::work::Reporter;
use howdah_engine::{Engine, Role};
use howdah_postgres::compare::{Comparison, Mismatch};
use howdah_postgres::programs::Programs;
use howdah_postgres::restore::{Options, Restored};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::arguments::Restore;
use crate::output::{Done, End, Output};
use crate::progress::Teller;
use crate::{installation, processors, target};

pub(crate) async fn run(
    arguments: Restore,
    backup: StoredBackup,
    data_dir: Option<&Path>,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let target = target::reach(&arguments.target, data_dir, output, cancel).await?;
    let jobs = arguments.jobs.map_or_else(processors, usize::from);
    let chosen = arguments.options();
    let request = RestoreRequest {
        backup,
        target: target.connection().clone(),
        secret: target.password.clone(),
        options: Options {
            create: arguments.create,
            clean: arguments.clean,
            ..chosen.for_restore()
        },
        jobs,
    };
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let secret = request.secret.as_ref();
    if chosen.roles {
        let made = bring_roles(&request.backup, &request.target, secret, &reporter, cancel).await;
        target.judged(made).await?;
    }
    let restored = recorded(&request, data_dir, &reporter, output, cancel).await;
    let restored = target.judged(restored).await?;
    let comparison = if arguments.no_compare || !chosen.content.has_rows() {
        None
    } else {
        let compared = compare_with(
            &request.backup,
            restored.part.as_ref(),
            &request.target,
            secret,
            jobs,
            &reporter,
            cancel,
        );
        Some(target.judged(Box::pin(compared).await).await?)
    };
    teller.finish();
    let told = Told {
        backup: &request.backup,
        database: &request.target.database,
        options: &chosen,
        restored: &restored,
        comparison: comparison.as_ref(),
        took: began.elapsed(),
    };
    Ok(told.done())
}

/// Restores into a new PostgreSQL on this machine, which goes on when the command has ended. Prints its URL.
pub(crate) async fn here(
    engine: &Engine,
    arguments: Restore,
    backup: &StoredBackup,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let jobs = arguments.jobs.map_or_else(processors, usize::from);
    let options = arguments.options();
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let here = Here {
        name: arguments.name,
        options: options.clone(),
        jobs,
    };
    let restoring = Box::pin(engine.restore_here_once(backup, here, Arc::clone(&reporter), cancel));
    let (instance, restored) = restoring.await?;
    let (connection, password) = engine.instance_connection(&instance.id).await?;
    let target = connection.with_database(instance.database.as_deref().unwrap_or("postgres"));
    let comparison = if arguments.no_compare || !options.content.has_rows() {
        None
    } else {
        let part = restored.part.as_ref();
        let compared = compare_with(backup, part, &target, Some(&password), jobs, &reporter, cancel);
        Some(Box::pin(compared).await?)
    };
    teller.finish();
    let url = engine.instance_url(&instance.id).await?;
    let told = Told {
        backup,
        database: &target.database,
        options: &options,
        restored: &restored,
        comparison: comparison.as_ref(),
        took: began.elapsed(),
    };
    let mut done = told.done();
    done.json["instance"] = json!(instance);
    done.json["url"] = json!(url.expose());
    // Only the URL is on standard output, for `psql "$(howdah restore … --local)"`.
    if !output.json {
        output.note(&done.text);
    }
    url.expose().clone_into(&mut done.text);
    Ok(done)
}

/// Replaces a database of a server that the data directory knows.
pub(crate) async fn replace(
    engine: &Engine,
    arguments: Restore,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let Some(backup_id) = BackupId::parse(&arguments.backup) else {
        return Err(Failure::new(
            FailureCode::InvalidInput,
            "A database is replaced by a backup that Howdah knows.",
        )
        .hint("Name the backup by its id, which `howdah list` shows."));
    };
    let server = engine
        .find_server(arguments.server.as_deref().unwrap_or_default())
        .await?;
    let options = arguments.options();
    let database = arguments.replace.unwrap_or_default();
    let wish = RestoreWish {
        backup_id,
        to: RestoreTarget::Server {
            server_id: server.id.clone(),
            database: database.clone(),
            replace: true,
        },
        options,
    };
    let looked = engine.preflight(&wish).await?;
    for line in &looked.lines {
        match line.verdict {
            PreflightVerdict::Stops => {
                let failure = Failure::new(FailureCode::InvalidInput, line.text.clone());
                return Err(match &line.hint {
                    Some(hint) => failure.hint(hint.clone()),
                    None => failure,
                });
            }
            PreflightVerdict::Warns => output.warn(&line.text),
            PreflightVerdict::Passes => {}
        }
    }
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    Box::pin(engine.restore_wished_once(wish, reporter, cancel)).await?;
    teller.finish();
    let kept = engine.list_replacements().await?;
    let kept = kept
        .into_iter()
        .filter(|one| one.server_id == server.id && one.database == database)
        .max_by_key(|one| one.replaced_at);
    let name = kept.as_ref().map_or("another name", |one| one.kept.as_str());
    let text = format!(
        "{database} is replaced in {}, all rows as they were dumped. What was there is kept as {name} for seven days; \
         `howdah replaced put-back {database}` takes it back.",
        duration(began.elapsed())
    );
    let json = json!({
        "database": database,
        "replaced": kept,
        "proved": true,
        "seconds": began.elapsed().as_secs_f64(),
    });
    Ok(Done::good(json, text))
}

/// Restores as a run of the data directory. Where that cannot be used the restore is made all the same: on the day that
/// it is needed, nothing else may stand in its way.
async fn recorded(
    request: &RestoreRequest,
    data_dir: Option<&Path>,
    reporter: &Arc<dyn Reporter>,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Restored, Failure> {
    match installation::open(data_dir, Role::Guest).await {
        Ok(engine) => {
            let restored = Box::pin(engine.restore_once(request, Arc::clone(reporter), cancel)).await;
            engine.shutdown(installation::FAREWELL).await;
            restored
        }
        Err(failure) => {
            output.warn(&format!("this restore is not recorded: {}", failure.message));
            let programs = Programs::locate(None).map_err(|error| error.to_failure())?;
            Box::pin(restore(request, &programs, reporter, cancel)).await
        }
    }
}

/// What came of a restore.
struct Told<'a> {
    backup: &'a StoredBackup,
    database: &'a str,
    options: &'a RestoreOptions,
    restored: &'a Restored,
    comparison: Option<&'a Comparison>,
    took: Duration,
}

impl Told<'_> {
    fn done(&self) -> Done {
        let mut json = json!({
            "path": self.backup.name(),
            "database": self.database,
            "warnings": self.restored.warnings,
            "seconds": self.took.as_secs_f64(),
        });
        let restored = self.sentence();
        if !self.options.content.has_rows() {
            return Done::good(
                json,
                format!("{restored}, without rows: there is nothing to compare."),
            );
        }
        let Some(comparison) = self.comparison else {
            return Done::good(json, format!("{restored}. It was not compared."));
        };
        let equal = comparison.mismatches.is_empty();
        json["proved"] = json!(equal);
        json["tables"] = json!(comparison.tables);
        json["rows"] = json!(comparison.rows);
        json["mismatches"] = comparison.mismatches.iter().map(mismatch_object).collect();
        json["remarks"] = json!(comparison.remarks);
        if equal {
            let text = format!(
                "{restored}: {}, {} rows, all as they were dumped.",
                counted(comparison.tables, "table", "tables"),
                count(comparison.rows)
            );
            return Done::good(json, text);
        }
        let mut lines = vec![format!(
            "{restored}, but it is not what was dumped. {}:",
            counted(comparison.mismatches.len() as u64, "difference", "differences")
        )];
        lines.extend(comparison.mismatches.iter().map(mismatch_line));
        Done {
            json,
            text: lines.join("\n"),
            end: End::NotEqual,
        }
    }

    /// What was restored where to, and in what time.
    fn sentence(&self) -> String {
        let (database, took) = (self.database, duration(self.took));
        match self.options.tables.len() as u64 {
            0 if !self.options.schemas.is_empty() => format!(
                "The schema {} is restored into {database} in {took}",
                self.options.schemas.join(", ")
            ),
            0 if self.options.content == RestoreContent::Rows => {
                format!("The rows are restored into {database} in {took}")
            }
            0 => format!("{database} is restored in {took}"),
            some => format!(
                "{} of the backup {} restored into {database} in {took}",
                counted(some, "table", "tables"),
                if some == 1 { "is" } else { "are" },
            ),
        }
    }
}

/// One difference, for scripts.
pub(crate) fn mismatch_object(mismatch: &Mismatch) -> Value {
    json!({
        "schema": mismatch.schema,
        "name": mismatch.name,
        "kind": format!("{:?}", mismatch.kind).to_lowercase(),
        "expected_rows": mismatch.expected_rows,
        "found_rows": mismatch.found_rows,
        "expected": mismatch.expected,
        "found": mismatch.found,
        "why": mismatch.why,
    })
}

/// One difference, for people.
pub(crate) fn mismatch_line(mismatch: &Mismatch) -> String {
    let name = if mismatch.schema.is_empty() {
        mismatch.name.clone()
    } else {
        format!("{}.{}", mismatch.schema, mismatch.name)
    };
    match (mismatch.found_rows, &mismatch.why) {
        (_, Some(why)) => format!("  {name}: {why}"),
        (Some(found), None) if found != mismatch.expected_rows => {
            format!(
                "  {name}: {} rows, {} were dumped",
                count(found),
                count(mismatch.expected_rows)
            )
        }
        _ => format!("  {name}: as many, but not the same"),
    }
}
