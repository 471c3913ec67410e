//! Tokens that a client sends itself.
//!
//! A token is looked for wherever a rule of the gateway's `RequestAuthentication`s looks for one,
//! and in `Authorization` for login proxies that take bearer tokens. One bad token where a rule
//! looks spoils the request, even when another rule would be content with another.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use model::names::Timestamp;
use model::snapshot::{KeySource, Login, LoginShape};
use oidc::jose;
use policy::{Bearer, Proof, Token, TokenFault, texts_at};
use serde_json::Value;

use super::{Doors, Sessions};
use crate::keys::{Source, fault};

/// How a login proxy wants a token.
const BEARER: &str = "Bearer ";

/// More tokens than anybody sends.
const MOST_TOKENS: usize = 8;

/// A token as it was found.
struct Found<'a> {
    compact: Cow<'a, str>,
    /// Whether a rule looks there; else only a login proxy does.
    by_rule: bool,
}

/// Where the keys for one token are.
enum Wanted {
    From(Source),
    Nowhere(TokenFault),
}

impl Sessions {
    /// The client's own token; `None` when keys have to be waited for.
    pub(super) fn bearer_now(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        doors: Doors<'_>,
        now: Timestamp,
    ) -> Option<Bearer> {
        let found = match find(headers, query, doors) {
            Ok(found) if found.is_empty() => return Some(Bearer::None),
            Ok(found) => found,
            Err(fault) => return Some(Bearer::Invalid(fault)),
        };
        let mut verdict = Verdict::default();
        for token in &found {
            let proven = match wanted(&token.compact, doors) {
                Wanted::Nowhere(fault) => Err(fault),
                Wanted::From(source) => self.keys.prove_now(&token.compact, &source)?,
            };
            verdict.add(token, proven, doors, now);
        }
        Some(verdict.bearer())
    }

    /// The client's own token.
    pub(super) async fn bearer(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        doors: Doors<'_>,
        now: Timestamp,
    ) -> Bearer {
        let found = match find(headers, query, doors) {
            Ok(found) => found,
            Err(fault) => return Bearer::Invalid(fault),
        };
        let mut verdict = Verdict::default();
        for token in &found {
            let proven = match wanted(&token.compact, doors) {
                Wanted::Nowhere(fault) => Err(fault),
                Wanted::From(source) => self.keys.prove(&token.compact, &source).await,
            };
            verdict.add(token, proven, doors, now);
        }
        verdict.bearer()
    }

    /// The tokens where destinations look; `None` when keys have to be waited for.
    pub(super) fn elsewhere_now(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        doors: Doors<'_>,
        bearer: &Bearer,
    ) -> Option<Vec<Proof>> {
        let mut proofs = Vec::new();
        for asked in asked_elsewhere(headers, query, doors, bearer) {
            let proven = self.keys.prove_now(&asked.compact, &asked.source())?;
            proofs.push(asked.proof(proven));
        }
        Some(proofs)
    }

    /// The tokens where destinations look.
    pub(super) async fn elsewhere(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        doors: Doors<'_>,
        bearer: &Bearer,
    ) -> Vec<Proof> {
        let mut proofs = Vec::new();
        for asked in asked_elsewhere(headers, query, doors, bearer) {
            let proven = self.keys.prove(&asked.compact, &asked.source()).await;
            proofs.push(asked.proof(proven));
        }
        proofs
    }

    /// The token in `Authorization`, when `login` takes it for a session: proven, current, and for
    /// one of the login proxy's audiences.
    pub(crate) async fn bearer_for(
        &self,
        headers: &HeaderMap,
        login: &Login,
        now: Timestamp,
    ) -> Option<Arc<Token>> {
        if !login.skip_jwt_bearer_tokens {
            return None;
        }
        let value = headers.get(login.bearer_header())?.to_str().ok()?;
        let compact = value.strip_prefix(BEARER)?.trim();
        let claims = jose::peek(compact).ok()?;
        let source = source_of(login, claims.get("iss")?.as_str()?)?;
        let token = self.keys.prove(compact, &source).await.ok()?;
        taken_by(login, &token, now).then_some(token)
    }
}

/// A token to be proven for destinations.
struct Elsewhere<'a> {
    compact: Box<str>,
    issuer: &'a Arc<str>,
    keys: &'a KeySource,
}

impl Elsewhere<'_> {
    fn source(&self) -> Source {
        Source::of_rule(self.issuer, self.keys)
    }

    fn proof(self, token: Result<Arc<Token>, TokenFault>) -> Proof {
        Proof {
            compact: self.compact,
            issuer: Arc::clone(self.issuer),
            keys: self.keys.clone(),
            token,
        }
    }
}

