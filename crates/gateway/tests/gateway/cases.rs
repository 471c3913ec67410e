//! Every access case of the corpus over real sockets: what the client is answered, what the
//! destination receives, and what the log says.

mod asked;
mod call;
mod compare;
mod issuer;
mod visit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_gateway::{AuthorizerSettings, Local, ResolveRule, Settings};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use login::testing::SignedIn;
use login::{Keys, LoginProxy, Sessions};
use model::Snapshot;
use model::names::Timestamp;
use model::seams::Clock;
use model::snapshot::{Listener, ListenerProtocol};
use policy::decision::{Served, SignIn};
use serde_json::Value;
use testkit::cases::{
    Absence, Case, ExpectedOutcome, ExpectedRefusal, Fault, NOW, RequestCase, SessionCase,
};

use crate::door::{Answer, Counting, Door, Ground, free_ports};
use crate::upstream;
use compare::Compare;
use issuer::Issuer;
use visit::{Seen, visit};

/// What a gateway has to be like for a request to mean what its case says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Circumstances {
    /// Plain HTTP is served, not sent to HTTPS.
    plain: bool,
    after: i64,
    issuer_is_down: bool,
    store_is_down: bool,
}

/// A moment that does not pass.
struct Moment(Timestamp);

impl Clock for Moment {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The real sign-in pages; the other services tell who they are and what they received.
struct Pages(Vec<Arc<LoginProxy>>);

impl Local for Pages {
    fn serve(&self, what: &Served, request: Request<Bytes>) -> Answer {
        let who = match what {
            Served::Login(_) => "login",
            Served::Provider(_) => "provider",
            Served::Kfam => "kfam",
            Served::Whoami => "whoami",
            Served::Ready => "ready",
            Served::Files { .. } => "files",
            Served::Response(_) | Served::Leave(_) | Served::Consent(_) => "response",
            Served::Preflight => "preflight",
            Served::Fault(_) => "fault",
        };
        let (parts, body) = request.into_parts();
        let told = upstream::told(&parts, &body);
        Box::pin(async move { signed(who, told) })
    }

    fn sign_in(&self, sign_in: &SignIn, request: Parts) -> Answer {
        let (login, sign_in) = (Arc::clone(&self.0[sign_in.login]), sign_in.clone());
        Box::pin(async move { login.challenge(&request, &sign_in).await })
    }
}

fn signed<B>(who: &str, body: B) -> Response<B> {
    Response::builder()
        .header("x-answered-by", who)
        .body(body)
        .unwrap()
}

/// What [`Pages`] answer for.
const LOCAL: [&str; 5] = ["login", "provider", "kfam", "whoami", "response"];

/// Why a request of a case cannot be sent through a socket.
fn beyond_sockets(request: &RequestCase, snapshot: &Snapshot) -> Option<&'static str> {
    // The address that a case has unless it says otherwise; here it is the loopback's.
    let usual: std::net::IpAddr = [192, 0, 2, 7].into();
    if request.principal.is_some() {
        Some("no client certificate is asked for")
    } else if request.peer != usual {
        Some("a socket of this machine has this machine's address")
    } else if snapshot.listener(request.port).is_none() {
        Some("no socket stands for a port that no Gateway opens")
    } else if request.scheme == "https" && is_covered_elsewhere(request, snapshot) {
        Some("the HTTPS socket stands for another Gateway port for this host")
    } else {
        None
    }
}

/// Whether a Gateway port that ends TLS takes the host, and another one is meant.
fn is_covered_elsewhere(request: &RequestCase, snapshot: &Snapshot) -> bool {
    let takes = |listener: &Listener| {
        listener.protocol == ListenerProtocol::Tls
            && listener.port != request.port
            && listener.covers(&request.host)
    };
    snapshot.listeners().values().any(takes)
}

fn circumstances(case: &Case, request: &RequestCase) -> Circumstances {
    let defined = |name: &Option<String>| {
        let name = name.as_ref()?;
        case.file.sessions.get(name)
    };
    let issuer_is_down = match defined(&request.bearer) {
        Some(SessionCase::Bearer(bearer)) => bearer.fault == Some(Fault::KeysUnavailable),
        _ => false,
    };
    let store_is_down = matches!(
        defined(&request.session),
        Some(SessionCase::Absent(Absence::StoreUnavailable))
    );
    Circumstances {
        plain: request.scheme == "http",
        after: request.after,
        issuer_is_down,
        store_is_down,
    }
}

