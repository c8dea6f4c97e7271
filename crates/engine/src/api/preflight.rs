//! What is looked at before a restore touches anything.

use serde::Serialize;
use ts_rs::TS;

/// What a look before a restore found, a line for each thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Preflight {
    /// The lines; those that stop it come first.
    pub lines: Vec<PreflightLine>,
    /// Milliseconds that it may take, from earlier restores and drills; none where there were none.
    pub expected_ms: Option<u64>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct PreflightLine {
    /// Whether it is in the way.
    pub verdict: PreflightVerdict,
    /// What was found, as a sentence.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Whether something is in the way of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum PreflightVerdict {
    /// The restore would fail: it is not begun.
    Stops,
    /// It should be known first.
    Warns,
    /// It is well.
    Passes,
}
