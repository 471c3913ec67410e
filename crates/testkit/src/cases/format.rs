//! The shape of `case.yaml`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use policy::{NoSession, TokenFault};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A whole `case.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// What the case proves.
    pub about: String,
    /// Manifests, relative to the case; the case's own directory when empty.
    #[serde(default)]
    pub manifests: Vec<PathBuf>,
    /// Who may send a request, by name.
    #[serde(default)]
    pub sessions: BTreeMap<String, SessionCase>,
    /// What is sent, and what is to happen.
    #[serde(default)]
    pub requests: Vec<RequestCase>,
    /// Who connects where bytes are passed on, and what is to happen.
    #[serde(default)]
    pub connections: Vec<ConnectionCase>,
}

/// Who sends a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionCase {
    /// Somebody who signed in: a session cookie.
    Person(Person),
    /// A session cookie that stands for nobody.
    Absent(Absence),
    /// A token of the client's own.
    Bearer(Bearer),
}

/// Somebody who signed in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// `sub`; the e-mail unless given.
    pub user: Option<String>,
    /// E-mail.
    pub email: Option<String>,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Preferred user name.
    pub preferred_username: Option<String>,
    /// Key of the login proxy, `namespace/name`; the first one unless given.
    pub login: Option<String>,
    /// Further claims of the ID token.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// When the session ends, in seconds after now.
    #[serde(default = "hour")]
    pub lasts: i64,
}

fn hour() -> i64 {
    3600
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// No cookie.
    NoCookie,
    /// Never issued by this store.
    Unknown,
    /// Over.
    Expired,
    /// The store does not answer.
    StoreUnavailable,
}

/// A token of the client's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// Claims.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// What is wrong with its form or signature.
    pub fault: Option<Fault>,
    /// Where it lies.
    #[serde(default)]
    pub at: TokenPlace,
}

/// Where a token lies.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    /// A header, and the text before the token.
    Header(String, String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl Default for TokenPlace {
    fn default() -> Self {
        Self::Header("authorization".to_owned(), "Bearer ".to_owned())
    }
}

impl TokenPlace {
    /// The header that brings `token`, unless it lies in the query.
    pub fn header(&self, token: &str) -> Option<(String, String)> {
        match self {
            Self::Header(name, prefix) => Some((name.clone(), format!("{prefix}{token}"))),
            Self::Cookie(name) => Some(("cookie".to_owned(), format!("{name}={token}"))),
            Self::Query(_) => None,
        }
    }

    /// The target that brings `token`, if it lies there.
    pub fn target(&self, path: &str, token: &str) -> String {
        match self {
            Self::Query(name) => {
                let joint = if path.contains('?') { '&' } else { '?' };
                format!("{path}{joint}{name}={token}")
            }
            Self::Header(..) | Self::Cookie(_) => path.to_owned(),
        }
    }
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Not three parts.
    Malformed,
    /// `alg: none` and the like.
    AlgorithmRefused,
    /// An issuer that nobody configured.
    UnknownIssuer,
    /// Signed with a key that the issuer does not publish.
    UnknownKey,
    /// The signature does not fit.
    BadSignature,
    /// Over.
    Expired,
    /// Not yet.
    NotYetValid,
    /// For somebody else.
    AudienceNotAllowed,
    /// The issuer's keys cannot be had.
    KeysUnavailable,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestCase {
    /// A sentence.
    pub name: String,
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// `http` or `https`.
    #[serde(default = "https")]
    pub scheme: String,
    /// `Host` as sent.
    #[serde(default = "host")]
    pub host: String,
    /// Path and query as sent.
    pub path: String,
    /// Headers as sent, repeated ones included.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// `Gateway` port.
    #[serde(default = "gateway_port")]
    pub port: u16,
    /// TCP peer, and the client when nothing else is trusted.
    #[serde(default = "peer")]
    pub peer: IpAddr,
    /// Server name of the TLS handshake; none unless given.
    pub sni: Option<String>,
    /// SPIFFE id of a client certificate.
    pub principal: Option<String>,
    /// Name of a person or an absence.
    pub session: Option<String>,
    /// Name of a bearer.
    pub bearer: Option<String>,
    /// Name of another one, which lies elsewhere.
    pub also: Option<String>,
    /// Seconds after [`super::NOW`].
    #[serde(default)]
    pub after: i64,
    /// What is to happen.
    pub expect: Expectation,
}

impl RequestCase {
    /// Names of the tokens that it brings.
    pub fn bearers(&self) -> impl Iterator<Item = &String> {
        self.bearer.iter().chain(&self.also)
    }
}

/// One connection whose bytes are passed on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionCase {
    /// A sentence.
    pub name: String,
    /// `Gateway` port.
    pub port: u16,
    /// TCP peer.
    #[serde(default = "peer")]
    pub peer: IpAddr,
    /// Server name of the handshake that is passed on.
    pub sni: Option<String>,
    /// What is to happen.
    pub expect: ConnectionExpectation,
}

/// What is to happen to a connection. What is not given is not compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionExpectation {
    /// The outcome.
    pub outcome: ConnectionOutcome,
    /// `name.namespace:port` of the destination.
    pub destination: Option<String>,
    /// The route's object, `VirtualService namespace/name`.
    pub route: Option<String>,
    /// The object whose rule determined the outcome, or a named default.
    pub reason: Option<String>,
    /// Line of that rule.
    pub line: Option<u32>,
}

