//! Reads the answer to PROPFIND (RFC 4918, 9.1 and 14.16): what lies in a collection, and how large it is. It knows no
//! connection.

use percent_encoding::percent_decode_str;
use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use url::Url;

/// What is asked of each resource.
pub(super) const QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/></prop></propfind>";

/// What is asked of the root, for the space that is left (RFC 4331).
pub(super) const QUOTA_QUESTION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <propfind xmlns=\"DAV:\"><prop><quota-available-bytes/></prop></propfind>";

/// A file or collection, as the server tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Resource {
    /// Its path on the server, decoded, without slashes at the end.
    pub(super) path: String,
    /// Whether it is a collection.
    pub(super) collection: bool,
    /// Its bytes, where they are told.
    pub(super) len: Option<u64>,
    /// Bytes that could still be written, where they are told and are a number of bytes at all.
    pub(super) available: Option<u64>,
    /// The status that it has by itself, where it has one: what could not be removed in an answer to DELETE.
    pub(super) status: Option<u16>,
}

/// An answer that is not what the standard says.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// No XML, or no end of it.
    #[error("the answer is no XML that is well-formed: {0}")]
    Xml(#[from] quick_xml::Error),
    /// Not UTF-8.
    #[error("the answer is not in UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// XML of another kind.
    #[error("the answer is no multistatus document")]
    OtherDocument,
    /// A path that is none.
    #[error("the answer names a path that is none: {0}")]
    Href(String),
    /// The paths are not those that were asked for.
    #[error("the answer is about other paths than was asked: {0}")]
    OtherPaths(String),
}

/// Where in the document the reader stands. Elements of other namespaces have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Multistatus,
    Response,
    Href,
    Propstat,
    Prop,
    Status,
    ResourceType,
    Collection,
    Length,
    Available,
    Other,
}

fn element(namespace: &ResolveResult<'_>, name: &str) -> Element {
    if *namespace != ResolveResult::Bound(Namespace("DAV:")) {
        return Element::Other;
    }
    match name {
        "multistatus" => Element::Multistatus,
        "response" => Element::Response,
        "href" => Element::Href,
        "propstat" => Element::Propstat,
        "prop" => Element::Prop,
        "status" => Element::Status,
        "resourcetype" => Element::ResourceType,
        "collection" => Element::Collection,
        "getcontentlength" => Element::Length,
        "quota-available-bytes" => Element::Available,
        _ => Element::Other,
    }
}

/// The reader's state between two events.
#[derive(Default)]
struct Gathered {
    /// The elements that are open, outermost first.
    open: Vec<Element>,
    /// Text of the innermost one.
    text: String,
    /// Of the response that is open.
    current: Resource,
    /// Of the propstat that is open: they count only if its status is a success.
    properties: Resource,
    properties_status: Option<u16>,
    found: Vec<Resource>,
}

