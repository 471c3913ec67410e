//! Certificates of TLS servers: the Secrets that hold them, and the `Certificate`s of cert-manager
//! for those that are not there yet.

mod clients;
mod wanted;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::gateway::PairSource;
use super::secret::SecretData;
use crate::finding::{Finding, Severity, codes};
use crate::names::{HostPattern, ObjectRef, Secret};
use crate::objects::Object;
use crate::snapshot::{Identity, ServedCertificate, SpareCertificate, WantedCertificate};
use crate::world::World;
pub(crate) use clients::client_trust;
use wanted::{asked_for, for_certificate, for_gateway};

/// A TLS server of a `Gateway`.
pub(crate) struct TlsServer {
    pub(crate) gateway: Arc<Object>,
    /// Line of the server.
    pub(crate) line: u32,
    pub(crate) hosts: Vec<HostPattern>,
    /// Where its key pairs come from.
    pub(crate) pairs: Vec<PairSource>,
}

/// Where the gateway's chart mounts a Secret for servers that name files.
const MOUNT: &str = "/etc/istio/ingressgateway-certs/";
const MOUNTED: &str = "istio-ingressgateway-certs";

/// Finds the key pair of each server. A server whose own cannot be had gets one from doorward: its
/// browsers see a warning instead of nothing.
pub(crate) fn certificates(
    world: &World,
    servers: &[TlsServer],
    identity: &Identity,
    findings: &mut Vec<Finding>,
) -> (Vec<ServedCertificate>, Vec<WantedCertificate>) {
    let mut served: Vec<ServedCertificate> = Vec::new();
    let mut wanted: Vec<WantedCertificate> = Vec::new();
    let mut places: HashMap<(ObjectRef, Arc<str>), usize> = HashMap::new();
    for server in servers {
        let mut all: Vec<Pair> = server
            .pairs
            .iter()
            .map(|source| pair(world, source, server, identity, findings))
            .collect();
        // One pair that can be had is enough; what is wrong with the other is said.
        if all.iter().any(|pair| matches!(pair, Pair::Served(_))) {
            all.retain(|pair| matches!(pair, Pair::Served(_)));
        }
        if all.is_empty() {
            all.push(Pair::Wanted(None));
        }
        for pair in all {
            match pair {
                Pair::Served(pair) => {
                    let key = (pair.object.clone(), Arc::clone(&pair.chain));
                    let at = *places.entry(key).or_insert(served.len());
                    match served.get_mut(at) {
                        Some(other) => add_hosts(&mut other.hosts, &server.hosts),
                        None => served.push(pair),
                    }
                }
                Pair::Wanted(name) => {
                    let object = name.and_then(|name| asked_for(world, identity, &name));
                    let Some(object) = object else {
                        wanted.push(for_gateway(server));
                        continue;
                    };
                    let known = wanted
                        .iter_mut()
                        .find(|other| other.object == object.reference);
                    match known {
                        Some(other) => add_hosts(&mut other.hosts, &server.hosts),
                        None => wanted.push(for_certificate(world, object, server, findings)),
                    }
                }
            }
        }
    }
    (served, wanted)
}

/// Certificates in TLS Secrets that are none of the `served` ones. Without any served none is of
/// interest.
pub(crate) fn spare(world: &World, served: &[ServedCertificate]) -> Vec<SpareCertificate> {
    if served.is_empty() {
        return Vec::new();
    }
    let served: HashSet<&ObjectRef> = served.iter().map(|pair| &pair.object).collect();
    let tls = world.secrets.values().filter(|secret| {
        *secret.kind == *"kubernetes.io/tls"
            && secret.object.closed.is_none()
            && !served.contains(&secret.object.reference)
    });
    tls.filter_map(|secret| {
        Some(SpareCertificate {
            object: secret.object.reference.clone(),
            chain: secret.data.get("tls.crt")?.expose_str()?.into(),
        })
    })
    .collect()
}

/// Adds a key pair; one that several servers name is served for the hosts of all of them.
pub(crate) fn add_served(served: &mut Vec<ServedCertificate>, pair: ServedCertificate) {
    let known = served
        .iter_mut()
        .find(|other| other.object == pair.object && other.chain == pair.chain);
    match known {
        Some(other) => add_hosts(&mut other.hosts, &pair.hosts),
        None => served.push(pair),
    }
}

