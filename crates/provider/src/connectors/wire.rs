//! Requests to upstreams, and what of their answers can be read.

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response, request};
use serde_json::Value;

use super::{Answered, ConnectorFault};
use crate::form;

const AGENT: &str = "doorward";

fn request(method: Method, url: &str) -> Result<request::Builder, ConnectorFault> {
    let read = url::Url::parse(url).map_err(|_| ConnectorFault::Address)?;
    if !matches!(read.scheme(), "http" | "https") || !read.has_host() {
        return Err(ConnectorFault::Address);
    }
    Ok(Request::builder()
        .method(method)
        .uri(read.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT))
}

/// `GET`, with a bearer token when there is one.
pub(super) fn get(url: &str, bearer: Option<&str>) -> Result<Request<Bytes>, ConnectorFault> {
    let mut request = request(Method::GET, url)?;
    if let Some(token) = bearer {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let built = request.body(Bytes::new());
    built.map_err(|_| ConnectorFault::Address)
}

/// A form, with Basic credentials when there are some; both halves are form-encoded inside (RFC
/// 6749 §2.3.1).
pub(super) fn post_form(
    url: &str,
    pairs: &[(&str, &str)],
    basic: Option<(&str, &str)>,
) -> Result<Request<Bytes>, ConnectorFault> {
    let mut request = request(Method::POST, url)?;
    request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some((id, secret)) = basic {
        let encoded =
            |text| url::form_urlencoded::byte_serialize(str::as_bytes(text)).collect::<String>();
        let both = format!("{}:{}", encoded(id), encoded(secret));
        let value = format!("Basic {}", BASE64.encode(both.as_bytes()));
        request = request.header(AUTHORIZATION, value);
    }
    let built = request.body(form::query(pairs).into());
    built.map_err(|_| ConnectorFault::Address)
}

/// The answer of an upstream over HTTP.
pub(super) fn response(answered: Answered) -> Result<Response<Bytes>, ConnectorFault> {
    match answered {
        Answered::Http(response) => Ok(response),
        Answered::Directory(_) => Err(ConnectorFault::NotForThis),
    }
}

/// The JSON of a good answer.
pub(super) fn json(answered: Answered) -> Result<Value, ConnectorFault> {
    let response = response(answered)?;
    if !response.status().is_success() {
        return Err(ConnectorFault::Status(response.status().as_u16()));
    }
    serde_json::from_slice(response.body())
        .map_err(|_| ConnectorFault::Answer("the upstream's answer is no JSON"))
}
