//! A program's output as lines of text, whatever its bytes are and however long a line is.

use std::io::Read;

/// The longest line kept, in bytes; what is longer is cut.
pub(super) const LONGEST_LINE: usize = 16 * 1024;

/// The first `most` bytes, or a little less, at a character's boundary.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Reads lines to the end of `input` and hands each on, without its newline; bytes that are not UTF-8 become `U+FFFD`,
/// a line longer than 16 KiB is cut. A read error ends it: the pipe is gone.
pub fn read_lines(mut input: impl Read, mut on_line: impl FnMut(&str)) {
    let mut line: Vec<u8> = Vec::new();
    let mut buffer = [0; 8 * 1024];
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LONGEST_LINE.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                on_line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        on_line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_is_cut_and_does_not_eat_memory() {
        let mut lengths = Vec::new();
        let endless = std::io::repeat(b'x').take(10 << 20);
        read_lines(endless, |line| lengths.push(line.len()));
        assert_eq!(lengths, [LONGEST_LINE]);
    }
}
