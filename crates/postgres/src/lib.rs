//! PostgreSQL servers and the bundled PostgreSQL programs.

pub mod account;
pub mod children;
pub mod choice;
pub mod classify;
pub mod compare;
pub mod connect;
pub mod contents;
pub mod database;
pub mod dump;
pub mod error;
pub mod globals;
pub mod instance;
pub mod libpq;
pub mod outside;
pub mod parse;
pub mod programs;
pub mod quote;
pub mod restore;
pub mod rights;
pub mod running;
mod scope;
pub mod selection;
pub mod stderr;
pub mod tls;
pub mod verdict;
mod wire;
pub mod words;

pub use connect::{ServerVersion, Session, connect};
pub use error::Error;
