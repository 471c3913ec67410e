//! Settings as a program to run.

use std::sync::Arc;

use ipnet::IpNet;

use super::mounts::mounts;
use super::sessions::sessions;
use super::{IssuerTrust, Listens, Settings, Standing, Tls, login};
use crate::compile::compile;
use crate::finding::{Severity, codes};
use crate::names::Secret;
use crate::objects::ObjectSet;
use crate::snapshot::{
    HeaderName, Login, Normalization, OAuth2Proxy, Ping, Program, Snapshot, ToClient, ToUpstream,
    TrustedPeers, fixed,
};

/// Headers that tell an upstream who it is, besides `authorization`.
const TELLING: [&str; 7] = [
    "gap-auth",
    "gap-signature",
    "x-forwarded-access-token",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
];

const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// `None` when something is wrong, which was told.
pub(super) fn standing(
    mut settings: Settings<'_>,
    read: &dyn Fn(&str) -> Option<Secret>,
) -> Option<Standing> {
    let proxy = proxy(&mut settings);
    let listens = listens(&mut settings);
    let sessions = sessions(&mut settings);
    let trust = IssuerTrust {
        authorities: settings.list("provider_ca_files"),
        system: settings.flag("use_system_trust_store", false),
        anybody: settings.flag("ssl_insecure_skip_verify", false),
    };
    let watched = settings.text("authenticated_emails_file");
    let login = login::login(settings, read).ok()?;
    Some(Standing {
        snapshot: Snapshot::of_program(Program::OAuth2Proxy(Box::new(proxy)), login),
        listens,
        sessions,
        trust,
        watched: watched.into_iter().collect(),
        findings: Vec::new(),
    })
}

impl Snapshot {
    /// A snapshot in which every request is the program's.
    pub(crate) fn of_program(program: Program, login: Login) -> Self {
        let mut snapshot = compile(&ObjectSet::default()).snapshot;
        // The program cleans paths itself, and says so to the client.
        snapshot.normalization = Normalization::None;
        let own = match &program {
            Program::OAuth2Proxy(_) => Vec::new(),
            Program::AuthService(service) => service.told_headers(),
        };
        for name in TELLING.map(HeaderName::from_static).into_iter().chain(own) {
            if !snapshot.identity_headers.contains(&name) {
                snapshot.identity_headers.push(name);
            }
        }
        snapshot.logins = vec![Arc::new(login)];
        snapshot.program = Some(Arc::new(program));
        snapshot
    }
}

fn proxy(settings: &mut Settings<'_>) -> OAuth2Proxy {
    let reverse_proxy = settings.flag("reverse_proxy", false);
    let basic_password = settings.text("basic_auth_password");
    let pass_basic = settings.flag("pass_basic_auth", true);
    let set_basic = settings.flag("set_basic_auth", false);
    let access_token = settings.flag("pass_access_token", false);
    let to_upstream = ToUpstream {
        user: pass_basic || settings.flag("pass_user_headers", true),
        basic: pass_basic && basic_password.is_some(),
        access_token,
        bearer: settings.flag("pass_authorization_header", false),
    };
    let told = settings.flag("set_xauthrequest", false);
    let to_client = ToClient {
        user: told,
        access_token: told && access_token,
        basic: set_basic,
        bearer: settings.flag("set_authorization_header", false),
    };
    if to_upstream.basic && to_upstream.bearer {
        conflict(settings, "pass_authorization_header", "basic_auth_password");
    }
    if to_client.basic && to_client.bearer {
        conflict(settings, "set_authorization_header", "set_basic_auth");
    }
    if set_basic && basic_password.is_none() {
        let at = settings.origin("set_basic_auth");
        let fault = "`set_basic_auth` needs `basic_auth_password`".to_owned();
        let remedy = "set both, or none".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_MISSING, fault, remedy);
    }
    OAuth2Proxy {
        pings: pings(settings),
        alive: fixed("ping", 200, "OK"),
        ready_path: settings
            .text("ready_path")
            .unwrap_or_else(|| "/ready".into()),
        robots: fixed("robots", 200, ROBOTS),
        accepted: fixed("auth", 202, ""),
        force_https: settings.flag("force_https", false).then(|| {
            let address = settings.text("https_address");
            let port = address
                .as_deref()
                .and_then(|address| address.rsplit(':').next());
            port.and_then(|port| port.parse().ok()).unwrap_or(443)
        }),
        trust: trusted_peers(settings, reverse_proxy),
        client_header: client_header(settings, reverse_proxy),
        trusted_clients: networks(settings, "trusted_ips"),
        bearer_only: !settings.flag("bearer_token_login_fallback", true)
            && settings.flag("skip_jwt_bearer_tokens", false),
        mounts: mounts(settings),
        to_upstream,
        to_client,
        basic_password: basic_password.map(|text| Secret::new(text.as_bytes())),
        prefer_email: settings.flag("prefer_email_to_user", false),
    }
}

