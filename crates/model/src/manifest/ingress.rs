//! `Ingress` (networking.k8s.io/v1): hosts, paths and Services.

use std::sync::Arc;

use crate::finding::{Finding, codes};
use crate::names::HostPattern;
use crate::objects::{Fault, Field, Object};
use crate::snapshot::{Closure, RouteInfo};

/// An Ingress.
#[derive(Clone, Debug)]
pub(crate) struct Ingress {
    pub(crate) object: Arc<Object>,
    /// The annotation of old, which goes before `spec.ingressClassName`.
    pub(crate) class: Option<Arc<str>>,
    /// `spec.defaultBackend`.
    pub(crate) default_backend: Option<IngressBackend>,
    pub(crate) tls: Vec<IngressTls>,
    pub(crate) rules: Vec<IngressRule>,
    /// Set when a part beside the backends cannot be read: all hosts that can be are closed.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// One of `spec.tls`.
#[derive(Clone, Debug)]
pub(crate) struct IngressTls {
    /// Every host of the rules where none is named.
    pub(crate) hosts: Vec<HostPattern>,
    /// A Secret of the Ingress's namespace.
    pub(crate) secret: Option<Arc<str>>,
    pub(crate) path: String,
    pub(crate) line: u32,
}

/// One of `spec.rules`.
#[derive(Clone, Debug)]
pub(crate) struct IngressRule {
    /// `*` where none is given.
    pub(crate) host: HostPattern,
    pub(crate) paths: Vec<IngressPath>,
}

/// One of `http.paths`.
#[derive(Clone, Debug)]
pub(crate) struct IngressPath {
    pub(crate) info: Arc<RouteInfo>,
    pub(crate) path: Arc<str>,
    /// `Exact`; else whole segments.
    pub(crate) exact: bool,
    pub(crate) backend: IngressBackend,
}

/// `backend`.
#[derive(Clone, Debug)]
pub(crate) enum IngressBackend {
    Service {
        name: Arc<str>,
        port: BackendPort,
        path: String,
        line: u32,
    },
    /// It cannot be read, or is no Service.
    Closed(Arc<Closure>),
}

/// `service.port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackendPort {
    Number(u16),
    Name(Arc<str>),
}

impl Ingress {
    /// Reads an Ingress. A backend that cannot be read is closed; a fault elsewhere closes all of it
    /// that can be read.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut ingress = Self {
            object: Arc::clone(object),
            class: object
                .annotation("kubernetes.io/ingress.class")
                .map(|class| class.into()),
            default_backend: None,
            tls: Vec::new(),
            rules: Vec::new(),
            closed: object.closed.clone(),
        };
        if let Err(fault) = ingress.fill(object, findings) {
            ingress.closed.get_or_insert(close(*fault, findings));
        }
        ingress
    }

    /// Goes on behind what cannot be read: the hosts there have to be known to be closed.
    fn fill(&mut self, object: &Arc<Object>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        let class = spec.child_text("ingressClassName")?;
        self.class = self.class.take().or(class);
        if let Some(backend) = spec.child("defaultBackend") {
            self.default_backend = Some(self::backend(&backend, findings));
        }
        let mut result = Ok(());
        for item in spec.child_items("rules")? {
            match rule(&item, findings) {
                Ok((rule, fault)) => {
                    self.rules.push(rule);
                    result = result.and(fault);
                }
                Err(fault) => result = result.and(Err(fault)),
            }
        }
        for item in spec.child_items("tls")? {
            match tls(&item) {
                Ok(tls) => self.tls.push(tls),
                Err(fault) => result = result.and(Err(fault)),
            }
        }
        result
    }
}

fn close(mut finding: Finding, findings: &mut Vec<Finding>) -> Arc<Closure> {
    finding.code = codes::INGRESS_INVALID;
    let closure = Arc::new(Closure::of(&finding));
    findings.push(finding);
    closure
}

fn host(field: &Field<'_>) -> Result<HostPattern, Fault> {
    let text = field.text()?;
    HostPattern::parse(text).ok_or_else(|| {
        let fault = format!("`{}` is no host: `{text}`", field.path);
        field.fault(fault, "write a name, or `*.` and a name")
    })
}

