//! The emulator's bucket: objects, and what their resources say.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::BASE64;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use super::BUCKET;

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) generation: u64,
    metadata: Map<String, Value>,
    pub(super) sums: Sums,
}

/// The checksums that Google keeps of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    md5: [u8; 16],
    crc32c: u32,
}

impl Sums {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            md5: Md5::digest(bytes).into(),
            crc32c: crc32c(bytes),
        }
    }

    /// In base64, as everywhere in the API.
    pub(super) fn md5(self) -> String {
        BASE64.encode(&self.md5)
    }

    /// In base64, the first byte the highest.
    pub(super) fn crc32c(self) -> String {
        BASE64.encode(&self.crc32c.to_be_bytes())
    }
}

/// All objects, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    objects: BTreeMap<String, Object>,
    generations: u64,
}

impl Bucket {
    pub(super) fn names(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// The generation of an object; 0 where it is not there, as conditions have it.
    pub(super) fn generation(&self, name: &str) -> u64 {
        self.get(name).map_or(0, |object| object.generation)
    }

    pub(super) fn size(&self) -> u64 {
        self.objects
            .values()
            .map(|object| object.bytes.len() as u64)
            .sum()
    }

    pub(super) fn put(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        sums: Sums,
        metadata: Map<String, Value>,
    ) -> Object {
        self.generations += 1;
        let object = Object {
            sums,
            bytes: Arc::new(bytes),
            generation: self.generations,
            metadata,
        };
        self.objects.insert(name.to_owned(), object.clone());
        object
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.objects.remove(name).is_some()
    }

    /// A page of objects whose names begin with `prefix`, from behind `token` on; and the next token.
    pub(super) fn page(
        &self,
        prefix: &str,
        token: Option<&str>,
        most: usize,
    ) -> (Vec<Value>, Option<String>) {
        let mut matching = self
            .objects
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .filter(|(name, _)| token.is_none_or(|token| name.as_str() > token))
            .peekable();
        let mut items = Vec::new();
        let mut last = None;
        while items.len() < most
            && let Some((name, object)) = matching.next()
        {
            items.push(object.resource(name));
            last = Some(name.clone());
        }
        (items, last.filter(|_| matching.peek().is_some()))
    }
}

impl Object {
    /// The object resource: <https://cloud.google.com/storage/docs/json_api/v1/objects#resource>.
    pub(super) fn resource(&self, name: &str) -> Value {
        let mut resource = json!({
            "kind": "storage#object",
            "id": format!("{BUCKET}/{name}/{}", self.generation),
            "name": name,
            "bucket": BUCKET,
            "generation": self.generation.to_string(),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            "size": self.bytes.len().to_string(),
            "md5Hash": self.sums.md5(),
            "crc32c": self.sums.crc32c(),
            "etag": format!("CO{}", self.generation),
            "timeCreated": "2026-11-26T12:00:00.000Z",
            "updated": "2026-11-26T12:00:00.000Z",
        });
        if !self.metadata.is_empty() {
            resource["metadata"] = Value::Object(self.metadata.clone());
        }
        resource
    }
}

/// CRC-32C (Castagnoli), as RFC 3720, appendix B.4 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 {
                    (value >> 1) ^ 0x82f6_3b78
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        // RFC 3720, B.4: 32 bytes of zeroes, and 32 bytes of incrementing 00..1f.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }
}
