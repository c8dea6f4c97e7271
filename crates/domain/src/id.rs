//! Names of rows. Each kind of thing has an id type of its own, so that a plan's id cannot be passed for a server's.

use std::fmt;

use alphabet::BASE32;
use data_encoding::Encoding;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Lower-case base32 (RFC 4648 alphabet), without padding: safe in file names, URLs and on the telephone.
mod alphabet {
    use std::sync::LazyLock;

    use data_encoding::{Encoding, Specification};

    pub(super) static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification = Specification::new();
        specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        specification
            .encoding()
            .expect("BUG: the base32 alphabet is valid")
    });
}

/// Ten random bytes as sixteen characters of base32.
fn from_random(random: [u8; 10]) -> String {
    let encoding: &Encoding = &BASE32;
    encoding.encode(&random)
}

/// The first `len` base32 characters of some random bytes; for the ends of backup names.
pub fn random_suffix(random: [u8; 10], len: usize) -> String {
    let mut text = from_random(random);
    text.truncate(len);
    text
}

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = concat!("The id of ", $what, ": sixteen characters of base32.")]
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
        #[serde(transparent)]
        #[ts(export)]
        pub struct $name(String);

        impl $name {
            /// A new id from ten random bytes.
            pub fn from_random(random: [u8; 10]) -> Self {
                Self(from_random(random))
            }

            /// An id read back from where it was kept.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(ServerId, "a server");
id!(DatabaseId, "a database that Howdah looks after");
id!(PlanId, "a plan");
id!(RunId, "a run");
id!(DestinationId, "a destination");
id!(OccurrenceId, "one due time of one plan");
id!(ReplacementId, "a database that a backup took the place of");
id!(ChannelId, "a channel");
id!(AlertId, "an alert");
id!(IncidentId, "a stretch in which databases were down");
id!(MaintenanceId, "a maintenance window");
id!(InstanceId, "a PostgreSQL that Howdah runs on this machine");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixteen_lower_case_characters() {
        let id = RunId::from_random([0xff; 10]);
        assert_eq!(id.as_str(), "7777777777777777");
        assert_eq!(random_suffix([0; 10], 6), "aaaaaa");
    }
}
