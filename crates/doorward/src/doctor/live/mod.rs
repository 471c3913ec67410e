//! `doorward doctor --live URL`: a running site, looked at from outside.

mod client;

use std::collections::BTreeSet;
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use model::finding::{Code, codes};
use model::names::Timestamp;
use model::{Finding, Severity};
use url::Url;

use client::{Answer, Client, Shown, Unreached};

/// Days before its end when a certificate should have been renewed.
const SOON: i64 = 15 * 86_400;
/// Redirects on one's way to a sign-in page.
const MOST_HOPS: usize = 5;
/// What nobody is called.
const NOBODY: &str = "doorward-probe@unknown.invalid";
/// Headers by which applications know their users, in two spellings.
const IDENTITY: [&str; 12] = [
    "kubeflow-userid",
    "kubeflow_userid",
    "kubeflow-groups",
    "x-auth-request-user",
    "x-auth-request-email",
    "x_auth_request_email",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-goog-authenticated-user-email",
    "x-amzn-oidc-identity",
    "x-remote-user",
    "remote-user",
];
/// Paths of a Kubeflow that are somebody's.
const PATHS: [&str; 7] = [
    "/",
    "/pipeline/",
    "/jupyter/",
    "/volumes/",
    "/katib/",
    "/kfam/v1/bindings",
    "/api/workgroup/env-info",
];

/// What is asked.
pub(super) struct Live<'a> {
    /// `--live`.
    pub(super) url: &'a Url,
    /// `--plain-http`.
    pub(super) plain: Option<&'a Url>,
    /// `--ca`.
    pub(super) authorities: Option<&'a PathBuf>,
    /// `--path`.
    pub(super) paths: &'a [String],
    pub(super) now: Timestamp,
}

impl Live<'_> {
    /// Everything that can be seen from outside; an error when the site cannot be asked at all.
    pub(super) fn look(&self) -> Result<Vec<Finding>, String> {
        let pem = match self.authorities.map(|path| client::authorities(path)) {
            Some(Ok(pem)) => Some(pem),
            Some(Err(error)) => return Err(format!("the file of `--ca` cannot be read: {error}")),
            None => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime
            .block_on(self.asked(pem.as_deref()))
            .map_err(|unreached| format!("`{}`: {unreached}", self.url))
    }

    async fn asked(&self, pem: Option<&[u8]>) -> Result<Vec<Finding>, Unreached> {
        let client = Client::new(pem)?;
        let top = self.url.join("/").map_err(|_| Unreached::Url)?;
        let first = client.get(&top, &browser()).await?;
        let mut findings = Vec::new();
        if top.scheme() == "https" {
            findings.extend(certificate(&top, &client.shown(), self.now));
            findings.extend(strict_transport(&top, &first));
        } else {
            let fault = format!("`{top}` is served without TLS: whoever listens reads along");
            let remedy = "serve it over HTTPS";
            findings.push(said(codes::SITE_PLAIN, Severity::Error, fault, remedy));
        }
        findings.extend(self.plain_http(&client).await);
        let mut cookies = Cookies::default();
        self.sign_in(&client, &top, &mut cookies).await?;
        findings.append(&mut cookies.findings);
        let mut paths: BTreeSet<&str> = PATHS.into_iter().collect();
        paths.extend(self.paths.iter().map(String::as_str));
        for path in paths {
            let Ok(url) = top.join(path) else { continue };
            findings.extend(doors(&client, &url).await?);
        }
        findings.extend(sign_out(&client, &top).await?);
        Ok(findings)
    }

    /// Whether plain HTTP leads to HTTPS.
    async fn plain_http(&self, client: &Client) -> Option<Finding> {
        let url = match (self.plain, self.url.scheme(), self.url.port()) {
            (Some(url), _, _) => url.clone(),
            (None, "https", None) => {
                let mut url = self.url.clone();
                url.set_scheme("http").ok()?;
                url
            }
            // Which port would be the plain one, nobody said.
            _ => return None,
        };
        // Where nobody answers, nothing goes in plain text.
        let answer = client.get(&url, &browser()).await.ok()?;
        let location = answer
            .text(header::LOCATION)
            .and_then(|to| url.join(to).ok());
        let leads = matches!(answer.status, 301 | 302 | 303 | 307 | 308)
            && location.as_ref().is_some_and(|to| to.scheme() == "https");
        if leads {
            return None;
        }
        let fault = format!(
            "`{url}` answers {} instead of leading to HTTPS",
            answer.status
        );
        let remedy = "redirect to HTTPS: `tls: {httpsRedirect: true}` on the server of port 80";
        Some(said(
            codes::SITE_NO_REDIRECT,
            Severity::Error,
            fault,
            remedy,
        ))
    }

    /// Follows the way to the sign-in page and looks at the cookies that are set on it.
    async fn sign_in(
        &self,
        client: &Client,
        top: &Url,
        cookies: &mut Cookies,
    ) -> Result<(), Unreached> {
        for start in ["/", "/oauth2/start?rd=%2F"] {
            let Ok(mut url) = top.join(start) else {
                continue;
            };
            for _ in 0..MOST_HOPS {
                let answer = client.get(&url, &browser()).await?;
                cookies.look(&url, &answer);
                let next = answer
                    .text(header::LOCATION)
                    .and_then(|to| url.join(to).ok());
                let Some(next) = next.filter(|_| (300..400).contains(&answer.status)) else {
                    break;
                };
                if next.scheme() == "http" && url.scheme() == "https" {
                    let fault = format!(
                        "`{}` leads on to `{}`, without TLS",
                        shown(&url),
                        shown(&next)
                    );
                    let remedy = "let the login proxy and the issuer use `https` addresses";
                    let (code, error) = (codes::SITE_DOWNGRADE, Severity::Error);
                    cookies.findings.push(said(code, error, fault, remedy));
                    break;
                }
                // Another site is not ours to look at.
                if next.host_str() != top.host_str() {
                    break;
                }
                url = next;
            }
        }
        Ok(())
    }
}

