//! Coming back from the issuer: the waiting between the pure steps of `flow::callback`.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use model::names::{Duration, Timestamp};
use model::snapshot::LoginShape;

use super::auth_service::landing;
use super::{LoginProxy, form};
use crate::cookies::{self, Attributes};
use crate::flow::attempt::cookie_name;
use crate::flow::callback::{CallbackFault, Redeemed, Returned};
use crate::flow::target::{Target, parameter};
use crate::keys::Source;
use crate::pages::{self, Again, Answer, Trouble};
use crate::sessions::{SessionCookie, StoreError};
use crate::site::Site;

/// A session that was begun just now.
struct Begun {
    target: Target,
    cookie: SessionCookie,
    lasts: Duration,
}

impl LoginProxy {
    pub(super) async fn callback(&self, parts: &Parts, body: &Bytes, site: &Site) -> Answer {
        let parameters = form(parts, body).or(parts.uri.query()).unwrap_or_default();
        let outcome = self.finish(parts, parameters, site).await;
        let spent = self.spent_attempt(parts, parameters, site);
        let answer = match outcome {
            Ok(begun) => self.welcome(&begun, parts, site),
            Err(fault) => self.unwelcome(fault, parts, parameters).await,
        };
        pages::with_cookies(answer, spent)
    }

    async fn finish(
        &self,
        parts: &Parts,
        parameters: &str,
        site: &Site,
    ) -> Result<Begun, CallbackFault> {
        let login = &*self.settings;
        let now = self.clock.now();
        let seal = self.sessions.seal();
        let place = (parts.uri.path(), &parts.headers);
        let returned = Returned::read(login, seal, site, place, parameters, now)?;
        let metadata = match &returned.choice().login_url {
            Some(_) => None,
            None => self.sessions.keys().metadata_now(&returned.choice().issuer),
        };
        let returned = returned.named_by(parameters, metadata.as_deref())?;
        let redeemed = self.redeem(returned).await?;
        let source = Source::of_login(redeemed.choice());
        let token = self
            .sessions
            .keys()
            .prove_given(redeemed.id_token(), &source)
            .await;
        let token = token.map_err(CallbackFault::Unproven)?;
        let choice = redeemed.choice();
        // The issuer may have taken its time.
        let proven = redeemed.proven(token.claims(), self.clock.now())?;
        let sessions = &*self.sessions;
        let user_info = sessions
            .user_info(choice, proven.claims(), proven.access_token())
            .await
            .map_err(CallbackFault::UserInfo)?;
        let now = self.clock.now();
        let signed_in = proven.signed_in(user_info.as_ref(), now)?;
        let lasts = span(now, signed_in.session.expires);
        let cookie = self
            .sessions
            .begin(&login.cookie_name, signed_in.session)
            .await
            .map_err(|error| {
                tracing::error!(%error, "a session cannot be kept");
                match error {
                    StoreError::TooLong(_) => CallbackFault::TooLong,
                    _ => CallbackFault::StoreUnavailable,
                }
            })?;
        Ok(Begun {
            target: signed_in.target,
            cookie,
            lasts,
        })
    }

    /// Trades the code for tokens.
    async fn redeem<'a>(&self, returned: Returned<'a>) -> Result<Redeemed<'a>, CallbackFault> {
        let form = returned.token_request();
        let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
        let clients = self.sessions.clients();
        let answer = clients.token(returned.choice(), &form).await;
        returned.answered(&answer.map_err(CallbackFault::Issuer)?)
    }

    fn welcome(&self, begun: &Begun, parts: &Parts, site: &Site) -> Answer {
        let login = &*self.settings;
        // With what an OAuth2 Proxy may have left beside it.
        let session = begun.cookie.set(login, site, &parts.headers, begun.lasts);
        let wanted = begun.target.location();
        let place = match &login.shape {
            LoginShape::OAuth2Proxy => wanted,
            LoginShape::AuthService(shape) => landing(shape, &wanted),
        };
        let answer = pages::redirect(place);
        pages::with_cookies(answer, session)
    }

    async fn unwelcome(&self, fault: CallbackFault, parts: &Parts, parameters: &str) -> Answer {
        let now = self.clock.now();
        // A tab that was finished late, or reloaded: its owner is signed in all the same.
        if matches!(fault, CallbackFault::Attempt(_))
            && self
                .sessions
                .person(&parts.headers, &self.settings, now)
                .await
                .is_ok()
        {
            let seal = self.sessions.seal();
            let target = parameter(parameters, "state")
                .and_then(|state| seal.find_target(&self.settings, &parts.headers, &state))
                .unwrap_or_else(Target::home);
            return pages::redirect(target.location());
        }
        let login = self.settings.key();
        match fault.is_senders() {
            true => tracing::debug!(login, ?fault, "nobody was signed in"),
            false => tracing::warn!(login, ?fault, "nobody was signed in"),
        }
        let address = format!("{}/sign_in", self.settings.prefix);
        let again = Again {
            address,
            label: "Sign in again",
        };
        let mut trouble = Trouble::of_callback(&fault);
        if let LoginShape::AuthService(_) = &self.settings.shape {
            let is_attempts = matches!(
                fault,
                CallbackFault::StateMalformed | CallbackFault::Attempt(_)
            );
            if is_attempts {
                trouble.status = StatusCode::BAD_REQUEST;
            }
            // It has no page of its own to begin at: any other does.
            let again = Again {
                address: "/".to_owned(),
                label: "Sign in again",
            };
            return self.trouble(trouble, &parts.headers, Some(again));
        }
        self.trouble(trouble, &parts.headers, Some(again))
    }

    /// Takes back the attempt's cookie, whatever came of it.
    fn spent_attempt(&self, parts: &Parts, parameters: &str, site: &Site) -> Option<HeaderValue> {
        let login = &*self.settings;
        let name = cookie_name(login, &parameter(parameters, "state")?);
        cookies::named(&parts.headers, &name).next()?;
        Attributes::attempt(login, site).delete(&name)
    }
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_secs(
        to.seconds()
            .saturating_sub(from.seconds())
            .max(0)
            .unsigned_abs(),
    )
}
