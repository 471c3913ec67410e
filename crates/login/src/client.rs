//! doorward as a client of issuers: how it proves who it is at their endpoints.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use model::names::Duration;
use model::seams::{Clock, Randomness};
use model::snapshot::{Login, LoginClientAuth};
use oidc::discovery::ProviderMetadata;
use oidc::jose::PrivateKey;
use oidc::wire::{ErrorCode, ErrorResponse};
use quick_cache::sync::Cache;
use serde_json::{Map, Value, json};
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::issuer::{Issuer, IssuerFault};
use crate::keys::{Keys, sha256};

/// How long a statement of ours may be under way.
const LIFETIME: Duration = Duration::from_secs(60);

/// How many clients are remembered.
const MOST_CLIENTS: usize = 256;

/// `client_assertion_type` (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What tells clients apart.
type Tag = [u8; 32];

/// Asks issuers as the clients that login proxies are.
pub(crate) struct Clients {
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    /// Clients whose issuer refused `client_secret_basic` and took `client_secret_post`.
    prefer_post: Cache<Tag, ()>,
    private: Cache<Tag, Arc<PrivateKey>>,
}

/// How a client proves who it is in one request.
enum Proof {
    Basic,
    Post,
    Assertion(String),
    /// By the connection.
    Tls,
}

impl Clients {
    pub(crate) fn new(
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self {
            keys,
            clock,
            randomness,
            prefer_post: Cache::new(MOST_CLIENTS),
            private: Cache::new(MOST_CLIENTS),
        }
    }

    /// What asks issuers.
    pub(crate) fn issuer(&self) -> &Issuer {
        self.keys.issuer()
    }

    /// Asks the token endpoint of `login`'s issuer.
    pub(crate) async fn token(
        &self,
        login: &Login,
        form: &[(&str, &str)],
    ) -> Result<Response<Bytes>, IssuerFault> {
        let endpoint = match &login.redeem_url {
            Some(url) => url.to_string(),
            None => {
                let metadata = self.keys.metadata(&login.issuer).await?;
                token_endpoint(login, &metadata)?
            }
        };
        self.post(login, &endpoint, form).await
    }

    /// Posts `form` to an endpoint that asks who the client is (OpenID Connect Core §9). Where the
    /// settings leave it open, one that does not know the client by `client_secret_basic` is asked
    /// once more by `client_secret_post`.
    pub(crate) async fn post(
        &self,
        login: &Login,
        endpoint: &str,
        form: &[(&str, &str)],
    ) -> Result<Response<Bytes>, IssuerFault> {
        let send = async |proof: Proof| {
            let request = request(login, endpoint, form, &proof)?;
            self.issuer().ask(request).await
        };
        let (first, second) = match &login.client_auth {
            LoginClientAuth::Secret if login.client_secret.is_empty() => (Proof::Post, None),
            LoginClientAuth::Secret if self.prefer_post.get(&tag(login)).is_some() => {
                (Proof::Post, Some(Proof::Basic))
            }
            LoginClientAuth::Secret => (Proof::Basic, Some(Proof::Post)),
            LoginClientAuth::SecretBasic => (Proof::Basic, None),
            LoginClientAuth::SecretPost => (Proof::Post, None),
            LoginClientAuth::PrivateKeyJwt { .. } => {
                (Proof::Assertion(self.assertion(login, endpoint)?), None)
            }
            LoginClientAuth::Tls => (Proof::Tls, None),
        };
        let answer = send(first).await?;
        let Some(second) = second.filter(|_| is_unknown_client(&answer)) else {
            return Ok(answer);
        };
        let is_post = matches!(second, Proof::Post);
        let answer = send(second).await?;
        if !is_unknown_client(&answer) {
            match is_post {
                true => self.prefer_post.insert(tag(login), ()),
                false => _ = self.prefer_post.remove(&tag(login)),
            }
        }
        Ok(answer)
    }

    /// The key that `login` signs with; `None` when it has none.
    pub(crate) fn key(&self, login: &Login) -> Result<Option<Arc<PrivateKey>>, IssuerFault> {
        let LoginClientAuth::PrivateKeyJwt { key, key_id } = &login.client_auth else {
            return Ok(None);
        };
        let read = || {
            let text = key.expose_str().ok_or(IssuerFault::ClientKey)?;
            let key = PrivateKey::from_pem(text, key_id.as_deref());
            key.map(Arc::new).map_err(|_| IssuerFault::ClientKey)
        };
        let tag = sha256(&[&tag(login), key.expose()]);
        self.private.get_or_insert_with(&tag, read).map(Some)
    }

    /// Whether `login`'s key signs what the issuer reads as a signed request.
    pub(crate) fn may_sign(&self, login: &Login, metadata: &ProviderMetadata) -> bool {
        let algorithms = &metadata.request_object_signing_alg_values_supported;
        let offered = metadata.request_parameter_supported == Some(true)
            || metadata.require_signed_request_object == Some(true);
        matches!(self.key(login), Ok(Some(key)) if offered
            && (algorithms.is_empty() || algorithms.iter().any(|one| one == key.algorithm())))
    }

