//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use std::sync::OnceLock;

use crate::jose::{self, KeySet};

/// A key set with one RSA and one elliptic key, whose private halves nobody has.
const KEYS: &str = include_str!("../testdata/fuzz-keys.json");

/// A compact token, or a JWK set, or both with a line feed between them.
pub fn token(bytes: &[u8]) {
    static STOCK: OnceLock<KeySet> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (compact, keys) = text.split_once('\n').unwrap_or((text, text));
    let stock = STOCK.get_or_init(|| {
        let keys = KeySet::from_json(KEYS);
        keys.unwrap_or_else(|fault| panic!("the stock keys are not read: {fault}"))
    });
    assert!(!stock.is_empty());
    let peeked = jose::peek(compact);
    assert!(
        jose::verify(compact, stock).is_err(),
        "nobody can sign this"
    );
    if let Ok(own) = KeySet::from_json(keys)
        && let Ok(claims) = jose::verify(compact, &own)
    {
        assert_eq!(peeked.as_ref(), Ok(&claims));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn every_kept_input_holds() {
    replay::replay("token", token);
}
