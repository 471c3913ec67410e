//! `HTTPRoute`: hosts, matches, filters and backends. `GRPCRoute` and `TLSRoute` are read into the same
//! form.

use std::sync::Arc;

use super::backend_ref::BackendRef;
use super::filters::Filters;
use super::parent::RouteHead;
use super::{coded, grpc_match, http_match};
use crate::finding::{Finding, Severity, codes};
use crate::names::Duration;
use crate::objects::{Fault, Field, Object};
use crate::snapshot::{Closure, Retries, RetryOn, RouteInfo, RouteMatch};

/// An HTTPRoute, a GRPCRoute or a TLSRoute.
#[derive(Clone, Debug)]
pub(crate) struct HttpRoute {
    pub(crate) head: RouteHead,
    pub(crate) kind: RouteKind,
    pub(crate) rules: Vec<Rule>,
}

/// Which of the kinds it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteKind {
    Http,
    Grpc,
    /// Bytes by server name.
    Tls,
}

/// One of `rules`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) info: Arc<RouteInfo>,
    /// Such as `spec.rules[0]`.
    pub(crate) path: String,
    /// Alternatives; at least one.
    pub(crate) matches: Vec<RouteMatch>,
    pub(crate) work: RuleWork,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub(crate) enum RuleWork {
    /// It cannot be served as written.
    Closed(Arc<Closure>),
    /// Filters and backends.
    Act(Box<RuleAct>),
}

/// Filters and backends of a rule.
#[derive(Clone, Debug)]
pub(crate) struct RuleAct {
    pub(crate) filters: Filters,
    pub(crate) backends: Vec<BackendRef>,
    /// `timeouts.request`; zero waits for ever.
    pub(crate) timeout: Option<Duration>,
    /// `timeouts.backendRequest`; zero waits for ever.
    pub(crate) attempt_timeout: Option<Duration>,
    /// `retry`; its attempts have no limit of their own yet.
    pub(crate) retry: Option<Retries>,
}

impl HttpRoute {
    /// Reads an HTTPRoute. A rule that cannot be read is closed; a head that cannot be read leaves
    /// the route without parents.
    pub(crate) fn http(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        Self::read(object, RouteKind::Http, findings)
    }

    /// Reads a GRPCRoute, likewise.
    pub(crate) fn grpc(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        Self::read(object, RouteKind::Grpc, findings)
    }

    /// Reads a TLSRoute, likewise.
    pub(crate) fn tls(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        Self::read(object, RouteKind::Tls, findings)
    }

    fn read(object: &Arc<Object>, kind: RouteKind, findings: &mut Vec<Finding>) -> Self {
        let mut route = Self {
            head: RouteHead::new(object),
            kind,
            rules: Vec::new(),
        };
        if let Err(fault) = route.fill(object, findings) {
            route.head.parents.clear();
            findings.push(*coded(fault));
        }
        route
    }

    fn fill(&mut self, object: &Arc<Object>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        spec.only(&["parentRefs", "hostnames", "rules", "useDefaultGateways"])?;
        self.head.fill(&spec)?;
        for (index, item) in spec.child_items("rules")?.iter().enumerate() {
            self.rules.push(rule(item, index, self.kind, findings));
        }
        if spec.child("rules").is_none() && self.kind == RouteKind::Http {
            // Without rules, an HTTPRoute has one that matches everything and leads nowhere.
            self.rules.push(nowhere(&spec));
        }
        if let Some(closure) = &object.closed {
            for rule in &mut self.rules {
                rule.work = RuleWork::Closed(Arc::clone(closure));
            }
        }
        Ok(())
    }
}

fn info(field: &Field<'_>, name: Arc<str>) -> Arc<RouteInfo> {
    Arc::new(RouteInfo {
        object: field.object.reference.clone(),
        place: field.object.at(field.line()),
        name,
    })
}

fn nowhere(spec: &Field<'_>) -> Rule {
    Rule {
        info: info(spec, "rules[0]".into()),
        path: "spec.rules".to_owned(),
        matches: vec![http_match::everything()],
        work: RuleWork::Act(Box::new(RuleAct {
            filters: Filters::default(),
            backends: Vec::new(),
            timeout: None,
            attempt_timeout: None,
            retry: None,
        })),
    }
}

