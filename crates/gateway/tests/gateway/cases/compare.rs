//! What happened beside what a case says.

use std::fmt::Debug;

use policy::TokenFault;
use serde_json::Value;
use testkit::cases::{
    Case, Expectation, ExpectedOutcome, ExpectedRefusal, Fault, LocalService, RequestCase,
    SignInWay,
};

use super::LOCAL;
use super::visit::Seen;

/// Compares, and keeps what differs.
pub(super) struct Compare<'a> {
    pub(super) case: &'a Case,
    pub(super) request: &'a RequestCase,
    pub(super) faults: &'a mut Vec<String>,
}

impl Compare<'_> {
    pub(super) fn same<T: PartialEq + Debug>(&mut self, what: &str, expected: T, got: T) {
        if expected != got {
            let (case, name) = (&self.case.name, &self.request.name);
            self.faults.push(format!(
                "{case}: {name}: {what}: expected {expected:?}, got {got:?}"
            ));
        }
    }

    pub(super) fn given<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        expected: Option<T>,
        got: Option<T>,
    ) {
        if expected.is_some() {
            self.same(what, expected, got);
        }
    }

    pub(super) fn answer(&mut self, seen: &Seen) {
        let expect = &self.request.expect;
        if let Some(status) = expect.status.or_else(|| usual_status(&expect.outcome)) {
            self.same("status", status, seen.status);
        }
        for (name, wanted) in &expect.answer_headers {
            let got = seen.joined(name);
            self.same(&format!("answer header `{name}`"), wanted.clone(), got);
        }
        match &expect.outcome {
            ExpectedOutcome::Forward => {
                let by = expect.destination.as_deref();
                let is_local = LOCAL
                    .iter()
                    .any(|local| seen.header("x-answered-by") == Some(local));
                self.same("answered in the process", false, is_local);
                self.received(by, "127.0.0.1", seen);
            }
            ExpectedOutcome::Serve(
                LocalService::Response | LocalService::Preflight | LocalService::Fault,
            ) => {}
            ExpectedOutcome::Serve(service) => {
                self.received(Some(word(*service)), "127.0.0.1", seen);
            }
            ExpectedOutcome::Redirect(to) => {
                self.same("location", Some(&*to.location), seen.header("location"));
            }
            ExpectedOutcome::SignIn(way) => {
                self.same("answered by", None, seen.header("x-answered-by"));
                match way {
                    SignInWay::Page => self.same("has a form", true, seen.text.contains("<form")),
                    SignInWay::Redirect => {
                        self.same("leads on", true, seen.header("location").is_some());
                    }
                    SignInWay::Unauthorized => self.same("body", "{}", &*seen.text),
                    SignInWay::Plain => self.same("body", "Unauthorized\n", &*seen.text),
                    SignInWay::NotAllowedIn => {
                        self.same("has a form", false, seen.text.contains("<form"));
                    }
                }
            }
            ExpectedOutcome::Refuse(refusal) => {
                self.same("answered by", None, seen.header("x-answered-by"));
                match refusal {
                    ExpectedRefusal::Denied => self.same("body", "RBAC: access denied", &seen.text),
                    ExpectedRefusal::Token(fault) => {
                        let fault = TokenFault::from(*fault);
                        self.same("body", fault.message(), &seen.text);
                        let challenged = seen.header("www-authenticate").is_some();
                        self.same("is challenged", true, challenged);
                    }
                    ExpectedRefusal::NoRoute => self.same("body", "", &seen.text),
                    _ => {}
                }
            }
        }
    }

    /// A refusal in a browser: the same, as a page that says what to tell the administrator.
    pub(super) fn page(&mut self, seen: &Seen, id: &str) {
        let expect = &self.request.expect;
        let status = expect.status.or_else(|| usual_status(&expect.outcome));
        self.same("page: status", status, Some(seen.status));
        let kind = seen.header("content-type");
        self.same("page: type", Some("text/html; charset=utf-8"), kind);
        for part in ["<main", "<h1>", "<title>", id] {
            self.same(part, true, seen.text.contains(part));
        }
    }

    /// What the destination told of the request.
    pub(super) fn received(&mut self, by: Option<&str>, client: &str, seen: &Seen) {
        let expect = &self.request.expect;
        self.given("answered by", by, seen.header("x-answered-by"));
        let Ok(told) = serde_json::from_str::<Value>(&seen.text) else {
            return self.same("told", "JSON", &seen.text);
        };
        self.given("path", expect.path.as_deref(), told["target"].as_str());
        let got = |name: &str| {
            let pairs = told["headers"].as_array().into_iter().flatten();
            let values: Vec<&str> = pairs
                .filter(|pair| pair[0] == *name)
                .filter_map(|pair| pair[1].as_str())
                .collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        for (name, wanted) in &expect.headers {
            self.same(&format!("header `{name}`"), wanted, &got(name));
        }
        let is_ours = matches!(by, Some("login" | "provider"));
        let client = is_ours.then(|| client.to_owned());
        self.same("client", client, got("x-envoy-external-address"));
    }

    pub(super) fn line(&mut self, seen: &Seen, line: Option<&Value>) {
        let Expectation {
            outcome,
            user,
            route,
            reason,
            line: place,
            ..
        } = &self.request.expect;
        let is_malformed = *outcome == ExpectedOutcome::Refuse(ExpectedRefusal::Unreadable);
        let Some(line) = line else {
            // A head that has no facts has no request id in the log either.
            return self.same("has a line", !is_malformed, false);
        };
        let text = |name: &str| line[name].as_str();
        self.same("line: outcome", Some(logged(outcome)), text("outcome"));
        let status = line["status"].as_u64();
        self.same("line: status", Some(u64::from(seen.status)), status);
        self.given("line: route", route.as_deref(), text("route"));
        let rule = text("policy").or(text("reason"));
        self.given("line: reason", reason.as_deref(), rule);
        let of_rule = text("place")
            .and_then(|place| place.rsplit(':').next())
            .and_then(|number| number.parse().ok());
        self.given("line: place", *place, of_rule);
        self.given("line: user", user.as_deref(), text("user"));
    }
}

