//! The conformance suite of the Gateway API, offline: the manifests of each test are compiled, its
//! requests are sent over sockets, its conditions are looked up in what was compiled.

mod ask;
mod cluster;
mod conditions;
#[path = "../gateway/door.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "what the tests of the gateway itself need besides"
)]
mod door;
mod echo;
mod format;
mod pairs;
mod report;
mod run;

use format::Test;
use pairs::Pairs;
use report::Report;

/// Features of GATEWAY-HTTP that doorward claims besides the core, and the core of GATEWAY-TLS. `docs/compatibility.md` lists
/// them for operators.
const CLAIMED: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteSchemeRedirect",
    "TLSRoute",
];

/// The core features of GATEWAY-HTTP.
const CORE: [&str; 3] = ["Gateway", "ReferenceGrant", "HTTPRoute"];

fn tests(text: &str) -> Vec<Test> {
    serde_saphyr::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_feature_that_is_claimed_conforms() {
    let core = tests(include_str!("core.yaml"));
    let extended = tests(include_str!("extended.yaml"));
    assert_eq!(core.len(), 37, "the core tests of v1.6.1");
    let pairs = Pairs::make();
    let mut report = Report::new(&CORE, CLAIMED);
    for test in core.iter().chain(&extended) {
        let faults = run::run(test, &pairs).await;
        report.add(test, faults);
    }
    let text = report.text();
    // Past the harness, which shows what is printed only where a test fails.
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).unwrap();
    assert!(report.conforms(), "{text}");
}
