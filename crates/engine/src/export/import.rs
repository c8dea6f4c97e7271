//! An export taken over: what is not known here is added, what is known stays as it is.
//!
//! Plans come in switched off: the other machine may still run them.

use std::collections::HashMap;

use howdah_archive::encryption::Identity;
use howdah_domain::routing::Databases;
use howdah_domain::{DestinationId, Failure, Place, Plan, Secret, Server, ServerId};
use howdah_store::tables::channels::Channel;
use howdah_store::tables::destinations::Destination;
use howdah_store::tables::identities::Identity as KnownIdentity;
use howdah_store::tables::servers::ServerRow;
use howdah_store::tables::{channels, destinations, identities, plans, servers};

use super::document::{Document, ExportedChannel, ExportedDestination, ExportedServer};
use crate::api::{Event, ImportCount, ImportReport};
use crate::engine::{Engine, OrFailure, lock};
use crate::keys::{identity_reference, passphrase_reference};

/// What of a document is known here already.
struct Known {
    servers: Vec<ServerRow>,
    destinations: Vec<Destination>,
    plans: Vec<Plan>,
    identities: Vec<KnownIdentity>,
    channels: Vec<Channel>,
}

/// How much there is of each kind, and is new.
pub(super) struct Counts {
    pub(super) servers: ImportCount,
    pub(super) destinations: ImportCount,
    pub(super) plans: ImportCount,
    pub(super) channels: ImportCount,
}

impl Known {
    /// The server here that is meant: the same one, or one of the same name that is reached in the same way.
    fn server(&self, exported: &ExportedServer) -> Option<&ServerRow> {
        let same = |row: &&ServerRow| row.server.id == exported.server.id;
        let alike = |row: &&ServerRow| {
            let (here, there) = (&row.server.connection, &exported.server.connection);
            row.server.name == exported.server.name
                && (&here.host, here.port, &here.tunnel) == (&there.host, there.port, &there.tunnel)
        };
        self.servers
            .iter()
            .find(same)
            .or_else(|| self.servers.iter().find(alike))
    }

    /// The destination here that is meant: the same one, or one at the same place.
    fn destination(&self, exported: &ExportedDestination) -> Option<&Destination> {
        self.destinations
            .iter()
            .find(|row| row.id == exported.id || row.place.same_storage(&exported.place))
    }

    /// Whether a channel is here: the same one, or one of the same name that reaches the same.
    fn has_channel(&self, exported: &ExportedChannel) -> bool {
        self.channels.iter().any(|row| {
            row.id == exported.id || (row.name == exported.name && row.address == exported.address)
        })
    }

    fn has_plan(&self, plan: &Plan) -> bool {
        self.plans.iter().any(|known| known.id == plan.id)
    }
}

impl Engine {
    /// How much of a document there is, and is new.
    pub(super) async fn counts(&self, document: &Document) -> Result<Counts, Failure> {
        let known = self.known().await?;
        let count = |there: usize, new: usize| ImportCount {
            there: there as u64,
            new: new as u64,
        };
        let servers = document.servers.iter();
        let destinations = document.destinations.iter();
        let plans = document.plans.iter();
        let channels = document.channels.iter();
        Ok(Counts {
            servers: count(
                document.servers.len(),
                servers.filter(|server| known.server(server).is_none()).count(),
            ),
            destinations: count(
                document.destinations.len(),
                destinations
                    .filter(|exported| known.destination(exported).is_none())
                    .count(),
            ),
            plans: count(
                document.plans.len(),
                plans.filter(|plan| !known.has_plan(plan)).count(),
            ),
            channels: count(
                document.channels.len(),
                channels.filter(|channel| !known.has_channel(channel)).count(),
            ),
        })
    }

    /// Takes over an export that was read before. What is known here stays as it is.
    ///
    /// # Errors
    /// The export was read too long ago; the keyring takes nothing; the store.
    pub async fn import_settings(&self, id: &str) -> Result<ImportReport, Failure> {
        let document = lock(&self.0.read_exports)
            .get(id)
            .map(|export| export.document.clone())
            .ok_or_else(|| {
                Failure::new(
                    howdah_domain::FailureCode::NotFound,
                    "This export was read too long ago. Choose its file again.",
                )
            })?;
        let known = self.known().await?;
        let mut report = ImportReport::default();
        self.import_keys(&document, &known, &mut report).await?;
        let servers = self.import_servers(&document, &known, &mut report).await?;
        let destinations = self.import_destinations(&document, &known, &mut report).await?;
        self.import_plans(&document, &known, &servers, &destinations, &mut report)
            .await?;
        self.import_channels(&document, &known, &mut report).await?;
        for line in &document.known_hosts {
            if !line.trim().is_empty() && !line.starts_with('#') {
                // A line that a person wrote by hand may be more than Howdah writes itself.
                if self.accept_host_key(line.clone()).await.is_err() {
                    report.remarks.push(
                        "A key of an SSH server was left out: it is shown again when it is met.".to_owned(),
                    );
                }
            }
        }
        if known.servers.is_empty() && known.plans.is_empty() {
            let mut wished = document.settings.clone();
            wished.default_folder = self.settings().await.default_folder;
            self.save_settings(wished).await?;
        }
        lock(&self.0.read_exports).remove(id);
        self.0.events.send(Event::Databases);
        self.0.events.send(Event::Destinations);
        self.0.events.send(Event::Settings);
        self.told();
        self.0.schedule_changed.notify_one();
        Ok(report)
    }