/// A destination for each one that the case names, and one for all others.
async fn destinations(case: &Case) -> Vec<ResolveRule> {
    let named: BTreeSet<&str> = case
        .file
        .requests
        .iter()
        .filter_map(|request| request.expect.destination.as_deref())
        .chain(["*"])
        .collect();
    let mut rules = Vec::new();
    for name in named {
        let who: Arc<str> = name.into();
        let (address, _) = upstream::answering(move |request: Request<Incoming>| {
            let who = Arc::clone(&who);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                signed(&who, Full::new(upstream::told(&parts, &body)))
            }
        })
        .await;
        rules.push(format!("{name}={address}").parse().unwrap());
    }
    rules
}

/// A gateway for some requests of one case, and the cookies that its people have.
struct Stage<'a> {
    case: &'a Case,
    door: Door,
    issuer: Arc<Issuer>,
    sessions: Sessions,
    cookie_name: String,
    now: Timestamp,
}

impl<'a> Stage<'a> {
    async fn set(case: &'a Case, wanted: Circumstances, resolve: Vec<ResolveRule>) -> Self {
        let snapshot = model::compile(&case.objects().unwrap()).snapshot;
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("sessions.db");
        let now = Timestamp::from_seconds(NOW + wanted.after);
        let clock: Arc<dyn Clock> = Arc::new(Moment(now));
        let issuer = Arc::new(Issuer::new(!wanted.issuer_is_down));
        let open = async || {
            let keys = Arc::new(Keys::new(issuer.clone(), Arc::clone(&clock)));
            let randomness = Arc::new(Counting::default());
            Sessions::open(&path, keys, Arc::clone(&clock), randomness)
                .await
                .unwrap()
        };
        // The gateway finds sessions in the file, as after a restart.
        let (kept, used) = (open().await, Arc::new(open().await));
        if wanted.store_is_down {
            login::testing::break_down(&used).await;
        }
        let logins = snapshot.logins().iter().map(|settings| {
            Arc::new(LoginProxy::new(
                Arc::clone(settings),
                Arc::clone(&used),
                Arc::clone(&clock),
                Arc::new(Counting::default()),
            ))
        });
        let local = Arc::new(Pages(logins.collect()));
        let cookie_name = snapshot.logins().first();
        let cookie_name = cookie_name.map_or_else(String::new, |it| it.cookie_name.to_string());
        let settings = Settings {
            https_upgrade: !wanted.plain,
            authorizer: AuthorizerSettings {
                http: Some("127.0.0.1:0".parse().unwrap()),
                grpc: Some("127.0.0.1:0".parse().unwrap()),
                ..AuthorizerSettings::default()
            },
            ..free_ports()
        };
        let ground = Ground {
            snapshot,
            local,
            sessions: used,
            clock,
            resolve,
            state,
        };
        Self {
            case,
            door: Door::stand(ground, settings, true),
            issuer,
            sessions: kept,
            cookie_name,
            now,
        }
    }

    /// The value of the session cookie that a request brings.
    async fn cookie(&self, request: &RequestCase) -> Option<String> {
        let name = request.session.as_ref()?;
        let snapshot = model::compile(&self.case.objects().unwrap()).snapshot;
        let absent = match &self.case.file.sessions[name] {
            SessionCase::Absent(absence) => Some(*absence),
            _ => None,
        };
        let person = match absent {
            None => {
                let session = testkit::cases::session(self.case, request, &snapshot).unwrap();
                let person = session.person.unwrap();
                SignedIn {
                    login: person.login().into(),
                    issuer: String::new(),
                    user: person.user().into(),
                    email: person.email().expect("people have an e-mail").into(),
                    groups: person.groups().iter().map(ToString::to_string).collect(),
                    preferred_username: person.preferred_username().map(Into::into),
                    id_token: self.issuer.token(person.token().unwrap().claims()),
                    access_token: None,
                    created: self.now,
                    expires: person.expires(),
                }
            }
            Some(Absence::NoCookie) => return None,
            Some(Absence::Unknown) => return Some("A".repeat(64)),
            Some(absence) => {
                let is_over = absence == Absence::Expired;
                let seconds = self.now.seconds() + if is_over { -1 } else { 3600 };
                SignedIn {
                    login: snapshot.logins()[0].key(),
                    issuer: String::new(),
                    user: "somebody".into(),
                    email: "somebody@example.com".into(),
                    groups: Vec::new(),
                    preferred_username: None,
                    id_token: self.issuer.token(&serde_json::Map::new()),
                    access_token: None,
                    created: self.now,
                    expires: Timestamp::from_seconds(seconds),
                }
            }
        };
        let value = login::testing::begin(&self.sessions, person).await.unwrap();
        Some(value)
    }

