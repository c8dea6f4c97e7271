//! A drill's report as a page that stands on its own: to be kept, printed, or shown to whoever asks whether backups restore.

use std::fmt::Write as _;

use howdah_domain::drill::{Difference, DrillReport, DrillStep, TableProof};
use howdah_domain::units::{count, counted, duration};

use crate::html::escaped;

/// The page's beginning: readable on a screen in either theme, and black on white on paper.
const HEAD: &str = "<style>:root{color-scheme:light dark}body{max-width:60em;margin:2em auto;padding:0 1em;font:14px/1.5 system-ui,sans-serif}\
    h1{font-size:20px}h2{font-size:15px;margin:2em 0 .5em}table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;padding:3px 12px 3px 0;border-bottom:1px solid #8884;vertical-align:top}\
    .n{text-align:right;font-variant-numeric:tabular-nums}.f{font:12px ui-monospace,monospace;overflow-wrap:anywhere}\
    .good{color:#12702f}.bad{color:#b91c1c;font-weight:600}\
    @media(prefers-color-scheme:dark){.good{color:#4ade80}.bad{color:#f87171}}@media print{:root{color-scheme:light}}</style>\n";

/// The page of a report.
pub fn page(report: &DrillReport) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    let database = escaped(&report.database);
    let _ = write!(page, "<title>Drill of {database}</title>\n{HEAD}</head><body>\n");
    match report.verdict() {
        None => {
            let _ = writeln!(
                page,
                "<h1><span class=\"good\">✓ Proved</span>: {database} as of {}</h1>\n\
                 <p>All {} and {} rows came back exactly as they were dumped.</p>",
                report.backup_started_at,
                counted(report.tables.len() as u64, "table", "tables"),
                count(report.rows),
            );
        }
        Some(verdict) => {
            let _ = writeln!(
                page,
                "<h1><span class=\"bad\">✕ Not proved</span>: {database} as of {}</h1>\n<p>{}</p>",
                report.backup_started_at,
                escaped(&verdict),
            );
        }
    }
    let _ = writeln!(
        page,
        "<p>Backup {}, restored from {} to {} into PostgreSQL {} by Howdah {}, in a place of its own, and compared by the fingerprint \
         of every row. The source was not asked.</p>",
        escaped(report.backup_id.as_str()),
        report.started_at,
        report.finished_at,
        escaped(&report.server_version),
        env!("CARGO_PKG_VERSION"),
    );
    list(&mut page, "What the restore could not do", &report.restore_errors);
    tables(&mut page, &report.tables);
    definitions(&mut page, report);
    assertions(&mut page, report);
    match &report.amcheck_errors {
        None => {
            page.push_str(
                "<h2>Tables and indexes</h2>\n<p>They were not checked: this PostgreSQL has no amcheck.</p>\n",
            );
        }
        Some(errors) if errors.is_empty() => {
            page.push_str(
                "<h2>Tables and indexes</h2>\n<p class=\"good\">✓ amcheck found nothing wrong.</p>\n",
            );
        }
        Some(errors) => list(&mut page, "What amcheck found", errors),
    }
    list(&mut page, "Left out", &report.left_out);
    list(&mut page, "Remarks", &report.remarks);
    page.push_str("<h2>Timings</h2>\n<table>\n");
    for timing in &report.timings {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
            step(timing.step),
            duration(std::time::Duration::from_millis(timing.ms))
        );
    }
    page.push_str("</table>\n</body></html>\n");
    page
}

fn list(page: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(page, "<h2>{title}</h2>\n<ul>");
    for line in lines {
        let _ = writeln!(page, "<li>{}</li>", escaped(line));
    }
    page.push_str("</ul>\n");
}

fn tables(page: &mut String, tables: &[TableProof]) {
    page.push_str(
        "<h2>Tables</h2>\n<table>\n<tr><th>Table</th><th class=\"n\">Rows dumped</th><th class=\"n\">Rows found</th>\
         <th>Fingerprint</th><th>Verdict</th></tr>\n",
    );
    for table in tables {
        let found = table.found_rows.map_or_else(|| "–".to_owned(), count);
        let fingerprint = if table.equal {
            escaped(&table.expected)
        } else {
            format!(
                "{}<br>{}",
                escaped(&table.expected),
                escaped(table.found.as_deref().unwrap_or("–"))
            )
        };
        let verdict = match (&table.why, table.equal) {
            (_, true) => "<span class=\"good\">✓ Equal</span>".to_owned(),
            (Some(why), false) => format!("<span class=\"bad\">✕ {}</span>", escaped(why)),
            (None, false) => "<span class=\"bad\">✕ Differs</span>".to_owned(),
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{found}</td><td class=\"f\">{fingerprint}</td><td>{verdict}</td></tr>",
            escaped(&table.title()),
            count(table.expected_rows),
        );
    }
    page.push_str("</table>\n");
}

