//! PostgreSQL servers and the bundled PostgreSQL programs.

pub mod children;
pub mod classify;
pub mod error;
pub mod programs;
pub mod quote;
pub mod stderr;
pub mod verdict;
pub mod words;

pub use error::Error;
