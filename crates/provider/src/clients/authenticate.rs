//! Whether a client is who it says (RFC 6749 §2.3.1, OpenID Connect Core §9).

use aws_lc_rs::digest;
use data_encoding::BASE64;
use http::{HeaderMap, header};
use model::names::Timestamp;
use model::snapshot::{ClientAuthentication, Conformance, ProviderClient};
use oidc::jose::{KeySet, verify, verify_with_secret};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::assertion::{self, Once};
use crate::form::{Form, decode};
use crate::refusal::TokenFault;

/// What a request says about its client, unproven.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) id: String,
    proof: Proof,
}

#[derive(PartialEq, Eq)]
enum Proof {
    /// None, or a secret in the form.
    Form(String),
    /// A secret in the Basic header.
    Basic(String),
    /// A signed assertion.
    Assertion(String),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Form(_) => "Form(…)",
            Self::Basic(_) => "Basic(…)",
            Self::Assertion(_) => "Assertion(…)",
        })
    }
}

impl Presented {
    /// Whether there is anything to prove with.
    pub(crate) fn has_proof(&self) -> bool {
        !matches!(&self.proof, Proof::Form(secret) if secret.is_empty())
    }

    /// The refusal in the scheme that the client used.
    pub(crate) fn refused(&self) -> TokenFault {
        TokenFault::WrongClient {
            basic: matches!(self.proof, Proof::Basic(_)),
        }
    }
}

/// Reads who a client says it is. The Basic header counts before the form, as with Dex; in strict
/// mode two proofs are one too many (RFC 6749 §2.3).
pub(crate) fn presented(
    headers: &HeaderMap,
    form: &Form,
    conformance: Conformance,
) -> Result<Presented, TokenFault> {
    let basic = basic_credentials(headers)?;
    let assertion = form.find("client_assertion");
    let proofs = [
        basic.is_some(),
        form.find("client_secret").is_some(),
        assertion.is_some(),
    ];
    if conformance == Conformance::Strict && proofs.iter().filter(|one| **one).count() > 1 {
        return Err(TokenFault::TwoProofs);
    }
    if let Some((id, secret)) = basic {
        let other = form.find("client_id").is_some_and(|named| named != id);
        if conformance == Conformance::Strict && other {
            return Err(TokenFault::WrongClient { basic: true });
        }
        return Ok(Presented {
            id,
            proof: Proof::Basic(secret),
        });
    }
    if let Some(assertion) = assertion {
        if form.text("client_assertion_type") != assertion::TYPE {
            return Err(TokenFault::AssertionType);
        }
        // `client_id` may be left out: the assertion names the client (RFC 7521 §4.2).
        let claims = oidc::jose::peek(assertion).unwrap_or_default();
        let named = claims
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let id = form.find("client_id").unwrap_or(named);
        return Ok(Presented {
            id: id.to_owned(),
            proof: Proof::Assertion(assertion.to_owned()),
        });
    }
    Ok(Presented {
        id: form.text("client_id").to_owned(),
        proof: Proof::Form(form.text("client_secret").to_owned()),
    })
}

/// Whether `presented` proves that it is `client`, in the way the client is to do so. What may come
/// once is given back and is for the caller to use up.
pub(crate) fn prove(
    client: &ProviderClient,
    presented: &Presented,
    audiences: &[String],
    now: Timestamp,
) -> Result<Option<Once>, TokenFault> {
    use ClientAuthentication as Way;
    let wrong = || presented.refused();
    let claims = match (client.rules.authentication, &presented.proof) {
        (Way::SecretAnywhere | Way::SecretBasic, Proof::Basic(secret))
        | (Way::SecretAnywhere | Way::SecretPost, Proof::Form(secret)) => {
            return is_secret_of(client, secret)
                .then_some(None)
                .ok_or_else(wrong);
        }
        // A public client has nothing to prove, whatever it is registered with.
        (_, Proof::Form(secret)) if client.public && secret.is_empty() => return Ok(None),
        (Way::SecretJwt, Proof::Assertion(token)) => {
            verify_with_secret(token, client.secret.expose()).map_err(|_| wrong())?
        }
        (Way::PrivateKeyJwt, Proof::Assertion(token)) => {
            let keys = client.rules.keys.as_deref().ok_or_else(wrong)?;
            let keys = KeySet::from_json(keys).map_err(|_| wrong())?;
            verify(token, &keys).map_err(|_| wrong())?
        }
        _ => return Err(wrong()),
    };
    let once = assertion::check(&claims, &client.id, audiences, now).ok_or_else(wrong)?;
    Ok(Some(once))
}

