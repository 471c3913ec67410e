//! Cuts off HTTP/2 clients that make work without asking for anything.
//!
//! Most frames of a client ask for something or bring a body. Those that only want an answer from
//! the protocol itself (PING, SETTINGS), take back what was asked (RST_STREAM) or say nothing (empty
//! DATA and CONTINUATION) cost the client less than the server. A client may send them, in
//! proportion to what it asks for; one that sends little else is a flood (CVE-2019-9512, -9513,
//! -9515, -9516, -9518, CVE-2023-44487, CVE-2024-27316).

use std::io;

/// What stands before the first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;
const HEAD: usize = 9;

/// Idle frames that anybody may send.
const SPARE: u64 = 1_000;
/// Idle frames for each one that asks or brings something: PINGs that measure a path go with DATA.
const PER_FRAME: u64 = 4;
/// Requests that anybody may take back; beyond these, half of those asked.
const TAKEN_BACK: u64 = 200;
/// Bytes that each WINDOW_UPDATE must have been sent for, on average.
const WINDOW: u64 = 32;

/// Watches the frames of one connection.
#[derive(Debug)]
pub(super) struct FrameGuard {
    // Bytes to pass over: the preface, then the payload of the frame at hand.
    skip: usize,
    head: [u8; HEAD],
    filled: usize,
    useful: u64,
    idle: u64,
    requests: u64,
    taken_back: u64,
    windows: u64,
    is_in_head: bool,
}

/// What a stretch of bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// No head of a request is open.
    Whole,
    /// One has begun whose end is still to come.
    Open,
}

impl Default for FrameGuard {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            filled: 0,
            useful: 0,
            idle: 0,
            requests: 0,
            taken_back: 0,
            windows: 0,
            is_in_head: false,
        }
    }
}

impl FrameGuard {
    /// Looks at bytes that came; `written` have gone out on the connection.
    ///
    /// # Errors
    /// When the client is a flood.
    pub(super) fn inspect(&mut self, mut bytes: &[u8], written: u64) -> io::Result<Head> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let wanted = (HEAD - self.filled).min(bytes.len());
            let (now, rest) = bytes.split_at(wanted);
            self.head[self.filled..self.filled + wanted].copy_from_slice(now);
            self.filled += wanted;
            bytes = rest;
            if self.filled == HEAD {
                self.filled = 0;
                self.frame(written)?;
            }
        }
        Ok(if self.is_in_head {
            Head::Open
        } else {
            Head::Whole
        })
    }

    fn frame(&mut self, written: u64) -> io::Result<()> {
        const END_HEADERS: u8 = 4;
        const END_STREAM: u8 = 1;
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = length;
        match kind {
            // DATA: an empty one that ends nothing says nothing.
            0 if length > 0 || flags & END_STREAM != 0 => self.useful += 1,
            // HEADERS.
            1 => {
                self.useful += 1;
                self.requests += 1;
                self.is_in_head = flags & END_HEADERS == 0;
            }
            // RST_STREAM.
            3 => self.taken_back += 1,
            // WINDOW_UPDATE.
            8 => self.windows += 1,
            // CONTINUATION.
            9 => {
                self.idle += u64::from(length == 0);
                self.is_in_head &= flags & END_HEADERS == 0;
            }
            _ => self.idle += 1,
        }
        let flood = if self.idle > SPARE + PER_FRAME * self.useful {
            "frames that say nothing"
        } else if self.taken_back > TAKEN_BACK.max(self.requests / 2) {
            "requests taken back"
        } else if self.windows > SPARE + PER_FRAME * self.useful + written / WINDOW {
            "window updates"
        } else {
            return Ok(());
        };
        tracing::debug!(flood, "an HTTP/2 client was cut off");
        Err(io::Error::other("a flood of HTTP/2 frames"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD + payload, 0);
        bytes
    }

    fn begun() -> FrameGuard {
        let mut guard = FrameGuard::default();
        guard.inspect(&[0; PREFACE], 0).unwrap();
        guard
    }

    /// How many frames pass, up to a hundred thousand.
    fn passing(frames: &[Vec<u8>]) -> usize {
        let mut guard = begun();
        let all = frames.iter().cycle().take(100_000);
        all.take_while(|frame| guard.inspect(frame, 0).is_ok())
            .count()
    }

    #[test]
    fn floods_are_cut_off() {
        assert_eq!(passing(&[frame(6, 0, 8)]), 1_000, "PING");
        assert_eq!(passing(&[frame(4, 0, 0)]), 1_000, "SETTINGS");
        assert_eq!(passing(&[frame(0, 0, 0)]), 1_000, "empty DATA");
        assert_eq!(passing(&[frame(2, 0, 5)]), 1_000, "PRIORITY");
        assert_eq!(passing(&[frame(9, 0, 0)]), 1_000, "empty CONTINUATION");
        assert_eq!(passing(&[frame(8, 0, 4)]), 1_000, "WINDOW_UPDATE");
        assert_eq!(
            passing(&[frame(1, 5, 10), frame(3, 0, 4)]),
            401,
            "rapid reset"
        );
    }

    #[test]
    fn who_asks_for_something_is_not() {
        let asking = [frame(1, 5, 40), frame(6, 0, 8), frame(4, 1, 0)];
        assert_eq!(passing(&asking), 100_000);
        let uploading = [frame(0, 0, 1000), frame(6, 0, 8)];
        assert_eq!(passing(&uploading), 100_000);
        let cancelling = [frame(1, 5, 40), frame(1, 5, 40), frame(3, 0, 4)];
        assert_eq!(passing(&cancelling), 100_000);
        let mut guard = begun();
        for round in 0..100_000 {
            guard.inspect(&frame(8, 0, 4), round * 1000).unwrap();
        }
    }

    #[test]
    fn frames_are_found_in_any_pieces() {
        let stream = [
            vec![0; PREFACE],
            frame(1, 0, 300),
            frame(9, 0, 7),
            frame(9, 4, 0),
            frame(0, 1, 5),
        ]
        .concat();
        let heads_open = |piece: usize| -> Vec<usize> {
            let mut guard = FrameGuard::default();
            let mut at = 0;
            let mut open = Vec::new();
            for bytes in stream.chunks(piece) {
                at += bytes.len();
                if guard.inspect(bytes, 0).unwrap() == Head::Open {
                    open.push(at);
                }
            }
            assert_eq!((guard.useful, guard.idle, guard.requests), (2, 1, 1));
            open
        };
        let open = heads_open(1);
        assert_eq!(open.first(), Some(&(PREFACE + HEAD)));
        assert_eq!(open.len(), 300 + HEAD + 7 + HEAD);
        assert_eq!(heads_open(stream.len()), Vec::<usize>::new());
    }
}
