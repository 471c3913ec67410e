//! Where passwords are hashed: few at a time, off the threads that serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Hashes at a time, so that sign-ins never take all cores.
const AT_ONCE: usize = 2;
/// Checks that may wait; at the usual cost the last one waits some eight seconds.
const WAITING: usize = 64;

/// The pool, with the queue before it.
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
    inside: AtomicUsize,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            inside: AtomicUsize::new(0),
        }
    }
}

/// Why nothing is known about a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordFault {
    /// The configured hash is none of an accepted kind and cost. The operator's fault.
    UnusableHash,
    /// Too many people are signing in.
    Busy,
}

impl Pool {
    /// Does `job`, which takes long, when its turn comes.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordFault> {
        let _inside = Inside::enter(&self.inside).ok_or(PasswordFault::Busy)?;
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| PasswordFault::Busy)?;
        tokio::task::spawn_blocking(move || {
            // Held by the job and not by the request: a browser that gives up frees no core.
            let _permit = permit;
            job()
        })
        .await
        .map_err(|_| PasswordFault::Busy)
    }
}

/// Counts those inside, also when they leave by being dropped.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let inside = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < AT_ONCE + WAITING).then_some(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_has_an_end() {
        let pool = Pool::default();
        assert_eq!(pool.work(|| 5).await, Ok(5));
        pool.inside.store(AT_ONCE + WAITING, Ordering::Relaxed);
        assert_eq!(pool.work(|| 5).await, Err(PasswordFault::Busy));
        assert_eq!(pool.inside.load(Ordering::Relaxed), AT_ONCE + WAITING);
    }
}
