//! KFAM's REST interface.

#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use model::seams::{Change, ObjectWriter, WriteFault};
use model::snapshot::{Role, Tenancy};
use policy::bindings::{self, Refused};
use policy::membership::{self, Caller, Filter, Member};
use serde_json::json;

/// KFAM, in front of one writer. It may wait for a disk: not for a thread that others wait for.
pub struct Kfam {
    writer: Arc<dyn ObjectWriter>,
    requests: AtomicU64,
    refusals: AtomicU64,
}

/// What a caller is told, and what has changed.
#[derive(Debug)]
pub struct Answer {
    /// The answer; of a change, once the manifests tell of it.
    pub response: Response<Bytes>,
    /// What was written.
    pub change: Option<Change>,
}

/// Why a request is not answered as it was meant.
#[derive(Debug, PartialEq)]
enum Fault {
    /// Nobody says who asks.
    Unknown,
    /// There is no such path.
    NoPath,
    /// The path has other methods.
    Method(&'static str),
    /// The body or query does not say what is wanted.
    Unreadable(&'static str),
    /// A page of another site asks, in the name of whoever looks at it.
    CrossSite,
    /// It may not be, or cannot be.
    Refused(Refused),
    /// It cannot be written.
    Write(WriteFault),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What is told of a request that is answered.
enum Told {
    Text(String),
    Json(serde_json::Value),
    Changed(Change),
}

impl Kfam {
    /// Changes go through `writer`.
    pub fn new(writer: Arc<dyn ObjectWriter>) -> Self {
        Self {
            writer,
            requests: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// Answers one request. Who asks is the [`Caller`] among its extensions.
    pub fn answer(&self, tenancy: &Tenancy, request: &Request<Bytes>) -> Answer {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let told = self.tell(tenancy, request);
        let (status, kind, text, change) = match told {
            Ok(Told::Text(text)) => (StatusCode::OK, "text/plain; charset=utf-8", text, None),
            Ok(Told::Json(value)) => (StatusCode::OK, "application/json", value.to_string(), None),
            Ok(Told::Changed(change)) => {
                let none = String::new();
                (
                    StatusCode::OK,
                    "text/plain; charset=utf-8",
                    none,
                    Some(change),
                )
            }
            Err(fault) => {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                let (status, text) = said(&fault);
                (status, "text/plain; charset=utf-8", text, None)
            }
        };
        Answer {
            response: response(status, kind, text),
            change,
        }
    }

    fn tell(&self, tenancy: &Tenancy, request: &Request<Bytes>) -> Result<Told, Fault> {
        let path = request.uri().path();
        match path.trim_end_matches('/') {
            "/kfam" => {
                only(request, &[Method::GET], "GET")?;
                return Ok(Told::Text(
                    "Kubeflow access management, by doorward\n".to_owned(),
                ));
            }
            "/metrics" => {
                only(request, &[Method::GET], "GET")?;
                return Ok(Told::Text(self.metrics()));
            }
            _ => {}
        }
        let below = path.strip_prefix("/kfam/v1/").ok_or(Fault::NoPath)?;
        let caller = request.extensions().get::<Caller>().ok_or(Fault::Unknown)?;
        if request.method() != Method::GET && is_cross_site(request) {
            return Err(Fault::CrossSite);
        }
        let body = request.body();
        let below = below.trim_end_matches('/');
        match (below, request.method()) {
            ("bindings", &Method::GET) => list(tenancy, caller, request),
            ("bindings", &Method::POST) => {
                let wanted = wire::binding(body).map_err(Fault::Unreadable)?;
                self.make(bindings::add(tenancy, caller, &wanted)?, caller)
            }
            ("bindings", &Method::DELETE) => {
                let wanted = wire::binding(body).map_err(Fault::Unreadable)?;
                self.make(bindings::remove(tenancy, caller, &wanted)?, caller)
            }
            ("bindings", _) => Err(Fault::Method("DELETE, GET, POST")),
            ("profiles", &Method::POST) => {
                let wanted = wire::profile(body).map_err(Fault::Unreadable)?;
                self.make(bindings::create_profile(tenancy, caller, &wanted)?, caller)
            }
            ("profiles", _) => Err(Fault::Method("POST")),
            ("role/clusteradmin", &Method::GET) => is_admin(tenancy, caller, request),
            ("role/clusteradmin", _) => Err(Fault::Method("GET")),
            (other, method) => {
                let name = other.strip_prefix("profiles/").ok_or(Fault::NoPath)?;
                if method != Method::DELETE {
                    return Err(Fault::Method("DELETE"));
                }
                self.make(bindings::delete_profile(tenancy, caller, name)?, caller)
            }
        }
    }

    fn make(&self, change: Change, caller: &Caller) -> Result<Told, Fault> {
        self.writer.write(&change).map_err(|fault| {
            if matches!(fault, WriteFault::NotWritable(_) | WriteFault::Nowhere) {
                tracing::error!(help = fault.remedy(), "{fault}");
            }
            Fault::Write(fault)
        })?;
        let user = caller.user();
        for new in &change.create {
            tracing::info!(user, object = %new.reference, "created through KFAM");
        }
        for gone in &change.remove {
            tracing::info!(user, object = %gone.object, "removed through KFAM");
        }
        Ok(Told::Changed(change))
    }

    fn metrics(&self) -> String {
        let (requests, refusals) = (&self.requests, &self.refusals);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "# HELP request_kf Requests that KFAM received.\n# TYPE request_kf counter\nrequest_kf {}\n\
             # HELP request_kf_failure Requests that KFAM did not answer as they were meant.\n# TYPE request_kf_failure counter\nrequest_kf_failure {}\n",
            count(requests),
            count(refusals),
        )
    }
}

/// Members, in KFAM's form.
fn list(tenancy: &Tenancy, caller: &Caller, request: &Request<Bytes>) -> Result<Told, Fault> {
    let query = wire::query(request.uri().query());
    let role = match query.get("role").map(|role| Role::parse(role)) {
        Some(None) => return Err(Fault::Unreadable("there is no such role")),
        Some(role) => role,
        None => None,
    };
    let filter = Filter {
        user: query.get("user").map(|user| &**user),
        namespace: query.get("namespace").map(|namespace| &**namespace),
        role,
    };
    let members = membership::members(tenancy, caller, filter);
    let bindings: Vec<_> = members
        .into_iter()
        .map(
            |Member {
                 namespace,
                 subject,
                 role,
             }| {
                json!({
                    "user": {"kind": subject.kind.as_str(), "name": &*subject.name},
                    "referredNamespace": namespace,
                    "RoleRef": {"kind": "ClusterRole", "name": role.as_str()},
                })
            },
        )
        .collect();
    Ok(Told::Json(json!({ "bindings": bindings })))
}

/// Whether somebody is an administrator: oneself, or anybody for an administrator.
fn is_admin(tenancy: &Tenancy, caller: &Caller, request: &Request<Bytes>) -> Result<Told, Fault> {
    let query = wire::query(request.uri().query());
    let user = query.get("user").map_or(caller.user(), |user| &**user);
    if user != caller.user() && !membership::is_cluster_admin(tenancy, caller.user()) {
        let fault = "only administrators may ask about others";
        return Err(Refused::NotAllowed(fault).into());
    }
    Ok(Told::Json(
        membership::is_cluster_admin(tenancy, user).into(),
    ))
}

fn only(request: &Request<Bytes>, methods: &[Method], allowed: &'static str) -> Result<(), Fault> {
    let is_allowed = methods.contains(request.method());
    is_allowed.then_some(()).ok_or(Fault::Method(allowed))
}

/// Whether the browser says that a page of another site, a neighbour's too, makes this request. The
/// session cookie does not travel then, as a rule; where it does, it shall change nothing.
fn is_cross_site(request: &Request<Bytes>) -> bool {
    let site = request.headers().get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// The only table from faults to answers.
fn said(fault: &Fault) -> (StatusCode, String) {
    let status = match fault {
        Fault::Unknown => StatusCode::UNAUTHORIZED,
        Fault::NoPath => StatusCode::NOT_FOUND,
        Fault::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        Fault::Unreadable(_) | Fault::Refused(Refused::Invalid(_)) => StatusCode::BAD_REQUEST,
        Fault::CrossSite | Fault::Refused(Refused::NotAllowed(_)) => StatusCode::FORBIDDEN,
        Fault::Refused(Refused::Absent(_)) => StatusCode::NOT_FOUND,
        Fault::Refused(Refused::Present(_))
        | Fault::Write(WriteFault::Conflict(_) | WriteFault::Entangled(_)) => StatusCode::CONFLICT,
        Fault::Write(WriteFault::Nowhere | WriteFault::NotWritable(_)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let text = match fault {
        Fault::Unknown => "nobody says who you are".to_owned(),
        Fault::NoPath => "there is nothing here".to_owned(),
        Fault::Method(allowed) => format!("use {allowed}"),
        Fault::CrossSite => "a page of another site cannot do this".to_owned(),
        Fault::Unreadable(why)
        | Fault::Refused(Refused::Invalid(why) | Refused::NotAllowed(why) | Refused::Absent(why)) => {
            (*why).to_owned()
        }
        Fault::Refused(Refused::Present(object)) => format!("`{object}` is there already"),
        Fault::Write(fault) => fault.to_string(),
    };
    (status, text + "\n")
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}
