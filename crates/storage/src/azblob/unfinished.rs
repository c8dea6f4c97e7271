//! Blobs of which there are only blocks that were never committed: what an upload leaves whose process was killed. A list
//! shows them when asked to, and deleting them by name removes the blocks. (That is how Microsoft's own AzCopy cleans up.)
//!
//! opendal cannot ask for them, so the request is made here.

use http::Request;
use opendal::Buffer;
use opendal::raw::oio::ReadStream as _;
use opendal::raw::{Operation, percent_encode_path};
use serde::Deserialize;

use crate::cloud::trouble::Trouble;
use crate::cloud::wire::Wire;

/// The version of the protocol: the one that opendal uses.
const VERSION: &str = "2022-11-02";

/// A page of a list, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    blobs: Blobs,
    #[serde(default)]
    next_marker: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blobs {
    #[serde(default)]
    blob: Vec<Blob>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    name: String,
}

/// The names of all blobs that begin with `prefix`, of those too that are not there yet. Who asks has removed the others.
pub(super) async fn list(wire: &Wire, container: &str, prefix: &str) -> Result<Vec<String>, Trouble> {
    let mut names = Vec::new();
    let mut marker = String::new();
    loop {
        let page = page(wire, container, prefix, &marker).await?;
        names.extend(page.blobs.blob.into_iter().map(|blob| blob.name));
        marker = page.next_marker;
        if marker.is_empty() {
            return Ok(names);
        }
    }
}

async fn page(wire: &Wire, container: &str, prefix: &str, marker: &str) -> Result<Page, Trouble> {
    let mut url = format!(
        "{container}?restype=container&comp=list&include=uncommittedblobs&prefix={}",
        percent_encode_path(prefix)
    );
    if !marker.is_empty() {
        url.push_str("&marker=");
        url.push_str(&percent_encode_path(marker));
    }
    let request = Request::get(url)
        .header("x-ms-version", VERSION)
        .extension(Operation::List)
        .body(Buffer::new())
        .map_err(|_| Trouble::Unsendable("the container's address is no URL".to_owned()))?;
    let mut body = wire.ask(request).await?.into_body();
    let senseless = || Trouble::Unreachable("the list of blobs makes no sense".to_owned());
    let bytes = body.read_all().await.map_err(|_| senseless())?.to_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|_| senseless())?;
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}')).map_err(|_| senseless())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_with_names_as_they_are_written() {
        let page: Page = quick_xml::de::from_str(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"c\"><Prefix>a/</Prefix>\
             <Blobs><Blob><Name>a/ä &amp; b</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>\
             <Blob><Name>a/c</Name></Blob></Blobs><NextMarker>2!x</NextMarker></EnumerationResults>",
        )
        .unwrap();
        let names: Vec<_> = page.blobs.blob.iter().map(|blob| blob.name.as_str()).collect();
        assert_eq!(names, ["a/ä & b", "a/c"]);
        assert_eq!(page.next_marker, "2!x");
        let last: Page =
            quick_xml::de::from_str("<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>")
                .unwrap();
        assert!(last.blobs.blob.is_empty() && last.next_marker.is_empty());
    }
}
