//! The pages of one login proxy, and its answers to people who have to sign in first.

pub(crate) mod auth_service;
mod callback;
mod consent;
mod departure;
mod logout;
mod person;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, REFERER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use model::seams::{Clock, Randomness};
use model::snapshot::{Login, LoginShape};
use policy::NoSession;
use policy::decision::{SignIn, SignInAnswer};
use url::form_urlencoded::byte_serialize;

use crate::cookies::{self, Attributes};
use crate::flow::target::{Target, own, parameter};
use crate::issuer::IssuerFault;
use crate::pages::{self, Again, Answer, Choice, Trouble};
use crate::sessions::Sessions;
use crate::site::Site;

/// Where a proxy in front says that somebody wants to go.
const FORWARDED_URI: &str = "x-forwarded-uri";
/// Where whoever asks for a sign-in says that it leads.
const REDIRECT: &str = "x-auth-request-redirect";

/// One login proxy of a snapshot. Cheap to make: all that lasts is in [`Sessions`] and its keys.
pub struct LoginProxy {
    settings: Arc<Login>,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl LoginProxy {
    /// The login proxy that `settings` describe. Keys, discovery documents and the way to issuers
    /// are those of `sessions`.
    pub fn new(
        settings: Arc<Login>,
        sessions: Arc<Sessions>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self {
            settings,
            sessions,
            clock,
            randomness,
        }
    }

    /// Answers a request for one of its own pages, below the prefix.
    pub async fn handle(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        if let LoginShape::AuthService(shape) = &self.settings.shape {
            return match Site::of(&parts.uri, headers) {
                Some(site) => self.auth_service(shape, &parts, &body, &site).await,
                None => self.trouble(Trouble::BAD_HOST, headers, None),
            };
        }
        let below = parts.uri.path().strip_prefix(&*self.settings.prefix);
        if self.settings.logout_path.as_deref() == Some(parts.uri.path()) {
            return match Site::of(&parts.uri, headers) {
                Some(site) => self.sign_out(&parts, &body, &site, true).await,
                None => self.trouble(Trouble::BAD_HOST, headers, None),
            };
        }
        let Some(page) = below.and_then(|rest| rest.strip_prefix('/')) else {
            return self.trouble(Trouble::NOT_FOUND, headers, None);
        };
        if let Some(file) = page
            .strip_prefix("static/")
            .and_then(|name| pages::file(name, headers))
        {
            return file;
        }
        let Some(site) = Site::of(&parts.uri, headers) else {
            return self.trouble(Trouble::BAD_HOST, headers, None);
        };
        match page {
            "start" => self.start(&parts, &body, &site).await,
            "sign_in" if self.settings.skip_provider_button && self.settings.others.is_empty() => {
                self.start(&parts, &body, &site).await
            }
            "sign_in" => self.sign_in(&parts, &body, &site).await,
            "callback" => self.callback(&parts, &body, &site).await,
            own if own.starts_with("callback/") => self.callback(&parts, &body, &site).await,
            "sign_out" => {
                let at_issuer = self.settings.logout_at_issuer;
                self.sign_out(&parts, &body, &site, at_issuer).await
            }
            "signed_out" => self.signed_out(&parts, &site),
            "backchannel_logout" => self.backchannel_logout(&parts, &body).await,
            "frontchannel_logout" => self.frontchannel_logout(&parts).await,
            "auth" => self.auth(&parts, &site).await,
            "userinfo" => self.userinfo(&parts).await,
            _ => self.trouble(Trouble::NOT_FOUND, headers, None),
        }
    }

    /// Answers a request that needs somebody to sign in first: `{}` for scripts, the way to the
    /// issuer, or the sign-in page. What was asked for is where they come back to.
    pub async fn challenge(&self, request: &Parts, sign_in: &SignIn) -> http::Response<Bytes> {
        let Parts { uri, headers, .. } = request;
        let Some(site) = Site::of(uri, headers) else {
            return self.trouble(Trouble::BAD_HOST, headers, None);
        };
        // What a form was sent to cannot be gone to without the form: back to where it stood.
        let form = form_page(request, &site);
        // Only what a trusted proxy in front says gets here under this name.
        let forwarded = headers.get(FORWARDED_URI).and_then(|uri| uri.to_str().ok());
        let wanted = match (&form, forwarded) {
            (_, Some(forwarded)) => forwarded,
            (Some(page), None) => page,
            (None, None) => uri.path_and_query().map_or("/", |path| path.as_str()),
        };
        let wanted = own(wanted, &self.settings.prefix);
        let asked = headers
            .get(REDIRECT)
            .and_then(|value| value.to_str().ok())
            .filter(|_| self.settings.shape == LoginShape::OAuth2Proxy);
        let candidates = asked.into_iter().chain([wanted]);
        let target = Target::first(candidates, &self.settings.whitelist_domains);
        match sign_in.how {
            SignInAnswer::Unauthorized => pages::unauthorized_json(),
            SignInAnswer::Redirect => self.depart(&self.settings, headers, &site, target).await,
            SignInAnswer::Plain => {
                let deletions = self.deletions(headers, &site, false);
                pages::with_cookies(person::refusal(sign_in.absence), deletions)
            }
            SignInAnswer::NotAllowedIn => self.turn_away(headers, &site).await,
            SignInAnswer::Page => {
                let page = self.sign_in_page(StatusCode::FORBIDDEN, &site, &target);
                match sign_in.absence {
                    NoSession::Unknown => {
                        pages::with_cookies(page, self.deletions(headers, &site, false))
                    }
                    // One whose issuer is away may go on once it is back; one that is over loses its
                    // cookie by itself.
                    NoSession::Expired | NoSession::NoCookie | NoSession::StoreUnavailable => page,
                }
            }
        }
    }

    /// Whether sessions can be looked up: 200 `OK`, else 500.
    pub async fn ready(&self) -> http::Response<Bytes> {
        const PLAIN: &str = "text/plain; charset=utf-8";
        match self.sessions.is_reachable().await {
            true => pages::text(StatusCode::OK, PLAIN, "OK"),
            false => pages::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                PLAIN,
                "the session store does not answer\n",
            ),
        }
    }

