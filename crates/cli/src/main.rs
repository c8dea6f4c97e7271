//! The command howdah: the same engine without the window.
fn main() {}
