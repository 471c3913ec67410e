//! Who asks: a session from flags.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use model::Snapshot;
use model::names::{Duration, Timestamp};
use model::snapshot::{KeySource, Login};
use oidc::jose::{KeySet, VerifyFault, peek, verify};
use policy::session::PersonParts;
use policy::{Bearer, NoSession, Person, Proof, Session, Token, TokenFault, texts_at};
use serde_json::{Map, Value, json};

use super::{ExplainArgs, Fault};

/// A session, and what was assumed to make it.
pub(super) struct Told {
    pub(super) session: Session,
    pub(super) notes: Vec<String>,
}

/// The session that the flags describe. A token joins the request's headers, where rules look for
/// it.
pub(super) fn of(
    args: &ExplainArgs,
    (headers, path): (&mut HeaderMap, &str),
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Told, Fault> {
    let mut notes = Vec::new();
    if let Some(token) = &args.token
        && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    // One bad token spoils the request; of good ones the first counts.
    let mut sent = Bearer::None;
    for token in tokens_of(headers, path, snapshot) {
        match (bearer(&token, snapshot, &mut notes), &sent) {
            (_, Bearer::Invalid(_)) | (Bearer::Valid(_), Bearer::Valid(_)) => {}
            (found, _) => sent = found,
        }
    }
    let person = match &args.user {
        Some(user) => Ok(Arc::new(person(user, &args.groups, snapshot, now)?)),
        None => Err(NoSession::NoCookie),
    };
    Ok(Told {
        session: Session {
            person,
            elsewhere: elsewhere((headers, path), snapshot, &sent, &mut notes),
            bearer: sent,
        },
        notes,
    })
}

/// The tokens that lie where a rule of the gateway looks; where there are none, the one that a
/// login proxy looks for.
fn tokens_of(headers: &HeaderMap, path: &str, snapshot: &Snapshot) -> Vec<String> {
    let query = path.split_once('?').map(|(_, query)| query);
    let mut found: Vec<String> = Vec::new();
    let rules = &snapshot.gateway_authentication().rules;
    for location in rules.iter().flat_map(|rule| &rule.locations) {
        texts_at(location, headers, query, &mut |text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            if !found.contains(&text) {
                found.push(text);
            }
        });
    }
    if found.is_empty() {
        // With this letter case only: it is the prefix that rules look for.
        let value = headers.get(AUTHORIZATION);
        let token = value.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        found.extend(token.map(|token| token.trim().to_owned()));
    }
    found
}

/// Somebody who signed in through the first login proxy, with a token of the issuer that the
/// gateway believes.
pub(super) fn person(
    user: &str,
    groups: &[String],
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Person, Fault> {
    let login = snapshot.logins().first().ok_or(Fault::NoLogin)?;
    let expires = now.plus(Duration::from_secs(3600));
    let claims = claims(user, groups, login, snapshot, now, expires);
    Ok(Person::assert_signed_in(PersonParts {
        login: login.key().into(),
        user: user.into(),
        email: Some(user.into()),
        groups: groups.iter().map(|group| group.as_str().into()).collect(),
        preferred_username: None,
        token: token(claims).map(Arc::new),
        access_token: None,
        expires,
    }))
}

fn claims(
    user: &str,
    groups: &[String],
    login: &Login,
    snapshot: &Snapshot,
    now: Timestamp,
    expires: Timestamp,
) -> Map<String, Value> {
    let rules = &snapshot.gateway_authentication().rules;
    let own = rules.iter().find(|rule| rule.issuer == login.issuer);
    let rule = own.or(rules.first());
    let issuer = rule.map_or(&login.issuer, |rule| &rule.issuer);
    let audience = rule
        .and_then(|rule| rule.audiences.first())
        .filter(|_| !rule.is_some_and(|rule| rule.audiences.contains(&login.client_id)))
        .unwrap_or(&login.client_id);
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(&**issuer)),
        ("sub".to_owned(), json!(user)),
        ("aud".to_owned(), json!(&**audience)),
        ("iat".to_owned(), json!(now.seconds())),
        ("exp".to_owned(), json!(expires.seconds())),
        ("email".to_owned(), json!(user)),
        ("email_verified".to_owned(), json!(true)),
    ]);
    // Issuers that keep these elsewhere are configured so.
    claims.insert(login.email_claim.to_string(), json!(user));
    if !groups.is_empty() {
        claims.insert("groups".to_owned(), json!(groups));
        claims.insert(login.groups_claim.to_string(), json!(groups));
    }
    claims
}

