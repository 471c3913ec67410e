//! Real database servers, each on a port of its own and in a directory of its own, for tests.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::{Store, StoreAddress, StoreError};
use model::names::Secret;

/// One server.
pub(crate) struct Server {
    kind: Kind,
    port: u16,
    child: Option<Child>,
    /// PEM of who signed its certificate, if it speaks TLS.
    authority: Option<String>,
    directory: tempfile::TempDir,
}

enum Kind {
    /// With more settings.
    Postgres(Vec<String>),
    /// With more settings.
    Redis(Vec<String>),
    /// Watches the master on this port.
    Sentinel(u16),
}

/// PEM of an authority, and of a certificate for this machine that it signed.
struct Papers {
    authority: String,
    certificate: String,
    key: String,
}

impl Papers {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let (above, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = authority.self_signed(&above).unwrap();
        let issuer = Issuer::from_params(&authority, &above);
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        Self {
            authority: signed.pem(),
            certificate: leaf.signed_by(&key, &issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Written to `directory`; gives the paths of certificate and key.
    fn write(&self, directory: &Path) -> [String; 2] {
        use std::os::unix::fs::PermissionsExt as _;
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private).unwrap();
            own(&path);
            path.to_str().unwrap().to_owned()
        };
        [write("crt", &self.certificate), write("key", &self.key)]
    }
}

/// The secret of every process in a test.
pub(crate) fn secret() -> Secret {
    Secret::new([5; 32])
}

/// A process's store there.
pub(crate) async fn store_at(address: &StoreAddress) -> Result<Store, StoreError> {
    Store::at(address, Path::new("/nonexistent"), vec![secret()]).await
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The program, or a clear word that it is missing.
fn program(name: &str) -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let debian = debian.flatten().flatten().map(|one| one.path().join("bin"));
    let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    let mut all = debian.chain(usual).map(|directory| directory.join(name));
    all.find(|path| path.exists())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run tests/install-peers.sh"))
}

/// The user `postgres` when this is root, whom PostgreSQL refuses.
fn postgres_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:"));
    let user: Vec<&str> = user.expect("user `postgres`").split(':').collect();
    Some((user[2].parse().unwrap(), user[3].parse().unwrap()))
}

