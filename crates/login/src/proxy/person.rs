//! The pages that say who somebody is: `auth` for other proxies, `userinfo` for scripts.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use policy::{NoSession, Person, Token};
use serde_json::{Map, Value};

use super::LoginProxy;
use crate::flow::admission;
use crate::flow::identity::Identity;
use crate::pages::{self, Answer};
use crate::site::Site;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Somebody with a session, whether by cookie or by token.
struct Known {
    identity: Identity,
    authorization: Option<HeaderValue>,
    access_token: Option<HeaderValue>,
}

impl LoginProxy {
    /// 202 with who it is, 401 for nobody, 403 for somebody whom the query does not want.
    pub(super) async fn auth(&self, parts: &Parts, site: &Site) -> Answer {
        if parts.method == Method::OPTIONS && self.settings.skip_preflight {
            return pages::text(StatusCode::ACCEPTED, PLAIN, "");
        }
        let known = match self.known(parts).await {
            Ok(known) => known,
            Err(absence) => return self.nobody(absence, parts, site),
        };
        let Identity { email, groups, .. } = &known.identity;
        if !policy::admits(&self.settings, Some(email), groups) {
            return self.nobody(NoSession::Unknown, parts, site);
        }
        if !admission::meets_query(parts.uri.query().unwrap_or_default(), email, groups) {
            return pages::text(StatusCode::FORBIDDEN, PLAIN, "Forbidden\n");
        }
        let mut answer = pages::text(StatusCode::ACCEPTED, PLAIN, "");
        for (name, value) in self.told(&known) {
            answer.headers_mut().insert(name, value);
        }
        answer
    }

    /// Who it is, as JSON.
    pub(super) async fn userinfo(&self, parts: &Parts) -> Answer {
        let known = match self.known(parts).await {
            Ok(known) => known,
            Err(absence) => return pages::uncached(refusal(absence)),
        };
        let Identity {
            user,
            email,
            groups,
            preferred_username,
        } = known.identity;
        let mut told = Map::new();
        told.insert("user".into(), user.into());
        told.insert("email".into(), email.into());
        if !groups.is_empty() {
            told.insert("groups".into(), groups.into());
        }
        if let Some(name) = preferred_username {
            told.insert("preferredUsername".into(), name.into());
        }
        let body = Value::Object(told).to_string();
        pages::uncached(pages::text(StatusCode::OK, "application/json", body))
    }

    async fn known(&self, parts: &Parts) -> Result<Known, NoSession> {
        let now = self.clock.now();
        let bearer = self
            .sessions
            .bearer_for(&parts.headers, &self.settings, now)
            .await;
        let by_token = bearer.and_then(|token| {
            let identity = Identity::of_bearer(&self.settings, token.claims()).ok()?;
            let access_token = HeaderValue::from_bytes(token.bearer().as_bytes().get(7..)?).ok();
            let authorization = Some(token.bearer().clone());
            Some(Known {
                identity,
                authorization,
                access_token,
            })
        });
        match by_token {
            Some(known) => Ok(known),
            None => {
                let person = self
                    .sessions
                    .person(&parts.headers, &self.settings, now)
                    .await?;
                Ok(by_cookie(&person))
            }
        }
    }

    fn nobody(&self, absence: NoSession, parts: &Parts, site: &Site) -> Answer {
        let answer = refusal(absence);
        match absence {
            NoSession::StoreUnavailable | NoSession::Expired => answer,
            _ => pages::with_cookies(answer, self.deletions(&parts.headers, site, false)),
        }
    }

    /// What the settings say is told of somebody.
    fn told(&self, known: &Known) -> Vec<(HeaderName, HeaderValue)> {
        let Identity {
            user,
            email,
            groups,
            preferred_username,
        } = &known.identity;
        let settings = &*self.settings;
        let mut told: Vec<(&'static str, Option<HeaderValue>)> = Vec::new();
        let text = |text: &str| {
            HeaderValue::from_str(text)
                .ok()
                .filter(|text| !text.is_empty())
        };
        told.push(("gap-auth", text(email).or_else(|| text(user))));
        if settings.set_xauthrequest {
            told.push(("x-auth-request-user", text(user)));
            told.push(("x-auth-request-email", text(email)));
            told.push(("x-auth-request-groups", text(&groups.join(","))));
            let name = preferred_username.as_deref().and_then(text);
            told.push(("x-auth-request-preferred-username", name));
            if settings.pass_access_token {
                told.push(("x-auth-request-access-token", known.access_token.clone()));
            }
        }
        if settings.set_authorization_header {
            told.push((AUTHORIZATION.as_str(), known.authorization.clone()));
        }
        let named = |(name, value): (&'static str, Option<HeaderValue>)| {
            Some((HeaderName::from_static(name), value?))
        };
        told.into_iter().filter_map(named).collect()
    }
}

fn by_cookie(person: &Person) -> Known {
    let identity = Identity {
        user: person.user().to_owned(),
        email: person.email().unwrap_or_default().to_owned(),
        groups: person
            .groups()
            .iter()
            .map(|group| group.to_string())
            .collect(),
        preferred_username: person.preferred_username().map(str::to_owned),
    };
    let authorization = person
        .token()
        .map(|token: &std::sync::Arc<Token>| token.bearer().clone());
    Known {
        identity,
        authorization,
        access_token: person.access_token().cloned(),
    }
}

pub(super) fn refusal(absence: NoSession) -> Answer {
    match absence {
        NoSession::StoreUnavailable => pages::text(
            StatusCode::SERVICE_UNAVAILABLE,
            PLAIN,
            "Service Unavailable\n",
        ),
        NoSession::NoCookie | NoSession::Unknown | NoSession::Expired => {
            pages::text(StatusCode::UNAUTHORIZED, PLAIN, "Unauthorized\n")
        }
    }
}