fn browser() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
    let agent = HeaderValue::from_static(concat!("doorward-doctor/", env!("CARGO_PKG_VERSION")));
    headers.insert(header::USER_AGENT, agent);
    headers
}

fn said(code: Code, severity: Severity, fault: String, remedy: &str) -> Finding {
    Finding {
        code,
        severity,
        place: None,
        object: None,
        field: String::new(),
        fault,
        remedy: remedy.to_owned(),
    }
}

/// A URL without its query, which may hold what is nobody's business.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// What is wrong with the certificate: its names, its issuer, its time.
fn certificate(url: &Url, shown: &Shown, now: Timestamp) -> Vec<Finding> {
    use rustls::CertificateError as Wrong;

    let host = url.host_str().unwrap_or_default();
    let mut findings = Vec::new();
    if let Some(fault) = &shown.fault {
        let (fault, remedy) = match fault {
            rustls::Error::InvalidCertificate(
                Wrong::NotValidForName | Wrong::NotValidForNameContext { .. },
            ) => (
                format!("the certificate does not name `{host}`"),
                "issue one with this name or address among its alternative names",
            ),
            rustls::Error::InvalidCertificate(Wrong::Expired | Wrong::ExpiredContext { .. }) => {
                ("the certificate has expired".to_owned(), "renew it")
            }
            rustls::Error::InvalidCertificate(Wrong::UnknownIssuer) => (
                "nobody here trusts the issuer of the certificate".to_owned(),
                "name its authority with `--ca FILE`, or send the whole chain",
            ),
            other => (
                format!("the certificate is not trusted: {other}"),
                "have a trusted authority issue one",
            ),
        };
        let (code, error) = (codes::SITE_CERTIFICATE, Severity::Error);
        findings.push(said(code, error, fault, remedy));
    }
    let parsed = shown
        .leaf
        .as_ref()
        .and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    if let Some((_, leaf)) = parsed {
        let left = leaf.validity().not_after.timestamp() - now.seconds();
        if (0..SOON).contains(&left) {
            let fault = format!("the certificate ends in {} days", left / 86_400);
            let (code, warning) = (codes::SITE_CERTIFICATE, Severity::Warning);
            findings.push(said(
                code,
                warning,
                fault,
                "renew it, and see why nobody did",
            ));
        }
    }
    findings
}

fn strict_transport(url: &Url, answer: &Answer) -> Option<Finding> {
    let host = url.host_str()?;
    let is_name = host.parse::<std::net::Ipv4Addr>().is_err()
        && !host.starts_with('[')
        && host != "localhost";
    let says = answer
        .headers
        .contains_key(header::STRICT_TRANSPORT_SECURITY);
    (is_name && !says).then(|| {
        let fault = format!("`{host}` does not ask browsers to stay on HTTPS");
        let remedy = "answer with `strict-transport-security`";
        said(codes::SITE_HSTS, Severity::Note, fault, remedy)
    })
}

