//! The cookie of OAuth2 Proxy: `payload|time|signature`, where the payload is AES-CFB over an LZ4
//! frame of MessagePack. The signature is what authenticates; it is checked before anything is
//! opened.

use std::io::Read as _;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use model::names::Timestamp;
use rmpv::Value;

const IV: usize = 16;

/// More than any session needs: what is compressed may be a bomb.
const LARGEST: u64 = 256 * 1024;

/// What is wrong with a cookie. It is the client's, so nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It has not three parts.
    Form,
    /// Somebody without the secret made it.
    Signature,
    /// The secret is no key for AES.
    Key,
    /// What is inside cannot be read.
    Content,
}

/// A session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) access_token: String,
    pub(super) id_token: String,
    pub(super) refresh_token: String,
    pub(super) email: String,
    pub(super) user: String,
    pub(super) groups: Vec<String>,
    pub(super) preferred_username: String,
}

/// Opens a session, and says when it was begun.
pub(super) fn open(secret: &[u8], name: &str, value: &str) -> Result<(Timestamp, Content), Bad> {
    let (time, payload) = payload(secret, name, value)?;
    let packed = decrypt(secret, payload)?;
    let mut unpacked = Vec::new();
    lz4_flex::frame::FrameDecoder::new(&*packed)
        .take(LARGEST)
        .read_to_end(&mut unpacked)
        .map_err(|_| Bad::Content)?;
    let map = rmpv::decode::read_value(&mut &*unpacked).map_err(|_| Bad::Content)?;
    Ok((time, content(&map)?))
}

/// The payload of a signed value, and the time that was signed with it.
fn payload(secret: &[u8], name: &str, value: &str) -> Result<(Timestamp, Vec<u8>), Bad> {
    let mut parts = value.split('|');
    let (Some(body), Some(time), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Bad::Form);
    };
    let signature = BASE64URL
        .decode(signature.as_bytes())
        .map_err(|_| Bad::Form)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = [name, body, time].concat();
    // In constant time.
    hmac::verify(&key, signed.as_bytes(), &signature).map_err(|_| Bad::Signature)?;
    let time = time.parse().map_err(|_| Bad::Form)?;
    let body = BASE64URL.decode(body.as_bytes()).map_err(|_| Bad::Form)?;
    Ok((Timestamp::from_seconds(time), body))
}

/// The bytes that the secret stands for as base64url, if that makes a key; else its own.
fn key(secret: &[u8]) -> Result<UnboundCipherKey, Bad> {
    let end = secret.iter().rposition(|byte| *byte != b'=');
    let bare = &secret[..end.map_or(0, |last| last + 1)];
    let decoded = BASE64URL_NOPAD
        .decode(bare)
        .ok()
        .filter(|key| matches!(key.len(), 16 | 24 | 32));
    let bytes = decoded.as_deref().unwrap_or(secret);
    let algorithm = match bytes.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return Err(Bad::Key),
    };
    UnboundCipherKey::new(algorithm, bytes).map_err(|_| Bad::Key)
}

fn decrypt(secret: &[u8], mut payload: Vec<u8>) -> Result<Vec<u8>, Bad> {
    let Some((iv, _)) = payload.split_first_chunk::<IV>() else {
        return Err(Bad::Content);
    };
    let context = DecryptionContext::Iv128(FixedLength::from(*iv));
    let key = DecryptingKey::cfb128(key(secret)?).map_err(|_| Bad::Key)?;
    let mut body = payload.split_off(IV);
    key.decrypt(&mut body, context).map_err(|_| Bad::Content)?;
    Ok(body)
}

