//! ConfigMap `inferenceservice-config`: how InferenceServices are reached.

use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::manifest::config_map::ConfigMap;
use crate::manifest::environment::ConfigFile;
use crate::manifest::knative::{Template, Variable, Vocabulary};
use crate::manifest::virtual_service::gateway_name;
use crate::objects::{Fault, Field, Object};
use crate::world::{Key, World};

/// How the parts of an InferenceService run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As Knative Services.
    Serverless,
    /// As Deployments.
    Raw,
    /// In a process that they share.
    ModelMesh,
}

impl Mode {
    /// Reads a mode in its older or newer name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "Serverless" | "Knative" => Some(Self::Serverless),
            "RawDeployment" | "Standard" => Some(Self::Raw),
            "ModelMesh" => Some(Self::ModelMesh),
            _ => None,
        }
    }
}

/// The keys `ingress` and `deploy`.
#[derive(Clone, Debug)]
pub(crate) struct IngressConfig {
    /// The ConfigMap, for findings.
    pub(crate) object: Option<Arc<Object>>,
    /// Line of `ingress`.
    pub(crate) line: u32,
    /// `defaultDeploymentMode`.
    pub(crate) mode: Mode,
    /// `ingressGateway`.
    pub(crate) gateway: Key,
    /// `ingressDomain`.
    pub(crate) domain: Arc<str>,
    /// `additionalIngressDomains`.
    pub(crate) more_domains: Vec<Arc<str>>,
    /// `domainTemplate`, for parts that run as Deployments; `None` where it cannot be read.
    pub(crate) host_template: Option<Template>,
    /// `pathTemplate`, where there is one that can be read.
    pub(crate) path_template: Option<Template>,
    /// `disableIstioVirtualHost`: the host of the InferenceService itself is not made.
    pub(crate) without_own_host: bool,
    /// `disableIngressCreation`: none is made for parts that run as Deployments.
    pub(crate) without_raw: bool,
    /// `enableGatewayApi`: those are made as `HTTPRoute`s.
    pub(crate) raw_by_gateway_api: bool,
}

const NAME: &str = "inferenceservice-config";
const HOST_TEMPLATE: &str = "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}";
const OF_HOST: Vocabulary = Vocabulary {
    variables: &[Variable::Name, Variable::Namespace, Variable::IngressDomain],
    maps: true,
};
const OF_PATH: Vocabulary = Vocabulary {
    variables: &[Variable::Name, Variable::Namespace],
    maps: false,
};

impl IngressConfig {
    /// What KServe assumes when nothing is said.
    fn unsaid() -> Self {
        Self {
            object: None,
            line: 0,
            mode: Mode::Serverless,
            gateway: ("knative-serving".into(), "knative-ingress-gateway".into()),
            domain: "example.com".into(),
            more_domains: Vec::new(),
            host_template: Template::parse(HOST_TEMPLATE, OF_HOST).ok(),
            path_template: None,
            without_own_host: false,
            without_raw: false,
            raw_by_gateway_api: false,
        }
    }

    /// Reads the ConfigMap; `None` where it cannot be read, so that no host is a guess.
    pub(crate) fn read(world: &World, findings: &mut Vec<Finding>) -> Option<Self> {
        let mut config = Self::unsaid();
        let Some(config_map) = config_map(world) else {
            return Some(config);
        };
        if config_map.object.closed.is_some() {
            return None;
        }
        config.object = Some(Arc::clone(&config_map.object));
        match config.fill(config_map, findings) {
            Ok(()) => Some(config),
            Err(mut fault) => {
                fault.code = codes::SERVING_CONFIG;
                findings.push(*fault);
                None
            }
        }
    }

    fn fill(&mut self, config_map: &ConfigMap, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        with_entry(config_map, "deploy", |top| {
            if let Some(field) = top.child("defaultDeploymentMode") {
                self.mode = Mode::parse(field.text()?).ok_or_else(|| {
                    let fault = format!("`{}` is no deployment mode", field.path);
                    field.fault(fault, "write `Serverless` or `RawDeployment`")
                })?;
            }
            Ok(())
        })?;
        with_entry(config_map, "ingress", |top| self.ingress(top, findings))
    }

    fn ingress(&mut self, top: &Field<'_>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        self.line = top.line();
        let text = |name| Ok::<_, Fault>(top.child_text(name)?.filter(|text| !text.is_empty()));
        if let Some(gateway) = text("ingressGateway")? {
            let namespace: Arc<str> = "knative-serving".into();
            self.gateway = gateway_name(&gateway, &namespace).unwrap_or_default();
        }
        if let Some(domain) = text("ingressDomain")? {
            self.domain = domain;
        }
        self.more_domains = top.texts("additionalIngressDomains")?;
        self.without_own_host = top.flag("disableIstioVirtualHost")?;
        self.without_raw = top.flag("disableIngressCreation")?;
        self.raw_by_gateway_api = top.flag("enableGatewayApi")?;
        let mut template = |name, vocabulary, example: &str| {
            let Some(source) = text(name)? else {
                return Ok(None);
            };
            match Template::parse(&source, vocabulary) {
                Ok(template) => Ok(Some(Some(template))),
                Err(fault) => {
                    let field = top.child(name).unwrap_or_else(|| top.clone());
                    findings.push(field.finding(
                        codes::HOST_TEMPLATE,
                        Severity::Error,
                        format!("`{name}` cannot be read, so nothing is made of it: {fault}"),
                        format!("write it as `{example}`"),
                    ));
                    Ok::<_, Fault>(Some(None))
                }
            }
        };
        if let Some(read) = template("domainTemplate", OF_HOST, HOST_TEMPLATE)? {
            self.host_template = read;
        }
        let example = "/serving/{{ .Namespace }}/{{ .Name }}";
        self.path_template = template("pathTemplate", OF_PATH, example)?.flatten();
        Ok(())
    }
}

/// The one of KServe's own namespace, else of Kubeflow's, else any.
fn config_map(world: &World) -> Option<&ConfigMap> {
    let usual = ["kserve", "kubeflow"];
    let mut usual = usual
        .iter()
        .filter_map(|namespace| world.config_map(namespace, NAME));
    usual.next().or_else(|| {
        let mut all = world.config_maps.iter();
        all.find(|((_, name), _)| &**name == NAME)
            .map(|(_, found)| found)
    })
}

fn with_entry(
    config_map: &ConfigMap,
    key: &str,
    read: impl FnOnce(&Field<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(file) = ConfigFile::of_config_map(config_map, key) else {
        return Ok(());
    };
    let root = file.yaml().map_err(|fault| {
        Box::new(config_map.object.finding(
            codes::SERVING_CONFIG,
            Severity::Error,
            fault.line,
            format!("data[{key}]"),
            format!("`{key}` is no JSON: {}", fault.message),
            "correct the text",
        ))
    })?;
    read(&file.top(&root))
}
