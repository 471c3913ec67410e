//! Checked against a second implementation (`jsonwebtoken`) in both directions.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use jsonwebtoken as other;
use serde_json::json;

use super::*;

fn claims() -> Map<String, Value> {
    json!({"iss": "https://issuer", "sub": "s"})
        .as_object()
        .unwrap()
        .clone()
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::from_json(&json!({ "keys": keys }).to_string()).unwrap()
}

/// A token by the other implementation.
fn foreign(alg: other::Algorithm, kid: Option<&str>, key: &other::EncodingKey) -> String {
    let mut header = other::Header::new(alg);
    header.kid = kid.map(str::to_owned);
    other::encode(&header, &claims(), key).unwrap()
}

/// A token with this header and no valid signature.
fn forged(header: Value) -> String {
    format!(
        "{}.{}.{}",
        BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
        BASE64URL_NOPAD.encode(Value::Object(claims()).to_string().as_bytes()),
        BASE64URL_NOPAD.encode(b"not a signature"),
    )
}

fn curve_key(signing: &'static EcdsaSigningAlgorithm, crv: &str) -> (other::EncodingKey, Value) {
    let pair = EcdsaKeyPair::generate(signing).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({
        "kty": "EC", "crv": crv, "kid": "e",
        "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
    });
    (
        other::EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
        jwk,
    )
}

#[test]
fn the_example_of_the_hash_holds() {
    assert_eq!(
        left_half_hash("example-access-token"),
        "Z1P3Ll-e0JrOBqzfbrTXjQ"
    );
}

#[test]
fn what_we_sign_another_implementation_accepts() {
    let key = SigningKey::generate("k1".into()).unwrap();
    let token = key.sign(&claims()).unwrap();
    let jwk: other::jwk::Jwk = serde_json::from_value(key.jwk()).unwrap();
    let mut validation = other::Validation::new(other::Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let read = other::decode::<Map<String, Value>>(
        &token,
        &other::DecodingKey::from_jwk(&jwk).unwrap(),
        &validation,
    )
    .unwrap();
    assert_eq!(read.claims, claims());
    assert_eq!(read.header.kid.as_deref(), Some("k1"));
    assert_eq!(read.header.typ, None);
}

#[test]
fn a_stored_key_is_the_same_key() {
    let key = SigningKey::generate("k1".into()).unwrap();
    let again = SigningKey::from_pkcs8("k1".into(), key.pkcs8()).unwrap();
    assert_eq!(again.jwk(), key.jwk());
    assert_eq!(again.sign(&claims()), key.sign(&claims()));
    assert_eq!(
        SigningKey::from_pkcs8("k1".into(), &key.pkcs8()[1..]).unwrap_err(),
        KeyFault::Unreadable
    );
    assert_eq!(format!("{key:?}"), r#"SigningKey { kid: "k1", .. }"#);
}

#[test]
fn every_asymmetric_algorithm_of_another_implementation_is_accepted() {
    use other::Algorithm as A;
    let rsa = SigningKey::generate("r".into()).unwrap();
    let mut unbound = rsa.jwk();
    unbound.as_object_mut().unwrap().remove("alg");
    // The other implementation wants the PKCS#1 key inside; it reads PKCS#8 from PEM only.
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        data_encoding::BASE64.encode(rsa.pkcs8())
    );
    let private = other::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    for alg in [A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512] {
        let token = foreign(alg, Some("r"), &private);
        assert_eq!(
            verify(&token, &set(&[unbound.clone()])),
            Ok(claims()),
            "{alg:?}"
        );
    }
    // The same key published for RS256 alone serves no other algorithm.
    let token = foreign(A::PS256, Some("r"), &private);
    assert_eq!(
        verify(&token, &set(&[rsa.jwk()])),
        Err(VerifyFault::AlgorithmRefused)
    );

    let (private, jwk) = curve_key(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
    assert_eq!(
        verify(&foreign(A::ES256, Some("e"), &private), &set(&[jwk])),
        Ok(claims())
    );
    let (private, jwk) = curve_key(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384");
    assert_eq!(
        verify(&foreign(A::ES384, Some("e"), &private), &set(&[jwk])),
        Ok(claims())
    );

    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "d",
        "x": BASE64URL_NOPAD.encode(pair.public_key().as_ref()),
    });
    let private = other::EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref());
    assert_eq!(
        verify(&foreign(A::EdDSA, Some("d"), &private), &set(&[jwk])),
        Ok(claims())
    );
}

