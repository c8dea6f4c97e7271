//! Azurite, Microsoft's emulator of Azure Storage: a Blob service on 127.0.0.1 that keeps everything in memory.
//!
//! It knows one account, with one empty container. What tests want to see or to put there beside the client under test goes by
//! an account SAS that is made here.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac;
use data_encoding::BASE64;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::tools::{Server, free_port, tool};

/// The account.
pub const ACCOUNT: &str = "howdahtest";
/// The account's key.
pub const KEY: &str =
    "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZSwgNjQgYnl0ZXMgbG9uZyBhcyBBenVyZSdzIG93biBrZXlzIQ==";
/// The container.
pub const CONTAINER: &str = "backups";
/// The version of the protocol that signatures are made for.
const VERSION: &str = "2022-11-02";

/// A running Azurite; dropping it ends it.
#[derive(Debug)]
pub struct Azurite {
    server: Server,
}

impl Azurite {
    /// Starts it, and makes the container.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_on(free_port()?)
    }

    /// Starts it on a port that an earlier one had. It remembers nothing of that one.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_on(port: u16) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("howdah-azurite-").tempdir()?;
        let program = tool("azurite/node_modules/.bin/azurite-blob")?;
        let server = Server::start_in(folder, port, &program, |command, port, folder| {
            command
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
                .args([
                    "--inMemoryPersistence",
                    "--skipApiVersionCheck",
                    "--disableTelemetry",
                ])
                .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"))
                .env("HOME", folder);
            Ok(())
        })?;
        let azurite = Self { server };
        azurite.request("PUT", &format!("/{CONTAINER}?restype=container"), &[], b"")?;
        Ok(azurite)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The account's URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port())
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it, and hands on its port.
    pub fn stop(self) -> u16 {
        self.server.stop().1
    }

    /// The names of all blobs, in order; with those too of which only blocks are there that nobody committed.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn blobs(&self, uncommitted_too: bool) -> anyhow::Result<Vec<String>> {
        let include = if uncommitted_too {
            "&include=uncommittedblobs"
        } else {
            ""
        };
        let target = format!("/{CONTAINER}?restype=container&comp=list{include}");
        let list = self.request("GET", &target, &[], b"")?;
        let names = list.split("<Name>").skip(1);
        Ok(names
            .filter_map(|rest| rest.split_once("</Name>"))
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    /// Puts a blob there, whatever its name.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let target = format!("/{CONTAINER}/{name}");
        self.request("PUT", &target, &["x-ms-blob-type: BlockBlob"], bytes)?;
        Ok(())
    }

    /// Removes the container with all that is in it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn remove_container(&self) -> anyhow::Result<()> {
        self.request("DELETE", &format!("/{CONTAINER}?restype=container"), &[], b"")?;
        Ok(())
    }

    fn request(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> anyhow::Result<String> {
        let sign = if target.contains('?') { '&' } else { '?' };
        let sas = sas("rwdlac", "2099-01-01T00:00:00Z");
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port()))?;
        write!(
            connection,
            "{method} /{ACCOUNT}{target}{sign}{sas} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-ms-version: {VERSION}\r\n\
             Content-Length: {}\r\nConnection: close\r\n",
            self.port(),
            body.len()
        )?;
        for header in headers {
            write!(connection, "{header}\r\n")?;
        }
        write!(connection, "\r\n")?;
        connection.write_all(body)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).context("an answer with a status")?;
        ensure!(status.starts_with('2'), "{method} {target}: {answer}");
        Ok(answer)
    }
}

/// A SAS token for the account's whole Blob service, with these permissions, until then.
///
/// See <https://learn.microsoft.com/rest/api/storageservices/create-account-sas>, “Construct the signature string”.
///
/// # Panics
/// Never: the key is a constant.
pub fn sas(permissions: &str, until: &str) -> String {
    let (services, types, start, addresses, protocols, scope) = ("b", "sco", "", "", "", "");
    let signed = format!(
        "{ACCOUNT}\n{permissions}\n{services}\n{types}\n{start}\n{until}\n{addresses}\n{protocols}\n{VERSION}\n{scope}\n"
    );
    let key = BASE64.decode(KEY.as_bytes()).expect("BUG: the key is base64");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    let signature = BASE64.encode(tag.as_ref());
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!(
        "sv={VERSION}&ss={services}&srt={types}&sp={permissions}&se={}&sig={}",
        encode(until),
        encode(&signature)
    )
}
