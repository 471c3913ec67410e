//! Servers of `Gateway`s: protocols, TLS modes, where certificates come from, and conflicts.

use super::*;
use crate::finding::codes;
use crate::snapshot::{CipherSuite, ClientAuth, ListenerProtocol, ServerTls, TlsVersion};

const PEM: &str = "-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\\n";
const PEM_BASE64: &str =
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
const LIST: &str = "-----BEGIN X509 CRL-----\\nAA==\\n-----END X509 CRL-----\\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\\n";

/// A Gateway with these servers, each `protocol hosts tls` on port 443.
fn servers(list: &[(&str, &str, &str)], more: &str) -> Compiled {
    let servers: String = list
        .iter()
        .enumerate()
        .map(|(index, (protocol, hosts, tls))| {
            format!(
                "  - {{port: {{number: 443, name: p{index}, protocol: {protocol}}}, hosts: [{hosts}], tls: {{{tls}}}}}\n"
            )
        })
        .collect();
    compile(&text(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: istio-system}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n{servers}---\n{more}"
    )))
}

fn secret(name: &str, entries: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData: {{{entries}}}\n---\n"
    )
}

/// Codes of findings about gateways and certificates.
fn codes_of(compiled: &Compiled) -> Vec<u16> {
    let findings = compiled.findings.iter();
    let codes = findings.map(|finding| finding.code.0);
    // Absent identities and redirects are not what is asked about.
    codes.filter(|code| ![207, 214].contains(code)).collect()
}

fn tls(compiled: &Compiled, host: &str) -> ServerTls {
    let listener = compiled.snapshot.listener(443).unwrap();
    (**listener.chain(host).unwrap().tls.as_ref().unwrap()).clone()
}

fn kind(compiled: &Compiled, host: &str) -> (&'static str, bool) {
    let listener = compiled.snapshot.listener(443).unwrap();
    let chain = listener.chain(host).unwrap();
    let kind = match &chain.serves {
        Serves::Http(_) => "http",
        Serves::Stream(_) => "stream",
        Serves::Nothing(_) => "nothing",
    };
    (kind, chain.tls.is_some())
}

#[test]
fn protocol_and_mode_say_what_is_done_with_a_connection() {
    for (protocol, mode, expected, codes) in [
        ("HTTPS", "mode: SIMPLE", ("http", true), &[][..]),
        ("https", "mode: SIMPLE", ("http", true), &[]),
        ("HTTPS", "mode: PASSTHROUGH", ("stream", false), &[213]),
        ("TLS", "mode: PASSTHROUGH", ("stream", false), &[213]),
        ("TLS", "mode: SIMPLE", ("stream", true), &[213]),
        ("TLS", "", ("stream", false), &[203, 213]),
        ("TLS", "mode: AUTO_PASSTHROUGH", ("nothing", false), &[204]),
        ("TLS", "mode: ISTIO_MUTUAL", ("nothing", false), &[204]),
        // A closed page says more than a connection that ends.
        ("HTTPS", "credentialName: c", ("http", true), &[203]),
        ("HTTPS", "mode: ISTIO_MUTUAL", ("http", true), &[204]),
        ("HTTPS", "mode: SIMPEL", ("http", true), &[208]),
        ("HTTPS", "mode: MUTUAL", ("nothing", false), &[807]),
        (
            "HTTPS",
            "mode: OPTIONAL_MUTUAL, credentialName: c",
            ("nothing", false),
            &[807, 801],
        ),
        (
            "HTTPS",
            "mode: PASSTHROUGH, credentialName: c",
            ("stream", false),
            &[210, 213],
        ),
    ] {
        let compiled = servers(&[(protocol, "a.com", mode)], "");
        assert_eq!(kind(&compiled, "a.com"), expected, "{protocol} {mode}");
        assert_eq!(codes_of(&compiled), codes, "{protocol} {mode}");
        let protocol = compiled.snapshot.listener(443).unwrap().protocol;
        assert_eq!(protocol, ListenerProtocol::Tls);
    }
}

