//! A byte stream whose bytes are counted: what a client says and gets while others talk to it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes went by.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Read off the stream.
    pub(crate) read: Cell<u64>,
    /// Written to it.
    pub(crate) written: Cell<u64>,
}

impl Counts {
    /// Both ways.
    pub(crate) fn total(&self) -> u64 {
        self.read.get() + self.written.get()
    }
}

/// A stream, and where its bytes are counted.
pub(crate) struct Counted<'c, T> {
    stream: T,
    counts: &'c Counts,
}

impl<'c, T> Counted<'c, T> {
    /// Counts into `counts`.
    pub(crate) fn new(stream: T, counts: &'c Counts) -> Self {
        Self { stream, counts }
    }
}

fn add(count: &Cell<u64>, bytes: usize) {
    count.set(count.get() + bytes as u64);
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        add(&self.counts.read, buffer.filled().len() - before);
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &result {
            add(&self.counts.written, *written);
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
