//! Hosts, paths and routes of InferenceServices.

use std::sync::Arc;

use super::backing::{Changes, destination, entry, full_name, header, splits};
use super::knative::{Maker, usable};
use super::{Owned, Proposal};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::http_route::{EntryAction, EntryDestination};
use crate::manifest::inference_service::{Component, InferenceService, IngressConfig, Mode, Role};
use crate::manifest::knative::{Serving, Target, VISIBILITY, Values};
use crate::manifest::virtual_service::{EntryMatch, HttpEntry};
use crate::snapshot::{HeaderEdits, PathRewrite, Regex, Rewrite, RouteMatch, TextMatch, UriMatch};

/// Paths that ask for an explanation, of the first protocol of models.
const EXPLAIN: &str = r"/v1/models/[\w-]+:explain";

/// Makes what KServe would make of one InferenceService.
pub(super) fn make(
    model: &InferenceService,
    config: &IngressConfig,
    owned: &Owned<'_>,
    maker: &mut Maker<'_>,
    findings: &mut Vec<Finding>,
) {
    if model.is_local() {
        return;
    }
    let mut unserved = |what: &str, remedy: &str| {
        let object = &model.object;
        findings.push(object.finding(
            codes::SERVING_UNSUPPORTED,
            Severity::Warning,
            object.place.line,
            "metadata.annotations",
            format!("{what}, so it is not served here"),
            remedy,
        ));
    };
    match model.mode.unwrap_or(config.mode) {
        Mode::ModelMesh => unserved(
            "this model runs in ModelMesh, which has no hosts",
            "route to the Service of ModelMesh with a `VirtualService`",
        ),
        Mode::Raw if config.without_raw => {}
        Mode::Raw if config.raw_by_gateway_api => unserved(
            "KServe makes an `HTTPRoute` for this model",
            "add that `HTTPRoute` and its `Gateway` to the manifests",
        ),
        Mode::Raw => Parts::of(model, config, owned).raw(maker, findings),
        Mode::Serverless => Parts::of(model, config, owned).serverless(maker, findings),
    }
}

/// An InferenceService whose parts get routes.
struct Parts<'m> {
    model: &'m InferenceService,
    config: &'m IngressConfig,
    /// Whether its own host has a VirtualService already.
    is_owned: bool,
    /// Parts with the names of their Services; the predictor of a model that cannot be read too.
    parts: Vec<(Role, Option<&'m Component>)>,
}

impl<'m> Parts<'m> {
    fn of(model: &'m InferenceService, config: &'m IngressConfig, owned: &Owned<'_>) -> Self {
        let roles = [Role::Predictor, Role::Transformer, Role::Explainer];
        let parts = roles
            .into_iter()
            .map(|role| (role, model.component_of(role)));
        Self {
            model,
            config,
            is_owned: owned.model(&model.object),
            parts: parts
                .filter(|(role, part)| part.is_some() || *role == Role::Predictor)
                .collect(),
        }
    }

    fn serverless(&self, maker: &mut Maker<'_>, findings: &mut Vec<Finding>) {
        let model = self.model;
        let namespace = model.object.namespace();
        let sources = maker.sources;
        let known = |name: &str| {
            let key = (Arc::clone(namespace), Arc::from(name));
            sources.servings.get(&key)
        };
        // Older releases call them `X-predictor-default`.
        let plain = format!("{}-predictor", model.object.name());
        let ending = match known(&plain).is_none() && known(&format!("{plain}-default")).is_some() {
            true => "-default",
            false => "",
        };
        let mut servings: Vec<(Role, Serving, bool)> = Vec::new();
        for (role, component) in &self.parts {
            let name = format!("{}-{}{ending}", model.object.name(), role.as_str());
            let found = known(&name).cloned();
            let is_known = found.is_some();
            let serving = found.unwrap_or_else(|| self.serving(&name, *component));
            servings.push((*role, serving, is_known));
        }
        for (_, serving, is_known) in &servings {
            // One that is there has its host already.
            if !is_known {
                maker.route(serving, findings);
            }
        }
        if self.is_owned || self.config.without_own_host {
            return;
        }
        let entry_role = model.entry();
        let Some((_, serving, _)) = servings.iter().find(|(role, ..)| *role == entry_role) else {
            return;
        };
        let Some(full) = maker.host(serving, &serving.name, findings) else {
            return;
        };
        let cut = format!("-{}{ending}", entry_role.as_str());
        let host = full.replacen(&cut, "", 1);
        let leads: Vec<Lead> = servings
            .iter()
            .map(|(role, serving, _)| Lead {
                role: *role,
                name: Arc::clone(&serving.name),
                destinations: splits(sources, serving),
                is_rewritten: true,
            })
            .collect();
        let domains: Vec<&str> = sources.knative.domains.all().collect();
        let hosts = self.with_more_domains(&host, &domains, findings);
        let http = self.http(&leads, None);
        self.propose(hosts, false, &http, maker);
        if let Some(path) = self.path(findings) {
            let http = self.http(&leads, Some(&path));
            let hosts = vec![self.config.domain.to_string()];
            self.propose(hosts, true, &http, maker);
        }
    }

