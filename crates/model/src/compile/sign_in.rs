//! Whether login proxies, providers and policies mean the same issuer, client and addresses.

use std::sync::Arc;

use url::{Host, Url};

use crate::finding::{Code, Finding, Severity, codes};
use crate::objects::closest;
use crate::snapshot::{Login, PolicyInfo, Provider, ProviderClient};

/// Login proxies whose provider would turn them away.
pub(super) fn clients(
    logins: &[Arc<Login>],
    providers: &[Arc<Provider>],
    is_served: &dyn Fn(&str) -> bool,
    findings: &mut Vec<Finding>,
) {
    for login in logins {
        let own = providers
            .iter()
            .find(|provider| provider.issuer == login.issuer);
        if let Some(provider) = own {
            findings.extend(client(login, provider, is_served));
        }
    }
}

fn client(login: &Login, provider: &Provider, is_served: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let id = &login.client_id;
    let there = format!("`{}` ({})", provider.object, provider.place);
    let Some(client) = provider.clients.iter().find(|client| client.id == *id) else {
        let remedy = match closest(id, provider.clients.iter().map(|client| &*client.id)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add it to `staticClients` of {there}, or name one that stands there"),
        };
        let fault = format!(
            "`{}` signs in as the client `{id}`, which {there} does not have",
            login.object
        );
        return vec![said(login, codes::LOGIN_CLIENT, "client_id", fault, remedy)];
    };
    let mut findings = Vec::new();
    if !client.public && client.secret != login.client_secret {
        let fault = format!(
            "the secret of the client `{id}` is not the same in `{}` and in {there}",
            login.object
        );
        let remedy = "give both the same secret".to_owned();
        let (code, option) = (codes::LOGIN_CLIENT_SECRET, "client_secret");
        findings.push(said(login, code, option, fault, remedy));
    }
    if !knows(client, login, is_served) {
        let (sent, wanted) = match sent(login) {
            Sent::Exactly(address) => (format!("`{address}`"), format!("`{address}`")),
            Sent::OnServedHost { scheme, path } => (
                format!("`{path}` on the served host"),
                format!("`{scheme}://HOST{path}`, with each host that people use,"),
            ),
        };
        let fault = format!(
            "`{}` sends people back to {sent}, which {there} does not know for the client `{id}`",
            login.object
        );
        let remedy = format!("add {wanted} to `redirectURIs` of the client");
        let (code, option) = (codes::LOGIN_REDIRECT, "redirect_url");
        findings.push(said(login, code, option, fault, remedy));
    }
    findings
}

fn said(login: &Login, code: Code, option: &str, fault: String, remedy: String) -> Finding {
    Finding {
        code,
        severity: Severity::Error,
        place: Some(login.place.clone()),
        object: Some(login.object.clone()),
        field: option.to_owned(),
        fault,
        remedy,
    }
}

/// The `redirect_uri` that a login proxy sends.
enum Sent<'a> {
    Exactly(&'a str),
    /// Completed with the host that the browser uses.
    OnServedHost {
        scheme: &'static str,
        path: String,
    },
}

fn sent(login: &Login) -> Sent<'_> {
    // Without `cookie_secure` it has the scheme of the request, which may be plain.
    let scheme = if login.cookie_secure { "https" } else { "http" };
    match &login.redirect_url {
        Some(url) if url.contains("://") || login.relative_redirect_url => Sent::Exactly(url),
        Some(path) => Sent::OnServedHost {
            scheme,
            path: path.to_string(),
        },
        None => Sent::OnServedHost {
            scheme,
            path: format!("{}/callback", login.prefix),
        },
    }
}

fn knows(client: &ProviderClient, login: &Login, is_served: &dyn Fn(&str) -> bool) -> bool {
    match sent(login) {
        Sent::Exactly(address) => {
            let own_machine = client.public
                && client.redirect_uris.is_empty()
                && Url::parse(address).is_ok_and(|url| is_own_machine(&url));
            own_machine || client.redirect_uris.iter().any(|known| **known == *address)
        }
        Sent::OnServedHost { scheme, path } => client.redirect_uris.iter().any(|known| {
            Url::parse(known).is_ok_and(|known| {
                let scheme_fits = known.scheme() == "https" || known.scheme() == scheme;
                let host_fits = known.host_str().is_some_and(is_served);
                scheme_fits && host_fits && known.path() == path && known.query().is_none()
            })
        }),
    }
}

/// A public client that registers nothing may be sent to the user's own machine (RFC 8252 §7.3).
fn is_own_machine(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && loopback
}

/// Issuers of `RequestAuthentication`s that look like a slip of the provider's: tokens carry the
/// provider's own text, and the two are compared byte for byte.
pub(super) fn issuers<'a>(
    rules: impl Iterator<Item = (&'a Arc<str>, &'a PolicyInfo)>,
    logins: &[Arc<Login>],
    providers: &[Arc<Provider>],
    findings: &mut Vec<Finding>,
) {
    for (issuer, info) in rules {
        let is_used = logins.iter().any(|login| {
            let mut others = login.extra_issuers.iter();
            login.issuer == *issuer || others.any(|other| other.issuer == *issuer)
        });
        let is_own = providers.iter().any(|provider| provider.issuer == *issuer);
        if is_used || is_own {
            continue;
        }
        let near = providers
            .iter()
            .find(|provider| is_slip(issuer, &provider.issuer));
        if let Some(provider) = near {
            findings.push(Finding {
                code: codes::ISSUER_ALMOST,
                severity: Severity::Warning,
                place: Some(info.place.clone()),
                object: Some(info.object.clone()),
                field: "spec.jwtRules".to_owned(),
                fault: format!(
                    "tokens of `{issuer}` are trusted, but `{}` ({}) issues as `{}`",
                    provider.object, provider.place, provider.issuer
                ),
                remedy: format!("write `{}`", provider.issuer),
            });
        }
    }
}

/// Whether two issuers differ in nothing but scheme, host or a slash at the end. Without a path,
/// another host is simply another issuer.
fn is_slip(a: &str, b: &str) -> bool {
    let parts = |text: &str| {
        let url = Url::parse(text).ok()?;
        let authority = (url.host_str()?.to_owned(), url.port());
        Some((authority, url.path().trim_end_matches('/').to_owned()))
    };
    match (parts(a), parts(b)) {
        (Some((host_a, path_a)), Some((host_b, path_b))) => {
            path_a == path_b && (!path_a.is_empty() || host_a == host_b)
        }
        _ => false,
    }
}