fn add_hosts(hosts: &mut Vec<HostPattern>, more: &[HostPattern]) {
    for host in more {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
}

enum Pair {
    Served(ServedCertificate),
    /// To be issued; the Secret it was looked for in, when there is a name.
    Wanted(Option<Arc<str>>),
}

fn pair(
    world: &World,
    source: &PairSource,
    server: &TlsServer,
    identity: &Identity,
    findings: &mut Vec<Finding>,
) -> Pair {
    let mut say = |code, severity, fault: String, remedy: String| {
        let field = "spec.servers.tls";
        findings.push(
            server
                .gateway
                .finding(code, severity, server.line, field, fault, remedy),
        );
    };
    let keys: [(&str, &str); 2] = [("cert", "key"), ("tls.crt", "tls.key")];
    let (name, keys): (Arc<str>, Vec<(&str, &str)>) = match source {
        PairSource::Credential(credential) => match secret_name(credential, &identity.namespace) {
            Ok(name) => (name.into(), keys.to_vec()),
            Err((fault, remedy)) => {
                say(codes::CREDENTIAL_NAME, Severity::Error, fault, remedy);
                return Pair::Wanted(None);
            }
        },
        PairSource::Files(chain, key) => match (chain.strip_prefix(MOUNT), key.strip_prefix(MOUNT))
        {
            (Some(chain), Some(key)) => (MOUNTED.into(), vec![(chain, key)]),
            _ => {
                let fault = format!("the certificate file `{chain}` is not read");
                let remedy = "name a Secret with `credentialName`".to_owned();
                say(codes::CREDENTIAL_NAME, Severity::Warning, fault, remedy);
                return Pair::Wanted(None);
            }
        },
    };
    let Some(secret) = usable(world, &identity.namespace, &name) else {
        if asked_for(world, identity, &name).is_none() {
            let namespace = &identity.namespace;
            let elsewhere = world.secrets.keys().find(|(_, other)| *other == name);
            let remedy = match elsewhere {
                Some((other, _)) => {
                    format!("`{other}` has one of that name; the gateway reads `{namespace}` only")
                }
                None => "add it; until then doorward's own authority signs one".to_owned(),
            };
            let fault = format!("Secret `{namespace}/{name}` with the certificate is not here");
            say(codes::CREDENTIAL_ABSENT, Severity::Warning, fault, remedy);
        }
        return Pair::Wanted(Some(name));
    };
    match key_pair(secret, &keys) {
        Ok((chain, key)) => Pair::Served(ServedCertificate {
            object: secret.object.reference.clone(),
            place: secret.object.place.clone(),
            hosts: server.hosts.clone(),
            chain,
            key,
        }),
        Err(fault) => {
            let object = &secret.object;
            let (code, error) = (codes::CREDENTIAL_INVALID, Severity::Error);
            let remedy = "put a PEM chain into `tls.crt` and its key into `tls.key`";
            let line = object.place.line;
            findings.push(object.finding(code, error, line, "data", fault, remedy));
            Pair::Wanted(None)
        }
    }
}

/// The Secret that a `credentialName` means, or fault and remedy.
fn secret_name<'a>(credential: &'a str, namespace: &str) -> Result<&'a str, (String, String)> {
    let bare = credential
        .strip_prefix("kubernetes://")
        .unwrap_or(credential);
    if bare.contains("://") {
        let fault = format!("a certificate from `{credential}` is not read");
        return Err((
            fault,
            "name a Secret in the namespace of the gateway".to_owned(),
        ));
    }
    match bare.split_once('/') {
        None => Ok(bare),
        Some((other, name)) if other == namespace => Ok(name),
        Some((other, _)) => {
            let fault = format!("a gateway in `{namespace}` must not read Secrets of `{other}`");
            Err((fault, format!("copy it to `{namespace}`")))
        }
    }
}

