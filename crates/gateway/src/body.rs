//! Bodies on their way through: never gathered, never boxed.

mod upload;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::names::Duration;
use tokio::time::Sleep;

pub(crate) use upload::{ClientBody, Streaming, Tape, Upload};

use crate::listen::Busy;
use crate::proxy::Lease;
use crate::record::Entry;

/// Bytes of a request body that are read although nobody wants them.
const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// For how long they are read.
const LINGER: Duration = Duration::from_secs(5);

/// Reads and drops what is left of a request body that nobody wanted, so that the connection can
/// serve the next request. `busy` says meanwhile that what comes is no head.
pub(crate) fn discard(mut unwanted: Incoming, busy: Busy) {
    tokio::task::spawn_local(tokio::time::timeout(LINGER, async move {
        let _busy = busy;
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = unwanted.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => break,
            }
        }
    }));
}

/// Why a body broke off.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// The other side failed.
    Wire(hyper::Error),
    /// The client stood still for too long.
    Stalled,
    /// The route's timeout passed.
    Timeout,
    /// Another attempt took over.
    Superseded,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => error.fmt(f),
            Self::Stalled => f.write_str("the client sent nothing for too long"),
            Self::Timeout => f.write_str("the route's timeout passed"),
            Self::Superseded => f.write_str("another attempt took over"),
        }
    }
}

impl std::error::Error for BodyFault {}

/// An answer's body on its way to the client. The log line is written when it ends, however it
/// ends.
pub(crate) struct Body {
    content: Content,
    entry: Option<Box<Entry>>,
}

/// What an answer consists of.
pub(crate) enum Content {
    /// Nothing.
    Empty,
    /// Made here.
    Full(Bytes),
    /// Streamed from an upstream.
    Upstream(Download),
}

/// An upstream's answer while it is being read.
pub(crate) struct Download {
    /// The stream.
    pub(crate) incoming: Incoming,
    /// The connection it comes over, to be used again.
    pub(crate) lease: Option<Lease>,
    /// How it broke off, to be told once the client was sent what came before.
    pub(crate) broken: Option<hyper::Error>,
    /// End of the route's timeout.
    pub(crate) deadline: Option<Pin<Box<Sleep>>>,
}

impl Download {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = match &mut self.lease {
            Some(lease) => lease.poll_frame(&mut self.incoming, cx),
            None => Pin::new(&mut self.incoming).poll_frame(cx),
        };
        match polled {
            Poll::Ready(Some(Err(error))) => {
                // The server closes at once when it hears of it, and may have sent nothing yet.
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }
}

impl Body {
    /// A body whose end is recorded in `entry`.
    pub(crate) fn new(content: Content, entry: Box<Entry>) -> Self {
        Self {
            content,
            entry: Some(entry),
        }
    }

    /// A body that leaves no trace: its request is recorded elsewhere.
    pub(crate) fn unrecorded() -> Self {
        Self {
            content: Content::Empty,
            entry: None,
        }
    }

    fn settle(&mut self, complete: bool) {
        if let Content::Upstream(download) = &mut self.content
            && let Some(lease) = download.lease.take()
            && complete
        {
            lease.give_back();
        }
        if let Some(entry) = self.entry.take() {
            entry.finish(complete);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // A HEAD answer or a 304 is never read, yet it is whole.
        let complete = match &self.content {
            Content::Empty | Content::Full(_) => true,
            Content::Upstream(download) => download.incoming.is_end_stream(),
        };
        self.settle(complete);
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        let download = match &mut this.content {
            Content::Empty => return Poll::Ready(None),
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.content = Content::Empty;
                if let Some(entry) = &mut this.entry {
                    entry.sent(bytes.len() as u64);
                }
                this.settle(true);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Content::Upstream(download) => download,
        };
        let Poll::Ready(frame) = download.poll_frame(cx) else {
            let deadline = download.deadline.as_mut();
            if deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
                this.settle(false);
                return Poll::Ready(Some(Err(BodyFault::Timeout)));
            }
            return Poll::Pending;
        };
        match frame {
            Some(Ok(frame)) => {
                if let (Some(entry), Some(data)) = (&mut this.entry, frame.data_ref()) {
                    entry.sent(data.len() as u64);
                }
                if download.incoming.is_end_stream() {
                    this.settle(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.settle(false);
                Poll::Ready(Some(Err(BodyFault::Wire(error))))
            }
            None => {
                this.settle(true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(bytes) => bytes.is_empty(),
            Content::Upstream(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Upstream(download) => download.incoming.size_hint(),
        }
    }
}
