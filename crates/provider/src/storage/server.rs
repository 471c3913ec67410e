//! A real PostgreSQL on a port and in a directory of its own, for tests.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor as _};

/// One server.
pub(crate) struct Server {
    port: u16,
    child: Option<Child>,
    databases: AtomicUsize,
    directory: tempfile::TempDir,
}

/// The program, or a clear word that it is missing.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let versions = versions
        .flatten()
        .flatten()
        .map(|one| one.path().join("bin"));
    let usual = ["/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let mut all = versions.chain(usual).map(|directory| directory.join(name));
    all.find(|path| path.exists())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run tests/install-peers.sh"))
}

/// Started as the user `postgres` when this is root, whom PostgreSQL refuses.
fn as_postgres(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(program(name));
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with("postgres:"));
        let user: Vec<&str> = user.expect("user `postgres`").split(':').collect();
        let (user, group) = (user[2].parse().unwrap(), user[3].parse().unwrap());
        chown(directory, Some(user), Some(group)).unwrap();
        command.uid(user).gid(group);
    }
    command.current_dir(directory).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Server {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = as_postgres("initdb", directory.path())
            .args(["--auth=trust", "-U", "doorward", "--no-sync", "-D"])
            .arg(directory.path().join("data"))
            .status();
        assert!(made.unwrap().success());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut server = Self {
            port,
            child: None,
            databases: AtomicUsize::new(0),
            directory,
        };
        server.restart().await;
        server
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        for _ in 0..600 {
            let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
            if self.child.as_mut().is_none_or(ended) {
                // What another one that was killed has left may keep it from starting at once.
                let mut command = as_postgres("postgres", self.directory.path());
                command.arg("-D").arg(self.directory.path().join("data"));
                command.arg("-k").arg(self.directory.path());
                command.args([
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "max_connections=60",
                ]);
                command.args(["-p", &self.port.to_string()]);
                self.child = Some(command.spawn().unwrap());
            }
            if PgConnection::connect_with(&self.options("postgres"))
                .await
                .is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("PostgreSQL does not start");
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL; what it started notices by itself.
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A new database.
    pub(crate) async fn database(&self) -> PgConnectOptions {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("d{number}");
        let mut connection = PgConnection::connect_with(&self.options("postgres"))
            .await
            .unwrap();
        let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(statement).await.unwrap();
        self.options(&name)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass();
        let options = options.host("127.0.0.1").port(self.port);
        options.username("doorward").database(database)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
