//! Channels: who is told, and how a message is rendered.
//!
//! A [`Message`] is plain text with a kind, a severity and, where there is something to look at, a route of the window. A
//! [`Channel`] carries it to a person; [`Desktop`] is the desktop's own notification, [`Email`] is e-mail, [`open`] opens any but
//! the desktop's. This crate decides
//! neither who is told nor when: the engine does.
//!
//! A channel that speaks HTTP is one file: what a service's limits are, how its markup is escaped, what its errors mean, and whether it
//! can tell a message that is sent again. What they share is in `http` (one request and what became of it), `text` and `markup`
//! (visible, escaped, within a limit) and `scrub` (no secret in any error).

mod channel;
mod desktop;
mod discord;
mod email;
mod error;
mod gotify;
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub))]
mod http;
mod markup;
mod mattermost;
mod message;
mod ntfy;
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub))]
mod open;
mod ping;
mod pushover;
mod scrub;
mod secrets;
mod shorten;
mod slack;
mod teams;
mod telegram;
mod text;
mod webhook;

pub use channel::{Channel, Delivered};
pub use desktop::{Action, Desktop};
pub use email::Email;
pub use error::Error;
pub use message::{BackedUp, Message, Subject, one_line};
pub use open::{find_chats, open};
pub use secrets::Secrets;
pub use shorten::shorten;
pub use telegram::Chat;
pub use webhook::preview;

/// For tests of this and other crates: channels that reach emulators in place of hosted services, and wait less long.
#[cfg(feature = "testing")]
pub mod testing {
    pub use crate::http::Limits;
    pub use crate::open::{Bases, Wiring, find_chats_with, open_with};
}
