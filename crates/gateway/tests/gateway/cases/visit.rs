//! One request, byte for byte as a case has it, on a connection of its own.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a client was answered.
pub(super) struct Seen {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) text: String,
}

impl Seen {
    pub(super) fn new(status: u16, headers: Vec<(String, String)>, text: String) -> Self {
        Self {
            status,
            headers,
            text,
        }
    }

    /// The first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| &**value)
    }

    /// All values of a header, joined.
    pub(super) fn joined(&self, name: &str) -> Option<String> {
        let named = self.headers.iter().filter(|(other, _)| other == name);
        let values: Vec<&str> = named.map(|(_, value)| &**value).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    fn read(answer: &str) -> Self {
        let (head, text) = answer.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self {
            status: status.and_then(|text| text.parse().ok()).expect("a status"),
            headers: headers.collect(),
            text: text.to_owned(),
        }
    }
}

/// Sends a request and reads until the gateway closes.
pub(super) async fn visit(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(String, String)],
) -> Seen {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!("{method} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // Whatever is said of a connection that was cut, what was said before it counts.
    let _ = tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("it closes");
    Seen::read(&String::from_utf8_lossy(&answer))
}
