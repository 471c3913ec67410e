//! What upstreams with authorization codes have in common (RFC 6749 §4.1, §6).

use bytes::Bytes;
use http::Request;
use model::snapshot::UpstreamClient;
use oidc::wire::TokenResponse;

use super::{Answered, ConnectorFault, wire};

/// How we prove ourselves at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The Basic header.
    Header,
    /// The form.
    Form,
}

/// The address that a browser is sent to.
pub(super) fn departure(
    endpoint: &str,
    client: &UpstreamClient,
    (callback, state): (&str, &str),
    scopes: &str,
    more: &[(&str, &str)],
) -> Result<String, ConnectorFault> {
    // The upstream would send people to where nobody knows them.
    if *client.redirect_uri != *callback {
        return Err(ConnectorFault::Answer(
            "`redirectURI` is not the callback of this provider",
        ));
    }
    let mut url = url::Url::parse(endpoint).map_err(|_| ConnectorFault::Address)?;
    url.query_pairs_mut()
        .append_pair("client_id", &client.id)
        .append_pair("redirect_uri", callback)
        .append_pair("response_type", "code")
        .append_pair("scope", scopes)
        .append_pair("state", state)
        .extend_pairs(more);
    Ok(url.into())
}

/// The code that somebody came back with.
pub(super) fn code<'q>(query: &'q [(&'q str, &'q str)]) -> Result<&'q str, ConnectorFault> {
    let find = |name: &str| {
        let found = query.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    };
    match (find("error"), find("code")) {
        (Some(_), _) => Err(ConnectorFault::Refused),
        (None, Some(code)) => Ok(code),
        (None, None) => Err(ConnectorFault::Unasked),
    }
}

/// A code for tokens.
pub(super) fn redeem(
    endpoint: &str,
    client: &UpstreamClient,
    proof: Proof,
    (code, verifier): (&str, Option<&str>),
) -> Result<Request<Bytes>, ConnectorFault> {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &*client.redirect_uri),
    ];
    pairs.extend(verifier.map(|verifier| ("code_verifier", verifier)));
    proven(endpoint, client, proof, pairs)
}

/// A refresh token for tokens.
pub(super) fn renew(
    endpoint: &str,
    client: &UpstreamClient,
    proof: Proof,
    token: &str,
) -> Result<Request<Bytes>, ConnectorFault> {
    let pairs = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    proven(endpoint, client, proof, pairs)
}

fn proven<'p>(
    endpoint: &str,
    client: &'p UpstreamClient,
    proof: Proof,
    mut pairs: Vec<(&'p str, &'p str)>,
) -> Result<Request<Bytes>, ConnectorFault> {
    let secret = client.secret.expose_str().unwrap_or_default();
    let basic = match proof {
        // A client without a secret says who it is in the form (RFC 6749 §3.2.1).
        Proof::Header if !secret.is_empty() => Some((&*client.id, secret)),
        Proof::Header | Proof::Form => {
            pairs.push(("client_id", &*client.id));
            if !secret.is_empty() {
                pairs.push(("client_secret", secret));
            }
            None
        }
    };
    wire::post_form(endpoint, &pairs, basic)
}

/// The tokens of an answer.
pub(super) fn tokens(answered: Answered) -> Result<TokenResponse, ConnectorFault> {
    let mut answer = wire::json(answered)?;
    // Some answer 200 with an error inside.
    if answer.get("error").is_some() {
        return Err(ConnectorFault::Answer("the upstream refused the code"));
    }
    if let Some(answer) = answer.as_object_mut() {
        answer
            .entry("token_type")
            .or_insert_with(|| "bearer".into());
    }
    serde_json::from_value(answer)
        .map_err(|_| ConnectorFault::Answer("the upstream's answer holds no tokens"))
}
