//! Addresses as Go writes them: `host:port`, `:port`, `http://host:port`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// Why nothing can be bound there. The operator is at fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddressFault {
    text: String,
    help: &'static str,
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, help } = self;
        write!(f, "`{text}` cannot be listened at\nhelp: {help}")
    }
}

/// Reads an address. Without a host it is every address of this machine.
pub(crate) fn address(text: &str) -> Result<SocketAddr, AddressFault> {
    let fault = |help| AddressFault {
        text: text.to_owned(),
        help,
    };
    if text.starts_with("unix:") || text.starts_with("fd:") {
        return Err(fault("sockets of files are not served: write `HOST:PORT`"));
    }
    let bare = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .unwrap_or(text)
        .trim_end_matches('/');
    let (host, port) = bare
        .rsplit_once(':')
        .ok_or_else(|| fault("write `HOST:PORT`"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| fault("the port is a number from 0 to 65535"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let found = (host, port).to_socket_addrs().ok();
    found
        .and_then(|mut found| found.next())
        .ok_or_else(|| fault("the host is not one of this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_writes_them() {
        for (text, wanted) in [
            ("127.0.0.1:4180", "127.0.0.1:4180"),
            (":4180", "0.0.0.0:4180"),
            ("http://0.0.0.0:80/", "0.0.0.0:80"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(address(text), Ok(wanted.parse().unwrap()), "{text}");
        }
        for text in [
            "unix:///run/x",
            "fd:3",
            "4180",
            "127.0.0.1:http",
            "127.0.0.1:70000",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
