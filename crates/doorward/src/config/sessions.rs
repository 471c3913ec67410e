//! Where sessions are kept, and for how long, as an operator says it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use login::{AddressFault, SessionSettings, StoreAddress};
use model::names::Secret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Flags about sessions, of `doorward up` and `doorward session`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SessionFlags {
    /// Where sessions are kept: `sqlite` (in the state directory), `cookie`, `postgres://…`, `redis://…`,
    /// `rediss://…`, `redis+sentinel://HOST,HOST/MASTER` or `redis+cluster://HOST,HOST`
    /// [default: sqlite]
    #[arg(
        long,
        value_name = "URL",
        env = "DOORWARD_SESSIONS",
        hide_env_values = true
    )]
    pub(crate) sessions: Option<String>,

    /// File with the secret that sessions in a shared store are sealed under, the same for every
    /// process. Repeatable: the first one seals, all open.
    #[arg(
        long = "session-secret-file",
        value_name = "FILE",
        env = "DOORWARD_SESSION_SECRET_FILES",
        value_delimiter = ','
    )]
    pub(crate) session_secret_files: Vec<PathBuf>,

    /// File with the password for the session store.
    #[arg(long, value_name = "FILE", env = "DOORWARD_SESSIONS_PASSWORD_FILE")]
    pub(crate) sessions_password_file: Option<PathBuf>,
}

/// `sessions: URL`, or more about them.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct SessionsMore {
    /// Where.
    pub(crate) store: Option<String>,
    pub(crate) secret_files: Vec<PathBuf>,
    pub(crate) password_file: Option<PathBuf>,
    /// PEM of the authorities that the store's certificate is checked with.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) grace: Option<Span>,
    pub(crate) idle: Option<Span>,
    pub(crate) lifetime: Option<Span>,
}

impl fmt::Debug for SessionsMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may have a password.
        f.write_str("SessionsMore(…)")
    }
}

/// Either form.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionsConfig(pub(crate) SessionsMore);

