//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use crate::facts;
use crate::listen::HeadGuard;
use crate::settings::ResolveRule;

/// A place to cut, and the bytes of a connection: whole or in two pieces, the guard says the same.
pub fn head_guard(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let mut whole = bytes.to_vec();
    HeadGuard::default().inspect(&mut whole, 0);
    let mut guard = HeadGuard::default();
    let mut pieces = bytes.to_vec();
    let (first, second) = pieces.split_at_mut(usize::from(cut).min(bytes.len()));
    guard.inspect(first, 0);
    guard.inspect(second, 0);
    assert_eq!(whole, pieces);
    let mut single = bytes.to_vec();
    let mut guard = HeadGuard::default();
    for byte in single.chunks_mut(1) {
        guard.inspect(byte, 0);
    }
    assert_eq!(whole, single);
    // Only a line feed is ever changed.
    for (before, after) in bytes.iter().zip(&whole) {
        assert!(before == after || (*before == b'\n' && *after == 0));
    }
}

/// A request head: method, target and header lines.
pub fn head(bytes: &[u8]) {
    facts::read_head(bytes);
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
    replay::replay("resolve_rule", resolve_rule);
}
