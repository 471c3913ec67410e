//! State that travels through the browser: readable and writable by us alone. It is what keeps an
//! unauthenticated request from writing anything.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64URL_NOPAD;
use model::seams::Randomness;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a sealing key.
pub(crate) const KEY_LENGTH: usize = 32;

const TAG_LENGTH: usize = 16;

/// What a sealed text is for. One purpose's text is worthless for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A checked authorization request on its way through the login form.
    Login,
    /// The same with a known person, on its way through the approval page.
    Approval,
    /// A checked request whose person is away at an upstream.
    Callback,
    /// The same with a person who has to choose another password first.
    NewPassword,
    /// The cookie of a remembered sign-in.
    SignIn,
    /// Proof that somebody was asked whether they want to sign out.
    SignOut,
    /// A refresh token that may be given out again.
    Refresh,
    /// What a browser shows of itself that has signed in before.
    Device,
}

/// A text that does not open. Nothing more is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOurs;

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state was not made here")
    }
}

impl std::error::Error for NotOurs {}

/// A sealing key (AES-256-GCM-SIV, RFC 8452) bound to one issuer.
pub(crate) struct Seal {
    key: LessSafeKey,
    issuer: String,
}

/// Sealed text with its proof apart, as the approval page's address carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Nonce and ciphertext.
    pub(crate) body: String,
    /// The tag.
    pub(crate) proof: String,
}

impl Seal {
    /// From key bytes that the store keeps.
    pub(crate) fn new(key: &[u8; KEY_LENGTH], issuer: &str) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).ok()?);
        Some(Self {
            key,
            issuer: issuer.to_owned(),
        })
    }

    /// Seals `value`.
    pub(crate) fn seal(
        &self,
        purpose: Purpose,
        value: &impl Serialize,
        randomness: &dyn Randomness,
    ) -> Result<Sealed, NotOurs> {
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        let mut text = serde_json::to_vec(value).map_err(|_| NotOurs)?;
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.context(purpose)),
                &mut text,
            )
            .map_err(|_| NotOurs)?;
        Ok(Sealed {
            body: BASE64URL_NOPAD.encode(&[&nonce[..], &text].concat()),
            proof: BASE64URL_NOPAD.encode(tag.as_ref()),
        })
    }

    /// Opens what [`Self::seal`] made for the same purpose and issuer.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        sealed: &Sealed,
    ) -> Result<T, NotOurs> {
        let body = BASE64URL_NOPAD
            .decode(sealed.body.as_bytes())
            .map_err(|_| NotOurs)?;
        let tag = BASE64URL_NOPAD
            .decode(sealed.proof.as_bytes())
            .map_err(|_| NotOurs)?;
        if tag.len() != TAG_LENGTH {
            return Err(NotOurs);
        }
        let (nonce, ciphertext) = body.split_first_chunk::<NONCE_LEN>().ok_or(NotOurs)?;
        let mut text = ciphertext.to_vec();
        let opened = self
            .key
            .open_in_place_separate_tag(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(self.context(purpose)),
                &tag,
                &mut text,
            )
            .map_err(|_| NotOurs)?;
        serde_json::from_slice(opened).map_err(|_| NotOurs)
    }

    /// What the text is bound to; the first part is the version of its shape.
    fn context(&self, purpose: Purpose) -> Vec<u8> {
        let purpose = match purpose {
            Purpose::Login => "login",
            Purpose::Approval => "approval",
            Purpose::Callback => "callback",
            Purpose::NewPassword => "new password",
            Purpose::SignIn => "sign-in",
            Purpose::SignOut => "sign-out",
            Purpose::Refresh => "refresh",
            Purpose::Device => "device",
        };
        format!("provider 1\n{purpose}\n{}", self.issuer).into_bytes()
    }
}

impl Sealed {
    /// As one word.
    pub(crate) fn joined(&self) -> String {
        format!("{}.{}", self.body, self.proof)
    }

    /// From one word; anything may come back, opening it decides.
    pub(crate) fn split(word: &str) -> Self {
        let (body, proof) = word.rsplit_once('.').unwrap_or((word, ""));
        Self {
            body: body.to_owned(),
            proof: proof.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;

    impl Randomness for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn seal(byte: u8, issuer: &str) -> Seal {
        Seal::new(&[byte; KEY_LENGTH], issuer).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_issuer_and_key_only() {
        let here = seal(1, "https://h/dex");
        let sealed = here.seal(Purpose::Login, &"secret", &Sevens).unwrap();
        assert_eq!(here.open(Purpose::Login, &sealed), Ok("secret".to_owned()));
        assert_eq!(
            here.open(Purpose::Login, &Sealed::split(&sealed.joined())),
            Ok("secret".to_owned())
        );
        assert_eq!(
            here.open::<String>(Purpose::Approval, &sealed),
            Err(NotOurs)
        );
        assert_eq!(
            seal(2, "https://h/dex").open::<String>(Purpose::Login, &sealed),
            Err(NotOurs)
        );
        assert_eq!(
            seal(1, "https://other").open::<String>(Purpose::Login, &sealed),
            Err(NotOurs)
        );
        assert!(!sealed.joined().contains("secret"));
    }

    #[test]
    fn changed_or_cut_text_does_not_open() {
        let here = seal(1, "i");
        let sealed = here.seal(Purpose::Login, &"secret", &Sevens).unwrap();
        for word in [
            "",
            ".",
            "AA.AA",
            &sealed.body,
            &sealed.joined()[1..],
            &sealed.joined()[..30],
        ] {
            assert_eq!(
                here.open::<String>(Purpose::Login, &Sealed::split(word)),
                Err(NotOurs),
                "{word}"
            );
        }
        let short = Sealed {
            proof: String::new(),
            ..sealed
        };
        assert_eq!(here.open::<String>(Purpose::Login, &short), Err(NotOurs));
    }
}
