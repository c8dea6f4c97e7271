//! What the emulator answers.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::BUCKET;
use super::bucket::{Bucket, Object, Sums};
use super::faults::{Fault, Step, What, strike};
use super::http::{Answer, Reply, Request};
use super::tokens::Tokens;

/// Parts but the last are a multiple of this long, and whatever else arrives is cut to one.
const QUANTUM: usize = 256 << 10;

/// An upload that was begun.
#[derive(Debug)]
pub(super) struct Upload {
    name: String,
    bytes: Vec<u8>,
    metadata: Map<String, Value>,
    /// The generation that the object must have, where that was demanded.
    condition: Option<u64>,
}

/// Everything that the emulator remembers.
#[derive(Debug)]
pub(super) struct State {
    endpoint: String,
    pub(super) tokens: Tokens,
    pub(super) bucket: Option<Bucket>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Uploads that became objects: their last answer is given again.
    finished: BTreeMap<String, String>,
    begun: usize,
    pub(super) faults: Vec<Fault>,
    pub(super) read_only: bool,
    pub(super) quota: Option<u64>,
    pub(super) page: usize,
    pub(super) requests: usize,
}

impl State {
    pub(super) fn new(endpoint: String) -> anyhow::Result<Self> {
        Ok(Self {
            tokens: Tokens::new(&endpoint)?,
            endpoint,
            bucket: Some(Bucket::default()),
            uploads: BTreeMap::new(),
            finished: BTreeMap::new(),
            begun: 0,
            faults: Vec::new(),
            read_only: false,
            quota: None,
            page: 1000,
            requests: 0,
        })
    }

    /// Does what a request asks for, and what the faults want.
    pub(super) fn reply(&mut self, mut request: Request) -> Reply {
        self.requests += 1;
        let step = step(&request);
        let what = step.and_then(|step| strike(&mut self.faults, step));
        match what {
            Some(What::HangUp) => return Reply::HangUp,
            Some(What::Stall) => return Reply::Stall,
            Some(What::Refuse {
                status,
                reason,
                retry_after,
            }) => {
                let mut answer = refuse(status, reason, "It is refused on purpose.");
                if let Some(seconds) = retry_after {
                    answer.headers.push(("Retry-After", seconds.to_string()));
                }
                return Reply::Answer(answer);
            }
            Some(What::Alter) => {
                if let Some(byte) = request.body.first_mut() {
                    *byte ^= 1;
                }
            }
            Some(What::LoseAnswer | What::CutAnswer(_)) | None => {}
        }
        let answer = match step {
            Some(step) => self.answer(step, &request).unwrap_or_else(|refusal| refusal),
            None => refuse(501, "notImplemented", "The emulator does not know this request."),
        };
        match what {
            Some(What::LoseAnswer) => Reply::HangUp,
            Some(What::CutAnswer(bytes)) => Reply::Cut(answer, bytes),
            _ => Reply::Answer(answer),
        }
    }

    fn answer(&mut self, step: Step, request: &Request) -> Result<Answer, Answer> {
        if step == Step::Token {
            let (status, body) = self.tokens.grant(&request.body);
            return Ok(answer(status, &body));
        }
        // The session's address is all that is needed for its requests.
        if matches!(step, Step::Part | Step::Last | Step::Question | Step::End) {
            return self.upload(step, request);
        }
        match request.header("authorization") {
            None => return Err(refuse(401, "required", "Login Required")),
            Some(shown) if !self.tokens.accepts(shown) => {
                return Err(refuse(401, "authError", "Invalid Credentials"));
            }
            Some(_) => {}
        }
        if self.read_only && matches!(step, Step::Begin | Step::Delete) {
            return Err(refuse(
                403,
                "forbidden",
                "The account does not have storage.objects.create access.",
            ));
        }
        let missing = || refuse(404, "notFound", "The specified bucket does not exist.");
        let bucket = self.bucket.as_mut().ok_or_else(missing)?;
        match step {
            Step::List => {
                let most = request
                    .parameter("maxResults")
                    .and_then(|text| text.parse().ok())
                    .map_or(self.page, |most: usize| most.min(self.page));
                let prefix = request.parameter("prefix").unwrap_or_default();
                let (items, next) = bucket.page(prefix, request.parameter("pageToken"), most);
                let mut page = json!({"kind": "storage#objects"});
                if !items.is_empty() {
                    page["items"] = items.into();
                }
                if let Some(next) = next {
                    page["nextPageToken"] = next.into();
                }
                Ok(answer(200, &page))
            }
            Step::Begin => self.begin(request),
            Step::Stat | Step::Read | Step::Delete => {
                let name = object_name(request).unwrap_or_default();
                let absent = || refuse(404, "notFound", &format!("No such object: {BUCKET}/{name}"));
                let object = bucket.get(&name).ok_or_else(absent)?.clone();
                check(object.generation, condition(request))?;
                match step {
                    Step::Stat => Ok(answer(200, &object.resource(&name))),
                    Step::Read => read(request, &object),
                    _ => {
                        bucket.remove(&name);
                        Ok(answer(204, &Value::Null))
                    }
                }
            }
            _ => Err(refuse(
                501,
                "notImplemented",
                "The emulator does not know this request.",
            )),
        }
    }

