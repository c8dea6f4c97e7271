//! What an export holds.

use std::collections::{BTreeMap, BTreeSet};

use howdah_domain::routing::ChannelRule;
use howdah_domain::{
    Address, ChannelId, ChannelKind, ChannelSecret, Encryption, Failure, FailureCode, Plan, Secret,
};
use howdah_store::tables::channels::Channel;
use howdah_store::tables::destinations::Destination;
use howdah_store::tables::identities::Identity;
use howdah_store::tables::servers::ServerRow;
use howdah_store::tables::{channels, destinations, identities, plans, servers, settings};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::not_an_export;
use crate::api::Settings;
use crate::engine::{Engine, OrFailure};
use crate::keys::passphrase_reference;
use crate::random;

/// The format's number: a newer one is refused.
const FORMAT: u32 = 1;

/// Where the store keeps which machine this is.
const MACHINE: &str = "machine";

/// A machine: an id that never changes, and a name for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// The settings of an installation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(super) format: u32,
    pub(super) howdah: String,
    pub(crate) machine: Machine,
    pub(crate) exported_at: Timestamp,
    pub(super) settings: Settings,
    pub(super) servers: Vec<ExportedServer>,
    pub(super) destinations: Vec<ExportedDestination>,
    pub(super) plans: Vec<Plan>,
    pub(super) keys: Vec<ExportedKey>,
    /// Who is told, but for the desktop, which each machine has.
    #[serde(default)]
    pub(super) channels: Vec<ExportedChannel>,
    /// The keys of SSH servers that were accepted, as lines of a `known_hosts` file.
    pub(super) known_hosts: Vec<String>,
    /// What the keyring holds, by its names there.
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, Exposed>,
}

/// A secret on its way into the encrypted file: the only type of ours that writes one out.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Exposed(pub(super) Secret);

impl Serialize for Exposed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExportedServer {
    pub(super) server: howdah_domain::Server,
    pub(super) secret_reference: Option<String>,
    pub(super) tunnel_secret_reference: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExportedDestination {
    pub(super) id: howdah_domain::DestinationId,
    pub(super) name: String,
    pub(super) place: howdah_domain::Place,
    pub(super) secret_reference: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) prepared_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExportedKey {
    pub(super) recipient: String,
    pub(super) secret_reference: String,
    pub(super) own: bool,
    pub(super) created_at: Timestamp,
    pub(super) kit_saved_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExportedChannel {
    pub(super) id: ChannelId,
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) secrets: Vec<ChannelSecret>,
    pub(super) rule: ChannelRule,
    pub(super) enabled: bool,
}

impl Document {
    /// As JSON. Wiped when dropped, since it may hold secrets.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        serde_json::to_vec_pretty(self)
            .map(Zeroizing::new)
            .map_err(|error| crate::engine::internal("The settings could not be written.", &error))
    }

    /// From JSON.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
            howdah: String,
        }
        // An error of the JSON reader could quote a secret.
        let header: Header =
            serde_json::from_slice(bytes).map_err(|_| not_an_export("it holds something else"))?;
        if header.format > FORMAT {
            return Err(Failure::new(
                FailureCode::InvalidInput,
                format!(
                    "These settings were exported by a newer Howdah ({}).",
                    header.howdah.chars().take(20).collect::<String>()
                ),
            )
            .hint("Update Howdah on this machine first."));
        }
        serde_json::from_slice(bytes).map_err(|_| not_an_export("it is not complete"))
    }

    /// Every name of the keyring that belongs to something in the document.
    pub(super) fn references(&self) -> BTreeSet<String> {
        let of_servers = self
            .servers
            .iter()
            .flat_map(|server| [&server.secret_reference, &server.tunnel_secret_reference])
            .flatten()
            .cloned();
        let of_destinations = self
            .destinations
            .iter()
            .filter_map(|destination| destination.secret_reference.clone());
        let of_plans = self
            .plans
            .iter()
            .filter(|plan| plan.encryption == Encryption::Passphrase)
            .map(|plan| passphrase_reference(&plan.id));
        let of_keys = self.keys.iter().map(|key| key.secret_reference.clone());
        let of_channels = self.channels.iter().flat_map(|channel| {
            let reference = |secret| Channel::secret_reference(&channel.id, secret);
            channel.secrets.iter().map(move |secret| reference(*secret))
        });
        of_servers
            .chain(of_destinations)
            .chain(of_plans)
            .chain(of_keys)
            .chain(of_channels)
            .collect()
    }
}