    async fn known(&self) -> Result<Known, Failure> {
        self.0
            .store
            .read(|c| {
                Ok(Known {
                    servers: servers::list(c)?,
                    destinations: destinations::list(c)?,
                    plans: plans::list(c)?,
                    identities: identities::list(c)?,
                    channels: channels::list(c)?,
                })
            })
            .await
            .or_failure()
    }

    /// Puts a secret of the document into the keyring. Answers its name there; none where the document does not have it.
    async fn take_secret(
        &self,
        document: &Document,
        reference: Option<&String>,
        label: String,
        report: &mut ImportReport,
    ) -> Result<Option<String>, Failure> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let Some(secret) = document.secrets.get(reference) else {
            return Ok(None);
        };
        self.keep(reference.clone(), label, &secret.0).await?;
        report.secrets += 1;
        Ok(Some(reference.clone()))
    }

    async fn import_keys(
        &self,
        document: &Document,
        known: &Known,
        report: &mut ImportReport,
    ) -> Result<(), Failure> {
        let mut has_own = known.identities.iter().any(|identity| identity.own);
        for key in &document.keys {
            if known
                .identities
                .iter()
                .any(|identity| identity.recipient == key.recipient)
            {
                continue;
            }
            let label = "Howdah: key of encrypted backups".to_owned();
            let is_its_own = document
                .secrets
                .get(&key.secret_reference)
                .is_some_and(|secret| opens(&secret.0, &key.recipient));
            let reference = match is_its_own && key.secret_reference == identity_reference(&key.recipient) {
                true => {
                    self.take_secret(document, Some(&key.secret_reference), label, report)
                        .await?
                }
                false => None,
            };
            let Some(secret_reference) = reference else {
                let whose = if key.own {
                    "The other machine's own key"
                } else {
                    "A key"
                };
                report.remarks.push(format!(
                    "{whose} is not in the export. What is encrypted to {}… can be read here once its recovery kit is opened \
                     under Settings, Keys.",
                    key.recipient.chars().take(12).collect::<String>()
                ));
                continue;
            };
            let identity = KnownIdentity {
                recipient: key.recipient.clone(),
                secret_reference,
                own: key.own && !has_own,
                created_at: key.created_at,
                kit_saved_at: key.kit_saved_at,
                kit_tested_at: None,
            };
            has_own |= identity.own;
            self.0
                .store
                .write(move |tx| identities::put(tx, &identity))
                .await
                .or_failure()?;
        }
        Ok(())
    }

    /// Answers which server here each of the document's is.
    async fn import_servers(
        &self,
        document: &Document,
        known: &Known,
        report: &mut ImportReport,
    ) -> Result<HashMap<ServerId, ServerId>, Failure> {
        let mut here = HashMap::new();
        for exported in &document.servers {
            let there = exported.server.id.clone();
            if let Some(row) = known.server(exported) {
                here.insert(there, row.server.id.clone());
                continue;
            }
            let taken = |name: &str| known.servers.iter().any(|row| row.server.name == name);
            let name = &free_name(&exported.server.name, taken);
            if *name != exported.server.name {
                report.remarks.push(format!(
                    "{} is another server here; the one of the export is called {name}.",
                    exported.server.name
                ));
            }
            let password = exported.secret_reference.as_ref();
            let tunnel = exported.tunnel_secret_reference.as_ref();
            let row = ServerRow {
                server: Server {
                    name: name.clone(),
                    ..exported.server.clone()
                },
                secret_reference: self
                    .take_secret(document, password, format!("Howdah: {name}"), report)
                    .await?,
                tunnel_secret_reference: self
                    .take_secret(document, tunnel, format!("Howdah: SSH to {name}"), report)
                    .await?,
            };
            if (row.secret_reference.is_none() && password.is_some())
                || (row.tunnel_secret_reference.is_none() && tunnel.is_some())
            {
                report.remarks.push(format!(
                    "{name}: enter its password on the database's page, under Connection."
                ));
            }
            self.0
                .store
                .write(move |tx| {
                    servers::insert_again(tx, &row)?;
                    servers::adopt(tx, &row.server.id, &row.server.name)
                })
                .await
                .or_failure()?;
            here.insert(there.clone(), there);
            report.servers += 1;
        }
        Ok(here)
    }

    /// Answers which destination here each of the document's is.
    async fn import_destinations(
        &self,
        document: &Document,
        known: &Known,
        report: &mut ImportReport,
    ) -> Result<HashMap<DestinationId, DestinationId>, Failure> {
        let mut here = HashMap::new();
        for exported in &document.destinations {
            if let Some(row) = known.destination(exported) {
                here.insert(exported.id.clone(), row.id.clone());
                continue;
            }
            let reference = exported.secret_reference.as_ref();
            let label = format!("Howdah: {}", exported.name);
            let row = Destination {
                id: exported.id.clone(),
                name: free_name(&exported.name, |name| {
                    known.destinations.iter().any(|row| row.name == name)
                }),
                place: exported.place.clone(),
                secret_reference: self.take_secret(document, reference, label, report).await?,
                created_at: exported.created_at,
                // A folder of that path may be another one here: it has to be chosen before it is written to.
                prepared_at: exported.prepared_at,
                checked_at: None,
                failure: None,
            };
            if row.secret_reference.is_none() && reference.is_some() {
                let what = match &row.place {
                    Place::Drive(_) => "sign in again on its page".to_owned(),
                    place => format!(
                        "enter its {} on its page",
                        place.secret_name().unwrap_or("secret")
                    ),
                };
                report.remarks.push(format!("{}: {what}.", row.name));
            } else if row.place.is_local() {
                report.remarks.push(format!(
                    "{}: check that this folder is the right one on this machine.",
                    row.name
                ));
            }
            self.0
                .store
                .write(move |tx| destinations::insert(tx, &row))
                .await
                .or_failure()?;
            here.insert(exported.id.clone(), exported.id.clone());
            report.destinations += 1;
        }
        Ok(here)
    }

    async fn import_plans(
        &self,
        document: &Document,
        known: &Known,
        servers: &HashMap<ServerId, ServerId>,
        destinations: &HashMap<DestinationId, DestinationId>,
        report: &mut ImportReport,
    ) -> Result<(), Failure> {
        for exported in &document.plans {
            if known.has_plan(exported) {
                continue;
            }
            let Some(server_id) = servers.get(&exported.server_id) else {
                report
                    .remarks
                    .push("A plan was left out: its server is not in the export.".to_owned());
                continue;
            };
            let plan = Plan {
                server_id: server_id.clone(),
                destinations: exported
                    .destinations
                    .iter()
                    .filter_map(|id| destinations.get(id).cloned())
                    .collect(),
                enabled: false,
                ..exported.clone()
            };
            let reference = passphrase_reference(&plan.id);
            let label = "Howdah: passphrase of a plan's backups".to_owned();
            self.take_secret(document, Some(&reference), label, report)
                .await?;
            self.0
                .store
                .write(move |tx| plans::insert(tx, &plan))
                .await
                .or_failure()?;
            report.plans += 1;
        }
        if report.plans > 0 {
            report.remarks.push(
                "The plans are switched off. Switch them on where this machine is to make the backups from now on.".to_owned(),
            );
        }
        Ok(())
    }

    async fn import_channels(
        &self,
        document: &Document,
        known: &Known,
        report: &mut ImportReport,
    ) -> Result<(), Failure> {
        for exported in &document.channels {
            // Each machine has its own desktop.
            if known.has_channel(exported) || exported.id.as_str() == channels::DESKTOP {
                continue;
            }
            let name = free_name(&exported.name, |name| {
                known.channels.iter().any(|row| row.name == name)
            });
            let mut secrets = Vec::new();
            for secret in &exported.secrets {
                let words = secret.words();
                let reference = Channel::secret_reference(&exported.id, *secret);
                let label = format!("Howdah: {name} ({words})");
                let taken = self.take_secret(document, Some(&reference), label, report);
                match taken.await? {
                    Some(_) => secrets.push(*secret),
                    None => report.remarks.push(format!(
                        "{name}: enter its {words} under Notifications, and switch it on."
                    )),
                }
            }
            let mut rule = exported.rule.clone();
            if matches!(rule.databases, Databases::These { .. }) {
                // They have other ids here.
                rule.databases = Databases::All;
                report.remarks.push(format!(
                    "{name} was told of some databases only: choose again which. Until then it is told of all."
                ));
            }
            let row = Channel {
                id: exported.id.clone(),
                name,
                address: exported.address.clone(),
                enabled: exported.enabled && secrets.len() == exported.secrets.len(),
                secrets,
                rule,
                created_at: self.0.clock.now(),
                delivered_at: None,
                failure: None,
                summed_up_at: None,
            };
            self.0
                .store
                .write(move |tx| channels::save(tx, &row))
                .await
                .or_failure()?;
            report.channels += 1;
        }
        Ok(())
    }
}

/// Whether a secret key is that of a public one.
fn opens(secret: &Secret, recipient: &str) -> bool {
    Identity::from_secret(secret).is_ok_and(|identity| identity.recipient().to_string() == recipient)
}

/// The name, with a number where it is taken.
fn free_name(wished: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = wished.to_owned();
    let mut number = 2;
    while taken(&name) {
        name = format!("{wished} ({number})");
        number += 1;
    }
    name
}
