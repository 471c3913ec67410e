//! `VirtualService` `http[].match[]`: conditions on a request.

use std::sync::Arc;

use http::HeaderName;

use super::virtual_service::{EntryMatch, gateway_name};
use crate::objects::{Fault, Field};
use crate::snapshot::{HeaderMatch, HeaderTest, Regex, RouteMatch, TextMatch, UriMatch};

const FIELDS: [&str; 14] = [
    "name",
    "uri",
    "scheme",
    "method",
    "authority",
    "headers",
    "withoutHeaders",
    "queryParams",
    "ignoreUriCase",
    "port",
    "gateways",
    "sourceLabels",
    "sourceNamespace",
    "statPrefix",
];

/// Reads one match. A condition that cannot be read or expressed is left out and is the fault.
pub(super) fn read(field: &Field<'_>, namespace: &Arc<str>) -> (EntryMatch, Option<Fault>) {
    let mut read = EntryMatch::default();
    // Each part on its own: one that is broken must not lose the others.
    let parts = [
        field.only(&FIELDS),
        path(field, &mut read.conditions),
        line(field, &mut read.conditions),
        headers(field, "headers", false, &mut read.conditions),
        headers(field, "withoutHeaders", true, &mut read.conditions),
        query(field, &mut read.conditions),
        source(field, namespace, &mut read),
    ];
    (read, parts.into_iter().find_map(Result::err))
}

fn path(field: &Field<'_>, conditions: &mut RouteMatch) -> Result<(), Fault> {
    let ignore_case = field.flag("ignoreUriCase")?;
    if let Some(uri) = field.child("uri") {
        conditions.uri = Some(UriMatch {
            text: text_match(&uri)?,
            ignore_case,
            whole_segments: false,
        });
    }
    Ok(())
}

fn line(field: &Field<'_>, conditions: &mut RouteMatch) -> Result<(), Fault> {
    let read = |name| {
        field
            .child(name)
            .map(|field| text_match(&field))
            .transpose()
    };
    conditions.method = read("method")?;
    conditions.scheme = read("scheme")?;
    conditions.authority = read("authority")?;
    conditions.port = field.child("port").map(|port| port.port()).transpose()?;
    Ok(())
}

fn headers(
    field: &Field<'_>,
    name: &str,
    negate: bool,
    conditions: &mut RouteMatch,
) -> Result<(), Fault> {
    let Some(map) = field.child(name) else {
        return Ok(());
    };
    for (header, value) in map.entries()? {
        if header.starts_with('@') {
            let fault = format!("routes that look at `{header}` are not served here");
            return Err(value.fault(fault, "decide by claim in an `AuthorizationPolicy`"));
        }
        if header.starts_with(':') {
            pseudo_header(&header, &value, negate, conditions)?;
            continue;
        }
        let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| {
            value.fault(
                format!("`{header}` is no header name"),
                "write a header name",
            )
        })?;
        let value = if is_presence(&value) {
            HeaderMatch::Present
        } else {
            HeaderMatch::Text(text_match(&value)?)
        };
        conditions.headers.push(HeaderTest {
            name,
            value,
            negate,
        });
    }
    Ok(())
}

/// `{}` and the regular expression `*` ask for presence only.
fn is_presence(value: &Field<'_>) -> bool {
    match value.node.entries() {
        Some([]) => true,
        Some([(key, node)]) => &**key == "regex" && node.text() == Some("*"),
        _ => value.node.value == crate::objects::Value::Null,
    }
}

fn pseudo_header(
    name: &str,
    value: &Field<'_>,
    negate: bool,
    conditions: &mut RouteMatch,
) -> Result<(), Fault> {
    let slot = match name {
        ":method" => Some(&mut conditions.method),
        ":authority" => Some(&mut conditions.authority),
        ":scheme" => Some(&mut conditions.scheme),
        _ => None,
    };
    match slot {
        Some(slot) if slot.is_none() && !negate && !is_presence(value) => {
            *slot = Some(text_match(value)?);
            Ok(())
        }
        _ => {
            let fault = format!("a condition on `{name}` is not served here in this form");
            Err(value.fault(fault, "use the field of the match that means the same"))
        }
    }
}

fn query(field: &Field<'_>, conditions: &mut RouteMatch) -> Result<(), Fault> {
    if let Some(map) = field.child("queryParams") {
        for (name, value) in map.entries()? {
            conditions.query.push((name, text_match(&value)?));
        }
    }
    Ok(())
}

fn source(field: &Field<'_>, namespace: &Arc<str>, read: &mut EntryMatch) -> Result<(), Fault> {
    if let Some(labels) = field.child("sourceLabels") {
        for (name, value) in labels.entries()? {
            read.source_labels.insert(name, value.text()?.into());
        }
    }
    read.source_namespace = field.child_text("sourceNamespace")?;
    for gateway in field.child_items("gateways")? {
        let name = gateway.text()?;
        // `mesh` has to stay a condition that no gateway meets.
        read.gateways
            .push(gateway_name(name, namespace).unwrap_or(("".into(), "mesh".into())));
    }
    Ok(())
}

/// `StringMatch`: one of `exact`, `prefix`, `regex`.
fn text_match(field: &Field<'_>) -> Result<TextMatch, Fault> {
    const LONGEST_REGEX: usize = 1024;
    let unknown = || {
        field.fault(
            format!(
                "`{}` has to be one of `exact`, `prefix`, `regex`",
                field.path
            ),
            "keep one of them",
        )
    };
    let Some([(kind, value)]) = field.node.entries() else {
        return Err(unknown());
    };
    let text = value.text().ok_or_else(unknown)?;
    match &**kind {
        "exact" => Ok(TextMatch::Exact(text.into())),
        "prefix" => Ok(TextMatch::Prefix(text.into())),
        "regex" if text.len() > LONGEST_REGEX => {
            let fault = format!("`{}` is longer than {LONGEST_REGEX} characters", field.path);
            Err(field.fault(fault, "shorten it"))
        }
        "regex" => Regex::whole(text).map(TextMatch::Regex).map_err(|error| {
            let fault = format!("`{}` is no regular expression: {error}", field.path);
            field.fault(fault, "write RE2 syntax")
        }),
        _ => Err(unknown()),
    }
}
