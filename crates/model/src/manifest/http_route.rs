//! `VirtualService` `http[]`: what happens to a matching request.

use std::sync::Arc;

use super::header_edits::{self, Edits};
use super::http_answer::{redirect, respond};
use super::http_mirror::{self, EntryMirror};
use super::http_retries::{self, RetrySetting};
use super::knative::Pods;
use super::{http_cors, http_fault};
use crate::finding::Finding;
use crate::names::Duration;
use crate::objects::{Fault, Field};
use crate::snapshot::{
    Closure, Cors, FaultInjection, HeaderEdits, PathRewrite, Redirect, Regex, Respond, Rewrite,
    UriMatch,
};

/// What an entry does, destinations still by name.
#[derive(Clone, Debug)]
pub(crate) enum EntryAction {
    Forward(EntryForward),
    Redirect(Redirect),
    Respond(Respond),
    /// Another VirtualService says what happens.
    Delegate(EntryDelegate),
    Closed(Arc<Closure>),
}

/// `delegate`.
#[derive(Clone, Debug)]
pub(crate) struct EntryDelegate {
    /// The VirtualService's own namespace when it is left out.
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) name: Arc<str>,
    /// Such as `spec.http[0].delegate`.
    pub(crate) path: String,
    pub(crate) line: u32,
}

/// Forwarding, before destinations are looked up.
#[derive(Clone, Debug)]
pub(crate) struct EntryForward {
    pub(crate) destinations: Vec<EntryDestination>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: RetrySetting,
    pub(crate) mirrors: Vec<EntryMirror>,
    pub(crate) fault: Option<FaultInjection>,
}

/// One of `route`.
#[derive(Clone, Debug)]
pub(crate) struct EntryDestination {
    pub(crate) weight: u32,
    pub(crate) host: Arc<str>,
    pub(crate) port: Option<u16>,
    pub(crate) subset: Option<Arc<str>>,
    /// Header edits for this destination alone; those of the only one stand in the entry's.
    pub(crate) edits: Edits,
    /// Such as `spec.http[0].route[0].destination`.
    pub(crate) path: String,
    pub(crate) line: u32,
    /// What stands behind a name that Knative or KServe gives, whether its Service is among the
    /// manifests or not.
    pub(crate) backing: Option<Arc<Pods>>,
}

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

/// Reads what an entry does. `uris` are the conditions on the path under which it does.
pub(super) fn read(
    field: &Field<'_>,
    uris: &[Option<&UriMatch>],
    findings: &mut Vec<Finding>,
) -> Result<EntryAction, Fault> {
    field.only(&FIELDS)?;
    let given = |name| field.child(name);
    let actions = ["route", "redirect", "directResponse", "delegate"];
    let [route, redirected, response, delegate] = actions.map(given);
    match (route, redirected, response, delegate) {
        (Some(_), None, None, None) => forward(field, findings).map(EntryAction::Forward),
        (None, Some(redirected), None, None) => {
            not_beside(field, "redirect")?;
            let headers = answer_edits(field)?;
            redirect(&redirected, headers, uris).map(EntryAction::Redirect)
        }
        (None, None, Some(response), None) => {
            not_beside(field, "directResponse")?;
            let headers = answer_edits(field)?;
            respond(&response, headers).map(EntryAction::Respond)
        }
        (None, None, None, Some(delegate)) => {
            // What is wrong with the rest is said where it stands.
            read_rest(field, findings)?;
            self::delegate(&delegate).map(EntryAction::Delegate)
        }
        (None, None, None, None) => Err(field.fault(
            format!("`{}` does nothing", field.path),
            "add one of `route`, `redirect`, `directResponse`, `delegate`",
        )),
        _ => Err(field.fault(
            format!("`{}` holds actions that exclude each other", field.path),
            "keep one of `route` (with `rewrite`), `redirect`, `directResponse`, `delegate`",
        )),
    }
}

/// `corsPolicy` of an entry.
pub(super) fn cors(field: &Field<'_>) -> Result<Option<Arc<Cors>>, Fault> {
    let policy = field.child("corsPolicy");
    policy
        .map(|policy| http_cors::read(&policy).map(Arc::new))
        .transpose()
}

/// Answers that are made here are neither rewritten nor made to fail.
fn not_beside(field: &Field<'_>, action: &str) -> Result<(), Fault> {
    for name in ["rewrite", "fault"] {
        if let Some(other) = field.child(name) {
            let fault = format!("`{}` cannot stand beside `{action}`", other.path);
            return Err(other.fault(fault, "remove one of them"));
        }
    }
    Ok(())
}