/// The outcome of a connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionOutcome {
    /// Its bytes are passed on.
    Forward,
    /// It is closed.
    Refuse(ConnectionRefusal),
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionRefusal {
    /// No route.
    NoRoute,
    /// A policy.
    Denied,
    /// A manifest cannot be read.
    Closed,
    /// The destination speaks HTTP, in this process.
    NotAStream,
}

impl ConnectionOutcome {
    /// The words of the log and of `explain`: the outcome, and why it is refused.
    pub fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Forward => ("forward", None),
            Self::Refuse(refusal) => {
                let why = match refusal {
                    ConnectionRefusal::NoRoute => "no_route",
                    ConnectionRefusal::Denied => "denied",
                    ConnectionRefusal::Closed => "closed",
                    ConnectionRefusal::NotAStream => "not_a_stream",
                };
                ("refuse", Some(why))
            }
        }
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn https() -> String {
    "https".to_owned()
}

fn host() -> String {
    "kubeflow.example.com".to_owned()
}

fn gateway_port() -> u16 {
    80
}

fn peer() -> IpAddr {
    [192, 0, 2, 7].into()
}

/// What is to happen. What is not given is not compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The outcome.
    pub outcome: ExpectedOutcome,
    /// `name.namespace:port` of the destination.
    pub destination: Option<String>,
    /// Path and query that the destination is asked for.
    pub path: Option<String>,
    /// Headers that the destination gets, a repeated one joined with `,`; `null` for one that it
    /// must not get.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Headers of the answer, as the route makes them; `null` for one that it must not have.
    #[serde(default)]
    pub answer_headers: BTreeMap<String, Option<String>>,
    /// How the log calls the user.
    pub user: Option<String>,
    /// The route's object, `VirtualService namespace/name`.
    pub route: Option<String>,
    /// The object whose rule determined the outcome, `AuthorizationPolicy namespace/name`, or a
    /// named default such as `no_route`.
    pub reason: Option<String>,
    /// Line of that rule.
    pub line: Option<u32>,
    /// HTTP status that a client sees; only runners over sockets compare it.
    pub status: Option<u16>,
}

/// The outcome.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedOutcome {
    /// To the destination.
    Forward,
    /// Sign in first.
    SignIn(SignInWay),
    /// Elsewhere.
    Redirect(RedirectTo),
    /// In this process.
    Serve(LocalService),
    /// No.
    Refuse(ExpectedRefusal),
}

/// How a client is told to sign in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SignInWay {
    /// The page.
    Page,
    /// To the issuer.
    Redirect,
    /// 401 for scripts.
    Unauthorized,
    /// 401 for proxies that ask.
    Plain,
    /// 403, and the session ends.
    NotAllowedIn,
}

/// A redirect.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RedirectTo {
    /// `Location`.
    pub location: String,
    /// Status.
    pub code: u16,
}

/// What answers in this process.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum LocalService {
    /// A login proxy.
    Login,
    /// An OpenID provider.
    Provider,
    /// KFAM.
    Kfam,
    /// The built-in application.
    Whoami,
    /// Whether this process can do its work.
    Ready,
    /// A file.
    Files,
    /// The route itself.
    Response,
    /// What a browser asks before a request to another origin.
    Preflight,
    /// A failure made on purpose.
    Fault,
}

/// A refusal.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedRefusal {
    /// The request means nothing: 400.
    Unreadable,
    /// No route.
    NoRoute,
    /// The host belongs to another chain than the handshake's.
    Misdirected,
    /// A policy.
    Denied,
    /// A token.
    Token(Fault),
    /// The query wants something else, or a token proves nothing.
    Forbidden,
    /// E-mail or group may not enter.
    NotAllowedIn,
    /// The authorizer cannot be asked; its status.
    AuthorizerUnavailable(u16),
    /// The session store does not answer.
    StoreUnavailable,
    /// A manifest cannot be read.
    Closed,
}

impl From<&Absence> for NoSession {
    fn from(absence: &Absence) -> Self {
        match absence {
            Absence::NoCookie => Self::NoCookie,
            Absence::Unknown => Self::Unknown,
            Absence::Expired => Self::Expired,
            Absence::StoreUnavailable => Self::StoreUnavailable,
        }
    }
}

impl From<Fault> for TokenFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed => Self::Malformed,
            Fault::AlgorithmRefused => Self::AlgorithmRefused,
            Fault::UnknownIssuer => Self::UnknownIssuer,
            Fault::UnknownKey => Self::UnknownKey,
            Fault::BadSignature => Self::BadSignature,
            Fault::Expired => Self::Expired,
            Fault::NotYetValid => Self::NotYetValid,
            Fault::AudienceNotAllowed => Self::AudienceNotAllowed,
            Fault::KeysUnavailable => Self::KeysUnavailable,
        }
    }
}

impl From<TokenFault> for Fault {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Malformed => Self::Malformed,
            TokenFault::AlgorithmRefused => Self::AlgorithmRefused,
            TokenFault::UnknownIssuer => Self::UnknownIssuer,
            TokenFault::UnknownKey => Self::UnknownKey,
            TokenFault::BadSignature => Self::BadSignature,
            TokenFault::Expired => Self::Expired,
            TokenFault::NotYetValid => Self::NotYetValid,
            TokenFault::AudienceNotAllowed => Self::AudienceNotAllowed,
            TokenFault::KeysUnavailable => Self::KeysUnavailable,
        }
    }
}
