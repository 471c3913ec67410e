//! One published document: fetched by one caller at a time, renewed behind the others' backs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use model::names::{Duration, Timestamp};
use model::seams::Clock;

use crate::issuer::IssuerFault;

/// Something an issuer publishes.
pub(super) struct Held<T> {
    value: ArcSwapOption<Fetched<T>>,
    /// Unix seconds of the latest attempt to fetch it; `i64::MIN` when there was none.
    tried: AtomicI64,
    renewing: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

struct Fetched<T> {
    value: Arc<T>,
    at: Timestamp,
}

impl<T> Held<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            value: ArcSwapOption::empty(),
            tried: AtomicI64::new(i64::MIN),
            renewing: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// What is held, and since when.
    pub(super) fn now(&self) -> Option<(Arc<T>, Timestamp)> {
        self.value
            .load()
            .as_ref()
            .map(|fetched| (fetched.value.clone(), fetched.at))
    }

    /// Holds `value` from now on.
    pub(super) fn keep(&self, value: Arc<T>, at: Timestamp) {
        self.value.store(Some(Arc::new(Fetched { value, at })));
    }

    /// Whether the latest attempt to fetch it was less than `span` ago.
    pub(super) fn tried_within(&self, span: Duration, now: Timestamp) -> bool {
        self.tried.load(Ordering::Relaxed) > now.minus(span).seconds()
    }

    /// Fetches, one caller at a time. A caller who waited takes what the one before it brought.
    pub(super) async fn fetch<F>(
        &self,
        pause: Duration,
        clock: &dyn Clock,
        fetch: impl FnOnce(Option<Arc<T>>) -> F,
    ) -> Result<Arc<T>, IssuerFault>
    where
        F: Future<Output = Result<Arc<T>, IssuerFault>>,
    {
        let before = self.now();
        let turn = self.turn.lock().await;
        let current = self.now();
        if let Some((value, at)) = &current
            && before.as_ref().is_none_or(|(_, seen)| at > seen)
        {
            return Ok(value.clone());
        }
        if self.tried_within(pause, clock.now()) {
            return current
                .map(|(value, _)| value)
                .ok_or(IssuerFault::TriedJustNow);
        }
        let fetched = fetch(current.map(|(value, _)| value)).await;
        // Only now: those who wait for this fetch must not be told that it failed.
        let now = clock.now();
        self.tried.store(now.seconds(), Ordering::Relaxed);
        if let Ok(value) = &fetched {
            self.keep(value.clone(), now);
        }
        drop(turn);
        fetched
    }
}

/// Runs a renewal apart from the request that noticed the need, at most one at a time.
pub(super) fn in_background<T, F>(held: Arc<Held<T>>, renew: impl FnOnce() -> F + Send + 'static)
where
    T: Send + Sync + 'static,
    F: Future<Output = Option<IssuerFault>> + Send + 'static,
{
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    if held.renewing.swap(true, Ordering::AcqRel) {
        return;
    }
    runtime.spawn(async move {
        if let Some(fault) = renew().await
            && fault != IssuerFault::TriedJustNow
        {
            tracing::warn!(%fault, "an issuer's documents cannot be renewed; the old ones stay");
        }
        held.renewing.store(false, Ordering::Release);
    });
}
