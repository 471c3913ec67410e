//! Request bodies on their way to upstreams.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use model::names::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::{BodyFault, discard};
use crate::listen::Busy;

/// How far a request body got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    /// Not all of it was handed on.
    Running,
    /// All of it was.
    Done,
    /// The client stood still.
    Stalled,
    /// The client went away, or its framing is broken.
    Broken,
}

/// A request body on its way to an upstream.
pub(crate) enum ClientBody {
    /// No body at all.
    Empty,
    /// Passed through as it comes.
    Streaming(Streaming),
    /// Passed through, and remembered for a while.
    Taped(Player),
    /// Known whole: a copy.
    Copied(std::vec::IntoIter<Bytes>, u64),
}

impl ClientBody {
    /// Nobody will ask for it.
    pub(crate) fn discard(self, busy: Busy) {
        match self {
            Self::Streaming(streaming) => discard(streaming.incoming, busy),
            Self::Taped(player) => {
                if let Some(incoming) = player.tape.borrow_mut().source.take() {
                    discard(incoming.incoming, busy);
                }
            }
            Self::Empty | Self::Copied(..) => {}
        }
    }

    /// A body that is known whole.
    pub(crate) fn copied(chunks: Vec<Bytes>) -> Self {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::Copied(chunks.into_iter(), length)
    }
}

impl HttpBody for ClientBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(streaming) => streaming.poll_frame(cx),
            Self::Taped(player) => player.poll_frame(cx),
            Self::Copied(chunks, left) => {
                let chunk = chunks.next();
                *left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.incoming.is_end_stream(),
            Self::Taped(player) => player.is_at_end(),
            Self::Copied(chunks, _) => chunks.as_slice().is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(streaming) => streaming.incoming.size_hint(),
            Self::Taped(player) => player.tape.borrow().hint,
            Self::Copied(_, left) => SizeHint::with_exact(*left),
        }
    }
}

/// A body that is handed on as it comes.
pub(crate) struct Streaming {
    incoming: Incoming,
    limit: Duration,
    // Made when the client first keeps us waiting, then reused.
    patience: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    state: Rc<Cell<Upload>>,
}

impl Streaming {
    /// Streams `incoming`, of which the client may keep us waiting for `limit`; tells `state` how
    /// far it got.
    pub(crate) fn new(incoming: Incoming, limit: Duration, state: Rc<Cell<Upload>>) -> Self {
        Self {
            incoming,
            limit,
            patience: None,
            waiting: false,
            state,
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.poll_patience(cx));
                self.state.set(Upload::Stalled);
                return Poll::Ready(Some(Err(BodyFault::Stalled)));
            }
        };
        self.waiting = false;
        match &frame {
            Some(Err(_)) => self.state.set(Upload::Broken),
            Some(Ok(_)) if !self.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => self.state.set(Upload::Done),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyFault::Wire)))
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            patience.as_mut().reset(Instant::now() + limit);
        }
        patience.as_mut().poll(cx)
    }
}

/// A body that may be needed again: for another attempt, or for a copy elsewhere. Cloning it makes
/// no other body.
#[derive(Clone)]
pub(crate) struct Tape(Rc<RefCell<Recording>>);

struct Recording {
    // `None` once nobody will read on.
    source: Option<Streaming>,
    state: Rc<Cell<Upload>>,
    hint: SizeHint,
    ended: bool,
    kept: Vec<Kept>,
    // Bytes that may still be kept; `None` keeps nothing more.
    room: Option<usize>,
    // The newest player: an older one must not take what the newer one needs.
    run: u32,
    copy: Option<Copying>,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

struct Copying {
    chunks: Vec<Bytes>,
    room: usize,
    wholes: Vec<oneshot::Sender<Vec<Bytes>>>,
}

impl Tape {
    /// Records `source`: at most `room` bytes of it.
    pub(crate) fn new(source: Streaming, room: usize) -> Self {
        let hint = source.incoming.size_hint();
        // What is known to be too long is not kept in vain.
        let fits = hint.lower() <= room as u64;
        Self(Rc::new(RefCell::new(Recording {
            state: Rc::clone(&source.state),
            hint,
            source: Some(source),
            ended: false,
            kept: Vec::new(),
            room: fits.then_some(room),
            run: 0,
            copy: None,
        })))
    }

