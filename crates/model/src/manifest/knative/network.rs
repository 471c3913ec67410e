//! ConfigMap `config-network`: how hosts are made.

use std::sync::Arc;

use super::template::{Template, Variable, Vocabulary};
use super::{about_entry, keys};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::config_map::ConfigMap;
use crate::objects::closest;

/// The templates; `None` where one cannot be read, so that no host is made of a guess.
pub(crate) struct Network {
    pub(crate) domain_template: Option<Template>,
    pub(crate) tag_template: Option<Template>,
}

const DOMAIN: (&str, &str, &str) = (
    "domain-template",
    "domainTemplate",
    "{{.Name}}.{{.Namespace}}.{{.Domain}}",
);
const TAG: (&str, &str, &str) = ("tag-template", "tagTemplate", "{{.Tag}}-{{.Name}}");

/// Keys with their older spellings.
const KNOWN: [&[&str]; 17] = [
    &[DOMAIN.0, DOMAIN.1],
    &[TAG.0, TAG.1],
    &["ingress-class", "ingress.class"],
    &["certificate-class", "certificate.class"],
    &["external-domain-tls", "auto-tls", "autoTLS"],
    &["http-protocol", "httpProtocol"],
    &["default-external-scheme", "defaultExternalScheme"],
    &["rollout-duration", "rolloutDuration"],
    &[
        "autocreate-cluster-domain-claims",
        "autocreateClusterDomainClaims",
    ],
    &["namespace-wildcard-cert-selector"],
    &["cluster-local-domain-tls"],
    &["system-internal-tls"],
    &["internal-encryption"],
    &["enable-mesh-pod-addressability"],
    &["mesh-compatibility-mode"],
    &["dataplane-trust"],
    &["controlplane-trust"],
];

const OF_DOMAIN: Vocabulary = Vocabulary {
    variables: &[Variable::Name, Variable::Namespace, Variable::Domain],
    maps: true,
};
const OF_TAG: Vocabulary = Vocabulary {
    variables: &[Variable::Name, Variable::Tag],
    maps: false,
};

impl Network {
    pub(super) fn read(config: Option<&ConfigMap>, findings: &mut Vec<Finding>) -> Self {
        if let Some(config) = config {
            check_keys(config, findings);
        }
        Self {
            domain_template: template(config, DOMAIN, OF_DOMAIN, findings),
            tag_template: template(config, TAG, OF_TAG, findings),
        }
    }
}

/// A misspelt key is silent in Knative: the default stays.
fn check_keys(config: &ConfigMap, findings: &mut Vec<Finding>) {
    for key in keys(config) {
        let spellings = KNOWN.iter().find(|all| all.contains(&&**key));
        let (fault, remedy) = match spellings {
            None => {
                let near = closest(key, KNOWN.iter().flat_map(|all| all.iter().copied()));
                let remedy = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "remove it".to_owned(),
                };
                (format!("`{key}` is no key, so it changes nothing"), remedy)
            }
            Some(all) => {
                let before = all.iter().take_while(|one| ***one != **key);
                let Some(winner) = before.copied().find(|one| config.data.contains_key(*one))
                else {
                    continue;
                };
                (
                    format!("`{key}` and `{winner}` are the same key; `{winner}` counts"),
                    format!("remove `{key}`"),
                )
            }
        };
        let (code, warning) = (codes::SERVING_KEY, Severity::Warning);
        findings.push(about_entry(config, key, code, warning, fault, remedy));
    }
}

fn template(
    config: Option<&ConfigMap>,
    (key, older, default): (&str, &str, &str),
    vocabulary: Vocabulary,
    findings: &mut Vec<Finding>,
) -> Option<Template> {
    let entry = config.and_then(|config| {
        let entry = |key| config.data.get_key_value(key);
        Some((config, entry(key).or_else(|| entry(older))?))
    });
    let source: Arc<str> = entry.map_or_else(|| default.into(), |(_, (_, text))| text.text.clone());
    match Template::parse(&source, vocabulary) {
        Ok(template) => Some(template),
        Err(fault) => {
            findings.extend(entry.map(|(config, (key, _))| {
                about_entry(
                    config,
                    key,
                    codes::HOST_TEMPLATE,
                    Severity::Error,
                    format!("`{key}` cannot be read, so no host is made of it: {fault}"),
                    format!("write it as `{default}`"),
                )
            }));
            None
        }
    }
}