pub(super) fn word(service: LocalService) -> &'static str {
    match service {
        LocalService::Login => "login",
        LocalService::Provider => "provider",
        LocalService::Kfam => "kfam",
        LocalService::Whoami => "whoami",
        LocalService::Ready => "ready",
        LocalService::Files => "files",
        LocalService::Response => "response",
        LocalService::Preflight => "preflight",
        LocalService::Fault => "fault",
    }
}

pub(super) fn logged(outcome: &ExpectedOutcome) -> &'static str {
    match outcome {
        ExpectedOutcome::Forward => "forward",
        ExpectedOutcome::SignIn(_) => "sign_in",
        ExpectedOutcome::Redirect(_) => "redirect",
        ExpectedOutcome::Serve(_) => "serve",
        ExpectedOutcome::Refuse(ExpectedRefusal::Unreadable) => "malformed",
        ExpectedOutcome::Refuse(_) => "refuse",
    }
}

pub(super) fn usual_status(outcome: &ExpectedOutcome) -> Option<u16> {
    Some(match outcome {
        ExpectedOutcome::Forward => 200,
        ExpectedOutcome::SignIn(SignInWay::Page | SignInWay::NotAllowedIn) => 403,
        ExpectedOutcome::SignIn(SignInWay::Redirect) => 302,
        ExpectedOutcome::SignIn(SignInWay::Unauthorized | SignInWay::Plain) => 401,
        ExpectedOutcome::Redirect(to) => to.code,
        // The route says.
        ExpectedOutcome::Serve(LocalService::Response | LocalService::Fault) => return None,
        ExpectedOutcome::Serve(_) => 200,
        ExpectedOutcome::Refuse(refusal) => match refusal {
            ExpectedRefusal::Unreadable => 400,
            ExpectedRefusal::NoRoute => 404,
            ExpectedRefusal::Misdirected => 421,
            ExpectedRefusal::Token(Fault::AudienceNotAllowed)
            | ExpectedRefusal::Denied
            | ExpectedRefusal::Forbidden
            | ExpectedRefusal::NotAllowedIn => 403,
            ExpectedRefusal::Token(_) => 401,
            ExpectedRefusal::AuthorizerUnavailable(status) => *status,
            ExpectedRefusal::StoreUnavailable | ExpectedRefusal::Closed => 503,
        },
    })
}
