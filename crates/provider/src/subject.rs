//! The `sub` claim, byte for byte as Dex makes it: profiles and databases are keyed by it.

use data_encoding::BASE64URL_NOPAD;

/// `sub` of `user_id` at `connector`: a Protocol Buffers message of two strings (field 1 and 2,
/// empty ones left out), base64url without padding.
pub(crate) fn subject(user_id: &str, connector: &str) -> String {
    let mut message = Vec::with_capacity(user_id.len() + connector.len() + 8);
    field(1, user_id, &mut message);
    field(2, connector, &mut message);
    BASE64URL_NOPAD.encode(&message)
}

/// User id and connector of a `sub` that [`subject`] made.
pub(crate) fn parse(text: &str) -> Option<(String, String)> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let mut fields = [String::new(), String::new()];
    let mut rest = bytes.as_slice();
    while let Some((tag, after)) = rest.split_first() {
        let mut length = 0_usize;
        let mut shift = 0;
        rest = after;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            // Longer texts than these do not come from us.
            if shift > 14 {
                return None;
            }
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        let field = match tag {
            0x0a => &mut fields[0],
            0x12 => &mut fields[1],
            _ => return None,
        };
        *field = String::from_utf8(text.to_vec()).ok()?;
    }
    let [user_id, connector] = fields;
    (!user_id.is_empty()).then_some((user_id, connector))
}

fn field(number: u8, text: &str, message: &mut Vec<u8>) {
    if text.is_empty() {
        return;
    }
    // Wire type 2: length, then bytes.
    message.push(number << 3 | 2);
    let mut length = text.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_examples_hold() {
        for (user_id, connector, expected) in [
            ("15841185641784", "local", "Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw"),
            (
                "08a8684b-db88-4b73-90a9-3cd1661f5466",
                "local",
                "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs",
            ),
            ("23", "github", "CgIyMxIGZ2l0aHVi"),
            ("my-svc", "", "CgZteS1zdmM"),
        ] {
            assert_eq!(subject(user_id, connector), expected);
            let back = (user_id.to_owned(), connector.to_owned());
            assert_eq!(parse(expected), Some(back));
        }
    }

    #[test]
    fn long_ids_have_a_length_of_two_bytes() {
        let bytes = BASE64URL_NOPAD
            .decode(subject(&"u".repeat(130), "local").as_bytes())
            .unwrap();
        assert_eq!(bytes[..3], [0x0a, 0x82, 0x01]);
        assert_eq!(bytes.len(), 3 + 130 + 2 + 5);
        let bytes = BASE64URL_NOPAD
            .decode(subject(&"u".repeat(127), "").as_bytes())
            .unwrap();
        assert_eq!(bytes[..2], [0x0a, 0x7f]);
    }
}
