//! Handshakes in memory, with a client that verifies as browsers do.

mod brought;
mod time;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use data_encoding::BASE64;
use model::Severity;
use model::names::{Duration, HostPattern, ObjectRef, Place, Secret, Timestamp};
use model::seams::{Clock, Randomness};
use model::snapshot::{ServedCertificate, WantedCertificate};
use rcgen::{
    CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData,
    date_time_ymd,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use x509_parser::parse_x509_certificate;

use super::{Authority, Held};

const START: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;

#[derive(Debug)]
struct Hands(AtomicI64);

impl Hands {
    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
    }
}

impl TimeProvider for Hands {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed).unsigned_abs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        bytes
            .iter_mut()
            .zip(number.iter().cycle())
            .for_each(|(byte, value)| *byte = *value);
    }
}

struct Bench {
    _state: TempDir,
    clock: Arc<Hands>,
    held: Arc<Held>,
    root: CertificateDer<'static>,
}

impl Bench {
    fn new() -> Self {
        let state = TempDir::new().unwrap();
        let clock = Arc::new(Hands(AtomicI64::new(START)));
        let randomness = Counting(AtomicU64::new(1));
        let authority = Authority::load_or_create(state.path(), &*clock, &randomness).unwrap();
        let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        let held = Arc::new(Held::new(Arc::new(authority), clock.clone()));
        Self {
            _state: state,
            clock,
            held,
            root,
        }
    }

    /// Hosts of `Gateway` servers.
    fn hosts(&self, hosts: &[&str]) {
        self.held.wishes.lock().unwrap().hosts = patterns(hosts).into_iter().collect();
        self.held.renew(self.clock.now());
    }

    /// Key pairs of the manifests; the codes of what is wrong.
    fn serve(&self, served: Vec<ServedCertificate>) -> Vec<String> {
        self.held.wishes.lock().unwrap().bring(&served);
        self.renew()
    }

    fn renew(&self) -> Vec<String> {
        let findings = self.held.renew(self.clock.now());
        findings
            .iter()
            .map(|finding| finding.code.to_string())
            .collect()
    }

    /// A client that trusts `root` asks for `name`: the certificate it got.
    fn ask_with(
        &self,
        root: &CertificateDer<'static>,
        name: &str,
        change: impl FnOnce(&mut ClientConfig),
    ) -> Result<CertificateDer<'static>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(default_provider());
        let mut config = ClientConfig::builder_with_details(provider.clone(), self.clock.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        change(&mut config);
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(self.held.clone());
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut reader = bytes.as_slice();
            while !reader.is_empty() {
                server.read_tls(&mut reader).unwrap();
            }
            let served = server.process_new_packets();
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut reader = bytes.as_slice();
            while !reader.is_empty() {
                client.read_tls(&mut reader).unwrap();
            }
            client.process_new_packets()?;
            served?;
        }
        Ok(client.peer_certificates().unwrap()[0].clone().into_owned())
    }

    fn ask(&self, name: &str) -> Result<CertificateDer<'static>, Error> {
        self.ask_with(&self.root, name, |_| {})
    }
}

fn patterns(hosts: &[&str]) -> Vec<HostPattern> {
    hosts
        .iter()
        .map(|host| HostPattern::parse(host).unwrap())
        .collect()
}

/// The alternative names of a certificate.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let (_, parsed) = parse_x509_certificate(certificate).unwrap();
    let extension = parsed.subject_alternative_name().unwrap().unwrap();
    extension
        .value
        .general_names
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn not_named(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

struct Foreign {
    key: KeyPair,
    params: CertificateParams,
}

impl Foreign {
    /// Self-signed for `names`, valid in 2027.
    fn new(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2027, 1, 1);
        params.not_after = date_time_ymd(2028, 1, 1);
        Self {
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            params,
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        self.params.self_signed(&self.key).unwrap().der().clone()
    }

    fn served(&self, hosts: &[&str]) -> ServedCertificate {
        ServedCertificate {
            object: ObjectRef::new("Secret", "istio-system", "gateway-cert"),
            place: Place::new("certs.yaml", 7),
            hosts: patterns(hosts),
            chain: self.params.self_signed(&self.key).unwrap().pem().into(),
            key: Secret::new(self.key.serialize_pem()),
        }
    }
}

#[test]
fn a_gateway_and_its_secret_are_served_as_the_manifests_say() {
    let bench = Bench::new();
    let foreign = Foreign::new(&["a.example.com"]);
    let encoded = |text: &str| BASE64.encode(text.as_bytes());
    let served = foreign.served(&[]);
    let text = format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gateway, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [a.example.com]
    tls: {{mode: SIMPLE, credentialName: gateway-cert}}
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: ['*']
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: gateway-cert, namespace: istio-system}}
data:
  tls.crt: {}
  tls.key: {}
