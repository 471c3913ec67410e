//! A program that this process stands in for: what it did besides checking who is signed in.
//!
//! A snapshot with a program has one login proxy, and no manifests: every request is the program's.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::mesh::HeaderName;
use super::route::Route;
use crate::names::Secret;

/// The program, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// OAuth2 Proxy.
    OAuth2Proxy(Box<OAuth2Proxy>),
    /// Arrikto's OIDC AuthService.
    AuthService(Box<AuthService>),
}

impl Program {
    /// Whose `X-Forwarded-…` headers count.
    pub fn trust(&self) -> &TrustedPeers {
        match self {
            Self::OAuth2Proxy(proxy) => &proxy.trust,
            Self::AuthService(_) => &TrustedPeers::Nobody,
        }
    }

    /// The address of the client behind a request that `peer` sent.
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        match self {
            Self::OAuth2Proxy(proxy) => proxy.client(headers, peer),
            Self::AuthService(_) => peer,
        }
    }
}

/// OAuth2 Proxy. Names of options are its own.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2Proxy {
    /// `ping_path`, `ping_user_agent`, `gcp_healthchecks`.
    pub pings: Vec<Ping>,
    /// What a ping is answered: 200 `OK`.
    pub alive: Arc<Route>,
    /// `ready_path`.
    pub ready_path: Arc<str>,
    /// What `/robots.txt` is answered.
    pub robots: Arc<Route>,
    /// What `<prefix>/auth` is answered when it lets through: 202.
    pub accepted: Arc<Route>,
    /// `force_https`: the port that HTTPS is at, where a client names one.
    pub force_https: Option<u16>,
    /// `reverse_proxy` and `trusted_proxy_ips`.
    pub trust: TrustedPeers,
    /// `real_client_ip_header`, with `reverse_proxy` only.
    pub client_header: Option<HeaderName>,
    /// `trusted_ips`: clients that need no login.
    pub trusted_clients: Vec<IpNet>,
    /// `bearer_token_login_fallback` is false: an `Authorization` that proves nothing is refused.
    pub bearer_only: bool,
    /// `upstreams`, longest mount first.
    pub mounts: Vec<Mount>,
    /// What the upstream is told.
    pub to_upstream: ToUpstream,
    /// What the answer tells.
    pub to_client: ToClient,
    /// `basic_auth_password`.
    pub basic_password: Option<Secret>,
    /// `prefer_email_to_user`.
    pub prefer_email: bool,
}

impl OAuth2Proxy {
    /// The first item of the header that is configured; the peer where there is no such header
    /// configured, or where the peer may not speak of others.
    fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let Some(name) = self
            .client_header
            .as_ref()
            .filter(|_| self.trust.covers(peer))
        else {
            return peer;
        };
        let first = headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(',').next())
            .map(str::trim);
        first.and_then(address).unwrap_or(peer)
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let parsed = bare.parse::<IpAddr>().ok().or_else(|| {
        let socket: std::net::SocketAddr = text.parse().ok()?;
        Some(socket.ip())
    })?;
    Some(parsed.to_canonical())
}

/// A path that says that the process is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The path.
    pub path: Arc<str>,
    /// The `User-Agent`, if it counts.
    pub user_agent: Option<Arc<str>>,
}

/// Peers whose `X-Forwarded-…` headers count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedPeers {
    /// Nobody's.
    Nobody,
    /// Everybody's.
    Everybody,
    /// Those in these networks.
    In(Vec<IpNet>),
}

impl TrustedPeers {
    /// Whether `peer` is one.
    pub fn covers(&self, peer: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::In(networks) => networks.iter().any(|one| one.contains(&peer)),
        }
    }
}

/// An upstream and where it is mounted.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// The path; one that ends with `/` stands for everything below it, too.
    pub path: Arc<str>,
    /// What is there.
    pub upstream: MountedUpstream,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq)]
pub enum MountedUpstream {
    /// `http://`, `https://`: a route that forwards. `static://`: one that responds.
    Route(Arc<Route>),
    /// `file://`: files of a directory.
    Files(Arc<str>),
}

/// Which headers tell the upstream who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToUpstream {
    /// `pass_user_headers` or `pass_basic_auth`: `X-Forwarded-User` and its kin.
    pub user: bool,
    /// `pass_basic_auth`, where there is a password: `Authorization: Basic`.
    pub basic: bool,
    /// `pass_access_token`: `X-Forwarded-Access-Token`.
    pub access_token: bool,
    /// `pass_authorization_header`: `Authorization: Bearer`, the ID token.
    pub bearer: bool,
}

