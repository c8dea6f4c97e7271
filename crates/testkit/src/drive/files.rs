//! `files` and `about`, without what goes through an upload session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::http::{Content, Reply, Request};
use super::oauth::client_of;
use super::query::Query;
use super::world::{FOLDER, MY_DRIVE, Row, World};
use super::{ACCOUNT, Shared};

/// What a file shows of itself where no fields are asked for.
const DEFAULT_FIELDS: &str = "kind,id,name,mimeType";

/// Answers a request below `/drive/v3/`.
pub(super) fn answer(shared: &Arc<Shared>, request: &Request, path: &str, body: &[u8]) -> Reply {
    let mut world = shared.lock();
    let client = match client_of(&world, request) {
        Ok(client) => client,
        Err(reply) => return reply,
    };
    match (request.method.as_str(), path) {
        ("GET", "about") => about(&world, request),
        ("GET", "files/generateIds") => generate_ids(&mut world, request),
        ("GET", "files") => list(&world, request, &client),
        ("POST", "files") => create(&mut world, request, &client, body),
        (method, path) => {
            let Some(id) = path.strip_prefix("files/") else {
                return Reply::error(404, "notFound", "There is no such address.");
            };
            if world.seen(id, &client).is_none() {
                return not_found(id);
            }
            match method {
                "GET" if request.parameter("alt") == Some("media") => download(shared, &world, request, id),
                "GET" => file_reply(&world, id, request.parameter("fields")),
                "PATCH" => update(&mut world, request, &client, id, body),
                "DELETE" => {
                    world.remove(id);
                    Reply::empty(204)
                }
                _ => Reply::error(405, "httpMethodNotAllowed", "That is not done here."),
            }
        }
    }
}

pub(super) fn not_found(id: &str) -> Reply {
    Reply::error(404, "notFound", &format!("File not found: {id}."))
}

/// A file, with the fields that are asked for.
pub(super) fn file_reply(world: &World, id: &str, fields: Option<&str>) -> Reply {
    match world.row(id) {
        None => not_found(id),
        Some(row) => match select(&shown(world, row), fields.unwrap_or(DEFAULT_FIELDS)) {
            Some(file) => Reply::json(200, &file),
            None => bad_fields(),
        },
    }
}

fn bad_fields() -> Reply {
    Reply::error(400, "invalidParameter", "Invalid field selection")
}

fn about(world: &World, request: &Request) -> Reply {
    let Some(fields) = request.parameter("fields") else {
        return Reply::error(
            400,
            "required",
            "The 'fields' parameter is required for this method.",
        );
    };
    let mut quota = json!({ "usage": world.usage().to_string(), "usageInDrive": world.usage().to_string() });
    if let Some(limit) = world.quota {
        quota["limit"] = Value::from(limit.to_string());
    }
    let about = json!({
        "kind": "drive#about",
        "user": { "kind": "drive#user", "displayName": "Ada", "me": true, "emailAddress": ACCOUNT },
        "storageQuota": quota,
    });
    select(&about, fields).map_or_else(bad_fields, |about| Reply::json(200, &about))
}

fn generate_ids(world: &mut World, request: &Request) -> Reply {
    let count: usize = request
        .parameter("count")
        .map_or(Ok(10), str::parse)
        .unwrap_or_default();
    if !(1..=1000).contains(&count) {
        return Reply::error(400, "invalidParameter", "Invalid value for count.");
    }
    let ids: Vec<String> = (0..count).map(|_| world.random("1")).collect();
    world.ids.extend(ids.clone());
    Reply::json(
        200,
        &json!({ "kind": "drive#generatedIds", "space": "drive", "ids": ids }),
    )
}

