//! What is wrong with pairs that the manifests bring.

use model::finding::codes;
use model::objects::{File, ObjectSet};

use super::*;

#[test]
fn a_broken_pair_is_told_and_the_own_authority_stands_in() {
    let bench = Bench::new();
    bench.hosts(&["a.example.com"]);
    let hosts = ["a.example.com"];
    let good = Foreign::new(&hosts).served(&hosts);
    let mut expired = Foreign::new(&hosts);
    expired.params.not_after = date_time_ymd(2027, 1, 5);
    let mut early = Foreign::new(&hosts);
    early.params.not_before = date_time_ymd(2027, 12, 1);
    let with = |change: &dyn Fn(&mut ServedCertificate)| {
        let mut served = good.clone();
        change(&mut served);
        served
    };
    let cases = [
        ("DW0851", with(&|served| served.chain = "".into())),
        (
            "DW0851",
            with(&|served| {
                served.chain =
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()
            }),
        ),
        (
            "DW0852",
            with(&|served| served.key = Secret::new("nothing")),
        ),
        (
            "DW0853",
            with(&|served| served.key = Foreign::new(&hosts).served(&hosts).key),
        ),
        ("DW0854", expired.served(&hosts)),
        ("DW0855", early.served(&hosts)),
    ];
    for (code, served) in cases {
        assert_eq!(bench.serve(vec![served]), [code]);
        assert_eq!(
            names(&bench.ask("a.example.com").unwrap()),
            ["DNSName(a.example.com)"],
            "{code}"
        );
    }
    assert_eq!(bench.serve(vec![good]), [] as [&str; 0]);
    assert!(bench.ask("a.example.com").is_err());
}

#[test]
fn a_pair_that_expires_while_serving_is_replaced_and_told() {
    let bench = Bench::new();
    let foreign = Foreign::new(&["a.example.com"]);
    assert_eq!(
        bench.serve(vec![foreign.served(&["a.example.com"])]),
        [] as [&str; 0]
    );
    // 2028-01-01, less than a sixth of the year before, and the second after.
    let end = 1_830_297_600;
    bench.clock.set(end - 50 * DAY);
    assert_eq!(bench.renew(), ["DW0856"]);
    assert!(
        bench
            .ask_with(&foreign.der(), "a.example.com", |_| {})
            .is_ok()
    );
    bench.clock.set(end + 1);
    let findings = bench.held.renew(bench.clock.now());
    assert_eq!(findings[0].severity, Severity::Error);
    assert_eq!(
        findings[0].fault,
        "the certificate in `Secret istio-system/gateway-cert` expired on 2028-01-01, so \
         doorward's own authority stands in for `a.example.com` and browsers warn"
    );
    assert_eq!(findings[0].place, Some(Place::new("certs.yaml", 7)));
    assert!(bench.ask("a.example.com").is_ok());
}

#[test]
fn what_clients_would_stumble_over_is_told() {
    let bench = Bench::new();
    let hosts = ["a.example.com"];
    let codes = |foreign: &Foreign, hosts: &[&str]| bench.serve(vec![foreign.served(hosts)]);
    let mut authority = Foreign::new(&hosts);
    authority.params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(codes(&authority, &hosts), ["DW0859"]);
    assert_eq!(codes(&Foreign::new(&[]), &hosts), ["DW0858"]);
    assert_eq!(
        codes(&Foreign::new(&["*.example.com"]), &hosts),
        [] as [&str; 0]
    );
    assert_eq!(
        codes(&Foreign::new(&["*.example.com"]), &["x.a.example.com"]),
        ["DW0857"]
    );
    assert_eq!(
        codes(&Foreign::new(&["*.example.com"]), &["*.example.com"]),
        [] as [&str; 0]
    );
    let mut stranger = Foreign::new(&["x.com"]);
    stranger
        .params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "stranger");
    let mut served = Foreign::new(&hosts).served(&hosts);
    served.chain = format!("{}{}", served.chain, stranger.served(&[]).chain).into();
    // Two servers name this Secret: it is told once.
    assert_eq!(bench.serve(vec![served.clone(), served]), ["DW0860"]);
}

#[test]
fn a_copy_that_was_not_renewed_is_told() {
    let pair = |names: &[&str], year: i32| {
        let mut foreign = Foreign::new(names);
        foreign.params.not_after = date_time_ymd(year, 1, 1);
        foreign.served(names)
    };
    let secret = |namespace: &str, pair: &ServedCertificate| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: tls, namespace: {namespace}}}\ntype: kubernetes.io/tls\ndata: {{tls.crt: {}, tls.key: {}}}\n---\n",
            BASE64.encode(pair.chain.as_bytes()),
            BASE64.encode(pair.key.expose()),
        )
    };
    let told = |served: &ServedCertificate, source: &ServedCertificate| {
        let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: istio-system}\nspec:\n  selector: {istio: ingressgateway}\n  servers:\n  - port: {number: 443, name: https, protocol: HTTPS}\n    hosts: [a.example.com]\n    tls: {mode: SIMPLE, credentialName: tls}\n";
        let file = File {
            name: "t.yaml".into(),
            text: secret("istio-system", served) + &secret("certs", source) + gateway,
        };
        let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
        let checked = crate::check(&snapshot, Timestamp::from_seconds(START));
        let mut told = checked
            .into_iter()
            .filter(|finding| finding.code == codes::CERTIFICATE_OUTDATED);
        told.next().map(|finding| finding.fault)
    };
    let hosts = ["a.example.com", "b.example.com"];
    let (old, new) = (
        pair(&hosts, 2028),
        pair(&["b.example.com", "a.example.com"], 2029),
    );
    assert_eq!(
        told(&old, &new).as_deref(),
        Some(
            "the certificate in `Secret istio-system/tls` ends on 2028-01-01, and `Secret certs/tls` has \
             one for the same names that ends on 2029-01-01"
        )
    );
    assert_eq!(told(&new, &old), None);
    assert_eq!(told(&old, &old), None);
    assert_eq!(told(&old, &pair(&["a.example.com"], 2029)), None);
}