/// Gives a file to who runs PostgreSQL.
fn own(path: &Path) {
    if let Some((user, group)) = postgres_user() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

fn as_postgres(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(program(name));
    own(directory);
    if let Some((user, group)) = postgres_user() {
        command.uid(user).gid(group);
    }
    command.current_dir(directory);
    command
}

fn succeeded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

impl Server {
    /// PostgreSQL with an empty database.
    pub(crate) async fn postgres() -> Self {
        Self::postgres_with(None).await
    }

    /// The same, over TLS only.
    pub(crate) async fn postgres_tls() -> Self {
        Self::postgres_with(Some(Papers::new())).await
    }

    async fn postgres_with(papers: Option<Papers>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = as_postgres("initdb", directory.path())
            .args(["--auth=trust", "-U", "doorward", "--no-sync", "-D"])
            .arg(directory.path().join("data"))
            .output();
        succeeded(&made.unwrap());
        let mut more = Vec::new();
        if let Some(papers) = &papers {
            let [certificate, key] = papers.write(directory.path());
            for setting in [
                "ssl=on".to_owned(),
                format!("ssl_cert_file={certificate}"),
                format!("ssl_key_file={key}"),
            ] {
                more.extend(["-c".to_owned(), setting]);
            }
        }
        let authority = papers.map(|papers| papers.authority);
        Self::start(Kind::Postgres(more), free_port(), authority, directory).await
    }

    /// Redis that keeps what it acknowledged.
    pub(crate) async fn redis(more: &[&str]) -> Self {
        let more = more.iter().map(|one| (*one).to_owned()).collect();
        let directory = tempfile::tempdir().unwrap();
        Self::start(Kind::Redis(more), free_port(), None, directory).await
    }

    /// The same, over TLS only.
    pub(crate) async fn redis_tls() -> Self {
        let (papers, directory) = (Papers::new(), tempfile::tempdir().unwrap());
        let [certificate, key] = papers.write(directory.path());
        let port = free_port();
        let more = [
            ["--tls-port", &port.to_string()],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &certificate],
            ["--tls-auth-clients", "no"],
            ["--port", "0"],
        ];
        let more = more.as_flattened().iter().map(|one| (*one).to_owned());
        let kind = Kind::Redis(more.collect());
        Self::start(kind, port, Some(papers.authority), directory).await
    }

    /// A Redis that repeats what `self` has.
    pub(crate) async fn replica(&self) -> Self {
        Self::redis(&["--replicaof", &format!("127.0.0.1 {}", self.port)]).await
    }

    /// A Sentinel that watches `self` under the name `main`.
    pub(crate) async fn sentinel(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start(Kind::Sentinel(self.port), free_port(), None, directory).await
    }

    /// A cluster, and its address.
    pub(crate) async fn cluster() -> (Vec<Self>, StoreAddress) {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let more = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            servers.push(Self::redis(&more).await);
        }
        let hosts: Vec<String> = servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        let made = Command::new(program("redis-cli"))
            .args(["--cluster", "create"])
            .args(&hosts)
            .arg("--cluster-yes")
            .output();
        succeeded(&made.unwrap());
        let address = format!("redis+cluster://{}", hosts.join(","));
        (servers, StoreAddress::parse(&address).unwrap())
    }

    async fn start(
        kind: Kind,
        port: u16,
        authority: Option<String>,
        directory: tempfile::TempDir,
    ) -> Self {
        let mut server = Self {
            kind,
            port,
            child: None,
            authority,
            directory,
        };
        server.restart().await;
        server
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        for _ in 0..200 {
            if self
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().unwrap().is_some())
            {
                // What another one that was killed has left may keep it from starting at once.
                self.child = Some(self.command().spawn().unwrap());
            }
            if self.answers().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not start");
    }

    fn command(&self) -> Command {
        let port = self.port.to_string();
        let mut command = match &self.kind {
            Kind::Postgres(more) => {
                let mut command = as_postgres("postgres", self.directory.path());
                command.arg("-D").arg(self.directory.path().join("data"));
                command.arg("-k").arg(self.directory.path());
                command.args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
                command.args(["-c", "max_connections=40"]).args(more);
                command
            }
            Kind::Redis(more) => {
                let mut command = Command::new(program("redis-server"));
                command.arg("--dir").arg(self.directory.path());
                command.args(["--bind", "127.0.0.1", "--save", ""]);
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
                if !more.iter().any(|one| one == "--tls-port") {
                    command.args(["--port", &port]);
                }
                command.args(more);
                command
            }
            Kind::Sentinel(master) => {
                let file = self.directory.path().join("sentinel.conf");
                let settings = format!(
                    "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
                );
                std::fs::write(&file, settings).unwrap();
                let mut command = Command::new(program("redis-sentinel"));
                command.arg(file);
                command
            }
        };
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    async fn answers(&self) -> bool {
        match &self.kind {
            Kind::Postgres(_) => self.store().await.ready().await.is_ok(),
            Kind::Redis(_) | Kind::Sentinel(_) => {
                tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                    .await
                    .is_ok()
            }
        }
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL; what it started notices by itself.
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> StoreAddress {
        let port = self.port;
        let text = match (&self.kind, &self.authority) {
            (Kind::Postgres(_), None) => format!("postgres://doorward@127.0.0.1:{port}/postgres"),
            (Kind::Postgres(_), Some(_)) => {
                format!("postgres://doorward@127.0.0.1:{port}/postgres?sslmode=verify-full")
            }
            (Kind::Redis(_), None) => format!("redis://127.0.0.1:{port}"),
            (Kind::Redis(_), Some(_)) => format!("rediss://127.0.0.1:{port}"),
            (Kind::Sentinel(_), _) => format!("redis+sentinel://127.0.0.1:{port}/main"),
        };
        let address = StoreAddress::parse(&text).unwrap();
        match &self.authority {
            Some(pem) => address.with_ca(pem.clone().into_bytes()),
            None => address,
        }
    }

    /// The same, trusting whom the system trusts.
    pub(crate) fn address_of_strangers(&self) -> StoreAddress {
        let text = format!("rediss://127.0.0.1:{}", self.port);
        StoreAddress::parse(&text).unwrap()
    }

    /// A process's store on it.
    pub(crate) async fn store(&self) -> Store {
        store_at(&self.address()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
