//! Names and values in a dump, which come in the database's own encoding, as texts.
//!
//! Knows PostgreSQL's names of encodings (manual, "Character Set Support") and no table.

use std::fmt::Write as _;

use encoding_rs::Encoding;

/// An encoding of a dump.
#[derive(Debug, Clone, Copy)]
pub enum Charset {
    /// Bytes are UTF-8 or, where they are not, taken for LATIN1 one by one: so that different names stay different.
    Utf8,
    /// Each byte is the character of that number.
    Latin1,
    /// What the encoding says.
    Table(&'static Encoding),
}

impl Charset {
    /// For a server encoding of PostgreSQL, such as `UTF8`, `WIN1252` or `SQL_ASCII`.
    pub fn of(postgres_name: &str) -> Self {
        let label = match postgres_name {
            "UTF8" | "SQL_ASCII" => return Self::Utf8,
            "LATIN1" => return Self::Latin1,
            "LATIN2" => "iso-8859-2",
            "LATIN3" => "iso-8859-3",
            "LATIN4" => "iso-8859-4",
            "LATIN5" => "iso-8859-9",
            "LATIN6" => "iso-8859-10",
            "LATIN7" => "iso-8859-13",
            "LATIN8" => "iso-8859-14",
            "LATIN9" => "iso-8859-15",
            "LATIN10" => "iso-8859-16",
            "ISO_8859_5" => "iso-8859-5",
            "ISO_8859_6" => "iso-8859-6",
            "ISO_8859_7" => "iso-8859-7",
            "ISO_8859_8" => "iso-8859-8",
            "KOI8R" => "koi8-r",
            "KOI8U" => "koi8-u",
            "WIN866" => "ibm866",
            "WIN874" => "windows-874",
            "WIN1250" => "windows-1250",
            "WIN1251" => "windows-1251",
            "WIN1252" => "windows-1252",
            "WIN1253" => "windows-1253",
            "WIN1254" => "windows-1254",
            "WIN1255" => "windows-1255",
            "WIN1256" => "windows-1256",
            "WIN1257" => "windows-1257",
            "WIN1258" => "windows-1258",
            "EUC_JP" | "EUC_JIS_2004" => "euc-jp",
            "EUC_KR" => "euc-kr",
            "EUC_CN" => "gbk",
            _ => return Self::Utf8,
        };
        Encoding::for_label(label.as_bytes()).map_or(Self::Utf8, Self::Table)
    }

    /// The text of a name.
    pub fn decode(self, bytes: &[u8]) -> String {
        if bytes.is_ascii() {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        let one_by_one = || bytes.iter().map(|byte| char::from(*byte)).collect();
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).map_or_else(|_| one_by_one(), str::to_owned),
            Self::Latin1 => one_by_one(),
            Self::Table(encoding) => encoding
                .decode_without_bom_handling_and_without_replacement(bytes)
                .map_or_else(one_by_one, std::borrow::Cow::into_owned),
        }
    }

    /// A name as it stands in the dump: what [`decode`](Self::decode) was given, as far as the encoding has its characters.
    pub fn encode(self, name: &str) -> Vec<u8> {
        let as_it_is = || name.as_bytes().to_vec();
        match self {
            Self::Utf8 => as_it_is(),
            Self::Latin1 => {
                let bytes: Option<Vec<u8>> = name.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
                bytes.unwrap_or_else(as_it_is)
            }
            Self::Table(encoding) => {
                let (bytes, _, unmappable) = encoding.encode(name);
                if unmappable {
                    as_it_is()
                } else {
                    bytes.into_owned()
                }
            }
        }
    }

    /// A value for people, and whether all of it is text in this encoding. Bytes that are none are shown as `\x9f`. Where it is not
    /// `whole` it was cut off, perhaps inside a character; that is left out then.
    pub fn show(self, bytes: &[u8], whole: bool) -> (String, bool) {
        match self {
            Self::Utf8 => show_utf8(bytes, whole),
            Self::Latin1 => (bytes.iter().map(|byte| char::from(*byte)).collect(), true),
            Self::Table(encoding) => {
                let mut decoder = encoding.new_decoder_without_bom_handling();
                let longest = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
                let mut text = String::with_capacity(longest.unwrap_or(bytes.len()));
                match decoder.decode_to_string_without_replacement(bytes, &mut text, whole) {
                    (encoding_rs::DecoderResult::InputEmpty, _) => (text, true),
                    _ => (escaped(bytes), false),
                }
            }
        }
    }
}

fn show_utf8(bytes: &[u8], whole: bool) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => return (text.to_owned(), true),
        Err(error) if !whole && error.error_len().is_none() => {
            let text = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            return (text.into_owned(), true);
        }
        Err(_) => {}
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&escaped(chunk.invalid()));
    }
    (text, false)
}

/// ASCII as it is, other bytes by their numbers.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("UTF8", "Größe".as_bytes(), "Größe")]
    #[case("LATIN1", b"Gr\xf6\xdfe", "Größe")]
    #[case("WIN1252", b"10 \x80", "10 €")]
    #[case("KOI8R", b"\xd4\xc1\xc2", "таб")]
    #[case("SQL_ASCII", "Größe".as_bytes(), "Größe")]
    #[case("SQL_ASCII", b"Gr\xf6\xdfe", "Größe")]
    fn a_name_is_read_in_the_databases_own_encoding(
        #[case] encoding: &str,
        #[case] bytes: &[u8],
        #[case] text: &str,
    ) {
        assert_eq!(Charset::of(encoding).decode(bytes), text);
    }

    #[rstest::rstest]
    #[case("UTF8", "Größe")]
    #[case("LATIN1", "Größe")]
    #[case("WIN1252", "10 €")]
    #[case("KOI8R", "таб")]
    #[case("EUC_JP", "日本")]
    fn a_name_goes_back_into_the_encoding_it_came_from(#[case] encoding: &str, #[case] text: &str) {
        let charset = Charset::of(encoding);
        assert_eq!(charset.decode(&charset.encode(text)), text);
    }

    #[rstest::rstest]
    #[case("UTF8", b"10 \xe2\x82\xac", "10 €", true)]
    #[case("WIN1252", b"10 \x80", "10 €", true)]
    #[case("SQL_ASCII", b"Gr\xf6\xdfe", "Gr\\xf6\\xdfe", false)]
    #[case("EUC_TW", b"a\xc4\xe3", "a\\xc4\\xe3", false)]
    #[case("EUC_JP", b"a\xff", "a\\xff", false)]
    fn a_value_is_shown_with_what_is_no_text_escaped(
        #[case] encoding: &str,
        #[case] bytes: &[u8],
        #[case] text: &str,
        #[case] is_text: bool,
    ) {
        assert_eq!(
            Charset::of(encoding).show(bytes, true),
            (text.to_owned(), is_text)
        );
    }

    #[rstest::rstest]
    #[case("UTF8")]
    #[case("EUC_JP")]
    fn a_value_that_was_cut_inside_a_character_ends_before_it(#[case] encoding: &str) {
        let charset = Charset::of(encoding);
        let bytes = charset.encode("日本");
        let cut = &bytes[..bytes.len() - 1];
        assert_eq!(charset.show(cut, false), ("日".to_owned(), true));
        assert!(!charset.show(cut, true).1);
    }
}
