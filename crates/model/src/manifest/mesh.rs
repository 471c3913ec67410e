//! `meshConfig`: the key `mesh` of ConfigMap `istio`.

use std::sync::Arc;

use super::config_map::ConfigMap;
use super::environment::ConfigFile;
use crate::finding::{Finding, Severity, codes};
use crate::names::Place;
use crate::objects::{Fault, Field, closest};
use crate::snapshot::{Closure, HeaderPattern, Normalization};
use crate::world::World;

/// What the mesh says about gateways.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mesh {
    /// `rootNamespace`.
    pub(crate) root_namespace: Arc<str>,
    /// `trustDomain`, then `trustDomainAliases`.
    pub(crate) trust_domains: Vec<Arc<str>>,
    /// `pathNormalization.normalization`.
    pub(crate) normalization: Normalization,
    /// `defaultConfig.gatewayTopology.numTrustedProxies`.
    pub(crate) trusted_hops: usize,
    /// External authorizers among `extensionProviders`.
    pub(crate) authorizers: Vec<AuthorizerEntry>,
    /// Set when a part that every decision rests on cannot be read.
    pub(crate) closed: Option<Arc<Closure>>,
}

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

const FORBIDDEN: u16 = 403;

impl Mesh {
    /// What Istio assumes when nothing is said.
    fn unsaid() -> Self {
        Self {
            root_namespace: "istio-system".into(),
            trust_domains: vec!["cluster.local".into()],
            normalization: Normalization::Base,
            trusted_hops: 0,
            authorizers: Vec::new(),
            closed: None,
        }
    }
}

/// Reads the mesh configuration; Istio's defaults when there is none.
pub(crate) fn mesh(world: &World, findings: &mut Vec<Finding>) -> Mesh {
    let mut mesh = Mesh::unsaid();
    let Some(config_map) = config_map(world) else {
        return mesh;
    };
    mesh.closed.clone_from(&config_map.object.closed);
    let Some(file) = ConfigFile::of_config_map(config_map, "mesh") else {
        return mesh;
    };
    let mut close = |mesh: &mut Mesh, finding: Finding| {
        mesh.closed
            .get_or_insert_with(|| Arc::new(Closure::of(&finding)));
        findings.push(finding);
    };
    let root = match file.yaml() {
        Ok(root) => root,
        Err(fault) => {
            let finding = file.object.finding(
                codes::MESH_INVALID,
                Severity::Error,
                fault.line,
                file.field(),
                format!("the mesh configuration is no YAML: {}", fault.message),
                "correct the text; until then the gateway refuses every request",
            );
            close(&mut mesh, finding);
            return mesh;
        }
    };
    let top = file.top(&root);
    if let Err(fault) = fill(&mut mesh, &top) {
        close(
            &mut mesh,
            Finding {
                code: codes::MESH_INVALID,
                ..*fault
            },
        );
    }
    match top.child_items("extensionProviders") {
        Ok(items) => {
            for item in items {
                authorizer(&mut mesh.authorizers, &item, findings);
            }
        }
        Err(fault) => close(
            &mut mesh,
            Finding {
                code: codes::MESH_INVALID,
                ..*fault
            },
        ),
    }
    mesh
}

/// The one in `istio-system`, else any of that name that has the key.
fn config_map(world: &World) -> Option<&ConfigMap> {
    let usual = world.config_map("istio-system", "istio");
    usual
        .filter(|found| found.data.contains_key("mesh"))
        .or_else(|| {
            let mut all = world.config_maps.iter();
            all.find(|((_, name), found)| &**name == "istio" && found.data.contains_key("mesh"))
                .map(|(_, found)| found)
        })
}

