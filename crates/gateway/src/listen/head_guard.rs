//! Refuses request heads that a proxy in front may have read in another way.
//!
//! RFC 9112 §2.2 lets a recipient take a lone LF for a line end; a proxy in front that does not
//! would see other headers than we do. RFC 9112 §6.1 lets a server refuse a `Content-Length` beside
//! a `Transfer-Encoding`, which may be an attempt to smuggle a request. The HTTP parser accepts the
//! one and forgets the other, so the line's LF is made a NUL here, which it answers with 400.

const CODING: &[u8] = b"transfer-encoding:";
const LENGTH: &[u8] = b"content-length:";

/// Watches the bytes of one request head after the other.
#[derive(Debug, Default)]
pub(super) struct HeadGuard {
    // Requests that had been read when this head began.
    head_of: u32,
    ended: bool,
    last: u8,
    line: usize,
    lines: usize,
    // How the line began whose end is still to come.
    beginning: [u8; CODING.len()],
    has_coding: bool,
    has_length: bool,
}

impl HeadGuard {
    /// Looks at bytes that came while no request was being answered, `requests` heads after the
    /// beginning.
    pub(super) fn inspect(&mut self, bytes: &mut [u8], requests: u32) {
        if self.head_of != requests {
            *self = Self {
                head_of: requests,
                ..Self::default()
            };
        }
        let mut at = 0;
        while !self.ended {
            let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
                self.begin(&bytes[at..]);
                break;
            };
            let end = at + found;
            let before = if end == 0 { self.last } else { bytes[end - 1] };
            let length = self.line + found;
            if self.line == 0 {
                self.note(&bytes[at..end]);
            } else {
                self.begin(&bytes[at..end]);
                let beginning = self.beginning;
                self.note(&beginning[..length.min(CODING.len())]);
            }
            if before != b'\r' || (self.has_coding && self.has_length) {
                bytes[end] = 0;
            }
            // Empty lines before a request line are tolerated (RFC 9112 §2.2).
            self.ended = length == 1 && self.lines > 0;
            self.lines += usize::from(length > 1);
            self.line = 0;
            at = end + 1;
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Keeps the beginning of a line that comes in pieces.
    fn begin(&mut self, piece: &[u8]) {
        let rest = self.beginning.iter_mut().skip(self.line);
        for (kept, byte) in rest.zip(piece) {
            *kept = *byte;
        }
        self.line += piece.len();
    }

    /// Looks at a header line, of which the name is enough.
    fn note(&mut self, line: &[u8]) {
        match line.first() {
            Some(b't' | b'T') => self.has_coding |= begins(line, CODING),
            Some(b'c' | b'C') => self.has_length |= begins(line, LENGTH),
            _ => {}
        }
    }
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(guard: &mut HeadGuard, text: &str, requests: u32) -> String {
        let mut bytes = text.as_bytes().to_vec();
        guard.inspect(&mut bytes, requests);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_well_formed_head_passes_in_any_pieces() {
        let head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nbody\nwith\nfeeds";
        for cut in 0..head.len() {
            let mut guard = HeadGuard::default();
            let (a, b) = head.split_at(cut);
            assert_eq!(
                inspected(&mut guard, a, 0) + &inspected(&mut guard, b, 0),
                head,
                "{cut}"
            );
        }
    }

    #[test]
    fn a_lone_line_feed_becomes_a_nul_wherever_the_head_is_cut() {
        let head = "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n";
        for cut in 0..head.len() {
            let mut guard = HeadGuard::default();
            let (a, b) = head.split_at(cut);
            let seen = inspected(&mut guard, a, 0) + &inspected(&mut guard, b, 0);
            assert_eq!(seen, "GET / HTTP/1.1\r\nHost: a\0X: b\r\n\r\n", "{cut}");
        }
        let mut guard = HeadGuard::default();
        assert_eq!(
            inspected(&mut guard, "GET / HTTP/1.1\r\nHost: a\r\n\n", 0),
            "GET / HTTP/1.1\r\nHost: a\r\n\0"
        );
    }

    #[test]
    fn a_length_beside_a_coding_becomes_a_nul_wherever_the_head_is_cut() {
        let before = "POST / HTTP/1.1\r\nHost: a\r\n";
        let pairs = [
            "Content-Length: 4\r\nTRANSFER-encoding: chunked\r\n",
            "transfer-encoding:chunked\r\nContent-LENGTH:4\r\n",
            "Content-Length: 4\r\nX: y\r\nTransfer-Encoding:\r\n",
        ];
        for pair in pairs {
            let head = format!("{before}{pair}\r\n");
            let refused = head.len() - 3;
            for cut in 0..head.len() {
                let mut guard = HeadGuard::default();
                let (a, b) = head.split_at(cut);
                let seen = inspected(&mut guard, a, 0) + &inspected(&mut guard, b, 0);
                assert_eq!(&seen[..refused], &head[..refused], "{cut}");
                assert_eq!(seen.as_bytes()[refused], 0, "{cut}: {pair}");
            }
            // One byte at a time.
            let mut guard = HeadGuard::default();
            let seen: String = head
                .split_inclusive(|_| true)
                .map(|piece| inspected(&mut guard, piece, 0))
                .collect();
            assert_eq!(seen.as_bytes()[refused], 0, "{pair}");
        }
    }

    #[test]
    fn one_of_the_two_alone_passes_and_so_do_names_that_only_look_like_them() {
        for lines in [
            "Content-Length: 4\r\nContent-Length: 4\r\n",
            "Transfer-Encoding: chunked\r\nX: content-length: 4\r\n",
            "Content-Length: 4\r\nTransfer-Encodings: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Lengths: 4\r\nC\r\n",
        ] {
            let head = format!("POST / HTTP/1.1\r\n{lines}\r\ncontent-length: 1\r\n");
            for cut in 0..head.len() {
                let mut guard = HeadGuard::default();
                let (a, b) = head.split_at(cut);
                let seen = inspected(&mut guard, a, 0) + &inspected(&mut guard, b, 0);
                assert_eq!(seen, head, "{cut}");
            }
        }
    }

    #[test]
    fn the_next_head_is_watched_again() {
        let mut guard = HeadGuard::default();
        inspected(&mut guard, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
        assert_eq!(
            inspected(&mut guard, "GET / HTTP/1.1\n", 1),
            "GET / HTTP/1.1\0"
        );
    }
}
