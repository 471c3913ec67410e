//! What a `rewrite` makes of a path.

use std::borrow::Cow;

use model::snapshot::{Rewrite, RouteMatch, TextMatch};

use crate::request::{Request, normalize};

/// The path that goes upstream.
///
/// The result is normalised once more, as a sidecar does before it looks: what a prefix was cut
/// off (`/foo` from `/foo../admin`) must not hide dot segments from the destination's policies.
pub(crate) fn rewrite<'r>(
    rewrite: Option<&Rewrite>,
    matched: Option<&RouteMatch>,
    request: &'r Request<'_>,
) -> Cow<'r, str> {
    let path = request.path();
    let Some(Rewrite {
        uri,
        regex,
        authority: _,
    }) = rewrite
    else {
        return Cow::Borrowed(path);
    };
    let mut written = match (uri, regex) {
        (Some(uri), _) => match matched
            .and_then(|matched| matched.uri.as_ref())
            .map(|uri| &uri.text)
        {
            Some(TextMatch::Exact(_) | TextMatch::Regex(_)) => uri.to_string(),
            Some(TextMatch::Prefix(prefix)) if path.starts_with(&**uri) && prefix == uri => {
                return Cow::Borrowed(path);
            }
            Some(TextMatch::Prefix(prefix)) => {
                // A prefix that matched without letter case is as long, so the cut is at the
                // same place; it is no character boundary only if it did not match.
                format!("{uri}{}", path.get(prefix.len()..).unwrap_or_default())
            }
            None => format!("{uri}{}", path.strip_prefix('/').unwrap_or(path)),
        },
        (None, Some((pattern, with))) => pattern.replace_all(path, with),
        (None, None) => return Cow::Borrowed(path),
    };
    if !written.starts_with('/') {
        written.insert(0, '/');
    }
    match normalize(&written, request.normalization) {
        Cow::Borrowed(_) => Cow::Owned(written),
        Cow::Owned(normal) => Cow::Owned(normal),
    }
}
