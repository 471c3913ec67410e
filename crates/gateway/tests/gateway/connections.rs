//! Every connection of the corpus over real sockets: who greets the client, and what the log says.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use model::snapshot::{Listener, ListenerProtocol};
use serde_json::Value;
use testkit::cases::{Case, ConnectionCase, ConnectionExpectation, ConnectionOutcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::door::{Door, Wanted};
use crate::streams::anywhere;

/// Tells everybody who it is.
async fn greeting(who: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who = who.to_owned();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(who.as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    address
}

/// Why a connection of a case cannot be made here.
fn beyond_sockets(connection: &ConnectionCase) -> Option<&'static str> {
    let usual: IpAddr = [192, 0, 2, 7].into();
    if connection.sni.is_some() {
        Some("nobody here shakes hands through a door that passes handshakes on")
    } else if connection.peer != usual {
        Some("a socket of this machine has this machine's address")
    } else {
        None
    }
}

async fn door(case: &Case) -> Door {
    let snapshot = model::compile(&case.objects().unwrap()).snapshot;
    let expected = case.file.connections.iter();
    let named = expected.filter_map(|one| one.expect.destination.as_deref());
    let mut services = Vec::new();
    for destination in named.collect::<BTreeSet<_>>() {
        let name = destination.split(':').next().unwrap().to_owned();
        services.push((name, greeting(destination).await));
    }
    let is_tcp = |listener: &&Listener| listener.protocol == ListenerProtocol::Tcp;
    let tcp = snapshot.listeners().values().filter(is_tcp);
    let listen = tcp.map(|listener| (listener.port, anywhere())).collect();
    let wanted = Wanted {
        services,
        listen,
        workers: 1,
        ..Wanted::default()
    };
    Door::onto(snapshot, wanted).await
}

/// What a client is told before its connection is closed.
async fn told(at: SocketAddr) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("it ends")
        .unwrap();
    text
}

fn differences(expect: &ConnectionExpectation, told: &str, line: &Value) -> Vec<String> {
    let ConnectionExpectation {
        outcome,
        destination,
        route,
        reason,
        line: place,
    } = expect;
    let mut differences = Vec::new();
    let mut same = |what: &str, expected: Option<&str>, got: Option<&str>| {
        if expected != got {
            differences.push(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    };
    let greets = match outcome {
        ConnectionOutcome::Forward => destination.as_deref().unwrap_or(told),
        ConnectionOutcome::Refuse(_) => "",
    };
    same("told", Some(greets), Some(told));
    let text = |name: &str| line[name].as_str();
    let (word, why) = outcome.words();
    same("outcome", why.or(Some(word)), text("outcome"));
    if route.is_some() {
        same("route", route.as_deref(), text("route"));
    }
    if reason.is_some() {
        let rule = text("policy").or(text("reason"));
        same("reason", reason.as_deref(), rule);
    }
    if let Some(place) = place {
        let at = text("place").and_then(|place| place.rsplit(':').next());
        same("place", Some(&place.to_string()), at);
    }
    differences
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_of_the_corpus_is_passed_on_or_closed_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut faults = Vec::new();
    let mut made = 0;
    for case in testkit::cases::load(&directory).unwrap() {
        if case.file.connections.is_empty() {
            continue;
        }
        let door = door(&case).await;
        let connections = case.file.connections.iter();
        let mut all_told = Vec::new();
        for connection in connections.filter(|one| beyond_sockets(one).is_none()) {
            let told = told(door.gateway.address(connection.port).unwrap()).await;
            all_told.push((connection, told));
        }
        made += all_told.len();
        let log = door.log.clone();
        door.gateway.drain(Duration::from_secs(5)).await;
        let mut lines = log.lines();
        assert_eq!(lines.len(), all_told.len(), "{lines:#?}");
        for (connection, told) in &all_told {
            // They are written when a connection has ended, in any order.
            let at = lines
                .iter()
                .position(|line| line["port"] == connection.port);
            let line = lines.swap_remove(at.expect("each has a line"));
            let differences = differences(&connection.expect, told, &line).into_iter();
            faults.extend(differences.map(|what| format!("{}: {what}", connection.name)));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(made >= 15, "{made} connections were made");
}
