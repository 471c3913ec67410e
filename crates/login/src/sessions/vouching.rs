//! Tokens of clients that somebody else vouches for: the API server of a cluster, or the issuer's
//! userinfo endpoint. Only AuthService takes such tokens.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue, StatusCode};
use model::names::{Duration, Timestamp};
use model::snapshot::{AuthServiceShape, Login, LoginShape};
use policy::session::PersonParts;
use policy::{NoSession, Person, TokenFault};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use super::value::CookieValue;
use super::{Sessions, offered};
use crate::flow::user_info::{self, Said, UserInfoFault};
use crate::issuer::IssuerFault;
use crate::keys::sha256;
use crate::reviewer::{Review, Reviewer};

/// How many tokens are remembered.
const MOST: usize = 4096;

/// How long a person is one who was vouched for without being remembered: one request.
const ONCE: Duration = Duration::from_secs(60);

/// What was found out about a token.
pub(super) enum Vouched {
    /// Nobody vouches for it; it may still prove something else.
    Not,
    /// Whose it is.
    For(Arc<Person>),
    /// It is theirs, and bad.
    Stops(TokenFault),
}

/// Who vouches, and for whom they did.
pub(super) struct Vouching {
    reviewer: OnceLock<Arc<dyn Reviewer>>,
    known: Cache<[u8; 32], Arc<Person>>,
}

impl Vouching {
    pub(super) fn new() -> Self {
        Self {
            reviewer: OnceLock::new(),
            known: Cache::new(MOST),
        }
    }
}

impl Sessions {
    /// Asks `reviewer` about tokens from now on, where the settings say that they may be a
    /// cluster's. The first counts.
    pub fn review_by(&self, reviewer: Arc<dyn Reviewer>) {
        let _ = self.vouching.reviewer.set(reviewer);
    }

    /// Whether somebody has to be asked before it is known who sent this.
    pub(super) fn has_to_ask(&self, headers: &HeaderMap, logins: &[Arc<Login>]) -> bool {
        logins.iter().any(|login| match &login.shape {
            LoginShape::OAuth2Proxy => false,
            LoginShape::AuthService(shape) => {
                let vouches = shape.opaque_tokens || shape.reviews.is_some();
                shape.strict || vouches && self.foreign_token(headers, shape).is_some()
            }
        })
    }

    /// Who a token is that nobody's key proves.
    pub(super) async fn vouched(
        &self,
        headers: &HeaderMap,
        logins: &[Arc<Login>],
        now: Timestamp,
    ) -> Vouched {
        for login in logins {
            let LoginShape::AuthService(shape) = &login.shape else {
                continue;
            };
            let Some(token) = self.foreign_token(headers, shape) else {
                continue;
            };
            let key = sha256(&[login.key().as_bytes(), b" ", token.as_bytes()]);
            if shape.remembered.is_some()
                && let Some(person) = self.vouching.known.get(&key)
                && person.expires() > now
            {
                return Vouched::For(person);
            }
            let lasts = shape.remembered.unwrap_or(ONCE);
            let found = match self.reviewed(shape, token).await {
                Found::Nothing if shape.opaque_tokens => self.told_by_issuer(login, token).await,
                found => found,
            };
            match found {
                Found::Nothing => {}
                Found::Bad(fault) => return Vouched::Stops(fault),
                Found::Somebody { name, groups } => {
                    let person = person(login, name, groups, now.plus(lasts));
                    if shape.remembered.is_some() {
                        self.vouching.known.insert(key, Arc::clone(&person));
                    }
                    return Vouched::For(person);
                }
            }
        }
        Vouched::Not
    }

    /// Whether the issuer still knows somebody, where it has to be asked each time
    /// (`STRICT_SESSION_VALIDATION`). One whom it does not know any more loses the session.
    pub(super) async fn confirmed(
        &self,
        person: Arc<Person>,
        headers: &HeaderMap,
        login: &Login,
    ) -> Result<Arc<Person>, NoSession> {
        let LoginShape::AuthService(AuthServiceShape { strict: true, .. }) = &login.shape else {
            return Ok(person);
        };
        let token = person.access_token().and_then(|token| token.to_str().ok());
        let told = match token {
            Some(token) => self.userinfo(login, token).await,
            None => Err(IssuerFault::Status(StatusCode::UNAUTHORIZED)),
        };
        match told {
            Ok(_) => Ok(person),
            Err(IssuerFault::Status(StatusCode::UNAUTHORIZED)) => {
                if let Err(error) = self.end(headers, login).await {
                    tracing::error!(%error, "a session cannot be ended");
                }
                Err(NoSession::Unknown)
            }
            Err(fault) => {
                tracing::warn!(%fault, "the issuer does not say whether a session is still good");
                Err(NoSession::StoreUnavailable)
            }
        }
    }

