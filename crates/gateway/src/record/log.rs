//! Log lines: gathered on the worker, handed over in batches, written by one thread. A writer that
//! cannot keep up loses lines; it never slows a request down.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

use model::names::{Duration, Timestamp};

use super::{Entry, Shard, line};

/// A batch is handed over when it has this many bytes, or when the worker's clock ticks: each wakes
/// the writer, which on a busy core costs as much as a request.
const BATCH: usize = 64 * 1024;
/// Batches that may wait for the writer.
const WAITING: usize = 64;

/// Where access log lines go.
pub struct LogSink(Option<Box<dyn Write + Send>>);

impl LogSink {
    /// To `writer`, from a thread of its own.
    pub fn writing(writer: impl Write + Send + 'static) -> Self {
        Self(Some(Box::new(writer)))
    }

    /// Nowhere.
    pub fn none() -> Self {
        Self(None)
    }

    /// Starts the writing thread, which ends when every [`Writer`] is gone.
    pub(crate) fn open(self) -> io::Result<Option<(Writer, JoinHandle<()>)>> {
        let Some(mut out) = self.0 else {
            return Ok(None);
        };
        let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let thread = std::thread::Builder::new()
            .name("doorward-log".into())
            .spawn(move || {
                for batch in receiver {
                    // A log that cannot be written must not stop the door.
                    let _ = out.write_all(&batch).and_then(|()| out.flush());
                }
            })?;
        Ok(Some((Writer(sender), thread)))
    }
}

/// The way to the writing thread.
#[derive(Clone)]
pub(crate) struct Writer(SyncSender<Vec<u8>>);

/// Lines of one worker.
pub(crate) struct Lines {
    pub(super) pending: RefCell<Vec<u8>>,
    pub(super) count: Cell<u64>,
    pub(super) second: RefCell<(i64, String)>,
    pub(super) writer: Option<Writer>,
    pub(super) shard: Arc<Shard>,
}

impl Lines {
    /// Adds the line of `entry`.
    pub(super) fn write(&self, entry: &Entry, duration: Duration, complete: bool) {
        self.add(entry.time, |out, time| {
            line::write(out, entry, time, duration, complete);
        });
    }

    /// Adds the line that `write` makes of the time as text.
    pub(super) fn add(&self, time: Timestamp, write: impl FnOnce(&mut Vec<u8>, &str)) {
        if self.writer.is_none() {
            return;
        }
        let mut second = self.second.borrow_mut();
        if second.0 != time.seconds() {
            *second = (time.seconds(), rfc3339(time.seconds()));
        }
        let mut pending = self.pending.borrow_mut();
        write(&mut pending, &second.1);
        pending.push(b'\n');
        self.count.set(self.count.get() + 1);
        if pending.len() >= BATCH {
            drop(pending);
            self.hand_over();
        }
    }

    /// Gives what is pending to the writer, or drops and counts it.
    pub(crate) fn hand_over(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            return;
        }
        let count = self.count.take();
        let Some(writer) = &self.writer else { return };
        let batch = std::mem::replace(&mut *pending, Vec::with_capacity(BATCH + 1024));
        if let Err(refused) = writer.0.try_send(batch) {
            self.shard.lost(count);
            let (mpsc::TrySendError::Full(batch) | mpsc::TrySendError::Disconnected(batch)) =
                refused;
            *pending = batch;
            pending.clear();
        }
    }
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        assert_eq!(rfc3339(1_795_000_000), "2026-11-18T11:06:40Z");
    }

    #[test]
    fn a_writer_that_cannot_keep_up_loses_lines_and_they_are_counted() {
        let shard = Arc::new(Shard::default());
        let (sender, receiver) = mpsc::sync_channel(1);
        let lines = Lines {
            pending: RefCell::new(Vec::new()),
            count: Cell::new(0),
            second: RefCell::new((0, String::new())),
            writer: Some(Writer(sender)),
            shard: Arc::clone(&shard),
        };
        for _ in 0..3 {
            lines.pending.borrow_mut().extend_from_slice(b"{}\n{}\n");
            lines.count.set(2);
            lines.hand_over();
        }
        assert_eq!(receiver.try_iter().count(), 1);
        assert_eq!(shard.lines_lost(), 4);
    }
}
