//! `POST /token/revoke` (RFC 7009).

use bytes::Bytes;
use http::{Method, Request, Response};
use model::names::Timestamp;
use serde_json::Value;

use super::introspect::audiences;
use crate::form::Form;
use crate::provider::{Answer, Provider};
use crate::refusal::TokenFault;
use crate::storage::Place;

impl Provider {
    /// Answers 200 for a token that is not known, too (§2.2). Another client's token is left alone.
    pub(crate) async fn revoke(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != Method::POST {
            return Err(TokenFault::NotPost.into());
        }
        let form = Form::of_body(request).map_err(TokenFault::from)?;
        let client = self.proven_client(request, &form).await?;
        let token = form.find("token").ok_or(TokenFault::NoToken)?;
        let issuer = &*self.settings.issuer;
        let done = Ok(Response::new(Bytes::new()));
        if let Some((name, secret)) = token.split_once('.')
            && let Some(kept) = self.store.family(issuer, name, self.now()).await?
        {
            // The token before the good one is the holder's as well: it may have missed an answer.
            let held = kept.place(secret) != Place::Other;
            if held && *kept.client == *client.id {
                let until = self.now().plus(self.settings.token_lifetime);
                self.store
                    .end_family(issuer, name, &kept.grant.id, until)
                    .await?;
            }
            return done;
        }
        if let Some(claims) = self.live_claims(token).await? {
            let text = |name: &str| claims.get(name).and_then(Value::as_str);
            let owner = text("client_id").or_else(|| text("azp"));
            let owner = owner.or_else(|| audiences(&claims).first().copied());
            let until = claims.get("exp").and_then(Value::as_i64);
            if let (Some(jti), Some(until)) = (text("jti"), until)
                && owner == Some(&*client.id)
            {
                let until = Timestamp::from_seconds(until);
                self.store.revoke(issuer, jti, until).await?;
            }
        }
        done
    }
}
