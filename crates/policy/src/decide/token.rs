//! `RequestAuthentication`: whether a token is one that the rules of a workload accept.

use std::fmt::Write;
use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use model::names::{Duration, Timestamp};
use model::snapshot::{Authentication, HeaderEdits, JwtRule, TokenLocation};
use serde_json::Value;

use super::changes::Changes;
use super::cors::is_preflight;
use crate::authorization::{Accepted, Headers};
use crate::decision::{Stage, Step};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::session::{Bearer, Proof, Token, TokenFault, header_value};
use crate::token_place::texts_over;

/// Difference of clocks that is forgiven, either way.
const LEEWAY: Duration = Duration::from_secs(60);

/// The tokens of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    /// The one that a login check put into `Authorization`.
    pub(super) injected: Option<&'a Arc<Token>>,
    /// The one that the client sent.
    pub(super) bearer: &'a Bearer,
    /// Those where only destinations look.
    pub(super) elsewhere: &'a [Proof],
}

/// Judges the tokens by the rules of a workload, and makes the changes that the accepted one
/// asks for.
pub(super) fn judge<'a>(
    authentication: &'a Authentication,
    tokens: Tokens<'a>,
    request: &Request<'_>,
    (changes, edits): (&mut Changes, [Option<&HeaderEdits>; 2]),
    stage: Stage,
    recorder: &mut Recorder<'_>,
) -> Result<Option<Accepted<'a>>, TokenFault> {
    if authentication.rules.is_empty() {
        return Ok(None);
    }
    // A preflight carries no credentials, so none are asked of it here.
    let judged = if is_preflight(request) {
        Ok(None)
    } else {
        accept(
            &authentication.rules,
            tokens,
            request,
            (changes, edits),
            stage,
        )
    };
    recorder.step(|| {
        let said = match &judged {
            Ok(None) => "none",
            Ok(Some(_)) => "valid",
            Err(fault) => fault.message(),
        };
        Step::Token {
            stage,
            said: said.into(),
        }
    });
    let Some(Taken {
        token,
        rule,
        location,
        names_user,
    }) = judged?
    else {
        return Ok(None);
    };
    consume(rule, location, request, changes);
    announce(rule, token, request, changes);
    Ok(Some(Accepted {
        token,
        names_user,
        space_delimited: &rule.space_delimited,
    }))
}

/// A token, the rule that takes it, and where it lay.
struct Taken<'r, 'a> {
    token: &'a Arc<Token>,
    rule: &'r JwtRule,
    location: &'r TokenLocation,
    /// See [`Accepted::names_user`].
    names_user: bool,
}

/// The first token that a rule accepts. Stricter than Istio: a bad token at any location of any
/// rule refuses the request.
fn accept<'r, 'a>(
    rules: &'r [JwtRule],
    tokens: Tokens<'a>,
    request: &Request<'_>,
    (changes, edits): (&Changes, [Option<&HeaderEdits>; 2]),
    stage: Stage,
) -> Result<Option<Taken<'r, 'a>>, TokenFault> {
    let Tokens {
        injected,
        bearer,
        elsewhere,
    } = tokens;
    let head = request.head();
    let rest = changes.query(request.query());
    let found = Found {
        headers: changes.over(head.headers, edits),
        query: rest.as_deref(),
    };
    let (valid, fault) = match bearer {
        Bearer::None => (None, None),
        Bearer::Valid(token) => (Some(token), None),
        Bearer::Invalid(fault) => (None, Some(*fault)),
    };
    let mut accepted = None;
    for token in [injected, valid].into_iter().flatten() {
        if let Some(one) = found.judge(rules, token, head.now)? {
            accepted.get_or_insert(one);
        }
    }
    if fault.is_none() {
        let known = [injected, valid].map(|token| token.map(|token| token.compact()));
        for text in found.others(rules, known) {
            let one = found.judge_text(rules, &text, elsewhere, head.now)?;
            accepted = accepted.or(Some(Taken {
                names_user: stage == Stage::Gateway,
                ..one
            }));
        }
    }
    let Some(fault) = fault else {
        return Ok(accepted);
    };
    // What was bad in `Authorization` is gone when a login check has overwritten it.
    let overwritten = injected.is_some() && head.headers.contains_key(AUTHORIZATION);
    let sent = Found {
        headers: Headers::of(head.headers),
        query: request.query(),
    };
    let lies = |location: &TokenLocation| {
        let is_overwritten = overwritten
            && matches!(location, TokenLocation::Header { name, .. } if *name == AUTHORIZATION);
        !is_overwritten && sent.holds(location, |_| true)
    };
    // Whoever found the fault looked where the gateway's rules look; only a doubt is settled here.
    let is_ours = stage == Stage::Gateway && !overwritten;
    if is_ours || rules.iter().flat_map(|rule| &rule.locations).any(lies) {
        return Err(fault);
    }
    Ok(accepted)
}

