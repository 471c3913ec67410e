//! WebSockets: after the upstream agreed, bytes go both ways untouched.

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::Permit;

use super::edits;
use crate::body::Body;
use crate::facts;
use crate::record::Entry;

/// Passes the upstream's 101 on and joins the two connections once both have switched. The request
/// is recorded when the tunnel ends.
pub(super) fn open(
    client: OnUpgrade,
    mut answer: Response<Incoming>,
    permit: &Permit,
    mut entry: Box<Entry>,
) -> Response<Body> {
    let upstream = hyper::upgrade::on(&mut answer);
    entry.status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    tokio::task::spawn_local(async move {
        let joined = async {
            let (client, upstream) = tokio::try_join!(client, upstream).ok()?;
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()
        };
        let copied = joined.await;
        if let Some((_, down)) = copied {
            entry.sent(usize::try_from(down).unwrap_or(usize::MAX));
        }
        entry.finish(copied.is_some());
    });
    facts::strip_answer(answer.headers_mut());
    if let Some(wanted) = permit.response_headers() {
        edits::apply(answer.headers_mut(), wanted);
    }
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.map(|_| Body::unrecorded())
}