    /// The target and the header lines that a request has.
    async fn head(&self, request: &RequestCase, id: &str) -> (String, Vec<(String, String)>) {
        let mut lines = vec![
            ("host".into(), request.host.clone()),
            ("x-request-id".into(), id.into()),
            // Nobody outside says where a client is.
            ("x-envoy-external-address".into(), "203.0.113.9".into()),
        ];
        lines.extend(request.headers.iter().cloned());
        if let Some(value) = self.cookie(request).await {
            lines.push(("cookie".into(), format!("{}={value}", self.cookie_name)));
        }
        let mut path = request.path.clone();
        for name in request.bearers() {
            let SessionCase::Bearer(bearer) = &self.case.file.sessions[name] else {
                panic!("{name} is no bearer");
            };
            let snapshot = model::compile(&self.case.objects().unwrap()).snapshot;
            let claims = testkit::cases::token_claims(bearer, &snapshot);
            let token = self.issuer.bearer(claims, bearer.fault);
            lines.extend(bearer.at.header(&token));
            path = bearer.at.target(&path, &token);
        }
        (path, lines)
    }

    async fn send(&self, request: &RequestCase, id: &str) -> Seen {
        let (path, lines) = self.head(request, id).await;
        self.send_lines(request, &path, &lines).await
    }

    /// As a browser asks for a page.
    async fn browse(&self, request: &RequestCase, id: &str) -> Seen {
        let (path, mut lines) = self.head(request, id).await;
        let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
        lines.push(("accept".into(), accept.into()));
        self.send_lines(request, &path, &lines).await
    }

    async fn send_lines(
        &self,
        request: &RequestCase,
        path: &str,
        lines: &[(String, String)],
    ) -> Seen {
        let method = &request.method;
        if request.scheme == "http" {
            let stream = tokio::net::TcpStream::connect(self.door.http()).await;
            visit(stream.unwrap(), method, path, lines).await
        } else {
            let name = request.sni.as_deref().unwrap_or("localhost");
            let stream = self.door.tls_to(name, b"http/1.1").await;
            visit(stream, method, path, lines).await
        }
    }

    /// Log lines by request id.
    async fn close(self) -> HashMap<String, Value> {
        let log = self.door.log.clone();
        self.door.gateway.drain(Duration::from_secs(5)).await;
        let lines = log.lines().into_iter();
        lines
            .map(|line| (line["request_id"].as_str().unwrap().to_owned(), line))
            .collect()
    }
}

/// Whether it is refused for what it asks, not for being no request.
fn is_refusal(outcome: &ExpectedOutcome) -> bool {
    matches!(outcome, ExpectedOutcome::Refuse(refusal) if *refusal != ExpectedRefusal::Unreadable)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_happens_on_the_wire_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut faults = Vec::new();
    let (mut sent, mut skipped) = (0, Vec::new());
    for case in testkit::cases::load(&directory).unwrap() {
        let snapshot = model::compile(&case.objects().unwrap()).snapshot;
        let mut groups: BTreeMap<Circumstances, Vec<&RequestCase>> = BTreeMap::new();
        for request in &case.file.requests {
            if let Some(why) = beyond_sockets(request, &snapshot) {
                skipped.push(format!("{}: {}: {why}", case.name, request.name));
            } else {
                let group = groups.entry(circumstances(&case, request)).or_default();
                group.push(request);
            }
        }
        let resolve = destinations(&case).await;
        for (wanted, requests) in groups {
            let stage = Stage::set(&case, wanted, resolve.clone()).await;
            let mut answers = Vec::new();
            for (number, request) in requests.into_iter().enumerate() {
                let id = format!("case-{number}");
                let seen = stage.send(request, &id).await;
                sent += 1;
                if is_refusal(&request.expect.outcome) {
                    let id = format!("page-{number}");
                    let page = stage.browse(request, &id).await;
                    let mut compare = Compare {
                        case: &case,
                        request,
                        faults: &mut faults,
                    };
                    compare.page(&page, &id);
                }
                answers.push((request, id, seen));
            }
            let lines = stage.close().await;
            for (request, id, seen) in answers {
                let mut compare = Compare {
                    case: &case,
                    request,
                    faults: &mut faults,
                };
                compare.answer(&seen);
                compare.line(&seen, lines.get(&id));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(
        skipped.len() * 4 <= sent,
        "{sent} requests were sent, and these were not:\n{}",
        skipped.join("\n")
    );
}
