//! Reads the lines of MLSD (RFC 3659, 7) and of LIST, which has no standard: the forms of `ls -l` and of DOS, which nearly
//! every server sends. It knows no connection.

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file of so many bytes.
    File(u64),
    /// A folder.
    Folder,
    /// A link, a device: never an object, and removed like a file.
    Other,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A line that is not understood. It is told, for what it hides may be a backup.
#[derive(Debug, thiserror::Error)]
#[error("the server's list has a line that is not understood: {0}")]
pub(super) struct OddLine(String);

/// Reads the lines of a list. `machine` says which of the two commands made it.
pub(super) fn read(text: &[u8], machine: bool) -> Result<Vec<Item>, OddLine> {
    let mut items = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // What is not UTF-8 is no name that we gave: read as far as it goes, and skipped by who asks for paths.
        let line = String::from_utf8_lossy(line);
        if line.trim().is_empty() {
            continue;
        }
        let item = if machine {
            facts(&line)
        } else {
            posix(&line).or_else(|| dos(&line))
        };
        match item {
            Some(item) => items.push(item),
            None if !machine && is_a_sum(&line) => {}
            None => return Err(OddLine(line.chars().take(200).collect())),
        }
    }
    // The folder itself and the one above it; a name that leads elsewhere is none.
    items.retain(|item| !matches!(item.name.as_str(), "" | "." | "..") && !item.name.contains('/'));
    Ok(items)
}

/// `total 12`, with which `ls -l` begins.
fn is_a_sum(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some()
        && words.next().is_some_and(|number| number.parse::<u64>().is_ok())
        && words.next().is_none()
}

/// `type=file;size=42;modify=20261122040000; name`.
fn facts(line: &str) -> Option<Item> {
    let (facts, name) = line.split_once(' ')?;
    let mut kind = None;
    let mut size = None;
    for fact in facts.split(';') {
        let Some((key, value)) = fact.split_once('=') else {
            continue;
        };
        if key.eq_ignore_ascii_case("type") {
            kind = Some(value.to_ascii_lowercase());
        } else if key.eq_ignore_ascii_case("size") {
            size = value.parse().ok();
        }
    }
    let kind = match kind?.as_str() {
        "file" => Kind::File(size?),
        "dir" => Kind::Folder,
        "cdir" | "pdir" => return Some(item(".", Kind::Folder)),
        _ => Kind::Other,
    };
    Some(item(name, kind))
}

fn item(name: &str, kind: Kind) -> Item {
    Item {
        name: name.to_owned(),
        kind,
    }
}

/// `-rw-r--r--   1 user group   42 Nov 22 04:00 name`. Some servers leave out a column before the size, some have groups
/// of two words: the size is the last number before the month and the day.
fn posix(line: &str) -> Option<Item> {
    let first = line.chars().next().filter(|first| "-dlbcpsD".contains(*first))?;
    let words = words(line);
    // Where the time, or the year, stands: after it and one space begins the name.
    let time = (4..words.len().saturating_sub(1)).find(|&at| {
        is_day(words[at - 1].1)
            && is_time_or_year(words[at].1)
            && words[at - 3].1.bytes().all(|byte| byte.is_ascii_digit())
    })?;
    let size = words[time - 3].1.parse().ok()?;
    let (begin, text) = words[time];
    let name = line.get(begin + text.len() + 1..)?;
    let kind = match first {
        '-' => Kind::File(size),
        'd' => Kind::Folder,
        _ => Kind::Other,
    };
    let name = match kind {
        Kind::Other => name.split_once(" -> ").map_or(name, |(name, _)| name),
        _ => name,
    };
    Some(item(name, kind))
}

/// The words of a line, and where they begin.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut begin = None;
    for (at, character) in line.char_indices() {
        match (character == ' ', begin) {
            (false, None) => begin = Some(at),
            (true, Some(from)) => {
                words.push((from, &line[from..at]));
                begin = None;
            }
            _ => {}
        }
    }
    if let Some(from) = begin {
        words.push((from, &line[from..]));
    }
    words
}

fn is_day(word: &str) -> bool {
    word.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day))
}