/// A Secret that gateways look at: neither contradicted nor of a type that Istio passes over.
fn usable<'a>(world: &'a World, namespace: &str, name: &str) -> Option<&'a SecretData> {
    let passed_over = ["helm.sh/release.v1", "kubernetes.io/service-account-token"];
    let secret = world.secret(namespace, name)?;
    (secret.object.closed.is_none() && !passed_over.contains(&&*secret.kind)).then_some(secret)
}

fn key_pair(secret: &SecretData, keys: &[(&str, &str)]) -> Result<(Arc<str>, Secret), String> {
    let value = |key: &str| secret.data.get(key).filter(|value| !value.is_empty());
    let found = keys
        .iter()
        .find_map(|(chain, key)| Some((value(chain)?, value(key)?)));
    let name = &secret.object.reference;
    let (chain, key) = found.ok_or_else(|| format!("{name} holds no certificate with its key"))?;
    let text = |value: &Secret, mark: &str| {
        value
            .expose_str()
            .filter(|text| text.contains(mark))
            .map(str::to_owned)
    };
    let chain = text(chain, "-----BEGIN CERTIFICATE-----")
        .ok_or_else(|| format!("the certificate in {name} is no PEM"))?;
    text(key, "PRIVATE KEY-----").ok_or_else(|| format!("the key in {name} is no PEM"))?;
    Ok((chain.into(), key.clone()))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::names::{Duration, ObjectRef, Place};
    use crate::objects::{File, ObjectSet};

    const NINETY_DAYS: Duration = Duration::from_secs(7_776_000);
    const ISSUER: &str =
        include_str!("../../../../fixtures/seeds/onprem/01-clusterissuer-ca-issuer.yaml");
    const CERTIFICATE: &str = include_str!(
        "../../../../fixtures/seeds/onprem/02-certificate-gateway-cert-in-ingress.yaml"
    );
    const GATEWAY: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: door, namespace: ingress}\nspec: {}\n";
    const CHAIN: &str = "-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\\n";

    type Answer = (Vec<ServedCertificate>, Vec<WantedCertificate>, Vec<Finding>);

    struct Server<'a> {
        credential: Option<&'a str>,
        files: Option<(&'a str, &'a str)>,
        hosts: &'a [&'a str],
    }

    fn ask(texts: &[&str], servers: &[Server<'_>]) -> Answer {
        let mut files = vec![File {
            name: "gateway.yaml".into(),
            text: GATEWAY.to_owned(),
        }];
        let file = |text: &&str| File {
            name: "tls.yaml".into(),
            text: (*text).to_owned(),
        };
        files.extend(texts.iter().map(file));
        let mut findings = Vec::new();
        let world = World::read(&ObjectSet { files }, &mut findings);
        let gateway = &world.of_kind("Gateway")[0];
        let servers: Vec<TlsServer> = servers
            .iter()
            .map(|server| TlsServer {
                gateway: Arc::clone(gateway),
                line: 4,
                hosts: server
                    .hosts
                    .iter()
                    .map(|host| HostPattern::parse(host).unwrap())
                    .collect(),
                pairs: {
                    let credential = server
                        .credential
                        .map(|name| PairSource::Credential(name.into()));
                    let files = server.files;
                    let files =
                        files.map(|(chain, key)| PairSource::Files(chain.into(), key.into()));
                    credential.or(files).into_iter().collect()
                },
            })
            .collect();
        let identity = Identity {
            namespace: "ingress".into(),
            labels: Default::default(),
            service_account: "a".into(),
            principal: "p".into(),
        };
        findings.clear();
        let (served, wanted) = certificates(&world, &servers, &identity, &mut findings);
        (served, wanted, findings)
    }

    fn named<'a>(credential: &'a str, hosts: &'a [&'a str]) -> Server<'a> {
        Server {
            credential: Some(credential),
            files: None,
            hosts,
        }
    }

    fn secret(namespace: &str, name: &str, chain: (&str, &str), key: (&str, &str)) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n  {}: \"{}\"\n  {}: \"{}\"\n",
            chain.0, chain.1, key.0, key.1
        )
    }

    fn hosts(texts: &[&str]) -> Vec<HostPattern> {
        texts
            .iter()
            .map(|text| HostPattern::parse(text).unwrap())
            .collect()
    }

    fn faults(findings: &[Finding]) -> Vec<(u16, Severity, &str)> {
        findings
            .iter()
            .map(|finding| (finding.code.0, finding.severity, &*finding.fault))
            .collect()
    }

    #[test]
    fn a_secret_of_the_gateway_is_served_for_all_servers_that_name_it() {
        let secret = secret("ingress", "s", ("tls.crt", CHAIN), ("tls.key", KEY));
        let servers = [
            named("s", &["a.com"]),
            named("kubernetes://ingress/s", &["*.b.com", "a.com"]),
        ];
        let (served, wanted, findings) = ask(&[&secret], &servers);
        let one = ServedCertificate {
            object: ObjectRef::new("Secret", "ingress", "s"),
            place: Place::new("tls.yaml", 1),
            hosts: hosts(&["a.com", "*.b.com"]),
            chain: CHAIN.replace("\\n", "\n").as_str().into(),
            key: Secret::new(KEY.replace("\\n", "\n")),
        };
        assert_eq!((served, wanted, findings), (vec![one], vec![], vec![]));
    }

    #[test]
    fn generic_keys_come_first_and_empty_ones_do_not_count() {
        let mut text = secret("ingress", "s", ("cert", CHAIN), ("key", ""));
        text.push_str(&format!("  tls.crt: \"{CHAIN}\"\n  tls.key: \"{KEY}\"\n"));
        let (served, _, findings) = ask(&[&text], &[named("s", &["*"])]);
        assert_eq!((served.len(), findings.len()), (1, 0));
        assert_eq!(served[0].key, Secret::new(KEY.replace("\\n", "\n")));
    }

    #[test]
    fn a_secret_without_a_key_pair_is_an_error() {
        for (chain, key, fault) in [
            (
                ("tls.crt", CHAIN),
                ("ca.crt", CHAIN),
                "Secret ingress/s holds no certificate with its key",
            ),
            (
                ("tls.crt", "x"),
                ("tls.key", KEY),
                "the certificate in Secret ingress/s is no PEM",
            ),
            (
                ("cert", CHAIN),
                ("key", CHAIN),
                "the key in Secret ingress/s is no PEM",
            ),
        ] {
            let text = secret("ingress", "s", chain, key);
            let (served, wanted, findings) = ask(&[&text], &[named("s", &["a.com"])]);
            assert_eq!(faults(&findings), [(802, Severity::Error, fault)]);
            assert_eq!((served.len(), wanted.len()), (0, 1));
        }
    }

    #[test]
    fn names_that_istio_denies_are_errors() {
        for (name, fault) in [
            (
                "kubernetes://auth/s",
                "a gateway in `ingress` must not read Secrets of `auth`",
            ),
            ("sds://x", "a certificate from `sds://x` is not read"),
        ] {
            let (served, _, findings) = ask(&[], &[named(name, &["a.com"])]);
            assert_eq!(faults(&findings), [(803, Severity::Error, fault)]);
            assert!(served.is_empty());
        }
    }

    #[test]
    fn an_absent_secret_that_nothing_fills_is_signed_for_the_gateway() {
        let other = secret("auth", "s", ("tls.crt", CHAIN), ("tls.key", KEY));
        let (served, wanted, findings) = ask(&[&other], &[named("s", &["a.com", "*.b.com", "*"])]);
        assert!(served.is_empty());
        let one = WantedCertificate {
            object: ObjectRef::new("Gateway", "ingress", "door"),
            hosts: hosts(&["a.com", "*.b.com", "*"]),
            dns_names: vec!["a.com".into(), "*.b.com".into()],
            addresses: vec![],
            duration: NINETY_DAYS,
        };
        assert_eq!(wanted, [one]);
        let fault = "Secret `ingress/s` with the certificate is not here";
        assert_eq!(faults(&findings), [(801, Severity::Warning, fault)]);
        assert_eq!(
            findings[0].remedy,
            "`auth` has one of that name; the gateway reads `ingress` only"
        );
        assert_eq!(findings[0].place, Some(Place::new("gateway.yaml", 4)));
    }

    #[test]
    fn the_certificate_of_the_walk_through_is_wanted() {
        let filled = CERTIFICATE.replace("${INGRESS_HOST}", "192.168.1.240");
        let (served, wanted, findings) = ask(&[ISSUER, &filled], &[named("gateway-cert", &["*"])]);
        assert!(served.is_empty());
        let one = WantedCertificate {
            object: ObjectRef::new("Certificate", "ingress", "gateway-cert"),
            hosts: hosts(&["*"]),
            dns_names: vec![],
            addresses: vec!["192.168.1.240".parse().unwrap()],
            duration: Duration::from_secs(7_776_000),
        };
        assert_eq!(wanted, [one]);
        let fault = "doorward's own authority signs Certificate ingress/gateway-cert, not ClusterIssuer ca-issuer (`ca`)";
        assert_eq!(faults(&findings), [(805, Severity::Warning, fault)]);
        assert_eq!(findings[0].field, "spec.issuerRef");
        let (_, wanted, findings) = ask(&[ISSUER, CERTIFICATE], &[named("gateway-cert", &["*"])]);
        assert_eq!((wanted[0].addresses.len(), findings.len()), (0, 1));
    }

    #[test]
    fn an_old_certificate_for_mounted_files_is_read() {
        let certificate = "apiVersion: cert-manager.io/v1alpha2\nkind: Certificate\nmetadata: {name: c, namespace: ingress}\nspec:\n  secretName: istio-ingressgateway-certs\n  commonName: Door.svc\n  dnsNames: [door.svc, 'no name', '*.x.com']\n  ipAddresses: [10.0.0.1, ten]\n  isCA: true\n  duration: 30m\n  issuerRef: {name: self, kind: ClusterIssuer}\n";
        let issuer = "apiVersion: cert-manager.io/v1alpha2\nkind: ClusterIssuer\nmetadata: {name: self}\nspec: {selfSigned: {}}\n";
        let path = |name: &str| format!("/etc/istio/ingressgateway-certs/{name}");
        let (chain, key) = (path("tls.crt"), path("tls.key"));
        let server = Server {
            credential: None,
            files: Some((&chain, &key)),
            hosts: &["a.x.com", "b.com"],
        };
        let (_, wanted, findings) = ask(&[certificate, issuer], &[server]);
        assert_eq!(wanted[0].dns_names, ["door.svc".into(), "*.x.com".into()]);
        assert_eq!(wanted[0].addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(wanted[0].duration, NINETY_DAYS);
        let own = "doorward's own authority signs Certificate ingress/c, not ClusterIssuer self (`selfSigned`)";
        let wanted = [
            (804, Severity::Error, "`no name` is no DNS name"),
            (804, Severity::Error, "`ten` is no IP address"),
            (804, Severity::Error, "a certificate lasts an hour at least"),
            (
                806,
                Severity::Warning,
                "`cert-manager.io/v1alpha2` is an old version",
            ),
            (
                806,
                Severity::Warning,
                "Certificate ingress/c is for a server and asks to be an authority",
            ),
            (
                806,
                Severity::Warning,
                "the gateway serves `b.com`, which Certificate ingress/c does not name",
            ),
            (805, Severity::Note, own),
        ];
        assert_eq!(faults(&findings), wanted);
    }

    #[test]
    fn mounted_files_are_looked_up_in_the_secret_behind_the_mount() {
        let text = secret(
            "ingress",
            "istio-ingressgateway-certs",
            ("a.pem", CHAIN),
            ("b.pem", KEY),
        );
        let server = |chain, key| Server {
            credential: None,
            files: Some((chain, key)),
            hosts: &["*"],
        };
        let here = "/etc/istio/ingressgateway-certs/";
        let (chain, key) = (format!("{here}a.pem"), format!("{here}b.pem"));
        let (served, ..) = ask(&[&text], &[server(&chain, &key)]);
        assert_eq!(served.len(), 1);
        let (served, wanted, findings) = ask(&[&text], &[server("/etc/tls/a.pem", &key)]);
        assert_eq!((served.len(), wanted.len()), (0, 1));
        let fault = "the certificate file `/etc/tls/a.pem` is not read";
        assert_eq!(faults(&findings), [(803, Severity::Warning, fault)]);
    }
}
