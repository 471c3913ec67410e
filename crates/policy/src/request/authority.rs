//! `Host` and `:authority`.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::Unreadable;

/// Lower case, no trailing dot, the port as sent; and where the host ends.
pub(super) fn read(authority: &str) -> Result<(Cow<'_, str>, usize), Unreadable> {
    let (host, port) = split(authority)?;
    let name = if host.starts_with('[') {
        host
    } else {
        host.strip_suffix('.').unwrap_or(host)
    };
    if !host.starts_with('[') && !is_name(name) {
        return Err(Unreadable::Host);
    }
    let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
    let port = if port == ":" { "" } else { port };
    if !upper && name.len() + port.len() == authority.len() {
        return Ok((Cow::Borrowed(authority), name.len()));
    }
    let mut normal = name.to_ascii_lowercase();
    normal.push_str(port);
    Ok((Cow::Owned(normal), name.len()))
}

/// Host (an IPv6 address with its brackets) and the rest, `:port` or nothing.
fn split(authority: &str) -> Result<(&str, &str), Unreadable> {
    let end = if authority.starts_with('[') {
        let end = authority.find(']').ok_or(Unreadable::Host)? + 1;
        authority[1..end - 1]
            .parse::<Ipv6Addr>()
            .map_err(|_| Unreadable::Host)?;
        end
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let well_formed = match port.strip_prefix(':') {
        Some("") => true,
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    if well_formed {
        Ok((host, port))
    } else {
        Err(Unreadable::Host)
    }
}

/// Labels of letters, digits, `-` and `_`; none of them empty.
fn is_name(name: &str) -> bool {
    let mut label = 0_usize;
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return false,
            b'.' => label = 0,
            b'-' | b'_' => label += 1,
            _ if byte.is_ascii_alphanumeric() => label += 1,
            _ => return false,
        }
    }
    label > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_and_authority(authority: &str) -> (String, String) {
        let (normal, end) = read(authority).unwrap();
        (normal[..end].to_owned(), normal.into_owned())
    }

    #[test]
    fn hosts_have_one_spelling() {
        for (sent, host, authority) in [
            ("example.com", "example.com", "example.com"),
            ("Example.COM:8443", "example.com", "example.com:8443"),
            ("example.com.", "example.com", "example.com"),
            ("example.com.:80", "example.com", "example.com:80"),
            ("example.com:", "example.com", "example.com"),
            ("127.0.0.1:8443", "127.0.0.1", "127.0.0.1:8443"),
            ("[::1]:8443", "[::1]", "[::1]:8443"),
            ("[2001:DB8::1]", "[2001:db8::1]", "[2001:db8::1]"),
            ("a_b-c.x", "a_b-c.x", "a_b-c.x"),
        ] {
            assert_eq!(
                host_and_authority(sent),
                (host.to_owned(), authority.to_owned()),
                "{sent}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            ".",
            "..",
            ":80",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "user@host",
            "a,b",
            "a%2eb",
            "h:x",
            "h:99999",
            "h:+80",
            "h:80:90",
            "::1",
            "[::1",
            "[::1]x",
            "[zz]",
            "*",
            "é.com",
            "h\r\n",
        ] {
            assert_eq!(read(bad).unwrap_err(), Unreadable::Host, "{bad:?}");
        }
    }
}
