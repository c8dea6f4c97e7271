//! Shortens a text by its middle, since the real error stands in its last lines.

/// What stands for the part that was left out.
const GAP: &str = "…";

/// `text` in at most `limit` characters. What does not fit is left out between the first line and the end: about a
/// quarter of the room goes to the beginning, the rest to the last lines. Cuts are made at line ends where one is near,
/// and a `…` marks the gap.
pub fn shorten(text: &str, limit: usize) -> String {
    shorten_by(text, limit, |_| 1)
}

/// The same with a limit of something else than characters: what each costs is told by `cost`, be it bytes, UTF-16 units or what
/// is left of it after escaping. The text is cut before it is escaped, so no cut is inside an escape.
pub(crate) fn shorten_by(text: &str, limit: usize, cost: impl Fn(char) -> usize) -> String {
    let text = text.trim();
    if total(text, &cost) <= limit {
        return text.to_owned();
    }
    let gap = total(GAP, &cost);
    if limit <= gap {
        return if limit == gap {
            GAP.to_owned()
        } else {
            String::new()
        };
    }
    let room = limit - gap;
    // With two line breaks around the gap when there is room to read both ends.
    let breaks = 2 * cost('\n');
    if room < 40 + breaks {
        return format!("{GAP}{}", last(text, room, &cost));
    }
    let head_room = room / 4;
    let head = first(text, head_room, &cost);
    let tail = last(text, room - head_room - breaks, &cost);
    let head = match head.rfind('\n') {
        Some(at) if at >= head.len() / 2 => &head[..at],
        _ => head,
    };
    let tail = match tail.find('\n') {
        Some(at) if at < tail.len() / 2 => &tail[at + 1..],
        _ => tail,
    };
    format!("{}\n{GAP}\n{}", head.trim_end(), tail.trim_start())
}

/// What a text costs.
pub(crate) fn total(text: &str, cost: impl Fn(char) -> usize) -> usize {
    text.chars().map(cost).fold(0, usize::saturating_add)
}

/// The beginning that `room` is enough for.
fn first(text: &str, room: usize, cost: impl Fn(char) -> usize) -> &str {
    let mut left = room;
    for (at, c) in text.char_indices() {
        match left.checked_sub(cost(c)) {
            Some(rest) => left = rest,
            None => return &text[..at],
        }
    }
    text
}

/// The end that `room` is enough for.
fn last(text: &str, room: usize, cost: impl Fn(char) -> usize) -> &str {
    let mut left = room;
    for (at, c) in text.char_indices().rev() {
        match left.checked_sub(cost(c)) {
            Some(rest) => left = rest,
            None => return &text[at + c.len_utf8()..],
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_short_text_stays_as_it_is() {
        assert_eq!(shorten("  pg_dump: error: no\n", 100), "pg_dump: error: no");
        assert_eq!(shorten("", 0), "");
    }

    #[test]
    fn the_last_lines_of_an_error_are_kept() {
        let mut text = String::from("pg_dump: warning: there are circular foreign-key constraints\n");
        for i in 0..500 {
            text.push_str(&format!("pg_dump: detail: constraint number {i}\n"));
        }
        text.push_str("pg_dump: error: query failed: ERROR:  permission denied for table secrets\n");
        let short = shorten(&text, 300);
        assert!(short.chars().count() <= 300, "{}", short.chars().count());
        assert!(
            short.ends_with("ERROR:  permission denied for table secrets"),
            "{short}"
        );
        assert!(short.starts_with("pg_dump: warning: there are"), "{short}");
        assert!(short.contains("\n…\n"));
    }

    #[rstest]
    fn a_text_never_exceeds_its_limit_and_is_cut_between_characters(
        #[values(0, 1, 2, 39, 40, 41, 42, 43, 44, 100, 999)] limit: usize,
        #[values("šé🐘\n", "no line breaks at all ")] unit: &str,
    ) {
        let text = unit.repeat(300);
        assert!(shorten(&text, limit).chars().count() <= limit, "{limit}");
    }

    #[rstest]
    fn a_limit_of_bytes_or_escapes_is_kept_as_well(
        #[values(0, 1, 2, 3, 39, 44, 60, 100, 999)] limit: usize,
        #[values("šé🐘\n", "a & b < c ")] unit: &str,
    ) {
        let text = unit.repeat(300);
        let escaped = |c| {
            if c == '&' || c == '<' {
                5
            } else {
                char::len_utf8(c)
            }
        };
        let short = shorten_by(&text, limit, escaped);
        assert!(total(&short, escaped) <= limit, "{limit}: {short}");
        assert!(
            limit < 44 || total(&short, escaped) > limit / 2,
            "{limit}: {short}"
        );
    }
}
