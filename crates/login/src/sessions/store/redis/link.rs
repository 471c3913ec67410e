//! A connection to Redis that is made when it is needed, and again when it broke.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, RedisFuture,
    ServerErrorKind, TlsCertificates, TlsMode, Value, cluster::ClusterClientBuilder,
};
use tokio::sync::Mutex;

use super::super::StoreError;
use super::super::address::{RedisAddress, RedisKind};
use model::names::{Duration, Secret};

/// How long a connection may take to be there, and an answer to come.
/// Tests start many servers at once on one machine.
const CONNECTING: Duration = Duration::from_secs(if cfg!(test) { 20 } else { 3 });
const ANSWERING: Duration = Duration::from_secs(if cfg!(test) { 20 } else { 3 });

/// Where a connection comes from, and the one that works.
pub(super) struct Link {
    source: Source,
    /// Counts connections, so that only the one that broke is given up.
    state: Mutex<(u64, Option<Connection>)>,
}

enum Source {
    One(Client),
    Sentinel(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Without connecting.
    pub(super) fn new(address: &RedisAddress) -> Result<Self, StoreError> {
        let source = source(address).map_err(StoreError::Redis)?;
        Ok(Self {
            source,
            state: Mutex::new((0, None)),
        })
    }

    /// What `command` answers.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let (number, mut connection) = self.connection().await?;
        match command.query_async(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(number, error).await),
        }
    }

    /// What a script answers; it has one key, so that any node of a cluster can run it.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &redis::ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let (number, mut connection) = self.connection().await?;
        match script.invoke_async(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(number, error).await),
        }
    }

    /// Lets go of the connection.
    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn close(&self) {
        self.state.lock().await.1 = None;
    }

    async fn connection(&self) -> Result<(u64, Connection), StoreError> {
        let mut state = self.state.lock().await;
        if let (number, Some(connection)) = &*state {
            return Ok((*number, connection.clone()));
        }
        let connected = tokio::time::timeout(CONNECTING, self.connect()).await;
        let connection = connected
            .map_err(|_| StoreError::TimedOut)?
            .map_err(StoreError::Redis)?;
        state.0 += 1;
        state.1 = Some(connection.clone());
        Ok((state.0, connection))
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(ANSWERING));
        Ok(match &self.source {
            Source::One(client) => Connection::One(
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?,
            ),
            Source::Sentinel(client) => Connection::One(
                client
                    .lock()
                    .await
                    .get_async_connection_with_config(&config)
                    .await?,
            ),
            Source::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }

    async fn failed(&self, number: u64, error: RedisError) -> StoreError {
        // A master that became a replica takes no writes: another is asked for.
        let is_demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if error.is_unrecoverable_error() || error.is_io_error() || is_demoted {
            let mut state = self.state.lock().await;
            if state.0 == number {
                state.1 = None;
            }
        }
        StoreError::Redis(error)
    }
}

fn source(address: &RedisAddress) -> Result<Source, RedisError> {
    let RedisAddress {
        kind,
        tls,
        hosts,
        user,
        password,
        sentinel_password,
        database,
        ca,
    } = address;
    let addresses = hosts.iter().map(|(host, port)| match tls {
        true => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
        false => ConnectionAddr::Tcp(host.clone(), *port),
    });
    let password = password
        .as_ref()
        .and_then(|password| password.expose_str())
        .map(str::to_owned);
    let certificates = || TlsCertificates {
        client_tls: None,
        root_cert: ca.clone(),
    };
    let mut settings = RedisConnectionInfo::default().set_db(*database);
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &password {
        settings = settings.set_password(password);
    }
    match kind {
        RedisKind::Single => {
            let first = addresses.into_iter().next();
            let first = first.ok_or((ErrorKind::InvalidClientConfig, "no host"))?;
            let info = first.into_connection_info()?.set_redis_settings(settings);
            let client = match (tls, ca) {
                (true, Some(_)) => Client::build_with_tls(info, certificates())?,
                _ => Client::open(info)?,
            };
            Ok(Source::One(client))
        }
        RedisKind::Cluster => {
            let infos = addresses.map(|address| {
                let info = address.into_connection_info()?;
                Ok(info.set_redis_settings(settings.clone()))
            });
            let infos: Vec<redis::ConnectionInfo> = infos.collect::<Result<_, RedisError>>()?;
            let mut builder: ClusterClientBuilder = ClusterClient::builder(infos)
                .connection_timeout(CONNECTING)
                .response_timeout(ANSWERING)
                .retries(3);
            if *tls {
                builder = builder.tls(TlsMode::Secure);
                if ca.is_some() {
                    builder = builder.certs(certificates());
                }
            }
            Ok(Source::Cluster(builder.build()?))
        }
        RedisKind::Sentinel { master } => {
            let mut builder =
                SentinelClientBuilder::new(addresses, master.clone(), SentinelServerType::Master)?
                    .set_client_to_redis_db(*database);
            if let Some(user) = user {
                builder = builder.set_client_to_redis_username(user);
            }
            if let Some(password) = &password {
                builder = builder.set_client_to_redis_password(password);
            }
            if let Some(text) = sentinel_password.as_ref().and_then(Secret::expose_str) {
                builder = builder.set_client_to_sentinel_password(text);
            }
            if *tls {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
                if ca.is_some() {
                    builder = builder
                        .set_client_to_redis_certificates(certificates())
                        .set_client_to_sentinel_certificates(certificates());
                }
            }
            Ok(Source::Sentinel(Mutex::new(builder.build()?)))
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