fn is_secret_of(client: &ProviderClient, secret: &str) -> bool {
    let expected = client.secret.expose();
    // A confidential client whose secret came out empty must not be open to everybody.
    if expected.is_empty() && !client.public {
        return false;
    }
    // Digests, so that not even the length is told by the time it takes.
    let digest = |text: &[u8]| digest::digest(&digest::SHA256, text);
    let same = digest(expected)
        .as_ref()
        .ct_eq(digest(secret.as_bytes()).as_ref());
    bool::from(same)
}

/// Id and secret of a Basic header; both halves are form-encoded inside.
fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, TokenFault> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| TokenFault::UnreadableBasic)?;
    let Some((scheme, credentials)) = text.split_once(' ') else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let plain = BASE64
        .decode(credentials.trim().as_bytes())
        .map_err(|_| TokenFault::UnreadableBasic)?;
    let cut = plain
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(TokenFault::UnreadableBasic)?;
    let half = |bytes| decode(bytes).map_err(|_| TokenFault::UnreadableBasic);
    Ok(Some((half(&plain[..cut])?, half(&plain[cut + 1..])?)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::names::Secret;
    use model::snapshot::Provider as Settings;
    use oidc::jose::{SigningAlgorithm, SigningKey, sign_with_secret};
    use serde_json::json;

    use super::*;
    use crate::fixture::{self, SECRET};

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn seen(
        settings: &Settings,
        basic: Option<&str>,
        form: &str,
        conformance: Conformance,
    ) -> Result<String, TokenFault> {
        let mut headers = HeaderMap::new();
        if let Some(plain) = basic {
            let value = format!("bAsIc {}", BASE64.encode(plain.as_bytes()));
            headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        }
        let form = Form::parse(form.as_bytes()).unwrap();
        let presented = presented(&headers, &form, conformance)?;
        let known = settings.clients.iter().find(|one| *one.id == *presented.id);
        let client = known.ok_or_else(|| presented.refused())?;
        let audiences = [fixture::ISSUER.to_owned()];
        prove(client, &presented, &audiences, NOW).map(|_| client.id.to_string())
    }

    fn run(settings: &Settings, basic: Option<&str>, form: &str) -> Result<String, TokenFault> {
        seen(settings, basic, form, Conformance::Compatible)
    }

    /// `kubeflow` with another way to prove itself.
    fn with(way: ClientAuthentication, keys: Option<&Value>) -> Settings {
        let mut settings = fixture::settings();
        settings.clients[0].rules.authentication = way;
        settings.clients[0].rules.keys = keys.map(|keys| keys.to_string().into());
        settings
    }

    fn asserting(token: &str) -> String {
        crate::form::query(&[
            ("client_assertion_type", assertion::TYPE),
            ("client_assertion", token),
        ])
    }

    fn claims() -> serde_json::Map<String, Value> {
        let claims = json!({
            "iss": "kubeflow", "sub": "kubeflow", "aud": fixture::ISSUER, "jti": "1",
            "exp": NOW.seconds() + 60,
        });
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn each_way_takes_its_own_proof_and_no_other() {
        use ClientAuthentication as Way;
        let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let keys = json!({ "keys": [key.jwk()] });
        let basic = format!("kubeflow:{SECRET}");
        let post = format!("client_id=kubeflow&client_secret={SECRET}");
        let secret_jwt = asserting(&sign_with_secret(&claims(), SECRET.as_bytes()).unwrap());
        let private_jwt = asserting(&key.sign(&claims()).unwrap());
        let tries = [
            (Some(basic.as_str()), ""),
            (None, post.as_str()),
            (None, secret_jwt.as_str()),
            (None, private_jwt.as_str()),
            (None, "client_id=kubeflow"),
        ];
        for (way, good) in [
            (Way::SecretAnywhere, &[0, 1][..]),
            (Way::SecretBasic, &[0]),
            (Way::SecretPost, &[1]),
            (Way::SecretJwt, &[2]),
            (Way::PrivateKeyJwt, &[3]),
        ] {
            let settings = with(way, Some(&keys));
            for (turn, (basic, form)) in tries.iter().enumerate() {
                let passed = run(&settings, *basic, form).is_ok();
                assert_eq!(passed, good.contains(&turn), "{way:?} {turn}");
            }
        }
    }

    #[test]
    fn assertions_of_others_prove_nothing() {
        let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let stranger = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let settings = with(
            ClientAuthentication::PrivateKeyJwt,
            Some(&json!({ "keys": [key.jwk()] })),
        );
        let wrong = Err(TokenFault::WrongClient { basic: false });
        let forged = asserting(&stranger.sign(&claims()).unwrap());
        assert_eq!(run(&settings, None, &forged), wrong);
        // Confusing the public key with a secret.
        let confused = sign_with_secret(&claims(), key.jwk().to_string().as_bytes());
        assert_eq!(run(&settings, None, &asserting(&confused.unwrap())), wrong);
        let good = asserting(&key.sign(&claims()).unwrap());
        assert_eq!(
            run(&settings, None, &format!("{good}&client_id=other")),
            wrong
        );
        assert_eq!(
            run(&settings, None, &format!("{good}&client_id=kubeflow")),
            Ok("kubeflow".into())
        );
        let untyped = good.replace("jwt-bearer", "saml2-bearer");
        assert_eq!(
            run(&settings, None, &untyped),
            Err(TokenFault::AssertionType)
        );
        assert_eq!(run(&settings, None, &asserting("x.y.z")), wrong);
        // Without keys there is nothing to check against.
        let keyless = with(ClientAuthentication::PrivateKeyJwt, None);
        assert_eq!(run(&keyless, None, &good), wrong);
    }

    #[test]
    fn two_proofs_are_refused_in_strict_mode() {
        let settings = fixture::settings();
        let basic = format!("kubeflow:{SECRET}");
        let form = format!("client_id=kubeflow&client_secret={SECRET}");
        let strict = |form: &str| seen(&settings, Some(&basic), form, Conformance::Strict);
        assert_eq!(strict(&form), Err(TokenFault::TwoProofs));
        assert_eq!(strict("client_id=kubeflow"), Ok("kubeflow".into()));
        assert_eq!(
            strict("client_id=other"),
            Err(TokenFault::WrongClient { basic: true })
        );
        assert_eq!(run(&settings, Some(&basic), &form), Ok("kubeflow".into()));
    }

    #[test]
    fn clients_prove_themselves_by_header_or_form() {
        let settings = fixture::settings();
        let basic = format!("kubeflow:{SECRET}");
        assert_eq!(run(&settings, Some(&basic), ""), Ok("kubeflow".into()));
        let form = format!("client_id=kubeflow&client_secret={SECRET}");
        assert_eq!(run(&settings, None, &form), Ok("kubeflow".into()));
        assert_eq!(run(&settings, None, "client_id=cli"), Ok("cli".into()));
    }

    #[test]
    fn both_halves_of_the_header_are_form_encoded() {
        let mut settings = fixture::settings();
        settings.clients[0].id = "a:b c".into();
        settings.clients[0].secret = Secret::new("p%q+r:é".as_bytes());
        let found = run(&settings, Some("a%3Ab+c:p%25q%2Br:%C3%A9"), "");
        assert_eq!(found, Ok("a:b c".into()));
        assert_eq!(
            run(&settings, Some("a%3zb:x"), ""),
            Err(TokenFault::UnreadableBasic)
        );
        assert_eq!(
            run(&settings, Some("no-colon"), ""),
            Err(TokenFault::UnreadableBasic)
        );
    }

    #[test]
    fn everything_else_is_the_wrong_client() {
        let settings = fixture::settings();
        let wrong = |basic| Err(TokenFault::WrongClient { basic });
        assert_eq!(run(&settings, None, ""), wrong(false));
        assert_eq!(run(&settings, None, "client_id=kubeflow"), wrong(false));
        assert_eq!(
            run(&settings, None, "client_id=nobody&client_secret=x"),
            wrong(false)
        );
        assert_eq!(
            run(&settings, None, "client_id=cli&client_secret=x"),
            wrong(false)
        );
        assert_eq!(run(&settings, Some("kubeflow:no"), ""), wrong(true));
        // The header counts, though the form would be right.
        let form = format!("client_id=kubeflow&client_secret={SECRET}");
        assert_eq!(run(&settings, Some("kubeflow:no"), &form), wrong(true));
    }

    #[test]
    fn a_confidential_client_with_an_empty_secret_is_closed() {
        let mut settings = fixture::settings();
        settings.clients[0].secret = Secret::new("");
        let wrong = Err(TokenFault::WrongClient { basic: false });
        assert_eq!(run(&settings, None, "client_id=kubeflow"), wrong);
    }
}
