//! Counters: plain per worker, summed when somebody asks.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::names::Duration;

use super::{Became, Frontend};

/// Upper bounds of the duration histogram: microseconds, and the same in seconds as it is printed.
const BOUNDS: [(u64, &str); 14] = [
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why an upstream did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFailure {
    /// No address, refused, or too slow to connect.
    Unreachable,
    /// It broke off before it answered.
    BrokeOff,
    /// The route's timeout passed.
    Timeout,
    /// TLS failed.
    Untrusted,
    /// Its limits were reached.
    Overflow,
    /// All its places are left out.
    NoneHealthy,
}

impl UpstreamFailure {
    const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::BrokeOff,
        Self::Timeout,
        Self::Untrusted,
        Self::Overflow,
        Self::NoneHealthy,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::BrokeOff => "broke_off",
            Self::Timeout => "timeout",
            Self::Untrusted => "untrusted",
            Self::Overflow => "overflow",
            Self::NoneHealthy => "none_healthy",
        }
    }
}

/// What became of a copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MirrorFate {
    /// It was answered, and the answer thrown away.
    Sent,
    /// It was not answered.
    Failed,
    /// It was not sent: the body was too long or broke off, or too many were on their way.
    Dropped,
}

impl MirrorFate {
    const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The counters of one worker. Only that worker writes, so adding needs no locked instruction.
#[derive(Default)]
pub(crate) struct Shard {
    requests: [[AtomicU64; CLASSES.len()]; Became::ALL.len()],
    checks: [[AtomicU64; Became::ALL.len()]; Frontend::ALL.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    duration_us: AtomicU64,
    accepted: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    handshakes_failed: AtomicU64,
    proxy_headers_missing: AtomicU64,
    streams: AtomicU64,
    streams_refused: AtomicU64,
    stream_bytes: AtomicU64,
    upstream_connections: AtomicU64,
    upstream_failures: [AtomicU64; UpstreamFailure::ALL.len()],
    in_flight: AtomicU64,
    retries: AtomicU64,
    retries_refused: AtomicU64,
    mirrors: [AtomicU64; MirrorFate::ALL.len()],
    ejections: AtomicU64,
    lines_lost: AtomicU64,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

impl Shard {
    /// A request has ended.
    pub(super) fn request(&self, became: Became, status: u16, duration: Duration) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        add(&self.requests[became as usize][class], 1);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < micros);
        add(&self.buckets[bucket], 1);
        add(&self.duration_us, micros);
    }

    /// A question of another proxy was answered.
    pub(super) fn checked(&self, frontend: Frontend, became: Became) {
        add(&self.checks[frontend as usize][became as usize], 1);
    }

    /// A connection was accepted.
    pub(crate) fn accepted(&self) {
        add(&self.accepted, 1);
    }

    /// A connection that was accepted is gone. Tunnels may end on another thread.
    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> u64 {
        self.accepted
            .load(Relaxed)
            .saturating_sub(self.closed.load(Relaxed))
    }

    /// A connection was refused: too many are open.
    pub(crate) fn refused(&self) {
        add(&self.refused, 1);
    }

    /// A TLS handshake failed or took too long.
    pub(crate) fn handshake_failed(&self) {
        add(&self.handshakes_failed, 1);
    }

    /// A connection did not begin with the PROXY protocol header that it has to.
    pub(crate) fn proxy_header_missing(&self) {
        add(&self.proxy_headers_missing, 1);
    }

    /// A stream has ended, and was passed on or refused.
    pub(super) fn stream(&self, passed: bool, bytes: u64) {
        let counter = if passed {
            &self.streams
        } else {
            &self.streams_refused
        };
        add(counter, 1);
        add(&self.stream_bytes, bytes);
    }

    /// A connection to an upstream was made.
    pub(crate) fn upstream_connected(&self) {
        add(&self.upstream_connections, 1);
    }

    /// An upstream did not answer.
    pub(crate) fn upstream_failed(&self, failure: UpstreamFailure) {
        add(&self.upstream_failures[failure as usize], 1);
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        add(&self.in_flight, 1);
    }

