//! One frame back from zstd's form, and whether it is what the index says.

use zstd::bulk::Decompressor;

use crate::encode::MAX_FRAME;
use crate::manifest::DUMP_FILE;
use crate::{Error, Frame};

/// Decompresses frames, one after another, into a buffer that is used again.
pub(crate) struct FrameReader {
    decompressor: Decompressor<'static>,
}

impl FrameReader {
    pub(crate) fn new() -> Result<Self, Error> {
        let decompressor = Decompressor::new().map_err(|error| Error::Compress {
            reason: error.to_string(),
        })?;
        Ok(Self { decompressor })
    }

    /// The content of a frame, into `raw`. Its checksum and its length have been looked at.
    pub(crate) fn read(&mut self, frame: &Frame, stored: &[u8], raw: &mut Vec<u8>) -> Result<(), Error> {
        raw.clear();
        let expected = usize::try_from(frame.raw_len).unwrap_or(usize::MAX);
        if expected > MAX_FRAME {
            return Err(damaged_frame(frame, "it is longer than any frame"));
        }
        raw.reserve(expected);
        match self.decompressor.decompress_to_buffer(stored, raw) {
            Ok(len) if len == expected => Ok(()),
            Ok(len) => Err(damaged_frame(
                frame,
                &format!("it holds {len} bytes instead of {expected}"),
            )),
            Err(error) => Err(damaged_frame(frame, &error.to_string())),
        }
    }
}

pub(crate) fn damaged_frame(frame: &Frame, reason: &str) -> Error {
    Error::damaged(
        DUMP_FILE,
        format!("the frame at byte {}: {reason}", frame.stored_offset),
    )
}
