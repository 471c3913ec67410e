//! RequestAuthentication against Envoy's `jwt_authn`.

use std::sync::Arc;

use futures_util::future::join_all;
use model::names::Timestamp;
use model::seams::Clock;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::both::{Answers, Both, Documents, say};
use super::forge::{ISSUER, Kind, Mint, OTHER_ISSUER};
use super::policies::seed;
use super::wire::{Answer, Sent};

/// Envoy asks the clock of the machine, so doorward has to.
struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "both have to have the same time")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap())
    }
}

/// Where a token is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The two where a token lies usually.
    Usual,
    Parameter,
    /// Spellings that are no token, or one with something beside it.
    LowerCase,
    Basic,
    Spaces,
    Behind,
    /// Those that the rules of some [`workloads`] name.
    Header,
    Prefixed,
    NamedParameter,
    Cookie,
}

const PLACES: [Place; 10] = [
    Place::Usual,
    Place::Parameter,
    Place::LowerCase,
    Place::Basic,
    Place::Spaces,
    Place::Behind,
    Place::Header,
    Place::Prefixed,
    Place::NamedParameter,
    Place::Cookie,
];

impl Place {
    fn put(self, token: &str, sent: &mut Sent) {
        let mut header = |name: &str, value: String| sent.headers.push((name.into(), value));
        match self {
            Self::Usual => header("authorization", format!("Bearer {token}")),
            Self::LowerCase => header("authorization", format!("bearer {token}")),
            Self::Basic => header("authorization", format!("Basic {token}")),
            Self::Spaces => header("authorization", format!("Bearer   {token}  ")),
            Self::Behind => header("authorization", format!("Negotiate Bearer {token}")),
            Self::Header => header("x-token", token.into()),
            Self::Prefixed => header("x-prefixed", format!("Token {token}")),
            Self::Cookie => header("cookie", format!("a=b; session-token={token}; c")),
            Self::Parameter | Self::NamedParameter => {
                let name = if self == Self::Parameter {
                    "access_token"
                } else {
                    "token"
                };
                let joint = if sent.target.contains('?') { '&' } else { '?' };
                sent.target.push_str(&format!("{joint}{name}={token}"));
            }
        }
    }
}

/// The workload that has two rules for one issuer.
const ONE_ISSUER: usize = 5;

/// Token rules of each workload.
fn workloads(keys: &str, other_keys: &str) -> Vec<Value> {
    let of = |issuer: &str, more: Value| {
        let mut rule = json!({ "issuer": issuer, "jwks": keys });
        for (name, value) in more.as_object().unwrap() {
            rule[name] = value.clone();
        }
        rule
    };
    let places = json!({
        "fromHeaders": [{ "name": "x-token" }, { "name": "x-prefixed", "prefix": "Token " }],
        "fromParams": ["token"],
        "fromCookies": ["session-token"],
    });
    vec![
        json!([of(ISSUER, json!({}))]),
        json!([of(ISSUER, json!({ "audiences": ["app", "other-app"] }))]),
        json!([of(ISSUER, places.clone())]),
        json!([
            of(ISSUER, json!({})),
            of(OTHER_ISSUER, json!({ "audiences": ["app"] }))
        ]),
        json!([of(ISSUER, places), of(OTHER_ISSUER, json!({}))]),
        json!([
            of(ISSUER, json!({ "audiences": ["app"] })),
            of(ISSUER, json!({ "audiences": ["third-app"] }))
        ]),
        json!([of(ISSUER, json!({ "jwks": other_keys }))]),
        json!([]),
    ]
}

/// Whoever has no token may not go where members go.
fn documents(rules: &Value) -> Documents {
    let selector = json!({ "matchLabels": { "istio": "ingressgateway" } });
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": kind,
            "metadata": { "name": "tokens", "namespace": "istio-system" },
            "spec": spec,
        })
    };
    let authentication = json!({ "selector": selector, "jwtRules": rules });
    let members = json!({
        "selector": selector,
        "action": "DENY",
        "rules": [{
            "from": [{ "source": { "notRequestPrincipals": ["*"] } }],
            "to": [{ "operation": { "paths": ["/members*"] } }],
        }],
    });
    format!(
        "{}\n---\n{}\n---\n",
        object("RequestAuthentication", authentication),
        object("AuthorizationPolicy", members)
    )
}

/// A request with up to two tokens.
#[derive(Clone, Debug)]
struct Asked {
    workload: usize,
    method: &'static str,
    path: &'static str,
    preflight: bool,
    tokens: Vec<(Place, Kind)>,
}

