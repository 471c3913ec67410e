//! Findings about how objects fit together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::identity::key;
use super::listeners::{Seated, common_hosts};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::{Gateway, Speaks};
use crate::manifest::http_route::EntryAction;
use crate::manifest::service::is_subset;
use crate::manifest::virtual_service::VirtualService;
use crate::names::HostPattern;
use crate::objects::{Object, closest};
use crate::snapshot::{Identity, Listener, Route, RouteAction};
use crate::world::{Key, World};

use super::destinations::{full_host, service_key};
use super::routes::is_catch_all;
use super::serving::EXAMPLE_DOMAIN;

/// Gateways that configure another workload.
pub(super) fn other_gateways(
    gateways: &[Gateway],
    identity: &Identity,
    findings: &mut Vec<Finding>,
) {
    for gateway in gateways
        .iter()
        .filter(|one| !is_subset(&one.selector, &identity.labels))
    {
        findings.push(gateway.object.finding(
            codes::OTHER_GATEWAY,
            Severity::Note,
            gateway.object.place.line,
            "spec.selector",
            "this `Gateway` selects another workload than the ingress gateway, so it is not served here",
            "nothing to do, unless it was meant for the ingress gateway",
        ));
    }
}

/// VirtualServices that no request can reach.
pub(super) fn bindings(
    routes: &[VirtualService],
    gateways: &[Gateway],
    identity: &Identity,
    delegates: &HashSet<Key>,
    findings: &mut Vec<Finding>,
) {
    let by_name: HashMap<Key, &Gateway> = gateways.iter().map(|one| (key(one), one)).collect();
    let mut near: HashMap<&Key, String> = HashMap::new();
    for service in routes {
        let object = &service.object;
        let own = (Arc::clone(object.namespace()), Arc::clone(object.name()));
        if service.hosts.is_empty() && delegates.contains(&own) {
            // Others serve it under their hosts and gateways.
            continue;
        }
        let mut say = |code, severity, field: &str, fault: String, remedy: String| {
            findings.push(object.finding(
                code,
                severity,
                line_of(object, field),
                field,
                fault,
                remedy,
            ));
        };
        let readable = service.closed.is_none() && object.closed.is_none();
        if readable && service.hosts.is_empty() {
            say(
                codes::NO_HOSTS,
                Severity::Error,
                "spec.hosts",
                "this `VirtualService` has no `hosts`, so it routes nothing".to_owned(),
                "add `hosts`; a patch is applied together with what it patches".to_owned(),
            );
        }
        if service.mesh_only {
            say(
                codes::MESH_ONLY,
                Severity::Warning,
                "spec.gateways",
                "this `VirtualService` names no `gateways`, so it is about sidecars only"
                    .to_owned(),
                "add `gateways` to route requests from outside".to_owned(),
            );
        }
        let mut selected = Vec::new();
        for name in &service.gateways {
            match by_name.get(name) {
                None => say(
                    codes::UNKNOWN_GATEWAY,
                    Severity::Error,
                    "spec.gateways",
                    format!("the `Gateway` `{}/{}` does not exist", name.0, name.1),
                    near.entry(name)
                        .or_insert_with(|| near_gateway(name, gateways))
                        .clone(),
                ),
                Some(gateway) if is_subset(&gateway.selector, &identity.labels) => {
                    selected.push(*gateway);
                }
                Some(_) => {}
            }
        }
        if selected.is_empty() || service.hosts.is_empty() {
            continue;
        }
        if service.rank_in(&identity.namespace).is_none() {
            say(
                codes::NOT_EXPORTED,
                Severity::Error,
                "spec.exportTo",
                format!(
                    "this `VirtualService` is not exported to `{}`",
                    identity.namespace
                ),
                "add that namespace to `exportTo`".to_owned(),
            );
        } else if selected.iter().all(|gateway| {
            gateway
                .servers
                .iter()
                .all(|server| common_hosts(service, &server.hosts).is_empty())
        }) {
            say(
                codes::NO_COMMON_HOST,
                Severity::Error,
                "spec.hosts",
                "no server of the `Gateway`s that it names serves these hosts to it".to_owned(),
                "make hosts and namespaces of both agree".to_owned(),
            );
        }
        unreachable_entries(service, findings);
    }
}

fn near_gateway(name: &Key, gateways: &[Gateway]) -> String {
    let full =
        |gateway: &Gateway| format!("{}/{}", gateway.object.namespace(), gateway.object.name());
    let same_name = gateways
        .iter()
        .find(|gateway| *gateway.object.name() == name.1)
        .map(full);
    let names: Vec<String> = gateways.iter().map(full).collect();
    let wanted = format!("{}/{}", name.0, name.1);
    let near =
        same_name.or_else(|| closest(&wanted, names.iter().map(String::as_str)).map(str::to_owned));
    near.map_or_else(
        || "add it, or name another".to_owned(),
        |near| format!("did you mean `{near}`?"),
    )
}

fn unreachable_entries(service: &VirtualService, findings: &mut Vec<Finding>) {
    let takes_all = |entry: &&crate::manifest::virtual_service::HttpEntry| {
        // A delegate may leave some over.
        if matches!(entry.action, EntryAction::Delegate(_)) {
            return false;
        }
        entry.matches.is_empty()
            || entry.matches.iter().any(|one| {
                let unconditional = one.gateways.is_empty()
                    && one.source_labels.is_empty()
                    && one.source_namespace.is_none()
                    && one.conditions.port.is_none()
                    && one.closed.is_none();
                unconditional && is_catch_all(&one.conditions)
            })
    };
    let Some(at) = service.http.iter().position(|entry| takes_all(&entry)) else {
        return;
    };
    for (index, entry) in service.http.iter().enumerate().skip(at + 1) {
        findings.push(service.object.finding(
            codes::UNREACHABLE_ROUTE,
            Severity::Warning,
            entry.info.place.line,
            format!("spec.http[{index}]"),
            format!("`spec.http[{at}]` takes every request, so this route is never reached"),
            "move it up",
        ));
    }
}

