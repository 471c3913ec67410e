//! `VirtualService` `http[]`: what happens to a matching request.

use std::sync::Arc;

use data_encoding::BASE64;

use super::header_edits;
use crate::finding::{Finding, Severity, codes};
use crate::names::Duration;
use crate::objects::{Fault, Field};
use crate::snapshot::{
    Closure, HeaderEdits, PathRewrite, Redirect, RedirectPort, Regex, Respond, Rewrite,
};

/// What an entry does, destinations still by name.
#[derive(Clone, Debug)]
pub(crate) enum EntryAction {
    Forward(EntryForward),
    Redirect(Redirect),
    Respond(Respond),
    Closed(Arc<Closure>),
}

/// Forwarding, before destinations are looked up.
#[derive(Clone, Debug)]
pub(crate) struct EntryForward {
    pub(crate) destinations: Vec<EntryDestination>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
    pub(crate) timeout: Option<Duration>,
}

/// One of `route`.
#[derive(Clone, Debug)]
pub(crate) struct EntryDestination {
    pub(crate) weight: u32,
    pub(crate) host: Arc<str>,
    pub(crate) port: Option<u16>,
    /// Such as `spec.http[0].route[0].destination`.
    pub(crate) path: String,
    pub(crate) line: u32,
}

/// Fields that may be left out of account: nobody is served differently.
const HARMLESS: [(&str, &str); 4] = [
    ("retries", "retries follow the default"),
    ("mirror", "requests are not mirrored"),
    ("mirrors", "requests are not mirrored"),
    (
        "corsPolicy",
        "the application answers for other origins itself",
    ),
];

const FIELDS: [&str; 17] = [
    "name",
    "match",
    "route",
    "redirect",
    "directResponse",
    "delegate",
    "rewrite",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrors",
    "mirrorPercent",
    "mirrorPercentage",
    "corsPolicy",
    "headers",
    "websocketUpgrade",
];

