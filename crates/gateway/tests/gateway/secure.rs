//! TLS as each server of a port wants it: client certificates, versions, suites, server names.

use std::net::SocketAddr;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::{Authority, ask, block, config, config_with, connect};
use crate::door::{Door, Wanted, get2, whole};
use crate::upstream;

const ID: &str = "spiffe://cluster.local/ns/team/sa/client";
const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A server of port 443 for one host, with further TLS settings.
fn server(name: &str, host: &str, tls: &str) -> String {
    format!(
        "  - {{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: ['{host}'], tls: {{credentialName: {name}, {tls}}}}}\n"
    )
}

fn tree(servers: &str, secrets: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: door, namespace: istio-system}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n{servers}---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: team}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: app, namespace: team}}\nspec:\n  hosts: ['*']\n  gateways: [istio-system/door]\n  \
         http: [{{route: [{{destination: {{host: app}}}}]}}]\n---\n{secrets}"
    )
}

fn secret(name: &str, authority: &str, revoked: Option<&str>) -> String {
    let list = revoked.map(|list| format!("  ca.crl: {}", block(list, 4)));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData:\n  ca.crt: {}{}---\n",
        block(authority, 4),
        list.unwrap_or_default()
    )
}

async fn door(manifests: String) -> Door {
    Door::open(Wanted {
        manifests,
        app: Some(upstream::echo().await.0),
        ..Wanted::default()
    })
    .await
}

fn status(answer: std::io::Result<String>) -> String {
    answer.map_or_else(
        |_| "failed".to_owned(),
        |answer| answer.get(9..12).unwrap_or("nothing").to_owned(),
    )
}

#[tokio::test]
async fn each_server_asks_for_the_certificates_that_it_wants() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let servers = server("must", "must.example", "mode: MUTUAL")
        + &server("may", "may.example", "mode: OPTIONAL_MUTUAL")
        + &server(
            "named",
            "named.example",
            "mode: MUTUAL, subjectAltNames: [spiffe://x]",
        )
        + &server("lost", "lost.example", "mode: MUTUAL")
        + &server("garbled", "garbled.example", "mode: MUTUAL")
        + &server("all", "*", "mode: SIMPLE");
    let secrets = secret("must-cacert", &own.pem, Some(&own.revoked(7)))
        + &secret("may", &own.pem, None)
        + &secret("named-cacert", &own.pem, None)
        + &secret(
            "garbled-cacert",
            &own.pem,
            Some("not -----BEGIN X509 CRL-----"),
        );
    let door = door(tree(&servers, &secrets)).await;
    let at = door.https();
    let (good, revoked, foreign) = (own.client(ID, 1), own.client(ID, 7), other.client(ID, 1));
    let with = |pair| config(&door, pair, BOTH, b"http/1.1");
    let (none, good) = (with(None), with(Some(&good)));
    let (revoked, foreign) = (with(Some(&revoked)), with(Some(&foreign)));
    for (host, config, wanted) in [
        ("must.example", &none, "failed"),
        ("must.example", &foreign, "failed"),
        ("must.example", &revoked, "failed"),
        ("must.example", &good, "200"),
        ("may.example", &none, "200"),
        ("may.example", &foreign, "failed"),
        ("may.example", &revoked, "200"),
        ("may.example", &good, "200"),
        ("named.example", &good, "failed"),
        // Its authorities are nowhere: nobody gets in, and the others do not suffer.
        ("lost.example", &good, "failed"),
        // Who is revoked there cannot be read.
        ("garbled.example", &good, "failed"),
        ("any.example", &none, "200"),
        ("any.example", &good, "200"),
    ] {
        assert_eq!(status(ask(at, host, host, config).await), wanted, "{host}");
    }
    // Nobody comes in by another server's handshake, or by none.
    for (name, host) in [
        ("any.example", "must.example"),
        ("may.example", "must.example"),
        ("any.example", "may.example"),
        ("may.example", "any.example"),
        ("127.0.0.1", "must.example"),
    ] {
        assert_eq!(
            status(ask(at, name, host, &good).await),
            "421",
            "{name} {host}"
        );
    }
    assert_eq!(
        status(ask(at, "127.0.0.1", "any.example", &none).await),
        "200"
    );
}

