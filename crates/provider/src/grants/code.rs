//! RFC 6749 §4.1.3: a code for tokens. A failure does not use the code up.

use crate::authorize::Challenge;
use crate::form::Form;
use crate::refusal::TokenFault;
use crate::storage::Code;

/// Whether `code` may be redeemed by `client` with what `form` brings and the key it proved.
pub(crate) fn check(
    code: &Code,
    client: &str,
    form: &Form,
    key: Option<&str>,
    now: i64,
) -> Result<(), TokenFault> {
    if code.client != client || code.expires_at <= now {
        return Err(TokenFault::UnknownCode);
    }
    if form.text("redirect_uri") != code.redirect {
        return Err(TokenFault::WrongRedirect);
    }
    // The authorization request may have said which key will follow (RFC 9449 §10).
    if code.grant.key.is_some() && code.grant.key.as_deref() != key {
        return Err(TokenFault::WrongKey);
    }
    verified(code.grant.challenge.as_ref(), form)
}

/// Whether `form` brings what `challenge` was made from (RFC 7636 §4.6).
pub(crate) fn verified(challenge: Option<&Challenge>, form: &Form) -> Result<(), TokenFault> {
    match (challenge, form.find("code_verifier")) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(TokenFault::UnaskedVerifier),
        (Some(challenge), Some(verifier)) if challenge.matches(verifier) => Ok(()),
        (Some(_), _) => Err(TokenFault::WrongVerifier),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const NOW: i64 = 1_700_000_000;

    #[test]
    fn a_code_is_bound_to_all_that_it_was_asked_with() {
        let mut code = Code {
            client: "kubeflow".into(),
            redirect: "/cb".into(),
            expires_at: NOW + 1,
            grant: fixture::grant(),
        };
        let run = |code: &Code, client: &str, form: &str, key: Option<&str>, now: i64| {
            let form = Form::parse(form.as_bytes()).unwrap();
            check(code, client, &form, key, now)
        };
        let good = "redirect_uri=/cb";
        assert_eq!(run(&code, "kubeflow", good, None, NOW), Ok(()));
        for (client, form, now, fault) in [
            ("other", good, NOW, TokenFault::UnknownCode),
            ("kubeflow", good, NOW + 1, TokenFault::UnknownCode),
            ("kubeflow", "", NOW, TokenFault::WrongRedirect),
            (
                "kubeflow",
                "redirect_uri=/cb/",
                NOW,
                TokenFault::WrongRedirect,
            ),
            (
                "kubeflow",
                "redirect_uri=/cb&code_verifier=v",
                NOW,
                TokenFault::UnaskedVerifier,
            ),
        ] {
            assert_eq!(run(&code, client, form, None, now), Err(fault), "{form}");
        }
        code.grant.challenge = Some(Challenge {
            hashed: false,
            text: "0123456789012345678901234567890123456789012".into(),
        });
        let verified = "redirect_uri=/cb&code_verifier=0123456789012345678901234567890123456789012";
        assert_eq!(run(&code, "kubeflow", verified, None, NOW), Ok(()));
        for form in [good, "redirect_uri=/cb&code_verifier=other"] {
            let seen = run(&code, "kubeflow", form, None, NOW);
            assert_eq!(seen, Err(TokenFault::WrongVerifier));
        }
        code.grant.key = Some("thumb".into());
        assert_eq!(run(&code, "kubeflow", verified, Some("thumb"), NOW), Ok(()));
        for key in [None, Some("other")] {
            let seen = run(&code, "kubeflow", verified, key, NOW);
            assert_eq!(seen, Err(TokenFault::WrongKey));
        }
    }
}