    fn begin(&mut self, request: &Request) -> Result<Answer, Answer> {
        let Some(name) = request.parameter("name").filter(|name| !name.is_empty()) else {
            return Err(refuse(400, "required", "Required parameter: name"));
        };
        let condition = condition(request);
        check(self.generation(name), condition)?;
        let resource: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        self.begun += 1;
        let id = format!("emulated-{}", self.begun);
        let upload = Upload {
            name: name.to_owned(),
            bytes: Vec::new(),
            metadata: resource["metadata"].as_object().cloned().unwrap_or_default(),
            condition,
        };
        self.uploads.insert(id.clone(), upload);
        // The address is the one that was asked: a proxy in front stays in front.
        let host = request.header("host").map(|host| format!("http://{host}"));
        let location = format!(
            "{}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=x&upload_id={id}",
            host.as_ref().unwrap_or(&self.endpoint)
        );
        let mut begun = answer(200, &Value::Null);
        begun.headers.push(("Location", location));
        Ok(begun)
    }

    fn generation(&self, name: &str) -> u64 {
        self.bucket.as_ref().map_or(0, |bucket| bucket.generation(name))
    }

    fn upload(&mut self, step: Step, request: &Request) -> Result<Answer, Answer> {
        let id = request.parameter("upload_id").unwrap_or_default().to_owned();
        if let (Some(name), Some(bucket)) = (self.finished.get(&id), &self.bucket)
            && let Some(object) = bucket.get(name)
        {
            return Ok(answer(200, &object.resource(name)));
        }
        if step == Step::End {
            return match self.uploads.remove(&id) {
                Some(_) => Ok(answer(499, &Value::Null)),
                None => Err(refuse(404, "notFound", "No such upload.")),
            };
        }
        let (read_only, quota) = (self.read_only, self.quota);
        let stored = self.bucket.as_ref().map_or(0, Bucket::size);
        let Some(upload) = self.uploads.get_mut(&id) else {
            return Err(refuse(404, "notFound", "No such upload."));
        };
        if read_only {
            return Err(refuse(403, "forbidden", "The account may not do this any more."));
        }
        let Some(range) = ContentRange::read(request) else {
            return Err(refuse(
                400,
                "badRequest",
                "Content-Range is missing or malformed.",
            ));
        };
        if let Some((first, last)) = range.bytes {
            if request.complete && last - first + 1 != request.body.len() as u64 {
                return Err(refuse(400, "badRequest", "Content-Range does not fit the body."));
            }
            if range.total.is_none() && request.complete && !request.body.len().is_multiple_of(QUANTUM) {
                return Err(refuse(400, "badRequest", "Parts must be multiples of 256 KiB."));
            }
            let arrived = upload.bytes.len() as u64;
            if first > arrived {
                return Err(refuse(400, "badRequest", "Bytes before these are missing."));
            }
            // What has arrived before is ignored; of what was cut off, whole quanta are kept.
            let known = usize::try_from(arrived - first).unwrap_or(usize::MAX);
            let fresh = request.body.get(known..).unwrap_or_default();
            let kept = if request.complete {
                fresh.len()
            } else {
                fresh.len() / QUANTUM * QUANTUM
            };
            if quota.is_some_and(|quota| stored + arrived + kept as u64 > quota) {
                return Err(refuse(403, "quotaExceeded", "The quota is used up."));
            }
            upload.bytes.extend_from_slice(&fresh[..kept]);
        }
        if range.total != Some(upload.bytes.len() as u64) {
            let mut go_on = answer(308, &Value::Null);
            if let Some(last) = upload.bytes.len().checked_sub(1) {
                go_on.headers.push(("Range", format!("bytes=0-{last}")));
            }
            return Ok(go_on);
        }
        self.finish(&id, request)
    }

    /// The last byte is there.
    fn finish(&mut self, id: &str, request: &Request) -> Result<Answer, Answer> {
        let Some(upload) = self.uploads.remove(id) else {
            return Err(refuse(404, "notFound", "No such upload."));
        };
        let sums = Sums::of(&upload.bytes);
        if let Some(problem) = problem_with_hash(request, sums) {
            return Err(refuse(400, "invalid", &problem));
        }
        check(self.generation(&upload.name), upload.condition)?;
        let Some(bucket) = &mut self.bucket else {
            return Err(refuse(404, "notFound", "The specified bucket does not exist."));
        };
        let object = bucket.put(&upload.name, upload.bytes, sums, upload.metadata);
        self.finished.insert(id.to_owned(), upload.name.clone());
        Ok(answer(200, &object.resource(&upload.name)))
    }
}

