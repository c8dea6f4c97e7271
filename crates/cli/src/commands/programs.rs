//! `howdah programs`: the bundled PostgreSQL programs, version and path of each.

use howdah_domain::Failure;
use howdah_postgres::programs::Programs;
use serde_json::json;

use crate::output::Done;

pub(crate) fn run() -> Result<Done, Failure> {
    let programs = Programs::locate(None).map_err(|error| error.to_failure())?;
    let all = programs.all();
    let mut text = format!("PostgreSQL programs in {}\n", programs.root().display());
    for listed in &all {
        text.push_str(&format!(
            "{:>4}  {:<12} {:<8} {}\n",
            listed.major,
            listed.name,
            listed.version,
            listed.path.display()
        ));
    }
    Ok(Done::good(
        json!({ "folder": programs.root(), "programs": all }),
        text,
    ))
}
