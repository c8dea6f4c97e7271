//! Where an object lies inside a destination. It knows no destination's own root.

use std::fmt;

use crate::Error;

/// A relative path with `/` between its parts: `shop/shop/20261122T040000Z-k3x9qa/manifest.json`.
///
/// No part is empty, `.` or `..`, holds a control character, a backslash or a colon (both mean something on Windows),
/// or ends with `.part`, which is the name of what is not finished. At most 255 bytes a part, 1,024 in all: what S3 and
/// the usual file systems can hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectPath(String);

/// The end of a temporary file's name.
pub(crate) const TEMPORARY: &str = ".part";

impl ObjectPath {
    /// Reads a path; [`Error::InvalidPath`] where it is not one.
    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let problem = if text.is_empty() {
            Some("it is empty")
        } else if text.len() > 1024 {
            Some("it is longer than 1,024 bytes")
        } else {
            text.split('/').find_map(problem_with_part)
        };
        match problem {
            None => Ok(Self(text)),
            Some(why) => Err(Error::InvalidPath { path: text, why }),
        }
    }

    /// The path of `name` inside this folder; the same rules hold for what is added.
    pub fn join(&self, name: &str) -> Result<Self, Error> {
        Self::new(format!("{}/{name}", self.0))
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Everything before the last part; none for a path of one part.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.to_owned()))
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ObjectPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

fn problem_with_part(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("it is absolute, or a part of it is empty"),
        "." | ".." => Some("`.` and `..` would lead elsewhere"),
        part if part.len() > 255 => Some("a part of it is longer than 255 bytes"),
        part if part.ends_with(TEMPORARY) => Some("names that end with .part are kept for unfinished files"),
        part if part.chars().any(|c| c.is_control() || c == '\\' || c == ':') => {
            Some("it holds a control character, a backslash or a colon")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("manifest.json")]
    #[case("shop/shop/20261122T040000Z-k3x9qa/dump.pgdump.zst")]
    #[case("a/.hidden/...")]
    fn a_plain_relative_path_is_kept_as_it_is(#[case] text: &str) {
        assert_eq!(ObjectPath::new(text).unwrap().as_str(), text);
    }

    #[rstest]
    #[case("")]
    #[case("/etc/passwd")]
    #[case("..")]
    #[case("a/../../b")]
    #[case("a/./b")]
    #[case("a//b")]
    #[case("a/")]
    #[case("a\\b")]
    #[case("C:/b")]
    #[case("a/b\0c")]
    #[case("a/dump.part")]
    fn a_path_that_could_lead_elsewhere_is_refused(#[case] text: &str) {
        assert!(
            matches!(ObjectPath::new(text), Err(Error::InvalidPath { .. })),
            "{text:?}"
        );
    }

    #[test]
    fn a_path_knows_its_folder_and_its_name() {
        let folder = ObjectPath::new("shop/shop").unwrap();
        let path = folder.join("a/b").unwrap();
        assert_eq!(path.name(), "b");
        assert_eq!(path.parent().unwrap().as_str(), "shop/shop/a");
        assert_eq!(ObjectPath::new("b").unwrap().parent(), None);
        assert!(folder.join("../x").is_err());
    }
}