/// Which kind of request it is; none for one that the emulator does not know.
fn step(request: &Request) -> Option<Step> {
    let uploads = request.path.starts_with("/upload/");
    match (request.method.as_str(), uploads) {
        ("POST", false) if request.path == "/token" => Some(Step::Token),
        ("POST", true) if request.parameter("uploadType") == Some("resumable") => Some(Step::Begin),
        ("DELETE", true) => Some(Step::End),
        ("PUT", true) => Some(match ContentRange::read(request) {
            // The only object whose last request brings no byte, and so looks like a question, has none.
            Some(ContentRange { bytes: None, total }) if total != Some(0) => Step::Question,
            Some(ContentRange {
                bytes: Some(_),
                total: None,
            }) => Step::Part,
            _ => Step::Last,
        }),
        ("GET", false) if request.path == format!("/storage/v1/b/{BUCKET}/o") => Some(Step::List),
        ("GET", false) if request.parameter("alt") == Some("media") => Some(Step::Read),
        ("GET", false) => object_name(request).map(|_| Step::Stat),
        ("DELETE", false) => object_name(request).map(|_| Step::Delete),
        _ => None,
    }
}

fn object_name(request: &Request) -> Option<String> {
    let name = request.path.strip_prefix(&format!("/storage/v1/b/{BUCKET}/o/"))?;
    Some(percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// `bytes 0-99/*`, `bytes 100-149/150`, `bytes */150`.
struct ContentRange {
    bytes: Option<(u64, u64)>,
    total: Option<u64>,
}

impl ContentRange {
    fn read(request: &Request) -> Option<Self> {
        let range = request.header("content-range")?.strip_prefix("bytes ")?;
        let (bytes, total) = range.split_once('/')?;
        let bytes = match bytes {
            "*" => None,
            bytes => {
                let (first, last) = bytes.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last)| first <= last)
            }
        };
        Some(Self {
            bytes,
            total: total.parse().ok(),
        })
    }
}

fn condition(request: &Request) -> Option<u64> {
    request.parameter("ifGenerationMatch")?.parse().ok()
}

fn check(generation: u64, condition: Option<u64>) -> Result<(), Answer> {
    match condition {
        Some(demanded) if demanded != generation => Err(refuse(
            412,
            "conditionNotMet",
            "At least one of the pre-conditions you specified did not hold.",
        )),
        _ => Ok(()),
    }
}

/// `x-goog-hash: crc32c=…,md5=…`, each in base64.
fn problem_with_hash(request: &Request, sums: Sums) -> Option<String> {
    for hash in request.header("x-goog-hash")?.split(',') {
        let (kind, provided) = hash.trim().split_once('=')?;
        let calculated = match kind {
            "md5" => sums.md5(),
            "crc32c" => sums.crc32c(),
            _ => continue,
        };
        if provided != calculated {
            return Some(format!(
                "Provided {kind} \"{provided}\" doesn't match calculated {kind} \"{calculated}\"."
            ));
        }
    }
    None
}

fn read(request: &Request, object: &Object) -> Result<Answer, Answer> {
    let bytes = object.bytes.as_slice();
    let len = bytes.len() as u64;
    let range = request.header("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let first: u64 = first.parse().ok()?;
        let last: u64 = if last.is_empty() { len } else { last.parse().ok()? };
        Some((first, last.min(len.saturating_sub(1))))
    });
    let (status, part) = match range {
        None => (200, bytes),
        Some((first, _)) if first >= len => {
            return Err(refuse(
                416,
                "requestedRangeNotSatisfiable",
                "Request range not satisfiable",
            ));
        }
        Some((first, last)) => {
            let (from, to) = (usize::try_from(first), usize::try_from(last + 1));
            (206, &bytes[from.unwrap_or(0)..to.unwrap_or(0)])
        }
    };
    let mut headers = vec![
        ("Content-Type", "application/octet-stream".to_owned()),
        ("x-goog-generation", object.generation.to_string()),
        ("x-goog-hash", format!("crc32c={}", object.sums.crc32c())),
    ];
    if let Some((first, last)) = range {
        headers.push(("Content-Range", format!("bytes {first}-{last}/{len}")));
    }
    Ok(Answer {
        status,
        headers,
        body: part.to_vec(),
    })
}

fn answer(status: u16, body: &Value) -> Answer {
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let json = ("Content-Type", "application/json; charset=UTF-8".to_owned());
    Answer {
        status,
        headers: vec![json],
        body,
    }
}

/// Google's format of an error.
fn refuse(status: u16, reason: &str, message: &str) -> Answer {
    answer(
        status,
        &json!({
            "error": {
                "errors": [{"domain": "global", "reason": reason, "message": message}],
                "code": status,
                "message": message,
            }
        }),
    )
}