    /// Whether the issuer was found, as far as it has to be.
    pub async fn is_issuer_known(&self) -> bool {
        let login = &self.settings;
        let is_written = login.login_url.is_some() && login.redeem_url.is_some();
        is_written || self.sessions.keys().metadata(&login.issuer).await.is_ok()
    }

    /// Somebody who signed in and may not enter: the session ends.
    async fn turn_away(&self, headers: &HeaderMap, site: &Site) -> Answer {
        if let Err(error) = self.sessions.end(headers, &self.settings).await {
            tracing::error!(%error, "a session cannot be ended");
        }
        let answer = match self.settings.force_json_errors {
            true => pages::text(StatusCode::FORBIDDEN, "application/json", "{}"),
            false => {
                let again = match &self.settings.shape {
                    LoginShape::OAuth2Proxy => Again {
                        address: format!("{}/sign_in", self.settings.prefix),
                        label: "Sign in with another account",
                    },
                    LoginShape::AuthService(shape) => Again {
                        address: shape.homepage.to_string(),
                        label: "Go to the home page",
                    },
                };
                self.trouble(Trouble::NOT_ALLOWED_IN, headers, Some(again))
            }
        };
        pages::with_cookies(answer, self.deletions(headers, site, false))
    }

    /// To the issuer.
    async fn start(&self, parts: &Parts, body: &Bytes, site: &Site) -> Answer {
        let target = self.target(parts, body);
        let query = parts.uri.query().unwrap_or_default();
        let chosen = parameter(query, "issuer")
            .or_else(|| parameter(form(parts, body).unwrap_or_default(), "issuer"));
        let choice = match &chosen {
            Some(name) => self.settings.choices().find(|one| *one.choice == **name),
            None if self.settings.others.is_empty() => Some(&*self.settings),
            None => None,
        };
        match choice {
            Some(choice) => self.depart(choice, &parts.headers, site, target).await,
            // They have yet to choose, or their choice is gone.
            None => self.sign_in_page(StatusCode::OK, site, &target),
        }
    }

    /// The page with the button. Nobody is signed in once it was seen.
    async fn sign_in(&self, parts: &Parts, body: &Bytes, site: &Site) -> Answer {
        if let Err(error) = self.sessions.end(&parts.headers, &self.settings).await {
            tracing::error!(%error, "a session cannot be ended");
        }
        let page = self.sign_in_page(StatusCode::OK, site, &self.target(parts, body));
        pages::with_cookies(page, self.deletions(&parts.headers, site, false))
    }

