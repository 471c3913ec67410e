//! Proof Key for Code Exchange (RFC 7636).

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// `code_challenge_method` (RFC 7636 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SHA-256 of the verifier.
    S256,
    /// The verifier itself.
    Plain,
}

impl Method {
    /// From the wire; nothing when unknown. Absence means [`Self::Plain`], which the caller decides.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "S256" => Some(Self::S256),
            "plain" => Some(Self::Plain),
            _ => None,
        }
    }

    /// On the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S256 => "S256",
            Self::Plain => "plain",
        }
    }
}

/// A client's secret for one sign-in: `code_verifier`. Not printable.
#[derive(Clone)]
pub struct Verifier(Zeroizing<String>);

impl Verifier {
    /// From 32 unpredictable bytes, as RFC 7636 §4.1 recommends.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// For the token request. 43 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `code_challenge` of method S256, for the authorization request.
    pub fn challenge_s256(&self) -> String {
        s256(&self.0)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// Whether `verifier` is the one `challenge` was made from, in constant time (RFC 7636 §4.6).
/// An empty challenge or verifier never matches.
pub fn matches(method: Method, challenge: &str, verifier: &str) -> bool {
    if challenge.is_empty() || verifier.is_empty() {
        return false;
    }
    match method {
        Method::S256 => s256(verifier).as_bytes().ct_eq(challenge.as_bytes()).into(),
        Method::Plain => verifier.as_bytes().ct_eq(challenge.as_bytes()).into(),
    }
}

fn s256(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const OCTETS: [u8; 32] = [
        116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37,
        77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
    ];
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_holds() {
        let verifier = Verifier::from_random(OCTETS);
        assert_eq!(verifier.as_str(), VERIFIER);
        assert_eq!(verifier.challenge_s256(), CHALLENGE);
        assert!(matches(Method::S256, CHALLENGE, VERIFIER));
        assert!(matches(Method::Plain, VERIFIER, VERIFIER));
    }

    #[test]
    fn anything_else_does_not_match() {
        assert!(!matches(Method::S256, CHALLENGE, CHALLENGE));
        assert!(!matches(Method::Plain, CHALLENGE, VERIFIER));
        assert!(!matches(Method::S256, CHALLENGE, &VERIFIER[1..]));
        assert!(!matches(Method::Plain, "", ""));
        assert!(!matches(Method::S256, "", ""));
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse("S256"), Some(Method::S256));
        assert_eq!(Method::parse("plain"), Some(Method::Plain));
        assert_eq!(Method::parse("s256"), None);
        assert_eq!(Method::parse(""), None);
    }

    #[test]
    fn a_verifier_is_not_printed() {
        assert_eq!(
            format!("{:?}", Verifier::from_random(OCTETS)),
            "Verifier(…)"
        );
    }
}