/// Each field is read even when another is wrong; the first fault is returned.
fn fill(mesh: &mut Mesh, top: &Field<'_>) -> Result<(), Fault> {
    if let Some(namespace) = top.child_text("rootNamespace")? {
        mesh.root_namespace = namespace;
    }
    if let Some(domain) = top.child_text("trustDomain")? {
        mesh.trust_domains = vec![domain];
    }
    mesh.trust_domains.extend(top.texts("trustDomainAliases")?);
    if let Some(field) = top
        .child("pathNormalization")
        .and_then(|all| all.child("normalization"))
    {
        mesh.normalization = match field.text()? {
            "NONE" => Normalization::None,
            "BASE" | "DEFAULT" => Normalization::Base,
            "MERGE_SLASHES" => Normalization::MergeSlashes,
            "DECODE_AND_MERGE_SLASHES" => Normalization::DecodeAndMergeSlashes,
            other => {
                let known = "`NONE`, `BASE`, `MERGE_SLASHES` or `DECODE_AND_MERGE_SLASHES`";
                let fault = format!("`{other}` is no path normalisation");
                return Err(field.fault(fault, format!("write {known}")));
            }
        };
    }
    let topology = top
        .child("defaultConfig")
        .and_then(|all| all.child("gatewayTopology"));
    if let Some(hops) = topology.and_then(|all| all.child("numTrustedProxies")) {
        mesh.trusted_hops = usize::try_from(hops.number()?).unwrap_or(usize::MAX);
    }
    Ok(())
}

