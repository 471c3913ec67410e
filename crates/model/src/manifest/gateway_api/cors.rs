//! The `CORS` filter.

use http::HeaderValue;

use crate::names::Duration;
use crate::objects::{Fault, Field};
use crate::snapshot::{Cors, OriginMatch, TextMatch};

/// How long a preflight counts where the filter says nothing.
const USUAL_AGE: Duration = Duration::from_secs(5);

/// Reads a `cors` filter.
pub(super) fn read(field: &Field<'_>) -> Result<Cors, Fault> {
    field.only(&[
        "allowOrigins",
        "allowCredentials",
        "allowMethods",
        "allowHeaders",
        "exposeHeaders",
        "maxAge",
    ])?;
    let mut origins = Vec::new();
    for item in field.child_items("allowOrigins")? {
        origins.push(origin(&item)?);
    }
    let max_age = match field.child("maxAge") {
        None => USUAL_AGE,
        Some(age) => Duration::from_secs(age.number()?),
    };
    Ok(Cors {
        origins,
        methods: list(field, "allowMethods")?,
        headers: list(field, "allowHeaders")?,
        expose: list(field, "exposeHeaders")?,
        max_age: Some(max_age),
        credentials: field.flag("allowCredentials")?,
        forward_unmatched: false,
    })
}

/// `*`, `scheme://host[:port]`, or `scheme://*.suffix[:port]`.
fn origin(field: &Field<'_>) -> Result<OriginMatch, Fault> {
    let text = field.text()?;
    if text == "*" {
        return Ok(OriginMatch::Any);
    }
    let Some((scheme, host)) = text.split_once("://") else {
        let fault = format!("`{}` is no origin: `{text}`", field.path);
        return Err(field.fault(fault, "write `*`, or scheme, `://` and host"));
    };
    match host.strip_prefix('*') {
        None if !host.contains('*') => Ok(OriginMatch::Text(TextMatch::Exact(text.into()))),
        Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => {
            Ok(OriginMatch::Wildcard {
                scheme: format!("{scheme}://").into(),
                suffix: suffix.to_ascii_lowercase().into(),
            })
        }
        _ => {
            let fault = format!(
                "`{}` has a `*` in a place where it means nothing",
                field.path
            );
            Err(field.fault(fault, "a `*` may only be the first label of the host"))
        }
    }
}

/// The texts of a list, as one header value.
fn list(field: &Field<'_>, name: &str) -> Result<Option<HeaderValue>, Fault> {
    let texts = field.texts(name)?;
    if texts.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(&texts.join(", "))
        .map(Some)
        .map_err(|_| {
            let fault = format!("`{}.{name}` holds what no header may hold", field.path);
            field.fault(fault, "write plain names")
        })
}
