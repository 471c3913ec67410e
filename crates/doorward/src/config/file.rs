//! `doorward.yaml`: the same settings as the flags. Unknown keys are errors with file and line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::Switch;
use super::authorizer::AuthorizerConfig;
use super::login::{LoginConfig, LoginFault};
use super::provider::ProviderConfig;
use super::sessions::SessionsConfig;

/// What the file says; everything is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct FileConfig {
    pub(crate) manifests: Vec<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) authorizer_http: Option<SocketAddr>,
    pub(crate) authorizer_grpc: Option<SocketAddr>,
    pub(crate) authorizer: AuthorizerConfig,
    pub(crate) resolve: Vec<String>,
    pub(crate) sessions: SessionsConfig,
    pub(crate) provider: ProviderConfig,
    pub(crate) https_upgrade: Option<Switch>,
    pub(crate) names: Vec<String>,
    pub(crate) workers: Option<usize>,
    pub(crate) listen: BTreeMap<u16, Listen>,
    pub(crate) hsts: Option<Hsts>,
    pub(crate) take_over: Option<Switch>,
    pub(crate) policy: PolicyConfig,
    pub(crate) login: Option<LoginConfig>,
}

impl FileConfig {
    /// What the compiler is told. `path` is the file's own.
    ///
    /// # Errors
    /// When the login is wrong, or a file that it names cannot be read.
    pub(crate) fn role(&self, path: &Path) -> Result<model::Role, FileFault> {
        let role = self.policy.role();
        let Some(login) = &self.login else {
            return Ok(role);
        };
        let login = login.login(path).map_err(|fault| FileFault::Login {
            path: path.to_owned(),
            fault,
        })?;
        Ok(model::Role {
            login: Some(Arc::new(login)),
            ..role
        })
    }
}

/// How strictly the manifests are read.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct PolicyConfig {
    /// Whether contributors whose role is `view` may only look.
    pub(crate) strict_viewers: bool,
}

impl PolicyConfig {
    /// What the compiler is told.
    pub(crate) fn role(self) -> model::Role {
        let Self { strict_viewers } = self;
        model::Role {
            strict_viewers,
            ..model::Role::default()
        }
    }
}

/// Where a `Gateway` port is bound: `9000: 0.0.0.0:9000`, or more about it,
/// `9000: {address: 0.0.0.0:9000, proxyProtocol: on}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct ListenMore {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) proxy_protocol: Option<Switch>,
}

/// Either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) ListenMore);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as `0.0.0.0:9000`, or `address` and `proxyProtocol`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Listen, E> {
                let address = text
                    .parse()
                    .map_err(|_| E::custom(format!("`{text}` is no address with a port")))?;
                Ok(Listen(ListenMore {
                    address: Some(address),
                    proxy_protocol: None,
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listen, A::Error> {
                ListenMore::deserialize(MapAccessDeserializer::new(map)).map(Listen)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// `hsts: on`, `hsts: off`, or for how many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hsts {
    /// For two years, or not at all.
    Switch(Switch),
    /// For so many seconds.
    Seconds(u64),
}

impl<'de> Deserialize<'de> for Hsts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Hsts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`on`, `off`, or a number of seconds")
            }

            // YAML takes `on` and `off` for truth values.
            fn visit_bool<E: Error>(self, is_on: bool) -> Result<Hsts, E> {
                Ok(Hsts::Switch(if is_on { Switch::On } else { Switch::Off }))
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Hsts, E> {
                Ok(Hsts::Seconds(seconds))
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Hsts, E> {
                u64::try_from(seconds)
                    .map(Hsts::Seconds)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(seconds), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Hsts, E> {
                match text {
                    "on" => Ok(Hsts::Switch(Switch::On)),
                    "off" => Ok(Hsts::Switch(Switch::Off)),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Why the file cannot be used.
#[derive(Debug)]
pub(crate) enum FileFault {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// Its login.
    Login {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: LoginFault,
    },
    /// It says something that no setting is.
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1, when known.
        line: Option<u64>,
        /// The parser's words.
        fault: String,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(
                    f,
                    "{}: settings cannot be read: {error}\nhelp: name another file with `--config FILE`",
                    path.display()
                )
            }
            Self::Login { path, fault } => write!(
                f,
                "{}: {fault}\nhelp: see `docs/login.md` for every key of `login`",
                path.display()
            ),
            Self::Wrong { path, line, fault } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                write!(
                    f,
                    ": {fault}\nhelp: `doorward up --help` names every setting; keys are its flags in camelCase"
                )
            }
        }
    }
}

impl FileConfig {
    /// Reads `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, FileFault> {
        let text = fs::read_to_string(path)
            .map_err(|error| FileFault::Unreadable(path.to_owned(), error))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            return Ok(Self::default());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| FileFault::Wrong {
            path: path.to_owned(),
            line: error.location().map(|location| location.line()),
            fault: error.to_string().replace('\n', " "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileConfig, FileFault> {
        FileConfig::parse(Path::new("doorward.yaml"), text)
    }

    #[test]
    fn settings_are_read_and_an_empty_file_says_nothing() {
        let config = parse(
            "https: 0.0.0.0:443\nhttpsUpgrade: off\ntakeOver: on\nresolve: ['*=127.0.0.1:1']\n",
        );
        let config = config.unwrap();
        assert_eq!(config.https, Some("0.0.0.0:443".parse().unwrap()));
        assert_eq!(config.https_upgrade, Some(Switch::Off));
        assert_eq!(config.take_over, Some(Switch::On));
        assert_eq!(config.resolve, ["*=127.0.0.1:1"]);
        assert!(parse("# nothing yet\n").unwrap().https.is_none());
        assert!(!config.policy.role().strict_viewers);
        let strict = parse("policy: {strictViewers: true}\n").unwrap();
        assert!(strict.policy.role().strict_viewers);
        assert!(parse("policy: {strictViewer: true}\n").is_err());
    }

    #[test]
    fn further_ports_and_hsts_have_a_short_form_and_a_long_one() {
        let config = parse(
            "listen:\n  9000: 0.0.0.0:9000\n  9001: {address: '[::1]:9001', proxyProtocol: on}\n  443: {proxyProtocol: off}\nhsts: 300\n",
        );
        let config = config.unwrap();
        let more = |address: Option<&str>, proxy_protocol| {
            Listen(ListenMore {
                address: address.map(|it| it.parse().unwrap()),
                proxy_protocol,
            })
        };
        assert_eq!(config.listen[&9000], more(Some("0.0.0.0:9000"), None));
        assert_eq!(
            config.listen[&9001],
            more(Some("[::1]:9001"), Some(Switch::On))
        );
        assert_eq!(config.listen[&443], more(None, Some(Switch::Off)));
        assert_eq!(config.hsts, Some(Hsts::Seconds(300)));
        assert_eq!(
            parse("hsts: off\n").unwrap().hsts,
            Some(Hsts::Switch(Switch::Off))
        );
        assert!(parse("listen: {9000: {adress: '1.1.1.1:1'}}\n").is_err());
        assert!(parse("hsts: never\n").is_err());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let fault = parse("https: 127.0.0.1:1\nhtpps: 127.0.0.1:2\n").unwrap_err();
        let text = fault.to_string();
        assert!(text.starts_with("doorward.yaml:2: "), "{text}");
        assert!(text.contains("htpps"), "{text}");
    }
}