fn authorizer(entries: &mut Vec<AuthorizerEntry>, item: &Field<'_>, findings: &mut Vec<Finding>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{File, ObjectSet};

    fn read(text: &str) -> (Mesh, Vec<Finding>) {
        let files = vec![File {
            name: "mesh.yaml".into(),
            text: text.to_owned(),
        }];
        let mut findings = Vec::new();
        let world = World::read(&ObjectSet { files }, &mut findings);
        let mesh = mesh(&world, &mut findings);
        (mesh, findings)
    }

    /// The text of the mesh key begins on line 7.
    fn with(config: &str) -> (Mesh, Vec<Finding>) {
        let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  {name: istio, namespace: istio-system}\ndata:\n  mesh: |-\n";
        let body: String = config.lines().map(|line| format!("    {line}\n")).collect();
        read(&format!("{head}{body}"))
    }

    fn exact(names: &[&str]) -> Vec<HeaderPattern> {
        names
            .iter()
            .map(|name| HeaderPattern::Exact((*name).into()))
            .collect()
    }

    #[test]
    fn the_mesh_of_stock_kubeflow_is_read_whole() {
        let (mesh, findings) = read(include_str!(
            "../../../../fixtures/kubeflow-26.03/15-config.yaml"
        ));
        assert_eq!(findings, []);
        let entry = AuthorizerEntry {
            name: "oauth2-proxy".into(),
            service_host: "oauth2-proxy.oauth2-proxy.svc.cluster.local".into(),
            port: 80,
            upstream_on_allow: exact(&[
                "authorization",
                "path",
                "x-auth-request-email",
                "x-auth-request-groups",
                "x-auth-request-user",
            ]),
            downstream_on_deny: exact(&["content-type", "set-cookie"]),
            fail_open: false,
            status_on_error: 403,
            place: Place::new("mesh.yaml", 50),
            closed: None,
        };
        assert_eq!(
            mesh,
            Mesh {
                authorizers: vec![entry],
                ..Mesh::unsaid()
            }
        );
    }

    #[test]
    fn no_mesh_means_the_defaults_of_istio() {
        let (mesh, findings) = read("");
        assert_eq!(mesh, Mesh::unsaid());
        assert!(
            findings
                .iter()
                .all(|finding| finding.code != codes::MESH_INVALID)
        );
    }

    #[test]
    fn settings_beside_the_providers_are_read() {
        let (mesh, findings) = with(
            "rootNamespace: ingress\ntrustDomain: td\ntrustDomainAliases: [old]\npathNormalization:\n  normalization: DECODE_AND_MERGE_SLASHES\ndefaultConfig:\n  gatewayTopology: {numTrustedProxies: 2}",
        );
        assert_eq!(findings, []);
        assert_eq!(&*mesh.root_namespace, "ingress");
        assert_eq!(mesh.trust_domains, ["td".into(), "old".into()]);
        assert_eq!(mesh.normalization, Normalization::DecodeAndMergeSlashes);
        assert_eq!(mesh.trusted_hops, 2);
    }

    #[test]
    fn an_unknown_normalisation_closes_the_gateway_and_names_its_line() {
        let (mesh, findings) = with("accessLogFile: x\npathNormalization:\n  normalization: MERGE");
        let finding = &findings[0];
        assert_eq!(finding.code, codes::MESH_INVALID);
        assert_eq!(finding.place, Some(Place::new("mesh.yaml", 9)));
        assert_eq!(finding.field, "data[mesh].pathNormalization.normalization");
        assert_eq!(finding.fault, "`MERGE` is no path normalisation");
        assert_eq!(mesh.closed, Some(Arc::new(Closure::of(finding))));
    }

    #[test]
    fn text_that_is_no_yaml_closes_the_gateway() {
        let (mesh, findings) = with("rootNamespace: a\ntrustDomain: [b");
        assert_eq!(findings[0].code, codes::MESH_INVALID);
        assert_eq!(findings[0].place, Some(Place::new("mesh.yaml", 8)));
        assert!(mesh.closed.is_some());
    }

    #[test]
    fn a_bad_entry_is_closed_and_the_others_serve() {
        let (mesh, findings) = with(
            "extensionProviders:\n- name: good\n  envoyExtAuthzHttp: {service: a.b.svc.cluster.local, port: 80, includeRequestHeadersInCheck: [cookie]}\n- name: short\n  envoyExtAuthzHttp: {service: a, port: 80}\n- name: star\n  envoyExtAuthzHttp: {service: ns/a.b.c, port: 80, headersToUpstreamOnAllow: ['*']}\n- name: status\n  envoyExtAuthzGrpc: {service: a.b, port: 80, statusOnError: '999'}\n- name: prefix\n  envoyExtAuthzHttp: {service: a.b, port: 80, pathPrefix: /oauth2/auth}\n- name: port\n  envoyExtAuthzGrpc: {service: a.b, port: 0}\n- name: tracing\n  zipkin: {}",
        );
        let closed: Vec<_> = mesh
            .authorizers
            .iter()
            .map(|entry| (&*entry.name, entry.closed.is_some()))
            .collect();
        let wanted = [
            ("good", false),
            ("short", true),
            ("star", true),
            ("status", true),
            ("prefix", true),
            ("port", true),
        ];
        assert_eq!(closed, wanted);
        assert_eq!(findings.len(), 5);
        assert!(
            findings
                .iter()
                .all(|finding| finding.code == codes::AUTHORIZER_INVALID)
        );
        assert_eq!(findings[0].place, Some(Place::new("mesh.yaml", 11)));
        assert_eq!(mesh.closed, None);
    }

    #[test]
    fn two_providers_of_one_name_are_closed() {
        let provider = "- name: a\n  envoyExtAuthzGrpc: {service: a.b, port: 1}\n";
        let (mesh, findings) = with(&format!("extensionProviders:\n{provider}{provider}"));
        assert_eq!(mesh.authorizers.len(), 1);
        assert!(mesh.authorizers[0].closed.is_some());
        assert_eq!(findings[0].fault, "two extension providers are named `a`");
    }

    #[test]
    fn old_and_open_settings_are_warned_about() {
        let (mesh, findings) = with(
            "extensionProviders:\n- name: a\n  envoyExtAuthzHttp:\n    service: a.b\n    port: 80\n    failOpen: true\n    failOpne: false\n    includeHeadersInCheck: [authorization]\n    headersToUpstreamOnAllow: ['X-Auth-*', '*-Email']",
        );
        let faults: Vec<_> = findings
            .iter()
            .map(|finding| finding.fault.as_str())
            .collect();
        let wanted = [
            "`data[mesh].extensionProviders[0].envoyExtAuthzHttp.failOpne` is no field",
            "requests pass when the authorizer `a` cannot be reached",
            "`includeHeadersInCheck` is deprecated",
            "Istio would not show cookies to the authorizer `a`",
        ];
        assert_eq!(faults, wanted);
        assert!(
            findings
                .iter()
                .all(|finding| finding.severity == Severity::Warning)
        );
        let entry = &mesh.authorizers[0];
        assert!(entry.fail_open && entry.closed.is_none());
        let wanted = [
            HeaderPattern::Prefix("x-auth-".into()),
            HeaderPattern::Suffix("-email".into()),
        ];
        assert_eq!(entry.upstream_on_allow, wanted);
    }
}