#[test]
fn a_server_names_its_certificate_in_one_way() {
    for (tls, codes) in [
        (
            "credentialName: c, serverCertificate: a, privateKey: b",
            &[208][..],
        ),
        ("credentialName: c, credentialNames: [a, b]", &[208]),
        ("credentialNames: [a, b, c]", &[208]),
        ("serverCertificate: a", &[208]),
        ("maxProtocolVersion: TLSV1_1", &[208]),
        (
            "minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2",
            &[208],
        ),
        ("minProtocolVersion: SSLV3", &[208]),
        ("minProtocolVersion: TLSV1_0", &[210]),
        ("caCrl: /x", &[210]),
    ] {
        let compiled = servers(&[("HTTPS", "a.com", &format!("mode: SIMPLE, {tls}"))], "");
        assert_eq!(codes_of(&compiled), codes, "{tls}");
    }
    let pair = format!("tls.crt: \"{PEM}\", tls.key: \"{KEY}\"");
    let both = secret(
        "rsa",
        &pair.replace("AA==\\n-----END C", "BB==\\n-----END C"),
    ) + &secret("ec", &pair);
    let compiled = servers(
        &[("HTTPS", "a.com", "mode: SIMPLE, credentialNames: [rsa, ec]")],
        &both,
    );
    let names = compiled.snapshot.certificates().iter();
    let names: Vec<_> = names
        .map(|one| (&*one.object.name, one.hosts.len()))
        .collect();
    assert_eq!(names, [("rsa", 1), ("ec", 1)]);
    let mounted = secret("istio-ingressgateway-certs", &pair);
    let files = "mode: SIMPLE, serverCertificate: /etc/istio/ingressgateway-certs/tls.crt, privateKey: /etc/istio/ingressgateway-certs/tls.key";
    let compiled = servers(&[("HTTPS", "a.com", files)], &mounted);
    assert_eq!(
        &*compiled.snapshot.certificates()[0].object.name,
        "istio-ingressgateway-certs"
    );
}

#[test]
fn versions_and_suites_are_those_that_are_spoken() {
    let tls = |text: &str| tls(&servers(&[("HTTPS", "a.com", text)], ""), "a.com");
    assert_eq!(tls("mode: SIMPLE"), ServerTls::default());
    let wanted = ServerTls {
        min: TlsVersion::Tls12,
        max: TlsVersion::Tls12,
        suites: vec![CipherSuite::RsaAes256, CipherSuite::EcdsaAes128],
        client: ClientAuth::None,
    };
    let text = "mode: SIMPLE, minProtocolVersion: TLSV1_1, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384, ECDHE-RSA-AES256-GCM-SHA384, AES128-SHA, NONE, ECDHE-ECDSA-AES128-GCM-SHA256]";
    assert_eq!(tls(text), wanted);
    assert_eq!(
        tls("mode: SIMPLE, cipherSuites: [AES128-SHA]"),
        ServerTls::default()
    );
    assert_eq!(
        tls("mode: SIMPLE, cipherSuites: [ALL]"),
        ServerTls::default()
    );
}

