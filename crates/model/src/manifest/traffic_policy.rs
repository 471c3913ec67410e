//! `trafficPolicy` of a `DestinationRule`: connections, balance, health and TLS.

mod tls;

use std::sync::Arc;

use http::HeaderName;

use crate::finding::{Finding, Severity, codes};
use crate::names::Duration;
use crate::objects::{Fault, Field};
use crate::snapshot::{Balance, HashKey, Outliers, Traffic};

pub(crate) use tls::{CertificateSource, ClientSource, TlsOrigin, TlsSettings, TrustSource};

/// Settings of one level. A part that is given replaces the same part of the level above whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TrafficPolicy {
    pub(crate) settings: Settings,
    /// `portLevelSettings`: what is left out there is Istio's default, not the level above.
    pub(crate) ports: Vec<(u16, Settings)>,
}

/// The parts of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) connections: Option<Connections>,
    pub(crate) balance: Option<Balance>,
    pub(crate) outliers: Option<Outliers>,
    pub(crate) tls: Option<TlsSettings>,
}

/// `connectionPool`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Connections {
    connect_timeout: Option<Duration>,
    max_connections: Option<u32>,
    max_pending: Option<u32>,
    max_requests: Option<u32>,
    requests_per_connection: Option<u32>,
    max_retries: Option<u32>,
    idle_timeout: Option<Duration>,
    /// `h2UpgradePolicy: UPGRADE`.
    pub(crate) upgrades: bool,
}

impl TrafficPolicy {
    /// What holds for a port when `subset` stands above `rule`.
    pub(crate) fn merged(rule: Option<&Self>, subset: Option<&Self>, port: u16) -> Settings {
        let mut merged = Settings::default();
        for policy in rule.into_iter().chain(subset) {
            let Self { settings, ports } = policy;
            merged.overlay(settings);
            if let Some((_, own)) = ports.iter().find(|(number, _)| *number == port) {
                merged = own.clone();
            }
        }
        merged
    }
}

impl Settings {
    fn overlay(&mut self, other: &Self) {
        let Self {
            connections,
            balance,
            outliers,
            tls,
        } = other.clone();
        self.connections = connections.or(self.connections.take());
        self.balance = balance.or(self.balance.take());
        self.outliers = outliers.or(self.outliers.take());
        self.tls = tls.or(self.tls.take());
    }

    /// Everything but TLS.
    pub(crate) fn traffic(&self) -> Traffic {
        let Connections {
            connect_timeout,
            max_connections,
            max_pending,
            max_requests,
            requests_per_connection,
            max_retries,
            idle_timeout,
            upgrades: _,
        } = self.connections.clone().unwrap_or_default();
        Traffic {
            connect_timeout,
            max_connections,
            max_pending,
            max_requests,
            requests_per_connection,
            max_retries,
            idle_timeout,
            balance: self.balance.clone().unwrap_or_default(),
            outliers: self.outliers,
        }
    }
}

const FIELDS: [&str; 7] = [
    "loadBalancer",
    "connectionPool",
    "outlierDetection",
    "tls",
    "portLevelSettings",
    "tunnel",
    "proxyProtocol",
];

