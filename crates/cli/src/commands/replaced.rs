//! `howdah replaced`: the databases that a backup took the place of.

use howdah_domain::{Failure, FailureCode};
use howdah_engine::Engine;
use howdah_engine::api::ReplacementView;
use serde_json::json;

use crate::arguments::Replaced;
use crate::output::Done;

pub(crate) async fn run(engine: &Engine, command: Replaced) -> Result<Done, Failure> {
    let all = engine.list_replacements().await?;
    match command {
        Replaced::List => {
            let text = if all.is_empty() {
                "No replaced database is kept. `howdah restore BACKUP --replace DATABASE --server SERVER` keeps one for seven days."
                    .to_owned()
            } else {
                all.iter().map(line).collect::<Vec<_>>().join("\n")
            };
            Ok(Done::good(json!({ "replaced": all }), text))
        }
        Replaced::PutBack { database } => {
            let one = find(&all, &database, true)?;
            let beside = engine.put_back(&one.id).await?;
            let text = format!(
                "{} is what it was before again. What was restored is kept as {beside}.",
                one.database
            );
            Ok(Done::good(json!({ "put_back": one, "restored": beside }), text))
        }
        Replaced::Drop { database } => {
            let one = find(&all, &database, false)?;
            engine.drop_kept(&one.id).await?;
            Ok(Done::good(
                json!({ "dropped": one }),
                format!("{} is dropped.", one.kept),
            ))
        }
    }
}

fn line(one: &ReplacementView) -> String {
    format!(
        "{}  {}  before {}  until {}",
        one.id, one.kept, one.database, one.kept_until
    )
}

/// By its id or its name now; by its name before where only one had it.
fn find<'a>(
    all: &'a [ReplacementView],
    named: &str,
    by_former: bool,
) -> Result<&'a ReplacementView, Failure> {
    if let Some(one) = all
        .iter()
        .find(|one| one.id.as_str() == named || one.kept == named)
    {
        return Ok(one);
    }
    let former: Vec<&ReplacementView> = all
        .iter()
        .filter(|one| by_former && one.database == named)
        .collect();
    match former.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(
            FailureCode::NotFound,
            format!("No replaced database is kept as {named}."),
        )
        .hint("`howdah replaced list` shows those that are.")),
        _ => Err(Failure::new(
            FailureCode::InvalidInput,
            format!("Several replaced databases were called {named}."),
        )
        .hint("Name one as it is called now: `howdah replaced list` shows them.")),
    }
}
