//! The recovery kit as a page to be printed: HTML without scripts, pictures or anything from elsewhere.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use howdah_domain::Secret;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::html::escaped;

/// The page's beginning: large letters for what has to be typed, and black on white whatever the screen has.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Howdah recovery kit</title>\n\
    <style>body{max-width:44em;margin:2em auto;font:12pt/1.45 sans-serif;color:#000;background:#fff}\
    h1{font-size:18pt}h2{font-size:13pt;margin:1.6em 0 .4em}\
    pre,.key{font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere}\
    .key{font-size:14pt;line-height:1.6;letter-spacing:.04em;border:2px solid #000;padding:.6em .8em}\
    @page{margin:18mm}</style></head><body>\n";

/// The page of a kit. Whoever has it can read every backup.
pub(crate) fn page(recipient: &str, secret: &Secret, places: &[String], made: Timestamp) -> Secret {
    let mut page = Zeroizing::new(String::from(HEAD));
    let _ = write!(
        page,
        "<h1>Howdah recovery kit</h1>\n<p>Made {made} by Howdah {version}. <strong>Whoever has this page can read your backups.</strong> \
         Keep it where the laptop is not: a safe, a sealed envelope.</p>\n\
         <h2>The key</h2>\n<p class=\"key\">{key}</p>\n\
         <p>A letter that is typed wrong is noticed: the key holds its own checksum. Its public half is<br>{recipient}.</p>\n\
         <h2>Where the backups are</h2>\n",
        version = env!("CARGO_PKG_VERSION"),
        key = escaped(secret.expose().trim()),
        recipient = escaped(recipient),
    );
    if places.is_empty() {
        page.push_str("<p>No destination was configured when this page was made.</p>\n");
    } else {
        page.push_str("<ul>\n");
        for place in places {
            let _ = writeln!(page, "<li><code>{}</code></li>", escaped(place));
        }
        page.push_str("</ul>\n");
    }
    page.push_str(
        "<h2>With Howdah</h2>\n<p>Type the key into a text file, open that under Settings, Keys, add the destination, and choose \
         \u{201c}Look for backups there\u{201d}.</p>\n\
         <h2>Without Howdah</h2>\n<p>On any machine with age, zstd and PostgreSQL\u{2019}s programs, in a backup\u{2019}s folder, with the key in \
         <code>key.txt</code>:</p>\n\
         <pre>age -d -i key.txt globals.sql.zst.age | zstd -dc | psql -d postgres\ncreatedb target\n\
         age -d -i key.txt dump.pgdump.zst.age | zstd -dc | pg_restore -d target</pre>\n</body></html>\n",
    );
    Secret::new(page.as_str())
}

/// Where the page of a kit lies: beside its file.
pub fn page_beside(kit: &Path) -> PathBuf {
    let is_page = kit.extension().is_some_and(|extension| extension == "html");
    kit.with_extension(if is_page { "print.html" } else { "html" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_key_and_every_place_and_asks_nobody_for_anything() {
        let places = [
            "s3://backups/laptop?a=1&b=2".to_owned(),
            "/mnt/<odd> name".to_owned(),
        ];
        let secret = Secret::new("AGE-SECRET-KEY-1QQQ\n");
        let page = page("age1public", &secret, &places, Timestamp::UNIX_EPOCH);
        let text = page.expose();
        for part in [
            ">AGE-SECRET-KEY-1QQQ<",
            "age1public",
            "s3://backups/laptop?a=1&amp;b=2",
            "/mnt/&lt;odd&gt; name",
            "pg_restore -d target",
        ] {
            assert!(text.contains(part), "{part}");
        }
        for other in ["<script", "http:", "https:", "url("] {
            assert!(!text.contains(other), "{other}");
        }
    }

    #[test]
    fn the_page_lies_beside_the_file_and_never_in_its_place() {
        let beside = |name: &str| page_beside(Path::new(name)).display().to_string();
        assert_eq!(
            beside("/safe/howdah-recovery-kit.txt"),
            "/safe/howdah-recovery-kit.html"
        );
        assert_eq!(beside("/safe/kit"), "/safe/kit.html");
        assert_eq!(beside("/safe/kit.html"), "/safe/kit.print.html");
    }
}
