//! What programs meet at the door of a model.

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, header};
use model::finding::codes;
use model::names::Timestamp;
use model::snapshot::{ComputedHost, Listener, ListenerProtocol};
use model::{Finding, Severity, Snapshot};

use crate::decide;
use crate::decision::{Outcome, SignIn, SignInAnswer};
use crate::request::{Request, RequestHead};
use crate::session::{Bearer, Session, TokenFault};

/// Models whose clients are sent to a sign-in page although they bring a token: programs do not
/// sign in, and take the page for an answer.
pub fn check_clients(snapshot: &Snapshot) -> Vec<Finding> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer token"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let computed = snapshot.computed_hosts().iter();
    computed
        .filter(|one| meets_a_page(one, snapshot, &headers))
        .map(finding)
        .collect()
}

fn meets_a_page(one: &ComputedHost, snapshot: &Snapshot, headers: &HeaderMap) -> bool {
    let host = one.host.as_str();
    let session = Session {
        // A token that nobody issued: whether a good one is let in is its issuer's affair.
        bearer: Bearer::Invalid(TokenFault::UnknownIssuer),
        ..Session::anonymous()
    };
    let listeners = snapshot.listeners().values();
    let is_served = |one: &&Listener| {
        let mut tables = one.virtual_hosts();
        tables.any(|hosts| hosts.routes(host).is_some())
    };
    let mut serving = listeners.filter(is_served);
    serving.any(|listener| {
        let head = RequestHead {
            method: &Method::POST,
            scheme: match listener.protocol {
                ListenerProtocol::Http => "http",
                ListenerProtocol::Tls | ListenerProtocol::Tcp => "https",
            },
            authority: host,
            target: "/v1/models/model:predict",
            headers,
            port: listener.port,
            peer: [192, 0, 2, 1].into(),
            client: [192, 0, 2, 1].into(),
            principal: None,
            sni: (listener.protocol != ListenerProtocol::Http).then_some(host),
            now: Timestamp::from_seconds(0),
            draw: 0,
        };
        let Ok(request) = Request::read(head, snapshot.normalization()) else {
            return false;
        };
        let how = match decide(&request, snapshot, &session).outcome {
            Outcome::SignIn(SignIn { how, .. }) => how,
            _ => return false,
        };
        matches!(how, SignInAnswer::Page | SignInAnswer::Redirect)
    })
}

fn finding(one: &ComputedHost) -> Finding {
    Finding {
        code: codes::MODEL_LOGIN,
        severity: Severity::Warning,
        place: Some(one.place.clone()),
        object: Some(one.object.clone()),
        field: String::new(),
        fault: format!(
            "a program that brings a token to `{}` is sent to a sign-in page",
            one.host
        ),
        remedy: "let the CUSTOM policy pass requests with `authorization` (`when: request.headers[authorization]`, `notValues: ['*']`), or add `^/v[12]/models` to `api_routes` of the login proxy"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::objects::ObjectSet;
    use testkit::cases;

    use super::*;

    fn stock(change: impl Fn(&mut String)) -> Vec<Finding> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/kubeflow-model");
        let case = cases::load_one(&directory).expect("the case loads");
        let mut objects: ObjectSet = case.objects().expect("the fixture is there");
        for file in &mut objects.files {
            change(&mut file.text);
        }
        check_clients(&model::compile(&objects).snapshot)
    }

    #[test]
    fn stock_kubeflow_lets_programs_bring_a_token() {
        assert_eq!(stock(|_| {}), []);
    }

    #[test]
    fn without_the_exemption_each_host_of_a_model_is_told() {
        let findings = stock(|text| {
            *text = text.replace(
                "key: request.headers[authorization]",
                "key: request.headers[x-none]",
            );
        });
        let hosts: Vec<&str> = findings.iter().map(|one| one.fault.as_str()).collect();
        assert_eq!(hosts.len(), 2, "{hosts:?}");
        assert!(
            hosts
                .iter()
                .any(|host| host.contains("`iris.team.example.com`"))
        );
        assert!(findings.iter().all(|one| one.code == codes::MODEL_LOGIN));
    }
}