#[test]
fn the_authorities_of_clients_stand_where_istio_looks_for_them() {
    let trust = |tls: &str, secrets: &str| {
        let compiled = servers(
            &[("HTTPS", "a.com", &format!("mode: MUTUAL, {tls}"))],
            secrets,
        );
        let listener = compiled.snapshot.listener(443).unwrap();
        let tls = listener.chain("a.com").unwrap().tls.clone();
        tls.and_then(|tls| match &tls.client {
            ClientAuth::Required(trust) => {
                Some((trust.object.name.to_string(), trust.revoked.is_some()))
            }
            // Closed with a page that says so.
            _ => {
                let hosts = virtual_hosts(listener, "a.com");
                let route = &hosts.routes("a.com").unwrap()[0];
                assert!(matches!(route.action, RouteAction::Closed(_)));
                None
            }
        })
    };
    let own = |name: &str, entries: &str| secret(name, entries);
    let authority = format!("ca.crt: \"{PEM}\"");
    let found = |name: &str, list| Some((name.to_owned(), list));
    assert_eq!(
        trust("credentialName: c", &own("c", &authority)),
        found("c", false)
    );
    let both =
        own("c", &authority) + &own("c-cacert", &format!("cacert: \"{PEM}\", crl: \"{LIST}\""));
    assert_eq!(trust("credentialName: c", &both), found("c-cacert", true));
    // The list that stands beside the other key is not the one.
    let mixed = own("c", &format!("ca.crt: \"{PEM}\", crl: \"{LIST}\""));
    assert_eq!(trust("credentialName: c", &mixed), found("c", false));
    assert_eq!(
        trust(
            "credentialName: c, caCertCredentialName: d",
            &own("d", &authority)
        ),
        found("d", false)
    );
    let mounted = own(
        "istio-ingressgateway-ca-certs",
        &format!("x.pem: \"{PEM}\", l: \"{LIST}\""),
    );
    let files = "serverCertificate: a, privateKey: b, caCertificates: /etc/istio/ingressgateway-ca-certs/x.pem, caCrl: /etc/istio/ingressgateway-ca-certs/l";
    assert_eq!(
        trust(files, &mounted),
        found("istio-ingressgateway-ca-certs", true)
    );
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: istio-system}}\ndata: {{ca.crt: \"{PEM}\"}}\n---\n"
    );
    assert_eq!(
        trust("caCertCredentialName: 'configmap://istio-system/m'", &map),
        found("m", false)
    );
    for (tls, secrets) in [
        ("credentialName: c", own("c", "ca.crt: \"\"")),
        ("credentialName: c", own("c", "ca.crt: nothing")),
        (
            "credentialName: c",
            own("c", &format!("{authority}, ca.crl: nothing")),
        ),
        (
            "credentialName: 'kubernetes://other/c'",
            own("c", &authority),
        ),
        ("caCertCredentialName: 'configmap://other/m'", map.clone()),
        // Two that stand there with different content are none, and so is what one of them hides.
        (
            "caCertCredentialName: 'configmap://istio-system/m'",
            map.clone() + &map.replace("ca.crt", "ca"),
        ),
        (
            "credentialName: c",
            own("c", &authority)
                + &own("c-cacert", &authority)
                + &own("c-cacert", &format!("{authority}, x: y")),
        ),
        // A list of the revoked that is no text must not be as if there were none.
        (
            "credentialName: c",
            own("c", "").replace(
                "stringData: {}",
                &format!("data: {{ca.crt: {PEM_BASE64}, ca.crl: /w==}}"),
            ),
        ),
        (
            "serverCertificate: a, privateKey: b, caCertificates: /somewhere/else",
            mounted.clone(),
        ),
        ("credentialName: c, caCrl: /x", own("c", &authority)),
        (
            "credentialName: c, verifyCertificateSpki: [short]",
            own("c", &authority),
        ),
        (
            "credentialName: c, verifyCertificateHash: ['E0:F3']",
            own("c", &authority),
        ),
    ] {
        assert_eq!(trust(tls, &secrets), None, "{tls} {secrets}");
    }
}

#[test]
fn what_is_listed_of_clients_is_read() {
    let spki = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let hash = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
    let text = format!(
        "mode: OPTIONAL_MUTUAL, credentialName: c, subjectAltNames: [spiffe://a], verifyCertificateSpki: [{spki}], verifyCertificateHash: ['{hash}']"
    );
    let own = secret("c", &format!("ca.crt: \"{PEM}\""));
    let ClientAuth::Optional(trust) =
        tls(&servers(&[("HTTPS", "a.com", &text)], &own), "a.com").client
    else {
        panic!("it is optional");
    };
    assert_eq!(*trust.names, ["spiffe://a".into()]);
    assert_eq!(trust.keys, trust.certificates);
    assert_eq!(trust.keys[0][..2], [0xe3, 0xb0]);
}

