//! The rules of an authorization request, in Dex's order: what comes before the redirect URI is
//! known to be the client's is shown, what comes after is redirected.

use model::names::Timestamp;
use model::snapshot::{Provider, ProviderClient};
use oidc::pkce;
use oidc::wire::ErrorCode;
use url::{Host, Url};

use super::{Asked, Challenge, OUT_OF_BAND, Scopes};
use crate::form::Form;

/// A request that may go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) asked: Asked,
}

/// Why a request may not go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CheckFault {
    /// Shown: nobody knows whose redirect URI it would be.
    UnknownClient,
    /// Shown: sending a browser there would make us an open redirector.
    UnregisteredRedirect,
    /// Sent to the client.
    Redirected {
        redirect: String,
        state: String,
        code: ErrorCode,
        reason: &'static str,
    },
}

/// Checks `form` for a sign-in at `connector`; `id` names the request if all is well.
pub(crate) fn check(
    settings: &Provider,
    form: &Form,
    connector: &str,
    id: String,
    now: Timestamp,
) -> Result<Checked, CheckFault> {
    let client = settings
        .clients
        .iter()
        .find(|client| *client.id == *form.text("client_id"))
        .ok_or(CheckFault::UnknownClient)?;
    let redirect = form.text("redirect_uri");
    if !redirect_is_allowed(client, redirect) {
        return Err(CheckFault::UnregisteredRedirect);
    }
    let to_client = |(code, reason)| CheckFault::Redirected {
        redirect: redirect.to_owned(),
        state: form.text("state").to_owned(),
        code,
        reason,
    };
    let parameters = check_parameters(settings, client, form).map_err(to_client)?;
    Ok(Checked {
        asked: Asked {
            id,
            client: client.id.to_string(),
            redirect: redirect.to_owned(),
            state: form.text("state").to_owned(),
            nonce: form.text("nonce").to_owned(),
            scopes: parameters.scopes,
            challenge: parameters.challenge,
            connector: connector.to_owned(),
            ask_approval: form.text("approval_prompt") == "force"
                || form
                    .text("prompt")
                    .split_ascii_whitespace()
                    .any(|word| word == "consent"),
            expires_at: now.plus(settings.request_lifetime).seconds(),
        },
    })
}

struct Parameters {
    scopes: Scopes,
    challenge: Option<Challenge>,
}

type Reason = (ErrorCode, &'static str);

fn check_parameters(
    settings: &Provider,
    client: &ProviderClient,
    form: &Form,
) -> Result<Parameters, Reason> {
    if form.find("request").is_some() {
        return Err((
            ErrorCode::RequestNotSupported,
            "request objects are not supported",
        ));
    }
    if form.find("request_uri").is_some() {
        return Err((
            ErrorCode::RequestUriNotSupported,
            "request objects are not supported",
        ));
    }
    let challenge = check_challenge(form)?;
    let scopes = Scopes::parse(form.text("scope"))
        .ok_or((ErrorCode::InvalidScope, "the scope `openid` is missing"))?;
    if !scopes
        .audiences
        .iter()
        .all(|peer| trusts(settings, peer, client))
    {
        return Err((
            ErrorCode::InvalidScope,
            "a named audience does not trust this client",
        ));
    }
    check_response_type(form.text("response_type"))?;
    Ok(Parameters { scopes, challenge })
}

fn check_challenge(form: &Form) -> Result<Option<Challenge>, Reason> {
    let Some(text) = form.find("code_challenge") else {
        return Ok(None);
    };
    let method = match form.find("code_challenge_method") {
        None => pkce::Method::Plain,
        Some(word) => pkce::Method::parse(word).ok_or((
            ErrorCode::InvalidRequest,
            "the code challenge method is unknown",
        ))?,
    };
    Ok(Some(Challenge {
        hashed: method == pkce::Method::S256,
        text: text.to_owned(),
    }))
}

/// Whether tokens for `peer` may be given to `client`.
fn trusts(settings: &Provider, peer: &str, client: &ProviderClient) -> bool {
    *client.id == *peer
        || settings
            .clients
            .iter()
            .any(|known| *known.id == *peer && known.trusted_peers.contains(&client.id))
}

fn check_response_type(text: &str) -> Result<(), Reason> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.is_empty() {
        return Err((ErrorCode::InvalidRequest, "the response type is missing"));
    }
    if !words
        .iter()
        .all(|word| ["code", "id_token", "token"].contains(word))
    {
        return Err((ErrorCode::InvalidRequest, "the response type is unknown"));
    }
    if words.iter().all(|word| *word == "token") {
        return Err((
            ErrorCode::InvalidRequest,
            "the response type `token` cannot stand alone",
        ));
    }
    if words.iter().any(|word| *word != "code") {
        return Err((
            ErrorCode::UnsupportedResponseType,
            "only the response type `code` is offered",
        ));
    }
    Ok(())
}

/// Whether `client` may have answers at `redirect`: a registered text, byte for byte; for a public
/// client that registered nothing, out-of-band or its own machine (RFC 8252 §7.3).
pub(crate) fn redirect_is_allowed(client: &ProviderClient, redirect: &str) -> bool {
    if redirect.is_empty() {
        return false;
    }
    if client
        .redirect_uris
        .iter()
        .any(|known| **known == *redirect)
    {
        return true;
    }
    if !client.public || !client.redirect_uris.is_empty() {
        return false;
    }
    redirect == OUT_OF_BAND || is_own_machine(redirect)
}

fn is_own_machine(redirect: &str) -> bool {
    let Ok(url) = Url::parse(redirect) else {
        return false;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && loopback && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests;
