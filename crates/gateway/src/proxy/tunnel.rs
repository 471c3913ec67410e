//! WebSockets: after the upstream agreed, bytes go both ways untouched.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::Permit;

use super::edits;
use super::pool::InFlight;
use crate::body::Body;
use crate::counted::{Counted, Counts};
use crate::facts;
use crate::record::Entry;

/// Passes the upstream's 101 on and joins the two connections once both have switched; a client of
/// HTTP/2 is told 200 instead (RFC 8441 §5). The request is recorded when the tunnel ends.
pub(super) fn open(
    client: OnUpgrade,
    mut answer: Response<Incoming>,
    permit: &Permit,
    extended: bool,
    in_flight: InFlight,
    mut entry: Box<Entry>,
) -> Response<Body> {
    let upstream = hyper::upgrade::on(&mut answer);
    let status = if extended {
        StatusCode::OK
    } else {
        StatusCode::SWITCHING_PROTOCOLS
    };
    entry.status = status.as_u16();
    tokio::task::spawn_local(async move {
        let _in_flight = in_flight;
        let switched = tokio::try_join!(client, upstream);
        if let Ok((client, upstream)) = switched {
            let counts = Counts::default();
            let mut client = Counted::new(TokioIo::new(client), &counts);
            let mut upstream = TokioIo::new(upstream);
            // However one side ends, that is the end of a tunnel: browsers just go away.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            entry.sent(counts.written.get());
            entry.finish(true);
        } else {
            entry.finish(false);
        }
    });
    facts::strip_answer(answer.headers_mut());
    for wanted in permit.response_headers() {
        edits::apply(answer.headers_mut(), wanted);
    }
    let headers = answer.headers_mut();
    if extended {
        headers.remove(SEC_WEBSOCKET_ACCEPT);
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    *answer.status_mut() = status;
    answer.map(|_| Body::unrecorded())
}