/// Servers of port 80, then 443, and which of them are left.
fn left(list: &[(u16, &str, &str, &str)]) -> (Vec<String>, usize) {
    let servers: String = list
        .iter()
        .enumerate()
        .map(|(index, (port, protocol, hosts, tls))| {
            format!(
                "  - {{port: {{number: {port}, name: p{index}, protocol: {protocol}}}, hosts: [{hosts}], tls: {{{tls}}}}}\n"
            )
            .replace(", tls: {}", "")
        })
        .collect();
    let compiled = compile(&text(&format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g, namespace: team}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n{servers}"
    )));
    let listeners = compiled.snapshot.listeners().values();
    let names = listeners.flat_map(|listener| listener.chains());
    let names = names.map(|chain| {
        let hosts: Vec<_> = chain.hosts.iter().map(ToString::to_string).collect();
        format!(
            "{} {}",
            chain.name.trim_end_matches(".g.team"),
            hosts.join(" ")
        )
    });
    let conflicts = compiled.findings.iter();
    let conflicts = conflicts.filter(|finding| finding.code == codes::SERVER_CONFLICT);
    (names.collect(), conflicts.count())
}

#[test]
fn servers_of_one_port_agree_or_the_later_one_is_left_out() {
    let simple = "mode: SIMPLE, credentialName: c";
    let check = |list: &[(u16, &str, &str, &str)], names: &[&str], conflicts: usize| {
        assert_eq!(
            left(list),
            (names.iter().map(|it| (*it).to_owned()).collect(), conflicts),
            "{list:?}"
        );
    };
    check(
        &[(80, "HTTP", "a.com", ""), (80, "GRPC", "b.com", "")],
        &["http.80 a.com b.com"],
        0,
    );
    check(
        &[(80, "HTTP", "a.com", ""), (80, "HTTPS", "b.com", simple)],
        &["http.80 a.com"],
        1,
    );
    check(
        &[(80, "HTTP", "a.com", ""), (80, "TCP", "b.com", "")],
        &["http.80 a.com"],
        1,
    );
    check(
        &[(80, "TCP", "a.com", ""), (80, "HTTP", "b.com", "")],
        &["tcp.80.p0 a.com"],
        1,
    );
    check(
        &[(80, "TCP", "a.com", ""), (80, "MONGO", "b.com", "")],
        &["tcp.80.p0 a.com"],
        1,
    );
    check(
        &[(443, "HTTPS", "a.com", simple), (443, "HTTP", "b.com", "")],
        &["https.443.p0 a.com"],
        1,
    );
    check(
        &[
            (443, "HTTPS", "a.com", simple),
            (443, "TLS", "b.com", "mode: PASSTHROUGH"),
        ],
        &["https.443.p0 a.com", "tls.443.p1 b.com"],
        0,
    );
    // The whole later server is dropped, its other hosts too.
    check(
        &[
            (443, "HTTPS", "a.com", simple),
            (443, "HTTPS", "'b.com', a.com", simple),
        ],
        &["https.443.p0 a.com"],
        1,
    );
    // `./` is the Gateway's own namespace, `*/` is none.
    check(
        &[
            (443, "HTTPS", "team/a.com", simple),
            (443, "HTTPS", "./a.com", simple),
        ],
        &["https.443.p0 a.com"],
        1,
    );
    check(
        &[
            (443, "HTTPS", "'*/a.com'", simple),
            (443, "HTTPS", "a.com", simple),
        ],
        &["https.443.p0 a.com"],
        1,
    );
    let redirect = "httpsRedirect: true";
    check(
        &[
            (80, "HTTP", "a.com", redirect),
            (80, "HTTP", "a.com", redirect),
        ],
        &["http.80 a.com"],
        1,
    );
    check(
        &[(80, "HTTP", "a.com", redirect), (80, "HTTP", "a.com", "")],
        &["http.80 a.com"],
        0,
    );
}

