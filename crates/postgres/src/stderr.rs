//! What a PostgreSQL program says on stderr, kept whole within bounds and understood as complaints: each error or
//! warning with its detail, its hint and the statement it is about.
//!
//! The programs run with English messages of their own (`LC_ALL=C`), but what they quote of the server is in the
//! server's language; so the structure is read here, never a sentence. What a complaint means is said in [`crate::verdict`].

use std::collections::VecDeque;

mod lines;

use lines::LONGEST_LINE;
pub(crate) use lines::cut;
pub use lines::read_lines;

/// How grave a line or a complaint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Progress (`--verbose`), or a server's notice.
    Info,
    /// Worth knowing; the program goes on.
    Warning,
    /// Something was not done.
    Error,
}

/// One error or warning with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// [`Severity::Warning`] or [`Severity::Error`].
    pub severity: Severity,
    /// The complaint, without the program's name; more than one line where libpq says it in several.
    pub text: String,
    /// Lines of detail, hint and context, each with its label (`DETAIL:  …`, `detail: …`).
    pub notes: Vec<String>,
    /// The statement that failed, shortened to 16 KiB.
    pub command: Option<String>,
    /// The archive's entry that pg_restore was at.
    pub entry: Option<Entry>,
}

/// An archive's entry, as pg_restore names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the table of contents, where told.
    pub dump_id: Option<i32>,
    /// Its kind and name, as far as told: `TABLE "public.orders"`.
    pub label: String,
}

impl Complaint {
    /// What the server said, without its severity word; `None` where the program itself complains. Recognised by the
    /// colon and two spaces after an upper-case word (`ERROR:  `, `FEHLER:  `), in whatever language.
    pub fn server_text(&self) -> Option<&str> {
        server_text(&self.text)
    }

    /// The whole complaint as text, for a failure's details.
    pub fn full_text(&self) -> String {
        let mut text = String::new();
        if let Some(entry) = &self.entry {
            text.push_str(&entry.label);
            text.push_str(": ");
        }
        text.push_str(&self.text);
        for note in &self.notes {
            text.push('\n');
            text.push_str(note);
        }
        if let Some(command) = &self.command {
            text.push_str("\nCommand was: ");
            text.push_str(cut(command, SHOWN_COMMAND));
        }
        text
    }
}

/// What follows the first `WORD:  ` with an upper-case word, to the end.
pub(crate) fn server_text(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(found) = text[from..].find(":  ") {
        let at = from + found;
        let word_start = text[..at].rfind([' ', '\n', '\t']).map_or(0, |space| space + 1);
        let word = &text[word_start..at];
        if !word.is_empty() && word.chars().all(|c| c.is_alphabetic() && !c.is_lowercase()) {
            return Some(text[at + 3..].trim());
        }
        from = at + 3;
    }
    None
}

/// The longest statement kept with a complaint, in bytes: from 16 on pg_dump locks all tables in one.
const LONGEST_COMMAND: usize = LONGEST_LINE;
/// How much of a statement is shown, in bytes.
const SHOWN_COMMAND: usize = 2_000;
/// The longest text of one complaint, in bytes.
const LONGEST_TEXT: usize = 8_000;
/// Complaints kept whole; more are only counted.
const MOST_COMPLAINTS: usize = 1_000;

/// The lines of one program's stderr and the complaints among them. Memory is bounded: the first and the last lines are
/// kept, at most half of the limit each, and what lies between is counted.
#[derive(Debug)]
pub struct Stderr {
    program: String,
    limit: usize,
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    dropped_lines: u64,
    dropped_bytes: u64,
    complaints: Vec<Complaint>,
    errors: u64,
    warnings: u64,
    open: Option<Complaint>,
    in_command: bool,
    toc_entry: Option<Entry>,
    working_on: Option<String>,
}

impl Stderr {
    /// Nothing said yet by `program` (its name as it calls itself, `pg_dump`); keeps at most `limit` bytes of lines.
    pub fn new(program: impl Into<String>, limit: usize) -> Self {
        Self {
            program: program.into(),
            limit,
            head: String::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            dropped_lines: 0,
            dropped_bytes: 0,
            complaints: Vec::new(),
            errors: 0,
            warnings: 0,
            open: None,
            in_command: false,
            toc_entry: None,
            working_on: None,
        }
    }

