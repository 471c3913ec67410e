//! `matches[]` of an `HTTPRoute`.

use std::sync::Arc;

use super::filters::header_name;
use crate::objects::{Fault, Field};
use crate::snapshot::{HeaderMatch, HeaderTest, Regex, RouteMatch, TextMatch, UriMatch};

/// Every path: what a rule without matches asks for.
pub(super) fn everything() -> RouteMatch {
    RouteMatch {
        uri: Some(prefix("/")),
        ..RouteMatch::default()
    }
}

/// A prefix of whole segments.
pub(super) fn prefix(path: &str) -> UriMatch {
    UriMatch {
        text: TextMatch::Prefix(path.into()),
        ignore_case: false,
        whole_segments: true,
    }
}

/// A pattern over the whole path.
pub(super) fn whole(text: TextMatch) -> UriMatch {
    UriMatch {
        text,
        ignore_case: false,
        whole_segments: false,
    }
}

/// Reads one match. Conditions that cannot be read are left out and are the fault.
pub(super) fn read(field: &Field<'_>) -> (RouteMatch, Option<Fault>) {
    let mut read = everything();
    let parts = [
        field.only(&["path", "headers", "queryParams", "method"]),
        path(field, &mut read),
        method(field, &mut read),
        headers(field, &mut read),
        query(field, &mut read),
    ];
    (read, parts.into_iter().find_map(Result::err))
}

fn path(field: &Field<'_>, read: &mut RouteMatch) -> Result<(), Fault> {
    let Some(path) = field.child("path") else {
        return Ok(());
    };
    path.only(&["type", "value"])?;
    let value = path.child_text("value")?.unwrap_or_else(|| "/".into());
    let kind = path.child_text("type")?;
    let uri = match kind.as_deref() {
        None | Some("PathPrefix") => prefix(&value),
        Some("Exact") => whole(TextMatch::Exact(Arc::clone(&value))),
        Some("RegularExpression") => {
            read.uri = Some(whole(TextMatch::Regex(regex(&path, &value)?)));
            return Ok(());
        }
        Some(other) => return Err(unknown(&path, other, "`Exact` or `PathPrefix`")),
    };
    if !value.starts_with('/') {
        let fault = format!("`{}` does not begin with `/`", path.path);
        return Err(path.fault(fault, "write the path from its first `/` on"));
    }
    read.uri = Some(uri);
    Ok(())
}

fn method(field: &Field<'_>, read: &mut RouteMatch) -> Result<(), Fault> {
    read.method = field.child_text("method")?.map(TextMatch::Exact);
    Ok(())
}

/// Reads `headers` of a match; of entries with one name, the first counts.
pub(super) fn headers(field: &Field<'_>, read: &mut RouteMatch) -> Result<(), Fault> {
    for item in field.child_items("headers")? {
        item.only(&["type", "name", "value"])?;
        let name = header_name(&item.required("name")?)?;
        let value = value(&item)?;
        if !read.headers.iter().any(|test| test.name == name) {
            read.headers.push(HeaderTest {
                name,
                value: HeaderMatch::Text(value),
                negate: false,
            });
        }
    }
    Ok(())
}

fn query(field: &Field<'_>, read: &mut RouteMatch) -> Result<(), Fault> {
    for item in field.child_items("queryParams")? {
        item.only(&["type", "name", "value"])?;
        let name: Arc<str> = item.required("name")?.text()?.into();
        let value = value(&item)?;
        if !read.query.iter().any(|(other, _)| *other == name) {
            read.query.push((name, value));
        }
    }
    Ok(())
}

fn value(field: &Field<'_>) -> Result<TextMatch, Fault> {
    let text = field.required("value")?.text()?;
    match field.child_text("type")?.as_deref() {
        None | Some("Exact") => Ok(TextMatch::Exact(text.into())),
        Some("RegularExpression") => regex(field, text).map(TextMatch::Regex),
        Some(other) => Err(unknown(field, other, "`Exact` or `RegularExpression`")),
    }
}

/// A pattern over the whole of what it looks at.
pub(super) fn regex(field: &Field<'_>, source: &str) -> Result<Regex, Fault> {
    Regex::whole(source).map_err(|error| {
        let fault = format!("`{}` is no regular expression: {error}", field.path);
        field.fault(fault, "write it in RE2 syntax")
    })
}

/// A type that a condition cannot have.
pub(super) fn unknown(field: &Field<'_>, kind: &str, known: &str) -> Fault {
    let fault = format!("`{}.type` cannot be `{kind}`", field.path);
    field.fault(fault, format!("write {known}"))
}