impl Asked {
    fn sent(&self, mint: &Mint) -> Sent {
        let mut sent = Sent {
            method: self.method,
            target: self.path.to_owned(),
            headers: vec![("host".to_owned(), "api.test".to_owned())],
            from: 1,
            tls: None,
        };
        if self.preflight {
            for (name, value) in [
                ("origin", "https://a.test"),
                ("access-control-request-method", "GET"),
            ] {
                sent.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        for (place, kind) in &self.tokens {
            place.put(&mint.token(*kind), &mut sent);
        }
        sent
    }

    /// Whether it is about the workload whose rules tell two kinds of tokens of one issuer apart.
    fn has_rules_of_one_issuer(&self) -> bool {
        self.workload == ONE_ISSUER
    }

    /// Why doorward may refuse what Envoy lets in; see docs/decisions/0005.
    fn is_stricter(&self) -> bool {
        self.tokens.len() > 1 || self.tokens.iter().any(|(_, kind)| kind.is_stricter())
    }
}

fn asked(workloads: usize) -> impl Strategy<Value = Asked> {
    let token = (select(&PLACES[..]), select(&Kind::ALL[..]));
    let usual = (Just(Place::Usual), select(&Kind::ALL[..]));
    let tokens = prop_oneof![
        4 => usual.prop_map(|token| vec![token]),
        3 => token.clone().prop_map(|token| vec![token]),
        2 => prop::collection::vec(token, 2).prop_filter("one place holds one token", |tokens| {
            tokens[0].0 != tokens[1].0
        }),
        1 => Just(Vec::new()),
    ];
    let way = (
        select(&["GET", "GET", "GET", "OPTIONS"][..]),
        select(&["/x", "/members/x"][..]),
    );
    (0..workloads, way, any::<bool>(), tokens).prop_map(
        |(workload, (method, path), preflight, tokens)| Asked {
            workload,
            method,
            path,
            preflight,
            tokens,
        },
    )
}

const REQUESTS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_let_in_whom_envoy_lets_in() {
    let mint = Mint::new(MachineClock.now());
    let both = Both::new(Some(Arc::new(MachineClock))).await;
    let workloads = workloads(&mint.keys(), &Mint::new(MachineClock.now()).keys());
    let all: Vec<Documents> = workloads.iter().map(documents).collect();
    let envoy = both.envoy(&all.iter().collect::<Vec<_>>()).await;
    let seed = seed();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = asked(workloads.len());
    // Every kind of token once at least where it usually lies, at each workload.
    let mut requests: Vec<Asked> = (0..workloads.len())
        .flat_map(|workload| {
            Kind::ALL.map(|kind| Asked {
                workload,
                method: "GET",
                path: "/members/x",
                preflight: false,
                tokens: vec![(Place::Usual, kind)],
            })
        })
        .collect();
    while requests.len() < REQUESTS {
        requests.push(strategy.new_tree(&mut runner).unwrap().current());
    }
    requests.sort_by_key(|one| one.workload);
    let (mut alike, mut otherwise, mut stricter) = (0, 0, 0);
    let mut wrong = Vec::new();
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    for group in requests.chunk_by(|a, b| a.workload == b.workload) {
        both.follow(&all[group[0].workload]);
        for some in group.chunks(32) {
            let asking = some.iter().map(|one| {
                let sent = one.sent(&mint);
                let (both, envoy) = (&both, &envoy);
                async move { both.ask(envoy, one.workload, &sent).await }
            });
            for (one, answers) in some.iter().zip(join_all(asking).await) {
                let Answers { envoy, doorward } = &answers;
                *statuses.entry(envoy.status).or_default() += 1;
                let refused = |answer: &Answer| matches!(answer.status, 401 | 403);
                if envoy.status == doorward.status {
                    alike += 1;
                } else if refused(envoy) && refused(doorward) && one.has_rules_of_one_issuer() {
                    // Envoy tells what the last of them says.
                    otherwise += 1;
                } else if doorward.status != 200 && one.is_stricter() {
                    stricter += 1;
                } else {
                    wrong.push((one.clone(), answers));
                }
            }
        }
    }
    say(&format!(
        "Envoy and tokens: {} requests of {} kinds of tokens to {} workloads, {alike} alike, {otherwise} refused with another status, {stricter} refused by doorward alone; Envoy's answers: {statuses:?}",
        requests.len(),
        Kind::ALL.len(),
        workloads.len(),
    ));
    // The one with the fewest tokens says most.
    wrong.sort_by_key(|(one, _)| one.tokens.len());
    assert!(
        wrong.is_empty(),
        "ENVOY_SEED={seed}: {} are wrong:\n{:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    for status in [200, 401, 403] {
        assert!(statuses[&status] * 20 > requests.len(), "{statuses:?}");
    }
}
