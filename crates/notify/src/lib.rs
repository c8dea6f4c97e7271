//! Channels: who is told, and how a message is rendered.
//!
//! A [`Message`] is plain text with a severity and, where there is something to look at, a route of the window. A
//! [`Channel`] carries it to a person; [`Desktop`] is the desktop's own notification. This crate decides neither who is
//! told nor when: the engine does.

mod channel;
mod desktop;
mod error;
mod message;
mod shorten;

pub use channel::Channel;
pub use desktop::Desktop;
pub use error::Error;
pub use message::{BackedUp, Message, Severity};
pub use shorten::shorten;