/// Where tokens lie.
#[derive(Clone, Copy)]
struct Found<'h> {
    headers: Headers<'h>,
    query: Option<&'h str>,
}

impl Found<'_> {
    /// `None` when `token` lies nowhere that a rule looks.
    fn judge<'r, 'a>(
        self,
        rules: &'r [JwtRule],
        token: &'a Arc<Token>,
        now: Timestamp,
    ) -> Result<Option<Taken<'r, 'a>>, TokenFault> {
        let mut fault = None;
        for rule in rules {
            let lies =
                |location: &&TokenLocation| self.holds(location, |text| text == token.compact());
            let Some(location) = rule.locations.iter().find(lies) else {
                continue;
            };
            match is_good(rule, token, now) {
                Ok(()) => {
                    return Ok(Some(Taken {
                        token,
                        rule,
                        location,
                        names_user: true,
                    }));
                }
                // A rule of the token's own issuer says more than one that does not know it.
                Err(TokenFault::UnknownIssuer) => {
                    fault.get_or_insert(TokenFault::UnknownIssuer);
                }
                Err(other) => fault = Some(other),
            }
        }
        fault.map_or(Ok(None), Err)
    }

    /// Texts where `rules` look that are none of the `known` tokens.
    fn others(self, rules: &[JwtRule], known: [Option<&[u8]>; 2]) -> Vec<Vec<u8>> {
        let mut others: Vec<Vec<u8>> = Vec::new();
        for location in rules.iter().flat_map(|rule| &rule.locations) {
            texts_over(location, self.headers, self.query, &mut |text| {
                let is_known = known.contains(&Some(&text));
                if !is_known && !others.iter().any(|other| **other == *text) {
                    others.push(text.into_owned());
                }
            });
        }
        others
    }

    /// Judges a token by the proof that each rule asks for. One that nobody has proven is none, or
    /// of an issuer that no rule knows.
    fn judge_text<'r, 'a>(
        self,
        rules: &'r [JwtRule],
        text: &[u8],
        proofs: &'a [Proof],
        now: Timestamp,
    ) -> Result<Taken<'r, 'a>, TokenFault> {
        let is_token = text.iter().filter(|byte| **byte == b'.').count() == 2;
        let mut fault = if is_token {
            TokenFault::UnknownIssuer
        } else {
            TokenFault::Malformed
        };
        for rule in rules {
            let lies = |location: &&TokenLocation| self.holds(location, |one| one == text);
            let Some(location) = rule.locations.iter().find(lies) else {
                continue;
            };
            let proof = proofs.iter().find(|proof| {
                *proof.compact.as_bytes() == *text
                    && proof.issuer == rule.issuer
                    && proof.keys == rule.keys
            });
            let Some(Proof { token, .. }) = proof else {
                continue;
            };
            let judged = token.as_ref().map_err(|fault| *fault);
            match judged.and_then(|token| is_good(rule, token, now).map(|()| token)) {
                Ok(token) => {
                    return Ok(Taken {
                        token,
                        rule,
                        location,
                        names_user: false,
                    });
                }
                Err(other) => fault = other,
            }
        }
        Err(fault)
    }

    /// Whether a text that `is_meant` lies at `location`.
    fn holds(self, location: &TokenLocation, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let mut is_there = false;
        texts_over(location, self.headers, self.query, &mut |text| {
            is_there |= is_meant(&text);
        });
        is_there
    }
}