    /// A request is over.
    pub(super) fn end(&self) {
        add(&self.in_flight, u64::MAX);
    }

    /// Requests that are being answered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// A request was sent again, as its route says.
    pub(crate) fn retried(&self) {
        add(&self.retries, 1);
    }

    /// A request was not sent again: too many were being sent again already.
    pub(crate) fn retry_refused(&self) {
        add(&self.retries_refused, 1);
    }

    /// A copy of a request has ended.
    pub(crate) fn mirrored(&self, fate: MirrorFate) {
        add(&self.mirrors[fate as usize], 1);
    }

    /// A place of an upstream was left out for a while.
    pub(crate) fn ejected(&self) {
        add(&self.ejections, 1);
    }

    /// Log lines were dropped.
    pub(super) fn lost(&self, lines: u64) {
        add(&self.lines_lost, lines);
    }

    #[cfg(test)]
    pub(super) fn lines_lost(&self) -> u64 {
        self.lines_lost.load(Relaxed)
    }
}

/// The counters of all workers.
pub struct Metrics {
    shards: Vec<Arc<Shard>>,
}

impl Metrics {
    /// Of `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            shards: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    /// The counters of one worker.
    pub(crate) fn shard(&self, worker: usize) -> Arc<Shard> {
        Arc::clone(&self.shards[worker])
    }

    fn sum(&self, pick: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards
            .iter()
            .map(|shard| pick(shard).load(Relaxed))
            .sum()
    }

    /// Requests that are being answered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sum(|shard| &shard.in_flight)
    }