#[tokio::test]
async fn an_application_is_told_of_the_certificate_and_never_by_the_client() {
    let own = Authority::new("own");
    let servers =
        server("must", "must.example", "mode: MUTUAL") + &server("all", "*", "mode: SIMPLE");
    let door = door(tree(&servers, &secret("must-cacert", &own.pem, None))).await;
    let pair = own.client(ID, 1);
    let with = |pair| config(&door, pair, BOTH, b"http/1.1");
    let answer = ask(
        door.https(),
        "must.example",
        "must.example",
        &with(Some(&pair)),
    )
    .await;
    let answer = answer.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!body.contains("liar"), "{body}");
    for part in [
        "Hash=",
        "Subject=\\\"CN=client\\\"",
        &format!("URI={ID}"),
        "DNS=client.example",
    ] {
        assert!(body.contains(part), "{part} {body}");
    }
    let answer = ask(door.https(), "x.example", "x.example", &with(None))
        .await
        .unwrap();
    assert!(!answer.contains("client-cert"), "{answer}");
}

#[tokio::test]
async fn a_policy_knows_the_client_by_its_certificate() {
    let own = Authority::new("own");
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\nspec:\n  selector: {matchLabels: {istio: ingressgateway}}\n  \
                  rules: [{from: [{source: {principals: [cluster.local/ns/team/sa/client]}}]}]\n---\n";
    let servers = server("may", "*", "mode: OPTIONAL_MUTUAL");
    let secrets = secret("may", &own.pem, None) + policy;
    let door = door(tree(&servers, &secrets)).await;
    let good = own.client(ID, 1);
    let somebody = own.client("spiffe://cluster.local/ns/team/sa/other", 2);
    let with = |pair| config(&door, pair, BOTH, b"http/1.1");
    for (config, wanted) in [
        (with(Some(&good)), "200"),
        (with(Some(&somebody)), "403"),
        (with(None), "403"),
    ] {
        let answer = ask(door.https(), "a.example", "a.example", &config).await;
        assert_eq!(status(answer), wanted);
    }
}

#[tokio::test]
async fn what_a_client_says_of_its_certificate_passes_only_where_the_mesh_says_so() {
    for (mode, passes) in [("SANITIZE_SET", false), ("ALWAYS_FORWARD_ONLY", true)] {
        let mesh = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data: {{mesh: 'defaultConfig: {{gatewayTopology: {{forwardClientCertDetails: {mode}}}}}'}}\n"
        );
        let door = door(tree(&server("all", "*", "mode: SIMPLE"), &mesh)).await;
        let config = config(&door, None, BOTH, b"http/1.1");
        let answer = ask(door.https(), "a.example", "a.example", &config).await;
        let answer = answer.unwrap();
        assert_eq!(answer.contains("By=liar"), passes, "{mode}: {answer}");
        assert!(!answer.contains(":liar:"), "{answer}");
    }
}

#[tokio::test]
async fn each_server_speaks_the_versions_and_suites_that_it_wants() {
    let servers = server(
        "new",
        "new.example",
        "mode: SIMPLE, minProtocolVersion: TLSV1_3",
    ) + &server(
        "old",
        "old.example",
        "mode: SIMPLE, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-CHACHA20-POLY1305, AES128-SHA]",
    ) + &server("all", "*", "mode: SIMPLE");
    let door = door(tree(&servers, "")).await;
    let met = async |name: &str, versions: &[&'static rustls::SupportedProtocolVersion]| {
        let config = config(&door, None, versions, b"h2");
        let stream = connect(door.https(), name, &config).await.ok()?;
        let session = stream.get_ref().1;
        Some((
            session.protocol_version().unwrap(),
            session.negotiated_cipher_suite().unwrap().suite(),
            session.negotiated_key_exchange_group().unwrap().name(),
        ))
    };
    use rustls::{CipherSuite, NamedGroup, ProtocolVersion};
    assert_eq!(met("new.example", &[&TLS12]).await, None);
    let (version, _, group) = met("new.example", BOTH).await.unwrap();
    assert_eq!(
        (version, group),
        (ProtocolVersion::TLSv1_3, NamedGroup::X25519MLKEM768)
    );
    assert_eq!(met("old.example", &[&TLS13]).await, None);
    let (version, suite, _) = met("old.example", BOTH).await.unwrap();
    let chacha = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
    assert_eq!((version, suite), (ProtocolVersion::TLSv1_2, chacha));
    for (versions, version) in [
        (&[&TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&TLS13], ProtocolVersion::TLSv1_3),
    ] {
        assert_eq!(met("any.example", versions).await.unwrap().0, version);
    }
}

