//! How long many hosts, routes and certificates take to compile, to swap in and to decide about,
//! and what they weigh. `cargo bench -p doorward-certificates --bench scale [PART]`.
//!
//! Each time is given twice: by the clock on the wall, and as what processors spent on it, which
//! stays true on a machine that is busy with other things.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use doorward_certificates::{Authority, Held};
use http::{HeaderMap, HeaderValue, Method, header};
use model::Snapshot;
use model::names::Timestamp;
use model::objects::ObjectSet;
use model::seams::{Clock, Randomness};
use policy::{Outcome, Request, RequestHead, Session};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use testkit::scale::{self, PemPair};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

fn main() {
    let wanted = std::env::args().skip(1).find(|one| !one.starts_with('-'));
    let parts: [(&str, fn()); 4] = [
        ("hosts", hosts),
        ("notebooks", notebooks),
        ("models", models),
        ("certificates", certificates),
    ];
    for (name, part) in parts {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            part();
        }
    }
}

fn hosts() {
    for count in SIZES {
        let snapshot = compiled("hosts", count, &scale::hosts(count));
        let asked: Vec<_> = spread(count)
            .map(|number| (scale::host(number), "/x".to_owned()))
            .collect();
        decide("hosts", count, &snapshot, &asked[..10]);
        decide("hosts", count, &snapshot, &asked);
    }
}

fn notebooks() {
    for count in SIZES {
        let snapshot = compiled("notebooks", count, &scale::notebooks(count));
        let asked: Vec<_> = spread(count)
            .map(|number| ("kf.example.com".to_owned(), scale::notebook(number) + "lab"))
            .collect();
        decide("notebooks", count, &snapshot, &asked[..10]);
        decide("notebooks", count, &snapshot, &asked);
    }
}

fn models() {
    for count in SIZES {
        compiled("models", count, &scale::models(count));
    }
}

/// 5000 pairs for 10 000 hosts with 10 000 routes.
fn certificates() {
    const COUNT: usize = 5_000;
    let mut pairs: Vec<PemPair> = (0..COUNT).map(pair).collect();
    let objects = scale::certificates(&pairs);
    let directory = tempfile::tempdir().expect("a directory for the authority");
    let authority = Authority::load_or_create(directory.path(), &Now, &Counting(AtomicU8::new(0)))
        .expect("a new authority");
    let held = Held::new(Arc::new(authority), Arc::new(Now));
    let (before, snapshot) = (resident(), compiled("certificates", COUNT, &objects));
    swap("first", &held, &snapshot);
    println!(
        "resident memory: {} MB more than the manifests",
        (resident() - before) >> 20
    );

    pairs[COUNT / 2] = pair(COUNT / 2);
    let changed = compiled(
        "one certificate changed",
        COUNT,
        &scale::certificates(&pairs),
    );
    let start = Stopwatch::start();
    let equal = snapshot == changed;
    println!("compare snapshots: {}, equal: {equal}", start.told());
    let start = Stopwatch::start();
    let equal = snapshot == model::compile(&objects).snapshot;
    println!(
        "compile and compare, nothing changed: {}, equal: {equal}",
        start.told()
    );
    swap("one certificate changed", &held, &changed);
    println!("resident memory: {} MB in all", resident() >> 20);
}

fn pair(number: usize) -> PemPair {
    let names = vec![scale::host(2 * number), scale::host(2 * number + 1)];
    let mut params = CertificateParams::new(names).expect("names that are good");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    PemPair {
        chain: params.self_signed(&key).expect("a certificate").pem(),
        key: key.serialize_pem(),
    }
}

fn swap(what: &str, held: &Held, snapshot: &Snapshot) {
    let start = Stopwatch::start();
    let findings = held.apply(snapshot, &[]);
    println!(
        "certificate table, {what}: {}, {} findings",
        start.told(),
        findings.len()
    );
}

fn compiled(what: &str, count: usize, objects: &ObjectSet) -> Snapshot {
    let bytes: usize = objects.files.iter().map(|file| file.text.len()).sum();
    let start = Stopwatch::start();
    let compiled = model::compile(objects);
    println!(
        "compile {count} {what}: {}, {} kB of manifests, {} findings, {} MB resident",
        start.told(),
        bytes >> 10,
        compiled.findings.len(),
        resident() >> 20,
    );
    compiled.snapshot
}

/// Time since a moment: on the wall, and of the processors.
struct Stopwatch {
    wall: Instant,
    spent: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            spent: spent(),
        }
    }

    fn told(&self) -> String {
        let spent = spent() - self.spent;
        format!(
            "{} ms ({} ms of processors)",
            self.wall.elapsed().as_millis(),
            spent.as_millis()
        )
    }
}

/// What processors have spent on all threads, those that ended too, in steps of 10 ms.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold spaces; user and system time stand 12 and 13 behind it.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|one| one.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Numbers all over the range, in no order that a cache could like.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    (0..count.max(1_000)).map(move |at| at * 7_919 % count)
}

fn decide(what: &str, count: usize, snapshot: &Snapshot, asked: &[(String, String)]) {
    const ROUNDS: usize = 500_000;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let session = Session::anonymous();
    let once = |(host, path): &(String, String)| {
        let head = RequestHead {
            method: &Method::GET,
            scheme: "http",
            authority: host,
            target: path,
            headers: &headers,
            port: 80,
            peer: [192, 0, 2, 7].into(),
            client: [192, 0, 2, 7].into(),
            principal: None,
            sni: None,
            now: Timestamp::from_seconds(1_800_000_000),
            draw: 0,
        };
        let request = Request::read(black_box(head), snapshot.normalization()).expect("a request");
        let decision = policy::decide(&request, snapshot, &session);
        assert!(matches!(decision.outcome, Outcome::Forward(_)));
        black_box(decision);
    };
    asked.iter().for_each(once);
    let before = spent();
    asked.iter().cycle().take(ROUNDS).for_each(once);
    let each = (spent() - before).as_nanos() / ROUNDS as u128;
    let different = asked.len().min(count);
    println!(
        "decide among {count} {what}, {different} of them asked for: {each} ns of a processor"
    );
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }
}

/// Bytes that only have to differ.
struct Counting(AtomicU8);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or_default() << 10
}
