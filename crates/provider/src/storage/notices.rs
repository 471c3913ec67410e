//! The end of a sign-in, and the clients that have yet to be told of it.

use model::names::{Duration, Timestamp};

use super::{Store, StoreError, sql};
use crate::authorize::SignIn;
use crate::subject::subject;

/// Somebody to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) subject: String,
    pub(crate) sid: String,
    attempts: i64,
}

/// How long a client is told again and again.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Pause after the first try, seconds; it doubles.
const PAUSE: i64 = 30;

impl Store {
    /// Ends a sign-in: with it go the refresh tokens of the clients in `ended`, and `notices` (client
    /// and a name of its own) are written down.
    pub(crate) async fn end_sign_in(
        &self,
        issuer: &str,
        sign_in: &SignIn,
        notices: &[(&str, String)],
        ended: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let person = &sign_in.person;
        let mut transaction = self.engine.begin().await?;
        let row = sql("DELETE FROM sign_ins WHERE sid = $1").bind(&sign_in.sid);
        // Somebody else ended it: they tell.
        if transaction.run(row).await? == 0 {
            return Ok(());
        }
        let clients = sql("DELETE FROM sign_in_clients WHERE sid = $1").bind(&sign_in.sid);
        transaction.run(clients).await?;
        for client in ended {
            let families = sql(
                "DELETE FROM refresh_families WHERE issuer = $1 AND session = $2 AND client_id = $3",
            );
            let families = families.bind(issuer).bind(&sign_in.sid).bind(client);
            transaction.run(families).await?;
        }
        for (client, id) in notices {
            let insert = sql(
                "INSERT INTO logout_notices (id, issuer, client_id, subject, sid, attempts, next_at, \
                 expires_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $7)",
            )
            .bind(id)
            .bind(issuer)
            .bind(*client)
            .bind(subject(&person.user_id, &person.connector))
            .bind(&sign_in.sid)
            .bind(now.seconds())
            .bind(now.plus(PATIENCE).seconds());
            transaction.run(insert).await?;
        }
        transaction.commit().await
    }

    /// Who has to be told now.
    pub(crate) async fn due_notices(
        &self,
        issuer: &str,
        at_most: i64,
        now: Timestamp,
    ) -> Result<Vec<Notice>, StoreError> {
        let question = sql(
            "SELECT id, client_id, subject, sid, attempts FROM logout_notices \
             WHERE issuer = $1 AND next_at <= $2 AND expires_at > $2 ORDER BY next_at LIMIT $3",
        );
        let question = question.bind(issuer).bind(now.seconds()).bind(at_most);
        let rows = self.engine.list(question).await?;
        rows.iter()
            .map(|row| {
                Ok(Notice {
                    id: row.text(0)?,
                    client: row.text(1)?,
                    subject: row.text(2)?,
                    sid: row.text(3)?,
                    attempts: row.integer(4)?,
                })
            })
            .collect()
    }

    /// Takes a notice for one try; `false` when another process has. Unless it is dropped, it is due
    /// again later.
    pub(crate) async fn take_notice(
        &self,
        notice: &Notice,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let pause = PAUSE << notice.attempts.clamp(0, 10);
        let take = sql(
            "UPDATE logout_notices SET attempts = attempts + 1, next_at = $1 \
             WHERE id = $2 AND attempts = $3",
        );
        let take = take
            .bind(now.seconds() + pause)
            .bind(&notice.id)
            .bind(notice.attempts);
        Ok(self.engine.run(take).await? == 1)
    }

    /// The client knows.
    pub(crate) async fn drop_notice(&self, id: &str) -> Result<(), StoreError> {
        let row = sql("DELETE FROM logout_notices WHERE id = $1").bind(id);
        self.engine.run(row).await?;
        Ok(())
    }
}