#[tokio::test]
async fn the_cheapest_suite_is_taken_unless_the_client_has_no_aes() {
    use rustls::CipherSuite;
    let listed = "mode: SIMPLE, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256]";
    let servers = server("listed", "listed.example", listed) + &server("all", "*", "mode: SIMPLE");
    let door = door(tree(&servers, "")).await;
    let taken = async |name: &str, version, order: &[CipherSuite]| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let all = std::mem::take(&mut provider.cipher_suites);
        let by_name = |name: &CipherSuite| *all.iter().find(|it| it.suite() == *name).unwrap();
        provider.cipher_suites = order.iter().map(by_name).collect();
        let config = config_with(&door, provider, None, &[version], b"h2");
        let stream = connect(door.https(), name, &config).await.unwrap();
        stream
            .get_ref()
            .1
            .negotiated_cipher_suite()
            .unwrap()
            .suite()
    };
    let of13 = [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ];
    let [aes256, chacha20, aes128] = of13;
    assert_eq!(taken("any.example", &TLS13, &of13).await, aes128);
    let without_aes = [chacha20, aes128, aes256];
    assert_eq!(taken("any.example", &TLS13, &without_aes).await, chacha20);
    assert_eq!(taken("any.example", &TLS13, &[aes256]).await, aes256);
    let of12 = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ];
    let [aes128, aes256] = of12;
    assert_eq!(
        taken("any.example", &TLS12, &[aes256, aes128]).await,
        aes128
    );
    // The order of a list that somebody wrote is meant.
    assert_eq!(taken("listed.example", &TLS12, &of12).await, aes256);
}

#[tokio::test]
async fn what_was_begun_under_one_setting_does_not_go_on_under_another() {
    let own = Authority::new("own");
    let secrets = secret("a", &own.pem, None);
    let before = tree(&server("a", "a.example", "mode: OPTIONAL_MUTUAL"), &secrets);
    let after = tree(&server("a", "a.example", "mode: MUTUAL"), &secrets);
    let door = door(before).await;
    let without = config(&door, None, &[&TLS13], b"http/1.1");
    // The second one resumes the session of the first.
    for resumed in [None, Some(rustls::HandshakeKind::Resumed)] {
        let mut stream = connect(door.https(), "a.example", &without).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert!(
            resumed.is_none_or(|wanted| kind == Some(wanted)),
            "{kind:?}"
        );
        let request = b"GET /app/ HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(&answer[9..12], "200");
    }
    let open = config(&door, None, &[&TLS13], b"h2");
    let stream = connect(door.https(), "a.example", &open).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut send = async || {
        let mut request = get2("/app/");
        *request.uri_mut() = "https://a.example/app/".parse().unwrap();
        whole(sender.send_request(request).await.unwrap())
            .await
            .status()
            .as_u16()
    };
    assert_eq!(send().await, 200);
    door.follow(&after);
    assert_eq!(send().await, 421);
    assert_eq!(
        status(ask(door.https(), "a.example", "a.example", &without).await),
        "failed"
    );
    let pair = own.client(ID, 1);
    let with = config(&door, Some(&pair), &[&TLS13], b"http/1.1");
    assert_eq!(
        status(ask(door.https(), "a.example", "a.example", &with).await),
        "200"
    );
}

/// Opens as `config` does and returns what comes first, alerts included.
async fn first_answer(
    at: SocketAddr,
    name: &str,
    config: &std::sync::Arc<rustls::ClientConfig>,
) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(std::sync::Arc::clone(config), name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_challenge_and_a_broken_server_get_an_alert() {
    let servers = server("lost", "lost.example", "mode: MUTUAL");
    let door = door(tree(&servers, "")).await;
    let alert = |description| vec![21, 3, 3, 0, 2, 2, description];
    let challenge = config(&door, None, BOTH, b"acme-tls/1");
    let answer = first_answer(door.https(), "a.example", &challenge).await;
    assert_eq!(answer, alert(112));
    let usual = config(&door, None, BOTH, b"h2");
    assert_eq!(
        first_answer(door.https(), "lost.example", &usual).await,
        alert(40)
    );
    let mut plain = TcpStream::connect(door.https()).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