    /// The Knative Service that KServe would make.
    fn serving(&self, name: &str, component: Option<&Component>) -> Serving {
        let model = self.model;
        let mut pods = component.map(|part| part.pods.clone()).unwrap_or_default();
        let mut labels = model.labels.clone();
        labels.extend(pods.labels.clone());
        if model.is_local() {
            labels.insert(VISIBILITY.into(), "cluster-local".into());
        }
        for key in ["service", "configuration"] {
            let key = format!("serving.knative.dev/{key}");
            pods.labels.insert(key.into(), name.into());
        }
        Serving {
            object: Arc::clone(&model.object),
            namespace: Arc::clone(model.object.namespace()),
            name: name.into(),
            labels,
            annotations: pods.annotations.clone(),
            pods,
            traffic: vec![Target::latest()],
            closed: model.closed.clone(),
        }
    }

    fn raw(&self, maker: &mut Maker<'_>, findings: &mut Vec<Finding>) {
        let model = self.model;
        let Some(template) = &self.config.host_template else {
            return;
        };
        let (object, namespace) = (&model.object, model.object.namespace());
        let host = |name: &str, findings: &mut Vec<Finding>| {
            let host = template.render(&Values {
                name,
                namespace,
                domain: &self.config.domain,
                annotations: Some(&model.annotations),
                labels: Some(&model.labels),
                ..Values::default()
            });
            usable(object, host, findings)
        };
        let mut leads = Vec::new();
        for (role, component) in &self.parts {
            let name = format!("{}-{}", object.name(), role.as_str());
            let mut pods = component.map(|part| part.pods.clone()).unwrap_or_default();
            pods.labels
                .insert("app".into(), format!("isvc.{name}").into());
            let edits = HeaderEdits::default();
            let destination = destination(maker.sources, object, &name, namespace, pods, edits);
            leads.push(Lead {
                role: *role,
                name: name.into(),
                destinations: vec![destination],
                is_rewritten: false,
            });
        }
        if self.is_owned {
            return;
        }
        for lead in &leads {
            let http = [lead.entry(self.model, Vec::new(), None)];
            let hosts = host(&lead.name, findings).into_iter().collect();
            self.propose(hosts, false, &http, maker);
        }
        if let Some(host) = host(object.name(), findings) {
            let hosts = self.with_more_domains(&host, &[&self.config.domain], findings);
            let http = self.http(&leads, None);
            self.propose(hosts, false, &http, maker);
        }
    }

    /// The host, and the same below each additional domain.
    fn with_more_domains(
        &self,
        host: &str,
        domains: &[&str],
        findings: &mut Vec<Finding>,
    ) -> Vec<String> {
        let mut hosts = vec![host.to_owned()];
        let below = domains.iter().find_map(|domain| host.strip_suffix(domain));
        for domain in below.map_or(&[][..], |_| self.config.more_domains.as_slice()) {
            let more = format!("{}{domain}", below.unwrap_or_default());
            let more = usable(&self.model.object, more, findings);
            hosts.extend(more.filter(|more| !hosts.contains(more)));
        }
        hosts
    }

