//! `EnvoyFilter` (networking.istio.io): only the one that Kubeflow up to 1.8 put in front of its
//! gateway, an external authorizer.

use std::sync::Arc;

use super::mesh::AuthorizerEntry;
use crate::objects::{Fault, Field, Object};
use crate::snapshot::HeaderPattern;

/// Names of the filter, of its two generations.
const FILTERS: [&str; 2] = ["envoy.filters.http.ext_authz", "envoy.ext_authz"];

/// The authorizer that a filter asks for every request of the gateway, if the filter does that and
/// nothing else; otherwise what stands in the way.
pub(crate) fn authorizer(object: &Object) -> Result<AuthorizerEntry, Fault> {
    let spec = object.top().required("spec")?;
    if spec.child("filters").is_some() {
        older(object, &spec)
    } else {
        newer(object, &spec)
    }
}

/// As Istio 1.1 and before had it.
fn older(object: &Object, spec: &Field<'_>) -> Result<AuthorizerEntry, Fault> {
    spec.only(&["workloadLabels", "filters"])?;
    let filter = only_item(spec, "filters")?;
    filter.only(&[
        "filterName",
        "filterType",
        "filterConfig",
        "listenerMatch",
        "insertPosition",
    ])?;
    is_one_of(&filter.required("filterName")?, &FILTERS)?;
    let listener = filter.required("listenerMatch")?;
    listener.only(&["listenerType"])?;
    is_one_of(&listener.required("listenerType")?, &["GATEWAY"])?;
    settings(object, &filter.required("filterConfig")?)
}

/// As later ones have it.
fn newer(object: &Object, spec: &Field<'_>) -> Result<AuthorizerEntry, Fault> {
    spec.only(&["workloadSelector", "configPatches"])?;
    let patch = only_item(spec, "configPatches")?;
    patch.only(&["applyTo", "match", "patch"])?;
    is_one_of(&patch.required("applyTo")?, &["HTTP_FILTER"])?;
    let place = patch.required("match")?;
    place.only(&["context", "listener"])?;
    is_one_of(&place.required("context")?, &["GATEWAY"])?;
    if let Some(listener) = place.child("listener") {
        // Anything more would be about some listeners only.
        listener.only(&["filterChain"])?;
        let chain = listener.required("filterChain")?;
        chain.only(&["filter"])?;
        chain.required("filter")?.only(&["name", "subFilter"])?;
    }
    let patch = patch.required("patch")?;
    patch.only(&["operation", "value"])?;
    is_one_of(
        &patch.required("operation")?,
        &["INSERT_BEFORE", "INSERT_FIRST"],
    )?;
    let value = patch.required("value")?;
    value.only(&["name", "typedConfig", "config"])?;
    is_one_of(&value.required("name")?, &FILTERS)?;
    let settings_of = value.child("typedConfig").or_else(|| value.child("config"));
    match settings_of {
        Some(field) => settings(object, &field),
        None => Err(value.fault("the filter has no settings", "add `typed_config`")),
    }
}

/// Settings of Envoy's filter.
fn settings(object: &Object, field: &Field<'_>) -> Result<AuthorizerEntry, Fault> {
    field.only(&[
        "@type",
        "httpService",
        "failureModeAllow",
        "statusOnError",
        "clearRouteCache",
        "transportApiVersion",
    ])?;
    let http = field.required("httpService")?;
    http.only(&["serverUri", "authorizationRequest", "authorizationResponse"])?;
    let server = http.required("serverUri")?;
    server.only(&["uri", "cluster", "timeout", "failureModeAllow"])?;
    let cluster = server.required("cluster")?;
    let (host, port) = outbound(cluster.text()?).ok_or_else(|| {
        cluster.fault(
            "the cluster is no Service",
            "write it as `outbound|8080||name.namespace.svc.cluster.local`",
        )
    })?;
    let uri = server.required("uri")?;
    let rest = uri.text()?.split_once("://").map_or("", |(_, rest)| rest);
    if rest.trim_end_matches('/').contains('/') {
        return Err(uri.fault(
            "a check path is not supported",
            "leave the path out of `uri`",
        ));
    }
    let fail_open = field.flag("failureModeAllow")? || server.flag("failureModeAllow")?;
    let upstream_on_allow = match http.child("authorizationResponse") {
        Some(response) => headers(&response, "allowedUpstreamHeaders")?,
        None => Vec::new(),
    };
    Ok(AuthorizerEntry {
        name: format!("{}.{}", object.name(), object.namespace()).into(),
        service_host: host.into(),
        port,
        upstream_on_allow,
        downstream_on_deny: Vec::new(),
        fail_open,
        status_on_error: status(field)?,
        place: object.place.clone(),
        closed: None,
    })
}

