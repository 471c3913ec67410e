//! What a `rewrite` makes of a path.

use std::borrow::Cow;

use model::snapshot::{PathRewrite, Rewrite, RouteMatch, TextMatch};

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
    let Some(change) = rewrite.and_then(|rewrite| rewrite.path.as_ref()) else {
        return Cow::Borrowed(path);
    };
    let Cow::Owned(mut written) = changed(change, matched, path) else {
        return Cow::Borrowed(path);
    };
    if !written.starts_with('/') {
        written.insert(0, '/');
    }
    match normalize(&written, request.normalization) {
        Cow::Borrowed(_) => Cow::Owned(written),
        Cow::Owned(normal) => Cow::Owned(normal),
    }
}

/// `path` after one change; borrowed when it stays what it is.
pub(super) fn changed<'p>(
    change: &PathRewrite,
    matched: Option<&RouteMatch>,
    path: &'p str,
) -> Cow<'p, str> {
    let matched = matched
        .and_then(|matched| matched.uri.as_ref())
        .map(|uri| &uri.text);
    match change {
        PathRewrite::Whole(whole) => Cow::Owned(whole.to_string()),
        PathRewrite::Regex(pattern, with) => Cow::Owned(pattern.replace_all(path, with)),
        PathRewrite::Matched(uri) => match matched {
            Some(TextMatch::Exact(_) | TextMatch::Regex(_)) => Cow::Owned(uri.to_string()),
            Some(TextMatch::Prefix(prefix)) if path.starts_with(&**uri) && prefix == uri => {
                Cow::Borrowed(path)
            }
            // A prefix that matched without letter case is as long, so the cut is at the same
            // place; it is no character boundary only if it did not match.
            Some(TextMatch::Prefix(prefix)) => Cow::Owned(format!(
                "{uri}{}",
                path.get(prefix.len()..).unwrap_or_default()
            )),
            None => Cow::Owned(format!("{uri}{}", path.strip_prefix('/').unwrap_or(path))),
        },
        PathRewrite::Segments(with) => {
            let rest = match matched {
                Some(TextMatch::Prefix(prefix)) => segments_after(path, prefix).unwrap_or_default(),
                Some(TextMatch::Exact(_) | TextMatch::Regex(_)) => "",
                None => path,
            };
            let start = with.strip_suffix('/').unwrap_or(with);
            let written = format!("{start}{rest}");
            if written.is_empty() {
                Cow::Owned("/".to_owned())
            } else {
                Cow::Owned(written)
            }
        }
    }
}

/// What follows the segments of `prefix`: empty, or from a `/` on. `None` when `path` does not
/// begin with them.
pub(super) fn segments_after<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