",
        encoded(&served.chain),
        encoded(served.key.expose_str().unwrap()),
    );
    let file = model::objects::File {
        name: "a.yaml".into(),
        text,
    };
    let compiled = model::compile(&model::objects::ObjectSet { files: vec![file] });
    let findings = bench
        .held
        .apply(&compiled.snapshot, &["lab.example.org".to_owned()]);
    assert_eq!(findings, []);
    assert!(
        bench
            .ask_with(&foreign.der(), "a.example.com", |_| {})
            .is_ok()
    );
    assert_eq!(
        names(&bench.ask("b.example.com").unwrap()),
        ["DNSName(b.example.com)"]
    );
    let own = bench.ask("lab.example.org").unwrap();
    assert!(names(&own).contains(&"DNSName(localhost)".to_owned()));
    assert_eq!(crate::check(&compiled.snapshot, bench.clock.now()), []);
}

#[test]
fn before_any_manifest_this_machine_has_a_certificate() {
    let bench = Bench::new();
    let certificate = bench.ask("localhost").unwrap();
    let expected = ["DNSName(localhost)", "IPAddress(7f:00:00:01)"];
    assert_eq!(names(&certificate)[..2], expected);
    assert_eq!(bench.ask("127.0.0.1"), Ok(certificate.clone()));
    assert_eq!(bench.ask("::1"), Ok(certificate));
}

#[test]
fn own_names_and_addressed_hosts_are_in_the_default_certificate() {
    let bench = Bench::new();
    bench.held.wishes.lock().unwrap().own_names = vec![
        "Lab.Example.org".into(),
        "192.0.2.7".into(),
        "not a name".into(),
    ];
    bench.hosts(&["198.51.100.9", "*"]);
    for name in ["lab.example.org", "192.0.2.7", "198.51.100.9", "localhost"] {
        let certificate = bench.ask(name).unwrap();
        assert!(
            names(&certificate).contains(&"DNSName(localhost)".to_owned()),
            "{name}"
        );
    }
    assert!(not_named(&bench.ask("192.0.2.8").unwrap_err()));
}

#[test]
fn an_exact_host_has_its_own_certificate_and_a_wildcard_covers_one_label() {
    let bench = Bench::new();
    bench.hosts(&["a.example.com", "*.example.com"]);
    assert_eq!(
        names(&bench.ask("a.example.com").unwrap()),
        ["DNSName(a.example.com)"]
    );
    assert_eq!(
        names(&bench.ask("b.example.com").unwrap()),
        ["DNSName(*.example.com)"]
    );
    assert_eq!(
        names(&bench.ask("c.b.example.com").unwrap()),
        ["DNSName(c.b.example.com)"]
    );
    assert!(not_named(&bench.ask("example.com").unwrap_err()));
    assert!(not_named(&bench.ask("b.example.org").unwrap_err()));
}

#[test]
fn a_star_is_served_on_demand_and_the_certificate_is_kept() {
    let bench = Bench::new();
    assert!(not_named(&bench.ask("kubeflow.example.com").unwrap_err()));
    bench.hosts(&["*"]);
    let certificate = bench.ask("kubeflow.example.com").unwrap();
    assert_eq!(names(&certificate), ["DNSName(kubeflow.example.com)"]);
    assert_eq!(bench.ask("kubeflow.example.com"), Ok(certificate));
    assert_eq!(bench.held.asked.len(), 1);
}

#[test]
fn certificates_on_demand_are_bounded() {
    let bench = Bench::new();
    for number in 0..1500 {
        bench
            .held
            .demand(&format!("h{number}.example.com"))
            .unwrap();
    }
    assert!(bench.held.asked.len() <= 1024);
    assert!(bench.held.asked.len() > 900);
}

#[test]
fn a_challenge_for_another_program_is_turned_away() {
    let bench = Bench::new();
    let asked = |protocols: &[&[u8]]| {
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        bench.ask_with(&bench.root, "localhost", |config| {
            config.alpn_protocols = protocols
        })
    };
    let denied = asked(&[b"acme-tls/1"]).unwrap_err();
    assert_eq!(denied, Error::AlertReceived(AlertDescription::AccessDenied));
    assert!(asked(&[b"h2", b"http/1.1"]).is_ok());
}

#[test]
fn a_pair_of_the_manifests_wins_for_its_hosts() {
    let bench = Bench::new();
    bench.hosts(&["a.example.com", "b.example.com"]);
    let foreign = Foreign::new(&["a.example.com"]);
    assert_eq!(
        bench.serve(vec![foreign.served(&["a.example.com"])]),
        [] as [&str; 0]
    );
    let got = bench.ask_with(&foreign.der(), "a.example.com", |_| {});
    assert_eq!(names(&got.unwrap()), ["DNSName(a.example.com)"]);
    assert!(bench.ask("a.example.com").is_err());
    assert!(bench.ask("b.example.com").is_ok());
}

#[test]
fn a_pair_for_every_host_also_answers_clients_that_name_nobody() {
    let bench = Bench::new();
    bench.hosts(&["*"]);
    let foreign = Foreign::new(&["a.example.com", "127.0.0.1"]);
    assert_eq!(bench.serve(vec![foreign.served(&["*"])]), [] as [&str; 0]);
    assert!(bench.ask_with(&foreign.der(), "127.0.0.1", |_| {}).is_ok());
    assert!(
        bench
            .ask_with(&foreign.der(), "a.example.com", |_| {})
            .is_ok()
    );
}