/// The line of `spec.hosts` and the like; of the object where it is absent.
fn line_of(object: &Object, field: &str) -> u32 {
    let path: Vec<&str> = field.split('.').collect();
    object
        .root
        .path(&path)
        .map_or(object.place.line, |node| node.line)
}

/// Gateways without TLS that sign-in goes through.
pub(super) fn plain_logins(
    ports: &BTreeMap<u16, Vec<Seated<'_>>>,
    routes: &[VirtualService],
    sign_in: &dyn Fn(&Key) -> bool,
    findings: &mut Vec<Finding>,
) {
    let seated = || ports.values().flatten();
    let speaks_tls = |one: &&Seated<'_>| {
        !matches!(
            one.server.speaks,
            Speaks::Http {
                https_redirect: false
            }
        )
    };
    let mut settled: HashSet<Key> = seated()
        .filter(speaks_tls)
        .map(|one| key(one.gateway))
        .collect();
    let leading = routes.iter().filter(|service| leads_to(service, sign_in));
    let carrying: HashSet<&Key> = leading.flat_map(|service| &service.gateways).collect();
    for one in seated() {
        let name = key(one.gateway);
        if !carrying.contains(&name) || !settled.insert(name) {
            continue;
        }
        findings.push(one.gateway.object.finding(
            codes::PLAIN_HTTP,
            Severity::Warning,
            one.server.line,
            one.server.path.clone(),
            format!(
                "`{}` serves sign-in on plain HTTP: port {} has no TLS",
                one.gateway.object.reference, one.server.port
            ),
            "doorward serves it over HTTPS too and redirects there, unless `--https-upgrade off`; add a server with `protocol: HTTPS`",
        ));
    }
}

fn leads_to(service: &VirtualService, wanted: &dyn Fn(&Key) -> bool) -> bool {
    service.http.iter().any(|entry| {
        let EntryAction::Forward(forward) = &entry.action else {
            return false;
        };
        forward.destinations.iter().any(|one| {
            service_key(&full_host(&one.host, entry.scope.namespace()))
                .is_some_and(|key| wanted(&key))
        })
    })
}

/// Hosts with routes of their own and none for `/`, while another virtual host would answer there:
/// there is no falling through.
pub(super) fn hidden(listeners: &BTreeMap<u16, Listener>, findings: &mut Vec<Finding>) {
    let takes_all = |route: &Arc<Route>| {
        let closed = matches!(route.action, RouteAction::Closed(_));
        closed || route.matches.is_empty() || route.matches.iter().any(is_catch_all)
    };
    let mut told = BTreeSet::new();
    for hosts in listeners.values().flat_map(Listener::virtual_hosts) {
        let rest = hosts.routes_of_any();
        if !rest.is_some_and(|routes| routes.iter().any(takes_all)) {
            continue;
        }
        for (pattern, routes) in hosts.iter() {
            let Some(first) = routes.first().filter(|_| !routes.iter().any(takes_all)) else {
                continue;
            };
            if pattern == HostPattern::Any || !told.insert(pattern.clone()) {
                continue;
            }
            let info = &first.info;
            // Hosts that somebody wrote are looked at with their routes.
            if !is_made_of(&info.object.kind) {
                continue;
            }
            let is_example = pattern.covers(EXAMPLE_DOMAIN);
            let is_made = &*info.object.kind == "InferenceService";
            findings.push(Finding {
                code: codes::HOST_HIDES_REST,
                severity: if is_made && !is_example {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                place: Some(info.place.clone()),
                object: Some(info.object.clone()),
                field: String::new(),
                fault: format!(
                    "`{pattern}` has routes of its own and none for `/`, so what is served on `*` answers 404 there"
                ),
                remedy: format!(
                    "add `{pattern}` to `hosts` of the server of the `Gateway`, or a route for `/`"
                ),
            });
        }
    }
}

/// Whether objects of this kind make routes by themselves.
pub(super) fn is_made_of(kind: &str) -> bool {
    matches!(kind, "InferenceService" | "Service" | "Route")
}

/// Whether the manifests hold anything at all.
pub(super) fn empty(world: &World) -> Option<Finding> {
    (world.counts.is_empty() && world.broken.is_empty()).then(|| Finding {
        code: codes::EMPTY,
        severity: Severity::Note,
        place: None,
        object: None,
        field: String::new(),
        fault: "the manifests hold no object".to_owned(),
        remedy: "point `--manifests` at a file or directory of Kubernetes YAML".to_owned(),
    })
}

/// No `Gateway` opens a port here.
pub(super) fn no_gateway(identity: &Identity, has_objects: bool, findings: &mut Vec<Finding>) {
    if has_objects {
        let labels: Vec<String> = identity
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        findings.push(Finding {
            code: codes::NO_GATEWAY,
            severity: Severity::Warning,
            place: None,
            object: None,
            field: String::new(),
            fault: "no `Gateway` selects the ingress gateway, so nothing is served".to_owned(),
            remedy: format!(
                "add a `Gateway` whose `selector` is among {}",
                labels.join(", ")
            ),
        });
    }
}
