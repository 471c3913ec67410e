//! Issuing, renewing, and what does not change.

use super::*;

#[test]
fn a_certificate_that_an_object_wants_is_issued_with_its_names() {
    let bench = Bench::new();
    let wanted = |names: &[&str]| WantedCertificate {
        object: ObjectRef::new("Certificate", "ingress", "gateway-cert"),
        hosts: patterns(&["*"]),
        dns_names: names.iter().map(|name| (*name).into()).collect(),
        addresses: vec![IpAddr::from([192, 0, 2, 1])],
        duration: Duration::from_secs(30 * 24 * 3600),
    };
    bench.held.wishes.lock().unwrap().wanted = vec![wanted(&["a.example.com", "b.example.com"])];
    assert_eq!(bench.renew(), [] as [&str; 0]);
    let certificate = bench.ask("a.example.com").unwrap();
    let expected = [
        "DNSName(a.example.com)",
        "DNSName(b.example.com)",
        "IPAddress(c0:00:02:01)",
    ];
    assert_eq!(names(&certificate), expected);
    assert_eq!(bench.ask("192.0.2.1"), Ok(certificate.clone()));
    let (_, parsed) = parse_x509_certificate(&certificate).unwrap();
    assert_eq!(parsed.validity().not_after.timestamp(), START + 30 * DAY);

    bench.held.wishes.lock().unwrap().wanted = vec![wanted(&["${INGRESS_HOST}"])];
    assert_eq!(bench.renew(), ["DW0861"]);
    assert_eq!(
        names(&bench.ask("a.example.com").unwrap()),
        ["DNSName(a.example.com)"]
    );
}

#[test]
fn certificates_are_renewed_in_time_also_those_on_demand() {
    let bench = Bench::new();
    bench.hosts(&["*", "a.example.com"]);
    let first = (
        bench.ask("a.example.com").unwrap(),
        bench.ask("x.example.com").unwrap(),
    );
    bench.clock.set(START + 59 * DAY);
    bench.renew();
    let kept = (
        bench.ask("a.example.com").unwrap(),
        bench.ask("x.example.com").unwrap(),
    );
    assert_eq!(kept, first);
    bench.clock.set(START + 61 * DAY);
    bench.renew();
    let next = (
        bench.ask("a.example.com").unwrap(),
        bench.ask("x.example.com").unwrap(),
    );
    assert_ne!(next.0, first.0);
    assert_ne!(next.1, first.1);
    bench.clock.set(START + 120 * DAY);
    assert!(bench.ask("a.example.com").is_ok());
}

#[test]
fn an_equal_table_is_not_published_again() {
    let bench = Bench::new();
    bench.hosts(&["a.example.com"]);
    let before = bench.held.table.load_full();
    bench.renew();
    assert!(Arc::ptr_eq(&before, &bench.held.table.load_full()));
    bench.hosts(&["b.example.com"]);
    assert!(!Arc::ptr_eq(&before, &bench.held.table.load_full()));
}

#[test]
fn the_last_year_of_the_own_authority_is_told() {
    let bench = Bench::new();
    assert_eq!(bench.renew(), [] as [&str; 0]);
    bench.clock.set(START + 3400 * DAY);
    assert_eq!(bench.renew(), ["DW0862"]);
}