/// Cookies that were set, each looked at once.
#[derive(Default)]
struct Cookies {
    seen: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl Cookies {
    fn look(&mut self, url: &Url, answer: &Answer) {
        for value in answer.headers.get_all(header::SET_COOKIE) {
            let Ok(text) = value.to_str() else { continue };
            let mut parts = text.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            // One that is taken away has nothing to protect.
            if value.is_empty() || !self.seen.insert(name.to_owned()) {
                continue;
            }
            let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
            let has = |wanted: &str| {
                let mut names = attributes
                    .iter()
                    .map(|one| one.split('=').next().unwrap_or(one));
                names.any(|one| one.trim() == wanted)
            };
            let mut say = |severity, lacks: &str, remedy: &str| {
                let fault = format!("the cookie `{name}` of `{}` {lacks}", shown(url));
                self.findings
                    .push(said(codes::SITE_COOKIE, severity, fault, remedy));
            };
            if !has("secure") {
                let remedy = "set `cookie_secure = true` at the login proxy";
                say(
                    Severity::Error,
                    "travels without TLS too: it is not `Secure`",
                    remedy,
                );
            }
            if !has("httponly") {
                let remedy = "set `cookie_httponly = true` at the login proxy";
                say(
                    Severity::Warning,
                    "can be read by scripts: it is not `HttpOnly`",
                    remedy,
                );
            }
            if !has("samesite") {
                let remedy = "set `cookie_samesite = \"lax\"` at the login proxy";
                say(Severity::Warning, "does not say `SameSite`", remedy);
            }
        }
    }
}

/// Whether a path answers somebody who has not signed in, or believes who they say they are.
async fn doors(client: &Client, url: &Url) -> Result<Vec<Finding>, Unreached> {
    let plain = client.get(url, &browser()).await?;
    let mut findings = Vec::new();
    let path = url.path();
    if lets_in(&plain) {
        let fault = format!("`{path}` answers {} without sign-in", plain.status);
        let remedy = "let a policy ask for sign-in there, if it is not meant for everybody";
        findings.push(said(codes::SITE_OPEN, Severity::Error, fault, remedy));
    }
    for name in IDENTITY {
        let mut headers = browser();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(NOBODY),
        );
        let forged = client.get(url, &headers).await?;
        let repeats = |answer: &Answer| {
            let body = answer.body.windows(NOBODY.len());
            body.into_iter().any(|part| part == NOBODY.as_bytes())
        };
        let fault = if lets_in(&forged) && !lets_in(&plain) {
            format!("`{path}` lets in whoever sends `{name}`")
        } else if repeats(&forged) {
            format!("`{path}` believes what a client says in `{name}`")
        } else {
            continue;
        };
        let remedy = "remove this header from what comes from outside, before anything else";
        findings.push(said(codes::SITE_FORGED, Severity::Error, fault, remedy));
    }
    Ok(findings)
}

/// Whether an answer is the application's: not a refusal, not a way elsewhere, not a page to sign
/// in on.
fn lets_in(answer: &Answer) -> bool {
    let is_sign_in = || {
        let is_page = answer
            .text(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with("text/html"));
        let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        let signs_in = ["type=\"password\"", "/oauth2/start", "/dex/auth"];
        is_page && signs_in.iter().any(|part| text.contains(part))
    };
    (200..300).contains(&answer.status) && !is_sign_in()
}

/// Whether the way out leads anywhere that somebody names.
async fn sign_out(client: &Client, top: &Url) -> Result<Option<Finding>, Unreached> {
    const ELSEWHERE: &str = "elsewhere.invalid";
    let Ok(url) = top.join(&format!("/oauth2/sign_out?rd=https%3A%2F%2F{ELSEWHERE}%2F")) else {
        return Ok(None);
    };
    let answer = client.get(&url, &browser()).await?;
    let location = answer
        .text(header::LOCATION)
        .and_then(|to| url.join(to).ok());
    let leads = location.as_ref().and_then(Url::host_str) == Some(ELSEWHERE);
    Ok(leads.then(|| {
        let fault = format!("`{}` leads to any site that its link names", url.path());
        let remedy = "name the allowed ones in `whitelist_domains` of the login proxy";
        said(codes::SITE_OPEN_REDIRECT, Severity::Error, fault, remedy)
    }))
}
