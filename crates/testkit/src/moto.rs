//! moto, an S3 that knows what rclone's does not: conditional writes, checksums, storage classes, encryption, buckets in the host
//! name. It believes any access key.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context as _, ensure};

use crate::tools::{Server, tool};

/// A running moto server on 127.0.0.1; dropping it ends it, and what it held.
#[derive(Debug)]
pub struct Moto {
    server: Server,
}

/// moto asks for a signature, and compares it with nothing.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

impl Moto {
    /// Starts one with an empty bucket `backups`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> anyhow::Result<Self> {
        let server = Server::start(&tool("python/bin/moto_server")?, |command, port, folder| {
            command
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .env("HOME", folder)
                // Else it asks the network what a machine at Amazon is called.
                .env("AWS_EC2_METADATA_DISABLED", "true")
                .env("AWS_DEFAULT_REGION", "us-east-1");
            Ok(())
        })?;
        let moto = Self { server };
        moto.make_bucket("backups")?;
        Ok(moto)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Makes a bucket, in us-east-1.
    ///
    /// # Errors
    /// When it is refused.
    pub fn make_bucket(&self, name: &str) -> anyhow::Result<()> {
        let answer = self.ask("PUT", &format!("/{name}"))?;
        ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "moto made no bucket: {answer}"
        );
        Ok(())
    }

    /// Whether a bucket holds nothing: no object, and no upload that nobody finished.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn is_empty(&self, bucket: &str) -> anyhow::Result<bool> {
        let objects = self.ask("GET", &format!("/{bucket}?list-type=2"))?;
        let uploads = self.ask("GET", &format!("/{bucket}?uploads"))?;
        for answer in [&objects, &uploads] {
            ensure!(answer.starts_with("HTTP/1.1 200"), "moto does not list: {answer}");
        }
        Ok(!objects.contains("<Contents>") && !uploads.contains("<UploadId>"))
    }

    /// A request that only looks signed, which is enough for moto, and its whole answer: head and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, method: &str, target: &str) -> anyhow::Result<String> {
        self.ask_with(method, target, b"")
    }

    /// Puts an object there as a client does that uploads everything in parts, which gives the same bytes another ETag.
    /// `target` is `/bucket/key`; one part suffices for that.
    ///
    /// # Errors
    /// When it is refused.
    pub fn upload_in_parts(&self, target: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let begun = self.ask("POST", &format!("{target}?uploads"))?;
        let upload = begun
            .split_once("<UploadId>")
            .and_then(|(_, rest)| rest.split_once("</UploadId>"))
            .map(|(id, _)| id.to_owned())
            .with_context(|| format!("moto began no upload: {begun}"))?;
        let put = self.ask_with("PUT", &format!("{target}?partNumber=1&uploadId={upload}"), bytes)?;
        let tag = put
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("etag:")
                    .map(|tag| tag.trim().to_owned())
            })
            .with_context(|| format!("moto took no part: {put}"))?;
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
        );
        let ended = self.ask_with("POST", &format!("{target}?uploadId={upload}"), list.as_bytes())?;
        ensure!(ended.starts_with("HTTP/1.1 200"), "moto ended no upload: {ended}");
        Ok(())
    }

    fn ask_with(&self, method: &str, target: &str, body: &[u8]) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port()))?;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: {SIGNED}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.port(),
            body.len()
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.server.log()
    }
}
