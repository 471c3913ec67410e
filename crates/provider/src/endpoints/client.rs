//! Whether a client is who it says (RFC 6749 §2.3.1).

use aws_lc_rs::digest;
use data_encoding::BASE64;
use http::{HeaderMap, header};
use model::snapshot::{Provider as Settings, ProviderClient};
use subtle::ConstantTimeEq;

use crate::form::{Form, decode};
use crate::refusal::TokenFault;

/// The client that `headers` or `form` prove. The Basic header counts before the form.
pub(super) fn authenticate<'s>(
    settings: &'s Settings,
    headers: &HeaderMap,
    form: &Form,
) -> Result<&'s ProviderClient, TokenFault> {
    let (id, secret, basic) = match basic_credentials(headers)? {
        Some((id, secret)) => (id, secret, true),
        None => (
            form.text("client_id").to_owned(),
            form.text("client_secret").to_owned(),
            false,
        ),
    };
    let wrong = TokenFault::WrongClient { basic };
    let client = settings
        .clients
        .iter()
        .find(|client| *client.id == *id)
        .ok_or(wrong)?;
    let expected = client.secret.expose();
    // A confidential client whose secret came out empty must not be open to everybody.
    if expected.is_empty() && !client.public {
        return Err(wrong);
    }
    // Digests, so that not even the length is told by the time it takes.
    let digest = |text: &[u8]| digest::digest(&digest::SHA256, text);
    let same = digest(expected)
        .as_ref()
        .ct_eq(digest(secret.as_bytes()).as_ref());
    if bool::from(same) {
        Ok(client)
    } else {
        Err(wrong)
    }
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

    use super::*;
    use crate::fixture::{self, SECRET};

    fn run(settings: &Settings, basic: Option<&str>, form: &str) -> Result<String, TokenFault> {
        let mut headers = HeaderMap::new();
        if let Some(plain) = basic {
            let value = format!("bAsIc {}", BASE64.encode(plain.as_bytes()));
            headers.insert(header::AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        }
        let form = Form::parse(form.as_bytes()).unwrap();
        authenticate(settings, &headers, &form).map(|client| client.id.to_string())
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