    /// Takes the next line, without its newline; says how grave it is (a continuation is as grave as what it continues).
    pub fn push(&mut self, line: &str) -> Severity {
        self.keep(line);
        let said = line
            .strip_prefix(self.program.as_str())
            .and_then(|rest| rest.strip_prefix(": "));
        match said {
            Some(said) => self.said(said),
            None => self.continued(line),
        }
    }

    /// Ends the last complaint: nothing more will come.
    pub fn finish(&mut self) {
        self.close();
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The complaints, oldest first; at most the first 1,000.
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// The errors among the complaints, oldest first.
    pub fn errors(&self) -> impl DoubleEndedIterator<Item = &Complaint> {
        self.complaints
            .iter()
            .filter(|complaint| complaint.severity == Severity::Error)
    }

    /// The warnings among the complaints, oldest first.
    pub fn warnings(&self) -> impl DoubleEndedIterator<Item = &Complaint> {
        self.complaints
            .iter()
            .filter(|complaint| complaint.severity == Severity::Warning)
    }

    /// All errors, those not kept included.
    pub fn error_count(&self) -> u64 {
        self.errors
    }

    /// All warnings, those not kept included.
    pub fn warning_count(&self) -> u64 {
        self.warnings
    }

    /// The lines, with a remark where some in the middle were left out.
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        if self.dropped_lines > 0 {
            text.push_str(&format!(
                "… {} lines ({} bytes) left out …\n",
                self.dropped_lines, self.dropped_bytes
            ));
        }
        for line in &self.tail {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The meaningful end: the errors with all that belongs to them (the last 20 of them); where there are none, the last 20 lines.
    pub fn end(&self) -> String {
        let mut last: Vec<String> = self.errors().rev().take(20).map(Complaint::full_text).collect();
        if last.is_empty() {
            let text = self.text();
            last = text.lines().rev().take(20).map(str::to_owned).collect();
        }
        last.reverse();
        last.join("\n")
    }

    fn keep(&mut self, line: &str) {
        if self.tail.is_empty() && self.head.len() + line.len() < self.limit / 2 {
            self.head.push_str(line);
            self.head.push('\n');
            return;
        }
        self.tail_bytes += line.len() + 1;
        self.tail.push_back(line.to_owned());
        while self.tail_bytes > self.limit / 2 && self.tail.len() > 1 {
            if let Some(oldest) = self.tail.pop_front() {
                let bytes = oldest.len() + 1;
                self.tail_bytes -= bytes;
                self.dropped_lines += 1;
                self.dropped_bytes += bytes as u64;
            }
        }
    }

    /// A line with the program's name in front.
    fn said(&mut self, said: &str) -> Severity {
        let (label, rest) = match said.split_once(": ") {
            Some((label @ ("error" | "fatal" | "warning" | "detail" | "hint"), rest)) => (label, rest),
            _ => ("", said),
        };
        match label {
            "error" | "fatal" if self.open.is_some() && is_more_of_an_error(rest) => self.note(rest),
            "error" | "fatal" => self.open(Severity::Error, rest),
            "warning" => self.open(Severity::Warning, rest),
            "detail" | "hint" if is_more_of_an_error(rest) => self.note(rest),
            "detail" | "hint" => self.note(said),
            _ => {
                self.close();
                if let Some(entry) = rest.strip_prefix("from TOC entry ") {
                    self.toc_entry = Some(toc_entry(entry));
                } else if let Some(object) = rest
                    .strip_prefix("creating ")
                    .or_else(|| rest.strip_prefix("executing "))
                {
                    self.working_on = Some(object.to_owned());
                } else if let Some(table) = rest.strip_prefix("processing data for table ") {
                    self.working_on = Some(format!("TABLE DATA {table}"));
                }
                Severity::Info
            }
        }
    }

    /// A line without the program's name: more of the last complaint, if there is one.
    fn continued(&mut self, line: &str) -> Severity {
        let in_command = self.in_command;
        let Some(open) = &mut self.open else {
            return Severity::Info;
        };
        if let Some(command) = line.strip_prefix("Command was: ") {
            open.command = Some(cut(command, LONGEST_COMMAND).to_owned());
            self.in_command = true;
        } else if in_command {
            if let Some(command) = &mut open.command
                && command.len() + line.len() < LONGEST_COMMAND
            {
                command.push('\n');
                command.push_str(line);
            }
        } else if server_label(line) {
            open.notes.push(cut(line, LONGEST_TEXT).to_owned());
        } else if open.text.len() + line.len() < LONGEST_TEXT && !line.is_empty() {
            let target = open.notes.last_mut().unwrap_or(&mut open.text);
            target.push('\n');
            target.push_str(line.trim_end());
        }
        open.severity
    }

    fn open(&mut self, severity: Severity, text: &str) -> Severity {
        self.close();
        let entry = self.toc_entry.take().or_else(|| {
            self.working_on.as_ref().map(|label| Entry {
                dump_id: None,
                label: label.clone(),
            })
        });
        self.open = Some(Complaint {
            severity,
            text: cut(text, LONGEST_TEXT).to_owned(),
            notes: Vec::new(),
            command: None,
            entry,
        });
        severity
    }

    fn note(&mut self, text: &str) -> Severity {
        let Some(open) = &mut self.open else {
            return Severity::Info;
        };
        let command = ["Query was: ", "query was: ", "Command was: ", "The command was: "]
            .iter()
            .find_map(|label| text.strip_prefix(label));
        match command {
            Some(command) => {
                open.command = Some(cut(command, LONGEST_COMMAND).to_owned());
                self.in_command = true;
            }
            None => {
                self.in_command = false;
                open.notes.push(cut(text, LONGEST_TEXT).to_owned());
            }
        }
        open.severity
    }

    fn close(&mut self) {
        self.in_command = false;
        let Some(mut complaint) = self.open.take() else {
            return;
        };
        if let Some(command) = &mut complaint.command {
            command.truncate(command.trim_end().len());
        }
        match complaint.severity {
            Severity::Error => self.errors += 1,
            _ => self.warnings += 1,
        }
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }
}

/// Whether an error line (as pg_dump 13 and 14 print them) or a detail goes on with the error before it.
fn is_more_of_an_error(text: &str) -> bool {
    [
        "query was: ",
        "Query was: ",
        "The command was: ",
        "Command was: ",
        "Error message from server: ",
    ]
    .iter()
    .any(|label| text.starts_with(label))
}

/// Whether the line begins with a server's label such as `DETAIL:  ` or `TIP:  `.
fn server_label(line: &str) -> bool {
    line.split_once(":  ").is_some_and(|(word, _)| {
        !word.is_empty() && word.chars().all(|c| c.is_alphabetic() && !c.is_lowercase())
    })
}

/// `203; 1259 16389 TABLE orders postgres` (dump id; catalog oid, object oid, kind, name, owner).
fn toc_entry(text: &str) -> Entry {
    let (dump_id, rest) = text.split_once(';').unwrap_or(("", text));
    let mut words = rest.trim_start().splitn(3, ' ');
    let label = match (words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some(label)) => label,
        _ => rest.trim_start(),
    };
    Entry {
        dump_id: dump_id.parse().ok(),
        label: label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(program: &str, text: &str) -> Stderr {
        let mut stderr = Stderr::new(program, 1 << 20);
        read_lines(text.as_bytes(), |line| {
            stderr.push(line);
        });
        stderr.finish();
        stderr
    }

    #[test]
    fn an_error_keeps_its_query_in_the_words_of_13_and_of_15() {
        for text in [
            "pg_dump: error: query failed: ERROR:  permission denied for table b\n\
             pg_dump: error: query was: LOCK TABLE public.b IN ACCESS SHARE MODE\n",
            "pg_dump: error: query failed: ERROR:  permission denied for table b\n\
             pg_dump: detail: Query was: LOCK TABLE public.b IN ACCESS SHARE MODE\n",
        ] {
            let stderr = heard("pg_dump", text);
            assert_eq!(stderr.error_count(), 1);
            let error = &stderr.complaints()[0];
            assert_eq!(error.server_text(), Some("permission denied for table b"));
            assert_eq!(
                error.command.as_deref(),
                Some("LOCK TABLE public.b IN ACCESS SHARE MODE")
            );
        }
    }

    #[test]
    fn libpq_s_continuation_lines_stay_with_their_error() {
        let stderr = heard(
            "pg_dump",
            "pg_dump: dumping contents of table \"public.big\"\n\
             pg_dump: error: Dumping the contents of table \"big\" failed: PQgetCopyData() failed.\n\
             pg_dump: detail: Error message from server: server closed the connection unexpectedly\n\
             \tThis probably means the server terminated abnormally\n\
             \tbefore or while processing the request.\n\
             pg_dump: detail: Command was: COPY public.big (g, repeat) TO stdout;\n",
        );
        assert_eq!(stderr.error_count(), 1);
        let error = &stderr.complaints()[0];
        assert!(error.notes[0].contains("before or while"), "{error:?}");
        assert_eq!(
            error.command.as_deref(),
            Some("COPY public.big (g, repeat) TO stdout;")
        );
        assert!(!stderr.end().contains("dumping contents"));
    }

    #[test]
    fn each_error_of_a_restore_is_one_complaint_with_its_entry() {
        let stderr = heard(
            "pg_restore",
            "pg_restore: while PROCESSING TOC:\n\
             pg_restore: from TOC entry 201; 1259 16386 TABLE a postgres\n\
             pg_restore: error: could not execute query: ERROR:  relation \"a\" already exists\n\
             Command was: CREATE TABLE public.a (\n    x integer\n);\n\n\n\
             pg_restore: from TOC entry 2940; 0 16386 TABLE DATA a postgres\n\
             pg_restore: error: COPY failed for table \"a\": ERROR:  duplicate key value violates unique constraint \"a_pkey\"\n\
             DETAIL:  Key (x)=(1) already exists.\n\
             CONTEXT:  COPY a, line 1\n\
             pg_restore: warning: errors ignored on restore: 2\n",
        );
        assert_eq!(stderr.error_count(), 2);
        assert_eq!(stderr.warning_count(), 1);
        let first = &stderr.complaints()[0];
        assert_eq!(first.entry.as_ref().and_then(|entry| entry.dump_id), Some(201));
        assert_eq!(
            first.command.as_deref(),
            Some("CREATE TABLE public.a (\n    x integer\n);")
        );
        let second = &stderr.complaints()[1];
        assert_eq!(
            second.notes,
            ["DETAIL:  Key (x)=(1) already exists.", "CONTEXT:  COPY a, line 1"]
        );
    }

    #[test]
    fn a_server_that_speaks_german_is_understood_by_structure() {
        assert_eq!(
            server_text("query failed: FEHLER:  keine Berechtigung für Tabelle b"),
            Some("keine Berechtigung für Tabelle b")
        );
        assert_eq!(server_text("no matching tables were found"), None);
    }

    #[test]
    fn a_long_log_keeps_its_head_and_its_tail_and_says_what_is_missing() {
        let mut stderr = Stderr::new("pg_dump", 2_000);
        for number in 0..1_000 {
            stderr.push(&format!("pg_dump: line {number}"));
        }
        let text = stderr.text();
        assert!(text.starts_with("pg_dump: line 0\n"), "{text}");
        assert!(text.ends_with("pg_dump: line 999\n"), "{text}");
        assert!(text.contains("lines (") && text.contains("left out"), "{text}");
        assert!(text.len() < 2_200);
    }

    #[test]
    fn the_object_comes_from_verbose_lines_where_pg_restore_names_no_entry() {
        let stderr = heard(
            "pg_restore",
            "pg_restore: creating TABLE \"public.a\"\n\
             pg_restore: error: could not execute query: ERROR:  no\n\
             Command was: CREATE TABLE public.a ();\n",
        );
        let entry = stderr.complaints()[0].entry.clone();
        assert_eq!(
            entry.map(|entry| entry.label),
            Some("TABLE \"public.a\"".to_owned())
        );
    }
}
