//! What the command says, and where: one result on standard output, everything else on standard error.

use std::io::{self, Write as _};
use std::process::ExitCode;

use howdah_domain::Failure;
use serde_json::{Value, json};

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// The result for scripts: an object.
    pub(crate) json: Value,
    /// The result for people; printed with a line break at its end.
    pub(crate) text: String,
    /// How it ended.
    pub(crate) end: End,
}

/// How a command ended that did its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All is well: exit 0.
    Good,
    /// Done, and the result is bad news: exit 1. The failure is told on standard error too, and stands in the JSON object
    /// as `error`.
    Bad(Failure),
    /// Done, but not proved equal: exit 3.
    NotEqual,
}

impl Done {
    /// All is well.
    pub(crate) fn good(json: Value, text: impl Into<String>) -> Self {
        Self {
            json,
            text: text.into(),
            end: End::Good,
        }
    }
}

/// Wrong usage.
pub(crate) const USAGE: u8 = 2;

/// Where the command speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON object on standard output.
    pub(crate) json: bool,
    /// Nothing but warnings and errors on standard error.
    pub(crate) quiet: bool,
}

impl Output {
    /// Prints the result and answers the exit code.
    pub(crate) fn finish(self, result: Result<Done, Failure>) -> ExitCode {
        match result {
            Ok(Done { mut json, text, end }) => {
                let code = match &end {
                    End::Good => 0,
                    End::Bad(failure) => {
                        if let Value::Object(object) = &mut json {
                            object.insert("error".to_owned(), json!(failure));
                        }
                        1
                    }
                    End::NotEqual => 3,
                };
                if self.json {
                    print(&json.to_string());
                } else if !text.is_empty() {
                    print(&text);
                }
                if let End::Bad(failure) = &end {
                    self.tell(failure);
                }
                ExitCode::from(code)
            }
            Err(failure) => {
                if self.json {
                    print(&json!({ "error": failure }).to_string());
                }
                self.tell(&failure);
                ExitCode::FAILURE
            }
        }
    }

    /// A failure, for people. With `--json` one line is enough: the rest is in the object.
    fn tell(self, failure: &Failure) {
        say(&format!("howdah: {}", failure.message));
        if self.json {
            return;
        }
        if let Some(hint) = &failure.hint {
            say(&format!("        {hint}"));
        }
        if let Some(details) = &failure.details {
            for line in details.trim_end().lines() {
                say(&format!("        | {line}"));
            }
        }
    }

    /// Something that should be read whatever the outcome.
    pub(crate) fn warn(self, text: &str) {
        say(&format!("warning: {text}"));
    }

    /// Something that is nice to know while waiting.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }
}

/// An object on standard output, for what is told before there is an [`Output`].
pub(crate) fn print_json(json: &Value) {
    print(&json.to_string());
}

/// A line on standard output. A reader that has gone (`| head`) is no error.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end());
    let _ = out.flush();
}

/// A line on standard error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
