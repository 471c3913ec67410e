//! `doorward dex serve`: the file, the flags and the environment of the process itself.

use std::sync::Arc;

use ipnet::IpNet;

use super::config::{Surroundings, provider, root};
use super::section::Section;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::environment::{ConfigFile, named, of_process};
use crate::names::Secret;
use crate::objects::Fault;
use crate::snapshot::{Provider, TlsVersion};

/// What the process was started with.
pub struct Start<'a> {
    /// Name of the file.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The environment.
    pub environment: &'a [(String, String)],
    /// Flags that count more than the file.
    pub flags: Flags,
    /// Reads a file that the configuration names.
    pub read: &'a dyn Fn(&str) -> Option<Secret>,
}

/// Flags of `dex serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--web-http-addr`.
    pub http: Option<String>,
    /// `--web-https-addr`.
    pub https: Option<String>,
    /// `--telemetry-addr`.
    pub telemetry: Option<String>,
    /// `--grpc-addr`.
    pub grpc: Option<String>,
}

/// A Dex, ready to be run.
#[derive(Debug)]
pub struct Standing {
    /// The provider.
    pub provider: Provider,
    /// `web.http`.
    pub http: Option<Arc<str>>,
    /// `web.https`.
    pub https: Option<WebTls>,
    /// `telemetry.http`.
    pub telemetry: Option<Arc<str>>,
    /// `web.clientRemoteIP`: whose word on the address of a client counts.
    pub remote_ip: Option<RemoteIp>,
    /// Whether `storage` is `memory`: what is stored ends with the process.
    pub passing: bool,
    /// `logger.level`, in the words of doorward's log.
    pub log_level: &'static str,
    /// `logger.format: json`.
    pub log_json: bool,
    /// What is odd, and serves all the same.
    pub findings: Vec<Finding>,
}

/// `web.https` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebTls {
    /// The address.
    pub address: Arc<str>,
    /// `tlsCert`.
    pub chain: Arc<str>,
    /// `tlsKey`.
    pub key: Arc<str>,
    /// `tlsMinVersion`.
    pub lowest: TlsVersion,
    /// `tlsMaxVersion`.
    pub highest: TlsVersion,
}

/// `web.clientRemoteIP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteIp {
    /// `header`, in lower case.
    pub header: Arc<str>,
    /// `trustedProxies`; nobody when empty.
    pub trusted: Vec<IpNet>,
}

/// Reads everything. Everything that is wrong is told at once.
///
/// # Errors
/// When the program must not start.
pub fn stand_in(start: &Start<'_>) -> Result<Standing, Vec<Finding>> {
    let environment = of_process("dex", start.environment);
    let around = Surroundings {
        environment: &environment,
        read: start.read,
        alone: true,
    };
    let file = ConfigFile::of_text(&named("dex", start.name), start.text);
    let mut findings = Vec::new();
    let provider = provider(&file, &around, &mut findings);
    let standing = root(&file).and_then(|node| {
        let top = Section::of(file.top(&node))?;
        listeners(&top, start)
    });
    let listeners = match standing {
        Ok(listeners) => Some(listeners),
        Err(mut fault) => {
            if fault.code == codes::FIELD {
                fault.code = codes::PROVIDER_CONFIG;
            }
            if !findings.contains(&fault) {
                findings.push(*fault);
            }
            None
        }
    };
    // A connector that cannot be had is no reason not to start: the others serve.
    let is_fatal = |finding: &Finding| {
        finding.severity == Severity::Error && finding.code != codes::PROVIDER_CONNECTOR
    };
    match (provider, listeners) {
        (Ok(provider), Some(standing)) if !findings.iter().any(is_fatal) => Ok(Standing {
            provider,
            http: standing.http,
            https: standing.https,
            telemetry: standing.telemetry,
            remote_ip: standing.remote_ip,
            passing: standing.passing,
            log_level: standing.log_level,
            log_json: standing.log_json,
            findings,
        }),
        _ => Err(findings),
    }
}

/// What says where and how is served.
struct Listeners {
    http: Option<Arc<str>>,
    https: Option<WebTls>,
    telemetry: Option<Arc<str>>,
    remote_ip: Option<RemoteIp>,
    passing: bool,
    log_level: &'static str,
    log_json: bool,
}

