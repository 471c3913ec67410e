//! Good tokens, and every way in which one may be bad.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use model::names::Timestamp;
use oidc::jose::SigningKey;
use serde_json::{Value, json};

pub(super) const ISSUER: &str = "https://issuer.test/a";
pub(super) const OTHER_ISSUER: &str = "https://issuer.test/b";

/// What kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    // Good ones.
    Good,
    OtherIssuer,
    Ec,
    Ed,
    Pss,
    Rs384,
    NoKid,
    Endless,
    Fractions,
    IssuedLater,
    // Times.
    JustOver,
    Over,
    LongOver,
    JustEarly,
    Early,
    EndNegative,
    EndText,
    EndNull,
    EndHuge,
    BeginningText,
    IssuedText,
    // Issuers, audiences, subjects.
    UnknownIssuer,
    IssuerWithSlash,
    NoIssuer,
    IssuerNumber,
    AudienceList,
    AudienceThird,
    AudienceWrong,
    AudienceNone,
    AudienceNumber,
    AudienceMixed,
    AudienceEmpty,
    NoSubject,
    EmptySubject,
    SubjectNumber,
    IdNumber,
    // Keys.
    UnknownKid,
    KidOfAnother,
    KidNumber,
    ForeignKey,
    ForeignKeyInside,
    // Algorithms.
    None,
    NoneSigned,
    NoneOddly,
    HmacWithPublicKey,
    HmacWithShared,
    NoAlgorithm,
    AlgorithmNumber,
    AlgorithmLower,
    AlgorithmOther,
    AlgorithmOfKey,
    Critical,
    TypeOther,
    // Signatures and forms.
    NoSignature,
    SignatureOfAnother,
    SignatureCut,
    Padded,
    Garbage,
    TwoParts,
    FourParts,
    Dots,
    Empty,
    PayloadText,
    PayloadList,
    HeaderText,
}

impl Kind {
    pub(super) const ALL: [Self; 65] = [
        Self::Good,
        Self::OtherIssuer,
        Self::Ec,
        Self::Ed,
        Self::Pss,
        Self::Rs384,
        Self::NoKid,
        Self::Endless,
        Self::Fractions,
        Self::IssuedLater,
        Self::JustOver,
        Self::Over,
        Self::LongOver,
        Self::JustEarly,
        Self::Early,
        Self::EndNegative,
        Self::EndText,
        Self::EndNull,
        Self::EndHuge,
        Self::BeginningText,
        Self::IssuedText,
        Self::UnknownIssuer,
        Self::IssuerWithSlash,
        Self::NoIssuer,
        Self::IssuerNumber,
        Self::AudienceList,
        Self::AudienceThird,
        Self::AudienceWrong,
        Self::AudienceNone,
        Self::AudienceNumber,
        Self::AudienceMixed,
        Self::AudienceEmpty,
        Self::NoSubject,
        Self::EmptySubject,
        Self::SubjectNumber,
        Self::IdNumber,
        Self::UnknownKid,
        Self::KidOfAnother,
        Self::KidNumber,
        Self::ForeignKey,
        Self::ForeignKeyInside,
        Self::None,
        Self::NoneSigned,
        Self::NoneOddly,
        Self::HmacWithPublicKey,
        Self::HmacWithShared,
        Self::NoAlgorithm,
        Self::AlgorithmNumber,
        Self::AlgorithmLower,
        Self::AlgorithmOther,
        Self::AlgorithmOfKey,
        Self::Critical,
        Self::TypeOther,
        Self::NoSignature,
        Self::SignatureOfAnother,
        Self::SignatureCut,
        Self::Padded,
        Self::Garbage,
        Self::TwoParts,
        Self::FourParts,
        Self::Dots,
        Self::Empty,
        Self::PayloadText,
        Self::PayloadList,
        Self::HeaderText,
    ];

    /// Whether doorward refuses it although Envoy does not; see docs/decisions/0005.
    pub(super) fn is_stricter(self) -> bool {
        matches!(self, Self::HmacWithShared | Self::Critical | Self::Padded)
    }
}