fn rule(field: &Field<'_>, index: usize, kind: RouteKind, findings: &mut Vec<Finding>) -> Rule {
    let name = field.node.field("name").and_then(|name| name.text());
    let name = name.map_or_else(|| format!("rules[{index}]").into(), Arc::from);
    let (matches, fault) = matches(field, kind);
    let work = match fault.map_or(Ok(()), Err).and_then(|()| act(field, kind)) {
        Ok(act) => RuleWork::Act(Box::new(act)),
        Err(mut fault) => {
            fault.code = codes::RULE_REFUSED;
            fault.severity = Severity::Error;
            let closure = Arc::new(Closure::of(&fault));
            findings.push(*fault);
            RuleWork::Closed(closure)
        }
    };
    Rule {
        info: info(field, name),
        path: field.path.clone(),
        matches,
        work,
    }
}

fn matches(field: &Field<'_>, kind: RouteKind) -> (Vec<RouteMatch>, Option<Fault>) {
    let items = match field.child_items("matches") {
        Ok(items) => items,
        Err(fault) => return (vec![http_match::everything()], Some(fault)),
    };
    if items.is_empty() {
        return (vec![http_match::everything()], None);
    }
    let mut first_fault = None;
    let mut all = Vec::new();
    for item in &items {
        let (read, fault) = match kind {
            RouteKind::Grpc => grpc_match::read(item),
            RouteKind::Http | RouteKind::Tls => http_match::read(item),
        };
        all.push(read);
        first_fault = first_fault.or(fault);
    }
    (all, first_fault)
}

fn act(field: &Field<'_>, kind: RouteKind) -> Result<RuleAct, Fault> {
    if kind == RouteKind::Tls {
        field.only(&["name", "backendRefs"])?;
    }
    field.only(&[
        "name",
        "matches",
        "filters",
        "backendRefs",
        "timeouts",
        "retry",
        "sessionPersistence",
    ])?;
    if let Some(persistence) = field.child("sessionPersistence") {
        let fault = format!("`{}` is not served here", persistence.path);
        return Err(persistence.fault(fault, "remove it"));
    }
    let mut act = RuleAct {
        filters: Filters::read(field, kind)?,
        backends: Vec::new(),
        timeout: None,
        attempt_timeout: None,
        retry: field
            .child("retry")
            .map(|retry| self::retry(&retry))
            .transpose()?,
    };
    for item in field.child_items("backendRefs")? {
        act.backends.push(BackendRef::read(&item, kind)?);
    }
    if act.filters.redirect.is_some() && !act.backends.is_empty() {
        let fault = format!("`{}` redirects and has backends", field.path);
        return Err(field.fault(fault, "remove `backendRefs`"));
    }
    if let Some(timeouts) = field.child("timeouts") {
        timeouts.only(&["request", "backendRequest"])?;
        let span = |name| timeouts.child(name).map(|span| span.duration()).transpose();
        act.timeout = span("request")?;
        act.attempt_timeout = span("backendRequest")?;
    }
    Ok(act)
}

fn retry(field: &Field<'_>) -> Result<Retries, Fault> {
    field.only(&["codes", "attempts", "backoff"])?;
    let usual = Retries::istio_default();
    let mut statuses = Vec::new();
    for item in field.child_items("codes")? {
        let code = u16::try_from(item.number()?).unwrap_or(0);
        if !(400..=599).contains(&code) {
            let fault = format!("`{}` is no status to try again on", item.path);
            return Err(item.fault(fault, "write a status from 400 to 599"));
        }
        statuses.push(code);
    }
    let attempts = match field.child("attempts") {
        None => usual.attempts,
        Some(attempts) => u32::try_from(attempts.number()?).unwrap_or(u32::MAX),
    };
    let back_off = field.child("backoff").map(|span| span.duration());
    Ok(Retries {
        attempts,
        attempt_timeout: None,
        // Whatever the codes, an attempt that got no answer is tried again.
        on: RetryOn {
            connect_failure: true,
            refused_stream: true,
            reset: true,
            statuses,
            ..RetryOn::default()
        },
        back_off: back_off.transpose()?.unwrap_or(usual.back_off),
    })
}
