//! `howdah key`: the keys of encrypted backups, and the recovery kit.

use std::path::Path;

use howdah_domain::{Failure, FailureCode, Secret};
use howdah_engine::api::{KeyView, KitReport};
use howdah_engine::{Engine, page_beside};
use serde_json::json;

use crate::arguments::Key;
use crate::output::Done;
use crate::private;

/// No kit is longer: a key, the destinations, a few lines on what to do.
const LONGEST_KIT: u64 = 1 << 20;

pub(crate) async fn run(engine: &Engine, command: Key) -> Result<Done, Failure> {
    match command {
        Key::Show => {
            engine.own_key().await?;
            let keys = engine.list_keys().await?;
            let text = keys.iter().map(line).collect::<Vec<_>>().join("\n");
            Ok(Done::good(json!({ "keys": keys }), text))
        }
        Key::Kit { file } => {
            let kit = engine.recovery_kit().await?;
            let page = page_beside(&file);
            private::write(&file, kit.text.expose().as_bytes(), "The recovery kit")?;
            private::write(&page, kit.page.expose().as_bytes(), "The page to print")?;
            engine.kit_saved().await?;
            let text = format!(
                "The recovery kit is in {}, and as a page to print in {}. Whoever has one of them can read your backups: keep them \
                 where this machine is not.",
                file.display(),
                page.display()
            );
            Ok(Done::good(
                json!({ "path": file, "page": page, "recipient": kit.recipient }),
                text,
            ))
        }
        Key::Test { file } => {
            let report = engine.test_kit(&read(&file)?).await?;
            if report.right {
                return Ok(tell(&report, "This kit opens what this machine encrypts."));
            }
            Err(Failure::new(
                FailureCode::KeyWrong,
                format!("This kit is of another key: {}.", report.recipient),
            )
            .hint("Save this machine's own kit with `howdah key kit FILE`."))
        }
        Key::Import { file } => {
            let report = engine.import_kit(&read(&file)?).await?;
            Ok(tell(
                &report,
                "What is encrypted to this key can be read here from now on.",
            ))
        }
    }
}

fn line(key: &KeyView) -> String {
    let own = if key.own {
        "this machine's own"
    } else {
        "brought in"
    };
    let kit = match (key.own, key.kit_saved_at) {
        (false, _) => String::new(),
        (true, Some(at)) => format!(", recovery kit saved {at}"),
        (true, None) => ", the recovery kit was never saved: `howdah key kit FILE`".to_owned(),
    };
    format!("{}  {own}{kit}", key.recipient)
}

fn tell(report: &KitReport, what: &str) -> Done {
    let mut text = format!("{what}\n{}", report.recipient);
    if !report.destinations.is_empty() {
        text.push_str("\nBackups are at:");
        for place in &report.destinations {
            text.push_str(&format!("\n  {place}"));
        }
    }
    Done::good(json!({ "kit": report }), text)
}

fn read(file: &Path) -> Result<Secret, Failure> {
    String::from_utf8(private::read(file, LONGEST_KIT)?)
        .map(Secret::new)
        .map_err(|_| {
            Failure::new(
                FailureCode::InvalidInput,
                format!("{} is no recovery kit: it is not a text.", file.display()),
            )
        })
}
