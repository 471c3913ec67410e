//! What stands in the cookies of a session that is nowhere else: `v1.PARTS.BODY`, the body being
//! base64url of the key's id, a nonce, and the record under AES-256-GCM-SIV (RFC 8452) with the
//! cookie's name and this form's version beside it. A long one is divided over `NAME_0`, `NAME_1`, …

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use model::names::Secret;
use model::seams::Randomness;
use model::snapshot::Login;

use super::super::store::{Record, StoreError, derive};
use crate::cookies;

/// Every one begins so.
const FORM: &str = "v1.";

const KEY_ID: usize = 4;

/// So much of a session is divided over cookies at most: more makes headers that servers refuse.
pub(crate) const LONGEST: usize = 16_000;

/// No browser keeps a cookie that is longer than 4096 bytes with its name; programs that come in
/// between count its attributes, too.
const ROOM: usize = 4000;

/// As many as the longest needs, with long attributes.
const MOST_PARTS: usize = 8;

/// The keys of cookies: the first one seals, all open.
pub(super) struct CookieSeal(Vec<SealKey>);

struct SealKey {
    id: [u8; KEY_ID],
    key: LessSafeKey,
}

impl SealKey {
    fn of(secret: &[u8]) -> Option<Self> {
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&derive(secret, "cookie id")[..KEY_ID]);
        let key = UnboundKey::new(&AES_256_GCM_SIV, &derive(secret, "cookie seal")).ok()?;
        Some(Self {
            id,
            key: LessSafeKey::new(key),
        })
    }
}

impl CookieSeal {
    /// With keys that come of `secrets`. `None` without any.
    pub(super) fn new(secrets: &[Secret]) -> Option<Self> {
        let keys: Option<Vec<_>> = secrets
            .iter()
            .map(|secret| SealKey::of(secret.expose()))
            .collect();
        keys.filter(|keys| !keys.is_empty()).map(Self)
    }

    /// The body of the cookie `name` for `record`.
    pub(super) fn seal(
        &self,
        name: &str,
        record: &Record,
        randomness: &dyn Randomness,
    ) -> Result<String, StoreError> {
        let key = self.0.first().ok_or(StoreError::Foreign)?;
        let mut text = serde_json::to_vec(record).map_err(|_| StoreError::Corrupt)?;
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        let unique = Nonce::assume_unique_for_key(nonce);
        key.key
            .seal_in_place_append_tag(unique, beside(name), &mut text)
            .map_err(|_| StoreError::Corrupt)?;
        let body = BASE64URL_NOPAD.encode(&[&key.id[..], &nonce, &text].concat());
        match body.len() <= LONGEST {
            true => Ok(body),
            false => Err(StoreError::TooLong(body.len())),
        }
    }

