//! One test: its steps against a gateway of its own.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorward_gateway::ListenAt;
use model::objects::{File, ObjectSet};
use model::status::Statuses;
use model::{Compiled, Role};

use super::ask::{self, Heard};
use super::cluster::Cluster;
use super::conditions;
use super::door::{Door, Wanted};
use super::echo::Echo;
use super::format::{Ask, Step, Test, full};
use super::pairs::Pairs;

/// Requests from which a share is told.
const MANY: usize = 600;

/// Backends by namespace and name of the application.
type Echoes = HashMap<(String, String), Echo>;

/// Runs a test; returns what is wrong.
pub(crate) async fn run(test: &Test, pairs: &Pairs) -> Vec<String> {
    let mut faults = Vec::new();
    let mut cluster = Cluster::of(test, pairs);
    for (number, step) in test.steps.iter().enumerate() {
        cluster.apply(step);
        let found = self::step(test, step, &cluster, pairs).await;
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("step {number}: {fault}")),
        );
    }
    faults
}

async fn step(test: &Test, step: &Step, cluster: &Cluster, pairs: &Pairs) -> Vec<String> {
    let Compiled {
        snapshot, statuses, ..
    } = compile(step, cluster);
    let mut faults = conditions::latest(step.generation, &statuses);
    for expected in &step.conditions {
        faults.extend(conditions::check(expected, &statuses).err());
    }
    faults.extend(
        step.routes
            .iter()
            .filter_map(|route| accepted(route, &statuses)),
    );
    let asks = !step.requests.is_empty() || step.websocket.is_some();
    if !asks {
        return faults;
    }
    let (echoes, services) = backends(test, cluster, pairs).await;
    let wanted = Wanted {
        upgrade: false,
        services,
        workers: 1,
        log: false,
        listen: further(step.port),
        ..Wanted::default()
    };
    let door = Door::onto(snapshot, wanted).await;
    for ask in &step.requests {
        let fault = request(&door, pairs, step, ask, &echoes).await.err();
        faults
            .extend(fault.map(|fault| format!("{} {}{}: {fault}", ask.method, ask.host, ask.path)));
    }
    if let Some(path) = &step.websocket {
        faults.extend(ask::web_socket(&door, path).await.err());
    }
    if let Some(first) = step.requests.first() {
        if !step.shares.is_empty() {
            faults.extend(shares(&door, pairs, step, first).await.err());
        }
        if let Some(header) = &step.names_itself {
            faults.extend(names_itself(&door, pairs, step, first, header).await.err());
        }
    }
    faults
}

/// A socket for a Gateway port that has none of its own.
fn further(port: u16) -> Vec<(u16, ListenAt)> {
    if matches!(port, 80 | 443) {
        return Vec::new();
    }
    let at = ListenAt {
        address: Some("127.0.0.1:0".parse().unwrap()),
        ..ListenAt::default()
    };
    vec![(port, at)]
}

fn compile(step: &Step, cluster: &Cluster) -> Compiled {
    let files = vec![File {
        name: "cluster.json".into(),
        text: cluster.manifests(),
    }];
    let gateways = step.gateway.as_ref().map(|name| {
        let (namespace, name) = full(name);
        vec![(namespace.into(), name.into())]
    });
    let role = Role {
        gateways,
        ..Role::default()
    };
    model::compile_as(&ObjectSet { files }, &role)
}

fn accepted(route: &str, statuses: &Statuses) -> Option<String> {
    let (kind, name) = route.split_once(' ').unwrap_or(("HTTPRoute", route));
    let (namespace, name) = full(name);
    let Some(status) = statuses.route(kind, namespace, name) else {
        return Some(format!("{route} has no status"));
    };
    let bad = status.parents.iter().find(|parent| {
        let holds = |kind| parent.condition(kind).is_some_and(|one| one.holds);
        !holds("Accepted") || !holds("ResolvedRefs")
    });
    match bad {
        Some(bad) => Some(format!("{route} is not accepted: {bad:?}")),
        None if status.parents.is_empty() => Some(format!("{route} has no parents")),
        None => None,
    }
}

