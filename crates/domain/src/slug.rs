//! Folder names for servers and databases: `a-z0-9-`, unique by a short hash where something was lost.

/// The longest slug, in bytes.
const LONGEST: usize = 48;

/// A folder name for `name`. Names made of `a-z0-9-` alone (not at the ends) are kept as they are; of all others
/// what can be kept is kept, and eight hex digits of a hash of the whole name are added, so that two names never share one.
pub fn slug(name: &str) -> String {
    let mut kept = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | '0'..='9' => kept.push(c),
            'A'..='Z' => kept.push(c.to_ascii_lowercase()),
            _ if kept.ends_with('-') || kept.is_empty() => {}
            _ => kept.push('-'),
        }
    }
    kept.truncate(LONGEST);
    let kept = kept.trim_end_matches('-');
    if kept == name && !kept.is_empty() {
        return kept.to_owned();
    }
    let hash = fnv1a(name.as_bytes());
    if kept.is_empty() {
        format!("{hash:08x}")
    } else {
        format!("{kept}-{hash:08x}")
    }
}

/// FNV-1a, 64 bits folded to 32: stable for ever, and enough to tell a handful of names apart.
fn fnv1a(bytes: &[u8]) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    #[allow(clippy::cast_possible_truncation)]
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_its_own_slug() {
        assert_eq!(slug("shop"), "shop");
        assert_eq!(slug("shop-2"), "shop-2");
    }

    #[test]
    fn names_that_lose_something_get_a_hash_and_differ() {
        let names = [
            "Shop", "shop ", "shop--2", "-shop", "sh*p", "šhop", "🐘", "..", "../shop", "", "a=b", "shop/",
        ];
        let mut slugs: Vec<String> = names.iter().map(|name| slug(name)).collect();
        for slug in &slugs {
            assert!(
                !slug.is_empty()
                    && slug
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{slug}"
            );
        }
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), names.len());
    }
}