fn is_time_or_year(word: &str) -> bool {
    match word.split_once(':') {
        Some((hour, minute)) => hour.parse::<u8>().is_ok() && minute.parse::<u8>().is_ok(),
        None => word.len() == 4 && word.parse::<u16>().is_ok(),
    }
}

/// `11-22-26  04:00AM       <DIR>          name`.
fn dos(line: &str) -> Option<Item> {
    let words = words(line);
    let [(_, date), (_, clock), (begin, what), ..] = words[..] else {
        return None;
    };
    let is_date =
        date.split('-').count() == 3 && date.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    if !is_date || !clock.contains(':') {
        return None;
    }
    let name = line.get(begin + what.len()..)?.trim_start();
    let kind = if what == "<DIR>" {
        Kind::Folder
    } else {
        Kind::File(what.replace(',', "").parse().ok()?)
    };
    Some(item(name, kind))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::pyftpdlib(
        "type=file;size=42;perm=r;modify=20261122040000;unix.mode=0644; a b;c.zst",
        "a b;c.zst",
        Kind::File(42)
    )]
    #[case::capitals("Type=Dir;Modify=20261122040000; shop", "shop", Kind::Folder)]
    #[case::link("type=OS.unix=slink:/etc;size=4; link", "link", Kind::Other)]
    #[case::no_ascii("size=0;type=file; ü \u{1f418}", "ü \u{1f418}", Kind::File(0))]
    fn a_machine_line_is_read(#[case] line: &str, #[case] name: &str, #[case] kind: Kind) {
        assert_eq!(read(line.as_bytes(), true).unwrap(), [item(name, kind)]);
    }

    #[rstest]
    #[case::file(
        "-rw-r--r--   1 root     root           42 Nov 22 04:00 dump.zst",
        "dump.zst",
        Kind::File(42)
    )]
    #[case::year(
        "-rw-r--r-- 1 ada users 6000000000 Jan  1  2026 a b 12:30 c",
        "a b 12:30 c",
        Kind::File(6_000_000_000)
    )]
    #[case::access_list("-rw-r--r--+ 1 ada users 42 Nov 22 04:00 x", "x", Kind::File(42))]
    #[case::two_words("-rw-r--r-- 1 ada domain users 42 Nov 22 04:00 x", "x", Kind::File(42))]
    #[case::no_group("-rw-r--r-- 1 ada 42 Nov 22 04:00 x", "x", Kind::File(42))]
    #[case::other_month("-rw-r--r-- 1 ada users 42 Mär 22 04:00  x", " x", Kind::File(42))]
    #[case::folder("drwxr-xr-x 2 0 0 4096 Nov 22 04:00 shop", "shop", Kind::Folder)]
    #[case::link("lrwxrwxrwx 1 0 0 4 Nov 22 04:00 link -> /etc", "link", Kind::Other)]
    #[case::dos("11-22-26  04:00AM                6,000 a b.zst", "a b.zst", Kind::File(6000))]
    #[case::dos_folder("11-22-2026  04:00       <DIR>          shop", "shop", Kind::Folder)]
    fn a_line_for_people_is_read(#[case] line: &str, #[case] name: &str, #[case] kind: Kind) {
        assert_eq!(read(line.as_bytes(), false).unwrap(), [item(name, kind)]);
    }

    #[test]
    fn sums_and_the_folder_itself_are_nothing() {
        let text = "total 12\r\ndrwxr-xr-x 2 0 0 4096 Nov 22 04:00 .\r\ndrwxr-xr-x 2 0 0 4096 Nov 22 04:00 ..\r\n\r\n";
        assert_eq!(read(text.as_bytes(), false).unwrap(), []);
        let text =
            "type=cdir;modify=20261122040000; /home\r\ntype=pdir; ..\r\ntype=file;size=1; a/../../b\r\n";
        assert_eq!(read(text.as_bytes(), true).unwrap(), []);
    }

    #[rstest]
    #[case("what is this", false)]
    #[case("size=4; no-type", true)]
    #[case("type=file; no-size", true)]
    fn a_line_that_is_not_understood_is_told(#[case] line: &str, #[case] machine: bool) {
        assert!(
            read(line.as_bytes(), machine)
                .unwrap_err()
                .to_string()
                .contains(line)
        );
    }
}
