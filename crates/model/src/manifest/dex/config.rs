//! Dex's configuration file as a provider.

use std::sync::Arc;

use url::Url;

use super::section::Section;
use super::{clients, passwords};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::environment::{ConfigFile, Environment};
use crate::names::Duration;
use crate::objects::{Fault, Field, Node};
use crate::snapshot::{Closure, Provider, ProviderConnector, ProviderProtocol};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SIX_HOURS: Duration = Duration::from_secs(6 * 3600);

/// Reads the file. What is wrong with one client, user or connector leaves that one out; what is
/// wrong with the rest closes the provider, as Dex refuses to start.
pub(super) fn provider(
    file: &ConfigFile,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Result<Provider, Arc<Closure>> {
    if let Some(closure) = &file.object.closed {
        return Err(Arc::clone(closure));
    }
    let read = root(file).and_then(|node| read(file, &node, environment, findings));
    read.map_err(|mut fault| {
        if fault.code == codes::FIELD {
            fault.code = codes::PROVIDER_CONFIG;
        }
        let closure = Arc::new(Closure::of(&fault));
        findings.push(*fault);
        closure
    })
}

fn root(file: &ConfigFile) -> Result<Node, Fault> {
    file.yaml().map_err(|fault| {
        Box::new(file.object.finding(
            codes::PROVIDER_CONFIG,
            Severity::Error,
            fault.line,
            file.field(),
            format!("the configuration of Dex is no YAML: {}", fault.message),
            "correct the text",
        ))
    })
}

const TOP: &[&str] = &[
    "issuer",
    "storage",
    "web",
    "telemetry",
    "grpc",
    "frontend",
    "expiry",
    "oauth2",
    "logger",
    "signer",
    "connectors",
    "staticClients",
    "enablePasswordDB",
    "staticPasswords",
    "sessions",
    "mfa",
];

fn read(
    file: &ConfigFile,
    node: &Node,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Result<Provider, Fault> {
    let top = Section::of(file.top(node))?;
    top.note_unknown(TOP, findings);
    top.warn_ignored(&["grpc", "sessions"], findings);
    if let Some(mfa) = top.child("mfa") {
        // Without it one factor would be enough.
        return Err(mfa.fault("a second factor is not supported yet", "remove `mfa`"));
    }
    let (issuer, path) = issuer(&top)?;
    let oauth2 = oauth2(&top, findings)?;
    let expiry = expiry(&top, findings)?;
    let name = frontend(&top, findings)?;
    if let Some(web) = top.section("web")? {
        web.warn_ignored(&["allowedOrigins"], findings);
    }
    let connectors = connectors(&top, findings)?;
    let clients = clients::clients(&top, environment, findings)?;
    let passwords = match connectors.contains(&ProviderConnector::Local) {
        true => passwords::passwords(&top, environment, findings)?,
        false => Vec::new(),
    };
    Ok(Provider {
        object: file.object.reference.clone(),
        place: file.object.at(file.line(0)),
        issuer,
        path,
        clients,
        connectors,
        passwords,
        skip_approval: oauth2.skip_approval,
        always_show_login: oauth2.always_show_login,
        token_lifetime: expiry.tokens,
        request_lifetime: expiry.requests,
        key_rotation: expiry.keys,
        name,
        protocol: ProviderProtocol::default(),
    })
}

/// The issuer as it is written, and its path without a slash at the end.
fn issuer(top: &Section<'_>) -> Result<(Arc<str>, Arc<str>), Fault> {
    let missing = || {
        top.field
            .fault("`issuer` is missing", "add the URL that tokens name")
    };
    let field = top.child("issuer").ok_or_else(missing)?;
    let text = field.text()?;
    if text.contains("${") || text.contains('<') {
        let mut fault = field.fault(
            format!("the placeholder in the issuer `{text}` was never filled in"),
            "write the address that browsers use",
        );
        fault.code = codes::PLACEHOLDER;
        return Err(fault);
    }
    let refuse = |fault: String| field.fault(fault, "write it as `https://example.com/dex`");
    let url = Url::parse(text).map_err(|_| refuse(format!("the issuer `{text}` is no URL")))?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !web {
        return Err(refuse(format!("the issuer `{text}` is no web address")));
    }
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare {
        return Err(refuse(
            "the issuer has more than scheme, host, port and path".to_owned(),
        ));
    }
    Ok((text.into(), url.path().trim_end_matches('/').into()))
}

struct OAuth2 {
    skip_approval: bool,
    always_show_login: bool,
}

fn oauth2(top: &Section<'_>, findings: &mut Vec<Finding>) -> Result<OAuth2, Fault> {
    let Some(section) = top.section("oauth2")? else {
        return Ok(OAuth2 {
            skip_approval: false,
            always_show_login: false,
        });
    };
    let known = [
        "grantTypes",
        "responseTypes",
        "skipApprovalScreen",
        "alwaysShowLoginScreen",
        "passwordConnector",
        "pkce",
    ];
    section.note_unknown(&known, findings);
    section.warn_ignored(&["grantTypes", "passwordConnector", "pkce"], findings);
    for (item, text) in section
        .items("responseTypes")?
        .iter()
        .zip(section.texts("responseTypes")?)
    {
        let words: Vec<&str> = text.split(' ').collect();
        if words
            .iter()
            .any(|word| !matches!(*word, "code" | "token" | "id_token"))
        {
            let known = "`code`, `token`, `id_token`";
            let fault = format!("`{text}` is no response type");
            return Err(item.fault(fault, format!("write words of {known}")));
        }
        if *text != *"code" {
            let (code, warning) = (codes::PROVIDER_FIELD_IGNORED, Severity::Warning);
            let fault = format!("the response type `{text}` is not served yet");
            findings.push(item.finding(code, warning, fault, "let clients ask for `code`"));
        }
    }
    Ok(OAuth2 {
        skip_approval: section.flag("skipApprovalScreen")?.unwrap_or(false),
        always_show_login: section.flag("alwaysShowLoginScreen")?.unwrap_or(false),
    })
}

struct Expiry {
    tokens: Duration,
    requests: Duration,
    keys: Duration,
}

fn expiry(top: &Section<'_>, findings: &mut Vec<Finding>) -> Result<Expiry, Fault> {
    let mut expiry = Expiry {
        tokens: DAY,
        requests: DAY,
        keys: SIX_HOURS,
    };
    if let Some(section) = top.section("expiry")? {
        let known = [
            "idTokens",
            "signingKeys",
            "authRequests",
            "deviceRequests",
            "refreshTokens",
        ];
        section.note_unknown(&known, findings);
        section.warn_ignored(&["deviceRequests", "refreshTokens"], findings);
        expiry.tokens = section.span("idTokens")?.unwrap_or(expiry.tokens);
        expiry.requests = section.span("authRequests")?.unwrap_or(expiry.requests);
        expiry.keys = section.span("signingKeys")?.unwrap_or(expiry.keys);
    }
    if let Some(signer) = top.section("signer")? {
        let kind = signer.text("type")?.unwrap_or_else(|| "local".into());
        let config = signer.section("config")?;
        match (&*kind, config) {
            ("local", Some(config)) => {
                expiry.keys = config.span("keysRotationPeriod")?.unwrap_or(expiry.keys);
                config.warn_ignored(&["algorithm"], findings);
            }
            ("local", None) => {}
            _ => {
                let fault = format!("keys of a `{kind}` signer are not used; doorward has its own");
                let (code, warning) = (codes::PROVIDER_FIELD_IGNORED, Severity::Warning);
                findings.push(
                    signer
                        .field
                        .finding(code, warning, fault, "remove `signer`"),
                );
            }
        }
    }
    Ok(expiry)
}

/// The name on the pages.
fn frontend(top: &Section<'_>, findings: &mut Vec<Finding>) -> Result<Arc<str>, Fault> {
    let usual = || "dex".into();
    let Some(section) = top.section("frontend")? else {
        return Ok(usual());
    };
    section.note_unknown(&["dir", "logoURL", "issuer", "theme", "extra"], findings);
    Ok(section.text("issuer")?.unwrap_or_else(usual))
}

fn connectors(
    top: &Section<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ProviderConnector>, Fault> {
    for item in top.items("connectors")? {
        findings.push(unsupported(item)?);
    }
    if top.flag("enablePasswordDB")?.unwrap_or(false) {
        return Ok(vec![ProviderConnector::Local]);
    }
    if let Some(list) = top.child("staticPasswords") {
        let fault = "`staticPasswords` has no effect without `enablePasswordDB`";
        return Err(list.fault(fault, "add `enablePasswordDB: true`"));
    }
    Err(top.field.fault(
        "nobody can sign in: no way to do so is left",
        "add `enablePasswordDB: true`",
    ))
}

fn unsupported(item: Field<'_>) -> Result<Finding, Fault> {
    let connector = Section::of(item)?;
    let kind = connector.text("type")?.unwrap_or_default();
    let id = connector.text("id")?.unwrap_or_default();
    Ok(connector.field.finding(
        codes::PROVIDER_CONNECTOR,
        Severity::Error,
        format!("the connector `{id}` of type `{kind}` is not supported yet and is left out"),
        "let its users sign in with the password list for now",
    ))
}
