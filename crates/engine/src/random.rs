//! Chance, from the operating system.

/// Ten random bytes, for an id.
pub(crate) fn bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).expect("BUG: the system has randomness once it has started");
    bytes
}
