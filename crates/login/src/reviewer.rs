//! Whoever can tell whose token one is that no issuer's key proves, as a port: the API server of a
//! cluster.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What [`Reviewer::review`] gives back.
pub type Reviewed<'a> = Pin<Box<dyn Future<Output = Review> + Send + 'a>>;

/// Reviews tokens.
pub trait Reviewer: Send + Sync {
    /// Whose `token` is, if it is for one of `audiences`. One that cannot be reviewed is nobody's.
    fn review<'a>(&'a self, token: &'a str, audiences: &'a [Arc<str>]) -> Reviewed<'a>;
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Review {
    /// Nobody's, as far as the reviewer knows.
    Nobody,
    /// Somebody's, once.
    Expired,
    /// Theirs.
    Somebody {
        /// The user's name.
        name: String,
        /// Their groups.
        groups: Vec<String>,
    },
}
