//! WebSockets: after the upstream agreed, bytes go both ways untouched.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::Permit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::edits;
use super::pool::InFlight;
use crate::body::Body;
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
            let mut client = Counted {
                stream: TokioIo::new(client),
                written: 0,
            };
            let mut upstream = TokioIo::new(upstream);
            // However one side ends, that is the end of a tunnel: browsers just go away.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            entry.sent(client.written);
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

/// Counts what the client gets.
struct Counted<T> {
    stream: T,
    written: usize,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &result {
            self.written += *written;
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