#[test]
fn none_and_symmetric_algorithms_do_not_exist() {
    let keys = set(&[json!({"kty": "oct", "kid": "h", "alg": "HS256", "k": "c2VjcmV0"})]);
    assert!(keys.is_empty());
    for alg in ["none", "None", "HS256", "HS512", "RS1", "ES512", ""] {
        let token = forged(json!({"alg": alg, "kid": "h"}));
        assert_eq!(
            verify(&token, &keys),
            Err(VerifyFault::AlgorithmRefused),
            "{alg}"
        );
    }
    let secret = other::EncodingKey::from_secret(b"secret");
    let token = foreign(other::Algorithm::HS256, Some("h"), &secret);
    assert_eq!(verify(&token, &keys), Err(VerifyFault::AlgorithmRefused));
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let key = SigningKey::generate("k".into()).unwrap();
    let secret = other::EncodingKey::from_secret(key.jwk()["n"].as_str().unwrap().as_bytes());
    let token = foreign(other::Algorithm::HS256, Some("k"), &secret);
    assert_eq!(
        verify(&token, &set(&[key.jwk()])),
        Err(VerifyFault::AlgorithmRefused)
    );
}

#[test]
fn the_kid_chooses_the_key() {
    let (one, two) = (
        SigningKey::generate("one".into()).unwrap(),
        SigningKey::generate("two".into()).unwrap(),
    );
    let both = set(&[one.jwk(), two.jwk()]);
    let token = two.sign(&claims()).unwrap();
    assert_eq!(verify(&token, &both), Ok(claims()));
    assert_eq!(
        verify(&token, &set(&[one.jwk()])),
        Err(VerifyFault::UnknownKey)
    );
    assert_eq!(verify(&token, &set(&[])), Err(VerifyFault::UnknownKey));

    // The name of one key, the signature of the other.
    let liar = SigningKey::from_pkcs8("one".into(), two.pkcs8()).unwrap();
    let token = liar.sign(&claims()).unwrap();
    assert_eq!(verify(&token, &both), Err(VerifyFault::BadSignature));
}

#[test]
fn a_token_without_kid_is_tried_against_every_key_that_fits() {
    let (one, two) = (
        SigningKey::generate("one".into()).unwrap(),
        SigningKey::generate("two".into()).unwrap(),
    );
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        data_encoding::BASE64.encode(two.pkcs8())
    );
    let private = other::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let token = foreign(other::Algorithm::RS256, None, &private);
    assert_eq!(verify(&token, &set(&[one.jwk(), two.jwk()])), Ok(claims()));
    assert_eq!(
        verify(&token, &set(&[one.jwk()])),
        Err(VerifyFault::BadSignature)
    );
    assert_eq!(verify(&token, &set(&[])), Err(VerifyFault::UnknownKey));
}

