//! Paths as Go's router sees them: doubled slashes and dot segments are redirected away before
//! anything else is looked at.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a path in a `Location` may not hold as it is.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// `path` without doubled slashes and dot segments, if it has any. It begins with `/`.
pub(super) fn cleaned(path: &str) -> Option<String> {
    let is_clean =
        !path.contains("//") && !path.split('/').any(|segment| matches!(segment, "." | ".."));
    if is_clean {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = kept.pop(),
            other => kept.push(other),
        }
    }
    let mut clean = String::with_capacity(path.len());
    for segment in &kept {
        clean.push('/');
        clean.push_str(segment);
    }
    // A slash at the end stays, and nothing at all is the root.
    if path.ends_with('/') || clean.is_empty() {
        clean.push('/');
    }
    Some(clean)
}

/// Where a path leads whose encoded slashes or dots hide what [`cleaned`] takes away, encoded again.
pub(super) fn cleaned_when_decoded(path: &str) -> Option<String> {
    if !path.contains('%') {
        return None;
    }
    let decoded: Cow<'_, str> = percent_decode_str(path).decode_utf8_lossy();
    let clean = cleaned(&decoded)?;
    Some(utf8_percent_encode(&clean, UNSAFE).to_string())
}

/// A path with the query of the request.
pub(super) fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        None => path.to_owned(),
        Some(query) => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_and_dots_go() {
        for (path, wanted) in [
            ("/", None),
            ("/a/b/", None),
            ("/a..b/.c/...", None),
            ("//", Some("/")),
            ("//evil.example/x", Some("/evil.example/x")),
            ("/a//b", Some("/a/b")),
            ("/a/./b/", Some("/a/b/")),
            ("/a/../../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a/b/.", Some("/a/b")),
        ] {
            assert_eq!(cleaned(path).as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_hidden_by_encoding_is_found_once() {
        for (path, wanted) in [
            ("/a%20b", None),
            ("/a%2Fb", None),
            ("/a%2F%2Fb", Some("/a/b")),
            ("/%2e%2e/x y%25", Some("/x%20y%25")),
            ("/a/%2e/%3Fq", Some("/a/%3Fq")),
        ] {
            assert_eq!(cleaned_when_decoded(path).as_deref(), wanted, "{path}");
        }
    }
}