/// A backend for each application, and where each Service leads.
async fn backends(
    test: &Test,
    cluster: &Cluster,
    pairs: &Pairs,
) -> (Echoes, Vec<(String, SocketAddr)>) {
    let mut echoes = Echoes::new();
    let mut services = Vec::new();
    let mut all = cluster.services();
    all.extend(test.endpoints.iter().map(|(service, app)| {
        let (namespace, name) = full(service);
        (namespace.to_owned(), name.to_owned(), app.clone())
    }));
    for (namespace, name, app) in all {
        let key = (namespace.clone(), app.clone());
        if !echoes.contains_key(&key) {
            let verifies = app.ends_with("-with-client-cert-validation");
            let has_tls = app.starts_with("tls-backend") || app == "tcp-backend";
            let tls = has_tls.then(|| pairs.backend(verifies));
            echoes.insert(key.clone(), Echo::start(&namespace, &app, tls).await);
        }
        services.push((format!("{name}.{namespace}"), echoes[&key].address));
    }
    (echoes, services)
}

/// A mark that no other request has.
fn mark() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("id={}.", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn marked(ask: &Ask, mark: &str) -> Ask {
    let with = |path: &str| {
        let join = if path.contains('?') { '&' } else { '?' };
        format!("{path}{join}{mark}")
    };
    let mut ask = ask.clone();
    ask.path = with(&ask.path);
    if let Some(path) = ask.seen.as_mut().and_then(|seen| seen.path.as_mut()) {
        *path = with(path);
    }
    ask
}

async fn request(
    door: &Door,
    pairs: &Pairs,
    step: &Step,
    ask: &Ask,
    echoes: &Echoes,
) -> Result<(), String> {
    let mark = mark();
    // A redirect shows its whole target, so nothing is added there.
    let ask = if ask.redirect.is_some() {
        ask.clone()
    } else {
        marked(ask, &mark)
    };
    let sent = ask::send(door, pairs, step.port, &ask).await;
    if ask.rejected {
        return match sent {
            Err(fault) if fault.starts_with("no handshake") => Ok(()),
            Err(fault) => Err(fault),
            Ok(_) => Err("the handshake was not refused".to_owned()),
        };
    }
    let heard = sent?;
    ask::compare(&ask, &heard, step.port)?;
    for name in &ask.mirrored {
        let (namespace, app) = full(name);
        let echo = &echoes[&(namespace.to_owned(), app.to_owned())];
        match ask.percent {
            None if !echo.meets(&mark).await => {
                return Err(format!("{name} got no copy"));
            }
            None => {}
            Some(percent) => copies(door, (pairs, step), &ask, echo, percent).await?,
        }
    }
    Ok(())
}

/// Counts copies of many requests.
async fn copies(
    door: &Door,
    (pairs, step): (&Pairs, &Step),
    ask: &Ask,
    echo: &Echo,
    percent: u32,
) -> Result<(), String> {
    let mark = mark();
    let ask = marked(ask, &mark);
    for _ in 0..MANY {
        let heard = ask::send(door, pairs, step.port, &ask).await?;
        ask::compare(&ask, &heard, step.port)?;
    }
    // Copies are sent beside the answers: those of the last requests may still be on their way.
    let mut count = echo.count(&mark);
    for _ in 0..50 {
        if within(count, MANY, percent).is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        count = echo.count(&mark);
    }
    within(count, MANY, percent)
}

/// Three standard deviations, as in the suite.
fn within(count: usize, of: usize, percent: u32) -> Result<(), String> {
    let (of, share) = (of as f64, f64::from(percent) / 100.0);
    let margin = 3.0 * (of * share * (1.0 - share)).sqrt();
    if (count as f64 - of * share).abs() <= margin {
        Ok(())
    } else {
        Err(format!("{count} of {of} instead of {percent} %"))
    }
}

async fn shares(door: &Door, pairs: &Pairs, step: &Step, ask: &Ask) -> Result<(), String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..MANY {
        let heard = ask::send(door, pairs, step.port, ask).await?;
        *counts.entry(backend(&heard)).or_default() += 1;
    }
    for (name, percent) in &step.shares {
        let count = counts.remove(name).unwrap_or_default();
        within(count, MANY, *percent).map_err(|fault| format!("{name}: {fault}"))?;
    }
    if counts.is_empty() {
        Ok(())
    } else {
        Err(format!("nobody was to ask {counts:?}"))
    }
}

async fn names_itself(
    door: &Door,
    pairs: &Pairs,
    step: &Step,
    ask: &Ask,
    header: &str,
) -> Result<(), String> {
    for _ in 0..100 {
        let heard = ask::send(door, pairs, step.port, ask).await?;
        let found = heard.seen_headers(header);
        if found != [backend(&heard)] {
            return Err(format!("{} was told {found:?}", backend(&heard)));
        }
    }
    Ok(())
}

fn backend(heard: &Heard) -> String {
    heard.seen("backend").to_owned()
}
