//! Failed sign-ins that a restart does not forgive.

use model::names::Timestamp;

use super::{Store, StoreError, sql};
use crate::attempts::{Budget, MEMORY, Overdrawn};

/// Read at once at most.
const READ: i64 = 10_000;

impl Store {
    /// Keeps budgets that are overdrawn.
    pub(crate) async fn keep_attempts(&self, overdrawn: &[Overdrawn]) -> Result<(), StoreError> {
        for one in overdrawn {
            let keep = sql(
                "INSERT INTO attempts (budget, failures, expires_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (budget) DO UPDATE SET failures = $2, expires_at = $3",
            )
            .bind(&one.budget[..])
            .bind(i64::from(one.count))
            .bind(one.last.plus(MEMORY).seconds());
            self.engine.run(keep).await?;
        }
        Ok(())
    }

    /// Forgets a budget that is whole again.
    pub(crate) async fn forget_attempts(&self, budget: &Budget) -> Result<(), StoreError> {
        let forget = sql("DELETE FROM attempts WHERE budget = $1").bind(&budget[..]);
        self.engine.run(forget).await?;
        Ok(())
    }

    /// Remembers what was overdrawn before this process, the first time that it is called.
    pub(crate) async fn recall_attempts(&self, now: Timestamp) -> Result<(), StoreError> {
        self.recalled
            .get_or_try_init(|| async {
                let question = sql(
                    "SELECT budget, failures, expires_at FROM attempts WHERE expires_at > $1 \
                     ORDER BY expires_at DESC LIMIT $2",
                );
                let question = question.bind(now.seconds()).bind(READ);
                let mut overdrawn = Vec::new();
                for row in self.engine.list(question).await? {
                    // A row that is none of ours forgives somebody, and no more.
                    let (Ok(budget), Ok(count)) =
                        (row.bytes(0)?.try_into(), u32::try_from(row.integer(1)?))
                    else {
                        continue;
                    };
                    overdrawn.push(Overdrawn {
                        budget,
                        count,
                        last: Timestamp::from_seconds(row.integer(2)?).minus(MEMORY),
                    });
                }
                self.attempts.recall(overdrawn);
                Ok::<(), StoreError>(())
            })
            .await?;
        Ok(())
    }
}
