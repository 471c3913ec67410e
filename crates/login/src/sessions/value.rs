//! The value of a session cookie.

use std::cell::RefCell;

use aws_lc_rs::{digest, hmac};
use data_encoding::BASE64URL_NOPAD;
use model::seams::Randomness;
use subtle::ConstantTimeEq;

const RANDOM: usize = 32;
const SEAL: usize = 16;
const TEXT: usize = (RANDOM + SEAL) * 4 / 3;

/// What a session is stored under: the SHA-256 of its cookie's value. Knowing it does not help to
/// make the cookie.
pub(crate) type Name = [u8; 32];

/// 256 random bits, and 128 that say that this store drew them. The second part lets a forged cookie
/// be told from a real one without asking the database.
#[derive(Clone)]
pub(crate) struct CookieValue([u8; RANDOM + SEAL]);

/// The session cookie that a connection showed last, and its name: a client that keeps its
/// connection shows the same one with each request, and hashing it costs more than all the rest of
/// looking it up.
#[derive(Default)]
pub struct Memo(RefCell<Option<(CookieValue, Name)>>);

impl Memo {
    /// What the session of `value` is stored under.
    pub(super) fn name(&self, value: &CookieValue) -> Name {
        let mut last = self.0.borrow_mut();
        // Clients behind one proxy may share a connection: none may learn another's cookie from
        // how long this takes.
        if let Some((known, name)) = last.as_ref()
            && bool::from(known.0.ct_eq(&value.0))
        {
            return *name;
        }
        let name = value.name();
        *last = Some((value.clone(), name));
        name
    }
}

/// Tells cookies of this store from others.
pub(crate) struct Stamp {
    first: hmac::Key,
    further: Vec<hmac::Key>,
}

impl Stamp {
    /// With this store's own keys: the first one for what is drawn, all for what is found. `None`
    /// without any.
    pub(crate) fn new(keys: &[[u8; 32]]) -> Option<Self> {
        let mut keys = keys
            .iter()
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
        Some(Self {
            first: keys.next()?,
            further: keys.collect(),
        })
    }

    /// A value that nobody has seen.
    pub(crate) fn draw(&self, randomness: &dyn Randomness) -> CookieValue {
        let mut value = [0; RANDOM + SEAL];
        randomness.fill(&mut value[..RANDOM]);
        let tag = hmac::sign(&self.first, &value[..RANDOM]);
        value[RANDOM..].copy_from_slice(&tag.as_ref()[..SEAL]);
        CookieValue(value)
    }

    /// Whether this store drew `value`.
    pub(crate) fn is_mine(&self, value: &CookieValue) -> bool {
        let (random, seal) = value.0.split_at(RANDOM);
        std::iter::once(&self.first)
            .chain(&self.further)
            .any(|key| {
                let tag = hmac::sign(key, random);
                tag.as_ref()[..SEAL].ct_eq(seal).into()
            })
    }
}

impl CookieValue {
    /// Reads a cookie, without allocation. `None` when it cannot be one of ours.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        if text.len() != TEXT {
            return None;
        }
        let mut value = [0; RANDOM + SEAL];
        BASE64URL_NOPAD.decode_mut(text, &mut value).ok()?;
        Some(Self(value))
    }

    /// As the cookie carries it.
    pub(crate) fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// What the session is stored under.
    pub(crate) fn name(&self) -> Name {
        // In one piece: a context that takes pieces would be allocated, for every request.
        let mut name = Name::default();
        name.copy_from_slice(digest::digest(&digest::SHA256, &self.0).as_ref());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::SeededRandomness;

    fn stamp_of(keys: &[u8]) -> Stamp {
        let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
        Stamp::new(&keys).unwrap()
    }

    #[test]
    fn a_value_is_read_as_it_was_written_and_known_by_its_store_only() {
        let stamp = stamp_of(&[1]);
        let value = stamp.draw(&SeededRandomness::default());
        let text = value.text();
        assert_eq!(text.len(), 64);
        let read = CookieValue::read(text.as_bytes()).unwrap();
        assert_eq!(read.name(), value.name());
        assert!(stamp.is_mine(&read));
        assert!(!stamp_of(&[2]).is_mine(&read));
        assert!(stamp_of(&[2, 1]).is_mine(&read));
    }

    #[test]
    fn a_connection_that_changes_its_cookie_is_not_taken_for_the_one_before() {
        let (stamp, random) = (stamp_of(&[1]), SeededRandomness::default());
        let values = [stamp.draw(&random), stamp.draw(&random)];
        let memo = Memo::default();
        for value in [0, 0, 1, 1, 0].map(|number| &values[number]) {
            assert_eq!(memo.name(value), value.name());
        }
    }

    #[test]
    fn bent_values_are_not_mine_and_other_shapes_are_not_values() {
        let stamp = stamp_of(&[1]);
        let text = stamp.draw(&SeededRandomness::default()).text();
        for place in [0, 20, 42, 50, 63] {
            let mut bent = text.clone().into_bytes();
            bent[place] = if bent[place] == b'A' { b'Q' } else { b'A' };
            let bent = CookieValue::read(&bent).unwrap();
            assert!(!stamp.is_mine(&bent), "{place}");
        }
        let longer = format!("{text}A");
        for shape in [
            "",
            "x",
            &text[1..],
            &longer,
            &text.replace(&text[3..4], "!"),
        ] {
            assert!(CookieValue::read(shape.as_bytes()).is_none(), "{shape}");
        }
    }
}
