//! doorward and Envoy side by side.

use std::net::SocketAddr;
use std::sync::Arc;

use model::Snapshot;
use model::objects::{File, ObjectSet};
use model::seams::Clock;
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use testkit::envoy::restraints;
use testkit::generate::IDS;

use super::peer::{Asks, CASE, Envoy, Pem, Ports, Setup};
use super::wire::{Answer, At, Sent, ask};
use crate::clients::{Authority, block};
use crate::door::{Door, Wanted};

/// What the gateway's own pods listen on, as policies name it.
pub(super) const PLAIN_PORT: u16 = 9080;
pub(super) const TLS_PORT: u16 = 9443;

/// Documents of one workload: policies and token rules for the gateway.
pub(super) type Documents = String;

/// A doorward that follows one tree after the other, and what it takes to start Envoys.
pub(super) struct Both {
    door: Door,
    world: String,
    pem: Pem,
    configs: Vec<Arc<ClientConfig>>,
}

/// What was answered to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) envoy: Answer,
    pub(super) doorward: Answer,
}

impl Both {
    pub(super) async fn new(clock: Option<Arc<dyn Clock>>) -> Self {
        let authority = Authority::new("clients");
        let world = world(&authority.pem);
        let door = Door::open(Wanted {
            manifests: world.clone(),
            upgrade: false,
            workers: 1,
            log: false,
            clock,
            ..Wanted::default()
        })
        .await;
        let ids = IDS.iter().zip(1..);
        let certificates =
            ids.map(|(id, serial)| authority.client(&format!("spiffe://{id}"), serial));
        let mut pairs = vec![None];
        pairs.extend(certificates.map(Some));
        let configs = pairs.iter().map(|pair| blind(pair.as_ref())).collect();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let pem = Pem {
            chain: own.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
            clients: authority.pem,
        };
        Self {
            door,
            world,
            pem,
            configs,
        }
    }

    fn compile(&self, documents: &Documents) -> Snapshot {
        let files = vec![File {
            name: "all.yaml".into(),
            text: format!("{}{documents}", self.world),
        }];
        let compiled = model::compile(&ObjectSet { files });
        let errors = compiled.findings.iter();
        let of_policies = |finding: &&model::Finding| {
            let object = finding.object.as_ref();
            let kind = object.map_or("", |object| &object.kind);
            matches!(kind, "AuthorizationPolicy" | "RequestAuthentication")
        };
        let errors: Vec<_> = errors
            .filter(|finding| finding.severity == model::Severity::Error)
            .filter(of_policies)
            .collect();
        assert!(errors.is_empty(), "{documents}\n{errors:#?}");
        compiled.snapshot
    }

    /// An Envoy for many workloads at once.
    pub(super) async fn envoy(&self, workloads: &[&Documents]) -> Envoy {
        let snapshots: Vec<_> = workloads.iter().map(|one| self.compile(one)).collect();
        let authentications: Vec<_> = snapshots
            .iter()
            .map(|one| one.gateway_authentication().clone())
            .collect();
        loop {
            let ports = Ports::free();
            let port_of = |port| match port {
                PLAIN_PORT => ports.plain,
                TLS_PORT => ports.tls,
                other => other,
            };
            let asks = |(number, one): (usize, &Snapshot)| Asks {
                restraints: restraints(one.gateway_policies(), &port_of),
                tokens: number,
            };
            let setup = Setup {
                ports,
                authentications: &authentications,
                routes: snapshots.iter().enumerate().map(asks).collect(),
                pem: &self.pem,
            };
            if let Some(envoy) = Envoy::start(&setup).await {
                return envoy;
            }
        }
    }

    /// doorward follows these documents from now on.
    pub(super) fn follow(&self, documents: &Documents) {
        self.door.follow(&format!("{}{documents}", self.world));
    }

    /// Asks both about the workload that doorward follows, which is Envoy's `number`.
    pub(super) async fn ask(&self, envoy: &Envoy, number: usize, sent: &Sent) -> Answers {
        let mut sent = sent.clone();
        sent.headers.push((CASE.to_owned(), number.to_string()));
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let at_envoy = At {
            who: "Envoy",
            plain: local(envoy.ports.plain),
            tls: local(envoy.ports.tls),
        };
        let at_door = At {
            who: "doorward",
            plain: self.door.http(),
            tls: self.door.https(),
        };
        let (envoy, doorward) = tokio::join!(
            ask(at_envoy, &self.configs, &sent),
            ask(at_door, &self.configs, &sent)
        );
        Answers { envoy, doorward }
    }
}

/// A gateway that answers every request itself, if its policies let it in.
fn world(clients: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |
    trustDomainAliases: [old.example]
    pathNormalization: {{normalization: MERGE_SLASHES}}
    defaultConfig: {{gatewayTopology: {{numTrustedProxies: 1}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: door, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}
  - {{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], tls: {{mode: OPTIONAL_MUTUAL, credentialName: door}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: istio-ingressgateway, namespace: istio-system}}
spec:
  selector: {{app: istio-ingressgateway, istio: ingressgateway}}
  ports:
  - {{name: http2, port: 80, targetPort: {PLAIN_PORT}}}
  - {{name: https, port: 443, targetPort: {TLS_PORT}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: door, namespace: istio-system}}
stringData:
  ca.crt: {}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all, namespace: istio-system}}
spec:
  hosts: ['*']
  gateways: [door]
  http: [{{directResponse: {{status: 200}}}}]
---
",
        block(clients, 4)
    )
}

/// A client that takes whoever answers.
fn blind(pair: Option<&crate::clients::Pair>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Blind));
    Arc::new(match pair {
        Some((certificate, key)) => builder
            .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
            .unwrap(),
        None => builder.with_no_client_auth(),
    })
}

#[derive(Debug)]
struct Blind;

impl rustls::client::danger::ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Tells what was counted, in every run.
pub(super) fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
}