fn definitions(page: &mut String, report: &DrillReport) {
    page.push_str("<h2>Definitions</h2>\n");
    if report.definitions.is_empty() {
        page.push_str("<p class=\"good\">✓ Every definition is as it was dumped.</p>\n");
        return;
    }
    page.push_str("<ul>\n");
    for one in &report.definitions {
        let how = match one.difference {
            Difference::Missing => "is missing",
            Difference::Unexpected => "is there and was not dumped",
            Difference::Changed => "is another one",
        };
        let _ = writeln!(
            page,
            "<li class=\"bad\">✕ {} {} {how}</li>",
            escaped(&one.kind),
            escaped(&one.name)
        );
    }
    page.push_str("</ul>\n");
}

fn assertions(page: &mut String, report: &DrillReport) {
    if report.assertions.is_empty() {
        return;
    }
    page.push_str("<h2>Assertions</h2>\n<table>\n");
    for outcome in &report.assertions {
        let verdict = match (outcome.held, &outcome.failure) {
            (Some(true), _) => "<span class=\"good\">✓ True</span>".to_owned(),
            (Some(false), _) => "<span class=\"bad\">✕ Not true</span>".to_owned(),
            (None, failure) => format!(
                "<span class=\"bad\">✕ {}</span>",
                escaped(
                    failure
                        .as_ref()
                        .map_or("It could not be asked.", |failure| &failure.message)
                )
            ),
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"f\">{}</td><td>{verdict}</td></tr>",
            escaped(&outcome.assertion.name),
            escaped(&outcome.assertion.sql),
        );
    }
    page.push_str("</table>\n");
}

fn step(step: DrillStep) -> &'static str {
    match step {
        DrillStep::Start => "Starting PostgreSQL",
        DrillStep::Restore => "Restoring",
        DrillStep::Compare => "Comparing rows",
        DrillStep::Definitions => "Comparing definitions",
        DrillStep::Check => "Statistics and amcheck",
        DrillStep::Assertions => "Assertions",
    }
}

#[cfg(test)]
mod tests {
    use howdah_domain::BackupId;
    use howdah_domain::drill::{Assertion, AssertionOutcome, ProofKind};
    use jiff::Timestamp;

    use super::*;

    fn report() -> DrillReport {
        let now = Timestamp::UNIX_EPOCH;
        DrillReport {
            backup_id: BackupId::new(now, [0; 10]),
            database: "a <b>".to_owned(),
            backup_started_at: now,
            started_at: now,
            finished_at: now,
            server_version: "17.10".to_owned(),
            tables: vec![TableProof {
                kind: ProofKind::Table,
                schema: "public".to_owned(),
                name: "<script>".to_owned(),
                expected_rows: 3,
                found_rows: Some(2),
                expected: "0011".to_owned(),
                found: Some("0022".to_owned()),
                equal: false,
                why: None,
            }],
            rows: 2,
            restore_errors: Vec::new(),
            definitions: Vec::new(),
            assertions: vec![AssertionOutcome {
                assertion: Assertion {
                    name: "some".to_owned(),
                    sql: "1 < 2".to_owned(),
                },
                held: Some(true),
                failure: None,
            }],
            amcheck_errors: None,
            left_out: Vec::new(),
            remarks: Vec::new(),
            timings: Vec::new(),
        }
    }

    #[test]
    fn the_page_says_what_differs_and_asks_nobody_for_anything() {
        let page = page(&report());
        for part in [
            "Not proved",
            "a &lt;b&gt;",
            "public.&lt;script&gt;",
            "2 rows instead of 3",
            "0011<br>0022",
            "1 &lt; 2",
            "no amcheck",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        for other in ["<script", "http:", "https:", "url(", "src="] {
            assert!(!page.contains(other), "{other}");
        }
    }

    #[test]
    fn the_page_of_a_proof_says_so_at_its_top() {
        let mut proved = report();
        proved.tables[0].equal = true;
        let page = page(&proved);
        assert!(page.contains("✓ Proved"), "{page}");
        assert!(!page.contains("✕"), "{page}");
    }
}