/// Who signs.
pub(super) struct Mint {
    now: i64,
    own: SigningKey,
    rsa: RsaKeyPair,
    /// One whose JWK does not say its algorithm.
    free: (SigningKey, RsaKeyPair),
    foreign: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

const SHARED: &[u8] = b"a secret of thirty-two characters";

impl Mint {
    pub(super) fn new(now: Timestamp) -> Self {
        let pair = |name: &str| {
            let key = SigningKey::generate(name.into()).unwrap();
            let pair = RsaKeyPair::from_pkcs8(key.pkcs8()).unwrap();
            (key, pair)
        };
        let (own, rsa) = pair("rsa");
        Self {
            now: now.seconds(),
            own,
            rsa,
            free: pair("free"),
            foreign: pair("foreign").1,
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The key set that it publishes.
    pub(super) fn keys(&self) -> String {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let mut free = self.free.0.jwk();
        free.as_object_mut().unwrap().remove("alg");
        let point = self.ec.public_key().as_ref();
        let ec = json!({
            "kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256",
            "x": text(&point[1..33]), "y": text(&point[33..]),
        });
        let ed = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA",
            "x": text(self.ed.public_key().as_ref()),
        });
        let shared = json!({ "kty": "oct", "kid": "shared", "alg": "HS256", "k": text(SHARED) });
        json!({ "keys": [self.own.jwk(), free, ec, ed, shared] }).to_string()
    }

    fn claims(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({
            "iss": ISSUER, "sub": "me", "aud": "app", "exp": self.now + 3600, "iat": self.now,
        });
        change(&mut claims);
        claims
    }

    /// A token of the usual key with other claims.
    fn with(&self, change: impl FnOnce(&mut Value)) -> String {
        let header = json!({ "alg": "RS256", "kid": "rsa" });
        self.rs256(&header, &self.claims(change))
    }

    /// One with another header.
    fn headed(&self, header: Value) -> String {
        self.rs256(&header, &self.claims(|_| ()))
    }

    fn rs256(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |text| {
            rsa(&self.rsa, &RSA_PKCS1_SHA256, text)
        })
    }

    fn hmac(&self, header: &Value, secret: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        token(header, &self.claims(|_| ()), |text| {
            hmac::sign(&key, text).as_ref().to_vec()
        })
    }