    /// Where to go afterwards: the first valid of `rd` (query, then form), the header
    /// `X-Auth-Request-Redirect`, `/`.
    fn target(&self, parts: &Parts, body: &Bytes) -> Target {
        let query = parameter(parts.uri.query().unwrap_or_default(), "rd");
        let form = form(parts, body).and_then(|form| parameter(form, "rd"));
        let header = parts.headers.get(REDIRECT);
        let header = header.and_then(|value| value.to_str().ok());
        let candidates = query
            .as_deref()
            .into_iter()
            .chain(form.as_deref())
            .chain(header);
        Target::first(candidates, &self.settings.whitelist_domains)
    }

    fn sign_in_page(&self, status: StatusCode, site: &Site, target: &Target) -> Answer {
        let elsewhere = self.settings.choices().any(|choice| {
            let endpoint = self.authorization_endpoint_now(choice);
            is_elsewhere(endpoint.as_deref().unwrap_or(&choice.issuer), site)
        });
        let choices = self.settings.choices().map(|choice| Choice {
            name: (!self.settings.others.is_empty()).then_some(&*choice.choice),
            label: &choice.display_name,
        });
        pages::sign_in(
            status,
            &self.settings.prefix,
            &site.authority,
            target.as_str(),
            choices.collect(),
            elsewhere,
        )
    }

    fn trouble(&self, trouble: Trouble, headers: &HeaderMap, again: Option<Again>) -> Answer {
        pages::error(trouble, &self.settings.prefix, again, headers)
    }

    /// Takes back the session cookies that the request brought, and with `attempts` those of
    /// attempts too.
    fn deletions(&self, headers: &HeaderMap, site: &Site, attempts: bool) -> Vec<HeaderValue> {
        let attributes = Attributes::session(&self.settings, site);
        cookies::belonging(headers, &self.settings, true, attempts)
            .iter()
            .filter_map(|name| attributes.delete(name))
            .collect()
    }

    fn start_address(&self, choice: &Login, target: &Target) -> String {
        let target: String = byte_serialize(target.as_str().as_bytes()).collect();
        let named = match self.settings.others.is_empty() {
            true => String::new(),
            false => format!("&issuer={}", choice.choice),
        };
        format!("{}/start?rd={target}{named}", self.settings.prefix)
    }

    /// Where browsers are sent, when that is known without asking.
    fn authorization_endpoint_now(&self, choice: &Login) -> Option<Arc<str>> {
        match &choice.login_url {
            Some(url) => Some(url.clone()),
            None => {
                let metadata = self.sessions.keys().metadata_now(&choice.issuer)?;
                named(&metadata.authorization_endpoint).ok()
            }
        }
    }
}

/// The page on this host that a form was sent from.
fn form_page(request: &Parts, site: &Site) -> Option<String> {
    if matches!(request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let page: Uri = request.headers.get(REFERER)?.to_str().ok()?.parse().ok()?;
    let is_here = page.scheme_str() == Some(site.scheme())
        && page
            .authority()
            .is_some_and(|host| host.as_str().eq_ignore_ascii_case(&site.authority));
    is_here.then(|| {
        page.path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned()
    })
}

/// An endpoint that a discovery document names.
fn named(endpoint: &str) -> Result<Arc<str>, IssuerFault> {
    match endpoint {
        "" => Err(IssuerFault::Unreadable),
        endpoint => Ok(endpoint.into()),
    }
}

/// Whether `url` leads to another origin than the one that the browser is at.
fn is_elsewhere(url: &str, site: &Site) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return true;
    };
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => false,
        (Some(scheme), Some(authority)) => {
            scheme != site.scheme() || !authority.as_str().eq_ignore_ascii_case(&site.authority)
        }
        _ => true,
    }
}

/// A form that the request carries.
fn form<'a>(parts: &Parts, body: &'a Bytes) -> Option<&'a str> {
    let kind = parts.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_form = kind
        .split(';')
        .next()?
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded");
    (parts.method == Method::POST && is_form).then_some(())?;
    std::str::from_utf8(body).ok()
}
