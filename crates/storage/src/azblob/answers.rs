//! What Azure's refusals mean. The code is in the header `x-ms-error-code`, which answers without a body have too.

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use crate::cloud::service::Reading;
use crate::cloud::trouble::Meaning;

/// The most of the server's words that is kept.
const MOST_WORDS: usize = 300;

/// Reads a refusal.
pub(super) fn read(request: &Parts, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Reading {
    let code = headers
        .get("x-ms-error-code")
        .and_then(|code| code.to_str().ok())
        .map(str::to_owned)
        .or_else(|| element(body, "Code"))
        .unwrap_or_default();
    // Only the message's first line: the others are ids. The details of a wrong signature, which repeat what was signed,
    // are in an element of their own.
    let message = element(body, "Message").unwrap_or_default();
    let message = message.lines().next().unwrap_or_default();
    let unless_there = request.headers.contains_key(header::IF_NONE_MATCH);
    Reading {
        meaning: meaning(status.as_u16(), &code, unless_there),
        message: message.chars().take(MOST_WORDS).collect(),
        code,
    }
}

fn meaning(status: u16, code: &str, unless_there: bool) -> Meaning {
    match (status, code) {
        (_, "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled") => Meaning::NoBucket,
        (_, "BlobAlreadyExists") => Meaning::Exists,
        // A SAS token without the right to overwrite is refused before the condition is looked at.
        (_, "UnauthorizedBlobOverwrite") => Meaning::Exists,
        (409 | 412, "ConditionNotMet" | "TargetConditionNotMet") if unless_there => Meaning::Exists,
        (_, "Md5Mismatch" | "Crc64Mismatch") => Meaning::Altered,
        // Its blocks have expired, or another upload of the same name was given up and took them along.
        (_, "InvalidBlockList") => Meaning::Interrupted,
        (
            _,
            "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "NoAuthenticationInformation"
            | "KeyBasedAuthenticationNotPermitted",
        )
        | (401, _) => Meaning::Denied,
        (403, _) => Meaning::Forbidden,
        (404, _) => Meaning::NotFound,
        (507, _) => Meaning::Full,
        (_, "ServerBusy" | "OperationTimedOut" | "InternalError") | (408 | 429 | 500 | 502..=504, _) => {
            Meaning::Busy
        }
        _ => Meaning::Other,
    }
}

/// The text of the first element of a name. Azure's errors are flat, and have neither attributes nor CDATA.
fn element(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    quick_xml::escape::unescape(text)
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(404, "BlobNotFound", false, Meaning::NotFound)]
    #[case(404, "ContainerNotFound", false, Meaning::NoBucket)]
    #[case(409, "BlobAlreadyExists", true, Meaning::Exists)]
    #[case(412, "ConditionNotMet", true, Meaning::Exists)]
    #[case(412, "ConditionNotMet", false, Meaning::Other)]
    #[case(403, "AuthenticationFailed", false, Meaning::Denied)]
    #[case(403, "AuthorizationPermissionMismatch", false, Meaning::Forbidden)]
    #[case(403, "UnauthorizedBlobOverwrite", true, Meaning::Exists)]
    #[case(503, "ServerBusy", false, Meaning::Busy)]
    #[case(500, "", false, Meaning::Busy)]
    #[case(400, "Md5Mismatch", true, Meaning::Altered)]
    #[case(400, "InvalidBlockList", true, Meaning::Interrupted)]
    #[case(400, "InvalidUri", false, Meaning::Other)]
    fn each_code_has_its_meaning(
        #[case] status: u16,
        #[case] code: &str,
        #[case] unless_there: bool,
        #[case] expected: Meaning,
    ) {
        assert_eq!(meaning(status, code, unless_there), expected);
    }

    #[test]
    fn the_details_of_a_wrong_signature_are_left_out() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>Server failed &amp; \
            said so.\nRequestId:1</Message><AuthenticationErrorDetail>sig=SECRET</AuthenticationErrorDetail></Error>";
        let (request, ()) = http::Request::new(()).into_parts();
        let reading = read(&request, StatusCode::FORBIDDEN, &HeaderMap::new(), body);
        assert_eq!(reading.code, "AuthenticationFailed");
        assert_eq!(reading.message, "Server failed & said so.");
        assert_eq!(reading.meaning, Meaning::Denied);
    }
}