    /// All counters in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(4096);
        self.render_requests(&mut text);
        self.render_checks(&mut text);
        self.render_connections(&mut text);
        text
    }

    fn render_requests(&self, text: &mut String) {
        head(
            text,
            "requests_total",
            "counter",
            "Requests answered, by outcome and status class.",
        );
        for became in Became::ALL {
            for (class, name) in CLASSES.iter().enumerate() {
                let value = self.sum(|shard| &shard.requests[became as usize][class]);
                if value > 0 {
                    let outcome = became.as_str();
                    put(
                        text,
                        "requests_total",
                        &format!("{{outcome=\"{outcome}\",status=\"{name}\"}}"),
                        value,
                    );
                }
            }
        }
        let name = "request_duration_seconds";
        head(
            text,
            name,
            "histogram",
            "Time from the head of a request to the end of its answer.",
        );
        let mut total = 0;
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (bucket, bound) in bounds.enumerate() {
            total += self.sum(|shard| &shard.buckets[bucket]);
            put(
                text,
                "request_duration_seconds_bucket",
                &format!("{{le=\"{bound}\"}}"),
                total,
            );
        }
        let micros = self.sum(|shard| &shard.duration_us);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let _ = writeln!(text, "doorward_{name}_sum {seconds}.{rest:06}");
        put(text, "request_duration_seconds_count", "", total);
    }

    fn render_checks(&self, text: &mut String) {
        head(
            text,
            "checks_total",
            "counter",
            "Questions of other proxies answered, by how they ask and by outcome.",
        );
        for frontend in Frontend::ALL {
            for became in Became::ALL {
                let value = self.sum(|shard| &shard.checks[frontend as usize][became as usize]);
                if value > 0 {
                    let (frontend, outcome) = (frontend.as_str(), became.as_str());
                    let labels = format!("{{frontend=\"{frontend}\",outcome=\"{outcome}\"}}");
                    put(text, "checks_total", &labels, value);
                }
            }
        }
    }

    fn render_connections(&self, text: &mut String) {
        let accepted = self.sum(|shard| &shard.accepted);
        let closed = self.sum(|shard| &shard.closed);
        head(
            text,
            "connections",
            "gauge",
            "Client connections that are open.",
        );
        put(text, "connections", "", accepted.saturating_sub(closed));
        head(
            text,
            "requests_in_flight",
            "gauge",
            "Requests that are being answered.",
        );
        put(text, "requests_in_flight", "", self.in_flight());
        for (name, help, value) in [
            (
                "connections_total",
                "Client connections accepted.",
                accepted,
            ),
            (
                "connections_refused_total",
                "Client connections refused because too many were open.",
                self.sum(|shard| &shard.refused),
            ),
            (
                "tls_handshakes_failed_total",
                "TLS handshakes that failed or took too long.",
                self.sum(|shard| &shard.handshakes_failed),
            ),
            (
                "proxy_headers_missing_total",
                "Connections closed because they had no PROXY protocol header.",
                self.sum(|shard| &shard.proxy_headers_missing),
            ),
            (
                "streams_total",
                "Connections whose bytes were passed on, ended.",
                self.sum(|shard| &shard.streams),
            ),
            (
                "streams_refused_total",
                "Connections whose bytes were not passed on.",
                self.sum(|shard| &shard.streams_refused),
            ),
            (
                "stream_bytes_total",
                "Bytes passed on, both ways.",
                self.sum(|shard| &shard.stream_bytes),
            ),
            (
                "upstream_connections_total",
                "Connections made to upstreams.",
                self.sum(|shard| &shard.upstream_connections),
            ),
            (
                "upstream_retries_total",
                "Requests sent to an upstream again.",
                self.sum(|shard| &shard.retries),
            ),
            (
                "upstream_retries_refused_total",
                "Requests not sent again because too many already were.",
                self.sum(|shard| &shard.retries_refused),
            ),
            (
                "upstream_ejections_total",
                "Places of upstreams left out for a while because they failed.",
                self.sum(|shard| &shard.ejections),
            ),
            (
                "log_lines_dropped_total",
                "Access log lines dropped because the writer could not keep up.",
                self.sum(|shard| &shard.lines_lost),
            ),
        ] {
            head(text, name, "counter", help);
            put(text, name, "", value);
        }
        head(
            text,
            "upstream_failures_total",
            "counter",
            "Requests an upstream did not answer.",
        );
        for failure in UpstreamFailure::ALL {
            let value = self.sum(|shard| &shard.upstream_failures[failure as usize]);
            let labels = format!("{{reason=\"{}\"}}", failure.as_str());
            put(text, "upstream_failures_total", &labels, value);
        }
        let name = "mirrored_requests_total";
        head(
            text,
            name,
            "counter",
            "Copies of requests, by what became of them.",
        );
        for fate in MirrorFate::ALL {
            let value = self.sum(|shard| &shard.mirrors[fate as usize]);
            put(
                text,
                name,
                &format!("{{fate=\"{}\"}}", fate.as_str()),
                value,
            );
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP doorward_{name} {help}\n# TYPE doorward_{name} {kind}"
    );
}

fn put(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(text, "doorward_{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_workers_are_summed() {
        let metrics = Metrics::new(2);
        metrics
            .shard(0)
            .request(Became::Forward, 200, Duration::from_micros(250));
        metrics
            .shard(1)
            .request(Became::Forward, 204, Duration::from_micros(251));
        metrics
            .shard(1)
            .request(Became::Refuse, 403, Duration::from_secs(60));
        metrics.shard(0).accepted();
        metrics.shard(1).accepted();
        metrics.shard(0).closed();
        metrics.shard(1).upstream_failed(UpstreamFailure::Timeout);
        let text = metrics.render();
        for line in [
            "doorward_requests_total{outcome=\"forward\",status=\"2xx\"} 2",
            "doorward_requests_total{outcome=\"refuse\",status=\"4xx\"} 1",
            "doorward_request_duration_seconds_bucket{le=\"0.00025\"} 1",
            "doorward_request_duration_seconds_bucket{le=\"0.0005\"} 2",
            "doorward_request_duration_seconds_bucket{le=\"10\"} 2",
            "doorward_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "doorward_request_duration_seconds_sum 60.000501",
            "doorward_request_duration_seconds_count 3",
            "doorward_connections 1",
            "doorward_connections_total 2",
            "doorward_upstream_failures_total{reason=\"timeout\"} 1",
            "doorward_upstream_failures_total{reason=\"unreachable\"} 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(!text.contains("outcome=\"serve\""));
    }
}
