//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use crate::authorizer;
use crate::facts;
use crate::settings::ResolveRule;

pub use crate::listen::fuzzing::{frame_guard, head_guard, hello, proxy_header};

/// A request head: method, target and header lines.
pub fn head(bytes: &[u8]) {
    facts::read_head(bytes);
}

/// A question of Envoy's over gRPC, `envoy.service.auth.v3.CheckRequest`.
pub fn check(bytes: &[u8]) {
    authorizer::read_check(bytes);
}

/// A rule of `--resolve`.
pub fn resolve_rule(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let rule = text.parse::<ResolveRule>();
        assert_eq!(rule, text.parse());
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn every_kept_input_holds() {
    replay::replay("head_guard", head_guard);
    replay::replay("head", head);
    replay::replay("check", check);
    replay::replay("resolve_rule", resolve_rule);
    replay::replay("frame_guard", frame_guard);
    replay::replay("proxy_header", proxy_header);
    replay::replay("hello", hello);
}
