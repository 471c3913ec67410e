//! A person as the store vouches for them, and as memory holds them.

use std::sync::Arc;

use http::HeaderValue;
use model::names::Timestamp;
use model::snapshot::Login;
use oidc::jose;
use policy::session::PersonParts;
use policy::{NoSession, Person, Token};
use quick_cache::Weighter;

use super::held::Held;
use super::store::Record;
use super::value::Name;

/// A session of another login proxy is none here, whatever its cookie is called.
pub(super) fn fitting(person: &Person, login: &Login, now: Timestamp) -> Result<(), NoSession> {
    let (namespace, name) = (&*login.object.namespace, &*login.object.name);
    let mine = person
        .login()
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|rest| rest == name);
    match mine {
        false => Err(NoSession::Unknown),
        true if person.expires() <= now => Err(NoSession::Expired),
        true => Ok(()),
    }
}

/// The person that a row of the store describes. Its ID token was proven before it was stored, and
/// nobody but us writes there.
pub(super) fn vouched(record: Record) -> Person {
    let claims = jose::peek(&record.id_token).ok();
    let token = claims.and_then(|claims| Token::assert_verified(&record.id_token, claims));
    let access_token = record.access_token.as_deref().and_then(|token| {
        let mut value = HeaderValue::from_str(token).ok()?;
        value.set_sensitive(true);
        Some(value)
    });
    let tokens = record.tokens.filter(|_| record.refresh_token.is_some());
    let until = tokens.map_or(record.expires, |tokens| tokens.until);
    let person = Person::assert_signed_in(PersonParts {
        login: record.login.into(),
        user: record.user.into(),
        email: Some(record.email.into()),
        groups: record.groups.into_iter().map(Arc::from).collect(),
        preferred_username: record.preferred_username.map(Arc::from),
        token: token.map(Arc::new),
        access_token,
        expires: until.min(record.expires),
    });
    match tokens {
        // Beyond the end of the session there is nothing to renew.
        Some(tokens) if tokens.due < record.expires => person.renewable(tokens.due),
        _ => person,
    }
}

/// A session that is in constant use, unpacked.
#[derive(Clone)]
pub(super) struct Ready {
    /// What it was unpacked from: of another one it says nothing.
    pub(super) of: Arc<Held>,
    pub(super) person: Arc<Person>,
}

/// Reckons what an unpacked session takes: its token, which is held as text, as claims and as a
/// header.
#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<Name, Ready> for Weight {
    fn weight(&self, _: &Name, ready: &Ready) -> u64 {
        let person = &ready.person;
        let token = person.token().map_or(0, |token| token.bearer().len());
        let access = person.access_token().map_or(0, HeaderValue::len);
        let groups: usize = person.groups().iter().map(|group| group.len() + 32).sum();
        (1024 + 4 * token + access + groups) as u64
    }
}
