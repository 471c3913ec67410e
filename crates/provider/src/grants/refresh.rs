//! RFC 6749 §6: a refresh token for tokens, and what a second use of one means (RFC 9700 §4.14.2).

use model::names::{Duration, Timestamp};
use model::snapshot::{RefreshRules, Rotation};

use crate::storage::{Kept, Place, TOGETHER};

/// What becomes of a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is replaced.
    Rotate,
    /// It stays, and its use is written down.
    Stay,
    /// Within the interval of reuse: it stays, and nothing is written.
    Again,
    /// Within the interval of reuse: the one that followed it is given out again.
    Follow,
    /// Refused: a client that asked twice, or a word that was never a token.
    Refused,
    /// Refused, and the family ends: two parties hold it.
    Theft,
    /// Refused: too old.
    Over,
}

/// Judges `token` of the family `kept`.
pub(crate) fn judge(kept: &Kept, token: &str, rules: RefreshRules, now: Timestamp) -> Use {
    let since = |from: i64, span: Duration| Timestamp::from_seconds(from).plus(span) <= now;
    let over = |from: i64, span: Option<Duration>| span.is_some_and(|span| since(from, span));
    if over(kept.created_at, rules.absolute) || over(kept.rotated_at, rules.idle) {
        return Use::Over;
    }
    let place = kept.place(token);
    let reuse = match rules.rotation {
        Rotation::Never => {
            return match place {
                Place::Current => Use::Stay,
                _ => Use::Refused,
            };
        }
        Rotation::Each { reuse } => reuse,
    };
    let within = |span: Duration| !since(kept.rotated_at, span);
    match place {
        // A family that was just made has nothing to give out again: its first use rotates.
        Place::Current if within(reuse) && !kept.sealed.is_empty() => Use::Again,
        Place::Current => Use::Rotate,
        Place::Previous if within(reuse) && !kept.sealed.is_empty() => Use::Follow,
        _ if within(TOGETHER) => Use::Refused,
        _ => Use::Theft,
    }
}

/// When a family that is used now ends, Unix seconds.
pub(crate) fn ends(created_at: i64, rules: RefreshRules, now: Timestamp) -> i64 {
    /// For ever, as far as databases and clocks go.
    const FOREVER: i64 = 253_402_300_799;
    let idle = rules.idle.map(|span| now.plus(span).seconds());
    let absolute = rules
        .absolute
        .map(|span| Timestamp::from_seconds(created_at).plus(span).seconds());
    idle.unwrap_or(FOREVER).min(absolute.unwrap_or(FOREVER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const NOW: i64 = 1_700_000_000;

    fn rules(rotation: Rotation) -> RefreshRules {
        RefreshRules {
            rotation,
            absolute: Some(Duration::from_secs(1000)),
            idle: Some(Duration::from_secs(500)),
        }
    }

    fn run(rotation: Rotation, token: &str, later: i64) -> Use {
        let kept = Kept::new(fixture::grant(), ("t1", Some("t0")), NOW);
        let now = Timestamp::from_seconds(NOW + later);
        judge(&kept, token, rules(rotation), now)
    }

    #[test]
    fn a_second_use_is_theft_unless_it_comes_at_once() {
        let each = Rotation::Each {
            reuse: Duration::ZERO,
        };
        for (token, later, expected) in [
            ("t1", 0, Use::Rotate),
            ("t1", 499, Use::Rotate),
            ("t1", 500, Use::Over),
            ("t0", 0, Use::Refused),
            ("t0", 9, Use::Refused),
            ("t0", 10, Use::Theft),
            ("t9", 0, Use::Refused),
            ("t9", 10, Use::Theft),
        ] {
            assert_eq!(run(each, token, later), expected, "{token} {later}");
        }
    }

    #[test]
    fn within_the_interval_of_reuse_both_tokens_bring_the_same_one() {
        let each = Rotation::Each {
            reuse: Duration::from_secs(30),
        };
        for (token, later, expected) in [
            ("t1", 0, Use::Again),
            ("t1", 29, Use::Again),
            ("t1", 30, Use::Rotate),
            ("t0", 29, Use::Follow),
            ("t0", 30, Use::Theft),
            ("t9", 0, Use::Refused),
            ("t9", 10, Use::Theft),
        ] {
            assert_eq!(run(each, token, later), expected, "{token} {later}");
        }
    }

    #[test]
    fn without_rotation_the_token_stays() {
        for (token, later, expected) in [
            ("t1", 0, Use::Stay),
            ("t1", 499, Use::Stay),
            ("t1", 1000, Use::Over),
            ("t9", 0, Use::Refused),
        ] {
            assert_eq!(run(Rotation::Never, token, later), expected);
        }
    }

    #[test]
    fn a_family_ends_at_the_sooner_of_both_lifetimes() {
        let now = Timestamp::from_seconds(NOW + 700);
        let mut rules = rules(Rotation::Never);
        assert_eq!(ends(NOW, rules, now), NOW + 1000);
        rules.absolute = None;
        assert_eq!(ends(NOW, rules, now), NOW + 1200);
        rules.idle = None;
        assert!(ends(NOW, rules, now) > NOW * 100);
    }
}
