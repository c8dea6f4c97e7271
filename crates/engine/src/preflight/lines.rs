//! The lines of a preflight, and how several names stand in one.

use howdah_domain::Failure;
use howdah_domain::units::{count, counted};

use crate::api::{PreflightLine, PreflightVerdict};

/// Names that a line lists.
const NAMED: usize = 5;

/// The lines in the making.
#[derive(Default)]
pub(super) struct Lines(pub(super) Vec<PreflightLine>);

impl Lines {
    pub(super) fn add(&mut self, verdict: PreflightVerdict, text: impl Into<String>, hint: Option<String>) {
        self.0.push(PreflightLine {
            verdict,
            text: text.into(),
            hint,
        });
    }

    pub(super) fn passes(&mut self, text: impl Into<String>) {
        self.add(PreflightVerdict::Passes, text, None);
    }

    pub(super) fn warns(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.add(PreflightVerdict::Warns, text, Some(hint.into()));
    }

    pub(super) fn stops(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.add(PreflightVerdict::Stops, text, Some(hint.into()));
    }

    pub(super) fn failure(&mut self, failure: Failure) {
        self.add(PreflightVerdict::Stops, failure.message, failure.hint);
    }

    pub(super) fn finish(mut self) -> Vec<PreflightLine> {
        self.0.sort_by_key(|line| line.verdict);
        self.0
    }
}

/// `2 roles (app, reader)`.
pub(super) fn list(one: &str, many: &str, names: &[&str]) -> String {
    format!(
        "{} ({})",
        counted(names.len() as u64, one, many),
        shortened(names)
    )
}

pub(super) fn shortened(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {} more", count(more as u64)),
    }
}
