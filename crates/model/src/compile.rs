//! Links kinds into a [`Snapshot`]. Total: a broken part never refuses the whole.

mod authorizers;
mod bindings;
mod check;
mod contributors;
mod delegates;
mod destination_rules;
mod destinations;
mod gateway_api;
mod guards;
mod host_tables;
mod identity;
mod identity_headers;
mod ingress;
mod legacy;
mod listeners;
mod native_login;
mod policies;
mod policy_traps;
mod ports;
mod profiles;
mod route_traps;
mod routes;
mod secured;
mod server_traps;
mod serving;
mod sign_in;
mod streams;
#[cfg(test)]
mod tests;
mod unread;
mod upstream_tls;
mod workload_guards;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::finding::Finding;
use crate::manifest::certificate::{TlsServer, add_served, certificates, spare};
use crate::manifest::dex::find_providers;
use crate::manifest::gateway::{Gateway, Inside, Speaks};
use crate::manifest::kfam::find_services;
use crate::manifest::mesh::mesh;
use crate::manifest::oauth2_proxy::find_logins;
use crate::manifest::service::is_subset;
use crate::manifest::virtual_service::VirtualService;
use crate::objects::ObjectSet;
use crate::snapshot::{Closure, Listener, Login, PlayedBy, Snapshot};
use crate::status::Statuses;
use crate::world::{Key, World};
use bindings::Bindings;
use destination_rules::Rules;
use destinations::Destinations;
use gateway_api::GatewayApi;
use ingress::Ingresses;
use legacy::Legacy;
use listeners::{Builder, Seated};
use policies::{Policies, Workloads};
use ports::Ports;
use profiles::{Profiles, Surroundings};
use upstream_tls::Certificates;

/// What came of an object set.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The world as far as it can be read.
    pub snapshot: Snapshot,
    /// Everything that is wrong, worst first, then by place.
    pub findings: Vec<Finding>,
    /// What the Gateway API wants written back.
    pub statuses: Statuses,
}

/// Which part of the manifests this process stands for, and how strictly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Role {
    /// Namespace and name of the `Gateway`s of the Gateway API that are served here; `None` serves
    /// every one of a class of ours, all on the same addresses.
    pub gateways: Option<Vec<(Arc<str>, Arc<str>)>>,
    /// Whether contributors whose role is `view` may only look: Kubeflow's own policies let them do
    /// everything over HTTP.
    pub strict_viewers: bool,
    /// The login that settings describe. It takes the place of every login proxy of the manifests;
    /// where no policy asks for one, it guards everything.
    pub login: Option<Arc<Login>>,
}

impl Role {
    fn serves(&self, namespace: &str, name: &str) -> bool {
        self.gateways.as_ref().is_none_or(|gateways| {
            let mut gateways = gateways.iter();
            gateways.any(|(own, own_name)| &**own == namespace && &**own_name == name)
        })
    }
}

/// Compiles the full object set for a process that serves all of it.
pub fn compile(objects: &ObjectSet) -> Compiled {
    compile_as(objects, &Role::default())
}

