//! What Dex counts: requests by status, method and route, with their time and size.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const SECONDS: [f64; 6] = [0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BYTES: [f64; 4] = [200.0, 500.0, 900.0, 1500.0];

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<BTreeMap<Labels, Counted>>);

/// Status, method, route. Routes are a closed list, so there is no end to nothing.
type Labels = (u16, &'static str, &'static str);

#[derive(Debug, Default)]
struct Counted {
    requests: u64,
    seconds: [u64; SECONDS.len()],
    seconds_sum: f64,
    bytes: [u64; BYTES.len()],
    bytes_sum: f64,
}

impl Metrics {
    /// Counts one answer.
    pub(super) fn count(
        &self,
        status: u16,
        method: &http::Method,
        below: &str,
        time: Duration,
        size: usize,
    ) {
        let labels = (status, verb(method), route(below));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = all.entry(labels).or_default();
        counted.requests += 1;
        #[expect(clippy::cast_precision_loss, reason = "bodies are small")]
        let (time, size) = (time.as_secs_f64(), size as f64);
        for (edge, count) in SECONDS.iter().zip(&mut counted.seconds) {
            *count += u64::from(time <= *edge);
        }
        for (edge, count) in BYTES.iter().zip(&mut counted.bytes) {
            *count += u64::from(size <= *edge);
        }
        counted.seconds_sum += time;
        counted.bytes_sum += size;
    }

    /// In the text format of Prometheus.
    pub(super) fn render(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let label = |(status, method, route): &Labels| {
            format!("code=\"{status}\",handler=\"{route}\",method=\"{method}\"")
        };
        text.push_str("# TYPE http_requests_total counter\n");
        for (labels, counted) in &*all {
            let labels = label(labels);
            let _ = writeln!(text, "http_requests_total{{{labels}}} {}", counted.requests);
        }
        for name in ["request_duration_seconds", "response_size_bytes"] {
            let _ = writeln!(text, "# TYPE {name} histogram");
            for (labels, counted) in &*all {
                let labels = label(labels);
                let (edges, counts, sum) = match name {
                    "request_duration_seconds" => {
                        (&SECONDS[..], &counted.seconds[..], counted.seconds_sum)
                    }
                    _ => (&BYTES[..], &counted.bytes[..], counted.bytes_sum),
                };
                for (edge, count) in edges.iter().zip(counts) {
                    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{edge}\"}} {count}");
                }
                let total = counted.requests;
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}");
                let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}");
                let _ = writeln!(text, "{name}_count{{{labels}}} {total}");
            }
        }
        text
    }
}

fn verb(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "unknown",
    }
}

/// The pattern that a path below the issuer's falls under.
fn route(below: &str) -> &'static str {
    match below {
        "/.well-known/openid-configuration" => "/.well-known/openid-configuration",
        "/keys" => "/keys",
        "/token" => "/token",
        "/token/introspect" => "/token/introspect",
        "/userinfo" => "/userinfo",
        "/auth" => "/auth",
        "/approval" => "/approval",
        "/callback" => "/callback",
        "/device" => "/device",
        "/device/code" => "/device/code",
        "/device/token" => "/device/token",
        "/device/callback" => "/device/callback",
        "/device/auth/verify_code" => "/device/auth/verify_code",
        "/logout" => "/logout",
        "/healthz" => "/healthz",
        _ if below.starts_with("/static/") => "/static",
        _ if below.starts_with("/callback/") => "/callback/{connector}",
        _ if below.starts_with("/auth/") && below.ends_with("/login") => "/auth/{connector}/login",
        _ if below.starts_with("/auth/") => "/auth/{connector}",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route() {
        let metrics = Metrics::default();
        let get = http::Method::GET;
        metrics.count(200, &get, "/auth/x/login", Duration::from_millis(300), 600);
        metrics.count(200, &get, "/auth/y/login", Duration::from_millis(100), 100);
        let text = metrics.render();
        let labels = "code=\"200\",handler=\"/auth/{connector}/login\",method=\"get\"";
        for line in [
            format!("http_requests_total{{{labels}}} 2"),
            format!("request_duration_seconds_bucket{{{labels},le=\"0.25\"}} 1"),
            format!("request_duration_seconds_bucket{{{labels},le=\"0.5\"}} 2"),
            format!("response_size_bytes_bucket{{{labels},le=\"900\"}} 2"),
            format!("response_size_bytes_sum{{{labels}}} 700"),
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
        assert_eq!(route("/etc/passwd"), "other");
    }
}
