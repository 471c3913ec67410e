//! `VirtualService` `http[].corsPolicy`: which pages of other origins may call.

use http::HeaderValue;

use super::http_match::text_match;
use crate::objects::{Fault, Field};
use crate::snapshot::{Cors, OriginMatch, TextMatch};

const FIELDS: [&str; 8] = [
    "allowOrigins",
    "allowOrigin",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
    "allowCredentials",
    "unmatchedPreflights",
];

/// Reads a policy.
pub(super) fn read(field: &Field<'_>) -> Result<Cors, Fault> {
    field.only(&FIELDS)?;
    let mut origins = Vec::new();
    for origin in field.child_items("allowOrigins")? {
        origins.push(origin_match(text_match(&origin)?));
    }
    // The old list counts only where the new one is empty.
    if origins.is_empty() {
        let old = field.texts("allowOrigin")?;
        origins.extend(
            old.into_iter()
                .map(|one| origin_match(TextMatch::Exact(one))),
        );
    }
    let forward_unmatched = match field.child_text("unmatchedPreflights")?.as_deref() {
        None | Some("UNSPECIFIED" | "FORWARD") => true,
        Some("IGNORE") => false,
        Some(other) => {
            let fault = format!("`{}.unmatchedPreflights` knows no `{other}`", field.path);
            return Err(field.fault(fault, "write `FORWARD` or `IGNORE`"));
        }
    };
    Ok(Cors {
        origins,
        methods: joined(field, "allowMethods")?,
        headers: joined(field, "allowHeaders")?,
        expose: joined(field, "exposeHeaders")?,
        max_age: field
            .child("maxAge")
            .map(|span| span.duration())
            .transpose()?,
        credentials: field.flag("allowCredentials")?,
        forward_unmatched,
    })
}

fn origin_match(text: TextMatch) -> OriginMatch {
    match text {
        TextMatch::Exact(star) if &*star == "*" => OriginMatch::Any,
        other => OriginMatch::Text(other),
    }
}

fn joined(field: &Field<'_>, name: &str) -> Result<Option<HeaderValue>, Fault> {
    let items = field.texts(name)?;
    if items.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(&items.join(","))
        .map(Some)
        .map_err(|_| {
            let fault = format!("`{}.{name}` holds what no header may", field.path);
            field.fault(fault, "write plain names")
        })
}
