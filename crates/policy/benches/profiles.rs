//! What a decision costs among ten namespaces of people and among ten thousand, in a namespace that
//! ten people share and in one that ten thousand do; and how long such trees take to compile.
//! `cargo bench -p doorward-policy --bench profiles`.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::hint::black_box;
use std::time::Instant;

use doorward_policy::{Outcome, Request, RequestHead, Session};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::objects::ObjectSet;
use testkit::cases::NOW;
use testkit::scale::{contributors, owner, profile_path, profiles};

const FEW: usize = 10;
const MANY: usize = 10_000;
/// How many different ones are asked for, in turn.
const ASKED: usize = 10;
const ROUNDS: usize = 200_000;

/// What is asked for: a target, and whom the headers name.
type Asked = Vec<(String, HeaderMap)>;

fn main() {
    compare("profiles with three policies each", profiles, |number| {
        (number, number)
    });
    compare("contributors of one namespace", contributors, |number| {
        (0, number)
    });
}

/// Prints how much longer a decision takes among many than among few. `asked` makes of a number that
/// of a namespace and that of the person who asks for it.
fn compare(what: &str, tree: fn(usize) -> ObjectSet, asked: fn(usize) -> (usize, usize)) {
    let side = |count| (compile(what, &tree(count), count), requests(count, asked));
    let (few, many) = (side(FEW), side(MANY));
    // What the machine does in the meantime falls on both.
    let mut least = [u128::MAX; 2];
    for _ in 0..5 {
        for (least, (snapshot, asked)) in least.iter_mut().zip([&few, &many]) {
            *least = (*least).min(measure(snapshot, asked));
        }
    }
    let [among_few, among_many] = least;
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a decision")]
    let ratio = among_many as f64 / among_few as f64;
    println!(
        "a decision among {FEW}: {among_few} ns, among {MANY}: {among_many} ns ({ratio:.2} x)"
    );
}

fn compile(what: &str, objects: &ObjectSet, count: usize) -> Snapshot {
    let start = Instant::now();
    let snapshot = model::compile(objects).snapshot;
    println!("{count} {what} compile in {:.0?}", start.elapsed());
    snapshot
}

fn requests(count: usize, asked: fn(usize) -> (usize, usize)) -> Asked {
    let user = HeaderName::from_static("kubeflow-userid");
    (0..ASKED)
        .map(|number| {
            // The last of each tenth.
            let (namespace, person) = asked((number + 1) * (count / ASKED) - 1);
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&owner(person)).expect("an e-mail is a header");
            headers.insert(user.clone(), value);
            (format!("{}lab", profile_path(namespace)), headers)
        })
        .collect()
}

fn measure(snapshot: &Snapshot, asked: &Asked) -> u128 {
    let session = Session::anonymous();
    let decide = |(target, headers): &(String, HeaderMap)| {
        let head = RequestHead {
            method: &Method::GET,
            scheme: "https",
            authority: "kubeflow.example.com",
            target,
            headers,
            port: 80,
            peer: [192, 0, 2, 7].into(),
            client: [192, 0, 2, 7].into(),
            principal: None,
            sni: None,
            now: Timestamp::from_seconds(NOW),
            draw: 0,
        };
        let read = Request::read(black_box(head), snapshot.normalization());
        let decision = doorward_policy::decide(&read.expect("it is one"), snapshot, &session);
        assert!(
            matches!(decision.outcome, Outcome::Forward(_)),
            "{decision:?}"
        );
        black_box(decision);
    };
    for round in 0..ROUNDS / 10 {
        decide(&asked[round % ASKED]);
    }
    let start = Instant::now();
    for round in 0..ROUNDS {
        decide(&asked[round % ASKED]);
    }
    start.elapsed().as_nanos() / ROUNDS as u128
}
