//! A session in memory, packed: as many as possible shall be there, and most of them are shown
//! seldom.
//!
//! What takes the room is the ID token, of which a [`Person`] holds the text, the claims and a header
//! value. Here it is held once, without its base64 (RFC 7515 §3), and compressed together with what
//! else is known of the person, most of which it says too. Those in constant use are held unpacked
//! beside (see [`super::Sessions`]).

use data_encoding::BASE64URL_NOPAD;
use model::names::Timestamp;

use super::store::{Record, Tokens};

/// What [`Record`] says of the person; nothing that only the store needs.
pub(super) struct Packed(Box<[u8]>);

/// What stands for a text that is not there.
const ABSENT: u64 = 0;
/// What begins a token in its three segments, and one that is not in that form.
const SEGMENTS: u64 = 1;
const WHOLE: u64 = 2;

impl Packed {
    /// Packs a record, its access token only where `shows_access_token`.
    pub(super) fn new(record: &Record, shows_access_token: bool) -> Self {
        let mut out = Writer(Vec::with_capacity(1024));
        out.token(Some(&record.id_token));
        out.token(record.access_token.as_ref().filter(|_| shows_access_token));
        out.text(&record.login);
        out.text(&record.user);
        out.text(&record.email);
        out.number(record.groups.len() as u64);
        for group in &record.groups {
            out.text(group);
        }
        match &record.preferred_username {
            None => out.number(ABSENT),
            Some(name) => {
                out.number(1);
                out.text(name);
            }
        }
        out.time(record.created);
        out.time(record.expires);
        match record.tokens.filter(|_| record.refresh_token.is_some()) {
            None => out.number(ABSENT),
            Some(Tokens { due, until }) => {
                out.number(1);
                out.time(due);
                out.time(until);
            }
        }
        Self(lz4_flex::compress_prepend_size(&out.0).into())
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What of the record can be said again; `None` never comes of [`Self::new`].
    pub(super) fn record(&self) -> Option<Record> {
        let bytes = lz4_flex::decompress_size_prepended(&self.0).ok()?;
        let mut from = Reader(&bytes);
        let id_token = from.token()??;
        let access_token = from.token()?;
        let (login, user, email) = (from.text()?, from.text()?, from.text()?);
        let count = from.number()?;
        let groups = (0..count).map(|_| from.text()).collect::<Option<_>>()?;
        let preferred_username = match from.number()? {
            ABSENT => None,
            _ => Some(from.text()?),
        };
        let (created, expires) = (from.time()?, from.time()?);
        let tokens = match from.number()? {
            ABSENT => None,
            _ => Some(Tokens {
                due: from.time()?,
                until: from.time()?,
            }),
        };
        Some(Record {
            login,
            issuer: String::new(),
            user,
            sid: None,
            email,
            groups,
            preferred_username,
            id_token,
            access_token,
            // That there is one is all that counts here.
            refresh_token: tokens.map(|_| String::new()),
            tokens,
            created,
            expires,
        })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    /// LEB128: most numbers are lengths of one byte or two.
    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn time(&mut self, time: Timestamp) {
        self.0.extend_from_slice(&time.seconds().to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn token(&mut self, token: Option<&String>) {
        let Some(token) = token else {
            return self.number(ABSENT);
        };
        // Only what decodes to the same text again: there is one form without padding and with
        // zeroes in the bits that no byte takes.
        let decoded: Vec<_> = token
            .split('.')
            .filter_map(|segment| BASE64URL_NOPAD.decode(segment.as_bytes()).ok())
            .collect();
        if decoded.len() == 3 && token.split('.').count() == 3 {
            self.number(SEGMENTS);
            for segment in decoded {
                self.bytes(&segment);
            }
        } else {
            self.number(WHOLE);
            self.text(token);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let seconds = self.take(8)?.try_into().ok()?;
        Some(Timestamp::from_seconds(i64::from_le_bytes(seconds)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    fn text(&mut self) -> Option<String> {
        let text = std::str::from_utf8(self.bytes()?).ok()?;
        Some(text.to_owned())
    }

    /// The outer `None` for what cannot be read, the inner one for no token.
    fn token(&mut self) -> Option<Option<String>> {
        match self.number()? {
            ABSENT => Some(None),
            SEGMENTS => {
                let segments = [self.bytes()?, self.bytes()?, self.bytes()?];
                let length: usize = segments.iter().map(|segment| segment.len()).sum();
                let mut token = String::with_capacity(length * 4 / 3 + 8);
                for (number, segment) in segments.into_iter().enumerate() {
                    if number > 0 {
                        token.push('.');
                    }
                    BASE64URL_NOPAD.encode_append(segment, &mut token);
                }
                Some(Some(token))
            }
            _ => Some(Some(self.text()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let claims = br#"{"iss":"https://issuer.example/dex","sub":"CiQwMDAw","email":"ann@example.com","groups":["team-a","team-b"],"nonce":"n-0S6_WzA2Mj"}"#;
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let token = format!(
            "{}.{}.{}",
            encode(br#"{"alg":"RS256","kid":"4d6a9f3c2b1e0d8f"}"#),
            encode(claims),
            encode(&[7; 256])
        );
        Record {
            login: "auth/oauth2-proxy".into(),
            issuer: String::new(),
            user: "CiQwMDAw".into(),
            sid: None,
            email: "ann@example.com".into(),
            groups: vec!["team-a".into(), "team-b".into(), String::new()],
            preferred_username: Some("Ann \u{e4}".into()),
            id_token: token,
            access_token: Some("opaque".into()),
            refresh_token: Some(String::new()),
            tokens: Some(Tokens {
                due: Timestamp::from_seconds(200),
                until: Timestamp::from_seconds(300),
            }),
            created: Timestamp::from_seconds(-1),
            expires: Timestamp::from_seconds(i64::MAX),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_packed() {
        let whole = record();
        let bare = Record {
            groups: Vec::new(),
            preferred_username: None,
            access_token: None,
            refresh_token: None,
            tokens: None,
            ..record()
        };
        let segment = &whole.id_token[..8];
        let odd = [
            "",
            ".",
            "..",
            "a.b",
            "eyJh.eyJh.eyJi.eyJh",
            "not base64!.e30.AA",
            &format!("{segment}.e31.AA"),
            &format!("{segment}==.e30.AA"),
            &"x".repeat(5000),
        ]
        .map(|token| Record {
            id_token: token.to_owned(),
            ..record()
        });
        for record in [whole, bare].into_iter().chain(odd) {
            let packed = Packed::new(&record, true);
            assert_eq!(packed.record().as_ref(), Some(&record));
        }
    }

    #[test]
    fn an_access_token_that_nobody_is_shown_is_left_out() {
        let packed = Packed::new(&record(), false).record().unwrap();
        assert_eq!(packed.access_token, None);
        assert_eq!(packed.id_token, record().id_token);
    }

    #[test]
    fn a_packed_session_takes_less_than_its_token() {
        let record = record();
        assert!(Packed::new(&record, true).len() < record.id_token.len());
    }

    #[test]
    fn what_was_cut_off_is_nothing() {
        let packed = Packed::new(&record(), true);
        for end in 0..packed.len() {
            assert!(Packed(packed.0[..end].into()).record().is_none(), "{end}");
        }
    }
}
