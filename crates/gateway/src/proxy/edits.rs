//! Header edits in the order that counts: remove, identity, then what the route says.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName as Name, Uri};
use model::snapshot::HeaderEdits;
use policy::Permit;
use policy::decision::OriginalPath;

use crate::facts::{Facts, without_session_cookies};

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ASSERTION: HeaderName = HeaderName::from_static("x-doorward-assertion");

/// Makes the request that the permit describes. `hidden` names the cookies that the receiver may
/// not see. False when the rewritten path cannot be asked for.
pub(crate) fn edit_request(
    parts: &mut Parts,
    facts: &Facts,
    permit: &Permit,
    hidden: Option<&[Box<str>]>,
) -> bool {
    if let Some(target) = permit.path_and_query() {
        let Ok(target) = PathAndQuery::try_from(target) else {
            return false;
        };
        let received = parts.uri.path_and_query().map(PathAndQuery::as_str);
        let original = match permit.original_path() {
            OriginalPath::Kept => None,
            OriginalPath::Received => received,
            OriginalPath::Normal(path) => Some(&**path),
        };
        if let Some(original) = original.and_then(|path| HeaderValue::from_str(path).ok()) {
            parts.headers.insert(ORIGINAL_PATH, original);
        }
        parts.uri = Uri::from(target);
    }
    let headers = &mut parts.headers;
    for name in permit.remove() {
        headers.remove(name);
    }
    if let Some(hidden) = hidden {
        without_session_cookies(headers, hidden);
    }
    for (name, value) in permit.identity() {
        headers.insert(name, value.clone());
    }
    if let Some(assertion) = &facts.assertion {
        headers.insert(ASSERTION, assertion.clone());
    }
    for wanted in permit.request_headers() {
        apply(headers, wanted);
    }
    let authority = permit
        .authority()
        .and_then(|text| HeaderValue::from_str(text).ok());
    if let Some(authority) = authority {
        headers.insert(HOST, authority);
    } else if !headers.contains_key(HOST) {
        headers.insert(HOST, facts.authority.clone());
    }
    true
}

/// All removes, then all sets, then all adds.
pub(crate) fn apply(headers: &mut HeaderMap, edits: &HeaderEdits) {
    let HeaderEdits { remove, set, add } = edits;
    for name in remove {
        headers.remove(name);
    }
    let pair = |(name, value): &(Name, HeaderValue)| (name.clone(), value.clone());
    for (name, value) in set.iter().map(pair) {
        headers.insert(name, value);
    }
    for (name, value) in add.iter().map(pair) {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_come_first_then_sets_then_adds() {
        let name = HeaderName::from_static;
        let value = HeaderValue::from_static;
        let mut headers = HeaderMap::new();
        headers.insert(name("a"), value("old"));
        headers.insert(name("b"), value("old"));
        headers.insert(name("c"), value("old"));
        let edits = HeaderEdits {
            remove: vec![name("a"), name("b")],
            set: vec![(name("b"), value("set")), (name("c"), value("set"))],
            add: vec![(name("c"), value("more")), (name("a"), value("more"))],
        };
        apply(&mut headers, &edits);
        let all = |name: &str| -> Vec<&str> {
            headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect()
        };
        assert_eq!(all("a"), ["more"]);
        assert_eq!(all("b"), ["set"]);
        assert_eq!(all("c"), ["set", "more"]);
    }
}
