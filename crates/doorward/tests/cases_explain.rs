//! Every case of the corpus that flags can tell, through `doorward explain`.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64URL_NOPAD;
use policy::TokenFault;
use serde_json::{Map, Value, json};
use testkit::cases::{
    Absence, Bearer, Case, ConnectionCase, ConnectionExpectation, ExpectedOutcome, ExpectedRefusal,
    Fault, LocalService, Person, RequestCase, SessionCase, SignInWay, load, token_claims,
};

/// A moment after every run of these tests: cases happen at a moment of their own, the command
/// happens now.
const LATER: i64 = 4_102_444_800;

/// Why a request cannot be asked about with flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Untold {
    /// It happens at a moment of its own.
    Moment,
    /// A cookie that stands for nobody any more.
    Absence,
    /// A person of whom more is known than e-mail and groups.
    Person,
    /// A token that is bad in a way that only keys can tell.
    Token,
    /// A client certificate.
    Certificate,
}

#[test]
fn every_case_that_flags_can_tell_is_explained_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let cases = load(&directory).unwrap();
    let requests: Vec<_> = cases
        .iter()
        .flat_map(|case| {
            case.file
                .requests
                .iter()
                .map(move |request| (case, request))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let faults = Mutex::new(Vec::new());
    let untold = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((case, request)) = requests.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    match flags(case, request) {
                        Ok(flags) => {
                            let told = compare(request, &flags);
                            faults.lock().unwrap().extend(
                                told.into_iter().map(|fault| {
                                    format!("{}: {}: {fault}", case.name, request.name)
                                }),
                            );
                        }
                        Err(why) => untold.lock().unwrap().push(why),
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    let untold = untold.into_inner().unwrap();
    assert!(
        untold.len() * 4 < requests.len(),
        "too much is left out: {untold:?}"
    );
}

#[test]
fn every_connection_is_explained_as_its_case_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut faults = Vec::new();
    let mut asked = 0;
    for case in load(&directory).unwrap() {
        for connection in &case.file.connections {
            let mut flags = vec!["explain".to_owned(), "--format=json".to_owned()];
            let manifests = case.manifests.iter();
            flags.extend(manifests.map(|path| format!("--manifests={}", path.display())));
            flags.extend([
                "--connection".to_owned(),
                format!("--port={}", connection.port),
            ]);
            let name = connection.sni.iter();
            flags.extend(name.map(|name| format!("--server-name={name}")));
            asked += 1;
            let told = compare_connection(connection, &flags);
            let at = format!("{}: {}", case.name, connection.name);
            faults.extend(told.into_iter().map(|fault| format!("{at}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(asked >= 15, "{asked}");
}

/// What is otherwise than the case says.
fn compare_connection(connection: &ConnectionCase, flags: &[String]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(flags)
        .output()
        .unwrap();
    let Ok(told) = serde_json::from_slice::<Value>(&output.stdout) else {
        let said = String::from_utf8_lossy(&output.stderr);
        return vec![format!("no JSON: {said}")];
    };
    let ConnectionExpectation {
        outcome,
        destination,
        route,
        reason,
        line,
    } = &connection.expect;
    let (word, why) = outcome.words();
    let exit = if why.is_some() { 3 } else { 0 };
    let by = &told["reason"];
    let got = |member: &str| told.pointer(member).cloned().unwrap_or_default();
    let mut compared = vec![
        ("exit code", json!(exit), json!(output.status.code())),
        ("outcome", json!(word), got("/outcome")),
        ("refusal", json!(why), got("/refusal/kind")),
    ];
    for (field, expected, got) in [
        ("destination", destination, got("/destination")),
        ("route", route, got("/route/object")),
        (
            "reason",
            reason,
            by.get("policy").unwrap_or(&by["default"]).clone(),
        ),
    ] {
        compared.extend(expected.as_ref().map(|one| (field, json!(one), got)));
    }
    compared.extend(line.map(|line| ("line", json!(line), by["line"].clone())));
    let differ = compared
        .into_iter()
        .filter(|(_, expected, got)| expected != got);
    differ
        .map(|(field, expected, got)| format!("{field}: expected {expected}, got {got}"))
        .collect()
}

fn flags(case: &Case, request: &RequestCase) -> Result<Vec<String>, Untold> {
    if request.after != 0 {
        return Err(Untold::Moment);
    }
    if request.principal.is_some() {
        return Err(Untold::Certificate);
    }
    let mut flags = vec!["explain".to_owned(), "--format=json".to_owned()];
    for path in &case.manifests {
        flags.push(format!("--manifests={}", path.display()));
    }
    flags.extend([
        format!("--host={}", request.host),
        format!("--method={}", request.method),
        format!("--scheme={}", request.scheme),
        format!("--port={}", request.port),
    ]);
    if let Some(name) = &request.sni {
        flags.push(format!("--server-name={name}"));
    }
    for (name, value) in &request.headers {
        flags.push(format!("--header={name}={value}"));
    }
    let defined = |name: &String| &case.file.sessions[name];
    match request.session.as_ref().map(defined) {
        None => {}
        Some(SessionCase::Person(person)) => flags.extend(person_flags(person)?),
        Some(SessionCase::Absent(Absence::NoCookie)) => {}
        Some(SessionCase::Absent(_)) => return Err(Untold::Absence),
        Some(SessionCase::Bearer(_)) => panic!("{}: a bearer is no session", request.name),
    }
    let mut path = request.path.clone();
    for name in request.bearers() {
        let SessionCase::Bearer(bearer) = defined(name) else {
            panic!("{}: {name} is no bearer", request.name);
        };
        let token = compact(case, bearer)?;
        path = bearer.at.target(&path, &token);
        match bearer.at.header(&token) {
            Some((_, value)) if value == format!("Bearer {token}") => {
                flags.push(format!("--token={token}"));
            }
            Some((name, value)) => flags.push(format!("--header={name}={value}")),
            None => {}
        }
    }
    flags.push(format!("--path={path}"));
    Ok(flags)
}

fn person_flags(person: &Person) -> Result<Vec<String>, Untold> {
    let Person {
        user,
        email,
        groups,
        preferred_username,
        login,
        claims,
        lasts,
    } = person;
    let is_plain = user.is_none()
        && preferred_username.is_none()
        && login.is_none()
        && claims.is_empty()
        && *lasts > 0;
    let email = email.as_ref().filter(|_| is_plain).ok_or(Untold::Person)?;
    let groups = groups.iter().map(|group| format!("--group={group}"));
    Ok([format!("--user={email}")]
        .into_iter()
        .chain(groups)
        .collect())
}

fn compact(case: &Case, bearer: &Bearer) -> Result<String, Untold> {
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let with = |algorithm: &str, claims: Map<String, Value>| {
        format!(
            "{}.{}.c2ln",
            part(json!({ "alg": algorithm })),
            part(Value::Object(claims))
        )
    };
    match bearer.fault {
        Some(Fault::Malformed) => return Ok("e30.e30".to_owned()),
        Some(Fault::AlgorithmRefused) => return Ok(with("none", Map::new())),
        Some(_) => return Err(Untold::Token),
        None => {}
    }
    if ["exp", "nbf"]
        .iter()
        .any(|name| bearer.claims.contains_key(*name))
    {
        return Err(Untold::Moment);
    }
    let snapshot = model::compile(&case.objects().unwrap()).snapshot;
    let mut claims = token_claims(bearer, &snapshot);
    claims.insert("exp".to_owned(), json!(LATER));
    Ok(with("RS256", claims))
}

/// What is otherwise than the case says.
fn compare(request: &RequestCase, flags: &[String]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(flags)
        .output()
        .unwrap();
    let Ok(told) = serde_json::from_slice::<Value>(&output.stdout) else {
        return vec![format!(
            "no JSON: {}",
            String::from_utf8_lossy(&output.stderr)
        )];
    };
    let expect = &request.expect;
    let mut faults = Vec::new();
    let mut equal = |field: &str, expected: Value, got: &Value| {
        if expected != *got {
            faults.push(format!("{field}: expected {expected}, got {got}"));
        }
    };
    let (exit, outcome) = outcome(&expect.outcome);
    equal("exit code", json!(exit), &json!(output.status.code()));
    for (member, expected) in outcome {
        equal(
            member,
            expected,
            told.pointer(member).unwrap_or(&Value::Null),
        );
    }
    for (member, expected) in [
        ("/destination", &expect.destination),
        ("/path", &expect.path),
        ("/user", &expect.user),
        ("/route/object", &expect.route),
    ] {
        if let Some(expected) = expected {
            equal(
                member,
                json!(expected),
                &told.pointer(member).cloned().unwrap_or_default(),
            );
        }
    }
    if let Some(expected) = &expect.reason {
        let reason = &told["reason"];
        equal(
            "reason",
            json!(expected),
            reason.get("policy").unwrap_or(&reason["default"]),
        );
    }
    if let Some(line) = expect.line {
        equal("line", json!(line), &told["reason"]["line"]);
    }
    for (name, expected) in &expect.answer_headers {
        let got = header(&told["answerHeaders"], name);
        equal(
            &format!("answer header `{name}`"),
            json!(expected),
            &json!(got),
        );
    }
    // A page of the login proxy itself is no destination: nothing is passed on.
    if told.get("headers").is_some() {
        for (name, expected) in &expect.headers {
            let got = header(&told["headers"], name);
            // Proofs of identity are not shown; that they are there is.
            let is_hidden = got.as_ref().is_some_and(|got| got.contains("(not shown)"));
            if is_hidden && expected.is_some() {
                continue;
            }
            equal(&format!("header `{name}`"), json!(expected), &json!(got));
        }
    }
    faults
}

fn header(list: &Value, name: &str) -> Option<String> {
    let pairs = list.as_array().into_iter().flatten();
    let values: Vec<_> = pairs
        .filter(|pair| pair[0] == *name)
        .map(|pair| pair[1].as_str().unwrap())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The exit code, and what stands in the JSON.
fn outcome(expected: &ExpectedOutcome) -> (i32, Vec<(&'static str, Value)>) {
    match expected {
        ExpectedOutcome::Forward => (0, vec![("/outcome", json!("forward"))]),
        ExpectedOutcome::SignIn(way) => {
            let how = match way {
                SignInWay::Page => "page",
                SignInWay::Redirect => "redirect",
                SignInWay::Unauthorized => "unauthorized",
                SignInWay::Plain => "plain",
                SignInWay::NotAllowedIn => "not_allowed_in",
            };
            (
                4,
                vec![("/outcome", json!("sign_in")), ("/signIn/how", json!(how))],
            )
        }
        ExpectedOutcome::Redirect(redirect) => (
            0,
            vec![
                ("/outcome", json!("redirect")),
                ("/redirect/location", json!(redirect.location)),
                ("/redirect/code", json!(redirect.code)),
            ],
        ),
        ExpectedOutcome::Serve(service) => {
            let what = match service {
                LocalService::Login => "login",
                LocalService::Provider => "provider",
                LocalService::Kfam => "kfam",
                LocalService::Whoami => "whoami",
                LocalService::Ready => "ready",
                LocalService::Files => "files",
                LocalService::Response => "response",
                LocalService::Preflight => "preflight",
                LocalService::Fault => "fault",
            };
            (
                0,
                vec![("/outcome", json!("serve")), ("/served", json!(what))],
            )
        }
        ExpectedOutcome::Refuse(refusal) => {
            let mut members = vec![("/outcome", json!("refuse"))];
            members.extend(refused(*refusal));
            (3, members)
        }
    }
}

fn refused(refusal: ExpectedRefusal) -> Vec<(&'static str, Value)> {
    let kind = match refusal {
        ExpectedRefusal::Unreadable => "unreadable",
        ExpectedRefusal::NoRoute => "no_route",
        ExpectedRefusal::Misdirected => "misdirected",
        ExpectedRefusal::Denied => "denied",
        ExpectedRefusal::Token(_) => "token",
        ExpectedRefusal::Forbidden => "forbidden",
        ExpectedRefusal::NotAllowedIn => "not_allowed_in",
        ExpectedRefusal::AuthorizerUnavailable(_) => "authorizer_unavailable",
        ExpectedRefusal::StoreUnavailable => "store_unavailable",
        ExpectedRefusal::Closed => "closed",
    };
    let mut members = vec![("/refusal/kind", json!(kind))];
    match refusal {
        ExpectedRefusal::Token(fault) => {
            members.push(("/refusal/fault", json!(TokenFault::from(fault).message())));
        }
        ExpectedRefusal::AuthorizerUnavailable(status) => {
            members.push(("/refusal/status", json!(status)));
        }
        _ => {}
    }
    members
}
