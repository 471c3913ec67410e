//! Names of namespaces.

/// Whether a namespace may be called so: a label of RFC 1123.
pub fn is_label(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [name.bytes().next(), name.bytes().next_back()];
    name.len() <= 63
        && name.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && ends.into_iter().all(|end| end.is_some_and(is_plain))
}

#[cfg(test)]
mod tests {
    use super::is_label;

    #[test]
    fn namespaces_are_labels() {
        for good in ["a", "team-1", "1a", &"x".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"x".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
