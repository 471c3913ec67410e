//! The byte stream of one client, with or without TLS.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use model::names::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::frame_guard::{FrameGuard, Head};
use super::head_guard::HeadGuard;
use super::preface::Preface;
use super::pulse::Pulse;
use crate::maybe_tls::MaybeTls;
use crate::record::Shard;

/// A place among the open connections of the process.
pub(super) struct Slot {
    open: Arc<AtomicUsize>,
    shard: Arc<Shard>,
}

impl Slot {
    /// Takes a place; `None` when `limit` places are taken.
    pub(super) fn take(open: &Arc<AtomicUsize>, limit: usize, shard: &Arc<Shard>) -> Option<Self> {
        if open.fetch_add(1, Relaxed) >= limit {
            open.fetch_sub(1, Relaxed);
            shard.refused();
            return None;
        }
        shard.accepted();
        Some(Self {
            open: Arc::clone(open),
            shard: Arc::clone(shard),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
        self.shard.closed();
    }
}

/// A TCP stream that tells whether the client takes what it is sent.
pub(super) struct Line {
    stream: TcpStream,
    pulse: Arc<Pulse>,
}

impl Line {
    /// Tells `pulse`.
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }

    fn note<T>(&self, result: Poll<T>) -> Poll<T> {
        match &result {
            Poll::Pending => self.pulse.blocked(),
            Poll::Ready(_) => self.pulse.wrote(),
        }
        result
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Bytes that are read after the last answer although nobody wants them.
const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// For how long they are read.
const LINGER: Duration = Duration::from_secs(5);

/// A client's stream, as HTTP reads it.
pub(super) struct Wire {
    // None once it is dropped.
    open: Option<Closing>,
    pulse: Arc<Pulse>,
    preface: Preface,
    guard: Guard,
    written: u64,
    closer: Closer,
}

/// Where streams go that were dropped before anything was said of their end.
pub(super) type Closer = UnboundedSender<Closing>;

/// A stream to its end. It holds a place among the open connections.
pub(super) struct Closing {
    stream: MaybeTls<Line, TlsStream<Line>>,
    farewell: Farewell,
    _slot: Slot,
}

/// Watches what a client sends.
enum Guard {
    /// HTTP/1 heads.
    Heads(HeadGuard),
    /// HTTP/2 frames.
    Frames(Box<FrameGuard>),
}

/// How far the end of a connection has come.
enum Farewell {
    /// Nothing of it.
    No,
    /// The client was told that nothing more comes; it may still be sending.
    Said {
        left: usize,
        patience: Pin<Box<Sleep>>,
    },
}

impl Wire {
    /// `heads` says whether HTTP/1 heads are read off this stream, or HTTP/2 frames.
    pub(super) fn new(
        stream: MaybeTls<Line, TlsStream<Line>>,
        pulse: Arc<Pulse>,
        heads: bool,
        slot: Slot,
        closer: Closer,
    ) -> Self {
        Self {
            open: Some(Closing {
                stream,
                farewell: Farewell::No,
                _slot: slot,
            }),
            pulse,
            preface: Preface::default(),
            guard: if heads {
                Guard::Heads(HeadGuard::default())
            } else {
                Guard::Frames(Box::default())
            },
            written: 0,
            closer,
        }
    }

    fn poll_open<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut MaybeTls<Line, TlsStream<Line>>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.open {
            Some(open) => poll(Pin::new(&mut open.stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Whether the client begins HTTP/2 by itself; its frames are watched from then on.
    pub(super) fn poll_begins_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match self.preface.is_http2() {
                None => {}
                Some(true) => {
                    self.guard = Guard::Frames(Box::default());
                    return Poll::Ready(Ok(true));
                }
                Some(false) => return Poll::Ready(Ok(false)),
            }
            let Some(open) = &mut self.open else {
                return Poll::Ready(Ok(false));
            };
            let mut buffer = ReadBuf::new(self.preface.room());
            ready!(Pin::new(&mut open.stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(false));
            }
            self.preface.fill(read);
            self.pulse.reads_head();
        }
    }

    fn count(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = &result {
            self.written += *written as u64;
        }
        result
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // hyper drops a connection without a word when a request for an upgrade was refused on it.
        if let Some(open) = self.open.take()
            && matches!(open.farewell, Farewell::No)
            && !self.pulse.is_cut_off()
        {
            // Where nobody takes it any more, the worker is gone, and so is the connection.
            let _ = self.closer.send(open);
        }
    }
}

impl Closing {
    /// Brings it to its end.
    pub(super) async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.poll_close(cx));
        // However it goes, this was the last of it.
        let _ = tokio::time::timeout(LINGER, end).await;
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.farewell, Farewell::No) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.farewell = Farewell::Said {
                left: LINGER_BYTES,
                patience: Box::pin(tokio::time::sleep(LINGER)),
            };
        }
        ready!(self.poll_linger(cx));
        Poll::Ready(Ok(()))
    }

    /// Reads what the client still sends, until it hangs up too. A socket that is closed with
    /// unread bytes is reset, and a client that is reset loses the answer (RFC 9112 §9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Farewell::Said { left, patience } = &mut self.farewell else {
            return Poll::Ready(());
        };
        let line = match &mut self.stream {
            MaybeTls::Plain(line) => line,
            // What comes is thrown away: it need not be decrypted.
            MaybeTls::Tls(stream) => stream.get_mut().0,
        };
        let mut scrap = [MaybeUninit::uninit(); 16 * 1024];
        while patience.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut scrap);
            match ready!(Pin::new(&mut *line).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() && *left >= buffer.filled().len() => {
                    *left -= buffer.filled().len();
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if !this.preface.give(buffer) {
            ready!(this.poll_open(|stream| stream.poll_read(cx, buffer)))?;
        }
        let fresh = &mut buffer.filled_mut()[before..];
        match &mut this.guard {
            Guard::Heads(guard) => {
                if this.pulse.in_flight() == 0 && !fresh.is_empty() {
                    this.pulse.reads_head();
                    guard.inspect(fresh, this.pulse.requests());
                }
            }
            Guard::Frames(guard) => match guard.inspect(fresh, this.written) {
                Ok(Head::Open) => this.pulse.reads_head(),
                Ok(Head::Whole) => this.pulse.has_head(),
                Err(flood) => {
                    // Not one byte more of it.
                    this.pulse.cut_off();
                    return Poll::Ready(Err(flood));
                }
            },
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.poll_open(|stream| stream.poll_write(cx, bytes));
        self.count(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.poll_open(|stream| stream.poll_write_vectored(cx, slices));
        self.count(result)
    }

    fn is_write_vectored(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.open {
            Some(open) => open.poll_close(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
