//! Where sessions are kept, as an operator writes it.

use std::fmt;

use model::names::Secret;
use percent_encoding::percent_decode_str;
use sqlx::postgres::PgConnectOptions;

/// Where sessions are kept.
#[derive(Clone)]
pub enum StoreAddress {
    /// In the state directory: one process at a time.
    Sqlite,
    /// In cookies, sealed: any number of processes that know nothing of each other.
    Cookie,
    /// In a PostgreSQL database, which several processes may share.
    Postgres(Box<PgConnectOptions>),
    /// In Redis or Valkey, which several processes may share.
    Redis(RedisAddress),
}

/// A Redis, however many servers it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) kind: RedisKind,
    pub(super) tls: bool,
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// What Sentinels want to hear.
    pub(super) sentinel_password: Option<Secret>,
    pub(super) database: i64,
    /// PEM of the authorities to trust instead of the system's.
    pub(super) ca: Option<Vec<u8>>,
}

/// What the addresses of a Redis lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// The one server there is.
    Single,
    /// Sentinels, which know where the master is.
    Sentinel {
        /// What they call it.
        master: String,
    },
    /// Some servers of a cluster.
    Cluster,
}

/// Why a text is no address. None of them repeats it: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// No scheme that is known.
    Scheme,
    /// A PostgreSQL URL that cannot be read.
    Postgres,
    /// No host, or one that cannot be read.
    Host,
    /// No master's name after a Sentinel's hosts.
    Master,
    /// A database that is no number, or of a cluster.
    Database,
    /// Some addresses of one store ask for TLS, others do not.
    MixedTls,
    /// A parameter that is not known.
    Parameter,
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => {
                "the session store's address begins with none of `sqlite`, `cookie`, `postgres://`, `redis://`, `rediss://`, `redis+sentinel://`, `rediss+sentinel://`, `redis+cluster://`, `rediss+cluster://`"
            }
            Self::Postgres => "the session store's PostgreSQL address cannot be read",
            Self::Host => "the session store's address has no host that can be read",
            Self::Master => {
                "the session store's address names no master: `redis+sentinel://HOST,HOST/MASTER`"
            }
            Self::Database => "the session store's database is no number, or there is a cluster",
            Self::MixedTls => "some addresses of the session store are `rediss://`, others are not",
            Self::Parameter => "the session store's address has a parameter that is not known",
        })
    }
}

impl std::error::Error for AddressFault {}

impl StoreAddress {
    /// Reads `sqlite`, `cookie` or a URL.
    ///
    /// # Errors
    /// Why it is none; nothing of it is repeated.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text == "sqlite" => return Ok(Self::Sqlite),
            None if text == "cookie" => return Ok(Self::Cookie),
            None => return Err(AddressFault::Scheme),
        };
        let (tls, kind) = match scheme {
            "postgres" | "postgresql" => {
                let options = text.parse().map_err(|_| AddressFault::Postgres)?;
                return Ok(Self::Postgres(Box::new(options)));
            }
            "redis" => (false, "single"),
            "rediss" => (true, "single"),
            "redis+sentinel" => (false, "sentinel"),
            "rediss+sentinel" => (true, "sentinel"),
            "redis+cluster" => (false, "cluster"),
            "rediss+cluster" => (true, "cluster"),
            _ => return Err(AddressFault::Scheme),
        };
        redis(tls, kind, rest).map(Self::Redis)
    }

    /// The Redis that these URLs (`redis://…`, `rediss://…`) together lead to.
    ///
    /// # Errors
    /// Why it is none; nothing of them is repeated.
    pub fn of_redis(urls: &[&str], kind: RedisKind) -> Result<Self, AddressFault> {
        let mut all: Option<RedisAddress> = None;
        for url in urls {
            let one = match Self::parse(url)? {
                Self::Redis(one) if one.kind == RedisKind::Single => one,
                _ => return Err(AddressFault::Scheme),
            };
            all = Some(match all {
                None => one,
                Some(before) if before.tls != one.tls => return Err(AddressFault::MixedTls),
                Some(before) => RedisAddress {
                    hosts: [before.hosts, one.hosts].concat(),
                    user: one.user.or(before.user),
                    password: one.password.or(before.password),
                    database: one.database.max(before.database),
                    ..before
                },
            });
        }
        let all = all.ok_or(AddressFault::Host)?;
        match &kind {
            RedisKind::Single if all.hosts.len() > 1 => return Err(AddressFault::Host),
            RedisKind::Sentinel { master } if master.is_empty() => {
                return Err(AddressFault::Master);
            }
            RedisKind::Cluster if all.database != 0 => return Err(AddressFault::Database),
            _ => {}
        }
        Ok(Self::Redis(RedisAddress { kind, ..all }))
    }

    /// With this user, whatever the URL has.
    #[must_use]
    pub fn with_user(self, user: &str) -> Self {
        match self {
            Self::Sqlite => Self::Sqlite,
            Self::Cookie => Self::Cookie,
            Self::Postgres(options) => Self::Postgres(Box::new(options.username(user))),
            Self::Redis(address) => Self::Redis(RedisAddress {
                user: Some(user.to_owned()),
                ..address
            }),
        }
    }

    /// With this password for Sentinels, where there are any.
    #[must_use]
    pub fn with_sentinel_password(self, password: Secret) -> Self {
        match self {
            Self::Redis(address) => Self::Redis(RedisAddress {
                sentinel_password: Some(password),
                ..address
            }),
            other => other,
        }
    }

    /// With this password, whatever the URL has.
    #[must_use]
    pub fn with_password(self, password: &Secret) -> Self {
        match self {
            Self::Sqlite => Self::Sqlite,
            Self::Cookie => Self::Cookie,
            Self::Postgres(options) => match password.expose_str() {
                Some(text) => Self::Postgres(Box::new(options.password(text))),
                None => Self::Postgres(options),
            },
            Self::Redis(address) => Self::Redis(RedisAddress {
                password: Some(password.clone()),
                ..address
            }),
        }
    }

    /// With these authorities (PEM) instead of the system's.
    #[must_use]
    pub fn with_ca(self, pem: Vec<u8>) -> Self {
        match self {
            Self::Sqlite => Self::Sqlite,
            Self::Cookie => Self::Cookie,
            Self::Postgres(options) => {
                Self::Postgres(Box::new(options.ssl_root_cert_from_pem(pem)))
            }
            Self::Redis(address) => Self::Redis(RedisAddress {
                ca: Some(pem),
                ..address
            }),
        }
    }

    /// Whether it is on another machine, or may be: with a name and a password.
    pub fn is_elsewhere(&self) -> bool {
        !matches!(self, Self::Sqlite | Self::Cookie)
    }

    /// Whether other processes may work with it too, and need the same secret.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Sqlite)
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What sqlx shows of its options may be more than it should.
        write!(f, "StoreAddress({self})")
    }
}

