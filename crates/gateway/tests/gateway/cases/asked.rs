//! Every access case of the corpus, asked by a proxy as Envoy's `ext_authz` does, over HTTP and over
//! gRPC: who may pass, with which headers, and what everybody else is answered.

use std::collections::BTreeMap;
use std::path::Path;

use doorward_gateway::ResolveRule;
use model::Snapshot;
use model::snapshot::{Listener, ListenerProtocol};
use serde_json::Value;
use testkit::cases::{
    Case, ExpectedOutcome, ExpectedRefusal, LocalService, RequestCase, SignInWay,
};
use tokio::net::TcpStream;

use super::compare::{Compare, usual_status, word};
use super::visit::{Seen, visit};
use super::{Circumstances, Stage, call, circumstances};

/// How a proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Http,
    Grpc,
}

/// Why nobody who asks about a request can be told what its case says.
fn beyond_questions(
    case: &Case,
    request: &RequestCase,
    snapshot: &Snapshot,
    form: Form,
) -> Option<&'static str> {
    const ROUTES: &str = "routes are the proxy's: none is no refusal";
    // The gateway asks nobody to sign in where no route is, and denies those who have not; a proxy
    // that asks has a route.
    const UNROUTED: (&str, &str) = ("kubeflow-model", "which hides the dashboard there");
    if (&*case.name, &*request.name) == UNROUTED {
        return Some(ROUTES);
    }
    if request.principal.is_some() && form == Form::Http {
        return Some("a check over HTTP does not tell a client certificate");
    }
    if request.sni.is_some() && form == Form::Http {
        return Some("the handshake was with the proxy");
    }
    if Some(request.port) != entry(request, snapshot) {
        return Some("a check does not tell a port, and another one comes first for this host");
    }
    match &request.expect.outcome {
        ExpectedOutcome::Refuse(ExpectedRefusal::NoRoute) => Some(ROUTES),
        ExpectedOutcome::Serve(LocalService::Preflight | LocalService::Fault) => {
            Some("answers of routes are the proxy's")
        }
        _ => None,
    }
}

/// The Gateway port that a question is about.
fn entry(request: &RequestCase, snapshot: &Snapshot) -> Option<u16> {
    let (first, second) = if request.scheme == "http" {
        (80, 443)
    } else {
        (443, 80)
    };
    let host = request.host.split(':').next().unwrap_or_default();
    let covers = |listener: &Listener| {
        listener.protocol != ListenerProtocol::Tcp && listener.covers(&host.to_ascii_lowercase())
    };
    let ports = [first, second].into_iter();
    let all = ports.clone().chain(snapshot.listeners().keys().copied());
    let by_host = all
        .clone()
        .find(|port| snapshot.listener(*port).is_some_and(covers));
    by_host.or_else(|| {
        ports
            .clone()
            .find(|port| snapshot.listener(*port).is_some())
    })
}

/// Headers that say who somebody is, or are taken for it.
fn is_told(name: &str, snapshot: &Snapshot) -> bool {
    let mut identity = snapshot.identity_headers().iter();
    ["authorization", "cookie"].contains(&name) || identity.any(|known| known == name)
}

/// The value of a header after the proxy has done what it was told.
fn after(name: &str, sent: &[(String, String)], seen: &Seen) -> Option<String> {
    let set = seen.joined(name);
    let removed = seen.header("x-envoy-auth-headers-to-remove");
    let mut removed = removed.unwrap_or_default().split(", ");
    if set.is_some() || removed.any(|it| it == name) {
        return set;
    }
    let values = sent
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let values: Vec<&str> = values.map(|(_, value)| &**value).collect();
    (!values.is_empty()).then(|| values.join(","))
}

impl Stage<'_> {
    /// Asks about a request, and tells which headers its sender sent.
    async fn ask(
        &self,
        request: &RequestCase,
        id: &str,
        form: Form,
    ) -> (Seen, Vec<(String, String)>) {
        let (path, sent) = self.head(request, id).await;
        if form == Form::Grpc {
            let at = self.door.gateway.authorizer_grpc_address().unwrap();
            return (call::check(at, request, &path, &sent).await, sent);
        }
        let mut lines = vec![
            ("x-forwarded-proto".to_owned(), request.scheme.clone()),
            ("content-length".to_owned(), "0".to_owned()),
        ];
        // Envoy tells the client's address itself, and adds its own to the other header.
        let external = "x-envoy-external-address";
        lines.extend(sent.iter().filter(|(name, _)| name != external).cloned());
        lines.push((external.to_owned(), request.peer.to_string()));
        lines.push(("x-forwarded-for".to_owned(), "10.0.0.1".to_owned()));
        let at = self.door.gateway.authorizer_http_address().unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        let seen = visit(stream, &request.method, &path, &lines).await;
        (seen, sent)
    }
}