fn is_from(compact: &str, issuer: &str) -> bool {
    let claims = jose::peek(compact).unwrap_or_default();
    claims.get("iss").and_then(serde_json::Value::as_str) == Some(issuer)
}

/// What has to be proven for destinations besides `bearer`. What no rule's issuer has made, what is
/// no token, and more than anybody sends is not: a destination that looks there refuses it.
fn asked_elsewhere<'a>(
    headers: &HeaderMap,
    query: Option<&str>,
    doors: Doors<'a>,
    bearer: &Bearer,
) -> Vec<Elsewhere<'a>> {
    let is_bearer = |text: &str| match bearer {
        Bearer::Valid(token) => {
            let sent = token.bearer().as_bytes().strip_prefix(BEARER.as_bytes());
            sent == Some(text.as_bytes())
        }
        Bearer::None | Bearer::Invalid(_) => false,
    };
    let mut asked: Vec<Elsewhere<'a>> = Vec::new();
    // A second token is judged, too: one that is good does not make up for one that is not.
    let rules = doors.rules.iter();
    for rule in rules.filter(|_| matches!(bearer, Bearer::Valid(_))) {
        for location in &rule.locations {
            texts_at(location, headers, query, &mut |text| {
                let compact = std::str::from_utf8(&text).unwrap_or_default();
                let is_meant = !is_bearer(compact) && is_from(compact, &rule.issuer);
                if is_meant && asked.len() < MOST_TOKENS {
                    asked.push(Elsewhere {
                        compact: compact.into(),
                        issuer: &rule.issuer,
                        keys: &rule.keys,
                    });
                }
            });
        }
    }
    for place in doors.places {
        texts_at(&place.location, headers, query, &mut |text| {
            let Ok(compact) = std::str::from_utf8(&text) else {
                return;
            };
            if asked.len() >= MOST_TOKENS || is_bearer(compact) {
                return;
            }
            let claims = jose::peek(compact).unwrap_or_default();
            let issuer = claims.get("iss").and_then(serde_json::Value::as_str);
            let known = issuer.and_then(|issuer| place.issuers.get_key_value(issuer));
            for (issuer, keys) in known
                .into_iter()
                .flat_map(|(issuer, all)| all.iter().map(move |keys| (issuer, keys)))
            {
                let is_asked = |one: &Elsewhere<'_>| {
                    *one.compact == *compact && one.issuer == issuer && one.keys == keys
                };
                if !asked.iter().any(is_asked) {
                    asked.push(Elsewhere {
                        compact: compact.into(),
                        issuer,
                        keys,
                    });
                }
            }
        });
    }
    asked
}

/// What the tokens of one request come to.
#[derive(Default)]
struct Verdict {
    valid: Option<Arc<Token>>,
    fault: Option<TokenFault>,
}

impl Verdict {
    fn add(
        &mut self,
        found: &Found<'_>,
        proven: Result<Arc<Token>, TokenFault>,
        doors: Doors<'_>,
        now: Timestamp,
    ) {
        match proven {
            // Where no rule looks, a token that no login proxy takes is nobody's business.
            Ok(token) if !found.by_rule => {
                if doors
                    .logins
                    .iter()
                    .any(|login| taken_by(login, &token, now))
                {
                    self.valid.get_or_insert(token);
                } else if stops(&found.compact, doors) {
                    self.fault.get_or_insert(TokenFault::Expired);
                }
            }
            Ok(token) => _ = self.valid.get_or_insert(token),
            Err(fault) if found.by_rule || stops(&found.compact, doors) => {
                self.fault.get_or_insert(fault);
            }
            Err(_) => {}
        }
    }

    fn bearer(self) -> Bearer {
        match (self.fault, self.valid) {
            (Some(fault), _) => Bearer::Invalid(fault),
            (None, Some(token)) => Bearer::Valid(token),
            (None, None) => Bearer::None,
        }
    }
}

/// Whether AuthService would stop at a token that is bad: one of its issuer for one of its audiences,
/// other than an ID token.
fn stops(compact: &str, doors: Doors<'_>) -> bool {
    doors.logins.iter().any(|login| {
        let LoginShape::AuthService(_) = &login.shape else {
            return false;
        };
        let Ok(claims) = jose::peek(compact) else {
            return false;
        };
        let is_for = |audience: &Value| {
            let audience = audience.as_str().unwrap_or_default();
            login.extra_audiences.iter().any(|one| **one == *audience)
        };
        let is_ours = claims.get("iss").and_then(Value::as_str) == Some(&*login.issuer);
        is_ours
            && match claims.get("aud") {
                Some(Value::Array(audiences)) => audiences.iter().any(is_for),
                Some(audience) => is_for(audience),
                None => false,
            }
    })
}

