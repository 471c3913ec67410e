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
mod tests {
    /// Every input that a fuzzer or a person has kept for `target`.
    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for input in std::fs::read_dir(corpus).unwrap() {
            run(&std::fs::read(input.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }

    #[test]
    fn the_corpora_hold() {
        replay("head_guard", super::head_guard);
        replay("head", super::head);
        replay("resolve_rule", super::resolve_rule);
    }
}
