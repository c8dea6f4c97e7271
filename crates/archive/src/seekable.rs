//! The seek table at a file's end: which frame holds what, in the form that zstd's own seekable format has.
//!
//! A skippable frame, so that every zstd program passes over it. Source: zstd, contrib/seekable_format,
//! `zstd_seekable_compression_format.md`.

use crate::Frame;

/// The magic number of the skippable frame.
const SKIPPABLE: u32 = 0x184D_2A5E;
/// The magic number at the very end.
const FOOTER: u32 = 0x8F92_EAB1;
/// Bytes of the footer: how many frames, a descriptor, the magic number.
const FOOTER_LEN: usize = 9;

/// The bytes of the seek table of these frames.
pub(crate) fn seek_table(frames: &[Frame]) -> Vec<u8> {
    let len = frames.len() * 8 + FOOTER_LEN;
    let mut table = Vec::with_capacity(8 + len);
    let mut word = |value: u64| {
        let value =
            u32::try_from(value).expect("BUG: frames are at most 8 MiB, and there are fewer than 2^29");
        table.extend_from_slice(&value.to_le_bytes());
    };
    word(u64::from(SKIPPABLE));
    word(len as u64);
    for frame in frames {
        word(frame.stored_len);
        word(frame.raw_len);
    }
    word(frames.len() as u64);
    table.push(0); // no checksums: each frame has its own
    table.extend_from_slice(&FOOTER.to_le_bytes());
    table
}