    /// What [`Self::seal`] sealed. `None` for anything else: it is the client's, so nobody is told.
    pub(super) fn open(&self, name: &str, body: &str) -> Option<Record> {
        if body.len() > LONGEST {
            return None;
        }
        let mut bytes = BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
        let (id, rest) = bytes.split_first_chunk_mut::<KEY_ID>()?;
        let (nonce, sealed) = rest.split_at_mut_checked(NONCE_LEN)?;
        let key = self.0.iter().find(|key| key.id == *id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = key.key.open_in_place(nonce, beside(name), sealed).ok()?;
        serde_json::from_slice(text).ok()
    }
}

/// A cookie of one login proxy opens as no other's.
fn beside(name: &str) -> Aad<Vec<u8>> {
    let mut bytes = b"doorward session cookie\0".to_vec();
    bytes.extend_from_slice(FORM.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(name.as_bytes());
    Aad::from(bytes)
}

/// Names and values of the cookies that carry `body`, when all else in their `Set-Cookie` takes
/// `besides` bytes.
pub(super) fn divided(name: &str, body: &str, besides: usize) -> Vec<(String, String)> {
    let room = |name: usize| ROOM.saturating_sub(besides + name).max(1);
    let whole = format!("{FORM}1.{body}");
    if whole.len() <= room(name.len()) {
        return vec![(name.to_owned(), whole)];
    }
    let room = room(name.len() + 2);
    let count = whole.len().div_ceil(room);
    let all = format!("{FORM}{count}.{body}");
    let parts = all.as_bytes().chunks(room).enumerate();
    parts
        .map(|(number, part)| {
            let part = String::from_utf8_lossy(part).into_owned();
            (format!("{name}_{number}"), part)
        })
        .collect()
}

/// The body that the cookies of a request carry for `login`: whole, or put together from as many
/// parts as the first one says, so that what is left of a longer one does no harm. `None` where none
/// of them has this form; an empty one cannot be opened.
pub(super) fn joined(headers: &HeaderMap, login: &Login) -> Option<String> {
    let name = &*login.cookie_name;
    let whole = cookies::named(headers, name)
        .find_map(|value| text(value)?.strip_prefix(FORM)?.strip_prefix("1."));
    if let Some(body) = whole {
        return Some(body.to_owned());
    }
    let first = format!("{name}_0");
    let (count, start) = cookies::named(headers, &first).find_map(|value| {
        let (count, start) = text(value)?.strip_prefix(FORM)?.split_once('.')?;
        let count: usize = count.parse().ok()?;
        (2..=MOST_PARTS).contains(&count).then_some((count, start))
    })?;
    let mut body = start.to_owned();
    for number in 1..count {
        let part = format!("{name}_{number}");
        match cookies::named(headers, &part).next().and_then(text) {
            Some(part) => body.push_str(part),
            None => return Some(String::new()),
        }
    }
    Some(body)
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;
    use crate::fixture::{SeededRandomness, login};
    use crate::sessions::store::conformance::record;

    fn seal(secrets: &[u8]) -> CookieSeal {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|byte| Secret::new([*byte; 32]))
            .collect();
        CookieSeal::new(&secrets).unwrap()
    }

    fn headers(cookies: &[(String, String)]) -> HeaderMap {
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&pairs.join("; ")).unwrap());
        headers
    }

    #[test]
    fn a_cookie_opens_under_its_name_and_keys_only() {
        let (random, name) = (SeededRandomness::default(), "name");
        let record = record("a@example.com");
        let body = seal(&[1]).seal(name, &record, &random).unwrap();
        assert_eq!(seal(&[2, 1]).open(name, &body).as_ref(), Some(&record));
        assert_eq!(seal(&[2]).open(name, &body), None);
        assert_eq!(seal(&[1]).open("another", &body), None);
        for place in 0..body.len() {
            let mut bent = body.clone().into_bytes();
            bent[place] = if bent[place] == b'A' { b'Q' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            // The last letter has bits that stand for nothing.
            if bent != body {
                assert_eq!(seal(&[1]).open(name, &bent), None, "{place}");
            }
            assert_eq!(seal(&[1]).open(name, &body[..place]), None, "{place}");
        }
        let again = seal(&[1]).seal(name, &record, &random).unwrap();
        assert_ne!(again, body);
        assert!(CookieSeal::new(&[]).is_none());
    }

    #[test]
    fn what_is_too_long_is_no_cookie() {
        let (random, name) = (SeededRandomness::default(), "name");
        let mut record = record("a@example.com");
        record.groups = (0..2000).map(|number| format!("group-{number}")).collect();
        let fault = seal(&[1]).seal(name, &record, &random).unwrap_err();
        assert!(matches!(fault, StoreError::TooLong(bytes) if bytes > LONGEST));
        assert_eq!(seal(&[1]).open(name, &"A".repeat(64 << 10)), None);
    }

    #[test]
    fn a_long_one_is_divided_and_joined_whatever_else_is_there() {
        let login = login();
        let name = &*login.cookie_name;
        for (length, parts) in [(100, 1), (3900 - name.len(), 1), (4000, 2), (LONGEST, 5)] {
            let body = "x".repeat(length);
            let cookies = divided(name, &body, 90);
            assert_eq!(cookies.len(), parts, "{length}");
            assert!(
                cookies
                    .iter()
                    .all(|(name, value)| name.len() + value.len() + 90 <= ROOM)
            );
            assert_eq!(joined(&headers(&cookies), &login), Some(body.clone()));
            // Left of a longer one.
            let stale = (format!("{name}_{parts}"), "stale".to_owned());
            let more = [cookies.clone(), vec![stale]].concat();
            assert_eq!(joined(&headers(&more), &login), Some(body));
            if parts > 1 {
                let torn = joined(&headers(&cookies[..parts - 1]), &login);
                assert_eq!(torn, Some(String::new()));
            }
        }
        for strange in [
            "",
            "v1.",
            "v1.2.x",
            "v2.1.x",
            "a|b|c",
            "v1.99999999999999999999.x",
        ] {
            let cookies = [
                (name.to_owned(), strange.to_owned()),
                (format!("{name}_0"), strange.replace("v1.2.", "v1.x.")),
            ];
            assert_eq!(joined(&headers(&cookies), &login), None, "{strange}");
        }
    }
}
