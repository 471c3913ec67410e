//! A gateway to knock at.

// Other tests include this file by its path.
#[path = "door/client.rs"]
mod client;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use doorward_gateway::{
    AuthorizerSettings, Gateway, Limits, ListenAt, Local, LogSink, ResolveRule, Settings, World,
};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use login::{Keys, Sent, Sessions, Transport, TransportFault};
use model::Snapshot;
use model::names::Timestamp;
use model::objects::{File, ObjectSet};
use model::seams::{Clock, Randomness};
use model::snapshot::Forward;
use policy::decision::{Served, SignIn};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use client::all_that_comes;
pub(crate) use client::{AsLocalhost, Client, get, get2, raw, whole, with_headers};

/// A plain-HTTP Gateway as stock Kubeflow has it, and a route to every path that the tests use.
pub(crate) const STOCK: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: kubeflow-gateway, namespace: kubeflow }
spec:
  selector: { istio: ingressgateway }
  servers:
    - port: { number: 80, name: http, protocol: HTTP }
      hosts: ["*"]
---
apiVersion: v1
kind: Service
metadata: { name: app, namespace: team }
spec:
  ports: [{ name: http, port: 80 }]
---
apiVersion: v1
kind: Service
metadata: { name: gone, namespace: team }
spec:
  ports: [{ name: http, port: 80 }]
---
apiVersion: v1
kind: Service
metadata: { name: nameless, namespace: team }
spec:
  ports: [{ name: http, port: 80 }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: app, namespace: team }
spec:
  hosts: ["*"]
  gateways: [kubeflow/kubeflow-gateway]
  http:
    - match: [{ uri: { prefix: /jupyter/ } }]
      rewrite: { uri: / }
      headers:
        request:
          set: { x-added: by-route }
          remove: [x-removed]
        response:
          set: { x-answered: by-route }
      route: [{ destination: { host: app.team.svc.cluster.local, port: { number: 80 } } }]
    - match: [{ uri: { prefix: /slow/ } }]
      timeout: 0.2s
      route: [{ destination: { host: app.team.svc.cluster.local, port: { number: 80 } } }]
    - match: [{ uri: { prefix: /gone/ } }]
      route: [{ destination: { host: gone.team.svc.cluster.local, port: { number: 80 } } }]
    - match: [{ uri: { prefix: /nameless/ } }]
      route: [{ destination: { host: nameless.team.svc.cluster.local, port: { number: 80 } } }]
    - match: [{ uri: { exact: /old } }]
      redirect: { uri: /new, redirectCode: 302 }
    - match: [{ uri: { exact: /teapot } }]
      directResponse: { status: 418, body: { string: short and stout } }
    - match: [{ uri: { prefix: /app/ } }]
      route: [{ destination: { host: app.team.svc.cluster.local, port: { number: 80 } } }]
"#;

pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000)
    }
}

pub(crate) struct Counting(AtomicU64);

impl Default for Counting {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

/// Spreads numbers over all bits, each its own (the finalizer of SplitMix64): draws made of them
/// fall evenly.
fn spread(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&spread(number).to_be_bytes()[..chunk.len()]);
        }
    }
}

struct NoIssuer;

impl Transport for NoIssuer {
    fn send(&self, _: Request<Bytes>) -> Sent<'_> {
        Box::pin(async { Err(TransportFault::Unreachable) })
    }
}

/// Says which local service was asked, and for what.
struct Nobody;

pub(crate) type Answer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

impl Local for Nobody {
    fn serve(&self, what: &Served, request: Request<Bytes>) -> Answer {
        let text = format!("{what:?} {} {}", request.uri(), request.body().len());
        Box::pin(async move { Response::new(text.into()) })
    }

    fn sign_in(&self, _: &SignIn, _: Parts) -> Answer {
        Box::pin(async {
            Response::builder()
                .status(401)
                .body(Bytes::from("sign in"))
                .unwrap()
        })
    }
}

