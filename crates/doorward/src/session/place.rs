//! Where sessions are asked for: the store itself, or a running doorward.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use login::{Keys, Sessions, StoreError};
use model::seams::{Clock, Randomness};
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;
use url::form_urlencoded::Serializer;

use super::At;
use crate::config::{FileConfig, SettingsFault, default_state};
use crate::up::{IssuerTransport, SystemClock, SystemRandomness, session_as_json};

/// Asked for at once.
const PAGE: usize = 1000;

/// A running doorward answers in this time, or does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// So much of an answer is read.
const LONGEST: usize = 4 << 20;

/// Whose sessions are ended.
pub(super) enum Whose {
    Id(String),
    User(String),
    Everybody,
}

/// Where they are.
pub(super) enum Place {
    Store(Arc<Sessions>),
    Running(Url),
}

/// Why nothing was listed or ended.
#[derive(Debug)]
pub(super) enum PlaceFault {
    Runtime(io::Error),
    Settings(SettingsFault),
    /// No session was ever kept there.
    NoStore(PathBuf),
    Store(StoreError),
    /// An address that is no `http://` one with a host.
    Address,
    Unreached(Url, String),
    Refused(StatusCode, String),
    NoSuchSession(String),
    Output(io::Error),
}

impl fmt::Display for PlaceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "no runtime: {error}"),
            Self::Settings(fault) => fault.fmt(f),
            Self::NoStore(path) => write!(
                f,
                "`{}` does not exist\nhelp: name the state directory with `--state DIR`, another store with `--sessions URL`, or a running doorward with `--admin URL`",
                path.display()
            ),
            Self::Store(error) => error.fmt(f),
            Self::Address => f.write_str(
                "`--admin` is no `http://` address with a host\nhelp: try `--admin http://127.0.0.1:8081`",
            ),
            Self::Unreached(url, why) => write!(
                f,
                "`{url}` does not answer: {why}\nhelp: name the administration listener of a running doorward"
            ),
            Self::Refused(status, text) => write!(f, "{status}: {}", text.trim_end()),
            Self::NoSuchSession(id) => write!(
                f,
                "there is no session `{id}`\nhelp: `doorward session list` shows which there are"
            ),
            Self::Output(error) => write!(f, "nothing can be written: {error}"),
        }
    }
}

impl From<StoreError> for PlaceFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Place {
    pub(super) async fn open(at: At) -> Result<Self, PlaceFault> {
        let At {
            admin,
            state,
            config,
            sessions,
        } = at;
        if let Some(url) = admin {
            let is_usable = url.scheme() == "http" && url.host().is_some();
            return is_usable
                .then_some(Self::Running(url))
                .ok_or(PlaceFault::Address);
        }
        let file = match config {
            Some(path) => FileConfig::read(&path).map_err(SettingsFault::File),
            None => Ok(FileConfig::default()),
        };
        let file = file.map_err(PlaceFault::Settings)?;
        let state = state.or(file.state).or_else(default_state);
        let state = state.ok_or(PlaceFault::Settings(SettingsFault::NoStateDirectory))?;
        let settings = sessions
            .settings(file.sessions, &state)
            .map_err(|fault| PlaceFault::Settings(SettingsFault::Sessions(fault)))?;
        if !settings.store.is_shared() && !settings.file.exists() {
            return Err(PlaceFault::NoStore(settings.file));
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
        let keys = Keys::new(Arc::new(IssuerTransport::new()), Arc::clone(&clock));
        let sessions = Sessions::with(settings, Arc::new(keys), clock, randomness).await?;
        Ok(Self::Store(Arc::new(sessions)))
    }

    /// All sessions, or all of one user.
    pub(super) async fn list(&self, user: Option<&str>) -> Result<Vec<Value>, PlaceFault> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let (page, next) = match self {
                Self::Store(sessions) => {
                    let page = sessions.list(user, &after, PAGE).await?;
                    let told = page.sessions.iter().map(session_as_json).collect();
                    (told, page.next)
                }
                Self::Running(url) => list_there(url, user, &after).await?,
            };
            all.extend(page);
            match next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    /// Ends sessions; says how many.
    pub(super) async fn end(&self, whose: &Whose) -> Result<u64, PlaceFault> {
        match self {
            Self::Store(sessions) => Ok(match whose {
                Whose::Id(id) => match sessions.end_listed(id).await? {
                    true => 1,
                    false => return Err(PlaceFault::NoSuchSession(id.clone())),
                },
                Whose::User(user) => sessions.end_of(user).await? as u64,
                Whose::Everybody => sessions.end_all().await?,
            }),
            Self::Running(url) => end_there(url, whose).await,
        }
    }
}

async fn list_there(
    url: &Url,
    user: Option<&str>,
    after: &str,
) -> Result<(Vec<Value>, Option<String>), PlaceFault> {
    let mut query = Serializer::new(String::new());
    query.append_pair("after", after);
    if let Some(user) = user {
        query.append_pair("user", user);
    }
    let target = format!("/sessions?{}", query.finish());
    let mut answer = ask(url, Method::GET, &target).await?;
    let next = answer["next"].as_str().map(str::to_owned);
    match answer["sessions"].take() {
        Value::Array(sessions) => Ok((sessions, next)),
        _ => Err(unreadable(url)),
    }
}

async fn end_there(url: &Url, whose: &Whose) -> Result<u64, PlaceFault> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let target = match whose {
        Whose::Id(id) => format!("/sessions/{}", encoded(id)),
        Whose::User(user) => format!("/sessions?user={}", encoded(user)),
        Whose::Everybody => "/sessions?all=true".to_owned(),
    };
    match (ask(url, Method::DELETE, &target).await, whose) {
        (Err(PlaceFault::Refused(StatusCode::NOT_FOUND, _)), Whose::Id(id)) => {
            Err(PlaceFault::NoSuchSession(id.clone()))
        }
        (answer, _) => answer?["ended"].as_u64().ok_or_else(|| unreadable(url)),
    }
}

fn unreadable(url: &Url) -> PlaceFault {
    PlaceFault::Unreached(url.clone(), "the answer is not doorward's".to_owned())
}

async fn ask(url: &Url, method: Method, target: &str) -> Result<Value, PlaceFault> {
    let asked = tokio::time::timeout(PATIENCE, exchange(url, method, target)).await;
    let (status, body) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => return Err(PlaceFault::Unreached(url.clone(), why)),
        Err(_) => return Err(PlaceFault::Unreached(url.clone(), "too late".to_owned())),
    };
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body).into_owned();
        return Err(PlaceFault::Refused(status, text));
    }
    serde_json::from_slice(&body).map_err(|_| unreadable(url))
}

async fn exchange(url: &Url, method: Method, target: &str) -> Result<(StatusCode, Bytes), String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, format!("{host}:{port}"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await;
    let body = body.map_err(|error| error.to_string())?;
    Ok((head.status, body.to_bytes()))
}
