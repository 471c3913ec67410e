//! How sign-ins ended, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a sign-in with a password ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The password was right.
    LetIn,
    /// Unknown name or wrong password.
    Refused,
    /// Not heard: too many failures.
    Slowed,
    /// The password was right, and the account is disabled.
    Disabled,
}

const ENDS: [(Ended, &str); 4] = [
    (Ended::LetIn, "let_in"),
    (Ended::Refused, "refused"),
    (Ended::Slowed, "slowed"),
    (Ended::Disabled, "disabled"),
];

/// How many ended how.
#[derive(Default)]
pub(crate) struct SignIns([AtomicU64; 4]);

impl SignIns {
    pub(crate) fn ended(&self, how: Ended) {
        self.0[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> [(&'static str, u64); 4] {
        ENDS.map(|(how, word)| (word, self.0[how as usize].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_count() {
        let sign_ins = SignIns::default();
        for (times, (how, _)) in ENDS.into_iter().enumerate() {
            for _ in 0..times {
                sign_ins.ended(how);
            }
        }
        let expected = [
            ("let_in", 0),
            ("refused", 1),
            ("slowed", 2),
            ("disabled", 3),
        ];
        assert_eq!(sign_ins.counts(), expected);
    }
}