#[test]
fn a_changed_token_is_refused() {
    let key = SigningKey::generate("k".into()).unwrap();
    let keys = set(&[key.jwk()]);
    let token = key.sign(&claims()).unwrap();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let header = head.split_once('.').unwrap().0;
    let other = BASE64URL_NOPAD.encode(br#"{"sub":"root"}"#);
    assert_eq!(
        verify(&format!("{header}.{other}.{signature}"), &keys),
        Err(VerifyFault::BadSignature)
    );
    assert_eq!(
        verify(&format!("{head}."), &keys),
        Err(VerifyFault::BadSignature)
    );
    assert_eq!(
        peek(&format!("{header}.{other}.{signature}")).unwrap(),
        *json!({"sub": "root"}).as_object().unwrap()
    );
}

#[test]
fn odd_shapes_are_malformed() {
    let keys = set(&[]);
    for text in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "e30.e30.e30",
        "e30=.e30.e30",
    ] {
        assert_eq!(verify(text, &keys), Err(VerifyFault::Malformed), "{text}");
    }
    let critical = forged(json!({"alg": "RS256", "crit": ["b64"], "b64": false}));
    assert_eq!(verify(&critical, &keys), Err(VerifyFault::Malformed));
    let repeated = forged(json!({"alg": "RS256"})).replacen(
        &BASE64URL_NOPAD.encode(br#"{"alg":"RS256"}"#),
        &BASE64URL_NOPAD.encode(br#"{"alg":"RS256","alg":"none"}"#),
        1,
    );
    assert_eq!(verify(&repeated, &keys), Err(VerifyFault::Malformed));
    assert_eq!(peek("e30.W10.e30"), Err(VerifyFault::Malformed));
}

#[test]
fn odd_keys_are_left_out_and_the_others_stay() {
    let good = SigningKey::generate("good".into()).unwrap();
    let mut encrypts = good.jwk();
    encrypts["use"] = json!("enc");
    let mut padded = good.jwk();
    padded["n"] = json!(format!("{}==", padded["n"].as_str().unwrap()));
    let keys = set(&[
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "RSA", "n": "", "e": "AQAB"}),
        json!({"kty": "quantum"}),
        json!(7),
        good.jwk(),
    ]);
    assert_eq!(verify(&good.sign(&claims()).unwrap(), &keys), Ok(claims()));
    assert!(set(&[encrypts]).is_empty());
    assert!(!set(&[padded]).is_empty());
    assert_eq!(KeySet::from_json("{").unwrap_err(), KeySetFault::NotJson);
    assert_eq!(KeySet::from_json("{}").unwrap_err(), KeySetFault::NoKeys);
}

#[test]
fn every_algorithm_of_an_issuer_is_accepted_by_the_other_implementation() {
    for algorithm in SigningAlgorithm::ALL {
        let made = SigningKey::generate_for(algorithm, "k".into()).unwrap();
        let key = SigningKey::read(algorithm, "k".into(), made.pkcs8()).unwrap();
        assert_eq!(key.jwk(), made.jwk());
        let token = key.sign_as("at+jwt", &claims()).unwrap();
        assert_eq!(verify(&token, &set(&[key.jwk()])), Ok(claims()));
        let named = algorithm.as_str();
        assert_eq!(
            peek_header(&token),
            Ok((named.to_owned(), Some("at+jwt".into())))
        );
        assert_eq!(SigningAlgorithm::parse(named), Some(algorithm));

        let jwk: other::jwk::Jwk = serde_json::from_value(key.jwk()).unwrap();
        let mut rules = other::Validation::new(named.parse().unwrap());
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let foreign = other::DecodingKey::from_jwk(&jwk).unwrap();
        let read = other::decode::<Map<String, Value>>(&token, &foreign, &rules).unwrap();
        assert_eq!(read.claims, claims());
        // A key of one kind is not read as one of another.
        let rsa = |one| matches!(one, SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256);
        for wrong in SigningAlgorithm::ALL {
            if wrong != algorithm && !(rsa(wrong) && rsa(algorithm)) {
                assert!(SigningKey::read(wrong, "k".into(), made.pkcs8()).is_err());
            }
        }
    }
}

#[test]
fn a_key_in_the_header_proves_its_possession_and_nothing_else() {
    let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
    let stranger = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
    let with = |header: Value, signer: &SigningKey| {
        signer
            .sign_below(
                BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
                &claims(),
            )
            .unwrap()
    };
    let header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": key.jwk()});
    let seen = verify_embedded(&with(header.clone(), &key)).unwrap();
    assert_eq!(seen.claims, claims());
    assert_eq!(seen.kind.as_deref(), Some("dpop+jwt"));
    assert_eq!(Some(seen.thumbprint), thumbprint(&key.jwk()));
    assert_eq!(
        verify_embedded(&with(header.clone(), &stranger)),
        Err(VerifyFault::BadSignature)
    );
    let mut private = header.clone();
    private["jwk"]["d"] = "AAAA".into();
    for bad in [private, json!({"alg": "ES256"})] {
        assert_eq!(
            verify_embedded(&with(bad, &key)),
            Err(VerifyFault::Malformed)
        );
    }
    let mut none = header;
    none["alg"] = "none".into();
    assert_eq!(
        verify_embedded(&with(none, &key)),
        Err(VerifyFault::AlgorithmRefused)
    );
}
