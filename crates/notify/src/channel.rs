//! What every channel can do. It knows no kind.

use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{Error, Message};

/// A way to a person.
#[async_trait]
pub trait Channel: fmt::Debug + Send + Sync {
    /// What people call it: `desktop`.
    fn name(&self) -> &str;

    /// Delivers a message: `Ok` means that the other side took it. Shortens it to the channel's own limits, keeping the
    /// end of an error. Ends within a time limit of its own, or soon after `cancel`.
    async fn send(&self, message: &Message, cancel: &CancellationToken) -> Result<Delivered, Error>;
}

/// What is to be known of a message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// What went wrong beside it, as a sentence: one of three mailboxes that does not exist.
    pub remark: Option<String>,
}
