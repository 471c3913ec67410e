//! Beginning sessions.

use model::names::Duration;

use super::store::{Record, StoreError};
use super::value::CookieValue;
use super::{NewSession, SessionCookie, Sessions};
use crate::flow::identity::Identity;

/// How long, and how often, a new session is offered to a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);

impl Sessions {
    /// Keeps a session under a cookie that was never used before, and gives what it carries. It is
    /// durable when this returns. The code that it came from is spent: a store that does not answer is
    /// waited for as long as people do.
    pub(crate) async fn begin(
        &self,
        cookie_name: &str,
        session: NewSession,
    ) -> Result<SessionCookie, StoreError> {
        let NewSession {
            login,
            issuer,
            sid,
            identity,
            id_token,
            access_token,
            shows_access_token,
            refresh_token,
            tokens,
            created,
            expires,
        } = session;
        let Identity {
            user,
            email,
            groups,
            preferred_username,
        } = identity;
        let record = Record {
            login,
            issuer,
            user,
            sid,
            email,
            groups,
            preferred_username,
            id_token,
            access_token,
            refresh_token,
            tokens,
            created,
            expires: self.lifetimes.ends(created, expires),
        };
        if let Some(sealed) = &self.sealed {
            let body = sealed.body(cookie_name, &record, &*self.randomness)?;
            return Ok(SessionCookie::Sealed(body));
        }
        let mut left = PATIENCE;
        loop {
            let error = match self.keep(&record, shows_access_token).await {
                Err(error) if error.is_outage() => error,
                kept => return kept.map(SessionCookie::Drawn),
            };
            left = left.checked_sub(AGAIN).ok_or(error)?;
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn keep(
        &self,
        record: &Record,
        shows_access_token: bool,
    ) -> Result<CookieValue, StoreError> {
        // Another one each time: the store may have taken the one before, and not said so.
        let value = self.stamp.draw(&*self.randomness);
        let name = value.name();
        let kept = self.lifetimes.kept(record.created, record.expires);
        // The place to remember it: ended before it is remembered, it is not.
        let place = self.live.get_value_or_guard_async(&name).await.err();
        self.store
            .insert(&name, record, kept, &*self.randomness)
            .await?;
        if let Some(place) = place.filter(|_| self.trusts_memory(record.created)) {
            let _ = place.insert(self.held(record.clone(), shows_access_token, record.created));
        }
        Ok(value)
    }
}
