//! `VirtualService` `http[].match[]`: conditions on a request.

use std::sync::Arc;

use http::HeaderName;

use super::virtual_service::{EntryMatch, gateway_name};
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Field};
use crate::snapshot::{
    ClaimTest, HeaderMatch, HeaderTest, PseudoHeader, PseudoTest, Regex, RouteMatch, TextMatch,
    UriMatch,
};

/// What stands before the name of a claim.
const CLAIMS: &str = "@request.auth.claims";

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
pub(super) fn read(
    field: &Field<'_>,
    namespace: &Arc<str>,
    findings: &mut Vec<Finding>,
) -> (EntryMatch, Option<Fault>) {
    let mut read = EntryMatch::default();
    // Each part on its own: one that is broken must not lose the others.
    let parts = [
        field.only(&FIELDS),
        path(field, &mut read),
        line(field, &mut read.conditions),
        headers(field, "headers", false, &mut read.conditions),
        headers(field, "withoutHeaders", true, &mut read.conditions),
        query(field, &mut read.conditions),
        source(field, namespace, &mut read),
    ];
    for name in ["sourceLabels", "sourceNamespace"] {
        if let Some(source) = field.child(name).filter(|_| read.gateways.is_empty()) {
            findings.push(source.finding(
                codes::SOURCE_CONDITION,
                Severity::Warning,
                format!(
                    "`{}` is about the gateway itself: every request from outside comes from it",
                    source.path
                ),
                "remove it, or keep the route for sidecars by `gateways: [mesh]`",
            ));
        }
    }
    (read, parts.into_iter().find_map(Result::err))
}

fn path(field: &Field<'_>, read: &mut EntryMatch) -> Result<(), Fault> {
    read.ignore_uri_case = field.flag("ignoreUriCase")?;
    if let Some(uri) = field.child("uri") {
        read.conditions.uri = Some(UriMatch {
            text: text_match(&uri)?,
            ignore_case: read.ignore_uri_case,
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
            conditions.claims.push(ClaimTest {
                path: claim_path(&header, &value)?,
                value: claim_value(&value)?,
                negate,
            });
            continue;
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

/// `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`: names from the outside in.
fn claim_path(header: &str, field: &Field<'_>) -> Result<Arc<[Arc<str>]>, Fault> {
    let names = header.strip_prefix(CLAIMS).and_then(|rest| {
        if let Some(dotted) = rest.strip_prefix('.') {
            return Some(dotted.split('.').collect::<Vec<_>>());
        }
        let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
        Some(inner.split("][").collect())
    });
    let plain = |name: &&str| !name.is_empty() && !name.contains(['[', ']']);
    match names {
        Some(names) if names.iter().all(plain) => Ok(names.into_iter().map(Arc::from).collect()),
        _ => Err(field.fault(
            format!("`{header}` names no claim"),
            format!("write `{CLAIMS}[name]` or `{CLAIMS}.name`"),
        )),
    }
}

/// A claim that only has to be there may have any value.
fn claim_value(field: &Field<'_>) -> Result<TextMatch, Fault> {
    if is_presence(field) {
        return Ok(TextMatch::Prefix("".into()));
    }
    text_match(field)
}

fn pseudo_header(
    name: &str,
    value: &Field<'_>,
    negate: bool,
    conditions: &mut RouteMatch,
) -> Result<(), Fault> {
    let which = match name {
        ":method" => PseudoHeader::Method,
        ":authority" => PseudoHeader::Authority,
        ":scheme" => PseudoHeader::Scheme,
        ":path" => PseudoHeader::Path,
        _ => {
            let fault = format!("no request has a header `{name}`");
            return Err(value.fault(fault, "write `:method`, `:path`, `:authority` or `:scheme`"));
        }
    };
    let value = if is_presence(value) {
        // Every request has it.
        TextMatch::Prefix("".into())
    } else {
        text_match(value)?
    };
    conditions.pseudo.push(PseudoTest {
        which,
        value,
        negate,
    });
    Ok(())
}

fn query(field: &Field<'_>, conditions: &mut RouteMatch) -> Result<(), Fault> {
    if let Some(map) = field.child("queryParams") {
        for (name, value) in map.entries()? {
            let wanted = if is_presence(&value) {
                TextMatch::Prefix("".into())
            } else {
                text_match(&value)?
            };
            conditions.query.push((name, wanted));
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
pub(super) fn text_match(field: &Field<'_>) -> Result<TextMatch, Fault> {
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
