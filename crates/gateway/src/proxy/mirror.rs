//! Copies of requests: sent and forgotten. Nothing here can slow or fail the request itself.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use hyper::body::Body as _;
use model::names::Duration;
use model::snapshot::{Mirror, PlayedBy};
use policy::Permit;
use tokio::sync::oneshot;

use super::exchange::{Answered, Exchange, Kind};
use super::pool::{Choice, Lease, Pool, Setup};
use super::spare::Spare;
use crate::body::{ClientBody, Tape};
use crate::record::MirrorFate;

/// Time for a copy, from its first byte to the end of its answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of a body that are kept for a copy; a request with more is not copied.
pub(super) const ROOM: usize = 256 * 1024;
/// Copies in flight of one worker.
const MOST: u32 = 256;
/// Bytes of an answer that are read to keep the connection.
const READ: usize = 1024 * 1024;

/// A copy in flight; dropped when it has ended.
struct Running(Rc<Setup>);

impl Running {
    fn begin(setup: &Rc<Setup>) -> Option<Self> {
        let running = setup.mirrors.get();
        (running < MOST).then(|| {
            setup.mirrors.set(running + 1);
            Self(Rc::clone(setup))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.mirrors.set(self.0.mirrors.get() - 1);
    }
}

/// Sends a copy of `request` to everybody who gets one. `tape` has its body.
pub(super) fn send(
    pool: &Pool,
    permit: &Permit,
    request: &Request<ClientBody>,
    tape: Option<&Tape>,
) {
    for mirror in permit.mirrors() {
        let Mirror {
            destination,
            share: _,
        } = mirror;
        let running =
            Running::begin(&pool.setup).filter(|_| destination.played_by == PlayedBy::Upstream);
        let Some(running) = running else {
            pool.setup.shard.mirrored(MirrorFate::Dropped);
            continue;
        };
        let copy = Copy {
            head: Spare::of(request),
            body: tape.map(|tape| tape.copy(ROOM)),
            choice: Choice {
                draw: permit.draw(),
                hash: None,
            },
            running,
        };
        let cluster = pool.cluster(destination);
        tokio::task::spawn_local(async move {
            let setup = Rc::clone(&copy.running.0);
            let sent = tokio::time::timeout(LIMIT, copy.run(cluster)).await;
            setup.shard.mirrored(sent.unwrap_or(MirrorFate::Failed));
        });
    }
}

struct Copy {
    head: Spare,
    body: Option<oneshot::Receiver<Vec<Bytes>>>,
    choice: Choice,
    running: Running,
}

impl Copy {
    async fn run(self, cluster: Rc<super::pool::Cluster>) -> MirrorFate {
        let Self {
            head,
            body,
            choice,
            running,
        } = self;
        let body = match body {
            None => ClientBody::Empty,
            Some(body) => match body.await {
                Ok(chunks) => ClientBody::copied(chunks),
                Err(_) => return MirrorFate::Dropped,
            },
        };
        let shard = Arc::clone(&running.0.shard);
        let request = head.with(body);
        let kind = Kind::default();
        let mut exchange = Exchange::new(cluster, None, choice, kind, (request, None), &shard);
        let Ok(answered) = exchange.run().await else {
            return MirrorFate::Failed;
        };
        let Answered {
            response,
            connection,
            in_flight,
        } = answered;
        let mut answer = response.into_body();
        let mut lease = Lease::new(connection, in_flight, None);
        let mut left = READ;
        while !answer.is_end_stream() {
            match std::future::poll_fn(|cx| lease.poll_frame(&mut answer, cx)).await {
                None => break,
                Some(Err(_)) => return MirrorFate::Failed,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match left.checked_sub(length) {
                        Some(less) => left = less,
                        None => return MirrorFate::Sent,
                    }
                }
            }
        }
        lease.give_back();
        MirrorFate::Sent
    }
}