#[test]
fn a_handshake_has_no_namespace() {
    let simple = "mode: SIMPLE, credentialName: c";
    let compiled = servers(
        &[
            ("HTTPS", "one/a.com", simple),
            ("HTTPS", "two/a.com", simple),
        ],
        "",
    );
    let hidden = compiled
        .findings
        .iter()
        .find(|finding| finding.code == codes::SERVER_HIDDEN);
    assert_eq!(hidden.unwrap().field, "spec.servers[1]");
    let listener = compiled.snapshot.listener(443).unwrap();
    assert_eq!(
        &*listener.chain("a.com").unwrap().name,
        "https.443.p0.g.istio-system"
    );
}

#[test]
fn a_redirect_covers_its_whole_virtual_host_whoever_brought_the_routes() {
    let route = |gateway: &str, host: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {gateway}, namespace: istio-system}}\nspec:\n  hosts: ['{host}']\n  gateways: [{gateway}]\n  http: [{{directResponse: {{status: 200}}}}]\n---\n"
        )
    };
    let gateway = |name: &str, host: &str, tls: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: istio-system}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers: [{{port: {{number: 80, name: h, protocol: HTTP}}, hosts: ['{host}']{tls}}}]\n---\n"
        )
    };
    let redirect = ", tls: {httpsRedirect: true}";
    let compiled = compile(&text(
        &(gateway("a", "a.com", redirect)
            + &gateway("b", "a.com", "")
            + &gateway("c", "*.wide.com", redirect)
            + &gateway("d", "x.wide.com", "")
            + &route("b", "a.com")
            + &route("d", "x.wide.com")),
    ));
    let listener = compiled.snapshot.listener(80).unwrap();
    let hosts = virtual_hosts(listener, "a.com");
    // Through another Gateway of the same port and host, and without any route.
    for host in ["a.com", "y.wide.com"] {
        assert!(hosts.redirects_to_https(host), "{host}");
    }
    // Another virtual host of its own is closer to this name.
    for host in ["x.wide.com", "b.com"] {
        assert!(!hosts.redirects_to_https(host), "{host}");
    }
}

#[test]
fn a_server_that_cannot_be_read_closes_the_others_of_its_gateway() {
    let mutual = "mode: MUTUAL, credentialName: c";
    let wide = ("HTTPS", "'*'", "mode: SIMPLE, credentialName: c");
    let authority = secret(
        "c",
        &format!("ca.crt: \"{PEM}\", tls.crt: \"{PEM}\", tls.key: \"{KEY}\""),
    );
    let is_closed = |narrow: (&str, &str, &str)| {
        let route = virtual_service("web", "  - {route: [{destination: {host: web}}]}");
        let more = authority.clone() + &route.replace("istio-system/main", "istio-system/g");
        let compiled = servers(&[wide, narrow], &more);
        let listener = compiled.snapshot.listener(443).unwrap();
        let routes = virtual_hosts(listener, "a.com").routes("a.com").unwrap();
        let closed = matches!(routes[0].action, RouteAction::Closed(_));
        (
            closed,
            codes_of(&compiled).contains(&codes::GATEWAY_INVALID.0),
        )
    };
    assert_eq!(is_closed(("HTTPS", "a.com", mutual)), (false, false));
    // Whom the host that cannot be read is about would get in by the other one.
    for hosts in ["{a: b}", "b.com, a.*.com"] {
        assert_eq!(is_closed(("HTTPS", hosts, mutual)), (true, true), "{hosts}");
    }
}
