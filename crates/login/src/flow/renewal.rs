//! Renewing a session's tokens with its refresh token (RFC 6749 §6, OpenID Connect Core §12): when,
//! what is asked, what is kept, and what a failure means.

use bytes::Bytes;
use http::StatusCode;
use model::names::{Duration, Timestamp};
use model::snapshot::{Login, RefreshFailure};
use oidc::id_token::{Expected, IdTokenFault};
use oidc::jose;
use oidc::wire::{ErrorCode, TokenResponse};
use policy::TokenFault;
use serde_json::{Map, Value};

use super::identity::{Identity, IdentityFault};
use super::token::{expiry_of, fits_access_token, leeway_seconds, takes_algorithm};
use crate::client::error_code;
use crate::issuer::IssuerFault;
use crate::sessions::store::{Record, Tokens};

/// Tokens are renewed when a quarter of their time is left, within these bounds.
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(1);

/// How long tokens are taken to be good whose issuer does not say.
const UNSAID: Duration = Duration::from_secs(3600);

/// What came of asking the issuer.
pub(crate) enum Renewed {
    /// What is to be kept from now on.
    Whole(Box<Record>),
    /// The new ID token cannot be proven yet, so only the new refresh token is kept.
    TokenOnly(Box<Record>, TokenFault),
}

/// What the userinfo endpoint said.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// That, or nothing because it was not to be asked.
    Answered(Option<&'a Map<String, Value>>),
    /// It was to be asked, and there is no answer.
    Silent,
}

/// Why tokens were not renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RenewalFault {
    /// The session has no refresh token.
    NothingToRenew,
    /// The issuer that the session is from is offered no more.
    IssuerGone,
    /// The issuer could not be asked.
    Issuer(IssuerFault),
    /// It takes the refresh token no more (RFC 6749 §5.2, `invalid_grant`).
    Refused,
    /// It says no for another reason, such as not knowing the client.
    NotNow(Option<ErrorCode>),
    /// Its answer makes no sense.
    Unreadable,
    /// The new ID token is not proven.
    Unproven(TokenFault),
    /// The new ID token is not for us, now.
    IdToken(IdTokenFault),
    /// The new ID token is about somebody else (OpenID Connect Core §12.2).
    AnotherPerson,
    /// The new claims describe nobody who can be let in.
    Identity(IdentityFault),
}

impl RenewalFault {
    /// Whether the session has ended; else it goes on as long as its tokens are good.
    pub(crate) fn ends_session(&self, login: &Login) -> bool {
        match self {
            Self::NothingToRenew
            | Self::IssuerGone
            | Self::Refused
            | Self::Unproven(_)
            | Self::IdToken(_)
            | Self::AnotherPerson
            | Self::Identity(_) => true,
            Self::Issuer(_) | Self::NotNow(_) | Self::Unreadable => {
                login.refresh_failure == RefreshFailure::End
            }
        }
    }
}

/// When tokens that were got at `now` and are good until `until` are to be renewed.
pub(crate) fn tokens(login: &Login, now: Timestamp, until: Timestamp) -> Tokens {
    let life = until.seconds().saturating_sub(now.seconds()).max(0);
    let quarter = Duration::from_secs(life.unsigned_abs() / 4);
    let due = until.minus(quarter.clamp(LATEST, SOONEST));
    let asked = login.cookie_refresh.map(|period| now.plus(period));
    Tokens {
        due: asked.map_or(due, |asked| asked.min(due)),
        until,
    }
}

/// Until when tokens are good: the ID token's `exp`, or the access token's end when that is sooner.
pub(crate) fn until(
    id_token: Option<Timestamp>,
    expires_in: Option<u64>,
    now: Timestamp,
) -> Timestamp {
    let access = expires_in.map(|seconds| now.plus(Duration::from_secs(seconds)));
    match (id_token, access) {
        (Some(id_token), Some(access)) => id_token.min(access),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => now.plus(UNSAID),
    }
}

/// Whether somebody has to renew this session.
pub(crate) fn is_due(record: &Record, now: Timestamp) -> bool {
    record.tokens.is_some_and(|tokens| tokens.due <= now)
}

/// The issuer that the session is from, with its options.
pub(crate) fn choice<'a>(login: &'a Login, record: &Record) -> Option<&'a Login> {
    let claims = jose::peek(&record.id_token).unwrap_or_default();
    let is_for = |audience: &str| match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => many.iter().any(|one| one == audience),
        _ => false,
    };
    let of_issuer = || {
        login
            .choices()
            .filter(|choice| *choice.issuer == *record.issuer)
    };
    of_issuer()
        .find(|choice| is_for(&choice.client_id))
        .or_else(|| of_issuer().next())
}

/// What the token endpoint is asked.
pub(crate) fn token_request(record: &Record) -> Result<[(&str, &str); 2], RenewalFault> {
    let token = record.refresh_token.as_deref();
    let token = token.ok_or(RenewalFault::NothingToRenew)?;
    Ok([("grant_type", "refresh_token"), ("refresh_token", token)])
}

