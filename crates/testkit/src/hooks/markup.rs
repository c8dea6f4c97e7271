//! Reads markups back to what a person sees, and refuses what a service would refuse.

/// Breaks what it stands in, and is not seen.
const BREAK: char = '\u{200b}';

/// Text that was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// All of it, code included.
    pub(super) text: String,
    pub(super) code: Option<String>,
    /// Some of it was markup.
    pub(super) formatted: bool,
    /// Prose in which a name is called: `@name`.
    pub(super) mentions: Vec<String>,
}

impl Read {
    fn add_code(&mut self, code: &str) {
        self.text.push_str(code);
        self.code.get_or_insert_default().push_str(code);
    }

    fn add_prose(&mut self, prose: &str) {
        self.text.push_str(prose);
        let mut before = ' ';
        for (at, c) in prose.char_indices() {
            if c == '@' && !before.is_alphanumeric() {
                let name: String = prose[at + 1..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !name.is_empty() {
                    self.mentions.push(name);
                }
            }
            before = c;
        }
    }
}

/// Telegram's HTML style: the tags `b` and `pre`, and the entities `&lt;`, `&gt;`, `&amp;`, `&quot;`.
pub(super) fn html(source: &str) -> Result<Read, String> {
    let mut read = Read::default();
    let mut open: Vec<&str> = Vec::new();
    let mut run = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        if let Some(tag) = rest.strip_prefix('<') {
            let end = tag.find('>').ok_or("unclosed start tag")?;
            let in_code = open.contains(&"pre");
            let finished = std::mem::take(&mut run);
            if in_code {
                read.add_code(&finished);
            } else {
                read.add_prose(&finished);
            }
            match &tag[..end] {
                name @ ("b" | "pre") => open.push(name),
                name => {
                    let closed = name
                        .strip_prefix('/')
                        .ok_or_else(|| format!("unsupported start tag \"{name}\""))?;
                    if open.pop() != Some(closed) {
                        return Err(format!("unexpected end tag \"{closed}\""));
                    }
                }
            }
            rest = &tag[end + 1..];
        } else if c == '&' {
            let (seen, skip) = entity(rest).ok_or("a & that begins no entity")?;
            run.push(seen);
            rest = &rest[skip..];
        } else {
            run.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !open.is_empty() {
        return Err("can't find end tag".to_owned());
    }
    read.add_prose(&run);
    Ok(read)
}

fn entity(text: &str) -> Option<(char, usize)> {
    [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')]
        .into_iter()
        .find_map(|(entity, c)| text.starts_with(entity).then_some((c, entity.len())))
}

/// Markdown with blocks of code between fences. `entities` is whether `&lt;` is read.
pub(super) fn markdown(source: &str, entities: bool) -> Result<Read, String> {
    let mut read = Read::default();
    let pieces: Vec<&str> = source.split("```").collect();
    if pieces.len().is_multiple_of(2) {
        return Err("a block of code does not end".to_owned());
    }
    for (number, piece) in pieces.iter().enumerate() {
        if number % 2 == 1 {
            let code = piece
                .strip_prefix('\n')
                .ok_or("a language stands beside a fence")?;
            read.add_code(code.strip_suffix('\n').unwrap_or(code));
        } else {
            let (prose, formatted) = prose(piece, entities);
            read.formatted |= formatted;
            read.add_prose(&prose);
        }
    }
    Ok(read)
}

fn prose(source: &str, entities: bool) -> (String, bool) {
    let mut seen = String::new();
    let mut formatted = false;
    for (number, line) in source.split('\n').enumerate() {
        if number > 0 {
            seen.push('\n');
        }
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let begins_list = digits > 0 && line[digits..].starts_with(['.', ')']);
        formatted |= begins_list || line.starts_with(['#', '>', '-', '+', '=']);
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let escaped = rest[c.len_utf8()..]
                .chars()
                .next()
                .filter(|next| c == '\\' && next.is_ascii_punctuation());
            if let Some(escaped) = escaped {
                seen.push(escaped);
                rest = &rest[2..];
                continue;
            }
            if entities && let Some((c, skip)) = entity(rest) {
                seen.push(c);
                rest = &rest[skip..];
                continue;
            }
            formatted |= matches!(c, '*' | '_' | '`' | '~' | '[' | '<');
            seen.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    (seen, formatted)
}

/// Whether a `:name:` would be replaced by an emoji.
pub(super) fn has_shortcode(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || c == BREAK).any(|word| {
        word.match_indices(':').any(|(at, _)| {
            word[at + 1..].split_once(':').is_some_and(|(name, _)| {
                name.starts_with(|c: char| c.is_ascii_alphabetic())
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
            })
        })
    })
}

/// Slack's mrkdwn: text between `<` and `>` is a link or a mention, the rest has entities.
pub(super) fn mrkdwn(source: &str) -> Result<Read, String> {
    let mut read = Read::default();
    if source.contains('<') || source.contains('>') {
        read.mentions.push("<…>".to_owned());
    }
    let pieces: Vec<&str> = source.split("```").collect();
    if pieces.len().is_multiple_of(2) {
        return Err("a block of code does not end".to_owned());
    }
    for (number, piece) in pieces.iter().enumerate() {
        let text = unescape(piece);
        if number % 2 == 1 {
            read.add_code(text.trim_matches('\n'));
        } else {
            read.formatted |= text.contains(['*', '_', '~', '`']);
            read.text.push_str(&text);
        }
    }
    Ok(read)
}

/// Slack's entities.
pub(super) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_read_strictly() {
        let read = html("<b>a &lt; b</b> @ada <pre>x @bob</pre>").unwrap();
        assert_eq!(read.text, "a < b @ada x @bob");
        assert_eq!(read.code.as_deref(), Some("x @bob"));
        assert_eq!(read.mentions, ["ada"]);
        for bad in ["<i>x</i>", "<b>x", "a & b", "x</b>", "<b>x</pre>", "a < b"] {
            assert!(html(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn markdown_tells_text_from_markup() {
        let read = markdown("a \\*b\\* &lt;\n\n```\n*c* &lt;\n```", true).unwrap();
        assert!(!read.formatted);
        assert_eq!(read.text, "a *b* <\n\n*c* &lt;");
        for bad in ["*b*", "# x", "- x", "1. x", "[a](b)", "<i>"] {
            assert!(markdown(bad, true).unwrap().formatted, "{bad}");
        }
        assert!(markdown("```\nx", true).is_err());
    }
}