/// For the log: never a password.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => f.write_str("sqlite"),
            Self::Cookie => f.write_str("cookie"),
            Self::Postgres(options) => {
                write!(
                    f,
                    "postgres://{}:{}",
                    options.get_host(),
                    options.get_port()
                )
            }
            Self::Redis(address) => {
                let kind = match address.kind {
                    RedisKind::Single => "",
                    RedisKind::Sentinel { .. } => "+sentinel",
                    RedisKind::Cluster => "+cluster",
                };
                let tls = if address.tls { "s" } else { "" };
                write!(f, "redis{tls}{kind}://")?;
                for (number, (host, port)) in address.hosts.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{host}:{port}")?;
                }
                Ok(())
            }
        }
    }
}

fn redis(tls: bool, kind: &str, rest: &str) -> Result<RedisAddress, AddressFault> {
    if rest.contains(['?', '#']) {
        return Err(AddressFault::Parameter);
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => (Some(user_info), hosts),
        None => (None, authority),
    };
    let (user, password) = match user_info.map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((user, password)) => (decoded(user)?, decoded(password)?),
        None => (None, None),
    };
    let port = if kind == "sentinel" { 26379 } else { 6379 };
    let hosts: Vec<_> = hosts
        .split(',')
        .map(|text| host(text, port))
        .collect::<Result<_, _>>()?;
    let mut steps = path.trim_end_matches('/').splitn(2, '/');
    let first = steps.next().unwrap_or_default();
    let (kind, database) = match kind {
        "sentinel" if first.is_empty() => return Err(AddressFault::Master),
        "sentinel" => {
            let master = decoded(first)?.unwrap_or_default();
            (RedisKind::Sentinel { master }, steps.next())
        }
        "cluster" if !first.is_empty() => return Err(AddressFault::Database),
        "cluster" => (RedisKind::Cluster, None),
        _ if hosts.len() > 1 => return Err(AddressFault::Host),
        _ => (RedisKind::Single, Some(path)),
    };
    let database = match database.unwrap_or_default() {
        "" => 0,
        text => text.parse().map_err(|_| AddressFault::Database)?,
    };
    Ok(RedisAddress {
        kind,
        tls,
        hosts,
        user,
        password: password.map(Secret::new),
        sentinel_password: None,
        database,
        ca: None,
    })
}

/// Nothing is none.
fn decoded(text: &str) -> Result<Option<String>, AddressFault> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| AddressFault::Host)?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

