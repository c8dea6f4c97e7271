//! SSH sessions: what an alias means, jump hosts, host keys, login, and ports forwarded through them.
//!
//! [`Route::resolve`] finds out where a target leads, as `ssh` would; [`Route::open`] opens a [`Session`] there;
//! [`Forwarder`] brings a port or socket of the far side to a port of this machine. What travels through them
//! (PostgreSQL, SFTP) is not known here.
//!
//! A host key that nobody has accepted is an error that holds the key ([`Error::UnknownHostKey`]); [`accept_host_key`]
//! writes it into a file of Howdah's own, which is read beside the user's `known_hosts` and is the only one written.

mod config;
mod cut;
mod error;
mod forwarder;
mod known_hosts;
mod login;
mod route;
mod session;

pub use error::{Error, HostKey};
pub use forwarder::{Far, Forwarder};
pub use known_hosts::accept_host_key;
pub use route::{Options, Route};
pub use session::Session;

/// A stream of bytes through a session: a forwarded connection, or a program on the far side.
pub type ChannelStream = russh::ChannelStream<russh::client::Msg>;