    /// An authorization request as a signed statement (RFC 9101 §4).
    pub(crate) fn request_object(
        &self,
        login: &Login,
        parameters: &[(String, String)],
    ) -> Result<String, IssuerFault> {
        let key = self.key(login)?.ok_or(IssuerFault::ClientKey)?;
        let mut claims = self.statement(login, &login.issuer);
        claims.remove("sub");
        for (name, value) in parameters {
            claims.insert(name.clone(), value.as_str().into());
        }
        key.sign("oauth-authz-req+jwt", &claims)
            .map_err(|_| IssuerFault::ClientKey)
    }

    /// `client_assertion` (RFC 7523 §3). It is for the issuer by its own name, so that no other one
    /// can use it; where discovery is skipped, for the endpoint.
    fn assertion(&self, login: &Login, endpoint: &str) -> Result<String, IssuerFault> {
        let key = self.key(login)?.ok_or(IssuerFault::ClientKey)?;
        let audience = match &login.redeem_url {
            Some(_) => endpoint,
            None => &login.issuer,
        };
        let claims = self.statement(login, audience);
        key.sign("JWT", &claims).map_err(|_| IssuerFault::ClientKey)
    }

    fn statement(&self, login: &Login, audience: &str) -> Map<String, Value> {
        let mut id = [0; 16];
        self.randomness.fill(&mut id);
        let now = self.clock.now();
        let claims = json!({
            "iss": &*login.client_id,
            "sub": &*login.client_id,
            "aud": audience,
            "jti": BASE64URL_NOPAD.encode(&id),
            "iat": now.seconds(),
            "nbf": now.minus(login.clock_skew.min(LIFETIME)).seconds(),
            "exp": now.plus(LIFETIME).seconds(),
        });
        match claims {
            Value::Object(claims) => claims,
            _ => Map::new(),
        }
    }
}

fn token_endpoint(login: &Login, metadata: &ProviderMetadata) -> Result<String, IssuerFault> {
    let alias = metadata.mtls_endpoint_aliases.get("token_endpoint");
    let endpoint = match &login.client_auth {
        LoginClientAuth::Tls => alias.unwrap_or(&metadata.token_endpoint),
        _ => &metadata.token_endpoint,
    };
    match endpoint.is_empty() {
        true => Err(IssuerFault::Unreadable),
        false => Ok(endpoint.clone()),
    }
}

fn request(
    login: &Login,
    endpoint: &str,
    form: &[(&str, &str)],
    proof: &Proof,
) -> Result<http::Request<Bytes>, IssuerFault> {
    let mut body = Serializer::new(String::new());
    for (name, value) in form {
        body.append_pair(name, value);
    }
    // What proves the client names it, unless the form does, as a pushed request must.
    let is_named = form.iter().any(|(name, _)| *name == "client_id");
    if !is_named && !matches!(proof, Proof::Basic) {
        body.append_pair("client_id", &login.client_id);
    }
    let secret = login.client_secret.expose();
    let mut request = http::Request::builder()
        .method(Method::POST)
        .uri(endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json");
    match proof {
        Proof::Basic => {
            let encode = |bytes| byte_serialize(bytes).collect::<String>();
            let pair = format!("{}:{}", encode(login.client_id.as_bytes()), encode(secret));
            let value = format!("Basic {}", BASE64.encode(pair.as_bytes()));
            let mut value = HeaderValue::from_str(&value).map_err(|_| IssuerFault::ClientKey)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Proof::Post => {
            if !secret.is_empty() {
                body.append_pair("client_secret", &String::from_utf8_lossy(secret));
            }
        }
        Proof::Assertion(assertion) => {
            body.append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", assertion);
        }
        Proof::Tls => {}
    }
    request
        .body(Bytes::from(body.finish()))
        .map_err(|_| IssuerFault::BadAddress)
}

/// Whether an endpoint does not know the client, who may be proven in another way.
fn is_unknown_client(answer: &Response<Bytes>) -> bool {
    if answer.status().is_success() {
        return false;
    }
    match error_code(answer) {
        Some(code) => code == ErrorCode::InvalidClient,
        None => answer.status() == StatusCode::UNAUTHORIZED,
    }
}

/// The registered error that an answer names.
pub(crate) fn error_code(answer: &Response<Bytes>) -> Option<ErrorCode> {
    let error: Option<ErrorResponse> = serde_json::from_slice(answer.body()).ok();
    error.and_then(|error| error.code())
}

fn tag(login: &Login) -> Tag {
    sha256(&[login.issuer.as_bytes(), b"\0", login.client_id.as_bytes()])
}
