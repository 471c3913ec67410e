//! `meshConfig`: the key `mesh` of ConfigMap `istio`.

mod authorizer;

use std::sync::Arc;

use super::config_map::ConfigMap;
use super::environment::ConfigFile;
use super::http_retries::{self, RetrySetting};
use super::workload::Workload;
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Field, Node, Object, parse};
use crate::snapshot::{Closure, ForwardClientCert, Normalization, Retries};
use crate::world::World;
pub(crate) use authorizer::AuthorizerEntry;

/// What the mesh says about gateways.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mesh {
    /// `rootNamespace`.
    pub(crate) root_namespace: Arc<str>,
    /// `trustDomain`, then `trustDomainAliases`.
    pub(crate) trust_domains: Vec<Arc<str>>,
    /// `pathNormalization.normalization`.
    pub(crate) normalization: Normalization,
    /// `defaultConfig.gatewayTopology.numTrustedProxies`, or what the gateway's pods say instead.
    pub(crate) trusted_hops: usize,
    /// `defaultHttpRetryPolicy`: retries of routes that say nothing of them.
    pub(crate) retries: Option<Arc<Retries>>,
    /// `defaultConfig.gatewayTopology.forwardClientCertDetails`, with the same exception.
    pub(crate) forward_client_cert: ForwardClientCert,
    /// `defaultConfig.gatewayTopology.proxyProtocol`, with the same exception.
    pub(crate) proxy_protocol: bool,
    /// Which `Ingress`es are ours.
    pub(crate) ingress: IngressRule,
    /// External authorizers among `extensionProviders`.
    pub(crate) authorizers: Vec<AuthorizerEntry>,
    /// Set when a part that every decision rests on cannot be read.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// `ingressClass` and `ingressControllerMode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngressRule {
    /// The class that stands for Istio; `istio` unless given.
    pub(crate) class: Arc<str>,
    /// `OFF`: that class is nobody's.
    pub(crate) is_off: bool,
    /// `DEFAULT`: an `Ingress` without a class is ours.
    pub(crate) takes_classless: bool,
}

impl Mesh {
    /// What Istio assumes when nothing is said.
    fn unsaid() -> Self {
        Self {
            root_namespace: "istio-system".into(),
            trust_domains: vec!["cluster.local".into()],
            normalization: Normalization::Base,
            trusted_hops: 0,
            retries: Some(Arc::new(Retries::istio_default())),
            forward_client_cert: ForwardClientCert::default(),
            proxy_protocol: false,
            ingress: IngressRule {
                class: "istio".into(),
                is_off: false,
                takes_classless: false,
            },
            authorizers: Vec::new(),
            closed: None,
        }
    }

    /// Takes over what the gateway's pods configure for themselves, which goes before
    /// `defaultConfig`.
    pub(crate) fn adopt(&mut self, gateway: &Workload, findings: &mut Vec<Finding>) {
        const ANNOTATION: &str = "proxy.istio.io/config";
        let annotations = ["spec", "template", "metadata", "annotations"];
        let annotations = gateway.object.root.path(&annotations);
        let Some(node) = annotations.and_then(|all| all.entry(ANNOTATION)) else {
            return;
        };
        let path = format!("spec.template.metadata.annotations[{ANNOTATION}]");
        match annotated(&gateway.object, node, path) {
            Ok(topology) => self.take(topology),
            Err(fault) => {
                let finding = Finding {
                    code: codes::MESH_INVALID,
                    ..*fault
                };
                self.closed
                    .get_or_insert_with(|| Arc::new(Closure::of(&finding)));
                findings.push(finding);
            }
        }
    }

    fn take(&mut self, topology: Topology) {
        let Topology {
            trusted_hops,
            forward_client_cert,
            proxy_protocol,
        } = topology;
        self.trusted_hops = trusted_hops.unwrap_or(self.trusted_hops);
        self.forward_client_cert = forward_client_cert.unwrap_or(self.forward_client_cert);
        self.proxy_protocol = proxy_protocol.unwrap_or(self.proxy_protocol);
    }
}

/// `gatewayTopology` of a proxy's configuration; what it does not say stays as it is.
#[derive(Default)]
struct Topology {
    trusted_hops: Option<usize>,
    forward_client_cert: Option<ForwardClientCert>,
    proxy_protocol: Option<bool>,
}

/// Reads the mesh configuration; Istio's defaults when there is none.
pub(crate) fn mesh(world: &World, findings: &mut Vec<Finding>) -> Mesh {
    let mut mesh = Mesh::unsaid();
    let Some(config_map) = config_map(world) else {
        // Nobody has applied the chart yet, so its values are all there is; unless what was applied
        // cannot be read.
        let mut unread = world.broken.iter().map(|broken| &broken.object);
        let may_be_there = unread.any(|object| {
            &*object.kind == "ConfigMap" && (object.name.is_empty() || &*object.name == "istio")
        });
        if let Some(object) = world
            .of_kind("MeshConfig")
            .first()
            .filter(|_| !may_be_there)
        {
            mesh.closed.clone_from(&object.closed);
            if let Some(top) = object.top().child("meshConfig") {
                take(&mut mesh, &top, findings);
            }
        }
        return mesh;
    };
    mesh.closed.clone_from(&config_map.object.closed);
    let Some(file) = ConfigFile::of_config_map(config_map, "mesh") else {
        return mesh;
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
            close(&mut mesh, finding, findings);
            return mesh;
        }
    };
    take(&mut mesh, &file.top(&root), findings);
    mesh
}