impl Compare<'_> {
    fn told(&mut self, seen: &Seen, sent: &[(String, String)], snapshot: &Snapshot, form: Form) {
        let expect = &self.request.expect;
        let may_pass = match &expect.outcome {
            ExpectedOutcome::Forward
            | ExpectedOutcome::Serve(
                LocalService::Kfam | LocalService::Whoami | LocalService::Response,
            ) => true,
            // A `Gateway` that redirects everything comes before any route, and routes are the
            // proxy's.
            ExpectedOutcome::Redirect(_) => expect.reason.as_deref() != Some("https_redirect"),
            ExpectedOutcome::SignIn(_) | ExpectedOutcome::Serve(_) | ExpectedOutcome::Refuse(_) => {
                false
            }
        };
        if may_pass {
            self.same("may pass", 200, seen.status);
            let headers = expect.headers.iter();
            for (name, wanted) in headers.filter(|(name, _)| is_told(name, snapshot)) {
                let got = after(name, sent, seen);
                self.same(&format!("header `{name}`"), wanted.clone(), got);
            }
            return self.nothing_is_left_out(seen, snapshot);
        }
        let status = expect.status.or_else(|| usual_status(&expect.outcome));
        let relayed = match status {
            Some(200) if form == Form::Http => Some(203),
            Some(500..) if form == Form::Http => Some(403),
            other => other,
        };
        self.same("status", relayed, Some(seen.status));
        match &expect.outcome {
            ExpectedOutcome::SignIn(SignInWay::Page) => {
                self.same("has a form", true, seen.text.contains("<form"));
            }
            ExpectedOutcome::SignIn(SignInWay::Redirect) => {
                self.same("leads on", true, seen.header("location").is_some());
            }
            ExpectedOutcome::SignIn(SignInWay::Unauthorized) => {
                self.same("body", "{}", &*seen.text);
            }
            ExpectedOutcome::SignIn(SignInWay::Plain) => {
                self.same("body", "Unauthorized\n", &*seen.text);
            }
            ExpectedOutcome::SignIn(SignInWay::NotAllowedIn) => {
                self.same("has a form", false, seen.text.contains("<form"));
            }
            ExpectedOutcome::Redirect(to) => {
                self.same("location", Some(&*to.location), seen.header("location"));
            }
            ExpectedOutcome::Serve(service) => {
                let client = self.request.peer.to_string();
                self.received(Some(word(*service)), &client, seen);
            }
            ExpectedOutcome::Refuse(ExpectedRefusal::Denied) => {
                self.same("body", "RBAC: access denied", &seen.text);
            }
            ExpectedOutcome::Refuse(_) | ExpectedOutcome::Forward => {}
        }
    }

    /// A proxy that is told nothing of a name leaves what its client sent under it.
    fn nothing_is_left_out(&mut self, seen: &Seen, snapshot: &Snapshot) {
        let removed = seen.header("x-envoy-auth-headers-to-remove");
        let removed: Vec<&str> = removed.unwrap_or_default().split(", ").collect();
        for name in snapshot.identity_headers() {
            let is_set = seen.header(name.as_str()).is_some();
            let is_removed = removed.contains(&name.as_str());
            self.same(
                &format!("`{name}` is set or removed"),
                true,
                is_set != is_removed,
            );
            let look_alike = name.as_str().replace('-', "_");
            if look_alike != name.as_str() {
                let is_removed = removed.contains(&&*look_alike);
                self.same(&format!("`{look_alike}` is removed"), true, is_removed);
            }
        }
    }

    fn asked_line(&mut self, line: Option<&Value>, form: Form) {
        let expect = &self.request.expect;
        let is_malformed = expect.outcome == ExpectedOutcome::Refuse(ExpectedRefusal::Unreadable);
        let Some(line) = line else {
            return self.same("has a line", !is_malformed, false);
        };
        let text = |name: &str| line[name].as_str();
        let frontend = match form {
            Form::Http => "ext_authz_http",
            Form::Grpc => "ext_authz_grpc",
        };
        self.same("line: frontend", Some(frontend), text("frontend"));
        self.given("line: route", expect.route.as_deref(), text("route"));
        self.given("line: user", expect.user.as_deref(), text("user"));
        if let ExpectedOutcome::Redirect(_) | ExpectedOutcome::Serve(_) = expect.outcome {
            // Why a route answers is not why the proxy may ask it to.
            return;
        }
        let rule = text("policy").or(text("reason"));
        self.given("line: reason", expect.reason.as_deref(), rule);
        let of_rule = text("place")
            .and_then(|place| place.rsplit(':').next())
            .and_then(|number| number.parse().ok());
        self.given("line: place", expect.line, of_rule);
    }
}

#[expect(
    clippy::print_stdout,
    reason = "rows that are not seen are counted, not forgotten"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_asks_is_told_what_every_case_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut faults = Vec::new();
    let mut asked: BTreeMap<Form, usize> = BTreeMap::new();
    let mut unseen: BTreeMap<(Form, &str), usize> = BTreeMap::new();
    for case in testkit::cases::load(&directory).unwrap() {
        let snapshot = model::compile(&case.objects().unwrap()).snapshot;
        let mut groups: BTreeMap<Circumstances, Vec<(Form, &RequestCase)>> = BTreeMap::new();
        for request in &case.file.requests {
            for form in [Form::Http, Form::Grpc] {
                if let Some(why) = beyond_questions(&case, request, &snapshot, form) {
                    *unseen.entry((form, why)).or_default() += 1;
                } else {
                    let group = groups.entry(circumstances(&case, request)).or_default();
                    group.push((form, request));
                }
            }
        }
        for (wanted, questions) in groups {
            let stage = Stage::set(&case, wanted, Vec::<ResolveRule>::new()).await;
            let mut answers = Vec::new();
            for (number, (form, request)) in questions.into_iter().enumerate() {
                let id = format!("case-{number}");
                let (seen, sent) = stage.ask(request, &id, form).await;
                answers.push((form, request, id, seen, sent));
                *asked.entry(form).or_default() += 1;
            }
            let lines = stage.close().await;
            for (form, request, id, seen, sent) in answers {
                let mut compare = Compare {
                    case: &case,
                    request,
                    faults: &mut faults,
                };
                compare.told(&seen, &sent, &snapshot, form);
                compare.asked_line(lines.get(&id), form);
            }
        }
    }
    println!("questions asked: {asked:?}; rows that no answer to a check can show:");
    for ((form, why), rows) in &unseen {
        println!("  {rows:4} {form:?}: {why}");
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    let (asked, rows): (usize, usize) = (asked.values().sum(), unseen.values().sum());
    assert!(rows * 3 <= asked, "{rows} are not seen: {unseen:?}");
}
