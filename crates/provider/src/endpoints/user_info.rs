//! `/userinfo`: the claims of the presented token (OpenID Connect Core §5.3).

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use oidc::jose;
use serde_json::Value;

use crate::answer;
use crate::provider::{Answer, Provider};
use crate::refusal::BearerFault;

impl Provider {
    /// Any method, as in Dex. Any token of this issuer will do, ID tokens too: they have one shape.
    pub(crate) async fn user_info(&self, request: &Request<Bytes>) -> Answer {
        let token = bearer(request.headers()).ok_or(BearerFault::Missing)?;
        let keys = self.keys().await?;
        let claims = jose::verify(token, &keys.verifiers).map_err(|_| BearerFault::Invalid)?;
        let ours = claims.get("iss").and_then(Value::as_str) == Some(&self.settings.issuer);
        let fresh = claims
            .get("exp")
            .and_then(Value::as_i64)
            .is_some_and(|expiry| expiry > self.now().seconds());
        if !ours || !fresh {
            return Err(BearerFault::Invalid.into());
        }
        Ok(answer::secret_json(&claims))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}
