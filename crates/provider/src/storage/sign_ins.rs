//! Remembered sign-ins: one row each, found by the digest of what its cookie holds.

use model::names::{Duration, Timestamp};

use super::{Damaged, Store, StoreError, hashed, sql};
use crate::authorize::SignIn;
use crate::subject::subject;

/// How long a sign-in is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// Whatever happens.
    pub(crate) absolute: Duration,
    /// Without being used.
    pub(crate) idle: Duration,
}

/// Uses closer together than this are not written down.
const PAUSE: Duration = Duration::from_secs(60);

impl Store {
    /// Remembers `sign_in` under what the cookie will hold; one of the same `sid` is replaced, and
    /// its old cookie is worth nothing. `false` when that one is another person's.
    pub(crate) async fn remember_sign_in(
        &self,
        issuer: &str,
        cookie: &str,
        sign_in: &SignIn,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let details =
            serde_json::to_string(sign_in).map_err(|_| StoreError::Damaged(Damaged::SignIn))?;
        let person = &sign_in.person;
        let ends = now.plus(lifetimes.idle.min(lifetimes.absolute));
        let upsert = sql(
            "INSERT INTO sign_ins (sid, cookie_hash, issuer, subject, details, created_at, used_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $6, $7) \
             ON CONFLICT (sid) DO UPDATE SET cookie_hash = $2, details = $5, created_at = $6, \
             used_at = $6, expires_at = $7 \
             WHERE sign_ins.issuer = $3 AND sign_ins.subject = $4",
        )
        .bind(&sign_in.sid)
        .bind(hashed(cookie))
        .bind(issuer)
        .bind(subject(&person.user_id, &person.connector))
        .bind(details)
        .bind(now.seconds())
        .bind(ends.seconds());
        Ok(self.engine.run(upsert).await? == 1)
    }

    /// The sign-in of this `sid`.
    pub(crate) async fn sign_in_of(&self, sid: &str) -> Result<Option<SignIn>, StoreError> {
        let question = sql("SELECT details FROM sign_ins WHERE sid = $1").bind(sid);
        let Some(row) = self.engine.find(question).await? else {
            return Ok(None);
        };
        let read = serde_json::from_str(&row.text(0)?);
        read.map_err(|_| StoreError::Damaged(Damaged::SignIn))
            .map(Some)
    }

    /// The clients that a sign-in let in.
    pub(crate) async fn clients_of(&self, sid: &str) -> Result<Vec<String>, StoreError> {
        let question =
            sql("SELECT client_id FROM sign_in_clients WHERE sid = $1 ORDER BY client_id");
        let rows = self.engine.list(question.bind(sid)).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// The sign-in that a cookie names, if it is alive. Its use is written down.
    pub(crate) async fn sign_in(
        &self,
        issuer: &str,
        cookie: &str,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Result<Option<SignIn>, StoreError> {
        let question = sql("SELECT details, created_at, used_at FROM sign_ins \
             WHERE cookie_hash = $1 AND issuer = $2 AND expires_at > $3")
        .bind(hashed(cookie))
        .bind(issuer)
        .bind(now.seconds());
        let Some(row) = self.engine.find(question).await? else {
            return Ok(None);
        };
        let created = Timestamp::from_seconds(row.integer(1)?);
        let used = Timestamp::from_seconds(row.integer(2)?);
        // The lifetimes of today's configuration count.
        let last = created.plus(lifetimes.absolute);
        if last <= now || used.plus(lifetimes.idle) <= now {
            return Ok(None);
        }
        let sign_in: SignIn = serde_json::from_str(&row.text(0)?)
            .map_err(|_| StoreError::Damaged(Damaged::SignIn))?;
        if used.plus(PAUSE) <= now {
            let ends = now.plus(lifetimes.idle).seconds().min(last.seconds());
            let touch = sql("UPDATE sign_ins SET used_at = $1, expires_at = $2 \
                 WHERE sid = $3 AND used_at < $1");
            let touch = touch.bind(now.seconds()).bind(ends).bind(&sign_in.sid);
            self.engine.run(touch).await?;
        }
        Ok(Some(sign_in))
    }
}
