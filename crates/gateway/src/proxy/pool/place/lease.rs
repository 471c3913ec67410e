//! What a request holds at a place while it is answered.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, Incoming};

use super::super::super::UpstreamFault;
use super::super::connection::Connection;
use super::Place;
use crate::body::Upload;

/// A request in flight at a place.
pub(crate) struct InFlight(Rc<Place>);

impl InFlight {
    /// One more; none when the cluster has as many as it may.
    pub(crate) fn begin(place: Rc<Place>) -> Result<Self, UpstreamFault> {
        let requests = &place.load.requests;
        let limit = place.traffic.max_requests;
        if limit.is_some_and(|limit| requests.get() >= limit) {
            return Err(UpstreamFault::Overflow);
        }
        requests.set(requests.get() + 1);
        place.in_flight.set(place.in_flight.get() + 1);
        Ok(Self(place))
    }

    /// Where.
    pub(crate) fn place(&self) -> &Rc<Place> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Place {
            in_flight, load, ..
        } = &*self.0;
        in_flight.set(in_flight.get() - 1);
        self.0.tell_next();
        load.requests.set(load.requests.get() - 1);
    }
}

/// A connection that an answer still comes over.
pub(crate) struct Lease {
    connection: Connection,
    in_flight: InFlight,
    upload: Option<Rc<Cell<Upload>>>,
}

impl Lease {
    /// `upload` tells whether the request's body is through; `None` when it had none.
    pub(crate) fn new(
        connection: Connection,
        in_flight: InFlight,
        upload: Option<Rc<Cell<Upload>>>,
    ) -> Self {
        Self {
            connection,
            in_flight,
            upload,
        }
    }

    /// The answer was read to its end: the connection may serve the next request, unless this one
    /// is still being sent.
    pub(crate) fn give_back(self) {
        let Self {
            connection,
            in_flight,
            upload,
        } = self;
        let is_through = upload.is_none_or(|upload| upload.get() == Upload::Done);
        if is_through || matches!(connection, Connection::Many(_)) {
            in_flight.place().keep(connection);
        } else {
            connection.let_go();
        }
    }

    /// Reads the answer's body.
    pub(crate) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.connection.poll_frame(incoming, cx)
    }
}
