//! `headers.{request,response}.{set,add,remove}` of a `VirtualService`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::objects::{Fault, Field};
use crate::snapshot::HeaderEdits;

/// Edits of one level.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits {
    pub(crate) request: HeaderEdits,
    pub(crate) response: HeaderEdits,
    /// A new `Host`; `set` beats `add`.
    pub(crate) authority: Option<Arc<str>>,
}

impl Edits {
    /// Joins the edits of the only destination behind those of the entry.
    pub(super) fn append(&mut self, other: Self) {
        for (own, other) in [
            (&mut self.request, other.request),
            (&mut self.response, other.response),
        ] {
            own.remove.extend(other.remove);
            own.set.extend(other.set);
            own.add.extend(other.add);
        }
        if self.authority.is_none() {
            self.authority = other.authority;
        }
    }
}

/// Reads `headers` below `field`; nothing when it is absent.
pub(super) fn read(field: &Field<'_>) -> Result<Edits, Fault> {
    let mut edits = Edits::default();
    let Some(headers) = field.child("headers") else {
        return Ok(edits);
    };
    headers.only(&["request", "response"])?;
    if let Some(request) = headers.child("request") {
        edits.authority = host_edit(&request)?;
        edits.request = side(&request)?;
    }
    if let Some(response) = headers.child("response") {
        edits.response = side(&response)?;
    }
    Ok(edits)
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

fn host_edit(field: &Field<'_>) -> Result<Option<Arc<str>>, Fault> {
    for operation in ["set", "add"] {
        let Some(map) = field.child(operation) else {
            continue;
        };
        let mut hosts = map.entries()?.into_iter().filter(|(name, _)| is_host(name));
        if let Some((_, value)) = hosts.next() {
            if hosts.next().is_some() {
                return Err(map.fault(format!("`{}` sets the host twice", map.path), "keep one"));
            }
            return Ok(Some(literal(&value)?.into()));
        }
    }
    Ok(None)
}

fn side(field: &Field<'_>) -> Result<HeaderEdits, Fault> {
    field.only(&["set", "add", "remove"])?;
    let mut edits = HeaderEdits {
        remove: Vec::new(),
        set: pairs(field, "set")?,
        add: pairs(field, "add")?,
    };
    for item in field.child_items("remove")? {
        let name = item.text()?;
        // Istio ignores the removal of the host and of pseudo-headers.
        if !is_host(name) && !name.starts_with(':') {
            edits.remove.push(header_name(name, &item)?);
        }
    }
    Ok(edits)
}

fn pairs(field: &Field<'_>, operation: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let Some(map) = field.child(operation) else {
        return Ok(Vec::new());
    };
    let mut pairs = Vec::new();
    for (name, value) in map.entries()? {
        // The host is a rewrite; other pseudo-headers are dropped, as Istio does.
        if is_host(&name) || name.starts_with(':') {
            continue;
        }
        let text = literal(&value)?;
        let header_value = HeaderValue::from_str(&text).map_err(|_| {
            value.fault(
                format!("`{}` is no header value", value.path),
                "write plain text",
            )
        })?;
        pairs.push((header_name(&name, &value)?, header_value));
    }
    Ok(pairs)
}

fn header_name(name: &str, field: &Field<'_>) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| field.fault(format!("`{name}` is no header name"), "write a header name"))
}

/// A format string without commands: `%%` is a percent sign.
fn literal(field: &Field<'_>) -> Result<String, Fault> {
    let text = field.text()?;
    let without_escapes = text.replace("%%", "");
    if without_escapes.contains('%') {
        let fault = format!(
            "`{}` holds a `%` command, which is not served here",
            field.path
        );
        return Err(field.fault(fault, "write a fixed value; a percent sign is `%%`"));
    }
    Ok(text.replace("%%", "%"))
}
