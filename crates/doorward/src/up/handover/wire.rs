//! Lines of JSON over a Unix socket, some with file descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Said;

/// Descriptors with one line; the kernel carries at most 253 (`SCM_MAX_FD`).
pub(super) const AT_ONCE: usize = 128;

/// No line is longer.
const LONGEST: usize = 64 * 1024;

/// One end of a conversation.
pub(super) struct Wire {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// Came and were not taken yet.
    pub(super) descriptors: VecDeque<OwnedFd>,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// The user at the other end.
    pub(super) fn user(&self) -> io::Result<u32> {
        Ok(self.stream.peer_cred()?.uid())
    }

    /// Says a line, with at most [`AT_ONCE`] descriptors.
    pub(super) async fn say(&self, said: &Said, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut line = serde_json::to_vec(said)?;
        line.push(b'\n');
        let mut left = line.as_slice();
        let mut with = with;
        while !left.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
                    let mut ancillary = SendAncillaryBuffer::new(&mut space);
                    if !with.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(with)) {
                        return Err(io::ErrorKind::InvalidInput.into());
                    }
                    let bytes = [IoSlice::new(left)];
                    let flags = SendFlags::NOSIGNAL;
                    Ok(sendmsg(self.stream.as_fd(), &bytes, &mut ancillary, flags)?)
                })
                .await?;
            left = left.get(sent..).unwrap_or_default();
            // They went with the first byte.
            with = &[];
        }
        Ok(())
    }

    /// The next line; `None` when the other end is gone.
    pub(super) async fn hear(&mut self) -> io::Result<Option<Said>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.bytes.len() > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match self.receive().await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                // How a process that was killed with unread words ends.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the other end is gone, whatever it says before.
    pub(super) async fn ended(&mut self) {
        loop {
            self.bytes.clear();
            self.descriptors.clear();
            if let Ok(0) | Err(_) = self.receive().await {
                return;
            }
        }
    }

    async fn receive(&mut self) -> io::Result<usize> {
        let Self {
            stream,
            bytes,
            descriptors,
        } = self;
        let mut buffer = [0; 4096];
        let received = stream
            .async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let received = recvmsg(
                    stream.as_fd(),
                    &mut [IoSliceMut::new(&mut buffer)],
                    &mut ancillary,
                    RecvFlags::CMSG_CLOEXEC,
                )?;
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        descriptors.extend(rights);
                    }
                }
                Ok(received.bytes)
            })
            .await?;
        bytes.extend_from_slice(buffer.get(..received).unwrap_or_default());
        Ok(received)
    }
}
