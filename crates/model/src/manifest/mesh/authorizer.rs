//! `meshConfig.extensionProviders`: external authorizers.

use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::names::Place;
use crate::objects::{Fault, Field, closest};
use crate::snapshot::{Closure, HeaderPattern};

/// An external authorizer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AuthorizerEntry {
    /// `name`.
    pub(crate) name: Arc<str>,
    /// `service` without a namespace before it; empty when it could not be read.
    pub(crate) service_host: Arc<str>,
    /// `port`; 0 when it could not be read.
    pub(crate) port: u16,
    /// `headersToUpstreamOnAllow`.
    pub(crate) upstream_on_allow: Vec<HeaderPattern>,
    /// `headersToDownstreamOnDeny`.
    pub(crate) downstream_on_deny: Vec<HeaderPattern>,
    /// `failOpen`.
    pub(crate) fail_open: bool,
    /// `statusOnError`.
    pub(crate) status_on_error: u16,
    /// Where the entry stands.
    pub(crate) place: Place,
    /// Set when the entry cannot be read: every question is answered no.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// `statusOnError` unless set.
const FORBIDDEN: u16 = 403;

/// Reads one of `extensionProviders` and adds it when it is an authorizer.
pub(super) fn read(
    entries: &mut Vec<AuthorizerEntry>,
    item: &Field<'_>,
    findings: &mut Vec<Finding>,
) {
    let (http, grpc) = (
        item.child("envoyExtAuthzHttp"),
        item.child("envoyExtAuthzGrpc"),
    );
    if http.is_none() && grpc.is_none() {
        return; // Tracing and logging providers decide nothing.
    }
    let place = item.object.at(item.line());
    let Some(name) = item.node.field("name").and_then(|name| name.text()) else {
        let mut fault = item.fault(format!("`{}.name` is missing", item.path), "add `name`");
        fault.code = codes::AUTHORIZER_INVALID;
        findings.push(*fault);
        return;
    };
    let mut entry = AuthorizerEntry {
        name: name.into(),
        service_host: "".into(),
        port: 0,
        upstream_on_allow: Vec::new(),
        downstream_on_deny: Vec::new(),
        fail_open: false,
        status_on_error: FORBIDDEN,
        place,
        closed: None,
    };
    let filled = match (&http, &grpc) {
        (Some(_), Some(_)) => Err(item.fault(
            format!("the provider `{name}` has both an HTTP and a gRPC authorizer"),
            "split it into two providers",
        )),
        (Some(settings), None) => fill_http(&mut entry, settings, findings),
        (None, Some(settings)) => fill_service(&mut entry, settings, GRPC, findings),
        (None, None) => Ok(()),
    };
    if let Err(mut fault) = filled {
        fault.code = codes::AUTHORIZER_INVALID;
        entry.closed = Some(Arc::new(Closure::of(&fault)));
        findings.push(*fault);
    }
    if let Some(twin) = entries.iter_mut().find(|other| *other.name == *name) {
        let fault = format!("two extension providers are named `{name}`");
        let (code, error) = (codes::AUTHORIZER_INVALID, Severity::Error);
        let finding = item.finding(code, error, fault, "rename or remove one of them");
        twin.closed
            .get_or_insert_with(|| Arc::new(Closure::of(&finding)));
        findings.push(finding);
        return;
    }
    entries.push(entry);
}

const GRPC: &[&str] = &[
    "service",
    "port",
    "timeout",
    "failOpen",
    "statusOnError",
    "clearRouteCache",
    "includeRequestBodyInCheck",
];

const HTTP: &[&str] = &[
    "service",
    "port",
    "timeout",
    "failOpen",
    "statusOnError",
    "clearRouteCache",
    "includeRequestBodyInCheck",
    "pathPrefix",
    "includeRequestHeadersInCheck",
    "includeHeadersInCheck",
    "includeAdditionalHeadersInCheck",
    "headersToUpstreamOnAllow",
    "headersToDownstreamOnDeny",
    "headersToDownstreamOnAllow",
];

