//! What is swapped whole: the snapshot and the local services that were built from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use model::Snapshot;
use policy::decision::{Served, SignIn};

/// The services that are answered in this process. They run on the runtime that
/// [`crate::Gateway::start`] was called on, never on a worker of the data plane.
///
/// Requests carry the served host in `host`, the scheme that the browser used in
/// `x-forwarded-proto`, and path and query as the route rewrote them. One for KFAM carries the
/// [`policy::membership::Caller`] among its extensions, if it is known. For a file of a directory
/// they are as they were received.
pub trait Local: Send + Sync {
    /// Answers a request for one of the local services.
    fn serve(
        &self,
        what: &Served,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

    /// Tells somebody to sign in.
    fn sign_in(
        &self,
        sign_in: &SignIn,
        request: Parts,
    ) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;
}

/// One state of the world. Requests in flight finish on the one they started with.
pub struct World {
    /// What the manifests say.
    pub snapshot: Arc<Snapshot>,
    /// The local services, with the same indexes.
    pub local: Arc<dyn Local>,
}