fn answer_edits(field: &Field<'_>) -> Result<HeaderEdits, Fault> {
    header_edits::read(field).map(|edits| edits.response)
}

fn delegate(field: &Field<'_>) -> Result<EntryDelegate, Fault> {
    field.only(&["name", "namespace"])?;
    let namespace = field.child_text("namespace")?;
    Ok(EntryDelegate {
        namespace: namespace.filter(|namespace| !namespace.is_empty()),
        name: field.required("name")?.text()?.into(),
        path: field.path.clone(),
        line: field.line(),
    })
}

/// Everything of a forwarding entry but its destinations.
struct Rest {
    rewrite: Option<Rewrite>,
    edits: Edits,
    timeout: Option<Duration>,
    retries: RetrySetting,
    mirrors: Vec<EntryMirror>,
    fault: Option<FaultInjection>,
}

fn read_rest(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Rest, Fault> {
    let rewrite = field.child("rewrite");
    let timeout = field.child("timeout");
    let retries = field.child("retries");
    let fault = field.child("fault");
    Ok(Rest {
        rewrite: rewrite.map(|rewrite| self::rewrite(&rewrite)).transpose()?,
        edits: header_edits::read(field)?,
        timeout: timeout
            .map(|timeout| timeout.duration())
            .transpose()?
            .filter(|timeout| !timeout.is_zero()),
        retries: retries.map_or(Ok(RetrySetting::Default), |retries| {
            http_retries::read(&retries, findings)
        })?,
        mirrors: http_mirror::read(field)?,
        fault: fault
            .map(|fault| http_fault::read(&fault, findings))
            .transpose()?,
    })
}

fn forward(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<EntryForward, Fault> {
    let list = field.required("route")?;
    let items = list.items()?;
    let Rest {
        mut rewrite,
        mut edits,
        timeout,
        retries,
        mirrors,
        fault,
    } = read_rest(field, findings)?;
    let mut destinations = Vec::new();
    for item in &items {
        item.only(&["destination", "weight", "headers"])?;
        let mut destination = destination(item, items.len())?;
        if items.len() == 1 {
            edits.append(std::mem::take(&mut destination.edits));
        }
        destinations.push(destination);
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
    Ok(EntryForward {
        destinations,
        rewrite,
        request_headers: edits.request,
        response_headers: edits.response,
        timeout,
        retries,
        mirrors,
        fault,
    })
}

/// The destinations of a route that has nothing but them.
pub(super) fn destinations(field: &Field<'_>) -> Result<Vec<EntryDestination>, Fault> {
    let list = field.required("route")?;
    let items = list.items()?;
    let mut destinations = Vec::new();
    for item in &items {
        item.only(&["destination", "weight"])?;
        destinations.push(destination(item, items.len())?);
    }
    let weights = destinations.iter().map(|one| u64::from(one.weight));
    if weights.sum::<u64>() == 0 {
        return Err(list.fault(
            format!("`{}` leads nowhere", list.path),
            "add a destination with a weight",
        ));
    }
    Ok(destinations)
}

fn destination(item: &Field<'_>, count: usize) -> Result<EntryDestination, Fault> {
    let weight = match item.child("weight") {
        // The only destination takes everything, whatever its weight says.
        Some(weight) if count > 1 => u32::try_from(weight.number()?).unwrap_or(u32::MAX),
        None if count > 1 => 0,
        _ => 100,
    };
    Ok(EntryDestination {
        weight,
        edits: header_edits::read(item)?,
        ..destination_of(&item.required("destination")?)?
    })
}

/// `Destination`: a host, a port and a subset.
pub(super) fn destination_of(target: &Field<'_>) -> Result<EntryDestination, Fault> {
    target.only(&["host", "port", "subset"])?;
    let port = target.child("port");
    if let Some(port) = &port {
        port.only(&["number"])?;
    }
    let port = port.and_then(|port| port.child("number"));
    let subset = target.child_text("subset")?;
    Ok(EntryDestination {
        weight: 100,
        host: target.required("host")?.text()?.to_ascii_lowercase().into(),
        port: port.map(|port| port.port()).transpose()?,
        subset: subset.filter(|subset| !subset.is_empty()),
        edits: Edits::default(),
        path: target.path.clone(),
        line: target.line(),
        backing: None,
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
