//! What other processes do to sessions is heard here, and what requests do to them is told.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use model::names::{Duration, Timestamp};
use tokio::sync::mpsc;

use super::Sessions;
use super::store::{Changes, Cursor, StoreError};
use super::value::Name;

/// How often the store is asked what has changed. What is ended anywhere is over everywhere within
/// this and the time that the answer takes.
const EVERY: Duration = Duration::from_millis(250);

/// How often it is asked when it does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Sessions shown that the store has not heard of yet, at most.
const SHOWN: usize = 16 * 1024;

/// Told at once.
const TOGETHER: usize = 256;

/// When changes were heard of last.
pub(super) struct Hearing {
    /// Nobody else changes anything as long as nobody listens.
    heard: AtomicI64,
    /// Since when the store does not answer; `i64::MAX` while it does.
    silent: AtomicI64,
    /// Counts what was heard.
    pub(super) rounds: AtomicU64,
    /// Sessions that were shown.
    shown: mpsc::Sender<(Name, Timestamp, Timestamp)>,
    waiting: Mutex<Option<mpsc::Receiver<(Name, Timestamp, Timestamp)>>>,
}

impl Hearing {
    pub(super) fn new() -> Self {
        let (shown, waiting) = mpsc::channel(SHOWN);
        Self {
            heard: AtomicI64::new(i64::MAX),
            silent: AtomicI64::new(i64::MAX),
            rounds: AtomicU64::new(0),
            shown,
            waiting: Mutex::new(Some(waiting)),
        }
    }

    /// Whether memory may be trusted: endings were heard of not longer than `grace` ago.
    pub(super) fn is_recent(&self, now: Timestamp, grace: Duration) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        Timestamp::from_seconds(heard).plus(grace) >= now
    }

    /// The store shall hear that a session was shown. Where too many are, it hears of it later.
    pub(super) fn tell(&self, name: Name, seen: Timestamp, kept: Timestamp) {
        let _ = self.shown.try_send((name, seen, kept));
    }
}

impl Sessions {
    /// From now on what other processes end is over here too, and the store hears which sessions are
    /// in use. Until then this process believes to be alone. The tasks end with the last reference.
    pub fn follow(self: &Arc<Self>) {
        if self.sealed.is_some() {
            return;
        }
        let waiting = self.hearing.waiting.lock();
        let Some(waiting) = waiting.ok().and_then(|mut waiting| waiting.take()) else {
            return;
        };
        self.hearing
            .heard
            .store(self.clock.now().seconds(), Ordering::Relaxed);
        tokio::spawn(hear(Arc::downgrade(self)));
        tokio::spawn(tell(Arc::downgrade(self), waiting));
    }

    /// What is wrong with the store now, and since when.
    pub fn alarm(&self) -> Option<String> {
        let since = self.hearing.silent.load(Ordering::Relaxed);
        if since == i64::MAX {
            return None;
        }
        let seconds = self.clock.now().seconds().saturating_sub(since).max(0);
        let grace = i64::try_from(self.grace.as_secs()).unwrap_or(i64::MAX);
        let left = grace.saturating_sub(seconds).max(0);
        Some(format!(
            "the session store has not answered for {seconds} seconds: nobody can sign in, and sessions in memory go on for {left} more"
        ))
    }

    async fn hear(&self, cursor: &mut Option<Cursor>) -> Result<bool, StoreError> {
        // Before the question: what changes meanwhile is heard of the next time.
        let now = self.clock.now();
        let changes = match cursor {
            Some(cursor) => self.store.changes(*cursor).await?,
            None => Changes::Unknown(self.store.cursor().await?),
        };
        let are_more = match changes {
            Changes::Of(names, next) => {
                for name in &names {
                    self.live.remove(name);
                }
                *cursor = Some(next);
                !names.is_empty()
            }
            Changes::Unknown(next) => {
                self.live.clear();
                *cursor = Some(next);
                false
            }
        };
        self.hearing.heard.store(now.seconds(), Ordering::Relaxed);
        self.hearing.rounds.fetch_add(1, Ordering::Relaxed);
        Ok(are_more)
    }

    fn answered(&self, answer: &Result<bool, StoreError>) {
        let now = self.clock.now().seconds();
        let silent = &self.hearing.silent;
        match answer {
            Err(error) => {
                let (order, none) = (Ordering::Relaxed, i64::MAX);
                if silent.compare_exchange(none, now, order, order).is_ok() {
                    let grace = self.grace.as_secs();
                    tracing::error!(%error, "the session store does not answer: nobody can sign in, and sessions in memory go on for {grace} seconds");
                }
            }
            Ok(_) => {
                let since = silent.swap(i64::MAX, Ordering::Relaxed);
                if since != i64::MAX {
                    let seconds = now.saturating_sub(since);
                    tracing::info!(seconds, "the session store answers again");
                }
            }
        }
    }
}

async fn hear(sessions: Weak<Sessions>) {
    let mut cursor = None;
    while let Some(sessions) = sessions.upgrade() {
        let answer = sessions.hear(&mut cursor).await;
        sessions.answered(&answer);
        drop(sessions);
        match answer {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(EVERY).await,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn tell(sessions: Weak<Sessions>, mut waiting: mpsc::Receiver<(Name, Timestamp, Timestamp)>) {
    let mut shown = Vec::with_capacity(TOGETHER);
    while waiting.recv_many(&mut shown, TOGETHER).await > 0 {
        while let Some(one) = shown.last() {
            let Some(sessions) = sessions.upgrade() else {
                return;
            };
            let (name, seen, kept) = one;
            match sessions.store.touch(name, *seen, *kept).await {
                Err(error) if error.is_outage() => {
                    drop(sessions);
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the session store was not told that a session is in use");
                    shown.pop();
                }
                Ok(()) => {
                    shown.pop();
                }
            }
        }
    }
}