/// Reads `trafficPolicy`.
pub(crate) fn read(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<TrafficPolicy, Fault> {
    field.only(&FIELDS)?;
    for name in ["tunnel", "proxyProtocol"] {
        ignored(field, name, findings);
    }
    let mut ports = Vec::new();
    for item in field.child_items("portLevelSettings")? {
        item.only(&[
            "port",
            "loadBalancer",
            "connectionPool",
            "outlierDetection",
            "tls",
        ])?;
        let number = item.required("port")?.required("number")?.port()?;
        ports.push((number, settings(&item, findings)?));
    }
    Ok(TrafficPolicy {
        settings: settings(field, findings)?,
        ports,
    })
}

fn settings(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Settings, Fault> {
    let child = |name| field.child(name);
    let mut settings = Settings::default();
    if let Some(pool) = child("connectionPool") {
        settings.connections = Some(connections(&pool, findings)?);
    }
    if let Some(balancer) = child("loadBalancer") {
        settings.balance = Some(balance(&balancer, findings)?);
    }
    if let Some(detection) = child("outlierDetection") {
        settings.outliers = Some(outliers(&detection, findings)?);
    }
    if let Some(tls) = child("tls") {
        settings.tls = Some(tls::read(&tls)?);
    }
    Ok(settings)
}

fn ignored(field: &Field<'_>, name: &str, findings: &mut Vec<Finding>) {
    if let Some(setting) = field.child(name) {
        findings.push(setting.finding(
            codes::TRAFFIC_SETTING,
            Severity::Warning,
            format!("`{}` has no effect here", setting.path),
            "remove it, or check that you can do without",
        ));
    }
}

/// A count; 0 sets no limit.
fn count(field: &Field<'_>, name: &str) -> Result<Option<u32>, Fault> {
    let number = field.child(name).map(|one| one.number()).transpose()?;
    Ok(number
        .filter(|number| *number > 0)
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

fn span(field: &Field<'_>, name: &str) -> Result<Option<Duration>, Fault> {
    let span = field.child(name).map(|one| one.duration()).transpose()?;
    Ok(span.filter(|span| !span.is_zero()))
}

fn connections(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Connections, Fault> {
    field.only(&["tcp", "http"])?;
    let mut read = Connections::default();
    if let Some(tcp) = field.child("tcp") {
        tcp.only(&[
            "maxConnections",
            "connectTimeout",
            "tcpKeepalive",
            "maxConnectionDuration",
            "idleTimeout",
        ])?;
        ignored(&tcp, "maxConnectionDuration", findings);
        read.max_connections = count(&tcp, "maxConnections")?;
        read.connect_timeout = span(&tcp, "connectTimeout")?;
    }
    if let Some(http) = field.child("http") {
        http.only(&[
            "http1MaxPendingRequests",
            "http2MaxRequests",
            "maxRequestsPerConnection",
            "maxRetries",
            "idleTimeout",
            "h2UpgradePolicy",
            "useClientProtocol",
            "maxConcurrentStreams",
        ])?;
        ignored(&http, "useClientProtocol", findings);
        read.max_pending = count(&http, "http1MaxPendingRequests")?;
        read.max_requests = count(&http, "http2MaxRequests")?;
        read.requests_per_connection = count(&http, "maxRequestsPerConnection")?;
        read.max_retries = count(&http, "maxRetries")?;
        read.idle_timeout = span(&http, "idleTimeout")?;
        read.upgrades = match http.child_text("h2UpgradePolicy")?.as_deref() {
            None | Some("DEFAULT" | "DO_NOT_UPGRADE") => false,
            Some("UPGRADE") => true,
            Some(other) => {
                let fault = format!("`{}.h2UpgradePolicy` knows no `{other}`", http.path);
                let remedy = "write `DEFAULT`, `DO_NOT_UPGRADE` or `UPGRADE`";
                return Err(http.fault(fault, remedy));
            }
        };
    }
    Ok(read)
}

fn balance(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Balance, Fault> {
    field.only(&[
        "simple",
        "consistentHash",
        "localityLbSetting",
        "warmupDurationSecs",
        "warmup",
    ])?;
    for name in ["localityLbSetting", "warmupDurationSecs", "warmup"] {
        ignored(field, name, findings);
    }
    let hash = field.child("consistentHash");
    let Some(simple) = field.child("simple") else {
        return hash.map_or(Ok(Balance::default()), |hash| {
            hash_key(&hash).map(Balance::Consistent)
        });
    };
    if hash.is_some() {
        let fault = format!("`{}` balances in two ways", field.path);
        return Err(field.fault(fault, "keep `simple` or `consistentHash`"));
    }
    match simple.text()? {
        "UNSPECIFIED" | "LEAST_REQUEST" | "LEAST_CONN" => Ok(Balance::LeastRequest),
        "ROUND_ROBIN" => Ok(Balance::RoundRobin),
        "RANDOM" => Ok(Balance::Random),
        // There is no original destination at an ingress.
        "PASSTHROUGH" => {
            ignored(field, "simple", findings);
            Ok(Balance::LeastRequest)
        }
        other => {
            let fault = format!("`{}` knows no `{other}`", simple.path);
            let remedy = "write `LEAST_REQUEST`, `ROUND_ROBIN` or `RANDOM`";
            Err(simple.fault(fault, remedy))
        }
    }
}

fn hash_key(field: &Field<'_>) -> Result<HashKey, Fault> {
    field.only(&[
        "httpHeaderName",
        "httpCookie",
        "useSourceIp",
        "httpQueryParameterName",
        "minimumRingSize",
        "ringHash",
        "maglev",
    ])?;
    let mut keys = Vec::new();
    if let Some(name) = field.child("httpHeaderName") {
        let header = HeaderName::from_bytes(name.text()?.as_bytes()).map_err(|_| {
            name.fault(
                format!("`{}` is no header name", name.path),
                "write a header name",
            )
        })?;
        keys.push(HashKey::Header(header));
    }
    if let Some(cookie) = field.child("httpCookie") {
        cookie.only(&["name", "path", "ttl", "attributes"])?;
        keys.push(HashKey::Cookie {
            name: cookie.required("name")?.text()?.into(),
            path: cookie.child_text("path")?,
            ttl: cookie.child("ttl").map(|ttl| ttl.duration()).transpose()?,
        });
    }
    if field.flag("useSourceIp")? {
        keys.push(HashKey::SourceIp);
    }
    if let Some(name) = field.child_text("httpQueryParameterName")? {
        keys.push(HashKey::QueryParameter(name));
    }
    match <[HashKey; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(_) => Err(field.fault(
            format!(
                "`{}` has to name one thing that the choice hangs on",
                field.path
            ),
            "keep one of `httpHeaderName`, `httpCookie`, `useSourceIp`, `httpQueryParameterName`",
        )),
    }
}

fn outliers(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Outliers, Fault> {
    field.only(&[
        "splitExternalLocalOriginErrors",
        "consecutiveLocalOriginFailures",
        "consecutiveErrors",
        "consecutiveGatewayErrors",
        "consecutive5xxErrors",
        "interval",
        "baseEjectionTime",
        "maxEjectionPercent",
        "minHealthPercent",
    ])?;
    for name in [
        "splitExternalLocalOriginErrors",
        "consecutiveLocalOriginFailures",
        "minHealthPercent",
    ] {
        ignored(field, name, findings);
    }
    let number = |name: &str| -> Result<Option<u32>, Fault> {
        let number = field.child(name).map(|one| one.number()).transpose()?;
        Ok(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    };
    let gateway_errors = number("consecutiveGatewayErrors")?.or(number("consecutiveErrors")?);
    Ok(Outliers {
        consecutive_5xx: number("consecutive5xxErrors")?.unwrap_or(5),
        consecutive_gateway_errors: gateway_errors.unwrap_or(0),
        base_ejection: span(field, "baseEjectionTime")?.unwrap_or(Duration::from_secs(30)),
        max_ejection_percent: number("maxEjectionPercent")?.unwrap_or(10).min(100),
    })
}

/// Equal settings share their state, so equal ones are one.
#[derive(Debug, Default)]
pub(crate) struct Shared(Vec<Arc<Traffic>>);

impl Shared {
    /// The one that equals `traffic`.
    pub(crate) fn of(&mut self, traffic: Traffic) -> Arc<Traffic> {
        if let Some(known) = self.0.iter().find(|known| ***known == traffic) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(traffic);
        self.0.push(Arc::clone(&fresh));
        fresh
    }
}