fn is_good(rule: &JwtRule, token: &Token, now: Timestamp) -> Result<(), TokenFault> {
    if *rule.issuer != *token.issuer() {
        return Err(TokenFault::UnknownIssuer);
    }
    if token
        .expires()
        .is_some_and(|expires| expires.plus(LEEWAY) < now)
    {
        return Err(TokenFault::Expired);
    }
    if token
        .not_before()
        .is_some_and(|start| start.minus(LEEWAY) > now)
    {
        return Err(TokenFault::NotYetValid);
    }
    let allowed = &rule.audiences;
    if !allowed.is_empty() && !allowed.iter().any(|audience| token.has_audience(audience)) {
        return Err(TokenFault::AudienceNotAllowed);
    }
    Ok(())
}

/// The token itself does not travel on unless the rule says so; cookies always stay.
fn consume(rule: &JwtRule, location: &TokenLocation, request: &Request<'_>, changes: &mut Changes) {
    if rule.forward_original {
        return;
    }
    match location {
        TokenLocation::Header { name, .. } => changes.remove(name, request.head().headers),
        TokenLocation::Query(name) => changes.consumed_parameters.push(name.clone()),
        TokenLocation::Cookie(_) => {}
    }
}

/// Claims become headers; the header of a missing claim is removed.
fn announce(rule: &JwtRule, token: &Token, request: &Request<'_>, changes: &mut Changes) {
    for output in &rule.claim_headers {
        let mut names = output.claim.iter();
        let first = names.next().and_then(|name| token.claims().get(&**name));
        let value = first
            .and_then(|first| names.try_fold(first, |value, name| value.as_object()?.get(&**name)));
        // The session of whoever the token is of says the same: nothing is made twice.
        if let (Some(value), Some(said)) = (value, changes.said(&output.header))
            && reads_as(value, said.as_bytes())
        {
            continue;
        }
        match value.and_then(claim_text) {
            Some(text) => changes.set(&output.header, text),
            None => changes.remove(&output.header, request.head().headers),
        }
    }
    if let Some(name) = &rule.payload_header {
        match header_value(token.payload()) {
            Some(payload) => changes.set(name, payload),
            None => changes.remove(name, request.head().headers),
        }
    }
}

/// A claim as header text: a list joined with `,` (Istio's proxies write base64, which no
/// application of Kubeflow reads); an object has none.
fn claim_text(value: &Value) -> Option<HeaderValue> {
    match value {
        Value::String(text) => header_value(text),
        Value::Array(values) => {
            let mut joined = String::new();
            for value in values {
                if !joined.is_empty() {
                    joined.push(',');
                }
                push_scalar(&mut joined, value)?;
            }
            header_value(&joined)
        }
        scalar => {
            let mut text = String::new();
            push_scalar(&mut text, scalar)?;
            header_value(&text)
        }
    }
}

/// Whether `text` is what [`claim_text`] makes of a string, or of a list of strings.
fn reads_as(value: &Value, text: &[u8]) -> bool {
    match value {
        Value::String(one) => !one.is_empty() && one.as_bytes() == text,
        Value::Array(many) => {
            let mut rest = text;
            for one in many {
                let Value::String(one) = one else {
                    return false;
                };
                let is_first = rest.len() == text.len();
                let comma: &[u8] = if is_first { b"" } else { b"," };
                let after = rest.strip_prefix(comma);
                let Some(after) = after.and_then(|rest| rest.strip_prefix(one.as_bytes())) else {
                    return false;
                };
                rest = after;
            }
            rest.is_empty() && !text.is_empty()
        }
        _ => false,
    }
}

fn push_scalar(to: &mut String, value: &Value) -> Option<()> {
    // Writing to a `String` cannot fail.
    let _ = match value {
        Value::String(text) => to.write_str(text),
        Value::Bool(truth) => write!(to, "{truth}"),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => write!(to, "{whole}"),
            (_, Some(whole), _) => write!(to, "{whole}"),
            (.., Some(fraction)) => write!(to, "{fraction:.6}"),
            _ => return None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(())
}

#[cfg(test)]
mod tests;
