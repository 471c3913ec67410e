//! RFC 8628: a device that waits for a person elsewhere.

use model::names::Timestamp;
use model::seams::Randomness;
use serde::{Deserialize, Serialize};

use crate::authorize::{Challenge, Grant};

/// Seconds between two questions of a device, at first.
pub(crate) const PAUSE: i64 = 5;

/// Letters of user codes: no vowels, so that no words come about (§6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What a device asked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    pub(crate) scope: String,
    pub(crate) challenge: Option<Challenge>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Granted(Box<Grant>),
    Denied,
}

/// A device as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) client: String,
    pub(crate) wish: Wish,
    pub(crate) answer: Option<Answer>,
    pub(crate) pause: i64,
    pub(crate) polled_at: i64,
    pub(crate) expires_at: i64,
}

/// What a question of the device comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    /// `expired_token`.
    Expired,
    /// `access_denied`.
    Denied,
    /// `slow_down`; the pause from now on.
    TooSoon(i64),
    /// `authorization_pending`; the pause from now on.
    Pending(i64),
    /// Tokens.
    Granted(Box<Grant>),
}

/// Judges a question.
pub(crate) fn poll(waiting: &Waiting, now: Timestamp) -> Poll {
    if waiting.expires_at <= now.seconds() {
        return Poll::Expired;
    }
    match &waiting.answer {
        Some(Answer::Denied) => Poll::Denied,
        // Who has the answer is never slowed down.
        Some(Answer::Granted(grant)) => Poll::Granted(grant.clone()),
        // The first question is free.
        None if waiting.polled_at > 0 && waiting.polled_at + waiting.pause > now.seconds() => {
            Poll::TooSoon(waiting.pause.saturating_add(PAUSE))
        }
        None => Poll::Pending(PAUSE),
    }
}

/// A code that people can type: eight of twenty letters, some 34 bits.
pub(crate) fn user_code(randomness: &dyn Randomness) -> String {
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        if code.len() == 4 {
            code.push('-');
        }
        let mut byte = [0];
        randomness.fill(&mut byte);
        // 240 is a multiple of twenty: above it, some letters would be likelier.
        if byte[0] < 240 {
            code.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    code
}

/// What somebody typed, as codes are written: upper case, the dash in its place.
pub(crate) fn typed(text: &str) -> String {
    let letters: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_uppercase())
        .take(64)
        .collect();
    match letters.len() {
        8 => format!("{}-{}", &letters[..4], &letters[4..]),
        _ => letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, SeededRandomness};

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn patience_is_asked_for_and_rewarded() {
        let mut waiting = Waiting {
            client: "cli".into(),
            wish: Wish {
                scope: "openid".into(),
                challenge: None,
            },
            answer: None,
            pause: PAUSE,
            polled_at: 0,
            expires_at: NOW + 300,
        };
        let at = |seconds| Timestamp::from_seconds(NOW + seconds);
        assert_eq!(poll(&waiting, at(0)), Poll::Pending(5));
        waiting.polled_at = NOW;
        assert_eq!(poll(&waiting, at(4)), Poll::TooSoon(10));
        waiting.pause = 10;
        assert_eq!(poll(&waiting, at(9)), Poll::TooSoon(15));
        assert_eq!(poll(&waiting, at(10)), Poll::Pending(5));
        waiting.answer = Some(Answer::Granted(Box::new(fixture::grant())));
        assert_eq!(
            poll(&waiting, at(0)),
            Poll::Granted(Box::new(fixture::grant()))
        );
        waiting.answer = Some(Answer::Denied);
        assert_eq!(poll(&waiting, at(0)), Poll::Denied);
        assert_eq!(poll(&waiting, at(300)), Poll::Expired);
    }

    #[test]
    fn codes_are_typed_as_people_type() {
        let code = user_code(&SeededRandomness::default());
        assert_eq!(code.len(), 9);
        assert!(
            code.bytes()
                .all(|byte| byte == b'-' || LETTERS.contains(&byte))
        );
        for text in ["bcdf-ghjk", "BCDFGHJK", " bcdf ghjk "] {
            assert_eq!(typed(text), "BCDF-GHJK");
        }
        assert_eq!(typed("x"), "X");
        assert_eq!(typed(&"é".repeat(9)), "");
    }
}