fn list(world: &World, request: &Request, client: &str) -> Reply {
    let known = [
        "q",
        "pageSize",
        "pageToken",
        "fields",
        "corpora",
        "spaces",
        "alt",
        "prettyPrint",
    ];
    if let Some((other, _)) = request
        .query
        .iter()
        .find(|(key, _)| !known.contains(&key.as_str()))
    {
        return Reply::error(400, "invalidParameter", &format!("{other} is not emulated."));
    }
    let query = match request.parameter("q").map(Query::parse) {
        Some(None) => return Reply::error(400, "invalid", "Invalid Value"),
        Some(Some(query)) => Some(query),
        None => None,
    };
    if let Some(folder) = query
        .iter()
        .flat_map(Query::folders)
        .find(|id| !world.is_folder_of(id, client))
    {
        return not_found(folder);
    }
    let size: usize = request
        .parameter("pageSize")
        .map_or(Ok(100), str::parse)
        .unwrap_or_default();
    let before: Option<u64> = match request.parameter("pageToken").map(str::parse) {
        Some(Err(_)) => return Reply::error(400, "invalid", "Invalid pageToken"),
        Some(Ok(before)) => Some(before),
        None => None,
    };
    if !(1..=1000).contains(&size) {
        return Reply::error(400, "invalidParameter", "Invalid value for pageSize.");
    }
    // Google promises no order; the newest first is as good as any.
    let mut matching = world
        .rows
        .range(..before.unwrap_or(u64::MAX))
        .rev()
        .filter(|(_, row)| row.client == client)
        .filter(|(_, row)| query.as_ref().is_none_or(|query| query.holds(row, world)));
    let page: Vec<(&u64, &Row)> = matching.by_ref().take(size.min(world.page_limit)).collect();
    let mut answer = json!({
        "kind": "drive#fileList",
        "incompleteSearch": false,
        "files": page.iter().map(|(_, row)| shown(world, row)).collect::<Vec<_>>(),
    });
    if let Some((last, _)) = page.last()
        && matching.next().is_some()
    {
        answer["nextPageToken"] = Value::from(last.to_string());
    }
    let default = format!("kind,incompleteSearch,nextPageToken,files({DEFAULT_FIELDS})");
    select(&answer, request.parameter("fields").unwrap_or(&default))
        .map_or_else(bad_fields, |answer| Reply::json(200, &answer))
}

/// What a client wants to make; shared with upload sessions.
pub(super) fn new_row(world: &mut World, client: &str, body: &[u8]) -> Result<Row, Reply> {
    let bad = |message: &str| Reply::error(400, "badRequest", message);
    let Ok(file) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Err(bad("Parse Error"));
    };
    let text = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
    let parents: Vec<String> = match file.get("parents") {
        None => Vec::new(),
        Some(parents) => {
            serde_json::from_value(parents.clone()).map_err(|_| bad("parents is a list of ids"))?
        }
    };
    if parents.len() > 1 {
        return Err(Reply::error(
            403,
            "multipleParentsNotSupported",
            "A file has one parent.",
        ));
    }
    let parent = match parents.into_iter().next() {
        None => MY_DRIVE.to_owned(),
        Some(id) if !world.is_folder_of(&id, client) => return Err(not_found(&id)),
        Some(id) if id == "root" => MY_DRIVE.to_owned(),
        Some(id) => id,
    };
    let id = match text("id") {
        None => world.random("1"),
        Some(id) if world.row(&id).is_some() => {
            return Err(Reply::error(
                409,
                "fileIdInUse",
                "A file already exists with the provided ID.",
            ));
        }
        Some(id) if world.ids.contains(&id) => id,
        Some(_) => {
            return Err(bad(
                "The provided file ID is not usable; it must be one of files.generateIds.",
            ));
        }
    };
    let app_properties: BTreeMap<String, String> = file
        .get("appProperties")
        .and_then(|properties| serde_json::from_value(properties.clone()).ok())
        .unwrap_or_default();
    Ok(Row {
        id,
        name: text("name").unwrap_or_else(|| "Untitled".to_owned()),
        mime: text("mimeType").unwrap_or_else(|| "application/octet-stream".to_owned()),
        parent,
        client: client.to_owned(),
        len: 0,
        sha256: None,
        content: None,
        app_properties,
        created: SystemTime::now(),
        binned: false,
    })
}

fn create(world: &mut World, request: &Request, client: &str, body: &[u8]) -> Reply {
    match new_row(world, client, body) {
        Err(reply) => reply,
        Ok(row) => {
            let id = row.id.clone();
            world.insert(row);
            file_reply(world, &id, request.parameter("fields"))
        }
    }
}

