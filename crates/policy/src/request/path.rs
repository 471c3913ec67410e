//! Path normalisation, as `meshConfig.pathNormalization` names it.

use std::borrow::Cow;

use model::snapshot::Normalization;

use super::Unreadable;

/// Splits a request target into its normalised path and its query. A fragment is cut.
pub(super) fn read(
    target: &str,
    normalization: Normalization,
) -> Result<(Cow<'_, str>, Option<&str>), Unreadable> {
    if !target.starts_with('/') {
        return Err(Unreadable::Target);
    }
    if target.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(Unreadable::ControlByte);
    }
    // Two spellings of one path, of which a rule names one, would be a way around the rule.
    if !target.is_ascii() {
        return Err(Unreadable::ForeignByte);
    }
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if path.as_bytes().windows(3).any(|escape| escape == b"%00") {
        return Err(Unreadable::ControlByte);
    }
    Ok((normalize(path, normalization), query))
}

/// Path and query as one text.
pub(crate) fn join(path: &str, query: Option<&str>) -> String {
    let length = path.len() + query.map_or(0, |query| query.len() + 1);
    let mut joined = String::with_capacity(length);
    joined.push_str(path);
    if let Some(query) = query {
        joined.push('?');
        joined.push_str(query);
    }
    joined
}

/// Appends `text` with every byte that no URL may hold percent-encoded.
pub(crate) fn push_encoded(to: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_ascii_graphic() {
            to.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                push_encoded_byte(to, byte);
            }
        }
    }
}

fn push_encoded_byte(to: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    to.push('%');
    to.push(char::from(HEX[usize::from(byte >> 4)]));
    to.push(char::from(HEX[usize::from(byte & 15)]));
}

/// The one spelling of a path that rules see and that goes upstream. Idempotent.
pub(crate) fn normalize(path: &str, normalization: Normalization) -> Cow<'_, str> {
    let mode = match normalization {
        Normalization::None => return Cow::Borrowed(path),
        Normalization::Base => Mode {
            merge: false,
            decode_slashes: false,
        },
        Normalization::MergeSlashes => Mode {
            merge: true,
            decode_slashes: false,
        },
        Normalization::DecodeAndMergeSlashes => Mode {
            merge: true,
            decode_slashes: true,
        },
    };
    if mode.is_normal(path.as_bytes()) {
        return Cow::Borrowed(path);
    }
    let decoded = mode.decode(path);
    let mut normal = remove_dot_segments(&decoded);
    if mode.merge {
        merge_slashes(&mut normal);
    }
    Cow::Owned(normal)
}

#[derive(Clone, Copy)]
struct Mode {
    merge: bool,
    decode_slashes: bool,
}

impl Mode {
    /// Whether nothing in `path` would change. May say no for a path that is normal already.
    fn is_normal(self, path: &[u8]) -> bool {
        let mut after_slash = false;
        for (at, &byte) in path.iter().enumerate() {
            match byte {
                b'\\' => return false,
                _ if is_escaped(byte) => return false,
                b'/' if after_slash && self.merge => return false,
                // Only `.` and `..` are special, not a hidden file.
                b'.' if after_slash
                    && matches!(
                        path[at + 1..],
                        [] | [b'/' | b';', ..] | [b'.'] | [b'.', b'/' | b';', ..]
                    ) =>
                {
                    return false;
                }
                b'%' if escaped(path, at)
                    .is_some_and(|value| self.replacement(value).is_some()) =>
                {
                    return false;
                }
                _ => {}
            }
            after_slash = byte == b'/';
        }
        true
    }

    /// What an escape of `value` is replaced with.
    fn replacement(self, value: u8) -> Option<u8> {
        match value {
            b'/' | b'\\' if self.decode_slashes => Some(b'/'),
            b'-' | b'.' | b'_' | b'~' => Some(value),
            _ if value.is_ascii_alphanumeric() => Some(value),
            _ => None,
        }
    }

