//! A real Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::snapshot::Authentication;
use serde_json::{Value, json};
use testkit::envoy::{FILTERS, Restraints, authentication};
use tokio::net::TcpStream;

/// Which route a request takes at Envoy.
pub(super) const CASE: &str = "x-case";

/// What a route of Envoy asks for.
pub(super) struct Asks {
    pub(super) restraints: Restraints,
    /// A number in [`Setup::authentications`].
    pub(super) tokens: usize,
}

/// What Envoy is to serve.
pub(super) struct Setup<'a> {
    pub(super) ports: Ports,
    pub(super) authentications: &'a [Authentication],
    pub(super) routes: Vec<Asks>,
    pub(super) pem: &'a Pem,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) tls: u16,
}

impl Ports {
    /// Two that nobody listens on.
    pub(super) fn free() -> Self {
        let one = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (plain, tls) = (one(), one());
        let port = |listener: &std::net::TcpListener| listener.local_addr().unwrap().port();
        Self {
            plain: port(&plain),
            tls: port(&tls),
        }
    }
}

/// Its certificate, and the authority of its clients.
pub(super) struct Pem {
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) clients: String,
}

/// A running Envoy; ends when dropped.
pub(super) struct Envoy {
    child: Child,
    files: tempfile::TempDir,
    pub(super) ports: Ports,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Envoy {
    /// `None` when somebody else has taken one of its ports.
    pub(super) async fn start(setup: &Setup<'_>) -> Option<Self> {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("envoy.json");
        std::fs::write(&path, config(setup).to_string()).unwrap();
        let log = std::fs::File::create(files.path().join("log")).unwrap();
        let child = Command::new(binary())
            .arg("-c")
            .arg(&path)
            .args(["--concurrency", "1", "--disable-hot-restart"])
            .args(["--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("Envoy starts");
        let mut envoy = Self {
            child,
            files,
            ports: setup.ports,
        };
        envoy.listens().await.then_some(envoy)
    }

    /// Waits until it does; false when it cannot.
    async fn listens(&mut self) -> bool {
        for _ in 0..3000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.files.path().join("log")).unwrap();
                assert!(
                    log.contains("Address already in use"),
                    "Envoy ended with {status}:\n{log}"
                );
                return false;
            }
            let at = SocketAddr::from(([127, 0, 0, 1], self.ports.tls));
            if TcpStream::connect(at).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("Envoy does not listen");
    }
}

/// The one that `tests/install-peers.sh` installs into the target directory.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/gateway-…
    let target = test.ancestors().nth(3).unwrap();
    let path = target.join("peers-venv/bin/envoy");
    assert!(
        path.is_file(),
        "there is no Envoy at {}: run tests/install-peers.sh",
        path.display()
    );
    path
}

fn config(setup: &Setup<'_>) -> Value {
    let Setup {
        ports, pem, routes, ..
    } = setup;
    let routes: Vec<Value> = routes
        .iter()
        .enumerate()
        .map(|(number, asks)| route(number, asks, setup))
        .collect();
    let text = |text: &str| json!({ "inline_string": text });
    let tls = json!({ "name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": false,
        "common_tls_context": {
            "tls_certificates": [{ "certificate_chain": text(&pem.chain), "private_key": text(&pem.key) }],
            "validation_context": { "trusted_ca": text(&pem.clients) },
        },
    } });
    let listener = |name: &str, port: u16, transport: Option<&Value>| {
        let mut chain = json!({ "filters": [{ "name": "http", "typed_config": manager(name, setup, &routes) }] });
        if let Some(transport) = transport {
            chain["transport_socket"] = transport.clone();
        }
        json!({
            "name": name,
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
            "listener_filters": [{ "name": "inspect", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            } }],
            "filter_chains": [chain],
        })
    };
    json!({
        "layered_runtime": { "layers": [{ "name": "static", "static_layer": {
            "envoy.reloadable_features.http_reject_path_with_fragment": false,
        } }] },
        "static_resources": { "listeners": [
            listener("plain", ports.plain, None),
            listener("tls", ports.tls, Some(&tls)),
        ] },
    })
}

fn manager(name: &str, setup: &Setup<'_>, routes: &[Value]) -> Value {
    let rbac = |name: &str| {
        json!({ "name": name, "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        } })
    };
    let mut filters = vec![json!({
        "name": "tokens",
        "typed_config": authentication(setup.authentications),
    })];
    filters.extend(FILTERS.map(rbac));
    filters.push(json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    } }));
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "delayed_close_timeout": "0s",
        "use_remote_address": true,
        "xff_num_trusted_hops": 1,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "http_filters": filters,
        "route_config": { "name": name, "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": routes,
        }] },
    })
}

fn route(number: usize, asks: &Asks, setup: &Setup<'_>) -> Value {
    let Restraints { deny, allow } = &asks.restraints;
    let mut own = json!({ "deny": deny, "allow": allow });
    if !setup.authentications[asks.tokens].rules.is_empty() {
        own["tokens"] = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
            "requirement_name": asks.tokens.to_string(),
        });
    }
    json!({
        "match": { "prefix": "/", "headers": [
            { "name": CASE, "string_match": { "exact": number.to_string() } },
        ] },
        "direct_response": { "status": 200 },
        "typed_per_filter_config": own,
    })
}