fn content(map: &Value) -> Result<Content, Bad> {
    let fields = map.as_map().ok_or(Bad::Content)?;
    let field = |name: &str| {
        let mut fields = fields.iter();
        fields
            .find(|(key, _)| key.as_str() == Some(name))
            .map(|(_, value)| value)
    };
    let text = |name: &str| match field(name) {
        None | Some(Value::Nil) => Ok(String::new()),
        Some(value) => value.as_str().map(str::to_owned).ok_or(Bad::Content),
    };
    let groups = match field("g") {
        None | Some(Value::Nil) => Vec::new(),
        Some(value) => value
            .as_array()
            .ok_or(Bad::Content)?
            .iter()
            .map(|group| group.as_str().map(str::to_owned).ok_or(Bad::Content))
            .collect::<Result<_, _>>()?,
    };
    Ok(Content {
        access_token: text("at")?,
        id_token: text("it")?,
        refresh_token: text("rt")?,
        email: text("e")?,
        user: text("u")?,
        groups,
        preferred_username: text("pu")?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
    const NAME: &str = "_oauth2_proxy";

    /// Makes a cookie as OAuth2 Proxy does.
    pub(crate) fn sealed(secret: &[u8], name: &str, time: i64, fields: &[(&str, Value)]) -> String {
        let map = fields.iter();
        let map = map.map(|(key, value)| (Value::from(*key), value.clone()));
        let mut packed = Vec::new();
        rmpv::encode::write_value(&mut packed, &Value::Map(map.collect())).unwrap();
        let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
        frame.write_all(&packed).unwrap();
        let mut body = frame.finish().unwrap();
        let iv = [7; IV];
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        let cipher = EncryptingKey::cfb128(key(secret).unwrap()).unwrap();
        cipher.less_safe_encrypt(&mut body, context).unwrap();
        signed(secret, name, time, &[&iv[..], &body].concat())
    }

    fn signed(secret: &[u8], name: &str, time: i64, payload: &[u8]) -> String {
        let body = BASE64URL.encode(payload);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, format!("{name}{body}{time}").as_bytes());
        format!("{body}|{time}|{}", BASE64URL.encode(tag.as_ref()))
    }

    #[test]
    fn published_vectors_are_read() {
        let plain = "aGVsbG8=|1700000000|b4ORk0NsJQc15QYTd5ixYpp8qkfPANguXJmQdjgktMA=";
        let (time, body) = payload(SECRET, NAME, plain).unwrap();
        assert_eq!((time.seconds(), &*body), (1_700_000_000, &b"hello"[..]));
        // Ciphers without compression: the nonces of a sign-in.
        let attempt = "AAAAAAAAAAAAAAAAAAAAANOf4KeibIj3z-KCHx47m-AwGRtbHmYg5qQlFMqGbthksVBt498Vpd-hErK9eHQaZp_o0jWE9_dG6s126quKNJkMRLmFG3lsvCQ=|1700000000|Q7PGbd4SkFIC2sMeBP_3FnSKGiO10aCgR8UVWvyxTiA=";
        let (_, body) = payload(SECRET, "_oauth2_proxy_csrf", attempt).unwrap();
        let clear = decrypt(SECRET, body).unwrap();
        let map = rmpv::decode::read_value(&mut &*clear).unwrap();
        let bytes = |from: u8| Value::Binary((from..from + 32).collect());
        let field = |name: &str| {
            let mut fields = map.as_map().unwrap().iter();
            fields
                .find(|(key, _)| key.as_str() == Some(name))
                .unwrap()
                .1
                .clone()
        };
        assert_eq!((field("s"), field("n")), (bytes(0), bytes(32)));
    }

    #[test]
    fn a_session_is_opened_with_keys_of_every_length() {
        let fields = [
            ("at", Value::from("access")),
            ("it", Value::from("a.b.c")),
            ("rt", Value::from("refresh")),
            ("e", Value::from("ann@a.example")),
            ("u", Value::from("subject")),
            ("g", Value::Array(vec!["g1".into(), "g2".into()])),
            ("pu", Value::from("ann")),
            ("ca", Value::Ext(-1, vec![0, 0, 0, 1])),
            ("zz", Value::from(1)),
        ];
        let wanted = Content {
            access_token: "access".into(),
            id_token: "a.b.c".into(),
            refresh_token: "refresh".into(),
            email: "ann@a.example".into(),
            user: "subject".into(),
            groups: vec!["g1".into(), "g2".into()],
            preferred_username: "ann".into(),
        };
        for secret in [
            &b"0123456789abcde!"[..],
            SECRET,
            b"0123456789abcdefghijklmnopqrstu!",
            b"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=",
        ] {
            let cookie = sealed(secret, NAME, 1_700_000_000, &fields);
            let (time, content) = open(secret, NAME, &cookie).unwrap();
            assert_eq!((time.seconds(), &content), (1_700_000_000, &wanted));
        }
    }

    #[test]
    fn what_was_bent_or_made_by_others_is_not_opened() {
        let cookie = sealed(SECRET, NAME, 1_700_000_000, &[("u", Value::from("x"))]);
        assert!(open(SECRET, NAME, &cookie).is_ok());
        assert_eq!(open(SECRET, "other", &cookie), Err(Bad::Signature));
        assert_eq!(
            open(b"0123456789abcdef", NAME, &cookie),
            Err(Bad::Signature)
        );
        let later = cookie.replace("|1700000000|", "|1800000000|");
        assert_eq!(open(SECRET, NAME, &later), Err(Bad::Signature));
        assert_eq!(
            open(SECRET, NAME, &cookie[..cookie.len() - 1]),
            Err(Bad::Form)
        );
        assert_eq!(open(SECRET, NAME, &format!("{cookie}|")), Err(Bad::Form));
        assert_eq!(open(SECRET, NAME, ""), Err(Bad::Form));
        let short = signed(SECRET, NAME, 1, b"short");
        assert_eq!(open(SECRET, NAME, &short), Err(Bad::Content));
        let noise = signed(SECRET, NAME, 1, &[9; 64]);
        assert_eq!(open(SECRET, NAME, &noise), Err(Bad::Content));
        let number = sealed(SECRET, NAME, 1, &[("u", Value::from(1))]);
        assert_eq!(open(SECRET, NAME, &number), Err(Bad::Content));
        let lone = sealed(b"0123456789abcdef", NAME, 1, &[]);
        assert_eq!(open(b"no key", NAME, &lone), Err(Bad::Signature));
        let keyless = signed(b"no key", NAME, 1, &[9; 64]);
        assert_eq!(open(b"no key", NAME, &keyless), Err(Bad::Key));
    }

    #[test]
    fn a_frame_that_swells_is_cut_off() {
        let long = "a".repeat(1 << 20);
        let cookie = sealed(SECRET, NAME, 1, &[("u", Value::from(long))]);
        assert_eq!(open(SECRET, NAME, &cookie), Err(Bad::Content));
    }
}
