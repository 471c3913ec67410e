//! Messages ↔ requests and answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::{
    Address, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderAppendAction,
    HeaderValue as Header, HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse,
};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer as Source};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use envoy_types::pb::google::rpc;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use policy::Reason;
use tonic::Code;

use crate::authorizer::allow::Edits;
use crate::authorizer::judge::Passed;
use crate::body::Body;
use crate::facts::Asked;

/// A request that a message tells.
pub(super) struct Told {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    pub(super) asked: Rc<Asked>,
    /// Whether it came over HTTPS, where that is told.
    pub(super) secure: Option<bool>,
}

impl Told {
    /// Reads a message; `None` where it tells no request. Where it does not tell the address of the
    /// source, that is `asker`, who asks.
    pub(super) fn read(request: CheckRequest, asker: IpAddr) -> Option<Self> {
        let attributes = request.attributes?;
        let source = attributes.source.unwrap_or_default();
        let http = attributes.request?.http?;
        let secure = match &*http.scheme {
            "https" => Some(true),
            "http" => Some(false),
            _ => None,
        };
        let principal = source.principal.strip_prefix("spiffe://").map(Box::from);
        let sni = attributes.tls_session.map(|session| session.sni);
        let sni = sni.filter(|name| !name.is_empty()).map(String::into);
        let asked = Rc::new(Asked {
            peer: address(&source).unwrap_or(asker),
            principal,
            sni,
        });
        let (parts, body) = self::parts(http)?;
        Some(Self {
            parts,
            body,
            asked,
            secure,
        })
    }
}

fn address(source: &Source) -> Option<IpAddr> {
    match source.address.as_ref()?.address.as_ref()? {
        Address::SocketAddress(socket) => {
            let address: IpAddr = socket.address.parse().ok()?;
            Some(address.to_canonical())
        }
        _ => None,
    }
}

fn parts(http: HttpRequest) -> Option<(Parts, Bytes)> {
    let HttpRequest {
        method,
        headers,
        header_map,
        path,
        host,
        body,
        raw_body,
        ..
    } = http;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(method.as_bytes()).ok()?;
    let target = PathAndQuery::try_from(path).ok()?;
    parts.uri = Uri::from(target);
    let listed = header_map.into_iter().flat_map(|map| map.headers);
    let listed = listed.map(|one| {
        let Header {
            key,
            value,
            raw_value,
        } = one;
        let is_raw = value.is_empty();
        (
            key,
            if is_raw {
                raw_value
            } else {
                value.into_bytes()
            },
        )
    });
    let mapped = headers.into_iter();
    let mapped = mapped.map(|(key, value)| (key, value.into_bytes()));
    for (name, value) in mapped.chain(listed) {
        // The message tells these by themselves.
        if name.starts_with(':') {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(&value).ok()?;
        parts.headers.append(name, value);
    }
    // Who frames the body is Envoy, which has taken it apart.
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    parts
        .headers
        .insert(HOST, HeaderValue::try_from(host).ok()?);
    let body = if raw_body.is_empty() {
        body.into_bytes()
    } else {
        raw_body
    };
    Some((parts, body.into()))
}

/// What is said where nothing can be asked about.
pub(super) fn bad_request() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"this is no HTTP request"));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Permission, with what the request is to have.
pub(super) fn allowed(passed: &Passed) -> CheckResponse {
    let edits = Edits::of(passed);
    let look_alikes = passed.view.look_alikes.split(", ");
    let removed = edits.remove.iter().map(HeaderName::as_str);
    let removed = removed.chain(look_alikes.filter(|name| !name.is_empty()));
    let ok = OkHttpResponse {
        headers: edits
            .set
            .iter()
            .filter_map(|(name, value)| option(name, value))
            .collect(),
        headers_to_remove: removed.map(str::to_owned).collect(),
        response_headers_to_add: passed.renewed.iter().filter_map(added_cookie).collect(),
        ..OkHttpResponse::default()
    };
    CheckResponse {
        status: Some(status(Code::Ok)),
        dynamic_metadata: Some(metadata(passed)),
        http_response: Some(HttpResponse::OkResponse(ok)),
    }
}

/// Anything else: what the sender of the request gets.
pub(super) async fn denied(response: Response<Body>, signs_in: bool) -> CheckResponse {
    let (parts, body) = response.into_parts();
    // Made here, whole: nothing of it can fail.
    let body = body.collect().await.map(|body| body.to_bytes());
    let body = body.unwrap_or_default();
    let headers = parts.headers.iter();
    // Envoy frames it anew, and its connection is its own.
    let headers = headers.filter(|(name, _)| {
        ![http::header::CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
    });
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus {
            code: i32::from(parts.status.as_u16()),
        }),
        headers: headers
            .filter_map(|(name, value)| option(name, value))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let code = if signs_in || parts.status == StatusCode::UNAUTHORIZED {
        Code::Unauthenticated
    } else {
        Code::PermissionDenied
    };
    CheckResponse {
        status: Some(status(code)),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(denied)),
    }
}

fn status(code: Code) -> rpc::Status {
    rpc::Status {
        code: code.into(),
        ..rpc::Status::default()
    }
}

/// A header that replaces any of its name. Those of an answer may be there more than once: Envoy
/// takes the first away and then adds each.
/// A renewed cookie: beside those that the application sets.
fn added_cookie(value: &HeaderValue) -> Option<HeaderValueOption> {
    Some(HeaderValueOption {
        append_action: HeaderAppendAction::AppendIfExistsOrAdd.into(),
        ..option(&SET_COOKIE, value)?
    })
}

fn option(name: &HeaderName, value: &HeaderValue) -> Option<HeaderValueOption> {
    Some(HeaderValueOption {
        header: Some(Header {
            key: name.as_str().to_owned(),
            value: value.to_str().ok()?.to_owned(),
            raw_value: Vec::new(),
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: true,
        ..HeaderValueOption::default()
    })
}

/// Who it is and why they may pass, for Envoy's log and for filters behind.
fn metadata(passed: &Passed) -> Struct {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let mut fields = BTreeMap::new();
    let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if let Some(identified) = passed.pass.identified() {
        say("user", text(identified.subject()));
        if let Some(email) = identified.email() {
            say("email", text(email));
        }
        let groups = identified.groups();
        let values = groups.into_iter().map(text).collect();
        let kind = Some(Kind::ListValue(ListValue { values }));
        say("groups", Value { kind });
    }
    match &passed.entry.reason {
        Some(Reason::Rule { policy, line }) => {
            say("policy", text(&policy.object.to_string()));
            say("place", text(&format!("{}:{line}", policy.place.file)));
        }
        Some(Reason::Default(reason)) => {
            say("reason", text(reason.as_str()));
        }
        None => {}
    }
    if let Some(route) = &passed.entry.route {
        say("route", text(&route.object.to_string()));
    }
    if let Ok(id) = passed.facts.request_id.to_str() {
        say("request_id", text(id));
    }
    Struct {
        fields: fields.into_iter().collect(),
    }
}