fn tls(field: &Field<'_>) -> Result<IngressTls, Fault> {
    let hosts = field.child_items("hosts")?;
    Ok(IngressTls {
        hosts: hosts.iter().map(host).collect::<Result<_, _>>()?,
        secret: field
            .child_text("secretName")?
            .filter(|name| !name.is_empty()),
        path: field.path.clone(),
        line: field.line(),
    })
}

/// A rule whose host can be read, and the first fault of its paths.
fn rule(
    field: &Field<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(IngressRule, Result<(), Fault>), Fault> {
    let host = match field.child("host") {
        Some(host) if host.node.text() != Some("") => self::host(&host)?,
        _ => HostPattern::Any,
    };
    let mut rule = IngressRule {
        host,
        paths: Vec::new(),
    };
    let paths = field.child("http").map(|http| http.child_items("paths"));
    let mut result = Ok(());
    match paths.transpose() {
        Ok(items) => {
            for item in items.iter().flatten() {
                match path(item, findings) {
                    Ok(path) => rule.paths.push(path),
                    Err(fault) => result = result.and(Err(fault)),
                }
            }
        }
        Err(fault) => result = Err(fault),
    }
    if let Err(fault) = &result {
        let closure = Arc::new(Closure::of(fault));
        rule.paths.push(IngressPath {
            info: info(field),
            path: "/".into(),
            exact: false,
            backend: IngressBackend::Closed(closure),
        });
    }
    Ok((rule, result))
}

fn info(field: &Field<'_>) -> Arc<RouteInfo> {
    let name = field.path.strip_prefix("spec.").unwrap_or(&field.path);
    Arc::new(RouteInfo {
        object: field.object.reference.clone(),
        place: field.object.at(field.line()),
        name: name.into(),
    })
}

fn path(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<IngressPath, Fault> {
    let kind = field.required("pathType")?;
    let exact = match kind.text()? {
        "Exact" => true,
        // Ours is to match whole segments.
        "Prefix" | "ImplementationSpecific" => false,
        other => {
            let fault = format!("`{}` cannot be `{other}`", kind.path);
            return Err(kind.fault(fault, "write `Exact` or `Prefix`"));
        }
    };
    let text = field.child_text("path")?.filter(|path| !path.is_empty());
    let text = text.unwrap_or_else(|| "/".into());
    if !text.starts_with('/') {
        let fault = format!("`{}.path` does not begin with `/`", field.path);
        return Err(field.fault(fault, "write the path from its first `/` on"));
    }
    Ok(IngressPath {
        info: info(field),
        path: text,
        exact,
        backend: match field.child("backend") {
            Some(backend) => self::backend(&backend, findings),
            None => IngressBackend::Closed(close(
                *field.fault(format!("`{}` has no `backend`", field.path), "add it"),
                findings,
            )),
        },
    })
}

fn backend(field: &Field<'_>, findings: &mut Vec<Finding>) -> IngressBackend {
    service(field).unwrap_or_else(|fault| IngressBackend::Closed(close(*fault, findings)))
}

fn service(field: &Field<'_>) -> Result<IngressBackend, Fault> {
    if let Some(resource) = field.child("resource") {
        let fault = format!(
            "`{}` names a resource, which is not served here",
            resource.path
        );
        return Err(resource.fault(fault, "name a `service`"));
    }
    let service = field.required("service")?;
    let port = service.required("port")?;
    let port = match (port.child("number"), port.child_text("name")?) {
        (Some(number), None) => BackendPort::Number(number.port()?),
        (None, Some(name)) => BackendPort::Name(name),
        _ => {
            let fault = format!("`{}` has to hold `number` or `name`", port.path);
            return Err(port.fault(fault, "keep one of them"));
        }
    };
    Ok(IngressBackend::Service {
        name: service.required("name")?.text()?.into(),
        port,
        path: service.path.clone(),
        line: service.line(),
    })
}
