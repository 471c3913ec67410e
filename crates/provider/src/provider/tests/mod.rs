//! The whole provider in-process: a standing clock, seeded randomness, a database of its own.

mod browser;
mod client;
mod clients;
mod connectors;
mod devices;
mod further;
mod leaving;
mod people;
mod single_sign_on;
mod surface;
mod tokens;

use data_encoding::BASE64;
use http::{HeaderMap, StatusCode};
use oidc::jose::{self, KeySet};
use oidc::pkce::Verifier;
use oidc::wire::{ErrorResponse, TokenResponse};
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::*;
use crate::fixture::{self, PASSWORD, SECRET, SeededRandomness, StandingClock};
use crate::form::Form;

/// What oauth2-proxy sends in stock Kubeflow, but for PKCE.
const STOCK: &str = "client_id=kubeflow&redirect_uri=%2Foauth2%2Fcallback&response_type=code\
                     &scope=profile+email+groups+openid&state=s%26t&nonce=n&prompt=none";

struct Bench {
    provider: Arc<Provider>,
    store: Arc<Store>,
    clock: Arc<StandingClock>,
    dir: TempDir,
}

struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Bench {
    async fn new() -> Self {
        Self::with(fixture::settings()).await
    }

    async fn with(settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("provider.db");
        let store = Store::open(&path, &SeededRandomness::default()).await;
        let store = Arc::new(store.unwrap());
        let clock = Arc::new(StandingClock::new());
        let provider = Arc::new(Provider::new(
            Arc::new(settings),
            Arc::clone(&store),
            Arc::clone(&clock) as _,
            Arc::new(SeededRandomness::default()),
        ));
        provider.prepare().await.unwrap();
        Self {
            provider,
            store,
            clock,
            dir,
        }
    }

    /// The same database under other settings.
    fn reconfigured(&self, settings: Settings) -> Arc<Provider> {
        let randomness = Arc::clone(&self.provider.randomness);
        let store = Arc::clone(&self.store);
        Arc::new(Provider::new(
            Arc::new(settings),
            store,
            Arc::clone(&self.clock) as _,
            randomness,
        ))
    }

    async fn send(&self, request: http::request::Builder, body: &str) -> Seen {
        send(&self.provider, request, body).await
    }

    async fn get(&self, path: &str) -> Seen {
        self.send(Request::get(path), "").await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Seen {
        self.send(posting(path), &crate::form::query(form)).await
    }

    /// From `/auth` to the address of the login form.
    async fn login_address(&self, query: &str) -> String {
        let chosen = self.get(&format!("/dex/auth?{query}")).await;
        assert_eq!(chosen.status, StatusCode::FOUND);
        let begun = self.get(chosen.location()).await;
        assert_eq!(begun.status, StatusCode::FOUND, "{}", begun.body);
        begun.location().to_owned()
    }

    async fn sign_in_at(&self, address: &str) -> Seen {
        self.post(
            address,
            &[("login", "user@example.com"), ("password", PASSWORD)],
        )
        .await
    }

    /// A code for the request `query`.
    async fn code(&self, query: &str) -> String {
        let seen = self.sign_in_at(&self.login_address(query).await).await;
        assert_eq!(seen.status, StatusCode::SEE_OTHER);
        seen.location_form().text("code").to_owned()
    }

    async fn token(&self, form: &[(&str, &str)]) -> Seen {
        let credentials = BASE64.encode(format!("kubeflow:{SECRET}").as_bytes());
        let request = posting("/dex/token").header("authorization", format!("Basic {credentials}"));
        self.send(request, &crate::form::query(form)).await
    }

    async fn redeem(&self, code: &str) -> Seen {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", "/oauth2/callback"),
        ])
        .await
    }

    async fn claims(&self, token: &str) -> Map<String, Value> {
        let keys = KeySet::from_json(&self.get("/dex/keys").await.body).unwrap();
        jose::verify(token, &keys).unwrap()
    }
}

fn posting(path: &str) -> http::request::Builder {
    Request::post(path).header("content-type", "application/x-www-form-urlencoded")
}

async fn send(provider: &Provider, request: http::request::Builder, body: &str) -> Seen {
    let request = request
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    let (parts, body) = provider.handle(request).await.into_parts();
    Seen {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn location(&self) -> &str {
        self.header("location")
    }

    fn location_form(&self) -> Form {
        Form::parse(self.location().split_once('?').unwrap().1.as_bytes()).unwrap()
    }

    /// Where the browser is sent, and the error the client is told.
    fn told(&self) -> (StatusCode, String, String) {
        let (base, _) = self.location().split_once('?').unwrap();
        (
            self.status,
            base.to_owned(),
            self.location_form().text("error").to_owned(),
        )
    }

    /// Status and error code of a JSON answer that nobody may keep.
    fn error(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
        let error: ErrorResponse = serde_json::from_str(&self.body).unwrap();
        (self.status.as_u16(), error.error)
    }

    fn tokens(&self) -> TokenResponse {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("pragma"), "no-cache");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Value of an attribute of the first element that has `marker`.
    fn attribute(&self, marker: &str, name: &str) -> String {
        let at = self
            .body
            .find(marker)
            .unwrap_or_else(|| panic!("no {marker} in {}", self.body));
        let start = self.body[..at].rfind('<').unwrap();
        let tag = &self.body[start..start + self.body[start..].find('>').unwrap()];
        let value = tag.split_once(&format!(" {name}=\"")).unwrap().1;
        value
            .split_once('"')
            .unwrap()
            .0
            .replace("&#38;", "&")
            .replace("&amp;", "&")
    }
}
