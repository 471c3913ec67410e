//! Names for a request: `x-request-id`, `traceparent`, and a number for the dice.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use model::seams::Randomness;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest `x-request-id` taken from outside.
const LONGEST: usize = 128;
/// Random bytes one request needs: 16 for the id, 8 for the span, 4 for the draw.
const NEEDED: usize = 28;
/// Bytes of text in one allocation.
const BLOCK: usize = 4096;

/// Makes identifiers. Randomness is drawn for many requests at once, and their text lies in one
/// allocation.
pub(crate) struct Identifiers {
    randomness: Arc<dyn Randomness>,
    drawn: [u8; NEEDED * 128],
    used: usize,
    text: BytesMut,
}

impl Identifiers {
    /// Draws from `randomness`.
    pub(crate) fn new(randomness: Arc<dyn Randomness>) -> Self {
        let drawn = [0; NEEDED * 128];
        Self {
            randomness,
            used: drawn.len(),
            drawn,
            text: BytesMut::new(),
        }
    }

    /// A draw for a connection whose bytes are passed on.
    pub(crate) fn draw(&mut self) -> u32 {
        let random = self.random();
        u32::from_ne_bytes([random[24], random[25], random[26], random[27]])
    }

    fn random(&mut self) -> [u8; NEEDED] {
        if self.used + NEEDED > self.drawn.len() {
            self.randomness.fill(&mut self.drawn);
            self.used = 0;
        }
        let mut random = [0; NEEDED];
        random.copy_from_slice(&self.drawn[self.used..self.used + NEEDED]);
        self.used += NEEDED;
        random
    }

    /// Gives a request the identifiers that it lacks; returns its id and a draw.
    pub(super) fn identify(&mut self, headers: &mut HeaderMap) -> (HeaderValue, u32) {
        let mut random = self.random();
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _] = &mut random;
        // RFC 9562 §5.4: version 4, variant 10.
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;

        let mut traces = headers.get_all(TRACEPARENT).iter();
        let trace = traces.next().is_some_and(is_traceparent) && traces.next().is_none();
        if !trace {
            headers.insert(TRACEPARENT, self.traceparent(&random));
        }
        let mut ids = headers.get_all(REQUEST_ID).iter();
        let given = ids.next().filter(|value| is_request_id(value)).cloned();
        let request_id = match given {
            Some(value) if ids.next().is_none() => value,
            _ => {
                let made = self.uuid(&random);
                headers.insert(REQUEST_ID, made.clone());
                made
            }
        };
        let draw = u32::from_ne_bytes([random[24], random[25], random[26], random[27]]);
        (request_id, draw)
    }

    /// `Sec-WebSocket-Key` (RFC 6455 §4.1): 16 drawn bytes in base 64.
    pub(super) fn websocket_key(&mut self) -> HeaderValue {
        let mut drawn = [0; 16];
        self.randomness.fill(&mut drawn);
        let text = data_encoding::BASE64.encode(&drawn);
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"))
    }

    fn uuid(&mut self, random: &[u8; NEEDED]) -> HeaderValue {
        let mut text = [b'-'; 36];
        put_hex(&mut text[..8], &random[..4]);
        put_hex(&mut text[9..13], &random[4..6]);
        put_hex(&mut text[14..18], &random[6..8]);
        put_hex(&mut text[19..23], &random[8..10]);
        put_hex(&mut text[24..], &random[10..16]);
        self.value(&text)
    }

    /// W3C Trace Context §3.2: version 00, not sampled. The trace id has the bytes of the request
    /// id, so that one finds the other.
    fn traceparent(&mut self, random: &[u8; NEEDED]) -> HeaderValue {
        let mut text = [b'-'; 55];
        put_hex(&mut text[..2], &[0]);
        put_hex(&mut text[3..35], &random[..16]);
        put_hex(&mut text[36..52], &random[16..24]);
        put_hex(&mut text[53..], &[0]);
        self.value(&text)
    }

    fn value(&mut self, text: &[u8]) -> HeaderValue {
        // Asked for only when the block is used up: a larger reserve would replace it each time.
        if self.text.capacity() < text.len() {
            self.text.reserve(BLOCK);
        }
        self.text.extend_from_slice(text);
        let text = self.text.split().freeze();
        // Digits, letters and `-` only.
        HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Writes `bytes` over `text`, two digits each.
fn put_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn is_request_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(byte);
    (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(plain)
}

fn is_traceparent(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    bytes.len() == 55
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            2 | 35 | 52 => *byte == b'-',
            _ => hex(byte),
        })
        && &bytes[..2] == b"00"
        && !zero(&bytes[3..35])
        && !zero(&bytes[36..52])
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    struct Counting(AtomicU8);

    impl Randomness for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn identified(headers: &[(&str, &str)]) -> (String, String) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let mut identifiers = Identifiers::new(Arc::new(Counting(AtomicU8::new(0))));
        let (id, draw) = identifiers.identify(&mut map);
        assert_eq!(draw.to_ne_bytes(), [24, 25, 26, 27]);
        assert_eq!(map.get_all(REQUEST_ID).iter().collect::<Vec<_>>(), [&id]);
        assert_eq!(map.get_all(TRACEPARENT).iter().count(), 1);
        (
            id.to_str().unwrap().to_owned(),
            map[TRACEPARENT].to_str().unwrap().to_owned(),
        )
    }

    const ID: &str = "00010203-0405-4607-8809-0a0b0c0d0e0f";
    const TRACE: &str = "00-000102030405460788090a0b0c0d0e0f-1011121314151617-00";

    #[test]
    fn identifiers_are_made_when_there_are_none() {
        assert_eq!(identified(&[]), (ID.into(), TRACE.into()));
    }

    #[test]
    fn good_identifiers_pass_and_bad_ones_are_replaced() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let passed = identified(&[("x-request-id", "abc-1.2:3"), ("traceparent", trace)]);
        assert_eq!(passed, ("abc-1.2:3".into(), trace.into()));
        let long = "a".repeat(129);
        for bad in ["", "a b", "<script>", "a\"b", &long] {
            assert_eq!(identified(&[("x-request-id", bad)]).0, ID, "{bad}");
        }
        assert_eq!(
            identified(&[("x-request-id", "a"), ("x-request-id", "b")]).0,
            ID
        );
        for bad in [
            "01-4bf9",
            &trace.to_uppercase(),
            &trace.replace('4', "g"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(identified(&[("traceparent", bad)]).1, TRACE, "{bad}");
        }
    }

    #[test]
    fn no_two_requests_share_an_id() {
        let mut identifiers = Identifiers::new(Arc::new(Counting(AtomicU8::new(0))));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..60 {
            seen.insert(identifiers.identify(&mut HeaderMap::new()).0);
        }
        assert_eq!(seen.len(), 60);
    }
}