/// Which headers of the answer tell who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToClient {
    /// `set_xauthrequest`.
    pub user: bool,
    /// `set_xauthrequest` and `pass_access_token`.
    pub access_token: bool,
    /// `set_basic_auth`.
    pub basic: bool,
    /// `set_authorization_header`: the ID token.
    pub bearer: bool,
}

/// Arrikto's OIDC AuthService.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthService {
    /// `AUTHSERVICE_URL_PREFIX`, no slash at the end.
    pub prefix: Arc<str>,
    /// `SKIP_AUTH_URLS` and `SKIP_AUTH_URI`: whole paths, and everything below them.
    pub skipped: Vec<Arc<str>>,
    /// The callback's path.
    pub callback: Arc<str>,
    /// Paths that end a session.
    pub sign_outs: Vec<SignOutPath>,
    /// `VERIFY_AUTH_URL`: answers 204 and never redirects.
    pub verify: Arc<str>,
    /// What is answered for paths that are skipped: 200.
    pub skip: Arc<Route>,
    /// What is answered to those who may pass: 200.
    pub pass: Arc<Route>,
    /// What `verify` is answered: 204.
    pub verified: Arc<Route>,
    /// `USERID_HEADER`.
    pub user_header: HeaderName,
    /// `USERID_PREFIX`.
    pub user_prefix: Arc<str>,
    /// `USERID_TRANSFORMERS`; the first that matches counts.
    pub transformers: Vec<Transformer>,
    /// `GROUPS_HEADER`.
    pub groups_header: HeaderName,
    /// `AUTH_METHOD_HEADER`.
    pub method_header: HeaderName,
    /// `USERID_TOKEN_HEADER`, of the oldest generation.
    pub token_header: Option<HeaderName>,
    /// `EXTERNAL_AUTHZ_URL`: who else is asked whether somebody may pass.
    pub authorizer: Option<Arc<str>>,
}

impl AuthService {
    /// Headers that say who somebody is.
    pub(crate) fn told_headers(&self) -> Vec<HeaderName> {
        const USUAL: [&str; 2] = ["auth-method", "kubeflow-userid-token"];
        let named = [&self.user_header, &self.groups_header, &self.method_header];
        let named = named.into_iter().chain(&self.token_header).cloned();
        let credentials = [http::header::AUTHORIZATION, http::header::COOKIE];
        named
            .filter(|name| !credentials.contains(name))
            .chain(USUAL.map(HeaderName::from_static))
            .collect()
    }
}

/// A path that ends a session by `POST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOutPath {
    /// The path.
    pub path: Arc<str>,
    /// By `GET`, too.
    pub by_get: bool,
}

/// One of `USERID_TRANSFORMERS`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformer {
    /// `matches`.
    pub matches: super::text::Regex,
    /// `replaces`.
    pub replaces: Arc<str>,
}

/// An answer that is the same for everybody.
pub fn fixed(name: &str, status: u16, body: &str) -> Arc<Route> {
    use super::forward::HeaderEdits;
    use super::route::{Respond, RouteAction, RouteInfo};
    use crate::names::{ObjectRef, Place};

    let headers = HeaderEdits {
        set: match body {
            "" => Vec::new(),
            _ => vec![(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            )],
        },
        ..HeaderEdits::default()
    };
    Arc::new(Route {
        info: Arc::new(RouteInfo {
            object: ObjectRef::new("Program", "", name),
            place: Place::new("", 0),
            name: name.into(),
        }),
        matches: Vec::new(),
        cors: None,
        guard: None,
        action: RouteAction::Respond(Respond {
            status,
            body: body.as_bytes().into(),
            headers,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_peers_speak_of_others() {
        let near: IpAddr = [10, 0, 0, 1].into();
        let far: IpAddr = [192, 0, 2, 1].into();
        assert!(TrustedPeers::Everybody.covers(far) && !TrustedPeers::Nobody.covers(near));
        let networks = TrustedPeers::In(vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(networks.covers(near) && !networks.covers(far));
    }

    #[test]
    fn an_address_may_have_a_port_or_brackets() {
        for (text, wanted) in [
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.3.4:80", Some("1.2.3.4")),
            ("[::1]", Some("::1")),
            ("[::1]:80", Some("::1")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("unknown", None),
        ] {
            assert_eq!(
                address(text),
                wanted.map(|one| one.parse().unwrap()),
                "{text}"
            );
        }
    }
}
