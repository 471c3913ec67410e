//! The byte stream to an upstream, with or without TLS, and how many there are.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;

use crate::maybe_tls::MaybeTls;

/// Connections of one place. Atomics only because an upgraded connection must be `Send`; one thread
/// uses them.
#[derive(Debug, Default)]
pub(super) struct Openings {
    here: AtomicU32,
    cluster: Arc<AtomicU32>,
    /// Told when a connection is free, or gone.
    pub(super) freed: Notify,
}

impl Openings {
    /// Counts into `cluster` too.
    pub(super) fn new(cluster: Arc<AtomicU32>) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            ..Self::default()
        })
    }

    /// Takes a place for one more connection. A place without any always gets one, or requests that
    /// fell on it would wait for ever.
    pub(super) fn take(self: &Arc<Self>, limit: Option<u32>) -> Option<Opened> {
        let is_full = limit.is_some_and(|limit| self.cluster.load(Relaxed) >= limit);
        if is_full && self.here.load(Relaxed) > 0 {
            return None;
        }
        self.here.fetch_add(1, Relaxed);
        self.cluster.fetch_add(1, Relaxed);
        Some(Opened(Arc::clone(self)))
    }
}

/// A connection among the others; dropped with it.
pub(super) struct Opened(Arc<Openings>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Relaxed);
        self.0.cluster.fetch_sub(1, Relaxed);
        self.0.freed.notify_one();
    }
}

/// A counted stream.
pub(super) struct Wire {
    stream: MaybeTls<TcpStream, TlsStream<TcpStream>>,
    _opened: Opened,
}

impl Wire {
    /// Counts `stream` until it is gone.
    pub(super) fn new(stream: MaybeTls<TcpStream, TlsStream<TcpStream>>, opened: Opened) -> Self {
        Self {
            stream,
            _opened: opened,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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