fn host(text: &str, port: u16) -> Result<(String, u16), AddressFault> {
    let (host, after) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(AddressFault::Host)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match after.strip_prefix(':') {
        Some(number) => number.parse().map_err(|_| AddressFault::Host)?,
        None if after.is_empty() => port,
        None => return Err(AddressFault::Host),
    };
    if host.is_empty() {
        return Err(AddressFault::Host);
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis_of(text: &str) -> RedisAddress {
        match StoreAddress::parse(text).unwrap() {
            StoreAddress::Redis(address) => address,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let one = redis_of("rediss://me:p%40ss@redis.example/3");
        assert!(one.tls);
        assert_eq!(one.hosts, [("redis.example".to_owned(), 6379)]);
        assert_eq!(one.user.as_deref(), Some("me"));
        assert_eq!(one.password, Some(Secret::new("p@ss")));
        assert_eq!((one.kind, one.database), (RedisKind::Single, 3));
        let sentinel = redis_of("redis+sentinel://:pw@a,b:26380,[::1]:1/main/2");
        let master = "main".to_owned();
        assert_eq!(sentinel.kind, RedisKind::Sentinel { master });
        let hosts = [("a", 26379), ("b", 26380), ("::1", 1)];
        assert_eq!(
            sentinel.hosts,
            hosts.map(|(host, port)| (host.to_owned(), port))
        );
        assert_eq!((sentinel.user, sentinel.database), (None, 2));
        let cluster = redis_of("redis+cluster://a:7000,b:7001");
        assert_eq!(cluster.kind, RedisKind::Cluster);
        assert_eq!(cluster.password, None);
        assert!(!StoreAddress::parse("sqlite").unwrap().is_shared());
        let postgres = StoreAddress::parse("postgres://me:geheim@db.example/doorward").unwrap();
        assert!(postgres.is_shared());
        assert_eq!(postgres.to_string(), "postgres://db.example:5432");
    }

    #[test]
    fn several_urls_are_one_redis() {
        let of = |urls: &[&str], kind| StoreAddress::of_redis(urls, kind);
        let sentinel = |master: &str| RedisKind::Sentinel {
            master: master.to_owned(),
        };
        let urls = ["redis://a", "redis://me:pw@b:26380/3"];
        let StoreAddress::Redis(found) = of(&urls, sentinel("main")).unwrap() else {
            panic!("no Redis");
        };
        // Without a port it is that of a server, as the programs that write it so have it.
        let hosts = [("a".to_owned(), 6379), ("b".to_owned(), 26380)];
        assert_eq!(found.hosts, hosts);
        assert_eq!((found.user.as_deref(), found.database), (Some("me"), 3));
        assert_eq!(found.password, Some(Secret::new("pw")));
        for (urls, kind, fault) in [
            (&[][..], RedisKind::Single, AddressFault::Host),
            (
                &["redis://a", "redis://b"],
                RedisKind::Single,
                AddressFault::Host,
            ),
            (&["redis://a"], sentinel(""), AddressFault::Master),
            (&["redis://a/1"], RedisKind::Cluster, AddressFault::Database),
            (
                &["redis://a", "rediss://b"],
                RedisKind::Cluster,
                AddressFault::MixedTls,
            ),
            (&["a:6379"], RedisKind::Single, AddressFault::Scheme),
            (&["sqlite"], RedisKind::Single, AddressFault::Scheme),
        ] {
            assert_eq!(of(urls, kind).unwrap_err(), fault, "{urls:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for (text, fault) in [
            ("", AddressFault::Scheme),
            ("mysql://geheim@h", AddressFault::Scheme),
            ("redis:/geheim", AddressFault::Scheme),
            ("postgres://me:geheim@h:port/x", AddressFault::Postgres),
            ("redis://:geheim@", AddressFault::Host),
            ("redis://:geheim@h:x", AddressFault::Host),
            ("redis://:geheim@a,b", AddressFault::Host),
            ("redis://:geheim@h/one", AddressFault::Database),
            ("redis://:geheim@h/1/2", AddressFault::Database),
            ("redis+cluster://:geheim@h/1", AddressFault::Database),
            ("redis+sentinel://:geheim@h", AddressFault::Master),
            ("redis://:geheim@h?x=1", AddressFault::Parameter),
        ] {
            let found = StoreAddress::parse(text).unwrap_err();
            assert_eq!(found, fault, "{text}");
            assert!(!found.to_string().contains("geheim"));
        }
        let shown = |text: &str| {
            let address = StoreAddress::parse(text).unwrap();
            let secret = address.clone().with_password(&Secret::new("anders"));
            format!("{address} {address:?} {secret} {secret:?}")
        };
        for text in [
            "redis://me:geheim@h:1/2",
            "postgres://me:geheim@h/x",
            "rediss+sentinel://:geheim@h/m",
        ] {
            let text = shown(text);
            assert!(
                !text.contains("geheim") && !text.contains("anders"),
                "{text}"
            );
        }
    }
}
