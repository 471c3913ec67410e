use std::sync::Mutex;

use model::objects::{File, ObjectSet};
use policy::membership::Caller;

use super::*;

const TREE: &str = "
apiVersion: kubeflow.org/v1
kind: Profile
metadata: {name: ann}
spec: {owner: {kind: User, name: ann@example.com}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: profiles-config, namespace: kubeflow}
data: {ADMIN: root@example.com, CD_REGISTRATION_FLOW: 'true'}
";

/// Keeps what it is given, unless it is told to fail.
#[derive(Default)]
struct Paper {
    fault: Option<WriteFault>,
    written: Mutex<Vec<Change>>,
}

impl ObjectWriter for Paper {
    fn write(&self, change: &Change) -> Result<(), WriteFault> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => {
                self.written.lock().unwrap().push(change.clone());
                Ok(())
            }
        }
    }
}

struct Bench {
    tenancy: Tenancy,
    paper: Arc<Paper>,
    kfam: Kfam,
}

impl Bench {
    fn new(fault: Option<WriteFault>) -> Self {
        let file = File {
            name: "a.yaml".into(),
            text: TREE.to_owned(),
        };
        let compiled = model::compile(&ObjectSet { files: vec![file] });
        let paper = Arc::new(Paper {
            fault,
            ..Paper::default()
        });
        Self {
            tenancy: compiled.snapshot.tenancy().clone(),
            kfam: Kfam::new(Arc::<Paper>::clone(&paper)),
            paper,
        }
    }

    fn ask(&self, user: &str, method: Method, path: &str, body: &str) -> (u16, String) {
        let mut request = Request::new(Bytes::copy_from_slice(body.as_bytes()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        if !user.is_empty() {
            request
                .extensions_mut()
                .insert(Caller::described(user, &[]));
        }
        self.send(&request)
    }

    fn send(&self, request: &Request<Bytes>) -> (u16, String) {
        let Answer { response, change } = self.kfam.answer(&self.tenancy, request);
        let written = self.paper.written.lock().unwrap();
        assert_eq!(change.as_ref(), written.last().filter(|_| change.is_some()));
        let text = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), text)
    }

    fn writes(&self) -> usize {
        self.paper.written.lock().unwrap().len()
    }
}

const BOB: &str = r#"{"user":{"kind":"User","name":"bob@example.com"},"referredNamespace":"ann","RoleRef":{"kind":"ClusterRole","name":"edit"}}"#;
const ANN: &str = "ann@example.com";

#[test]
fn every_endpoint_answers_whom_it_is_for() {
    let bench = Bench::new(None);
    let post = Method::POST;
    for (who, method, path, body, status) in [
        ("", Method::GET, "/kfam/", "", 200),
        ("", Method::GET, "/metrics", "", 200),
        ("", Method::GET, "/kfam/v1/bindings", "", 401),
        (ANN, Method::GET, "/kfam/v1/bindings", "", 200),
        (ANN, Method::GET, "/kfam/v1/bindings?role=owner", "", 400),
        (ANN, Method::PUT, "/kfam/v1/bindings", "", 405),
        (ANN, post.clone(), "/kfam/v1/bindings", BOB, 200),
        ("", post.clone(), "/kfam/v1/bindings", BOB, 401),
        (
            "eve@example.com",
            post.clone(),
            "/kfam/v1/bindings",
            BOB,
            403,
        ),
        (
            "bob@example.com",
            post.clone(),
            "/kfam/v1/bindings",
            BOB,
            403,
        ),
        (ANN, post.clone(), "/kfam/v1/bindings", "{", 400),
        (ANN, post.clone(), "/kfam/v1/bindings", "[]", 400),
        (ANN, Method::DELETE, "/kfam/v1/bindings", BOB, 404),
        (
            "eve@example.com",
            Method::DELETE,
            "/kfam/v1/bindings",
            BOB,
            403,
        ),
        (ANN, Method::DELETE, "/kfam/v1/profiles/ann", "", 200),
        (
            "eve@example.com",
            Method::DELETE,
            "/kfam/v1/profiles/ann",
            "",
            403,
        ),
        (
            "eve@example.com",
            Method::DELETE,
            "/kfam/v1/profiles/none",
            "",
            403,
        ),
        (
            "root@example.com",
            Method::DELETE,
            "/kfam/v1/profiles/none",
            "",
            404,
        ),
        (ANN, Method::GET, "/kfam/v1/profiles/ann", "", 405),
        (ANN, Method::GET, "/kfam/v1/profiles", "", 405),
        (
            ANN,
            Method::GET,
            "/kfam/v1/role/clusteradmin?user=root@example.com",
            "",
            403,
        ),
        (ANN, Method::GET, "/kfam/v2/bindings", "", 404),
        (ANN, Method::GET, "/kfam/v1/", "", 404),
    ] {
        let (seen, text) = bench.ask(who, method.clone(), path, body);
        assert_eq!(seen, status, "{method} {path} by `{who}`: {text}");
    }
    assert_eq!(bench.writes(), 2);
    let told = |who, query| {
        let path = format!("/kfam/v1/role/clusteradmin{query}");
        bench.ask(who, Method::GET, &path, "").1
    };
    assert_eq!(told("root@example.com", ""), "true");
    assert_eq!(told("root@example.com", "?user=ann%40example.com"), "false");
    assert_eq!(told(ANN, "?user=ann@example.com"), "false");
    let (_, metrics) = bench.ask("", Method::GET, "/metrics", "");
    assert!(
        metrics.contains("\nrequest_kf 27\n") && metrics.contains("\nrequest_kf_failure 18\n"),
        "{metrics}"
    );
}

