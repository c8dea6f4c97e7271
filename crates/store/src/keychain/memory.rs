//! Secrets in memory, for tests: they are gone with the value, and its state can be set.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use howdah_domain::Secret;
use tokio_util::sync::CancellationToken;

use super::{KeyringState, SecretStore};
use crate::{Error, Result};

/// A keyring in memory.
#[derive(Debug)]
pub struct MemorySecrets(Mutex<Memory>);

#[derive(Debug)]
struct Memory {
    state: KeyringState,
    secrets: HashMap<String, (String, Secret)>,
}

impl Default for MemorySecrets {
    fn default() -> Self {
        Self(Mutex::new(Memory {
            state: KeyringState::Open,
            secrets: HashMap::new(),
        }))
    }
}

impl MemorySecrets {
    /// Locks, opens or takes away the keyring.
    pub fn set_state(&self, state: KeyringState) {
        self.memory().state = state;
    }

    /// The label under which a person would see a secret.
    pub fn label(&self, reference: &str) -> Option<String> {
        self.memory()
            .secrets
            .get(reference)
            .map(|(label, _)| label.clone())
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<std::sync::MutexGuard<'_, Memory>> {
        let memory = self.memory();
        match memory.state {
            KeyringState::Open => Ok(memory),
            KeyringState::Locked => Err(Error::KeyringLocked),
            KeyringState::Absent => Err(Error::KeyringAbsent("taken away by a test".to_owned())),
        }
    }
}

#[async_trait]
impl SecretStore for MemorySecrets {
    async fn get(&self, reference: &str) -> Result<Option<Secret>> {
        Ok(self
            .open()?
            .secrets
            .get(reference)
            .map(|(_, secret)| secret.clone()))
    }

    async fn set(&self, reference: &str, label: &str, secret: &Secret) -> Result<()> {
        self.open()?
            .secrets
            .insert(reference.to_owned(), (label.to_owned(), secret.clone()));
        Ok(())
    }

    async fn delete(&self, reference: &str) -> Result<()> {
        self.open()?.secrets.remove(reference);
        Ok(())
    }

    async fn state(&self) -> KeyringState {
        self.memory().state
    }

    async fn unlock(&self, _cancel: &CancellationToken) -> Result<KeyringState> {
        let mut memory = self.memory();
        if memory.state == KeyringState::Locked {
            memory.state = KeyringState::Open;
        }
        Ok(memory.state)
    }
}