/// Reads a multistatus document. `base` is the URL that was asked, to which relative paths belong.
pub(super) fn read(document: &[u8], base: &Url) -> Result<Vec<Resource>, Unreadable> {
    let text = std::str::from_utf8(document)?;
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
    let mut gathered = Gathered::default();
    let mut is_multistatus = false;
    loop {
        let (namespace, event) = reader.read_resolved_event()?;
        match event {
            Event::Start(start) => {
                let element = element(&namespace, start.local_name().as_ref());
                if gathered.open.is_empty() {
                    is_multistatus = element == Element::Multistatus;
                }
                gathered.begin(element);
            }
            Event::Empty(start) => {
                let element = element(&namespace, start.local_name().as_ref());
                if gathered.open.is_empty() {
                    is_multistatus = element == Element::Multistatus;
                }
                gathered.begin(element);
                gathered.end(base)?;
            }
            Event::End(_) => gathered.end(base)?,
            Event::Text(text) => gathered.text.push_str(&text),
            Event::CData(text) => gathered.text.push_str(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref()? {
                Some(character) => gathered.text.push(character),
                // Entities of a document type of its own are not read: there is none in WebDAV.
                None => match quick_xml::escape::resolve_predefined_entity(&reference) {
                    Some(text) => gathered.text.push_str(text),
                    None => return Err(Unreadable::OtherDocument),
                },
            },
            Event::Eof => break,
            _ => {}
        }
    }
    if !is_multistatus || !gathered.open.is_empty() {
        return Err(Unreadable::OtherDocument);
    }
    Ok(gathered.found)
}

impl Gathered {
    fn begin(&mut self, element: Element) {
        self.text.clear();
        match element {
            Element::Response => self.current = Resource::default(),
            Element::Propstat => {
                self.properties = Resource::default();
                self.properties_status = None;
            }
            _ => {}
        }
        self.open.push(element);
    }

    fn end(&mut self, base: &Url) -> Result<(), Unreadable> {
        let Some(element) = self.open.pop() else {
            return Ok(());
        };
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let parent = self.open.last().copied();
        match (element, parent) {
            (Element::Href, Some(Element::Response)) => self.current.path = decoded_path(text, base)?,
            (Element::Status, Some(Element::Propstat)) => self.properties_status = status(text),
            (Element::Status, Some(Element::Response)) => self.current.status = status(text),
            (Element::Collection, Some(Element::ResourceType)) => self.properties.collection = true,
            (Element::Length, Some(Element::Prop)) => self.properties.len = text.parse().ok(),
            // Nextcloud says −1, −2 or −3 where it does not know or has no limit.
            (Element::Available, Some(Element::Prop)) => self.properties.available = text.parse().ok(),
            (Element::Propstat, _) if self.properties_status.is_none_or(|status| status / 100 == 2) => {
                self.current.collection |= self.properties.collection;
                self.current.len = self.properties.len.or(self.current.len);
                self.current.available = self.properties.available.or(self.current.available);
            }
            (Element::Response, _) => self.found.push(std::mem::take(&mut self.current)),
            _ => {}
        }
        Ok(())
    }
}

/// `HTTP/1.1 404 Not Found`.
fn status(line: &str) -> Option<u16> {
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The path of a reference that may be absolute or relative, without its escapes and last slashes.
fn decoded_path(href: &str, base: &Url) -> Result<String, Unreadable> {
    let url = base.join(href).map_err(|_| Unreadable::Href(href.to_owned()))?;
    decoded(url.path()).ok_or_else(|| Unreadable::Href(href.to_owned()))
}

/// A path of a URL without its escapes and last slashes.
fn decoded(path: &str) -> Option<String> {
    let path = percent_decode_str(path.trim_end_matches('/'))
        .decode_utf8()
        .ok()?;
    Some(path.into_owned())
}

/// Of an answer to `Depth: 1`, what lies directly in the collection that was asked: names and resources. The collection
/// itself must be in it: an answer about other paths must not pass for an empty folder.
pub(super) fn children(found: Vec<Resource>, asked: &Url) -> Result<Vec<(String, Resource)>, Unreadable> {
    let asked = decoded(asked.path()).unwrap_or_default();
    // A proxy may have cut the path or added to it; then the collection is the shortest path there is.
    let root = if found.iter().any(|resource| resource.path == asked) {
        asked.clone()
    } else {
        let shortest = found.iter().min_by_key(|resource| resource.path.len());
        shortest.map(|resource| resource.path.clone()).unwrap_or_default()
    };
    let mut children = Vec::new();
    let mut has_itself = false;
    for resource in found {
        if resource.path == root {
            has_itself = true;
            continue;
        }
        match resource
            .path
            .strip_prefix(&root)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            Some(name) if !name.contains('/') => children.push((name.to_owned(), resource)),
            // Deeper than was asked: some servers send all there is.
            Some(_) => {}
            None => return Err(Unreadable::OtherPaths(resource.path)),
        }
    }
    if has_itself {
        Ok(children)
    } else {
        Err(Unreadable::OtherPaths(asked))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn base() -> Url {
        Url::parse("https://cloud.example.com/dav/files/ada%20b/backups/").unwrap()
    }

    /// Apache, Nextcloud (SabreDAV), Go's: prefixes, absolute and relative paths, escapes of both cases.
    #[rstest]
    #[case::apache(r#"<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:"><D:href>/dav/files/ada%20b/backups/</D:href>
<D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>
<D:response><D:href>/dav/files/ada%20b/backups/R%26D%20%c3%bc.zst</D:href>
<D:propstat><D:prop><lp1:resourcetype xmlns:lp1="DAV:"/><lp1:getcontentlength xmlns:lp1="DAV:">42</lp1:getcontentlength></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
</D:multistatus>"#)]
    #[case::sabre(r#"<?xml version="1.0"?>
<d:multistatus xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns"><d:response><d:href>https://cloud.example.com/dav/files/ada%20b/backups/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype><oc:size>42</oc:size></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response><d:response><d:href>https://cloud.example.com/dav/files/ada%20b/backups/R&amp;D%20%C3%BC.zst</d:href><d:propstat><d:prop><d:resourcetype/><d:getcontentlength>42</d:getcontentlength></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"#)]
    #[case::relative(r#"<multistatus xmlns="DAV:"><response><href>./</href><propstat><prop><resourcetype><collection></collection></resourcetype></prop></propstat></response><response><href>R&#38;D%20ü.zst</href><propstat><status>HTTP/1.1 200 OK</status><prop><getcontentlength> 42 </getcontentlength></prop></propstat></response></multistatus>"#)]
    #[case::behind_a_proxy(r#"<multistatus xmlns="DAV:"><response><href>/</href><propstat><prop><resourcetype><collection/></resourcetype></prop></propstat></response><response><href>/R&#x26;D%20ü.zst</href><propstat><prop><getcontentlength>42</getcontentlength></prop></propstat></response></multistatus>"#)]
    fn a_collection_and_a_file_are_read_from_every_dialect(#[case] document: &str) {
        let children = children(read(document.as_bytes(), &base()).unwrap(), &base()).unwrap();
        let [(name, resource)] = &children[..] else {
            panic!("{children:?}")
        };
        assert_eq!(name, "R&D ü.zst");
        assert!(!resource.collection && resource.len == Some(42), "{resource:?}");
    }

    #[rstest]
    #[case::a_page("<html><body>Log in</body></html>")]
    #[case::nothing("")]
    #[case::cut(r#"<multistatus xmlns="DAV:"><response><href>/dav</href>"#)]
    #[case::another_namespace(r#"<multistatus xmlns="urn:x"></multistatus>"#)]
    #[case::an_entity_of_its_own(r#"<!DOCTYPE x [<!ENTITY e "x">]><multistatus xmlns="DAV:"><response><href>&e;</href></response></multistatus>"#)]
    fn what_is_no_multistatus_is_an_error(#[case] document: &str) {
        assert!(read(document.as_bytes(), &base()).is_err());
    }

    #[rstest]
    #[case::nothing_at_all(r#"<multistatus xmlns="DAV:"></multistatus>"#)]
    #[case::strangers(r#"<multistatus xmlns="DAV:"><response><href>/a/b</href></response><response><href>/c/d/e</href></response></multistatus>"#)]
    fn an_answer_about_other_paths_is_no_empty_folder(#[case] document: &str) {
        let found = read(document.as_bytes(), &base()).unwrap();
        assert!(children(found, &base()).is_err());
    }

    #[rstest]
    #[case("123456789012", Some(123_456_789_012))]
    #[case("-3", None)]
    #[case("", None)]
    fn the_quota_is_read_where_it_is_a_number_of_bytes(#[case] text: &str, #[case] expected: Option<u64>) {
        let document = format!(
            r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/x/</d:href><d:propstat><d:prop><d:quota-available-bytes>{text}</d:quota-available-bytes></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"#
        );
        assert_eq!(read(document.as_bytes(), &base()).unwrap()[0].available, expected);
    }

    #[test]
    fn what_could_not_be_removed_has_a_status_of_its_own() {
        let document = r#"<d:multistatus xmlns:d="DAV:"><d:response><d:href>/x/a</d:href><d:status>HTTP/1.1 423 Locked</d:status></d:response></d:multistatus>"#;
        assert_eq!(read(document.as_bytes(), &base()).unwrap()[0].status, Some(423));
    }
}