    fn decode(self, path: &str) -> String {
        let bytes = path.as_bytes();
        let mut decoded = String::with_capacity(path.len());
        // Where a `%` begins no escape.
        let mut stray = Vec::new();
        let mut rest = path.char_indices();
        while let Some((at, character)) = rest.next() {
            match character {
                '\\' => decoded.push('/'),
                '%' => {
                    let value = escaped(bytes, at);
                    if let Some(byte) = value.and_then(|value| self.replacement(value)) {
                        decoded.push(char::from(byte));
                        rest.next();
                        rest.next();
                        continue;
                    }
                    if value.is_none() {
                        stray.push(decoded.len());
                    }
                    decoded.push('%');
                }
                other if other.is_ascii() && is_escaped(other as u8) => {
                    push_encoded_byte(&mut decoded, other as u8);
                }
                other => decoded.push(other),
            }
        }
        // A stray `%` that decoding has made into an escape is escaped itself: whoever decodes
        // after us must not see what the rules did not.
        stray.retain(|at| escaped(decoded.as_bytes(), *at).is_some());
        if stray.is_empty() {
            return decoded;
        }
        let mut plain = String::with_capacity(decoded.len() + stray.len() * 2);
        let mut begin = 0;
        for at in stray {
            plain.push_str(&decoded[begin..=at]);
            plain.push_str("25");
            begin = at + 1;
        }
        plain.push_str(&decoded[begin..]);
        plain
    }
}

/// The byte that the escape at `at` stands for; `None` where no two hex digits follow.
fn escaped(path: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*path.get(at)?).to_digit(16);
    let value = digit(at + 1)? * 16 + digit(at + 2)?;
    u8::try_from(value).ok()
}

/// What no path may hold as it is (RFC 3986 §3.3), though clients send it.
fn is_escaped(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}'
    )
}

/// RFC 3986 §5.2.4 for a path that begins with a slash. An empty segment is a segment, and a dot
/// segment stays one with parameters behind it: `/a/..;x=y/b` is `/b`, as some servers read it.
fn remove_dot_segments(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let Some(relative) = path.strip_prefix('/') else {
        return path.to_owned();
    };
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let name = segment.split_once(';').map_or(segment, |(name, _)| name);
        match name {
            "." if last => normal.push('/'),
            "." => {}
            ".." => {
                normal.truncate(normal.rfind('/').unwrap_or(0));
                if last {
                    normal.push('/');
                }
            }
            _ => {
                normal.push('/');
                normal.push_str(segment);
            }
        }
    }
    normal
}