#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// What the log wrote.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines so far, parsed.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap();
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

/// How a test wants its gateway.
pub(crate) struct Wanted {
    pub(crate) manifests: String,
    pub(crate) upgrade: bool,
    pub(crate) limits: Limits,
    pub(crate) app: Option<SocketAddr>,
    /// Further Services, as `name.namespace`, and where they are.
    pub(crate) services: Vec<(String, SocketAddr)>,
    pub(crate) workers: usize,
    pub(crate) log: bool,
    /// Changes what the routes say.
    pub(crate) change: Option<Change>,
    pub(crate) listen: Vec<(u16, ListenAt)>,
    pub(crate) hsts: Option<Duration>,
    /// [`FixedClock`] unless given.
    pub(crate) authorizer: AuthorizerSettings,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

pub(crate) type Change = Box<dyn Fn(&mut Forward)>;

impl Default for Wanted {
    fn default() -> Self {
        Self {
            manifests: STOCK.into(),
            upgrade: true,
            limits: Limits::default(),
            app: None,
            services: Vec::new(),
            workers: 2,
            log: true,
            change: None,
            listen: Vec::new(),
            hsts: None,
            authorizer: AuthorizerSettings::default(),
            clock: None,
        }
    }
}

/// What a gateway stands on.
pub(crate) struct Ground {
    pub(crate) snapshot: Snapshot,
    pub(crate) local: Arc<dyn Local>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resolve: Vec<ResolveRule>,
    pub(crate) state: tempfile::TempDir,
}

/// A running gateway.
pub(crate) struct Door {
    pub(crate) gateway: Gateway,
    pub(crate) log: Log,
    pub(crate) roots: Arc<rustls::RootCertStore>,
    world: Arc<ArcSwap<World>>,
    _state: tempfile::TempDir,
}

impl Door {
    /// Follows other manifests from now on.
    pub(crate) fn follow(&self, manifests: &str) {
        let files = vec![File {
            name: "test.yaml".into(),
            text: manifests.to_owned(),
        }];
        let snapshot = Arc::new(model::compile(&ObjectSet { files }).snapshot);
        let local = Arc::clone(&self.world.load().local);
        self.world.store(Arc::new(World { snapshot, local }));
    }

    pub(crate) async fn to(app: SocketAddr) -> Self {
        Self::open(Wanted {
            app: Some(app),
            ..Wanted::default()
        })
        .await
    }

    /// A door with one worker, whose routes lead as `change` says; they try nothing again unless it
    /// says so.
    pub(crate) async fn changed(change: impl Fn(&mut Forward) + 'static) -> Self {
        Self::open(Wanted {
            workers: 1,
            change: Some(Box::new(move |forward| {
                forward.retries = None;
                change(forward);
            })),
            ..Wanted::default()
        })
        .await
    }

    pub(crate) async fn open(wanted: Wanted) -> Self {
        let files = vec![File {
            name: "test.yaml".into(),
            text: wanted.manifests.clone(),
        }];
        let compiled = model::compile(&ObjectSet { files });
        let broken: Vec<_> = compiled
            .findings
            .iter()
            .filter(|finding| finding.severity == model::Severity::Error)
            .filter(|finding| finding.fault.contains("read"))
            .collect();
        assert!(broken.is_empty(), "{broken:#?}");
        Self::onto(compiled.snapshot, wanted).await
    }