#[test]
fn members_are_listed_in_kfams_form() {
    let bench = Bench::new(None);
    let (_, text) = bench.ask(ANN, Method::GET, "/kfam/v1/bindings?namespace=ann", "");
    assert_eq!(
        text,
        r#"{"bindings":[{"user":{"kind":"User","name":"ann@example.com"},"referredNamespace":"ann","RoleRef":{"kind":"ClusterRole","name":"admin"}}]}"#
    );
    for none in ["?namespace=other", "?role=edit", "?user=Ann@example.com"] {
        let (_, text) = bench.ask(ANN, Method::GET, &format!("/kfam/v1/bindings{none}"), "");
        assert_eq!(text, r#"{"bindings":[]}"#, "{none}");
    }
}

#[test]
fn keys_are_found_in_any_letter_case_but_not_twice() {
    let bench = Bench::new(None);
    let ask = |body: &str| bench.ask(ANN, Method::POST, "/kfam/v1/bindings", body).0;
    assert_eq!(
        ask(&BOB
            .replace("RoleRef", "roleRef")
            .replace("\"user\"", "\"USER\"")),
        200
    );
    assert_eq!(ask(&BOB.replace("\"edit\"", "\"kubeflow-view\"")), 200);
    assert_eq!(
        ask(&BOB.replacen(
            '{',
            r#"{"ROLEREF":{"kind":"ClusterRole","name":"view"},"#,
            1
        )),
        400
    );
    for (from, to) in [
        ("\"edit\"", "\"owner\""),
        ("\"edit\"", "5"),
        ("ClusterRole", "Role"),
        ("\"User\"", "\"Robot\""),
        ("\"ann\"", "\"\""),
        ("bob@example.com", "*"),
    ] {
        assert_eq!(ask(&BOB.replace(from, to)), 400, "{from} {to}");
    }
}

#[test]
fn a_profile_is_made_for_oneself_only() {
    let bench = Bench::new(None);
    let ask = |who: &str, owner: &str| {
        let body = format!(
            r#"{{"kind":"Profile","metadata":{{"name":"new"}},"spec":{{"owner":{{"kind":"User","name":"{owner}"}},"resourceQuotaSpec":{{}}}},"status":{{}}}}"#
        );
        bench.ask(who, Method::POST, "/kfam/v1/profiles", &body).0
    };
    assert_eq!(ask("eve@example.com", "eve@example.com"), 200);
    assert_eq!(ask("eve@example.com", "bob@example.com"), 403);
    assert_eq!(ask(ANN, ANN), 403);
    assert_eq!(ask("root@example.com", "bob@example.com"), 200);
    assert_eq!(ask("", "bob@example.com"), 401);
    assert_eq!(bench.writes(), 2);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let bench = Bench::new(None);
    let status = |site: &'static str| {
        let mut request = Request::new(Bytes::from_static(BOB.as_bytes()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/kfam/v1/bindings".parse().unwrap();
        request.extensions_mut().insert(Caller::described(ANN, &[]));
        let headers = request.headers_mut();
        headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        bench.send(&request).0
    };
    assert_eq!(
        [
            status("cross-site"),
            status("same-site"),
            status("same-origin")
        ],
        [403, 403, 200]
    );
}

#[test]
fn what_cannot_be_written_has_a_clear_status() {
    let object = model::names::ObjectRef::new("RoleBinding", "ann", "x");
    for (fault, status) in [
        (
            WriteFault::NotWritable(std::io::ErrorKind::ReadOnlyFilesystem),
            503,
        ),
        (WriteFault::Nowhere, 503),
        (WriteFault::Conflict(object), 409),
    ] {
        let bench = Bench::new(Some(fault.clone()));
        let (seen, text) = bench.ask(ANN, Method::POST, "/kfam/v1/bindings", BOB);
        assert_eq!((seen, text), (status, format!("{fault}\n")));
    }
}