fn merge_slashes(path: &mut String) {
    let mut after_slash = false;
    path.retain(|character| {
        let keep = !(after_slash && character == '/');
        after_slash = character == '/';
        keep
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_mode(path: &str, normalization: Normalization) -> String {
        normalize(path, normalization).into_owned()
    }

    #[test]
    fn the_table_of_the_mesh_config_holds() {
        for (input, base, merged, decoded) in [
            ("/app/../admin", "/admin", "/admin", "/admin"),
            ("/app/%2E./admin", "/admin", "/admin", "/admin"),
            ("/app\\admin", "/app/admin", "/app/admin", "/app/admin"),
            ("/app//", "/app//", "/app/", "/app/"),
            ("/app//../admin", "/app/admin", "/app/admin", "/app/admin"),
            ("/app//../../admin", "/admin", "/admin", "/admin"),
            (
                "/app/\\/\\/\\admin",
                "/app//////admin",
                "/app/admin",
                "/app/admin",
            ),
            (
                "/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\\abc",
                "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
                "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
                "/app/admin/abc",
            ),
            ("/app/%2f", "/app/%2f", "/app/%2f", "/app/"),
            (
                "/xyz%30..//abc",
                "/xyz0..//abc",
                "/xyz0../abc",
                "/xyz0../abc",
            ),
            (
                "/%2Fapp%5cadmin%5Cabc",
                "/%2Fapp%5cadmin%5Cabc",
                "/%2Fapp%5cadmin%5Cabc",
                "/app/admin/abc",
            ),
            ("/%c0%2fadmin", "/%c0%2fadmin", "/%c0%2fadmin", "/%c0/admin"),
        ] {
            assert_eq!(in_mode(input, Normalization::None), input);
            assert_eq!(in_mode(input, Normalization::Base), base, "BASE {input}");
            assert_eq!(
                in_mode(input, Normalization::MergeSlashes),
                merged,
                "MERGE {input}"
            );
            assert_eq!(
                in_mode(input, Normalization::DecodeAndMergeSlashes),
                decoded,
                "DECODE {input}"
            );
        }
    }

    #[test]
    fn what_looks_like_a_trick_but_is_text_stays() {
        for path in [
            "/%252e%252e/admin",
            "/.../admin",
            "/a..;/admin",
            "/...;/admin",
            "/..%3b/admin",
            "/%c0%ae%c0%ae/admin",
            "/admin;a=b/xyz",
            "/ADMIN",
            "/.hidden/..file",
            "/%01%ff%C3%A4",
            "/100%",
            "/%zz%4",
        ] {
            for normalization in [
                Normalization::None,
                Normalization::Base,
                Normalization::MergeSlashes,
                Normalization::DecodeAndMergeSlashes,
            ] {
                assert_eq!(in_mode(path, normalization), path, "{normalization:?}");
            }
        }
    }

    #[test]
    fn a_hidden_file_is_borrowed() {
        for path in ["/.well-known/x", "/a/..b", "/a/.b/...", "/a./b..", "/a%20b"] {
            assert!(
                matches!(
                    normalize(path, Normalization::MergeSlashes),
                    Cow::Borrowed(_)
                ),
                "{path}"
            );
        }
    }

    #[test]
    fn dots_at_the_end_leave_a_directory() {
        for (input, normal) in [
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/.", "/"),
            ("/../../a", "/a"),
            ("/a/./b", "/a/b"),
            ("/a/%2e%2E", "/"),
            ("/a/..;", "/"),
        ] {
            assert_eq!(in_mode(input, Normalization::Base), normal, "{input}");
        }
    }

    #[test]
    fn a_dot_segment_with_parameters_is_a_dot_segment() {
        for (input, normal) in [
            ("/a/..;/b", "/b"),
            ("/a/..;x=1/b", "/b"),
            ("/a/.;x/b", "/a/b"),
            ("/a/%2e%2e;/b", "/b"),
            ("/a/..;\\b", "/b"),
            ("/a/b;/..;/..;/c", "/c"),
        ] {
            assert_eq!(in_mode(input, Normalization::Base), normal, "{input}");
            assert_eq!(in_mode(input, Normalization::None), input);
        }
    }

    #[test]
    fn what_no_path_may_hold_is_escaped() {
        assert_eq!(
            in_mode("/{a|b}/\"^`<>/%7b", Normalization::Base),
            "/%7Ba%7Cb%7D/%22%5E%60%3C%3E/%7b"
        );
        assert_eq!(in_mode("/{a}", Normalization::None), "/{a}");
    }

    #[test]
    fn decoding_never_makes_a_new_escape() {
        for (input, normal) in [
            ("/%2%65%2%65/admin", "/%252e%252e/admin"),
            ("/%%32%46admin", "/%252Fadmin"),
            ("/%2%46admin", "/%252Fadmin"),
            ("/a%%2%35", "/a%%2525"),
            ("/a%%%32%65", "/a%%252e"),
            ("/a%%32x", "/a%2x"),
        ] {
            assert_eq!(in_mode(input, Normalization::DecodeAndMergeSlashes), normal);
        }
    }

    #[test]
    fn a_target_that_is_no_path_is_refused() {
        for (target, fault) in [
            ("", Unreadable::Target),
            ("*", Unreadable::Target),
            ("host:443", Unreadable::Target),
            ("http://h/x", Unreadable::Target),
            ("/admin%00", Unreadable::ControlByte),
            ("/a\tb", Unreadable::ControlByte),
            ("/a\u{7f}", Unreadable::ControlByte),
            ("/a?b=\n", Unreadable::ControlByte),
            ("/\u{e4}", Unreadable::ForeignByte),
            ("/a?\u{e4}", Unreadable::ForeignByte),
        ] {
            assert_eq!(read(target, Normalization::None), Err(fault), "{target:?}");
        }
        assert_eq!(
            read("/a?b=%00#c", Normalization::Base),
            Ok((Cow::Borrowed("/a"), Some("b=%00")))
        );
        assert_eq!(
            read("/app#foo", Normalization::None),
            Ok((Cow::Borrowed("/app"), None))
        );
    }
}