/// Reads what an entry does.
pub(super) fn read(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<EntryAction, Fault> {
    field.only(&FIELDS)?;
    for (name, effect) in HARMLESS {
        if let Some(ignored) = field.child(name) {
            findings.push(ignored.finding(
                codes::ROUTE_FIELD_IGNORED,
                Severity::Warning,
                format!("`{}` has no effect here", ignored.path),
                effect,
            ));
        }
    }
    if let Some(delegate) = field.child("delegate") {
        let fault = "delegated routes are not served here";
        return Err(delegate.fault(
            fault,
            "write the delegate's routes into this `VirtualService`",
        ));
    }
    inject_fault(field, findings)?;
    let given = |name| field.child(name);
    match (given("route"), given("redirect"), given("directResponse")) {
        (Some(_), None, None) => forward(field).map(EntryAction::Forward),
        (None, Some(redirect), None) if given("rewrite").is_none() => {
            self::redirect(&redirect).map(EntryAction::Redirect)
        }
        (None, None, Some(response)) if given("rewrite").is_none() => {
            respond(&response).map(EntryAction::Respond)
        }
        (None, None, None) => Err(field.fault(
            format!("`{}` does nothing", field.path),
            "add one of `route`, `redirect`, `directResponse`",
        )),
        _ => Err(field.fault(
            format!("`{}` holds actions that exclude each other", field.path),
            "keep one of `route` (with `rewrite`), `redirect`, `directResponse`",
        )),
    }
}

/// A delay only slows down; an abort refuses, so leaving it out would serve.
fn inject_fault(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
    let Some(injected) = field.child("fault") else {
        return Ok(());
    };
    if let Some(abort) = injected.child("abort") {
        return Err(abort.fault(format!("`{}` is not served here", abort.path), "remove it"));
    }
    findings.push(injected.finding(
        codes::ROUTE_FIELD_IGNORED,
        Severity::Warning,
        format!("`{}` has no effect here", injected.path),
        "requests are not delayed",
    ));
    Ok(())
}

fn forward(field: &Field<'_>) -> Result<EntryForward, Fault> {
    let list = field.required("route")?;
    let items = list.items()?;
    let mut rewrite = field
        .child("rewrite")
        .map(|rewrite| self::rewrite(&rewrite))
        .transpose()?;
    let mut edits = header_edits::read(field)?;
    let mut destinations = Vec::new();
    for item in &items {
        item.only(&["destination", "weight", "headers"])?;
        if item.child("headers").is_some() {
            let own = header_edits::read(item)?;
            if items.len() > 1 {
                let fault = format!(
                    "`{}.headers` is not served here beside other destinations",
                    item.path
                );
                return Err(item.fault(fault, "move it to the `http` entry"));
            }
            edits.append(own);
        }
        destinations.push(destination(item, items.len())?);
    }
    if destinations
        .iter()
        .map(|one| u64::from(one.weight))
        .sum::<u64>()
        == 0
    {
        return Err(list.fault(
            format!("`{}` leads nowhere", list.path),
            "add a destination with a weight",
        ));
    }
    if let Some(authority) = edits.authority {
        let rewrite = rewrite.get_or_insert_default();
        rewrite.authority.get_or_insert(authority);
    }
    let timeout = field
        .child("timeout")
        .map(|timeout| timeout.duration())
        .transpose()?;
    Ok(EntryForward {
        destinations,
        rewrite,
        request_headers: edits.request,
        response_headers: edits.response,
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
    })
}

fn destination(item: &Field<'_>, count: usize) -> Result<EntryDestination, Fault> {
    let target = item.required("destination")?;
    target.only(&["host", "port", "subset"])?;
    if let Some(subset) = target.child("subset") {
        let fault = format!("`{}` is not served here", subset.path);
        return Err(subset.fault(fault, "give the subset its own Service"));
    }
    let weight = match item.child("weight") {
        // The only destination takes everything, whatever its weight says.
        Some(weight) if count > 1 => u32::try_from(weight.number()?).unwrap_or(u32::MAX),
        None if count > 1 => 0,
        _ => 100,
    };
    let port = target.child("port").and_then(|port| port.child("number"));
    Ok(EntryDestination {
        weight,
        host: target.required("host")?.text()?.to_ascii_lowercase().into(),
        port: port.map(|port| port.port()).transpose()?,
        path: target.path.clone(),
        line: target.line(),
    })
}

fn rewrite(field: &Field<'_>) -> Result<Rewrite, Fault> {
    field.only(&["uri", "authority", "uriRegexRewrite"])?;
    let regex = match field.child("uriRegexRewrite") {
        None => None,
        Some(rewrite) => {
            let pattern = rewrite.required("match")?;
            let compiled = Regex::anywhere(pattern.text()?).map_err(|error| {
                let fault = format!("`{}` is no regular expression: {error}", pattern.path);
                pattern.fault(fault, "write RE2 syntax")
            })?;
            let with = rewrite.child_text("rewrite")?.unwrap_or_default();
            Some(PathRewrite::Regex(compiled, with))
        }
    };
    let uri = field.child_text("uri")?.filter(|uri| !uri.is_empty());
    if uri.is_some() && regex.is_some() {
        return Err(field.fault(
            format!("`{}` rewrites the path twice", field.path),
            "keep one",
        ));
    }
    Ok(Rewrite {
        path: uri.map(PathRewrite::Matched).or(regex),
        authority: field.child_text("authority")?,
    })
}

fn redirect(field: &Field<'_>) -> Result<Redirect, Fault> {
    field.only(&[
        "uri",
        "authority",
        "port",
        "derivePort",
        "scheme",
        "redirectCode",
    ])?;
    let scheme = field.child_text("scheme")?;
    let port = match (field.child("port"), field.child("derivePort")) {
        (None, None) => RedirectPort::Keep,
        (Some(port), _) => match (port.port()?, scheme.as_deref()) {
            // The default port of the scheme is not written.
            (80, Some("http")) | (443, Some("https")) => RedirectPort::Keep,
            (number, _) => RedirectPort::Number(number),
        },
        (None, Some(derive)) => match derive.text()? {
            "FROM_PROTOCOL_DEFAULT" => RedirectPort::Keep,
            "FROM_REQUEST_PORT" => RedirectPort::FromRequest,
            other => {
                let fault = format!("`{}` knows no `{other}`", derive.path);
                return Err(derive.fault(
                    fault,
                    "write `FROM_PROTOCOL_DEFAULT` or `FROM_REQUEST_PORT`",
                ));
            }
        },
    };
    if !matches!(scheme.as_deref(), None | Some("http" | "https")) {
        let fault = format!("`{}.scheme` has to be `http` or `https`", field.path);
        return Err(field.fault(fault, "write one of them"));
    }
    let code = field
        .child("redirectCode")
        .map_or(Ok(301), |code| code.number())?;
    let code = match code {
        301 | 302 | 303 | 307 | 308 => u16::try_from(code).unwrap_or(301),
        _ => {
            let fault = format!("`{}.redirectCode` cannot be {code}", field.path);
            return Err(field.fault(fault, "write 301, 302, 303, 307 or 308"));
        }
    };
    let redirect = Redirect {
        path: field.child_text("uri")?.map(PathRewrite::Whole),
        authority: field.child_text("authority")?,
        scheme,
        port,
        code,
    };
    let changes = ["uri", "authority", "scheme", "port", "derivePort"];
    if !changes.iter().any(|name| field.child(name).is_some()) {
        let fault = format!("`{}` redirects to the same place", field.path);
        return Err(field.fault(fault, "add `uri`, `authority`, `scheme` or `port`"));
    }
    Ok(redirect)
}

fn respond(field: &Field<'_>) -> Result<Respond, Fault> {
    const LARGEST: usize = 1 << 20;
    let status = field.required("status")?;
    let code = u16::try_from(status.number()?).unwrap_or(0);
    if !(200..=599).contains(&code) {
        return Err(status.fault(
            format!("`{}` cannot be {code}", status.path),
            "write 200 to 599",
        ));
    }
    let body: Vec<u8> = match field.child("body") {
        None => Vec::new(),
        Some(body) => match (body.child_text("string")?, body.child_text("bytes")?) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(bytes)) => BASE64.decode(bytes.as_bytes()).map_err(|_| {
                body.fault(format!("`{}.bytes` is no base64", body.path), "encode it")
            })?,
            _ => {
                let fault = format!("`{}` has to hold `string` or `bytes`", body.path);
                return Err(body.fault(fault, "keep one of them"));
            }
        },
    };
    if body.len() > LARGEST {
        return Err(field.fault(format!("`{}.body` is over 1 MB", field.path), "shorten it"));
    }
    Ok(Respond {
        status: code,
        body: body.into(),
    })
}
