//! Headers that say who somebody is: to the upstream, and in the answer.

use std::borrow::Cow;

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use model::snapshot::{HeaderEdits, OAuth2Proxy, ToClient, ToUpstream};

use crate::decide::custom::{ACCESS_TOKEN, EMAIL, GAP_AUTH, GROUPS, PREFERRED, USER};
use crate::decide::login::Known;

static FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");
static FORWARDED_EMAIL: HeaderName = HeaderName::from_static("x-forwarded-email");
static FORWARDED_GROUPS: HeaderName = HeaderName::from_static("x-forwarded-groups");
static FORWARDED_PREFERRED: HeaderName = HeaderName::from_static("x-forwarded-preferred-username");
static FORWARDED_TOKEN: HeaderName = HeaderName::from_static("x-forwarded-access-token");

type Told = Vec<(HeaderName, HeaderValue)>;

fn put(told: &mut Told, name: &HeaderName, value: Option<&HeaderValue>) {
    told.extend(value.map(|value| (name.clone(), value.clone())));
}

fn put_token(told: &mut Told, name: &HeaderName, value: Option<&Cow<'_, HeaderValue>>) {
    put(told, name, value.map(|value| &**value));
}

/// What the request says to the upstream.
pub(super) fn to_upstream(proxy: &OAuth2Proxy, known: &Known<'_>) -> Told {
    let ToUpstream {
        user,
        basic,
        access_token,
        bearer,
    } = proxy.to_upstream;
    let values = &*known.values;
    let mut told = Told::new();
    if user {
        match proxy.prefer_email {
            true => put(&mut told, &FORWARDED_USER, values.email.as_ref()),
            false => {
                put(&mut told, &FORWARDED_USER, values.user.as_ref());
                put(&mut told, &FORWARDED_EMAIL, values.email.as_ref());
            }
        }
        put(&mut told, &FORWARDED_GROUPS, values.groups.as_ref());
        let preferred = values.preferred_username.as_ref();
        put(&mut told, &FORWARDED_PREFERRED, preferred);
    }
    if basic {
        told.extend(password(proxy, known));
    }
    if access_token {
        put_token(&mut told, &FORWARDED_TOKEN, known.access_token.as_ref());
    }
    if bearer {
        let token = known.token.map(|token| token.bearer());
        put(&mut told, &AUTHORIZATION, token);
    }
    told
}

/// What the answer says.
pub(super) fn to_client(proxy: &OAuth2Proxy, known: Option<&Known<'_>>) -> Option<HeaderEdits> {
    let known = known?;
    let ToClient {
        user,
        access_token,
        basic,
        bearer,
    } = proxy.to_client;
    let values = &*known.values;
    let mut told = Told::new();
    put(
        &mut told,
        &GAP_AUTH,
        values.email.as_ref().or(values.user.as_ref()),
    );
    if user {
        put(&mut told, &USER, values.user.as_ref());
        put(&mut told, &EMAIL, values.email.as_ref());
        put(&mut told, &GROUPS, values.groups.as_ref());
        put(&mut told, &PREFERRED, values.preferred_username.as_ref());
    }
    if access_token {
        put_token(&mut told, &ACCESS_TOKEN, known.access_token.as_ref());
    }
    if basic {
        told.extend(password(proxy, known));
    }
    if bearer {
        let token = known.token.map(|token| token.bearer());
        put(&mut told, &AUTHORIZATION, token);
    }
    Some(HeaderEdits {
        set: told,
        ..HeaderEdits::default()
    })
}

/// `Authorization: Basic` of the user, with the password that is the same for everybody.
fn password(proxy: &OAuth2Proxy, known: &Known<'_>) -> Option<(HeaderName, HeaderValue)> {
    let password = proxy.basic_password.as_ref()?;
    let user = match proxy.prefer_email {
        true => known.values.email.as_ref(),
        false => known.values.user.as_ref(),
    }?;
    let pair = [user.as_bytes(), b":", password.expose()].concat();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(&pair))).ok()?;
    value.set_sensitive(true);
    Some((AUTHORIZATION, value))
}