/// Takes the token endpoint's answer.
pub(crate) fn answered(answer: &http::Response<Bytes>) -> Result<TokenResponse, RenewalFault> {
    if answer.status() == StatusCode::OK {
        return serde_json::from_slice(answer.body()).map_err(|_| RenewalFault::Unreadable);
    }
    match error_code(answer) {
        Some(ErrorCode::InvalidGrant) => Err(RenewalFault::Refused),
        other => Err(RenewalFault::NotNow(other)),
    }
}

/// The new tokens without a new ID token: who it is stays as it was.
pub(crate) fn kept(
    login: &Login,
    record: &Record,
    answer: TokenResponse,
    now: Timestamp,
) -> Renewed {
    let until = until(None, answer.expires_in, now);
    let mut record = with_tokens(record, answer);
    record.tokens = Some(tokens(login, now, until));
    Renewed::Whole(Box::new(record))
}

/// Whether the claims of the proven new ID token are for us, now, and about the same person. Comes
/// before anybody is asked anything with the tokens beside it.
pub(crate) fn check(
    login: &Login,
    record: &Record,
    answer: &TokenResponse,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<(), RenewalFault> {
    let extra: Vec<&str> = login.extra_audiences.iter().map(|one| &**one).collect();
    let before = jose::peek(&record.id_token).unwrap_or_default();
    // §12.2: it need not have a nonce; one that it has is that of the sign-in.
    let nonce = claims.get("nonce").map(|_| {
        let nonce = before.get("nonce").and_then(Value::as_str);
        nonce.unwrap_or_default()
    });
    let expected = Expected {
        issuer: &login.issuer,
        client_id: &login.client_id,
        extra_audiences: &extra,
        nonce,
        now: now.seconds(),
        leeway_seconds: leeway_seconds(login),
    };
    oidc::id_token::check(claims, &expected).map_err(RenewalFault::IdToken)?;
    if claims.get("sub") != before.get("sub") || record.issuer != *login.issuer {
        return Err(RenewalFault::AnotherPerson);
    }
    let id_token = answer.id_token.as_deref().unwrap_or_default();
    if !takes_algorithm(login, id_token) {
        return Err(RenewalFault::Unproven(TokenFault::AlgorithmRefused));
    }
    if !fits_access_token(id_token, claims, &answer.access_token) {
        return Err(RenewalFault::Unproven(TokenFault::BadSignature));
    }
    Ok(())
}

/// The new tokens with the claims of their proven and checked ID token, and with what the userinfo
/// endpoint said where it was asked. Where it was to be and did not answer, what it said before
/// stays.
pub(crate) fn proven(
    login: &Login,
    record: &Record,
    answer: TokenResponse,
    (claims, user_info): (&Map<String, Value>, Asked<'_>),
    now: Timestamp,
) -> Result<Renewed, RenewalFault> {
    let identity = match user_info {
        Asked::Answered(info) => {
            Identity::read(login, claims, info).map_err(RenewalFault::Identity)?
        }
        Asked::Silent => Identity {
            user: record.user.clone(),
            email: record.email.clone(),
            groups: record.groups.clone(),
            preferred_username: record.preferred_username.clone(),
        },
    };
    let until = until(expiry_of(claims), answer.expires_in, now);
    let id_token = answer.id_token.clone().unwrap_or_default();
    let mut record = with_tokens(record, answer);
    let Identity {
        user,
        email,
        groups,
        preferred_username,
    } = identity;
    record.user = user;
    record.email = email;
    record.groups = groups;
    record.preferred_username = preferred_username;
    record.id_token = id_token;
    record.tokens = Some(tokens(login, now, until));
    Ok(Renewed::Whole(Box::new(record)))
}

/// The new ID token cannot be proven. Keys that cannot be had are no sign of a forgery.
pub(crate) fn unproven(
    record: &Record,
    answer: TokenResponse,
    fault: TokenFault,
) -> Result<Renewed, RenewalFault> {
    match fault {
        TokenFault::KeysUnavailable | TokenFault::UnknownKey => {
            let kept = with_tokens(record, answer);
            // The access token belongs to the ID token that is not there.
            let kept = Record {
                access_token: record.access_token.clone(),
                ..kept
            };
            Ok(Renewed::TokenOnly(Box::new(kept), fault))
        }
        fault => Err(RenewalFault::Unproven(fault)),
    }
}

/// Without a new refresh token the old one stays.
fn with_tokens(record: &Record, answer: TokenResponse) -> Record {
    let TokenResponse {
        access_token,
        refresh_token,
        token_type: _,
        expires_in: _,
        id_token: _,
        scope: _,
        issued_token_type: _,
    } = answer;
    Record {
        access_token: Some(access_token).filter(|token| !token.is_empty()),
        refresh_token: refresh_token.or_else(|| record.refresh_token.clone()),
        ..record.clone()
    }
}
