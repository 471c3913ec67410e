//! Who might ask: made anew for each tree, because each has its own login proxies and issuers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use model::Snapshot;
use model::names::{Duration, Timestamp};
use policy::{Bearer, NoSession, Session, TokenFault};
use serde_json::{Map, json};

use crate::explain::probe::Probe;
use crate::explain::session;

/// Somebody whom no manifest names.
pub(super) const STRANGER: &str = "stranger@unknown.invalid";

/// Somebody who might ask, from somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Visitor {
    pub(super) who: Who,
    /// SPIFFE id of a client certificate.
    pub(super) principal: Option<String>,
    pub(super) client: Option<IpAddr>,
}

/// What somebody shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    /// Nothing that counts.
    Nobody(Absence),
    /// A session.
    Person { user: String, groups: Vec<String> },
    /// A token of their own.
    Token {
        issuer: String,
        subject: String,
        email: Option<String>,
        groups: Vec<String>,
    },
    /// A token that is refused, by [`TokenFault::as_str`].
    BadToken(&'static str),
}

/// Why there is no session, by [`NoSession::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Absence(&'static str);

impl Visitor {
    pub(super) fn of(who: Who) -> Self {
        Self {
            who,
            principal: None,
            client: None,
        }
    }

    pub(super) fn nobody(absence: NoSession) -> Self {
        Self::of(Who::Nobody(Absence(absence.as_str())))
    }

    pub(super) fn person(user: &str, groups: &[String]) -> Self {
        Self::of(Who::Person {
            user: user.to_owned(),
            groups: groups.to_vec(),
        })
    }

    /// `probe` as this visitor sends it.
    pub(super) fn send(&self, probe: &Probe, authorization: Option<&HeaderValue>) -> Probe {
        let mut probe = probe.clone();
        if let Some(principal) = &self.principal {
            probe.principal = Some(principal.clone());
        }
        probe.client = self.client.unwrap_or(probe.client);
        if let Some(value) = authorization {
            probe.headers.insert(AUTHORIZATION, value.clone());
        }
        probe
    }

    /// What a tree knows of this visitor, and the `Authorization` that they send. Where nobody can
    /// sign in, nobody has.
    pub(super) fn session(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> (Session, Option<HeaderValue>) {
        let anonymous = |absence| Session {
            person: Err(absence),
            bearer: Bearer::None,
            elsewhere: Vec::new(),
        };
        match &self.who {
            Who::Nobody(Absence(word)) => {
                let absence = NoSession::ALL.into_iter().find(|one| one.as_str() == *word);
                (anonymous(absence.unwrap_or(NoSession::NoCookie)), None)
            }
            Who::Person { user, groups } => match session::person(user, groups, snapshot, now) {
                Ok(person) => {
                    let session = Session {
                        person: Ok(Arc::new(person)),
                        bearer: Bearer::None,
                        elsewhere: Vec::new(),
                    };
                    (session, None)
                }
                Err(_) => (anonymous(NoSession::Unknown), None),
            },
            Who::Token {
                issuer,
                subject,
                email,
                groups,
            } => {
                let rules = &snapshot.gateway_authentication().rules;
                let rule = rules.iter().find(|rule| *rule.issuer == **issuer);
                let audience = rule.and_then(|rule| rule.audiences.first());
                let expires = now.plus(Duration::from_secs(3600));
                let mut claims = Map::from_iter([
                    ("iss".to_owned(), json!(issuer)),
                    ("sub".to_owned(), json!(subject)),
                    ("exp".to_owned(), json!(expires.seconds())),
                ]);
                claims.extend(audience.map(|audience| ("aud".to_owned(), json!(&**audience))));
                claims.extend(
                    email
                        .as_ref()
                        .map(|email| ("email".to_owned(), json!(email))),
                );
                if !groups.is_empty() {
                    claims.insert("groups".to_owned(), json!(groups));
                }
                let token = session::token(claims).map(Arc::new);
                let value = token.as_ref().map(|token| token.bearer().clone());
                let mut session = anonymous(NoSession::NoCookie);
                if let Some(token) = token {
                    session.bearer = Bearer::Valid(token);
                }
                (session, value)
            }
            Who::BadToken(word) => {
                let fault = TokenFault::ALL
                    .into_iter()
                    .find(|one| one.as_str() == *word);
                let mut session = anonymous(NoSession::NoCookie);
                session.bearer = Bearer::Invalid(fault.unwrap_or(TokenFault::Malformed));
                (session, Some(HeaderValue::from_static("Bearer -")))
            }
        }
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let among = |groups: &[String]| match groups {
            [] => String::new(),
            groups => format!(" in {}", groups.join(", ")),
        };
        match &self.who {
            Who::Nobody(Absence("no_cookie")) => f.write_str("nobody signed in")?,
            Who::Nobody(Absence(word)) => {
                write!(f, "nobody signed in ({})", word.replace('_', " "))?;
            }
            Who::Person { user, groups } if user == STRANGER => match &**groups {
                [] => f.write_str("anybody signed in")?,
                groups => write!(f, "anybody{}", among(groups))?,
            },
            Who::Person { user, groups } => write!(f, "{user}{}", among(groups))?,
            Who::Token {
                issuer,
                subject,
                email,
                groups,
            } => {
                let name = email.as_ref().unwrap_or(subject);
                write!(f, "{name}{} with a token of {issuer}", among(groups))?;
            }
            Who::BadToken(word) => {
                write!(f, "somebody with a bad token ({})", word.replace('_', " "))?;
            }
        }
        if let Some(principal) = &self.principal {
            write!(f, ", certificate {principal}")?;
        }
        if let Some(client) = &self.client {
            write!(f, ", from {client}")?;
        }
        Ok(())
    }
}