impl From<ServerRow> for ExportedServer {
    fn from(row: ServerRow) -> Self {
        Self {
            server: row.server,
            secret_reference: row.secret_reference,
            tunnel_secret_reference: row.tunnel_secret_reference,
        }
    }
}

impl From<Destination> for ExportedDestination {
    fn from(row: Destination) -> Self {
        Self {
            id: row.id,
            name: row.name,
            place: row.place,
            secret_reference: row.secret_reference,
            created_at: row.created_at,
            prepared_at: row.prepared_at,
        }
    }
}

impl From<Identity> for ExportedKey {
    fn from(identity: Identity) -> Self {
        Self {
            recipient: identity.recipient,
            secret_reference: identity.secret_reference,
            own: identity.own,
            created_at: identity.created_at,
            kit_saved_at: identity.kit_saved_at,
        }
    }
}

impl From<Channel> for ExportedChannel {
    fn from(channel: Channel) -> Self {
        Self {
            id: channel.id,
            name: channel.name,
            address: channel.address,
            secrets: channel.secrets,
            rule: channel.rule,
            enabled: channel.enabled,
        }
    }
}

impl Engine {
    /// Everything that is to be exported.
    pub(super) async fn document(&self, with_secrets: bool) -> Result<Document, Failure> {
        let machine = self.machine().await?;
        let settings = self.settings().await;
        let (servers, destinations, plans, identities, channels) = self
            .0
            .store
            .read(|c| {
                Ok((
                    servers::list(c)?,
                    destinations::list(c)?,
                    plans::list(c)?,
                    identities::list(c)?,
                    channels::list(c)?,
                ))
            })
            .await
            .or_failure()?;
        let mut document = Document {
            format: FORMAT,
            howdah: env!("CARGO_PKG_VERSION").to_owned(),
            machine,
            exported_at: self.0.clock.now(),
            settings,
            servers: servers.into_iter().map(Into::into).collect(),
            destinations: destinations.into_iter().map(Into::into).collect(),
            plans,
            keys: identities.into_iter().map(Into::into).collect(),
            channels: channels
                .into_iter()
                .filter(|channel| channel.address.kind() != ChannelKind::Desktop)
                .map(Into::into)
                .collect(),
            known_hosts: self.accepted_host_keys().await?,
            secrets: BTreeMap::new(),
        };
        if with_secrets {
            for reference in document.references() {
                if let Some(secret) = self.0.secrets.get(&reference).await.or_failure()? {
                    document.secrets.insert(reference, Exposed(secret));
                }
            }
        }
        Ok(document)
    }

    /// Which machine this is. Its id is made at its first use.
    pub(crate) async fn machine(&self) -> Result<Machine, Failure> {
        let name = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "this machine".to_owned());
        let new = howdah_domain::id::random_suffix(random::bytes(), 12);
        self.0
            .store
            .write(move |tx| {
                let id = match settings::get::<String>(tx, MACHINE)? {
                    Some(id) => id,
                    None => {
                        settings::set(tx, MACHINE, &new)?;
                        new
                    }
                };
                Ok(Machine { id, name })
            })
            .await
            .or_failure()
    }

    async fn accepted_host_keys(&self) -> Result<Vec<String>, Failure> {
        let file = self.known_hosts();
        match tokio::fs::read_to_string(&file).await {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::new(
                FailureCode::DataDirUnusable,
                format!("{} cannot be read.", file.display()),
            )
            .details(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_export_is_not_quoted_and_a_newer_one_is_told() {
        let hidden = |text: &str| Document::from_bytes(text.as_bytes()).unwrap_err();
        for text in ["hunter2", "{\"format\":1,\"howdah\":\"hunter2\"}", "{}", ""] {
            let failure = hidden(text);
            assert_eq!(failure.code, FailureCode::InvalidInput);
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
        let failure = hidden("{\"format\":2,\"howdah\":\"9.0\"}");
        assert!(failure.message.contains("newer Howdah (9.0)"), "{failure:?}");
    }
}