/// Compiles the full object set for a process that serves a part of it.
pub fn compile_as(objects: &ObjectSet, role: &Role) -> Compiled {
    let mut findings = Vec::new();
    let world = World::read(objects, &mut findings);
    findings.extend(check::empty(&world));

    let mut mesh = mesh(&world, &mut findings);
    let providers = find_providers(&world, &mut findings);
    let logins = find_logins(&world, &mut findings);
    let mut played: HashMap<Key, PlayedBy> = HashMap::new();
    let providers = providers
        .into_iter()
        .map(|found| (found.provider, found.services));
    let providers = play(providers, PlayedBy::Provider, &mut played);
    let login_services: Vec<Key> = logins
        .iter()
        .flat_map(|found| found.services.iter().cloned())
        .collect();
    let logins = logins
        .into_iter()
        .map(|found| (found.login, found.services));
    let mut logins = play(logins, PlayedBy::Login, &mut played);
    if let Some(native) = &role.login {
        logins = vec![native_login::take_over(
            native,
            login_services,
            &providers,
            &mut played,
        )];
    }
    let kfam = find_services(&world).into_iter();
    played.extend(kfam.map(|key| (key, PlayedBy::Kfam)));

    let gateways: Vec<Gateway> = world
        .of_kind("Gateway")
        .iter()
        .map(|object| Gateway::read(object, &mut findings))
        .collect();
    let mut routes: Vec<VirtualService> = world
        .of_kind("VirtualService")
        .iter()
        .map(|object| VirtualService::read(object, &mut findings))
        .collect();
    let trust_domain = mesh
        .trust_domains
        .first()
        .map_or("cluster.local", |domain| &**domain);
    let pod = identity::gateway_workload(&world, &gateways, &routes);
    let identity = match pod {
        Some(pod) => identity::of_workload(pod, trust_domain),
        None => identity::assume(&world, &gateways, &routes, trust_domain, &mut findings),
    };
    if let Some(pod) = pod {
        mesh.adopt(pod, &mut findings);
    }
    check::other_gateways(&gateways, &identity, &mut findings);
    let delegates = delegates::named(&routes);
    check::bindings(&routes, &gateways, &identity, &delegates, &mut findings);
    delegates::expand(&mut routes, &mut findings);
    let serving::Made {
        services,
        hosts: computed_hosts,
    } = serving::make(&world, &routes, &gateways, &identity, &mut findings);
    routes.extend(services);

    let root_namespace = &Arc::clone(&mesh.root_namespace);
    let (mut doors, authorizers) =
        guards::unread(&world, mesh.closed.as_ref(), root_namespace, &mut findings);
    mesh.authorizers.extend(authorizers);
    let user_header = identity_headers::user_header(&world, &mut findings);
    let around = Surroundings {
        identity: &identity,
        user_header: &user_header,
        root_namespace,
        trust_domains: &mesh.trust_domains,
    };
    let legacy = Legacy::read(&world, root_namespace, &mesh.trust_domains, &mut findings);
    doors.extend(legacy.policies);
    let strict = role.strict_viewers;
    let profiles = Profiles::read(&world, &around, &legacy.owned, strict, &mut findings);
    let policies = Policies::read(
        &world,
        root_namespace,
        &mesh.trust_domains,
        (doors, &profiles),
        &mut findings,
    );
    let known = Workloads {
        world: &world,
        identity: &identity,
        routes: &routes,
    };
    policies.check(&known, &mut findings);
    let (mut gateway_policies, gateway_authentication) =
        policies.of(&identity.namespace, &identity.labels);
    let token_places = policies.token_places(&identity);
    legacy::check_gateway(&gateway_policies, &mut findings);
    let mut authorizers = authorizers::link(&mesh, &world, &policies, &played, &mut findings);
    if role.login.is_some() {
        native_login::guard(&logins[0], &mut gateway_policies, &mut authorizers);
    }

    let own: Vec<&Gateway> = gateways
        .iter()
        .filter(|gateway| is_subset(&gateway.selector, &identity.labels))
        .collect();
    let gateway_api = GatewayApi::read(&world, role, &mut findings);
    let ingresses = Ingresses::read(&world, &mesh.ingress, &mut findings);
    if own.is_empty() && gateway_api.is_empty() && ingresses.is_empty() {
        check::no_gateway(&identity, !world.counts.is_empty(), &mut findings);
    }
    let ports = listeners::seat(&own, &mut findings);
    let sign_in = |key: &Key| played.contains_key(key);
    check::plain_logins(&ports, &routes, &sign_in, &mut findings);
    let tls_servers = tls_servers(&ports);
    let (mut certificates, wanted_certificates) =
        certificates(&world, &tls_servers, &identity, &mut findings);

    let mut unread = unread::all(&world, &routes);
    let rules = Rules::new(&world, &identity.namespace, &mesh.root_namespace);
    let upstream_certificates = Certificates {
        world: &world,
        namespace: Arc::clone(&identity.namespace),
        pod,
    };
    let mut destinations = Destinations::new(
        &world,
        (&policies, &identity),
        played,
        mesh.retries.clone(),
        (rules, upstream_certificates),
    );
    let mut drafts = Ports::new();
    {
        let mut builder = Builder {
            world: &world,
            identity: &identity,
            routes: &routes,
            bindings: Bindings::of(&routes, &identity.namespace),
            unread: &mut unread,
            destinations: &mut destinations,
            findings: &mut findings,
        };
        for (port, servers) in &ports {
            if let Some(draft) = builder.port(*port, servers) {
                drafts.insert(*port, draft);
            }
        }
    }
    let linked = gateway_api.link(
        &mut destinations,
        &gateway_policies,
        &mut drafts,
        &mut findings,
    );
    for pair in linked.certificates {
        add_served(&mut certificates, pair);
    }
    ingresses.link(
        &mut destinations,
        &mut drafts,
        &mut certificates,
        &mut findings,
    );
    let drafts = drafts.into_iter();
    let listeners: BTreeMap<u16, Listener> = drafts
        .map(|(port, draft)| (port, draft.finish(port)))
        .collect();
    findings.append(&mut destinations.findings);
    route_traps::rewrites(&routes, &mut findings);
    server_traps::without_redirect(&ports, &mut findings);
    server_traps::distrusted_balancer(&world, &mesh, &mut findings);
    server_traps::lasting_sign_out(&routes, &mut findings);
    server_traps::foreign_callback(&logins, &listeners, &mut findings);
    server_traps::shared_secrets(&world, &mut findings);
    server_traps::authorizer_ports(&routes, &mesh, &world, &mut findings);
    server_traps::strict_peers(&world, root_namespace, &listeners, &mut findings);
    route_traps::virtual_hosts(&listeners, &mut findings);
    unread::tell(&unread, &mut findings);
    check::hidden(&listeners, &mut findings);

    let is_served = |host: &str| {
        let mut open = listeners.values();
        open.any(|listener| listener.covers(host))
    };
    sign_in::clients(&logins, &providers, &is_served, &mut findings);
    sign_in::issuers(policies.issuers(), &logins, &providers, &mut findings);

    let seen = policy_traps::Seen {
        world: &world,
        listeners: &listeners,
        policies: &gateway_policies,
        authentication: &gateway_authentication,
        user_header: &user_header,
        providers: &providers,
    };
    seen.look(&mut findings);
    let identity_headers = identity_headers::all(&user_header, &policies, authorizers.values());
    sort(&mut findings);
    let snapshot = Snapshot {
        identity,
        root_namespace: mesh.root_namespace,
        trust_domains: mesh.trust_domains,
        normalization: mesh.normalization,
        trusted_hops: mesh.trusted_hops,
        forward_client_cert: mesh.forward_client_cert,
        proxy_protocol: mesh.proxy_protocol,
        listeners,
        gateway_policies,
        gateway_authentication,
        token_places,
        authorizers,
        logins,
        providers,
        identity_headers,
        user_header,
        spare_certificates: spare(&world, &certificates),
        certificates,
        wanted_certificates,
        computed_hosts,
        tenancy: profiles.tenancy,
        objects: world.counts,
        program: None,
    };
    Compiled {
        snapshot,
        findings,
        statuses: linked.statuses,
    }
}