    /// Gives the whole body to the receiver once it has passed, unless it has more than `room`
    /// bytes.
    pub(crate) fn copy(&self, room: usize) -> oneshot::Receiver<Vec<Bytes>> {
        let (whole, receiver) = oneshot::channel();
        let mut recording = self.0.borrow_mut();
        if recording.hint.lower() <= room as u64 {
            let copying = recording.copy.get_or_insert_with(|| Copying {
                chunks: Vec::new(),
                room,
                wholes: Vec::new(),
            });
            copying.wholes.push(whole);
        }
        receiver
    }

    /// The body from its beginning; `None` when that is gone.
    pub(crate) fn play(&self) -> Option<ClientBody> {
        let mut recording = self.0.borrow_mut();
        if recording.run > 0 && recording.room.is_none() {
            return None;
        }
        recording.run += 1;
        if !recording.kept.is_empty() || recording.ended {
            recording.state.set(Upload::Running);
        }
        Some(ClientBody::Taped(Player {
            tape: Rc::clone(&self.0),
            run: recording.run,
            at: 0,
        }))
    }

    /// Whether [`Self::play`] would start over.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.borrow().room.is_some()
    }

    /// It will not be played again.
    pub(crate) fn forget(&self) {
        self.0.borrow_mut().room = None;
    }
}

/// One reading of a [`Tape`].
pub(crate) struct Player {
    tape: Rc<RefCell<Recording>>,
    run: u32,
    at: usize,
}

impl Player {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let recording = &mut *self.tape.borrow_mut();
        if recording.run != self.run {
            return Poll::Ready(Some(Err(BodyFault::Superseded)));
        }
        if let Some(kept) = recording.kept.get(self.at) {
            self.at += 1;
            let frame = match kept.clone() {
                Kept::Data(data) => Frame::data(data),
                Kept::Trailers(trailers) => Frame::trailers(trailers),
            };
            if self.at == recording.kept.len() {
                if recording.room.is_none() {
                    recording.kept = Vec::new();
                    self.at = 0;
                }
                if recording.is_at_end() {
                    recording.state.set(Upload::Done);
                }
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if recording.ended {
            recording.state.set(Upload::Done);
            return Poll::Ready(None);
        }
        let Some(source) = &mut recording.source else {
            return Poll::Ready(Some(Err(BodyFault::Superseded)));
        };
        let frame = ready!(source.poll_frame(cx));
        if recording.note(&frame) {
            self.at += 1;
        }
        Poll::Ready(frame)
    }

    fn is_at_end(&self) -> bool {
        let recording = self.tape.borrow();
        self.at >= recording.kept.len() && recording.is_at_end()
    }
}

impl Recording {
    fn is_at_end(&self) -> bool {
        let source = self.source.as_ref();
        self.ended || source.is_none_or(|source| source.incoming.is_end_stream())
    }

    /// Keeps what passes, if it fits; true when it was kept.
    fn note(&mut self, frame: &Option<Result<Frame<Bytes>, BodyFault>>) -> bool {
        match frame {
            Some(Ok(frame)) => {
                if let (Some(copy), Some(data)) = (&mut self.copy, frame.data_ref()) {
                    match copy.room.checked_sub(data.len()) {
                        Some(room) => {
                            copy.room = room;
                            copy.chunks.push(data.clone());
                        }
                        None => self.copy = None,
                    }
                }
                if self.is_at_end() {
                    self.hand_over();
                }
                self.keep(frame)
            }
            None => {
                self.ended = true;
                self.hand_over();
                false
            }
            Some(Err(_)) => {
                self.ended = true;
                self.room = None;
                self.copy = None;
                false
            }
        }
    }

    fn hand_over(&mut self) {
        if let Some(Copying { chunks, wholes, .. }) = self.copy.take() {
            for whole in wholes {
                // Whoever wanted it may be gone.
                let _ = whole.send(chunks.clone());
            }
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(room) = self.room else { return false };
        let length = frame.data_ref().map_or(0, Bytes::len);
        self.room = room.checked_sub(length);
        if self.room.is_none() {
            self.kept = Vec::new();
            return false;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return false,
        };
        self.kept.push(kept);
        true
    }
}