    /// A gateway for a world that the caller has compiled.
    pub(crate) async fn onto(snapshot: Snapshot, wanted: Wanted) -> Self {
        let state = tempfile::tempdir().unwrap();
        let clock = wanted.clock.unwrap_or_else(|| Arc::new(FixedClock));
        let randomness = Arc::new(Counting::default());
        let keys = Arc::new(Keys::new(Arc::new(NoIssuer), Arc::clone(&clock)));
        let path = state.path().join("sessions.db");
        let sessions = Sessions::open(&path, keys, Arc::clone(&clock), randomness)
            .await
            .unwrap();
        // Nobody listens on port 1.
        let mut resolve = vec!["gone.team=127.0.0.1:1".parse().unwrap()];
        resolve.push("nameless.team=name.invalid".parse().unwrap());
        resolve.extend(
            wanted
                .app
                .map(|app| format!("app.team={app}").parse().unwrap()),
        );
        let services = wanted.services.iter();
        resolve.extend(services.map(|(name, at)| format!("{name}={at}").parse().unwrap()));
        let settings = Settings {
            https_upgrade: wanted.upgrade,
            listen: wanted.listen.into_iter().collect(),
            hsts: wanted.hsts,
            authorizer: wanted.authorizer,
            workers: wanted.workers,
            limits: wanted.limits,
            ..free_ports()
        };
        let ground = Ground {
            snapshot: match wanted.change {
                None => snapshot,
                Some(change) => snapshot.with_forwards(|_, forward| change(forward)),
            },
            local: Arc::new(Nobody),
            sessions: Arc::new(sessions),
            clock,
            resolve,
            state,
        };
        Self::stand(ground, settings, wanted.log)
    }

    /// A gateway on `ground`; the addresses that it resolves are the ground's.
    pub(crate) fn stand(ground: Ground, settings: Settings, logs: bool) -> Self {
        let Ground {
            snapshot,
            local,
            sessions,
            clock,
            resolve,
            state,
        } = ground;
        let (certificate, roots) = certificate();
        let world = Arc::new(ArcSwap::from_pointee(World {
            snapshot: Arc::new(snapshot),
            local,
        }));
        let log = Log::default();
        let gateway = Gateway::start(
            Settings {
                resolve,
                ..settings
            },
            Arc::clone(&world),
            sessions,
            Arc::new(OneCertificate(certificate)),
            clock,
            Arc::new(Counting::default()),
            if logs {
                LogSink::writing(log.clone())
            } else {
                LogSink::none()
            },
        )
        .unwrap();
        Self {
            gateway,
            log,
            roots,
            world,
            _state: state,
        }
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.gateway.https_address().unwrap()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.gateway.http_address().unwrap()
    }

    /// A TLS connection that offers only `protocol`.
    pub(crate) async fn tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        self.tls_to("localhost", protocol).await
    }

    /// The same for any server name; the certificate is always the one of `localhost`.
    pub(crate) async fn tls_to(&self, name: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(AsLocalhost::new(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.https()).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        stream
    }

    /// An HTTP/1.1 client over TLS.
    pub(crate) async fn client(&self) -> Client {
        let io = TokioIo::new(self.tls(b"http/1.1").await);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Client { sender }
    }

    /// An HTTP/2 client over TLS.
    pub(crate) async fn client2(&self) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.tls(b"h2").await);
        let executor = TokioExecutor::new();
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, io)
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// The value of a metric; 0 when it was never counted.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.gateway.metrics().render();
        let value = text.lines().find_map(|line| {
            line.strip_prefix("doorward_")?
                .strip_prefix(name)?
                .strip_prefix(' ')
        });
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Sends bytes over TLS, returns everything that comes until the gateway closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        all_that_comes(self.tls(b"http/1.1").await, bytes).await
    }
}

/// One worker on any ports.
pub(crate) fn free_ports() -> Settings {
    Settings {
        https: Some("127.0.0.1:0".parse().unwrap()),
        http: Some("127.0.0.1:0".parse().unwrap()),
        listen: BTreeMap::new(),
        hsts: None,
        https_upgrade: true,
        authorizer: AuthorizerSettings::default(),
        workers: 1,
        limits: Limits::default(),
        resolve: Vec::new(),
        given: Vec::new(),
    }
}

fn certificate() -> (Arc<CertifiedKey>, Arc<rustls::RootCertStore>) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from(root.der().to_vec()))
        .unwrap();
    let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).unwrap();
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    (Arc::new(CertifiedKey::new(chain, signing)), Arc::new(roots))
}
