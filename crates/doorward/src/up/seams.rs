//! The real clock and the real source of randomness: the only places that ask the system.

use std::time::{SystemTime, UNIX_EPOCH};

use model::names::Timestamp;
use model::seams::{Clock, Randomness};

/// The system clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock behind the seam")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: every token is then not valid yet, none is valid longer.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

/// The operating system's random numbers, through the crypto library.
pub(crate) struct SystemRandomness;

impl Randomness for SystemRandomness {
    #[expect(clippy::disallowed_methods, reason = "the one source behind the seam")]
    fn fill(&self, bytes: &mut [u8]) {
        // Fails only when the kernel has no randomness to give; going on with predictable secrets
        // would be worse than ending the process.
        aws_lc_rs::rand::fill(bytes).expect("the operating system gives random bytes");
    }
}
