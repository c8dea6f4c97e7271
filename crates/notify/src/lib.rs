//! Channels: who is told, and how a message is rendered.