/// Closes the gateway: what every decision rests on cannot be read.
fn close(mesh: &mut Mesh, finding: Finding, findings: &mut Vec<Finding>) {
    mesh.closed
        .get_or_insert_with(|| Arc::new(Closure::of(&finding)));
    findings.push(finding);
}

/// Takes over what `meshConfig` says.
fn take(mesh: &mut Mesh, top: &Field<'_>, findings: &mut Vec<Finding>) {
    let invalid = |fault: Fault| Finding {
        code: codes::MESH_INVALID,
        ..*fault
    };
    if let Err(fault) = fill(mesh, top) {
        close(mesh, invalid(fault), findings);
    }
    match top.child_items("extensionProviders") {
        Ok(items) => {
            for item in items {
                authorizer::read(&mut mesh.authorizers, &item, findings);
            }
        }
        Err(fault) => close(mesh, invalid(fault), findings),
    }
    if let Some(policy) = top.child("defaultHttpRetryPolicy") {
        let before = mesh.retries.take();
        mesh.retries = match http_retries::read(&policy, findings) {
            Ok(RetrySetting::Given(retries)) => Some(retries),
            Ok(RetrySetting::Off) => None,
            Ok(RetrySetting::Default) => before,
            // Nobody is let in by it: requests are sent once until it can be read.
            Err(fault) => {
                findings.push(*fault);
                None
            }
        };
    }
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
    if let Some(class) = top.child_text("ingressClass")? {
        mesh.ingress.class = class;
    }
    if let Some(mode) = top.child("ingressControllerMode") {
        match mode.text()? {
            "OFF" => mesh.ingress.is_off = true,
            "DEFAULT" => mesh.ingress.takes_classless = true,
            "STRICT" | "UNSPECIFIED" => {}
            other => {
                let fault = format!("`{other}` is no way to choose `Ingress`es");
                return Err(mode.fault(fault, "write `OFF`, `DEFAULT` or `STRICT`"));
            }
        }
    }
    if let Some(config) = top.child("defaultConfig") {
        mesh.take(topology(&config)?);
    }
    Ok(())
}

fn topology(config: &Field<'_>) -> Result<Topology, Fault> {
    let Some(field) = config.child("gatewayTopology") else {
        return Ok(Topology::default());
    };
    let hops = field.child("numTrustedProxies");
    let hops = hops.map(|hops| hops.number()).transpose()?;
    let forward = field.child("forwardClientCertDetails");
    Ok(Topology {
        trusted_hops: hops.map(|hops| usize::try_from(hops).unwrap_or(usize::MAX)),
        forward_client_cert: forward.as_ref().map(forwarding).transpose()?,
        // The message has no fields: being there is what it says.
        proxy_protocol: field.child("proxyProtocol").map(|_| true),
    })
}

fn forwarding(field: &Field<'_>) -> Result<ForwardClientCert, Fault> {
    Ok(match field.text()? {
        // A gateway's own default.
        "UNDEFINED" | "SANITIZE_SET" => ForwardClientCert::SanitizeSet,
        "SANITIZE" => ForwardClientCert::Sanitize,
        "FORWARD_ONLY" => ForwardClientCert::ForwardOnly,
        "APPEND_FORWARD" => ForwardClientCert::AppendForward,
        "ALWAYS_FORWARD_ONLY" => ForwardClientCert::AlwaysForwardOnly,
        other => {
            let fault = format!("`{other}` is no way to forward client certificates");
            return Err(field.fault(fault, "write `SANITIZE_SET`, which is the usual one"));
        }
    })
}

/// The same of the YAML text in an annotation.
fn annotated(object: &Object, node: &Node, path: String) -> Result<Topology, Fault> {
    let field = Field { object, node, path };
    let config = parse(field.text()?, node.line + 1).map_err(|fault| {
        field.fault(
            format!("`{}` is no YAML: {}", field.path, fault.message),
            "correct the text; until then the gateway refuses every request",
        )
    })?;
    match &config {
        Some(node) => topology(&Field { node, ..field }),
        None => Ok(Topology::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Place;
    use crate::objects::{File, ObjectSet};
    use crate::snapshot::HeaderPattern;

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
            "rootNamespace: ingress\ntrustDomain: td\ntrustDomainAliases: [old]\npathNormalization:\n  normalization: DECODE_AND_MERGE_SLASHES\ndefaultConfig:\n  gatewayTopology: {numTrustedProxies: 2, forwardClientCertDetails: APPEND_FORWARD, proxyProtocol: {}}",
        );
        assert_eq!(findings, []);
        assert_eq!(mesh.forward_client_cert, ForwardClientCert::AppendForward);
        assert!(mesh.proxy_protocol);
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
