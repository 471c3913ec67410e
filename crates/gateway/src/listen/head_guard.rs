//! Refuses bare line feeds in request heads.
//!
//! RFC 9112 §2.2 lets a recipient take a lone LF for a line end; a proxy in front that does not
//! would see other headers than we do. The HTTP parser accepts them, so the LF is made a NUL here,
//! which it answers with 400.

/// Watches the bytes of one request head after the other.
#[derive(Debug, Default)]
pub(super) struct HeadGuard {
    // Requests that had been read when this head began.
    head_of: u32,
    ended: bool,
    last: u8,
    line: usize,
    lines: usize,
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
                self.line += bytes.len() - at;
                break;
            };
            let end = at + found;
            let before = if end == 0 { self.last } else { bytes[end - 1] };
            if before != b'\r' {
                bytes[end] = 0;
            }
            let length = self.line + found;
            // Empty lines before a request line are tolerated (RFC 9112 §2.2).
            self.ended = length == 1 && self.lines > 0;
            self.lines += usize::from(length > 1);
            self.line = 0;
            at = end + 1;
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
    }
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
    fn the_next_head_is_watched_again() {
        let mut guard = HeadGuard::default();
        inspected(&mut guard, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
        assert_eq!(
            inspected(&mut guard, "GET / HTTP/1.1\n", 1),
            "GET / HTTP/1.1\0"
        );
    }
}
