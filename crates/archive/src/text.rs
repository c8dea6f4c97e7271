//! Names in a dump, which come in the database's own encoding, as texts.
//!
//! Knows PostgreSQL's names of encodings (manual, "Character Set Support") and no table.

use encoding_rs::Encoding;

/// Decodes names of a dump.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NameDecoder {
    /// Bytes are UTF-8 or, where they are not, taken for LATIN1 one by one: so that different names stay different.
    Utf8,
    /// Each byte is the character of that number.
    Latin1,
    /// What the encoding says.
    Table(&'static Encoding),
}

impl NameDecoder {
    /// For a server encoding of PostgreSQL, such as `UTF8`, `WIN1252` or `SQL_ASCII`.
    pub(crate) fn of(postgres_name: &str) -> Self {
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
    pub(crate) fn decode(self, bytes: &[u8]) -> String {
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
        assert_eq!(NameDecoder::of(encoding).decode(bytes), text);
    }
}