    /// Revokes the tokens of the sessions that a request brought, where the issuer offers it
    /// (RFC 7009): the refresh token first, which makes others.
    ///
    /// # Errors
    /// When the issuer did not do it.
    pub(crate) async fn revoke_tokens(
        &self,
        headers: &HeaderMap,
        login: &Login,
    ) -> Result<(), IssuerFault> {
        let metadata = self.keys.metadata(&login.issuer).await?;
        let Some(endpoint) = &metadata.revocation_endpoint else {
            return Ok(());
        };
        for value in offered(headers, login).filter_map(CookieValue::read) {
            if !self.stamp.is_mine(&value) {
                continue;
            }
            let Ok(Some(stored)) = self.store.find(&value.name()).await else {
                continue;
            };
            let tokens = [
                (stored.record.refresh_token, "refresh_token"),
                (stored.record.access_token, "access_token"),
            ];
            for (token, hint) in tokens {
                let Some(token) = token else { continue };
                let form = [("token", token.as_str()), ("token_type_hint", hint)];
                let answer = self.clients.post(login, endpoint, &form).await?;
                let is_unsupported = || {
                    let told = serde_json::from_slice::<Value>(answer.body()).unwrap_or_default();
                    told.get("error").and_then(Value::as_str) == Some("unsupported_token_type")
                };
                if answer.status() != StatusCode::OK && !is_unsupported() {
                    return Err(IssuerFault::Status(answer.status()));
                }
            }
        }
        Ok(())
    }

    async fn reviewed(&self, shape: &AuthServiceShape, token: &str) -> Found {
        let (Some(audiences), Some(reviewer)) = (&shape.reviews, self.vouching.reviewer.get())
        else {
            return Found::Nothing;
        };
        match reviewer.review(token, audiences).await {
            Review::Nobody => Found::Nothing,
            Review::Expired => Found::Bad(TokenFault::Expired),
            Review::Somebody { name, groups } => Found::Somebody { name, groups },
        }
    }

    /// A token that the userinfo endpoint takes is one of the issuer's; then it has to say who it
    /// is.
    async fn told_by_issuer(&self, login: &Login, token: &str) -> Found {
        let claims = match self.userinfo(login, token).await {
            Ok(claims) => claims,
            Err(fault) => {
                tracing::debug!(%fault, "the issuer does not tell whose a token is");
                return Found::Nothing;
            }
        };
        let name = claims.get(&*login.email_claim).and_then(Value::as_str);
        let groups = match claims.get(&*login.groups_claim) {
            Some(Value::Array(groups)) => Some(groups.iter().filter_map(Value::as_str).collect()),
            Some(Value::String(group)) => Some(vec![group.as_str()]),
            _ => None,
        };
        match (name, groups) {
            (Some(name), Some(groups)) if !name.is_empty() => Found::Somebody {
                name: name.to_owned(),
                groups: groups.into_iter().map(str::to_owned).collect(),
            },
            _ => Found::Bad(TokenFault::Malformed),
        }
    }

    /// What the issuer says of whoever holds an access token.
    async fn userinfo(
        &self,
        login: &Login,
        token: &str,
    ) -> Result<Map<String, Value>, IssuerFault> {
        let metadata = match &login.user_info_url {
            Some(_) => None,
            None => Some(self.keys.metadata(&login.issuer).await?),
        };
        let endpoint = user_info::endpoint(login, metadata.as_deref());
        let request = user_info::request(endpoint.ok_or(IssuerFault::NotOffered)?, token)?;
        let answer = self.clients.issuer().ask(request).await?;
        match user_info::answered(&answer) {
            Ok(Said::Claims(claims)) => Ok(claims),
            Err(UserInfoFault::Issuer(fault)) => Err(fault),
            Ok(Said::Signed(_)) | Err(_) => Err(IssuerFault::Unreadable),
        }
    }

    /// A token that is no value of a session of ours.
    fn foreign_token<'a>(
        &self,
        headers: &'a HeaderMap,
        shape: &AuthServiceShape,
    ) -> Option<&'a str> {
        let value: &HeaderValue = headers.get(&shape.token_header)?;
        let token = value.to_str().ok()?.strip_prefix("Bearer ")?.trim();
        let is_session =
            CookieValue::read(token.as_bytes()).is_some_and(|value| self.stamp.is_mine(&value));
        (!token.is_empty() && !is_session).then_some(token)
    }
}

enum Found {
    Nothing,
    Bad(TokenFault),
    Somebody { name: String, groups: Vec<String> },
}

fn person(login: &Login, name: String, groups: Vec<String>, expires: Timestamp) -> Arc<Person> {
    let name: Arc<str> = name.into();
    Arc::new(Person::assert_signed_in(PersonParts {
        login: login.key().into(),
        user: Arc::clone(&name),
        email: Some(name),
        groups: groups.into_iter().map(Arc::from).collect(),
        preferred_username: None,
        token: None,
        access_token: None,
        expires,
    }))
}