/// Every token of the request, each once.
fn find<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    doors: Doors<'_>,
) -> Result<Vec<Found<'a>>, TokenFault> {
    let mut found: Vec<Found<'a>> = Vec::new();
    for rule in doors.rules {
        for location in &rule.locations {
            let mut outcome = Ok(());
            texts_at(location, headers, query, &mut |text| {
                if outcome.is_ok() {
                    outcome = as_text(text).and_then(|text| add(&mut found, text, true));
                }
            });
            outcome?;
        }
    }
    let takers = doors.logins.iter();
    for login in takers.filter(|login| login.skip_jwt_bearer_tokens) {
        for value in headers.get_all(login.bearer_header()) {
            let bearer = value
                .to_str()
                .ok()
                .and_then(|value| value.strip_prefix(BEARER));
            if let Some(compact) = bearer {
                add(&mut found, Cow::Borrowed(compact.trim()), false)?;
            }
        }
    }
    Ok(found)
}

/// What no token can hold stands beside one, or in one.
fn as_text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, TokenFault> {
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.ok_or(TokenFault::Malformed)
}

fn add<'a>(
    found: &mut Vec<Found<'a>>,
    compact: Cow<'a, str>,
    by_rule: bool,
) -> Result<(), TokenFault> {
    if found.iter().any(|one| one.compact == compact) {
        return Ok(());
    }
    if found.len() == MOST_TOKENS {
        return Err(TokenFault::Malformed);
    }
    found.push(Found { compact, by_rule });
    Ok(())
}

/// Looks for tokens as a request's are looked for, and at whose they claim to be.
#[cfg(any(test, fuzzing))]
pub(crate) fn tokens_found(headers: &HeaderMap, query: Option<&str>, snapshot: &model::Snapshot) {
    let doors = Doors::of(snapshot);
    if let Ok(found) = find(headers, query, doors) {
        assert!(found.len() <= MOST_TOKENS);
        for token in &found {
            wanted(&token.compact, doors);
        }
    }
}

/// Which keys a token has to be proven with, by the issuer that it claims to be from.
fn wanted(compact: &str, doors: Doors<'_>) -> Wanted {
    let claims = match jose::peek(compact) {
        Ok(claims) => claims,
        Err(error) => return Wanted::Nowhere(fault(error)),
    };
    let issuer = claims
        .get("iss")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let rules = doors.rules;
    if let Some(rule) = rules.iter().find(|rule| &*rule.issuer == issuer) {
        return Wanted::From(Source::of_rule(&rule.issuer, &rule.keys));
    }
    let takers = doors
        .logins
        .iter()
        .filter(|login| login.skip_jwt_bearer_tokens);
    match takers.filter_map(|login| source_of(login, issuer)).next() {
        Some(source) => Wanted::From(source),
        None => Wanted::Nowhere(TokenFault::UnknownIssuer),
    }
}

fn source_of(login: &Login, issuer: &str) -> Option<Source> {
    if let Some(own) = login.choices().find(|choice| *choice.issuer == *issuer) {
        return Some(Source::of_login(own));
    }
    let extra = login
        .extra_issuers
        .iter()
        .find(|extra| *extra.issuer == *issuer)?;
    Some(Source::Discovery(extra.issuer.clone()))
}

/// Whether a proven token is a session for `login`.
fn taken_by(login: &Login, token: &Token, now: Timestamp) -> bool {
    let for_client = |choice: &Login| {
        let mut audiences = choice.extra_audiences.iter();
        token.has_audience(&choice.client_id)
            || audiences.any(|audience| token.has_audience(audience))
    };
    let audience = login
        .choices()
        .any(|choice| token.issuer() == &*choice.issuer && for_client(choice))
        || login
            .extra_issuers
            .iter()
            .any(|extra| token.issuer() == &*extra.issuer && token.has_audience(&extra.audience));
    let leeway = login.clock_skew;
    let current = token
        .expires()
        .is_none_or(|expires| expires.plus(leeway) > now)
        && token
            .not_before()
            .is_none_or(|start| start.minus(leeway) <= now);
    login.skip_jwt_bearer_tokens && audience && current
}