fn update(world: &mut World, request: &Request, client: &str, id: &str, body: &[u8]) -> Reply {
    let Ok(change) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Reply::error(400, "badRequest", "Parse Error");
    };
    if let Some(row) = world.seen_mut(id, client) {
        for (key, value) in &change {
            match (key.as_str(), value) {
                ("trashed", Value::Bool(trashed)) => row.binned = *trashed,
                _ => {
                    return Reply::error(
                        403,
                        "fieldNotWritable",
                        "The resource body includes fields which are not directly writable.",
                    );
                }
            }
        }
    }
    file_reply(world, id, request.parameter("fields"))
}

fn download(shared: &Shared, world: &World, request: &Request, id: &str) -> Reply {
    let Some(row) = world.row(id) else {
        return not_found(id);
    };
    if row.mime == FOLDER {
        return Reply::error(
            403,
            "fileNotDownloadable",
            "Only files with binary content can be downloaded.",
        );
    }
    let content = |start: u64, len: u64| match &row.content {
        Some(name) => Content::File {
            path: shared.content(name),
            start,
            len,
        },
        None => Content::Bytes(vec![0; usize::try_from(len).unwrap_or_default()]),
    };
    let Some(range) = request.header("range") else {
        return Reply {
            status: 200,
            headers: vec![("Content-Type", row.mime.clone())],
            body: content(0, row.len),
        };
    };
    let parsed = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    match parsed {
        Some((first, last)) if first <= last && first < row.len => {
            let last = last.min(row.len - 1);
            Reply {
                status: 206,
                headers: vec![
                    ("Content-Type", row.mime.clone()),
                    ("Content-Range", format!("bytes {first}-{last}/{}", row.len)),
                ],
                body: content(first, last - first + 1),
            }
        }
        _ => Reply::error(
            416,
            "requestedRangeNotSatisfiable",
            "Request range not satisfiable",
        )
        .header("Content-Range", format!("bytes */{}", row.len)),
    }
}

/// Everything that a file could show.
fn shown(world: &World, row: &Row) -> Value {
    let created = jiff::Timestamp::try_from(row.created).unwrap_or_default();
    let mut file = json!({
        "kind": "drive#file",
        "id": row.id,
        "name": row.name,
        "mimeType": row.mime,
        "parents": [row.parent],
        "trashed": world.is_trashed(row),
        "explicitlyTrashed": row.binned,
        "createdTime": format!("{created:.3}"),
        "appProperties": row.app_properties,
    });
    if row.mime != FOLDER {
        // Numbers of 64 bits are texts in Google's JSON.
        file["size"] = Value::from(row.len.to_string());
        if let Some(sha256) = &row.sha256 {
            file["sha256Checksum"] = Value::from(sha256.as_str());
        }
    }
    file
}

/// What a field selector leaves of a value: `a,b(c,d),e/f`, `*`.
fn select(value: &Value, fields: &str) -> Option<Value> {
    if fields == "*" {
        return Some(value.clone());
    }
    if let Value::Array(items) = value {
        return items.iter().map(|item| select(item, fields)).collect();
    }
    let mut chosen = Map::new();
    let mut depth = 0_usize;
    let parts = fields.split(|letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    for part in parts {
        let end = part.find(['(', '/']).unwrap_or(part.len());
        let (name, below) = part.split_at(end);
        let below = match below.strip_prefix('/') {
            Some(path) => path,
            None if below.is_empty() => "*",
            None => below.strip_prefix('(')?.strip_suffix(')')?,
        };
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'*')
        {
            return None;
        }
        if let Some(inner) = value.get(name) {
            chosen.insert(name.to_owned(), select(inner, below)?);
        }
    }
    Some(Value::Object(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_leaves_what_it_names() {
        let value =
            json!({ "next": "x", "files": [{ "id": 1, "name": "a", "user": { "mail": "m", "me": true } }] });
        assert_eq!(
            select(&value, "files(id,user/mail)"),
            Some(json!({ "files": [{ "id": 1, "user": { "mail": "m" } }] }))
        );
        assert_eq!(
            select(&value, "next,files(name),absent"),
            Some(json!({ "next": "x", "files": [{ "name": "a" }] }))
        );
        assert_eq!(select(&value, "*"), Some(value.clone()));
        assert_eq!(select(&value, "files(id"), None);
    }
}
