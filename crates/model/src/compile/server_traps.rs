//! Servers, sign-in and certificates that work as written and probably not as meant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use url::Url;

use super::destinations::full_host;
use super::listeners::Seated;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::{Inside, Speaks};
use crate::manifest::http_route::EntryAction;
use crate::manifest::mesh::Mesh;
use crate::manifest::virtual_service::VirtualService;
use crate::names::HostPattern;
use crate::objects::{Object, string_map};
use crate::snapshot::{
    Destination, Listener, Login, PlayedBy, RouteAction, TextMatch, VirtualHosts,
};
use crate::world::World;

/// HTTPS servers to whose hosts nobody leads plain HTTP.
pub(super) fn without_redirect(
    ports: &BTreeMap<u16, Vec<Seated<'_>>>,
    findings: &mut Vec<Finding>,
) {
    let leads = |host: &HostPattern| {
        let plain = ports.get(&80).into_iter().flatten();
        plain
            .filter(|one| {
                matches!(
                    one.server.speaks,
                    Speaks::Http {
                        https_redirect: true
                    }
                )
            })
            .flat_map(|one| &one.server.hosts)
            .any(|other| other.pattern.intersection(host).as_ref() == Some(host))
    };
    for one in ports.get(&443).into_iter().flatten() {
        let ends_tls =
            matches!(&one.server.speaks, Speaks::Tls(tls) if tls.inside != Inside::Untouched);
        let mut hosts = one.server.hosts.iter().map(|host| &host.pattern);
        let Some(host) = hosts.find(|host| !leads(host)).filter(|_| ends_tls) else {
            continue;
        };
        findings.push(one.gateway.object.finding(
            codes::NO_HTTPS_REDIRECT,
            Severity::Note,
            one.server.line,
            one.server.path.clone(),
            format!("no server leads plain HTTP for `{host}` to HTTPS"),
            "doorward does on port 80, unless `--https-upgrade off`; add a server on port 80 with `tls: {httpsRedirect: true}`",
        ));
    }
}

/// Load balancers that speak HTTP, before a gateway that trusts none.
pub(super) fn distrusted_balancer(world: &World, mesh: &Mesh, findings: &mut Vec<Finding>) {
    if mesh.trusted_hops > 0 {
        return;
    }
    for object in world.of_kind("Ingress") {
        let annotations = string_map(object.root.path(&["metadata", "annotations"]));
        if annotations
            .keys()
            .any(|name| name.starts_with("alb.ingress.kubernetes.io/"))
        {
            findings.push(object.finding(
                codes::BALANCER_DISTRUSTED,
                Severity::Warning,
                object.place.line,
                "metadata.annotations",
                "this asks for a load balancer that speaks HTTP, and the gateway trusts no hop: every client has the balancer's address",
                "write `gatewayTopology: {numTrustedProxies: 1}` into `defaultConfig` of the mesh configuration",
            ));
        }
    }
}

/// Sign-out by a redirect that browsers keep: the second time nobody is signed out.
pub(super) fn lasting_sign_out(services: &[VirtualService], findings: &mut Vec<Finding>) {
    const SIGN_OUT: [&str; 4] = ["logout", "sign_out", "signout", "log_out"];
    for entry in services.iter().flat_map(|service| &service.http) {
        let EntryAction::Redirect(redirect) = &entry.action else {
            continue;
        };
        let is_kept = matches!(redirect.code, 301 | 308);
        let exact = entry.matches.iter().find_map(|one| {
            match one.conditions.uri.as_ref().map(|uri| &uri.text) {
                Some(TextMatch::Exact(path)) => Some(path),
                _ => None,
            }
        });
        let Some(path) = exact.filter(|path| {
            let last = path.trim_end_matches('/').rsplit('/').next();
            is_kept && last.is_some_and(|last| SIGN_OUT.contains(&last))
        }) else {
            continue;
        };
        findings.push(entry.scope.finding(
            codes::LASTING_SIGN_OUT,
            Severity::Warning,
            entry.info.place.line,
            "spec.http.redirect",
            format!(
                "browsers keep a {} for `{path}` and may not ask again",
                redirect.code
            ),
            "write `redirectCode: 302`",
        ));
    }
}

/// Login proxies that send people back to a host that is not served.
pub(super) fn foreign_callback(
    logins: &[Arc<Login>],
    listeners: &BTreeMap<u16, Listener>,
    findings: &mut Vec<Finding>,
) {
    for login in logins {
        let url = login
            .redirect_url
            .as_deref()
            .and_then(|url| Url::parse(url).ok());
        let Some(host) = url.as_ref().and_then(Url::host_str) else {
            continue;
        };
        let host = host.to_ascii_lowercase();
        if listeners.is_empty() || listeners.values().any(|one| one.covers(&host)) {
            continue;
        }
        findings.push(Finding {
            code: codes::FOREIGN_CALLBACK,
            severity: Severity::Warning,
            place: Some(login.place.clone()),
            object: Some(login.object.clone()),
            field: "redirect_url".to_owned(),
            fault: format!("people come back from sign-in to `{host}`, which no `Gateway` serves"),
            remedy: "name a served host, or leave `redirect_url` out".to_owned(),
        });
    }
}

