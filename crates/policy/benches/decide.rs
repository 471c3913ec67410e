//! Time of one decision on stock Kubeflow. `cargo bench -p doorward-policy`.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use doorward_policy::{Outcome, Request, RequestHead};
use http::{HeaderMap, HeaderValue, Method, header};
use testkit::cases;

fn main() {
    const ROUNDS: u32 = 200_000;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/kubeflow-stock");
    let case = cases::load_one(&directory).expect("the stock case loads");
    let snapshot = model::compile(&case.objects().expect("the fixture is there")).snapshot;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::HOST, "kubeflow.example.com"),
        (
            header::USER_AGENT,
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        ),
        (header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8"),
        (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
        (header::ACCEPT_ENCODING, "gzip, deflate, br"),
        (
            header::COOKIE,
            "oauth2_proxy_kubeflow=0123456789abcdef0123456789abcdef",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for wanted in [
        "the dashboard for somebody who signed in",
        "a prefix is cut as the route says",
    ] {
        let request = case
            .file
            .requests
            .iter()
            .find(|request| request.name == wanted)
            .expect("the stock case has this request");
        let session = cases::session(&case, request, &snapshot).expect("with its session");
        let decide = || {
            let head = RequestHead {
                method: &Method::GET,
                scheme: "https",
                authority: "kubeflow.example.com",
                target: &request.path,
                headers: &headers,
                port: 80,
                peer: request.peer,
                client: request.peer,
                principal: None,
                sni: None,
                now: model::names::Timestamp::from_seconds(cases::NOW),
                draw: 0,
            };
            let read = Request::read(black_box(head), snapshot.normalization())
                .expect("an ordinary request");
            let decision = doorward_policy::decide(&read, &snapshot, &session);
            assert!(matches!(decision.outcome, Outcome::Forward(_)));
            black_box(decision);
        };
        for _ in 0..ROUNDS / 10 {
            decide();
        }
        let start = Instant::now();
        for _ in 0..ROUNDS {
            decide();
        }
        let nanoseconds = start.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("{wanted}: {nanoseconds} ns a decision");
    }
}