/// Numbers what this process plays and enters the Services that lead to it. What is recognised and
/// cannot be read closes its Services.
fn play<T>(
    found: impl Iterator<Item = (Result<T, Arc<Closure>>, Vec<Key>)>,
    who: impl Fn(usize) -> PlayedBy,
    played: &mut HashMap<Key, PlayedBy>,
) -> Vec<Arc<T>> {
    let mut roles = Vec::new();
    for (role, services) in found {
        let by = match role {
            Ok(role) => {
                roles.push(Arc::new(role));
                who(roles.len() - 1)
            }
            Err(closure) => PlayedBy::Nobody(closure),
        };
        played.extend(services.into_iter().map(|key| (key, by.clone())));
    }
    roles
}

fn tls_servers(ports: &BTreeMap<u16, Vec<Seated<'_>>>) -> Vec<TlsServer> {
    let seated = ports.values().flatten();
    let servers = seated.filter_map(|Seated { gateway, server }| match &server.speaks {
        Speaks::Tls(tls) if server.closed.is_none() && tls.inside != Inside::Untouched => {
            Some(TlsServer {
                gateway: Arc::clone(&gateway.object),
                line: server.line,
                hosts: server
                    .hosts
                    .iter()
                    .map(|host| host.pattern.clone())
                    .collect(),
                pairs: tls.pairs.clone(),
            })
        }
        _ => None,
    });
    servers.collect()
}

/// Worst first, then by place; what is said twice is said once.
fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        let rest = |one: &Finding| {
            (
                one.place.clone(),
                one.code,
                one.field.clone(),
                one.fault.clone(),
            )
        };
        b.severity
            .cmp(&a.severity)
            .then_with(|| rest(a).cmp(&rest(b)))
    });
    findings.dedup();
}