/// A token that says this and that nobody signed: it never leaves this process.
pub(super) fn token(claims: Map<String, Value>) -> Option<Token> {
    Token::assert_verified(&unsigned(&claims), claims)
}

fn unsigned(claims: &Map<String, Value>) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = part(&json!({ "alg": "RS256" }));
    format!(
        "{header}.{}.{}",
        part(&Value::Object(claims.clone())),
        BASE64URL_NOPAD.encode(b"explain")
    )
}

/// The client's own token.
fn bearer(compact: &str, snapshot: &Snapshot, notes: &mut Vec<String>) -> Bearer {
    let issuer = issuer_of(compact);
    let rules = &snapshot.gateway_authentication().rules;
    let rule = rules.iter().find(|rule| *rule.issuer == *issuer);
    match proven(compact, rule.map(|rule| &rule.keys), notes) {
        Ok(token) => Bearer::Valid(token),
        Err(fault) => Bearer::Invalid(fault),
    }
}

/// Tokens other than the `sent` one.
fn elsewhere(
    (headers, path): (&HeaderMap, &str),
    snapshot: &Snapshot,
    sent: &Bearer,
    notes: &mut Vec<String>,
) -> Vec<Proof> {
    let query = path.split_once('?').map(|(_, query)| query);
    let mut proofs = Vec::new();
    for rule in &snapshot.gateway_authentication().rules {
        for location in &rule.locations {
            texts_at(location, headers, query, &mut |text| {
                let compact = String::from_utf8_lossy(&text);
                if *rule.issuer == *issuer_of(&compact) && !is_sent(&compact, sent) {
                    proofs.push(Proof {
                        compact: (*compact).into(),
                        issuer: Arc::clone(&rule.issuer),
                        keys: rule.keys.clone(),
                        token: proven(&compact, Some(&rule.keys), notes),
                    });
                }
            });
        }
    }
    for place in snapshot.token_places() {
        texts_at(&place.location, headers, query, &mut |text| {
            let compact = String::from_utf8_lossy(&text);
            let issuer = place.issuers.get_key_value(&*issuer_of(&compact));
            let Some((issuer, all)) = issuer.filter(|_| !is_sent(&compact, sent)) else {
                return;
            };
            proofs.extend(all.iter().map(|keys| Proof {
                compact: (*compact).into(),
                issuer: Arc::clone(issuer),
                keys: keys.clone(),
                token: proven(&compact, Some(keys), notes),
            }));
        });
    }
    proofs
}

fn is_sent(compact: &str, sent: &Bearer) -> bool {
    match sent {
        Bearer::Valid(token) => *token.bearer() == format!("Bearer {compact}"),
        Bearer::None | Bearer::Invalid(_) => false,
    }
}

fn issuer_of(compact: &str) -> String {
    let claims = peek(compact).unwrap_or_default();
    let issuer = claims.get("iss").and_then(Value::as_str);
    issuer.unwrap_or_default().to_owned()
}

/// Proves a token. Keys that stand in the manifests are used; others would have to be fetched, so
/// the signature is then taken for good.
fn proven(
    compact: &str,
    keys: Option<&KeySource>,
    notes: &mut Vec<String>,
) -> Result<Arc<Token>, TokenFault> {
    let claims = peek(compact).map_err(token_fault)?;
    let inline = match keys {
        Some(KeySource::Inline(keys)) => Some(keys),
        _ => None,
    };
    let key_set = KeySet::from_json(inline.map_or(r#"{"keys":[]}"#, |keys| keys))
        .map_err(|_| TokenFault::KeysUnavailable)?;
    match verify(compact, &key_set) {
        Ok(_) => {}
        Err(VerifyFault::UnknownKey) if inline.is_none() => {
            notes.push(
                "the token's signature was not checked: the keys of its issuer are not here".into(),
            );
        }
        Err(fault) => return Err(token_fault(fault)),
    }
    Token::assert_verified(compact, claims)
        .map(Arc::new)
        .ok_or(TokenFault::Malformed)
}

fn token_fault(fault: VerifyFault) -> TokenFault {
    match fault {
        VerifyFault::Malformed => TokenFault::Malformed,
        VerifyFault::AlgorithmRefused => TokenFault::AlgorithmRefused,
        VerifyFault::UnknownKey => TokenFault::UnknownKey,
        VerifyFault::BadSignature => TokenFault::BadSignature,
    }
}
