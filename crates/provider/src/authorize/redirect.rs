//! Where an answer to the client goes.

use crate::form;

/// The redirect URI of clients that have no address: the code is shown instead.
pub(crate) const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// `redirect` with `parameters` in its query. A relative redirect URI stays relative: the browser
/// knows the host, the provider need not.
pub(crate) fn location(redirect: &str, parameters: &[(&str, &str)]) -> String {
    // A fragment would hide the answer from the client's server (RFC 6749 §3.1.2 forbids it).
    let base = redirect.split_once('#').map_or(redirect, |(base, _)| base);
    let joint = match base.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, query)) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{base}{joint}{}", form::query(parameters))
}

/// `redirect` with `parameters` in its fragment, which no server sees (Multiple Response Types §2.1).
pub(crate) fn in_fragment(redirect: &str, parameters: &[(&str, &str)]) -> String {
    let base = redirect.split_once('#').map_or(redirect, |(base, _)| base);
    format!("{base}#{}", form::query(parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_added_to_whatever_is_there() {
        for (redirect, expected) in [
            ("/oauth2/callback", "/oauth2/callback?code=c&state="),
            ("https://h/cb", "https://h/cb?code=c&state="),
            ("https://h/cb?", "https://h/cb?code=c&state="),
            ("https://h/cb?a=1", "https://h/cb?a=1&code=c&state="),
            ("https://h/cb?a=1&", "https://h/cb?a=1&code=c&state="),
            ("app:/cb#x", "app:/cb?code=c&state="),
        ] {
            assert_eq!(
                location(redirect, &[("code", "c"), ("state", "")]),
                expected
            );
        }
    }
}