fn conflict(settings: &mut Settings<'_>, one: &str, other: &str) {
    let at = settings.origin(one);
    let fault = format!("`{one}` and `{other}` both set `Authorization`");
    let remedy = "keep one of them".to_owned();
    settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
}

/// With a `User-Agent` configured, both have to fit.
fn pings(settings: &Settings<'_>) -> Vec<Ping> {
    let ping = |path: &str, user_agent: Option<&Arc<str>>| Ping {
        path: path.into(),
        user_agent: user_agent.cloned(),
    };
    let gcp = settings.flag("gcp_healthchecks", false);
    let google: Arc<str> = "GoogleHC/1.0".into();
    let path = settings.text("ping_path").unwrap_or_else(|| "/ping".into());
    let user_agent = settings.text("ping_user_agent");
    let user_agent = user_agent.or_else(|| gcp.then(|| Arc::clone(&google)));
    let mut pings = vec![ping(&path, user_agent.as_ref())];
    if gcp {
        pings.push(ping("/liveness_check", Some(&google)));
        pings.push(ping("/readiness_check", Some(&google)));
    }
    pings
}

fn trusted_peers(settings: &mut Settings<'_>, reverse_proxy: bool) -> TrustedPeers {
    if !reverse_proxy {
        return TrustedPeers::Nobody;
    }
    let named = !settings.list("trusted_proxy_ips").is_empty();
    let networks = networks(settings, "trusted_proxy_ips");
    if named {
        return TrustedPeers::In(networks);
    }
    let at = settings.origin("reverse_proxy");
    let fault = "`reverse_proxy` without `trusted_proxy_ips` believes everybody's `X-Forwarded-…`";
    let remedy = "name the proxies in front in `trusted_proxy_ips`".to_owned();
    settings.report(
        &at,
        codes::LOGIN_OPTION_VALUE,
        Severity::Warning,
        fault.to_owned(),
        remedy,
    );
    TrustedPeers::Everybody
}

fn client_header(settings: &mut Settings<'_>, reverse_proxy: bool) -> Option<HeaderName> {
    const KNOWN: [&str; 5] = [
        "x-forwarded-for",
        "x-real-ip",
        "x-proxyuser-ip",
        "x-envoy-external-address",
        "cf-connecting-ip",
    ];
    let text = settings.text("real_client_ip_header");
    let name = text.as_deref().unwrap_or("X-Real-IP").to_ascii_lowercase();
    let known = KNOWN.into_iter().find(|one| *one == name);
    if known.is_none() {
        let at = settings.origin("real_client_ip_header");
        let fault = format!("`real_client_ip_header` is unknown: `{name}`");
        let remedy = "write `X-Real-IP`, `X-Forwarded-For` or another of those that it knows";
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy.to_owned());
    }
    known.filter(|_| reverse_proxy).map(HeaderName::from_static)
}

/// Addresses and networks; a network's address has no bits beyond its length.
fn networks(settings: &mut Settings<'_>, name: &'static str) -> Vec<IpNet> {
    let at = settings.origin(name);
    let mut networks = Vec::new();
    for text in settings.list(name) {
        let address = text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        let network = || {
            text.parse::<IpNet>()
                .ok()
                .filter(|one| one.addr() == one.network())
        };
        match address.or_else(network) {
            Some(network) => networks.push(network),
            None => {
                let fault = format!("`{name}` has `{text}`, which is no address and no network");
                let remedy = "write `10.0.0.1` or `10.0.0.0/8`".to_owned();
                settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
            }
        }
    }
    networks
}

fn listens(settings: &mut Settings<'_>) -> Listens {
    let set = |name: &str| settings.text(name).filter(|text| **text != *"-");
    let http = match settings.text("http_address") {
        None => Some("127.0.0.1:4180".into()),
        Some(text) => Some(text).filter(|text| **text != *"-"),
    };
    let metrics = set("metrics_address");
    let address = settings
        .text("https_address")
        .unwrap_or_else(|| ":443".into());
    let (chain, key) = (set("tls_cert_file"), set("tls_key_file"));
    let https = match (chain, key) {
        (Some(chain), Some(key)) => Some(Tls {
            address,
            chain,
            key,
        }),
        (None, None) => None,
        (chain, _) => {
            let missing = match chain {
                Some(_) => "tls_key_file",
                None => "tls_cert_file",
            };
            let at = settings.origin(missing);
            let fault = format!("`{missing}` is missing");
            let remedy = "name both files, or none".to_owned();
            settings.close(&at, codes::LOGIN_OPTION_MISSING, fault, remedy);
            None
        }
    };
    Listens {
        http: http.filter(|_| https.is_none()),
        https,
        metrics,
    }
}