/// Host and port of `outbound|PORT||HOST`.
fn outbound(cluster: &str) -> Option<(&str, u16)> {
    let mut parts = cluster.split('|');
    let (direction, port, subset, host) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && direction == "outbound" && subset.is_empty();
    (is_whole && !host.is_empty()).then_some((host, port.parse().ok()?))
}

/// Names in a list of patterns.
fn headers(field: &Field<'_>, name: &str) -> Result<Vec<HeaderPattern>, Fault> {
    let Some(list) = field.child(name) else {
        return Ok(Vec::new());
    };
    list.only(&["patterns"])?;
    let patterns = list.child_items("patterns")?;
    patterns
        .iter()
        .map(|pattern| {
            pattern.only(&["exact", "ignoreCase"])?;
            let exact = pattern.required("exact")?;
            Ok(HeaderPattern::Exact(
                exact.text()?.to_ascii_lowercase().into(),
            ))
        })
        .collect()
}

/// Status of the answer when the authorizer cannot be asked, by Envoy's names.
fn status(field: &Field<'_>) -> Result<u16, Fault> {
    const NAMES: [(&str, u16); 6] = [
        ("Unauthorized", 401),
        ("Forbidden", 403),
        ("InternalServerError", 500),
        ("BadGateway", 502),
        ("ServiceUnavailable", 503),
        ("GatewayTimeout", 504),
    ];
    let Some(on_error) = field.child("statusOnError") else {
        return Ok(403);
    };
    on_error.only(&["code"])?;
    let code = on_error.required("code")?;
    let text = code.node.scalar().unwrap_or_default();
    let named = NAMES.iter().find(|(name, _)| *name == text);
    let status = named.map(|(_, status)| *status).or(text.parse().ok());
    status
        .filter(|status| (400..600).contains(status))
        .ok_or_else(|| {
            code.fault(
                format!("`{text}` is no status of an error"),
                "write `Forbidden`",
            )
        })
}

fn only_item<'a>(field: &Field<'a>, name: &str) -> Result<Field<'a>, Fault> {
    let list = field.required(name)?;
    let mut items = list.items()?;
    match (items.pop(), items.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(list.fault(
            format!("`{}` has not one item", list.path),
            "keep the external authorizer alone in it",
        )),
    }
}

fn is_one_of(field: &Field<'_>, known: &[&str]) -> Result<(), Fault> {
    let text = field.text()?;
    if known.contains(&text) {
        return Ok(());
    }
    Err(field.fault(
        format!("`{}` is `{text}`", field.path),
        format!("only {} is read", known.join(" or ")),
    ))
}

/// How the authorizer is written today, as an entry of `extensionProviders`.
pub(crate) fn provider(entry: &AuthorizerEntry) -> serde_json::Value {
    let names: Vec<Arc<str>> = entry
        .upstream_on_allow
        .iter()
        .filter_map(|pattern| match pattern {
            HeaderPattern::Exact(name) => Some(Arc::clone(name)),
            _ => None,
        })
        .collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    serde_json::json!({
        "name": &*entry.name,
        "envoyExtAuthzHttp": {
            "service": &*entry.service_host,
            "port": entry.port,
            "includeRequestHeadersInCheck": ["authorization", "cookie"],
            "headersToUpstreamOnAllow": names,
            "statusOnError": entry.status_on_error.to_string(),
        },
    })
}