    #[allow(clippy::too_many_lines)] // one arm for each kind
    pub(super) fn token(&self, kind: Kind) -> String {
        let now = self.now;
        let set = |name: &'static str, value: Value| self.with(|claims| claims[name] = value);
        let without = |name: &str| {
            self.with(|claims| {
                claims.as_object_mut().unwrap().remove(name);
            })
        };
        let good = || self.with(|_| ());
        let cut = |token: String| token.rsplit_once('.').unwrap().0.to_owned();
        let usual = json!({ "alg": "RS256", "kid": "rsa" });
        match kind {
            Kind::Good => good(),
            Kind::OtherIssuer => set("iss", json!(OTHER_ISSUER)),
            Kind::Ec => token(
                &json!({ "alg": "ES256", "kid": "ec" }),
                &self.claims(|_| ()),
                |text| {
                    let signature = self.ec.sign(&SystemRandom::new(), text).unwrap();
                    signature.as_ref().to_vec()
                },
            ),
            Kind::Ed => token(
                &json!({ "alg": "EdDSA", "kid": "ed" }),
                &self.claims(|_| ()),
                |text| self.ed.sign(text).as_ref().to_vec(),
            ),
            Kind::Pss => token(
                &json!({ "alg": "PS256", "kid": "free" }),
                &self.claims(|_| ()),
                |text| rsa(&self.free.1, &RSA_PSS_SHA256, text),
            ),
            Kind::Rs384 => token(
                &json!({ "alg": "RS384", "kid": "free" }),
                &self.claims(|_| ()),
                |text| rsa(&self.free.1, &RSA_PKCS1_SHA384, text),
            ),
            Kind::NoKid => self.headed(json!({ "alg": "RS256" })),
            Kind::Endless => without("exp"),
            Kind::Fractions => self.with(|claims| claims["exp"] = json!(now as f64 + 3600.5)),
            Kind::IssuedLater => set("iat", json!(now + 3600)),
            Kind::JustOver => set("exp", json!(now - 30)),
            Kind::Over => set("exp", json!(now - 90)),
            Kind::LongOver => set("exp", json!(now - 86_400)),
            Kind::JustEarly => set("nbf", json!(now + 30)),
            Kind::Early => set("nbf", json!(now + 600)),
            Kind::EndNegative => set("exp", json!(-1)),
            Kind::EndText => set("exp", json!((now + 3600).to_string())),
            Kind::EndNull => set("exp", json!(null)),
            Kind::EndHuge => set("exp", json!(1e300)),
            Kind::BeginningText => set("nbf", json!("0")),
            Kind::IssuedText => set("iat", json!("0")),
            Kind::UnknownIssuer => set("iss", json!("https://issuer.test/unknown")),
            Kind::IssuerWithSlash => set("iss", json!(format!("{ISSUER}/"))),
            Kind::NoIssuer => without("iss"),
            Kind::IssuerNumber => set("iss", json!(1)),
            Kind::AudienceList => set("aud", json!(["x", "other-app"])),
            Kind::AudienceThird => set("aud", json!("third-app")),
            Kind::AudienceWrong => set("aud", json!("App")),
            Kind::AudienceNone => without("aud"),
            Kind::AudienceNumber => set("aud", json!(7)),
            Kind::AudienceMixed => set("aud", json!(["app", 7])),
            Kind::AudienceEmpty => set("aud", json!([])),
            Kind::NoSubject => without("sub"),
            Kind::EmptySubject => set("sub", json!("")),
            Kind::SubjectNumber => set("sub", json!(7)),
            Kind::IdNumber => set("jti", json!(7)),
            Kind::UnknownKid => self.headed(json!({ "alg": "RS256", "kid": "unknown" })),
            Kind::KidOfAnother => self.headed(json!({ "alg": "RS256", "kid": "free" })),
            Kind::KidNumber => self.headed(json!({ "alg": "RS256", "kid": 7 })),
            Kind::ForeignKey => token(&usual, &self.claims(|_| ()), |text| {
                rsa(&self.foreign, &RSA_PKCS1_SHA256, text)
            }),
            Kind::ForeignKeyInside => {
                let key = SigningKey::generate("inside".into()).unwrap();
                let pair = RsaKeyPair::from_pkcs8(key.pkcs8()).unwrap();
                let header = json!({ "alg": "RS256", "kid": "inside", "jwk": key.jwk() });
                token(&header, &self.claims(|_| ()), |text| {
                    rsa(&pair, &RSA_PKCS1_SHA256, text)
                })
            }
            Kind::None => token(&json!({ "alg": "none" }), &self.claims(|_| ()), |_| {
                Vec::new()
            }),
            Kind::NoneSigned => self.headed(json!({ "alg": "none", "kid": "rsa" })),
            Kind::NoneOddly => token(
                &json!({ "alg": "nOnE", "kid": "rsa" }),
                &self.claims(|_| ()),
                |_| Vec::new(),
            ),
            Kind::HmacWithPublicKey => {
                let modulus = self.own.jwk()["n"].as_str().unwrap().to_owned();
                self.hmac(&json!({ "alg": "HS256", "kid": "rsa" }), modulus.as_bytes())
            }
            Kind::HmacWithShared => self.hmac(&json!({ "alg": "HS256", "kid": "shared" }), SHARED),
            Kind::NoAlgorithm => self.headed(json!({ "kid": "rsa" })),
            Kind::AlgorithmNumber => self.headed(json!({ "alg": 256, "kid": "rsa" })),
            Kind::AlgorithmLower => self.headed(json!({ "alg": "rs256", "kid": "rsa" })),
            Kind::AlgorithmOther => self.headed(json!({ "alg": "RS384", "kid": "free" })),
            Kind::AlgorithmOfKey => self.headed(json!({ "alg": "ES256", "kid": "rsa" })),
            Kind::Critical => {
                self.headed(json!({ "alg": "RS256", "kid": "rsa", "crit": ["odd"], "odd": 1 }))
            }
            Kind::TypeOther => {
                self.headed(json!({ "alg": "RS256", "kid": "rsa", "typ": "at+jwt" }))
            }
            Kind::NoSignature => format!("{}.", cut(good())),
            Kind::SignatureOfAnother => {
                let other = set("sub", json!("you"));
                format!("{}.{}", cut(good()), other.rsplit('.').next().unwrap())
            }
            Kind::SignatureCut => good()[..good().len() - 8].to_owned(),
            Kind::Padded => format!("{}==", good()),
            Kind::Garbage => "garbage".to_owned(),
            Kind::TwoParts => cut(good()),
            Kind::FourParts => format!("{}.e30", good()),
            Kind::Dots => "..".to_owned(),
            Kind::Empty => String::new(),
            Kind::PayloadText => format!(
                "{}.dGV4dA.e30",
                BASE64URL_NOPAD.encode(usual.to_string().as_bytes())
            ),
            Kind::PayloadList => self.rs256(&usual, &json!([1])),
            Kind::HeaderText => format!("dGV4dA.{}", good().split_once('.').unwrap().1),
        }
    }
}

fn rsa(pair: &RsaKeyPair, encoding: &'static dyn RsaEncoding, text: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), text, &mut signature)
        .unwrap();
    signature
}

/// A token of three parts with this header, signed by `sign`.
fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
