//! `/userinfo`: the claims of the presented token (OpenID Connect Core §5.3).

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use model::snapshot::Conformance;
use oidc::jose;
use serde_json::{Map, Value};

use crate::answer;
use crate::form::Form;
use crate::provider::{Answer, Provider};
use crate::refusal::{BearerFault, Refusal};

/// What in an access token is about the token and not about the person.
const ABOUT_TOKEN: [&str; 12] = [
    "iss",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "at_hash",
    "client_id",
    "scope",
    "cnf",
];

impl Provider {
    /// Any method, as in Dex. In compatible mode any token of this issuer will do, ID tokens too:
    /// they have one shape, and all of it is told.
    pub(crate) async fn user_info(&self, request: &Request<Bytes>) -> Answer {
        let (token, scheme) = presented(request).ok_or(BearerFault::Missing)?;
        let claims = self.live_claims(&token).await?;
        let claims = claims.ok_or(BearerFault::Invalid)?;
        self.check_possession(request, scheme, &token, &claims)
            .await?;
        Ok(match self.settings.protocol.conformance {
            Conformance::Compatible => answer::secret_json(&claims),
            Conformance::Strict => {
                let kind = jose::peek_header(&token).ok().and_then(|(_, kind)| kind);
                if kind.as_deref() != Some("at+jwt") {
                    return Err(BearerFault::Invalid.into());
                }
                let about = |name: &String| !ABOUT_TOKEN.contains(&name.as_str());
                let told: Map<String, Value> =
                    claims.into_iter().filter(|(name, _)| about(name)).collect();
                answer::secret_json(&told)
            }
        })
    }

    /// Whether who sends a token that is bound to a key holds that key (RFC 9449 §7.1).
    async fn check_possession(
        &self,
        request: &Request<Bytes>,
        scheme: Scheme,
        token: &str,
        claims: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let bound = claims.get("cnf").and_then(|cnf| cnf.get("jkt")?.as_str());
        match (bound, scheme) {
            (None, Scheme::Bearer) => Ok(()),
            (Some(key), Scheme::Dpop) => {
                match self.proof_of_possession(request, Some(token)).await {
                    Ok(Some(proven)) if proven == key => Ok(()),
                    Err(Refusal::Store(error)) => Err(error.into()),
                    _ => Err(BearerFault::Invalid.into()),
                }
            }
            // A bound token is no bearer token.
            _ => Err(BearerFault::Invalid.into()),
        }
    }

    /// The claims of a token that this issuer signed, that has not expired and is not revoked.
    pub(super) async fn live_claims(
        &self,
        token: &str,
    ) -> Result<Option<Map<String, Value>>, Refusal> {
        let keys = self.keys().await?;
        let Ok(claims) = jose::verify(token, &keys.verifiers) else {
            return Ok(None);
        };
        let ours = claims.get("iss").and_then(Value::as_str) == Some(&self.settings.issuer);
        let expiry = claims.get("exp").and_then(Value::as_i64);
        let fresh = expiry.is_some_and(|expiry| expiry > self.now().seconds());
        if !ours || !fresh {
            return Ok(None);
        }
        let jti = claims.get("jti").and_then(Value::as_str);
        let issuer = &*self.settings.issuer;
        match jti {
            Some(jti) if self.store.is_revoked(issuer, jti).await? => Ok(None),
            _ => Ok(Some(claims)),
        }
    }
}

/// How a token is presented (RFC 6750 §2.1, RFC 9449 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The token in the header, or in the body of a POST (RFC 6750 §2.2).
fn presented(request: &Request<Bytes>) -> Option<(String, Scheme)> {
    if let Some(found) = in_header(request.headers()) {
        return Some(found);
    }
    let asked =
        request.method() == Method::POST && !request.headers().contains_key(header::AUTHORIZATION);
    let form = asked.then(|| Form::of_body(request).ok()).flatten()?;
    let token = form.find("access_token")?;
    Some((token.to_owned(), Scheme::Bearer))
}

fn in_header(headers: &HeaderMap) -> Option<(String, Scheme)> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let token = token.trim();
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        return None;
    };
    (!token.is_empty()).then(|| (token.to_owned(), scheme))
}