fn listeners(top: &Section<'_>, start: &Start<'_>) -> Result<Listeners, Fault> {
    let flag = |flag: &Option<String>| flag.as_deref().map(Arc::<str>::from);
    let web = top.section("web")?;
    let of_web = |name: &str| match &web {
        None => Ok(None),
        Some(web) => web.text(name),
    };
    let http = flag(&start.flags.http).or(of_web("http")?);
    let https = flag(&start.flags.https).or(of_web("https")?);
    if http.is_none() && https.is_none() {
        let fault = "neither `web.http` nor `web.https` says where to listen";
        return Err(top.field.fault(fault, "add `web: {http: 0.0.0.0:5556}`"));
    }
    let https = match (https, &web) {
        (None, _) => None,
        (Some(address), Some(web)) => Some(web_tls(address, web)?),
        (Some(_), None) => {
            let fault = "`--web-https-addr` needs `web.tlsCert` and `web.tlsKey`";
            return Err(top.field.fault(fault, "add them"));
        }
    };
    let telemetry = match top.section("telemetry")? {
        None => None,
        Some(section) => section.text("http")?,
    };
    let storage = top.section("storage")?.ok_or_else(|| {
        let fault = "`storage` is missing";
        top.field.fault(fault, "add `storage: {type: sqlite3}`")
    })?;
    let kind = storage.needed("type")?;
    if !matches!(
        &*kind,
        "memory" | "sqlite3" | "postgres" | "mysql" | "etcd" | "kubernetes"
    ) {
        let fault = format!("there is no storage of type `{kind}`");
        return Err(storage.field.fault(fault, "write `sqlite3`"));
    }
    let (log_level, log_json) = logger(top)?;
    Ok(Listeners {
        http,
        https,
        telemetry: flag(&start.flags.telemetry).or(telemetry),
        remote_ip: match &web {
            None => None,
            Some(web) => remote_ip(web)?,
        },
        passing: *kind == *"memory",
        log_level,
        log_json,
    })
}

fn web_tls(address: Arc<str>, web: &Section<'_>) -> Result<WebTls, Fault> {
    let (Some(chain), Some(key)) = (web.text("tlsCert")?, web.text("tlsKey")?) else {
        let fault = "`web.https` needs `web.tlsCert` and `web.tlsKey`";
        return Err(web.field.fault(fault, "add the paths of both files"));
    };
    let version = |name: &str, usual| match web.text(name)?.as_deref() {
        None => Ok(usual),
        Some("1.2") => Ok(TlsVersion::Tls12),
        Some("1.3") => Ok(TlsVersion::Tls13),
        Some(other) => {
            let fault = format!("`web.{name}` cannot be `{other}`");
            Err(web.field.fault(fault, "write `1.2` or `1.3`"))
        }
    };
    let lowest = version("tlsMinVersion", TlsVersion::Tls12)?;
    let highest = version("tlsMaxVersion", TlsVersion::Tls13)?;
    if lowest > highest {
        let fault = "`web.tlsMinVersion` is above `web.tlsMaxVersion`";
        return Err(web.field.fault(fault, "exchange them"));
    }
    Ok(WebTls {
        address,
        chain,
        key,
        lowest,
        highest,
    })
}

fn remote_ip(web: &Section<'_>) -> Result<Option<RemoteIp>, Fault> {
    let Some(section) = web.section("clientRemoteIP")? else {
        return Ok(None);
    };
    let Some(header) = section.text("header")? else {
        return Ok(None);
    };
    let mut trusted = Vec::new();
    let items = section.items("trustedProxies")?;
    for (item, text) in items.iter().zip(section.texts("trustedProxies")?) {
        let read: Result<IpNet, _> = text.parse();
        let fault = || item.fault(format!("`{text}` is no network"), "write `10.0.0.0/8`");
        trusted.push(read.map_err(|_| fault())?);
    }
    Ok(Some(RemoteIp {
        header: header.to_ascii_lowercase().into(),
        trusted,
    }))
}

/// Level and whether it is JSON.
fn logger(top: &Section<'_>) -> Result<(&'static str, bool), Fault> {
    let Some(section) = top.section("logger")? else {
        return Ok(("info", false));
    };
    let level = section
        .text("level")?
        .map(|level| level.to_ascii_lowercase());
    let level = match level.as_deref() {
        None | Some("info") => "info",
        Some("debug") => "debug",
        Some("warn") => "warn",
        Some("error") => "error",
        Some(other) => {
            let fault = format!("`logger.level` cannot be `{other}`");
            let remedy = "write `debug`, `info`, `warn` or `error`";
            return Err(section.field.fault(fault, remedy));
        }
    };
    match section.text("format")?.as_deref() {
        None | Some("text") => Ok((level, false)),
        Some("json") => Ok((level, true)),
        Some(other) => {
            let fault = format!("`logger.format` cannot be `{other}`");
            Err(section.field.fault(fault, "write `text` or `json`"))
        }
    }
}
