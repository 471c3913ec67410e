//! Stock Kubeflow's provider, and time and randomness that a test controls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aws_lc_rs::digest;
use model::names::{ObjectRef, Place, Secret, Timestamp};
use model::seams::{Clock, Randomness};
use model::snapshot::{Provider, ProviderClient, ProviderConnector, ProviderPassword};

use crate::authorize::{
    Asked, Delivery, Grant, Person, Response, ResponseMode, Scopes, WantedClaims, Wishes,
};

pub(crate) const ISSUER: &str = "http://dex.auth.svc.cluster.local:5556/dex";
pub(crate) const PASSWORD: &str = "12341234";
pub(crate) const SECRET: &str = "pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok";

/// bcrypt of [`PASSWORD`], made once, at the lowest cost that is accepted.
fn password_hash() -> String {
    static HASH: Mutex<Option<String>> = Mutex::new(None);
    let mut hash = HASH.lock().unwrap();
    hash.get_or_insert_with(|| bcrypt::hash(PASSWORD, 10).unwrap())
        .clone()
}

pub(crate) fn client(id: &str, redirects: &[&str]) -> ProviderClient {
    ProviderClient {
        name: format!("Client {id}").into(),
        public: false,
        ..ProviderClient::with_defaults(
            id,
            Secret::new(SECRET.as_bytes()),
            redirects.iter().map(|one| (*one).into()).collect(),
        )
    }
}

/// Stock Kubeflow, with more clients: `other`, `peer` that trusts `kubeflow`, and `cli`, public.
pub(crate) fn settings() -> Provider {
    let mut peer = client("peer", &["https://peer/cb"]);
    peer.trusted_peers = vec!["kubeflow".into()];
    let mut cli = client("cli", &[]);
    cli.public = true;
    cli.secret = Secret::new("");
    Provider {
        clients: vec![
            client("kubeflow", &["/oauth2/callback"]),
            client("other", &["https://other/cb"]),
            peer,
            cli,
        ],
        connectors: vec![ProviderConnector::local()],
        passwords: vec![ProviderPassword {
            email: "user@example.com".into(),
            hash: Secret::new(password_hash()),
            username: "user".into(),
            name: "user".into(),
            preferred_username: "".into(),
            email_verified: true,
            user_id: "15841185641784".into(),
            groups: vec!["team-a".into(), "team-b".into()],
        }],
        skip_approval: true,
        name: "Dex".into(),
        ..Provider::with_defaults(
            ObjectRef::new("ConfigMap", "auth", "dex"),
            Place::new("dex.yaml", 1),
            ISSUER,
            "/dex",
        )
    }
}

/// The one who signs in, as the password list tells it.
pub(crate) fn person() -> Person {
    Person {
        user_id: "15841185641784".into(),
        connector: "local".into(),
        email: "user@example.com".into(),
        email_verified: true,
        name: "user".into(),
        preferred_username: String::new(),
        groups: vec!["team-a".into()],
        signed_in_at: 1_700_000_000,
        held: None,
    }
}

/// What they let `kubeflow` do.
pub(crate) fn grant() -> Grant {
    Grant {
        id: "grant".into(),
        client: "kubeflow".into(),
        nonce: "n".into(),
        scopes: Scopes::default(),
        person: person(),
        challenge: None,
        session: None,
        claims: WantedClaims::default(),
        key: None,
    }
}

/// The stock request, checked.
pub(crate) fn asked() -> Asked {
    Asked {
        id: "id".into(),
        client: "kubeflow".into(),
        delivery: Delivery {
            redirect: "/oauth2/callback".into(),
            state: "s".into(),
            mode: ResponseMode::Query,
        },
        response: Response::CODE,
        nonce: "n".into(),
        scopes: Scopes {
            email: true,
            profile: true,
            groups: true,
            ..Scopes::default()
        },
        challenge: None,
        connector: "local".into(),
        wishes: Wishes::default(),
        key: None,
        session: None,
        ask_approval: false,
        expires_at: 1_700_000_000 + 86_400,
    }
}

/// A clock that stands still until it is set.
pub(crate) struct StandingClock(AtomicI64);

impl StandingClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(1_700_000_000))
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// The same bytes in every run, never the same twice in one.
#[derive(Default)]
pub(crate) struct SeededRandomness(AtomicU64);

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let turn = self.0.fetch_add(1, Ordering::SeqCst);
            let block = digest::digest(&digest::SHA256, &turn.to_be_bytes());
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
        }
    }
}