impl<'de> Deserialize<'de> for SessionsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = SessionsConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`sqlite`, a URL, or `store` and more")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SessionsConfig, E> {
                Ok(SessionsConfig(SessionsMore {
                    store: Some(text.to_owned()),
                    ..SessionsMore::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SessionsConfig, A::Error> {
                let more = SessionsMore::deserialize(MapAccessDeserializer::new(map));
                more.map(SessionsConfig)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// A span of time in words: `30s`, `5m`, `8h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        span(&text)
            .map(Span)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no span such as `5m` or `8h`")))
    }
}

/// One number with one unit.
fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// What is wrong with them. The operator is at fault; no text repeats an address.
#[derive(Debug)]
pub(crate) enum SessionsFault {
    /// The address.
    Address(AddressFault),
    /// A file that cannot be read.
    Unreadable(PathBuf, io::Error),
    /// A shared store without a secret.
    NoSecret,
    /// A secret that can be guessed.
    ShortSecret(PathBuf),
    /// A password or authorities, and no store that asks for them.
    NotForSqlite(&'static str),
    /// Nobody notes when a cookie was shown last.
    IdleInCookies,
    /// Over before it begins, or shorter than this.
    TooShort(&'static str, Duration),
}

impl fmt::Display for SessionsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(fault) => write!(
                f,
                "`sessions`: {fault}\nhelp: docs/sessions.md has an address of each kind"
            ),
            Self::Unreadable(path, error) => write!(
                f,
                "`sessions`: `{}` cannot be read: {error}\nhelp: name another file, or let this user read it",
                path.display()
            ),
            Self::NoSecret => f.write_str(
                "`sessions`: a store that is shared needs a secret that it does not have itself\nhelp: `openssl rand -base64 48 > FILE`, and name it with `--session-secret-file FILE` or in `DOORWARD_SESSION_SECRET_FILES` for every process",
            ),
            Self::ShortSecret(path) => write!(
                f,
                "`sessions`: the secret in `{}` is shorter than 32 bytes\nhelp: `openssl rand -base64 48` makes one",
                path.display()
            ),
            Self::NotForSqlite(what) => write!(
                f,
                "`sessions`: {what} is given, and no store on another machine is named\nhelp: leave it out, or name a store with `--sessions URL`"
            ),
            Self::IdleInCookies => f.write_str(
                "`sessions.idle`: nobody notes when a session in a cookie was shown last\nhelp: leave it out and shorten `sessions.lifetime`, or name a store with `--sessions URL`",
            ),
            Self::TooShort(what, least) => write!(
                f,
                "`sessions.{what}` is too short\nhelp: at least {} seconds, or leave it out",
                least.as_secs()
            ),
        }
    }
}

/// Sessions that end sooner than this end all the time.
const LEAST: Duration = Duration::from_secs(60);

/// The store is asked several times a second; a grace shorter than this ends at every stutter.
const LEAST_GRACE: Duration = Duration::from_secs(5);

impl SessionFlags {
    /// Flags and environment win over the file. `state` is where SQLite keeps them.
    pub(crate) fn settings(
        self,
        file: SessionsConfig,
        state: &Path,
    ) -> Result<SessionSettings, SessionsFault> {
        self.settings_or(file, SessionSettings::in_file(&state.join("sessions.db")))
    }

    /// As [`Self::settings`]; what nobody says is as in `usual`. Its secrets are for any store that
    /// is shared.
    pub(crate) fn settings_or(
        self,
        file: SessionsConfig,
        usual: SessionSettings,
    ) -> Result<SessionSettings, SessionsFault> {
        let Self {
            sessions,
            session_secret_files,
            sessions_password_file,
        } = self;
        let SessionsConfig(SessionsMore {
            store,
            secret_files,
            password_file,
            ca_file,
            grace,
            idle,
            lifetime,
        }) = file;
        let mut settings = usual;
        if let Some(address) = sessions.or(store) {
            settings.store = StoreAddress::parse(&address).map_err(SessionsFault::Address)?;
        }
        let is_shared = settings.store.is_shared();
        if let Some(path) = sessions_password_file.or(password_file) {
            if !settings.store.is_elsewhere() {
                return Err(SessionsFault::NotForSqlite("a password"));
            }
            let password = Secret::new(trimmed(&path)?);
            settings.store = settings.store.with_password(&password);
        }
        if let Some(path) = ca_file {
            if !settings.store.is_elsewhere() {
                return Err(SessionsFault::NotForSqlite("`caFile`"));
            }
            settings.store = settings.store.with_ca(read(&path)?);
        }
        let files = match session_secret_files.is_empty() {
            true => secret_files,
            false => session_secret_files,
        };
        if !files.is_empty() {
            settings.secrets.clear();
        }
        // SQLite has its own: who comes back to it need not take the files out.
        for path in files.into_iter().filter(|_| is_shared) {
            let secret = Secret::new(trimmed(&path)?);
            if secret.expose().len() < 32 {
                return Err(SessionsFault::ShortSecret(path));
            }
            settings.secrets.push(secret);
        }
        if is_shared && settings.secrets.is_empty() {
            return Err(SessionsFault::NoSecret);
        }
        let at_least = |what, span: Option<Span>, least| match span {
            Some(Span(span)) if span < least => Err(SessionsFault::TooShort(what, least)),
            span => Ok(span.map(|Span(span)| span)),
        };
        if let Some(grace) = at_least("grace", grace, LEAST_GRACE)? {
            settings.grace = grace;
        }
        settings.idle = at_least("idle", idle, LEAST)?;
        if settings.idle.is_some() && matches!(settings.store, StoreAddress::Cookie) {
            return Err(SessionsFault::IdleInCookies);
        }
        settings.lifetime = at_least("lifetime", lifetime, LEAST)?;
        Ok(settings)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SessionsFault> {
    fs::read(path).map_err(|error| SessionsFault::Unreadable(path.to_owned(), error))
}

/// Editors end a file with a line feed, which is no part of a secret.
fn trimmed(path: &Path) -> Result<Vec<u8>, SessionsFault> {
    let bytes = read(path)?;
    Ok(bytes.trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> SessionsConfig {
        #[derive(Deserialize)]
        struct File {
            sessions: SessionsConfig,
        }
        let file: File = serde_saphyr::from_str(text).unwrap();
        file.sessions
    }

    fn fault(text: &str) -> String {
        let flags = SessionFlags::default();
        let fault = flags.settings(config(text), Path::new("/state"));
        fault.unwrap_err().to_string()
    }

    #[test]
    fn the_short_form_and_the_long_one_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (first, second) = (
            file("first", &format!("{}\n", "a".repeat(40))),
            file("second", &"b".repeat(32)),
        );
        let password = file("password", "geheim\n");
        let text = format!(
            "sessions:\n  store: redis://redis.example/1\n  secretFiles: [{}, {}]\n  passwordFile: {}\n  grace: 90s\n  idle: 8h\n  lifetime: 7d\n",
            first.display(),
            second.display(),
            password.display(),
        );
        let flags = SessionFlags::default();
        let settings = flags.settings(config(&text), Path::new("/state")).unwrap();
        let store = StoreAddress::parse("redis://:geheim@redis.example/1").unwrap();
        let (StoreAddress::Redis(read), StoreAddress::Redis(store)) = (settings.store, store)
        else {
            panic!("redis");
        };
        assert_eq!(read, store);
        let secrets: Vec<_> = settings.secrets.iter().map(Secret::expose).collect();
        assert_eq!(secrets, [[b'a'; 40].as_slice(), [b'b'; 32].as_slice()]);
        assert_eq!(settings.grace, Duration::from_secs(90));
        assert_eq!(settings.idle, Some(Duration::from_secs(8 * 3600)));
        assert_eq!(settings.lifetime, Some(Duration::from_secs(7 * 86_400)));

        let flags = SessionFlags {
            sessions: Some("sqlite".into()),
            ..SessionFlags::default()
        };
        let mut text = config(&text);
        text.0.password_file = None;
        let settings = flags.settings(text, Path::new("/state")).unwrap();
        assert!(!settings.store.is_shared());
        assert_eq!(settings.file, Path::new("/state/sessions.db"));
        let short = config("sessions: sqlite\n");
        let flags = SessionFlags::default();
        assert!(flags.settings(short, Path::new("/state")).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        let fault_of = |text: &str| {
            let fault = fault(text);
            assert!(
                !fault.contains("geheim") && fault.contains("\nhelp: "),
                "{fault}"
            );
            fault
        };
        assert!(fault_of("sessions: mysql://:geheim@h\n").contains("begins with none of"));
        assert!(fault_of("sessions: redis://:geheim@h\n").contains("needs a secret"));
        let sqlite = "sessions: {store: sqlite, passwordFile: /x}\n";
        assert!(fault_of(sqlite).contains("a password is given"));
        assert!(
            fault_of("sessions: {secretFiles: [/nonexistent], store: 'redis://h'}\n")
                .contains("cannot be read")
        );
        assert!(fault_of("sessions: {grace: 1s}\n").contains("`sessions.grace`"));
        assert!(fault_of("sessions: {idle: 0m}\n").contains("`sessions.idle`"));
        for bad in [
            "",
            "5",
            "m",
            "-5m",
            "5 m",
            "1.5h",
            "99999999999999999999s",
            "5w",
        ] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