/// `Certificate`s that write into one Secret in turns.
pub(super) fn shared_secrets(world: &World, findings: &mut Vec<Finding>) {
    let mut first: HashMap<(&str, String), &Arc<Object>> = HashMap::new();
    for object in world.of_kind("Certificate") {
        let Some(name) = object.spec().and_then(|spec| spec.child("secretName")) else {
            continue;
        };
        let Some(text) = name.node.text() else {
            continue;
        };
        let key = (&**object.namespace(), text.to_owned());
        let Some(other) = first.get(&key) else {
            first.insert(key, object);
            continue;
        };
        findings.push(object.finding(
            codes::CERTIFICATE_UNUSUAL,
            Severity::Warning,
            name.line(),
            "spec.secretName",
            format!(
                "the Secret `{text}` is also that of `{}` ({}), and each overwrites the other's",
                other.reference, other.place
            ),
            "give each a Secret of its own",
        ));
    }
}

/// Routes to an authorizer's host on another port than the mesh asks it on. Where its Service is
/// known, that says which ports there are.
pub(super) fn authorizer_ports(
    services: &[VirtualService],
    mesh: &Mesh,
    world: &World,
    findings: &mut Vec<Finding>,
) {
    for entry in services.iter().flat_map(|service| &service.http) {
        let EntryAction::Forward(forward) = &entry.action else {
            continue;
        };
        for one in &forward.destinations {
            let host = full_host(&one.host, entry.scope.namespace());
            let Some(port) = one.port else { continue };
            let asked = mesh
                .authorizers
                .iter()
                .find(|entry| entry.service_host == host);
            let is_known = super::destinations::service_key(&host)
                .is_some_and(|(namespace, name)| world.service(&namespace, &name).is_some());
            let Some(asked) = asked.filter(|asked| asked.port != port && !is_known) else {
                continue;
            };
            findings.push(entry.scope.finding(
                codes::PORT_ABSENT,
                Severity::Error,
                one.line,
                format!("{}.port.number", one.path),
                format!(
                    "`{host}` is asked on port {} as the authorizer `{}` ({}), and this route names {port}",
                    asked.port, asked.name, asked.place
                ),
                format!("write {}", asked.port),
            ));
        }
    }
}

/// Workloads that only take mutual TLS of the mesh, which doorward has no certificate for.
pub(super) fn strict_peers(
    world: &World,
    root_namespace: &str,
    listeners: &BTreeMap<u16, Listener>,
    findings: &mut Vec<Finding>,
) {
    let asked = plain_upstreams(listeners);
    for object in world.of_kind("PeerAuthentication") {
        let mode = ["spec", "mtls", "mode"];
        if object.root.path(&mode).and_then(|mode| mode.text()) != Some("STRICT") {
            continue;
        }
        let selector = string_map(object.root.path(&["spec", "selector", "matchLabels"]));
        let everywhere = &**object.namespace() == root_namespace && selector.is_empty();
        let meant = asked.iter().find(|(namespace, name)| {
            if !everywhere && *namespace != &**object.namespace() {
                return false;
            }
            let Some(service) = world.service(namespace, name) else {
                return false;
            };
            let mut pods = world.workloads_of(service);
            let is_selected = pods.any(|pod| {
                let chosen = selector
                    .iter()
                    .all(|(key, value)| pod.labels.get(key) == Some(value));
                chosen && world.in_mesh(namespace, &pod.labels, &BTreeMap::new())
            });
            let none = BTreeMap::new();
            is_selected
                || selector.is_empty()
                    && world.workloads_of(service).next().is_none()
                    && world.in_mesh(namespace, &none, &none)
        });
        let Some((namespace, name)) = meant else {
            continue;
        };
        findings.push(object.finding(
            codes::STRICT_PEER,
            Severity::Warning,
            object.place.line,
            "spec.mtls.mode",
            format!(
                "`{name}.{namespace}` takes mutual TLS of the mesh only, and doorward asks it in plain text"
            ),
            "write `mode: PERMISSIVE` for workloads that doorward leads to",
        ));
    }
}

/// Namespace and name of the Services that are asked without TLS.
fn plain_upstreams(listeners: &BTreeMap<u16, Listener>) -> BTreeSet<(&str, &str)> {
    let mut seen = HashSet::new();
    let hosts = listeners.values().flat_map(Listener::virtual_hosts);
    let mut found = BTreeSet::new();
    for (_, routes) in hosts.flat_map(VirtualHosts::iter) {
        for route in routes.iter() {
            let RouteAction::Forward(forward) = &route.action else {
                continue;
            };
            for one in &forward.destinations {
                let destination: &Destination = &one.destination;
                let is_plain =
                    destination.played_by == PlayedBy::Upstream && destination.tls.is_none();
                if is_plain && seen.insert(Arc::as_ptr(&one.destination)) {
                    let service = &destination.service;
                    found.insert((&*service.namespace, &*service.name));
                }
            }
        }
    }
    found
}
