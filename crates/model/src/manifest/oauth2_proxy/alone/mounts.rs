//! `upstreams`: where each is mounted, and what is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

use super::Settings;
use crate::finding::codes;
use crate::names::{ObjectRef, Place};
use crate::snapshot::{
    Authentication, Destination, Endpoints, Forward, HeaderEdits, Mount, MountedUpstream, PlayedBy,
    PolicySet, Rewrite, Route, RouteAction, RouteInfo, ServiceRef, Trust, UpstreamProtocol,
    UpstreamTls, Weighted, fixed,
};

/// What a `static://` upstream says.
const AUTHENTICATED: &str = "Authenticated";

pub(super) fn mounts(settings: &mut Settings<'_>) -> Vec<Mount> {
    let at = settings.origin("upstreams");
    let mut mounts: Vec<Mount> = Vec::new();
    let mut taken = BTreeSet::new();
    for upstream in settings.list("upstreams") {
        match mount(settings, &upstream) {
            Ok(mount) if taken.insert(Arc::clone(&mount.path)) => mounts.push(mount),
            Ok(mount) => {
                let fault = format!("two upstreams are mounted at `{}`", mount.path);
                let remedy = "give each a path of its own".to_owned();
                settings.close(&at, codes::LOGIN_UPSTREAM, fault, remedy);
            }
            Err((fault, remedy)) => {
                settings.close(&at, codes::LOGIN_UPSTREAM, fault, remedy.to_owned());
            }
        }
    }
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.path.len()));
    mounts
}

type Bad = (String, &'static str);

fn mount(settings: &Settings<'_>, upstream: &str) -> Result<Mount, Bad> {
    if let Some(status) = upstream.strip_prefix("static://") {
        let status = status
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status));
        return Ok(Mount {
            path: "/".into(),
            upstream: MountedUpstream::Route(fixed("static", status.unwrap_or(200), AUTHENTICATED)),
        });
    }
    if upstream.starts_with("unix:") {
        let fault =
            format!("the upstream `{upstream}` cannot be reached: sockets of files are not");
        return Err((fault, "let it listen at `127.0.0.1` and name that"));
    }
    let none = || {
        let fault = format!("the upstream `{upstream}` is no address");
        let remedy = "write `http://HOST:PORT/`, `file:///DIR#/PATH/` or `static://200`";
        (fault, remedy)
    };
    let url = Url::parse(upstream).map_err(|_| none())?;
    match url.scheme() {
        "file" => {
            let path = url.fragment().unwrap_or(url.path());
            if !path.starts_with('/') {
                return Err(none());
            }
            Ok(Mount {
                path: path.into(),
                upstream: MountedUpstream::Files(url.path().into()),
            })
        }
        "http" | "https" => {
            let host = url.host_str().filter(|host| !host.is_empty());
            let host = host.ok_or_else(none)?;
            Ok(Mount {
                path: url.path().into(),
                upstream: MountedUpstream::Route(forward(settings, &url, host)),
            })
        }
        _ => Err(none()),
    }
}

fn forward(settings: &Settings<'_>, url: &Url, host: &str) -> Arc<Route> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(80);
    let tls = (url.scheme() == "https").then(|| {
        let trust = match settings.flag("ssl_upstream_insecure_skip_verify", false) {
            true => Trust::Anybody,
            false => Trust::System,
        };
        Arc::new(UpstreamTls {
            server_name: None,
            trust,
            subject_alt_names: Vec::new(),
            client: None,
        })
    });
    let destination = Destination {
        service: ServiceRef {
            namespace: "".into(),
            name: bare.into(),
            port,
        },
        host: bare.into(),
        target_port: port,
        played_by: PlayedBy::Upstream,
        protocol: UpstreamProtocol::Http1,
        tls,
        endpoints: Endpoints::ByHost,
        traffic: Arc::default(),
        policies: PolicySet::default(),
        authentication: Authentication::default(),
    };
    let rewrite = (!settings.flag("pass_host_header", true)).then(|| Rewrite {
        path: None,
        authority: Some(match url.port() {
            Some(port) => format!("{host}:{port}").into(),
            None => host.into(),
        }),
    });
    Arc::new(Route {
        info: Arc::new(RouteInfo {
            object: ObjectRef::new("Program", "", "upstream"),
            place: Place::new("", 0),
            name: url.as_str().into(),
        }),
        matches: Vec::new(),
        cors: None,
        guard: None,
        action: RouteAction::Forward(Forward {
            destinations: vec![Weighted::plain(1, Arc::new(destination))],
            rewrite,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            timeout: None,
            retries: None,
            mirrors: Vec::new(),
            fault: None,
        }),
    })
}
