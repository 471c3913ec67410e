//! The first bytes of a plain connection, which say whether the client speaks HTTP/2 without having
//! asked (RFC 9113 §3.3).

use tokio::io::ReadBuf;

/// What such a client begins with (RFC 9113 §3.4). No request of HTTP/1 does.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Keeps the bytes that had to be read to tell, for whoever reads the connection next.
#[derive(Debug, Default)]
pub(super) struct Preface {
    bytes: [u8; PREFACE.len()],
    filled: usize,
    given: usize,
}

impl Preface {
    /// Whether it is HTTP/2; none while more bytes are needed to tell.
    pub(super) fn is_http2(&self) -> Option<bool> {
        let begun = &self.bytes[..self.filled];
        if !PREFACE.starts_with(begun) {
            return Some(false);
        }
        (self.filled == PREFACE.len()).then_some(true)
    }

    /// Room for the bytes that are needed.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// So many bytes were put there.
    pub(super) fn fill(&mut self, more: usize) {
        self.filled = (self.filled + more).min(self.bytes.len());
    }

    /// Gives the bytes back, as many as fit. Whether there were any.
    pub(super) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.bytes[self.given..self.filled];
        let fit = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..fit]);
        self.given += fit;
        fit > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> (Preface, Option<bool>) {
        let mut preface = Preface::default();
        for piece in pieces {
            preface.room()[..piece.len()].copy_from_slice(piece);
            preface.fill(piece.len());
        }
        let told = preface.is_http2();
        (preface, told)
    }

    #[test]
    fn whole_prefaces_only_are_http_2() {
        assert_eq!(read(&[PREFACE]).1, Some(true));
        let bytes: Vec<&[u8]> = PREFACE.chunks(1).collect();
        assert_eq!(read(&bytes).1, Some(true));
        assert_eq!(read(&[]).1, None);
        assert_eq!(read(&[b"P"]).1, None);
        assert_eq!(read(&[&PREFACE[..23]]).1, None);
        assert_eq!(read(&[b"POST /"]).1, Some(false));
        assert_eq!(read(&[b"P", b"U"]).1, Some(false));
        assert_eq!(read(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\t"]).1, Some(false));
    }

    #[test]
    fn what_was_read_is_read_once_more_and_no_further_time() {
        let (mut preface, _) = read(&[b"GET ", b"/"]);
        let (mut first, mut second) = ([0; 3], [0; 8]);
        assert!(preface.give(&mut ReadBuf::new(&mut first)));
        let mut rest = ReadBuf::new(&mut second);
        assert!(preface.give(&mut rest));
        assert_eq!((&first[..], rest.filled()), (&b"GET"[..], &b" /"[..]));
        assert!(!preface.give(&mut rest));
    }
}