    /// Its path on the host that all models share.
    fn path(&self, findings: &mut Vec<Finding>) -> Option<String> {
        let template = self.config.path_template.as_ref()?;
        let object = &self.model.object;
        let path = template.render(&Values {
            name: object.name(),
            namespace: object.namespace(),
            ..Values::default()
        });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if path.starts_with('/')
            && path.len() > 1
            && !path.ends_with('/')
            && path.bytes().all(plain)
        {
            return Some(path);
        }
        findings.push(object.finding(
            codes::HOST_INVALID,
            Severity::Error,
            object.place.line,
            "metadata.name",
            format!("the path `{path}` that is made for it is none"),
            "begin `pathTemplate` with `/`, and do not end it with one",
        ));
        None
    }

    /// Explanations first, then everything else.
    fn http(&self, leads: &[Lead], path: Option<&str>) -> Vec<HttpEntry> {
        let lead = |role| leads.iter().find(|lead| lead.role == role);
        let explain = lead(Role::Explainer).and_then(|lead| {
            let pattern = match path {
                None => EXPLAIN.to_owned(),
                Some(path) => format!("{}({EXPLAIN})", quoted(path)),
            };
            let whole = Regex::whole(&pattern).ok()?;
            let rewrite = path.and_then(|_| {
                let matched = Regex::anywhere(&format!("^{pattern}$")).ok()?;
                Some(PathRewrite::Regex(matched, r"\1".into()))
            });
            let matches = vec![on_path(TextMatch::Regex(whole))];
            Some(lead.entry(self.model, matches, rewrite))
        });
        let rest = lead(self.model.entry()).map(|lead| {
            let matches = path.map_or_else(Vec::new, |path| {
                let below = TextMatch::Prefix(format!("{path}/").into());
                vec![on_path(below), on_path(TextMatch::Exact(path.into()))]
            });
            let rewrite = path.map(|_| PathRewrite::Matched("/".into()));
            lead.entry(self.model, matches, rewrite)
        });
        explain.into_iter().chain(rest).collect()
    }

    fn propose(
        &self,
        hosts: Vec<String>,
        is_shared: bool,
        http: &[HttpEntry],
        maker: &mut Maker<'_>,
    ) {
        let closed = self.model.closed.as_ref();
        let mut http = http.to_vec();
        if let Some(closure) = closed.filter(|_| is_shared) {
            // On a shared host only its own paths are closed.
            for entry in &mut http {
                entry.action = EntryAction::Closed(Arc::clone(closure));
            }
        }
        for host in hosts {
            maker.proposals.push(Proposal {
                object: Arc::clone(&self.model.object),
                host,
                gateways: vec![self.config.gateway.clone()],
                http: http.clone(),
                is_shared,
                closed: closed.filter(|_| !is_shared).cloned(),
            });
        }
    }
}

/// A part, and where it is found.
struct Lead {
    role: Role,
    /// The Service.
    name: Arc<str>,
    destinations: Vec<EntryDestination>,
    /// Whether it is asked under its own name.
    is_rewritten: bool,
}

impl Lead {
    fn entry(
        &self,
        model: &InferenceService,
        matches: Vec<EntryMatch>,
        path: Option<PathRewrite>,
    ) -> HttpEntry {
        let object = &model.object;
        let mut request_headers = HeaderEdits::default();
        let mut authority = None;
        if self.is_rewritten {
            let set = &mut request_headers.set;
            set.extend(header("kserve-isvc-name", object.name()));
            set.extend(header("kserve-isvc-namespace", object.namespace()));
            authority = Some(full_name(&self.name, object.namespace()).into());
        }
        let rewrite =
            (path.is_some() || authority.is_some()).then_some(Rewrite { path, authority });
        let changes = Changes {
            rewrite,
            request_headers,
        };
        let name = self.role.as_str();
        entry(object, name, matches, self.destinations.clone(), changes)
    }
}

fn on_path(text: TextMatch) -> EntryMatch {
    EntryMatch {
        conditions: RouteMatch {
            uri: Some(UriMatch {
                text,
                ignore_case: false,
                whole_segments: false,
            }),
            ..RouteMatch::default()
        },
        ..EntryMatch::default()
    }
}

/// A path inside a regular expression.
fn quoted(path: &str) -> String {
    path.replace('.', r"\.")
}
