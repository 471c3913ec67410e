//! `matches[]` of a `GRPCRoute`: services and methods are paths.

use super::http_match::{everything, headers, regex, unknown, whole};
use crate::objects::{Fault, Field};
use crate::snapshot::{RouteMatch, TextMatch, UriMatch};

/// Any service, or any method.
const ANY: &str = "[^/]+";

/// Reads one match. Conditions that cannot be read are left out and are the fault.
pub(super) fn read(field: &Field<'_>) -> (RouteMatch, Option<Fault>) {
    let mut read = everything();
    let parts = [
        field.only(&["method", "headers"]),
        method(field, &mut read),
        headers(field, &mut read),
    ];
    (read, parts.into_iter().find_map(Result::err))
}

fn method(field: &Field<'_>, read: &mut RouteMatch) -> Result<(), Fault> {
    let Some(method) = field.child("method") else {
        return Ok(());
    };
    method.only(&["type", "service", "method"])?;
    let service = method
        .child_text("service")?
        .filter(|text| !text.is_empty());
    let name = method.child_text("method")?.filter(|text| !text.is_empty());
    let uri = match method.child_text("type")?.as_deref() {
        None | Some("Exact") => match (service, name) {
            (None, None) => return Ok(()),
            (Some(service), Some(name)) => {
                whole(TextMatch::Exact(format!("/{service}/{name}").into()))
            }
            (Some(service), None) => UriMatch {
                text: TextMatch::Prefix(format!("/{service}/").into()),
                ignore_case: false,
                whole_segments: false,
            },
            (None, Some(name)) => {
                // A method is an identifier, so it has no letter that a pattern would read
                // otherwise; the dot is none of them.
                let source = format!("/{ANY}/{}", name.replace('.', "\\."));
                whole(TextMatch::Regex(regex(&method, &source)?))
            }
        },
        Some("RegularExpression") => {
            let part = |text: Option<std::sync::Arc<str>>| {
                text.map_or_else(|| ANY.to_owned(), |text| format!("(?:{text})"))
            };
            let source = format!("/{}/{}", part(service), part(name));
            whole(TextMatch::Regex(regex(&method, &source)?))
        }
        Some(other) => return Err(unknown(&method, other, "`Exact` or `RegularExpression`")),
    };
    read.uri = Some(uri);
    Ok(())
}
