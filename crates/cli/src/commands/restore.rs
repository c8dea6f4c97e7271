//! `howdah restore`: a backup into a database, compared with what was dumped.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_domain::Failure;
use howdah_domain::units::{count, counted, duration};
use howdah_engine::api::RestoreOptions;
use howdah_engine::restore::{RestoreRequest, compare_with, restore};
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
    let request = RestoreRequest {
        backup,
        target: target.connection().clone(),
        secret: target.password.clone(),
        options: Options {
            create: arguments.create,
            clean: arguments.clean,
            tables: arguments.table,
            schemas: arguments.schema,
            extensions: !arguments.no_extensions,
            owners: !arguments.no_owner,
            privileges: !arguments.no_privileges,
            rows: !arguments.schema_only,
            ..Options::default()
        },
        jobs,
    };
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let restored = recorded(&request, data_dir, &reporter, output, cancel).await;
    let restored = target.judged(restored).await?;
    let comparison = if arguments.no_compare || arguments.schema_only {
        None
    } else {
        let secret = request.secret.as_ref();
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
    Ok(tell(&request, &restored, comparison.as_ref(), began.elapsed()))
}

/// Restores into a new PostgreSQL on this machine, which goes on when the command has ended.
pub(crate) async fn here(
    engine: &Engine,
    arguments: Restore,
    backup: &StoredBackup,
    output: Output,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let options = RestoreOptions {
        tables: arguments.table,
        schemas: arguments.schema,
        extensions: !arguments.no_extensions,
        owners: !arguments.no_owner,
        privileges: !arguments.no_privileges,
        rows: !arguments.schema_only,
        ..RestoreOptions::default()
    };
    let teller = Arc::new(Teller::new(output));
    let reporter: Arc<dyn Reporter> = Arc::clone(&teller) as _;
    let restored =
        Box::pin(engine.restore_here_once(backup, arguments.name, options, reporter, cancel)).await;
    teller.finish();
    let instance = restored?;
    let url = engine.instance_url(&instance.id).await?;
    let json = json!({
        "path": backup.name(),
        "instance": instance,
        "url": url.expose(),
        "database": instance.database,
        "seconds": began.elapsed().as_secs_f64(),
    });
    Ok(Done::good(json, url.expose()))
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

fn tell(
    request: &RestoreRequest,
    restored: &Restored,
    comparison: Option<&Comparison>,
    took: Duration,
) -> Done {
    let database = &request.target.database;
    let mut json = json!({
        "path": request.backup.name(),
        "database": database,
        "warnings": restored.warnings,
        "seconds": took.as_secs_f64(),
    });
    let options = &request.options;
    let restored = match options.tables.len() as u64 {
        0 if !options.schemas.is_empty() => format!(
            "The schema {} is restored into {database} in {}",
            options.schemas.join(", "),
            duration(took)
        ),
        0 => format!("{database} is restored in {}", duration(took)),
        some => format!(
            "{} of the backup {} restored into {database} in {}",
            counted(some, "table", "tables"),
            if some == 1 { "is" } else { "are" },
            duration(took)
        ),
    };
    if !request.options.rows {
        return Done::good(
            json,
            format!("{restored}, without rows: there is nothing to compare."),
        );
    }
    let Some(comparison) = comparison else {
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
