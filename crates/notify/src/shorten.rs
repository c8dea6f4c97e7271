//! Shortens a text by its middle, since the real error stands in its last lines.

/// What stands for the part that was left out.
const GAP: &str = "…";

/// `text` in at most `limit` characters. What does not fit is left out between the first line and the end: about a
/// quarter of the room goes to the beginning, the rest to the last lines. Cuts are made at line ends where one is near,
/// and a `…` marks the gap.
pub fn shorten(text: &str, limit: usize) -> String {
    let text = text.trim();
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let gap = GAP.chars().count();
    if limit <= gap {
        return GAP.chars().take(limit).collect();
    }
    let room = limit - gap;
    // With two line breaks around the gap when there is room to read both ends.
    if room < 40 {
        let tail: String = text.chars().skip(length - room).collect();
        return format!("{GAP}{tail}");
    }
    let head_room = room / 4;
    let tail_room = room - head_room - 2;
    let head: String = text.chars().take(head_room).collect();
    let tail: String = text.chars().skip(length - tail_room).collect();
    let head = match head.rfind('\n') {
        Some(at) if at >= head.len() / 2 => &head[..at],
        _ => head.as_str(),
    };
    let tail = match tail.find('\n') {
        Some(at) if at < tail.len() / 2 => &tail[at + 1..],
        _ => tail.as_str(),
    };
    format!("{}\n{GAP}\n{}", head.trim_end(), tail.trim_start())
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
}
