//! A question over gRPC, as Envoy makes one.

use std::collections::HashMap;
use std::net::SocketAddr;

use envoy_types::ext_authz::v3::pb::{
    Address, CheckRequest, HeaderValueOption, HttpResponse, HttpStatus,
};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{
    HttpRequest, Peer, Request, TlsSession,
};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use testkit::cases::RequestCase;

use super::visit::Seen;

/// Asks about a request with these headers, and shows the answer as one over HTTP.
pub(super) async fn check(
    at: SocketAddr,
    request: &RequestCase,
    path: &str,
    sent: &[(String, String)],
) -> Seen {
    let socket = core::SocketAddress {
        address: request.peer.to_string(),
        ..core::SocketAddress::default()
    };
    let address = core::Address {
        address: Some(Address::SocketAddress(socket)),
    };
    let principal = request.principal.as_ref();
    let source = Peer {
        address: Some(address),
        principal: principal.map_or_else(String::new, |id| format!("spiffe://{id}")),
        ..Peer::default()
    };
    let lower = sent.iter();
    let lower = lower.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut pairs: Vec<_> = lower.filter(|(name, _)| name != "host").collect();
    pairs.push((":path".into(), path.into()));
    let headers: HashMap<String, String> = pairs.iter().cloned().collect();
    // One form where every name is there once, the other (`encode_raw_headers`) where one repeats:
    // in the first, Envoy joins its values.
    let repeats = headers.len() != pairs.len();
    let raw = pairs.into_iter().map(|(key, value)| core::HeaderValue {
        key,
        raw_value: value.into_bytes(),
        ..core::HeaderValue::default()
    });
    let raw = core::HeaderMap {
        headers: raw.collect(),
    };
    let http = HttpRequest {
        header_map: repeats.then_some(raw),
        method: request.method.clone(),
        path: path.into(),
        host: request.host.clone(),
        scheme: request.scheme.clone(),
        headers: if repeats { HashMap::new() } else { headers },
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        source: Some(source),
        request: Some(Request {
            http: Some(http),
            ..Request::default()
        }),
        tls_session: request.sni.clone().map(|sni| TlsSession { sni }),
        ..AttributeContext::default()
    };
    let mut client = AuthorizationClient::connect(format!("http://{at}"))
        .await
        .unwrap();
    let request = CheckRequest {
        attributes: Some(attributes),
    };
    let response = client.check(request).await.unwrap().into_inner();
    let code = response.status.unwrap().code;
    match response.http_response.unwrap() {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0);
            let mut headers = shown(ok.headers);
            let removed = ok.headers_to_remove.join(", ");
            headers.push(("x-envoy-auth-headers-to-remove".into(), removed));
            Seen::new(200, headers, String::new())
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(code, 0);
            let HttpStatus { code } = denied.status.unwrap();
            let headers = shown(denied.headers);
            Seen::new(code.try_into().unwrap(), headers, denied.body)
        }
        other => panic!("{other:?}"),
    }
}

fn shown(options: Vec<HeaderValueOption>) -> Vec<(String, String)> {
    let headers = options.into_iter().filter_map(|option| option.header);
    headers.map(|one| (one.key, one.value)).collect()
}