fn fill_service(
    entry: &mut AuthorizerEntry,
    settings: &Field<'_>,
    known: &[&str],
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    if let Err(fault) = settings.only(known) {
        // Istio ignores it, and every setting it could have meant is safest when unset.
        let mut finding = *fault;
        finding.severity = Severity::Warning;
        findings.push(finding);
    }
    let service = settings.required("service")?;
    let host = service.text()?;
    let host = host.split_once('/').map_or(host, |(_, host)| host);
    if !host.contains('.') {
        let fault = format!("`{host}` is no full host name, and short ones are not resolved");
        return Err(service.fault(fault, format!("write `{host}.NAMESPACE.svc.cluster.local`")));
    }
    entry.service_host = host.into();
    entry.port = settings.required("port")?.port()?;
    if let Some(timeout) = settings.child("timeout") {
        timeout.duration()?;
    }
    entry.fail_open = settings.flag("failOpen")?;
    if entry.fail_open {
        let fault = format!(
            "requests pass when the authorizer `{}` cannot be reached",
            entry.name
        );
        findings.push(settings.finding(
            codes::AUTHORIZER_SETTING,
            Severity::Warning,
            fault,
            "remove `failOpen`",
        ));
    }
    if let Some(status) = settings.child("statusOnError") {
        let text = status.node.scalar().unwrap_or_default();
        let number = text.parse().ok().filter(|code| (200..600).contains(code));
        entry.status_on_error = number.ok_or_else(|| {
            status.fault(format!("`{text}` is no HTTP status"), "write `\"403\"`")
        })?;
    }
    Ok(())
}

fn fill_http(
    entry: &mut AuthorizerEntry,
    settings: &Field<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    fill_service(entry, settings, HTTP, findings)?;
    if let Some(prefix) = settings.child("pathPrefix") {
        let text = prefix.text()?;
        if !text.is_empty() {
            // The check would see other paths than the ones its own rules name.
            let fault = format!("a check path that begins with `{text}` is not supported yet");
            return Err(prefix.fault(fault, "remove `pathPrefix`"));
        }
    }
    entry.upstream_on_allow = patterns(settings, "headersToUpstreamOnAllow")?;
    entry.downstream_on_deny = patterns(settings, "headersToDownstreamOnDeny")?;
    patterns(settings, "headersToDownstreamOnAllow")?;
    let mut warn = |field: &Field<'_>, fault: String, remedy: &str| {
        let (code, warning) = (codes::AUTHORIZER_SETTING, Severity::Warning);
        findings.push(field.finding(code, warning, fault, remedy));
    };
    let new = patterns(settings, "includeRequestHeadersInCheck")?;
    let old = patterns(settings, "includeHeadersInCheck")?;
    if let Some(field) = settings.child("includeHeadersInCheck") {
        if new.is_empty() {
            let fault = "`includeHeadersInCheck` is deprecated".to_owned();
            warn(&field, fault, "rename it to `includeRequestHeadersInCheck`");
        } else {
            let fault = "`includeHeadersInCheck` is ignored beside `includeRequestHeadersInCheck`";
            warn(&field, fault.to_owned(), "remove `includeHeadersInCheck`");
        }
    }
    let sent = if new.is_empty() { old } else { new };
    if !sent.iter().any(|pattern| pattern.covers("cookie")) {
        let fault = format!(
            "Istio would not show cookies to the authorizer `{}`",
            entry.name
        );
        warn(
            settings,
            fault,
            "add `cookie` to `includeRequestHeadersInCheck`",
        );
    }
    Ok(())
}

fn patterns(settings: &Field<'_>, name: &str) -> Result<Vec<HeaderPattern>, Fault> {
    let items = settings.child_items(name)?;
    items.iter().map(|item| pattern(item)).collect()
}

fn pattern(item: &Field<'_>) -> Result<HeaderPattern, Fault> {
    let text = item.text()?.to_ascii_lowercase();
    let pattern = match (text.strip_suffix('*'), text.strip_prefix('*')) {
        (Some(prefix), _) => HeaderPattern::Prefix(prefix.into()),
        (None, Some(suffix)) => HeaderPattern::Suffix(suffix.into()),
        (None, None) => HeaderPattern::Exact(text.as_str().into()),
    };
    let (HeaderPattern::Exact(rest) | HeaderPattern::Prefix(rest) | HeaderPattern::Suffix(rest)) =
        &pattern;
    if http::HeaderName::try_from(&**rest).is_err() || rest.contains('*') {
        let fault = format!("`{text}` is no header name");
        let remedy = match closest(
            &text,
            ["authorization", "cookie", "content-type"].into_iter(),
        ) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "write a name, `name*` or `*name`".to_owned(),
        };
        return Err(item.fault(fault, remedy));
    }
    Ok(pattern)
}
