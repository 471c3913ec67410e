//! Every issuer of every case: one key, which all of them publish.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{Request, Response};
use login::{Sent, Transport, TransportFault};
use oidc::jose::SigningKey;
use serde_json::{Map, Value, json};
use testkit::cases::{Fault, NOW};

static PUBLISHED: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate("published".into()).unwrap());
static FOREIGN: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate("foreign".into()).unwrap());

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Signs, and publishes its key at whatever address is asked.
pub(super) struct Issuer {
    is_up: bool,
}

impl Issuer {
    pub(super) fn new(is_up: bool) -> Self {
        Self { is_up }
    }

    /// A token with these claims.
    pub(super) fn token(&self, claims: &Map<String, Value>) -> String {
        PUBLISHED.sign(claims).unwrap()
    }

    /// A token with these claims and this fault.
    pub(super) fn bearer(&self, mut claims: Map<String, Value>, fault: Option<Fault>) -> String {
        let mut claim = |name: &str, value: Value| {
            claims.insert(name.into(), value);
        };
        match fault {
            Some(Fault::UnknownIssuer) => claim("iss", json!("https://unknown.example.com")),
            Some(Fault::Expired) => claim("exp", json!(NOW - 3600)),
            Some(Fault::NotYetValid) => claim("nbf", json!(NOW + 3600)),
            Some(Fault::AudienceNotAllowed) => claim("aud", json!("somebody-else")),
            _ => {}
        }
        let token = self.token(&claims);
        let parts: Vec<&str> = token.split('.').collect();
        match fault {
            Some(Fault::Malformed) => "garbage".into(),
            // `{"alg":"none"}`
            Some(Fault::AlgorithmRefused) => format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
            Some(Fault::UnknownKey) => FOREIGN.sign(&claims).unwrap(),
            Some(Fault::BadSignature) => {
                claims.insert("jti".into(), json!("another"));
                let other = self.token(&claims);
                let signature = other.rsplit('.').next().unwrap();
                format!("{}.{}.{signature}", parts[0], parts[1])
            }
            _ => token,
        }
    }
}

impl Transport for Issuer {
    fn send(&self, request: Request<Bytes>) -> Sent<'_> {
        Box::pin(async move {
            if !self.is_up {
                return Err(TransportFault::Unreachable);
            }
            let address = request.uri().to_string();
            let document = match address.strip_suffix(DISCOVERY) {
                Some(issuer) => json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/auth"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/keys"),
                }),
                None => json!({ "keys": [PUBLISHED.jwk()] }),
            };
            Ok(Response::new(document.to_string().into()))
        })
    }
}
