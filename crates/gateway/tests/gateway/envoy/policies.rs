//! AuthorizationPolicy against Envoy's `rbac`.

use std::fmt::Write as _;

use futures_util::future::join_all;
use oidc::jose::SigningKey;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use testkit::generate::ISSUERS;

use super::both::{Answers, Both, Documents, say};
use super::generate::{About, Asked, Case, case};
use super::wire::Sent;

/// Makes other cases than usual when `ENVOY_SEED` says so.
pub(super) fn seed() -> u8 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is asked to run otherwise"
    )]
    let given = std::env::var("ENVOY_SEED");
    given.map_or(1, |seed| {
        seed.parse().expect("ENVOY_SEED is a number up to 255")
    })
}

const WORKLOADS: usize = 150;
const FEWER_WORKLOADS: usize = 40;
const REQUESTS: usize = 40;

/// What a failing case may cost until it is told.
const MOST_STEPS: usize = 120;

fn documents(policies: &[Value], key: &SigningKey) -> Documents {
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    let rule =
        |issuer| json!({ "issuer": issuer, "jwks": keys, "spaceDelimitedClaims": ["roles"] });
    let tokens = json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": { "name": "tokens", "namespace": "istio-system" },
        "spec": {
            "selector": { "matchLabels": { "istio": "ingressgateway" } },
            "jwtRules": ISSUERS.map(rule),
        },
    });
    let mut all = format!("{tokens}\n---\n");
    for (number, spec) in policies.iter().enumerate() {
        let policy = json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": { "name": format!("p{number}"), "namespace": "istio-system" },
            "spec": spec,
        });
        let _ = write!(all, "{policy}\n---\n");
    }
    all
}

fn signed(asked: &Asked, key: &SigningKey) -> Sent {
    let mut sent = asked.sent.clone();
    if let Some(claims) = &asked.claims {
        let token = key.sign(claims.as_object().unwrap()).unwrap();
        sent.headers
            .push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    sent
}

/// Whether an answer is not what it has to be.
type Wrong = fn(&Answers) -> bool;

/// The first request of `case` that is answered wrongly.
async fn wrong(
    both: &Both,
    case: &Case,
    key: &SigningKey,
    is_wrong: Wrong,
) -> Option<(Sent, Answers)> {
    let documents = documents(&case.policies, key);
    let envoy = both.envoy(&[&documents]).await;
    both.follow(&documents);
    for asked in &case.requests {
        let sent = signed(asked, key);
        let answers = both.ask(&envoy, 0, &sent).await;
        if is_wrong(&answers) {
            return Some((sent, answers));
        }
    }
    None
}

/// How many of the requests Envoy let in.
async fn compare(
    strategy: impl Strategy<Value = Case>,
    workloads: usize,
    is_wrong: Wrong,
) -> Tally {
    let key = SigningKey::generate("key".into()).unwrap();
    let both = Both::new(None).await;
    let seed = seed();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut trees: Vec<_> = (0..workloads)
        .map(|_| strategy.new_tree(&mut runner).unwrap())
        .collect();
    let cases: Vec<Case> = trees.iter().map(ValueTree::current).collect();
    let all: Vec<Documents> = cases
        .iter()
        .map(|case| documents(&case.policies, &key))
        .collect();
    let envoy = both.envoy(&all.iter().collect::<Vec<_>>()).await;
    let mut tally = Tally::default();
    let mut wrong_in = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        both.follow(&all[number]);
        let asking = case.requests.iter().map(|one| {
            let sent = signed(one, &key);
            let (both, envoy) = (&both, &envoy);
            async move { both.ask(envoy, number, &sent).await }
        });
        for answers in join_all(asking).await {
            tally.asked += 1;
            tally.let_in += usize::from(answers.envoy.status == 200);
            tally.otherwise += usize::from(answers.envoy.status != answers.doorward.status);
            if is_wrong(&answers) {
                wrong_in.push(number);
            }
        }
    }
    drop(envoy);
    if let Some(number) = wrong_in.first() {
        let told = shrunk(&both, &mut trees[*number], &key, is_wrong).await;
        let (wrong, asked) = (wrong_in.len(), tally.asked);
        panic!("ENVOY_SEED={seed}: {wrong} of {asked} are wrong; one of them:\n{told}");
    }
    tally
}

/// What was asked, and what came of it.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    let_in: usize,
    otherwise: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_let_in_whom_envoy_lets_in() {
    let strategy = case(REQUESTS, About::Alike);
    let tally = compare(strategy, WORKLOADS, |answers| {
        answers.envoy.status != answers.doorward.status
    })
    .await;
    let Tally { asked, let_in, .. } = tally;
    say(&format!(
        "Envoy and policies: {asked} requests to {WORKLOADS} workloads, {let_in} let in, all alike"
    ));
    assert!(asked >= 5_000);
    // Neither answer is the usual one: what always refuses would be alike, too.
    assert!(let_in * 5 > asked && let_in * 5 < asked * 4, "{let_in}");
}

/// Where doubts are settled against the request (docs/decisions/0005), nobody is let in whom Envoy
/// does not let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubts_let_nobody_in_whom_envoy_does_not() {
    let strategy = case(REQUESTS, About::Doubts);
    let tally = compare(strategy, FEWER_WORKLOADS, |answers| {
        answers.doorward.status == 200 && answers.envoy.status != 200
    })
    .await;
    let Tally {
        asked, otherwise, ..
    } = tally;
    say(&format!(
        "Envoy and doubts: {asked} requests, {otherwise} of them refused by doorward alone"
    ));
}

/// The simplest case that is left when whatever does not matter is taken away.
async fn shrunk(
    both: &Both,
    tree: &mut impl ValueTree<Value = Case>,
    key: &SigningKey,
    is_wrong: Wrong,
) -> String {
    let mut last = None;
    for _ in 0..MOST_STEPS {
        let case = tree.current();
        let goes_on = match wrong(both, &case, key, is_wrong).await {
            Some((sent, answers)) => {
                last = Some((case.policies, sent, answers));
                tree.simplify()
            }
            None => tree.complicate(),
        };
        if !goes_on {
            break;
        }
    }
    let Some((policies, sent, answers)) = last else {
        return "which is right when it is alone".to_owned();
    };
    let policies: Vec<String> = policies.iter().map(Value::to_string).collect();
    format!("{}\n{sent:#?}\n{answers:#?}", policies.join("\n"))
}
