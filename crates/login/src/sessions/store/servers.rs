//! Real database servers, each on a port of its own and in a directory of its own, for tests.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::{Store, StoreAddress};
use model::names::Secret;

/// One server.
pub(crate) struct Server {
    kind: Kind,
    port: u16,
    child: Option<Child>,
    directory: tempfile::TempDir,
}

enum Kind {
    Postgres,
    Redis(Vec<String>),
}

/// The secret of every process in a test.
pub(crate) fn secret() -> Secret {
    Secret::new([5; 32])
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

/// A command as the user `postgres` when this is root, whom PostgreSQL refuses.
fn as_postgres(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(program(name));
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with("postgres:"));
        let user: Vec<&str> = user.expect("user `postgres`").split(':').collect();
        let (user, group) = (user[2].parse().unwrap(), user[3].parse().unwrap());
        std::os::unix::fs::chown(directory, Some(user), Some(group)).unwrap();
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
        let directory = tempfile::tempdir().unwrap();
        let made = as_postgres("initdb", directory.path())
            .args(["--auth=trust", "-U", "doorward", "--no-sync", "-D"])
            .arg(directory.path().join("data"))
            .output();
        succeeded(&made.unwrap());
        Self::start(Kind::Postgres, directory).await
    }

    /// Redis that keeps what it acknowledged.
    pub(crate) async fn redis(more: &[&str]) -> Self {
        let more = more.iter().map(|one| (*one).to_owned()).collect();
        Self::start(Kind::Redis(more), tempfile::tempdir().unwrap()).await
    }

    async fn start(kind: Kind, directory: tempfile::TempDir) -> Self {
        let mut server = Self {
            kind,
            port: free_port(),
            child: None,
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
            Kind::Postgres => {
                let mut command = as_postgres("postgres", self.directory.path());
                command.arg("-D").arg(self.directory.path().join("data"));
                command.arg("-k").arg(self.directory.path());
                command.args(["-p", &port, "-c", "listen_addresses=127.0.0.1"]);
                command.args(["-c", "max_connections=40"]);
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
        };
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    async fn answers(&self) -> bool {
        match &self.kind {
            Kind::Postgres => self.store().await.ready().await.is_ok(),
            Kind::Redis(_) => tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_ok(),
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
        let text = match self.kind {
            Kind::Postgres => format!("postgres://doorward@127.0.0.1:{port}/postgres"),
            Kind::Redis(_) => format!("redis://127.0.0.1:{port}"),
        };
        StoreAddress::parse(&text).unwrap()
    }

    /// A process's store on it.
    pub(crate) async fn store(&self) -> Store {
        let nowhere = Path::new("/nonexistent");
        let store = Store::at(&self.address(), nowhere, vec![secret()]).await;
        store.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