#[test]
fn the_client_gets_the_kind_of_key_that_it_can_verify() {
    let bench = Bench::new();
    let mut rsa = Foreign::new(&["a.example.com"]);
    rsa.key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let ecdsa = Foreign::new(&["a.example.com"]);
    let hosts = ["a.example.com"];
    assert_eq!(
        bench.serve(vec![ecdsa.served(&hosts), rsa.served(&hosts)]),
        [] as [&str; 0]
    );
    let only = |schemes: Vec<SignatureScheme>| {
        let mut got = None;
        let _ = bench.ask_with(&bench.root, "a.example.com", |config| {
            let seen = Arc::new(std::sync::Mutex::new(None));
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(Seeing {
                    schemes,
                    seen: seen.clone(),
                }));
            got = Some(seen);
        });
        let seen = got.unwrap().lock().unwrap().clone().unwrap();
        parse_x509_certificate(&seen)
            .unwrap()
            .1
            .public_key()
            .raw
            .to_vec()
    };
    assert_eq!(
        only(vec![SignatureScheme::RSA_PSS_SHA256]),
        rsa.key.subject_public_key_info()
    );
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    assert_eq!(only(vec![scheme]), ecdsa.key.subject_public_key_info());
}

/// Notes the certificate and believes nothing more.
#[derive(Debug)]
struct Seeing {
    schemes: Vec<SignatureScheme>,
    seen: Arc<std::sync::Mutex<Option<CertificateDer<'static>>>>,
}

impl rustls::client::danger::ServerCertVerifier for Seeing {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, Error> {
        *self.seen.lock().unwrap() = Some(certificate.clone().into_owned());
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[test]
fn no_secret_reaches_a_debug_text_or_a_finding() {
    let bench = Bench::new();
    let served = Foreign::new(&["a.com"]).served(&["a.com"]);
    let key = served
        .key
        .expose_str()
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    let text = format!("{served:?} {:?}", bench.held);
    assert!(!text.contains(&key));
}

#[test]
fn a_pair_that_did_not_change_is_not_read_again() {
    let bench = Bench::new();
    let hosts = ["a.example.com"];
    let pair = Foreign::new(&hosts).served(&hosts);
    let key = |bench: &Bench| {
        let wishes = bench.held.wishes.lock().unwrap();
        let (_, outcome) = wishes.pairs.all().next().unwrap();
        outcome.pair().unwrap().key.clone()
    };
    bench.serve(vec![pair.clone()]);
    let first = key(&bench);
    let mut moved = pair.clone();
    moved.hosts = patterns(&["b.example.com"]);
    assert_eq!(bench.serve(vec![moved]), ["DW0857"], "its hosts are new");
    assert!(Arc::ptr_eq(&first, &key(&bench)));
    let renewed = Foreign::new(&hosts).served(&hosts);
    bench.serve(vec![renewed]);
    assert!(!Arc::ptr_eq(&first, &key(&bench)));
}

#[test]
fn a_star_that_is_too_short_for_a_model_is_told() {
    let pair = Foreign::new(&["*.kf.io"]).served(&[]);
    let encoded = |text: &str| BASE64.encode(text.as_bytes());
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: gateway-cert, namespace: istio-system}}\n\
         data: {{tls.crt: {}, tls.key: {}}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: main, namespace: istio-system}}\n\
         spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 443, name: s, protocol: HTTPS}}, hosts: ['*.kf.io'], tls: {{mode: SIMPLE, credentialName: gateway-cert}}}}]}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-domain, namespace: knative-serving}}\ndata: {{kf.io: ''}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-istio, namespace: knative-serving}}\ndata: {{gateway.istio-system.main: x}}\n---\n\
         apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: hello, namespace: team}}\n---\n",
        encoded(&pair.chain),
        encoded(pair.key.expose_str().unwrap()),
    );
    let told = |text: &str| -> Vec<String> {
        let file = model::objects::File {
            name: "a.yaml".into(),
            text: text.to_owned(),
        };
        let compiled = model::compile(&model::objects::ObjectSet { files: vec![file] });
        let now = Timestamp::from_seconds(1_800_000_000);
        let findings = crate::check(&compiled.snapshot, now);
        findings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        told(&text),
        [
            "a.yaml:21: error[DW1010]: clients refuse `hello.team.kf.io`: the certificate in `Secret istio-system/gateway-cert` names `*.kf.io`, which covers one label only"
        ]
    );
    let flat = format!(
        "{text}apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-network, namespace: knative-serving}}\ndata: {{domainTemplate: '{{{{.Name}}}}-{{{{.Namespace}}}}.{{{{.Domain}}}}'}}\n"
    );
    assert_eq!(told(&flat), [] as [&str; 0]);
}
