//! What a Dex configuration becomes.

use super::*;
use crate::manifest::environment::ConfigFile;
use crate::names::{Duration, ObjectRef, Place, Secret};
use crate::objects::{File, ObjectSet};
use crate::snapshot::{Conformance, ProviderClient, ProviderConnector, ProviderPassword};

const STOCK_CONFIG: &str = include_str!("../../../../../fixtures/kubeflow-26.03/15-config.yaml");
const STOCK_WORKLOADS: &str =
    include_str!("../../../../../fixtures/kubeflow-26.03/60-workloads.yaml");
const STOCK_SERVICES: &str =
    include_str!("../../../../../fixtures/kubeflow-26.03/10-services.yaml");
const CHARTS: &str = include_str!("../../../testdata/onprem-charts.yaml");
const HASH: &str = "$2a$10$KssILxWNR6k62B7yiX0GAe2Q7wwHlrzhF3LqtVvpyvHZf0MwvNfVu";

fn find(texts: &[&str]) -> (Vec<FoundProvider>, Vec<Finding>) {
    let file = |text: &&str| File {
        name: "dex.yaml".into(),
        text: (*text).to_owned(),
    };
    let files = texts.iter().map(file).collect();
    let mut findings = Vec::new();
    let world = World::read(&ObjectSet { files }, &mut findings);
    assert_eq!(findings, []);
    let found = find_providers(&world, &mut findings);
    (found, findings)
}

/// A ConfigMap alone; the text of the configuration begins on line 5.
fn alone(config: &str) -> (Result<Provider, Arc<Closure>>, Vec<Finding>) {
    let body: String = config.lines().map(|line| format!("    {line}\n")).collect();
    let head = "apiVersion: v1\nkind: ConfigMap\ndata:\n  config.yaml: |\n";
    let tail = "metadata: {name: dex, namespace: auth}\n";
    let (mut found, findings) = find(&[&format!("{head}{body}{tail}")]);
    assert_eq!(found.len(), 1);
    (found.remove(0).provider, findings)
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.into(), name.into())
}

fn faults(findings: &[Finding]) -> Vec<(u16, u32, &str)> {
    let line = |finding: &Finding| finding.place.as_ref().map_or(0, |place| place.line);
    findings
        .iter()
        .map(|finding| (finding.code.0, line(finding), &*finding.fault))
        .collect()
}

#[test]
fn stock_kubeflow_is_read_whole() {
    let (found, findings) = find(&[STOCK_CONFIG, STOCK_WORKLOADS, STOCK_SERVICES]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].services, [key("auth", "dex")]);
    let hash = "$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72";
    let mut wanted = Provider::with_defaults(
        ObjectRef::new("ConfigMap", "auth", "dex"),
        Place::new("dex.yaml", 5),
        "http://dex.auth.svc.cluster.local:5556/dex",
        "/dex",
    );
    wanted.clients = vec![ProviderClient {
        name: "Dex Login Application".into(),
        ..ProviderClient::with_defaults(
            "kubeflow-oidc-authservice",
            Secret::new("pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok"),
            vec!["/oauth2/callback".into()],
        )
    }];
    wanted.connectors = vec![ProviderConnector::local()];
    wanted.passwords = vec![ProviderPassword {
        email: "user@example.com".into(),
        hash: Secret::new(hash),
        username: "user".into(),
        name: "user".into(),
        preferred_username: "".into(),
        email_verified: true,
        user_id: "15841185641784".into(),
        groups: vec![],
    }];
    wanted.skip_approval = true;
    wanted.web.allowed_headers = vec!["Authorization".into()];
    assert_eq!(found[0].provider, Ok(wanted));
    let wanted = [
        (
            609,
            25,
            "the secret of the client `kubeflow-oidc-authservice` is a published sample",
        ),
        (
            609,
            19,
            "the password of `user@example.com` is a published sample",
        ),
    ];
    assert_eq!(faults(&findings), wanted);
}

#[test]
fn the_chart_of_dex_is_read_from_its_secret() {
    let (found, findings) = find(&[CHARTS]);
    assert_eq!(found[0].services, [key("auth", "dex")]);
    let provider = found[0].provider.as_ref().unwrap();
    assert_eq!(&*provider.issuer, "https://192.168.1.240/dex");
    assert_eq!(provider.object, ObjectRef::new("Secret", "auth", "dex"));
    let users: Vec<_> = provider
        .passwords
        .iter()
        .map(|user| {
            (
                &*user.email,
                &*user.user_id,
                &*user.name,
                user.hash.expose_str().unwrap(),
            )
        })
        .collect();
    let wanted = [
        (
            "User1@datastrophic.io",
            "user1@datastrophic.io",
            "User1@datastrophic.io",
            HASH,
        ),
        (
            "user2@datastrophic.io",
            "user2@datastrophic.io",
            "user2@datastrophic.io",
            HASH,
        ),
    ];
    assert_eq!(users, wanted);
    let wanted = [
        (
            609,
            18,
            "the secret of the client `oauth2-proxy` is a published sample",
        ),
        (
            707,
            25,
            "`User1@datastrophic.io` has no `userID`; the e-mail in lower case stands in for it",
        ),
        (
            707,
            27,
            "`user2@datastrophic.io` has no `userID`; the e-mail in lower case stands in for it",
        ),
    ];
    assert_eq!(faults(&findings), wanted);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning)
    );
}

#[test]
fn a_missing_secret_leaves_the_client_and_the_user_out() {
    let config = STOCK_CONFIG
        .split("\n---\n")
        .find(|text| text.contains("name: dex\n"))
        .unwrap();
    let (found, findings) = find(&[config, STOCK_WORKLOADS]);
    let provider = found[0].provider.as_ref().unwrap();
    assert_eq!((provider.clients.len(), provider.passwords.len()), (0, 0));
    let wanted = [
        (
            118,
            30,
            "the environment needs Secret `auth/dex-oidc-client`, which is not here",
        ),
        (
            118,
            32,
            "the environment needs Secret `auth/dex-passwords`, which is not here",
        ),
        (
            704,
            25,
            "`idEnv` names the variable `OIDC_CLIENT_ID`, which is not set",
        ),
        (
            705,
            20,
            "`hashFromEnv` names the variable `DEX_USER_PASSWORD`, which is not set",
        ),
    ];
    assert_eq!(faults(&findings), wanted);
    assert_eq!(found[0].services, [key("auth", "dex")]);
}

#[test]
fn keys_match_without_letter_case_and_unknown_ones_are_noted() {
    let (provider, findings) = alone(
        "ISSUER: https://a.example/\nstatIcclients: []\nEnablePasswordDb: true\nissuers: x\nexpiry: {idTokens: 1h30m, signingkeys: 90m, authRequest: 1h}\nfrontend: {issuer: Our login}",
    );
    let provider = provider.unwrap();
    assert_eq!(
        (&*provider.issuer, &*provider.path),
        ("https://a.example/", "")
    );
    assert_eq!(provider.token_lifetime, Duration::from_secs(5400));
    assert_eq!(provider.key_rotation, Duration::from_secs(5400));
    assert_eq!(provider.request_lifetime, Duration::from_secs(86_400));
    assert_eq!(&*provider.name, "Our login");
    let wanted = [
        (
            702,
            8,
            "`issuers` is no setting of Dex here and has no effect",
        ),
        (
            702,
            9,
            "`authRequest` is no setting of Dex here and has no effect",
        ),
    ];
    assert_eq!(faults(&findings), wanted);
    assert_eq!(findings[0].remedy, "did you mean `issuer`?");
    assert_eq!(findings[0].severity, Severity::Note);
}

#[test]
fn clients_that_prove_nothing_are_left_out() {
    let (provider, findings) = alone(
        "issuer: https://a.example/dex\nenablePasswordDB: true\nstaticClients:\n- {id: good, name: n, secret: s, trustedPeers: [b]}\n- {id: open, name: n, public: true}\n- {id: nosecret, name: n}\n- {id: noname, secret: s}\n- {name: noid, secret: s}\n- {id: a, idEnv: A, name: n, secret: s}\n- {id: b, name: n, secretEnv: UNSET}\n- {id: good, name: twin, secret: t}\n- {id: c, name: n, secret: s, mfaChain: [x]}\n- {id: d, name: n, secret: s, refreshTokenLifetime: long}\n- {id: e, name: n, secret: s, allowedConnectors: [github], refreshTokenLifetime: session, ssoSharedWith: ['*']}",
    );
    let provider = provider.unwrap();
    let ids: Vec<_> = provider.clients.iter().map(|client| &*client.id).collect();
    assert_eq!(ids, ["good", "open", "e"]);
    assert_eq!(provider.clients[2].allowed_connectors, ["github".into()]);
    assert!(provider.clients[2].refresh_ends_with_session);
    assert_eq!(
        provider.clients[2].shares_sign_in_with,
        Some(vec!["*".into()])
    );
    assert_eq!(provider.clients[0].trusted_peers, ["b".into()]);
    let wanted = [
        (
            703,
            18,
            "`staticClients[].ssoSharedWith` has no effect: it is not acted on yet",
        ),
        (704, 10, "the client `nosecret` has no secret"),
        (704, 11, "the client `noname` has no name"),
        (704, 12, "a client has no id"),
        (704, 13, "`id` and `idEnv` exclude each other"),
        (
            704,
            14,
            "`secretEnv` names the variable `UNSET`, which is not set",
        ),
        (704, 15, "the client `good` stands here twice"),
        (
            704,
            16,
            "the second factor of the client `c` is not supported yet",
        ),
        (704, 17, "`refreshTokenLifetime` cannot be `long`"),
    ];
    assert_eq!(faults(&findings), wanted);
}

#[test]
fn only_good_hashes_make_users() {
    let encoded = data_encoding::BASE64.encode(HASH.as_bytes());
    let weak = HASH.replace("$10$", "$09$");
    let (provider, findings) = alone(&format!(
        "issuer: https://a.example/dex\nenablePasswordDB: true\nstaticPasswords:\n- {{email: a@x, hash: {encoded}, userID: 1, groups: [g]}}\n- {{email: b@x, hash: {weak}, userID: 2}}\n- {{email: c@x, hash: plain, userID: 3}}\n- {{email: d@x, hash: '${{PWD_HASH}}', userID: 4}}\n- {{email: A@X, hash: {HASH}, userID: 5}}\n- {{email: e@x, userID: 6}}\n- {{hash: {HASH}}}\n- {{email: f@x, hash: {HASH}, userID: '1', emailVerified: false}}",
    ));
    let provider = provider.unwrap();
    let emails: Vec<_> = provider.passwords.iter().map(|user| &*user.email).collect();
    assert_eq!(emails, ["a@x", "f@x"]);
    assert_eq!(provider.passwords[0].hash, Secret::new(HASH));
    assert_eq!(provider.passwords[0].groups, ["g".into()]);
    assert!(!provider.passwords[1].email_verified);
    let wanted = [
        (705, 9, "the bcrypt cost of `b@x` is 9, outside 10 to 16"),
        (705, 10, "the hash of `c@x` is not bcrypt"),
        (
            108,
            11,
            "the placeholder in the hash of `d@x` was never filled in",
        ),
        (705, 12, "the user `A@X` stands here twice"),
        (705, 13, "the user `e@x` has no password hash"),
        (705, 14, "a user has no e-mail"),
        (707, 15, "`a@x` and `f@x` have the same `userID`"),
    ];
    assert_eq!(faults(&findings), wanted);
    assert!(
        findings
            .iter()
            .all(|finding| !finding.fault.contains("$2a$"))
    );
}

#[test]
fn what_dex_would_not_start_with_closes_the_provider() {
    let head = "issuer: https://a.example/dex\nenablePasswordDB: true\n";
    for (config, code, fault) in [
        (
            "issuer: https://${HOST}/dex\nconnectors: []",
            108,
            "the placeholder in the issuer `https://${HOST}/dex` was never filled in",
        ),
        (
            "issuer: dex\nconnectors: []",
            701,
            "the issuer `dex` is no URL",
        ),
        (
            "issuer: ftp://a/dex\nconnectors: []",
            701,
            "the issuer `ftp://a/dex` is no web address",
        ),
        (
            "issuer: https://a/dex?x\nconnectors: []",
            701,
            "the issuer has more than scheme, host, port and path",
        ),
        (
            "issuer: https://a/dex\nstaticClients: []",
            701,
            "nobody can sign in: no way to do so is left",
        ),
        (
            "issuer: https://a/dex\nstaticClients: []\nstaticPasswords: []",
            701,
            "`staticPasswords` has no effect without `enablePasswordDB`",
        ),
        (
            &format!("{head}oauth2: {{responseTypes: [cod]}}"),
            701,
            "`cod` is no response type",
        ),
        (
            &format!("{head}expiry: {{idTokens: 1d}}"),
            701,
            "`data[config.yaml].expiry.idTokens` is no span of time: `1d`",
        ),
        (
            &format!("{head}expiry: {{idTokens: 0s}}"),
            701,
            "`data[config.yaml].expiry.idTokens` is shorter than a second",
        ),
        (
            &format!("{head}mfa: {{}}"),
            701,
            "`mfa` is not taken: a second factor is not asked for yet, and one would be enough without it",
        ),
    ] {
        let (provider, findings) = alone(config);
        let finding = findings.last().unwrap();
        assert_eq!((finding.code.0, &*finding.fault), (code, fault), "{config}");
        assert_eq!(finding.severity, Severity::Error);
        assert_eq!(provider.unwrap_err(), Arc::new(Closure::of(finding)));
    }
}

#[test]
fn other_connectors_and_settings_are_reported() {
    let (provider, findings) = alone(
        "issuer: https://a.example/dex\nenablePasswordDB: true\nconnectors:\n- {type: saml, id: s, name: SAML}\n- {type: x, id: x, name: X}\n- {type: saml, name: noid}\ngrpc: {addr: 1}\nstaticClients:\n- {id: a, name: a, secret: s, logoURL: x}\n- {id: b, name: b, secret: s, logoURL: x}",
    );
    assert_eq!(provider.unwrap().connectors, [ProviderConnector::local()]);
    let wanted = [
        (
            703,
            11,
            "`grpc.addr` has no effect: the administration API is not served over gRPC",
        ),
        (
            703,
            13,
            "`staticClients[].logoURL` has no effect: the pages are doorward's own",
        ),
        (
            706,
            8,
            "the connector `s` of type `saml` is not supported yet and is left out",
        ),
        (
            706,
            9,
            "the connector `x` of type `x` is not supported yet and is left out",
        ),
        (706, 10, "`id` is missing"),
    ];
    assert_eq!(faults(&findings), wanted);
    assert!(
        findings[2..]
            .iter()
            .all(|finding| finding.severity == Severity::Error)
    );
}

#[test]
fn unknown_keys_are_refused_where_that_is_asked_for() {
    let text = "issuer: https://a.example/dex\nenablePasswordDB: true\ndoorward: {strict: true}\nweb: {htp: x}\nissuers: y";
    let (provider, findings) = alone(text);
    assert!(provider.is_err());
    let wanted = [
        (702, 9, "`issuers` is no setting of Dex here"),
        (702, 8, "`htp` is no setting of Dex here"),
    ];
    assert_eq!(faults(&findings), wanted);
    let (provider, _) = alone(
        &text
            .replace(", strict: true", "")
            .replace("true}", "false}"),
    );
    assert_eq!(
        provider.unwrap().protocol.conformance,
        Conformance::Compatible
    );
}

/// Every key with nonsense in it, alone: none goes unseen.
#[test]
fn every_key_is_known_to_the_walk() {
    for (path, becomes) in table::keys() {
        // The key at its place, in YAML of one line.
        let mut text = "x".to_owned();
        let mut kind = None;
        for part in path.rsplit('.') {
            let (name, list) = match part.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (part, false),
            };
            let (name, of) = match name.split_once('(') {
                Some((name, of)) => (name, Some(of.trim_end_matches(')'))),
                None => (name, None),
            };
            kind = of.or(kind);
            let typed = match (name, kind) {
                ("connectors", Some(kind)) if list => format!("type: {kind}, "),
                _ => String::new(),
            };
            text = match list {
                true => format!(
                    "{{{name}: [{}]}}",
                    text.replacen('{', &format!("{{{typed}"), 1)
                ),
                false => format!("{{{name}: {text}}}"),
            };
        }
        let file = File {
            name: "x".into(),
            text: format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: d, namespace: n}}\ndata:\n  config.yaml: \"{text}\"\n"
            ),
        };
        let world = World::read(&ObjectSet { files: vec![file] }, &mut Vec::new());
        let file = ConfigFile::of_config_map(world.config_map("n", "d").unwrap(), "config.yaml");
        let file = file.unwrap();
        let node = file.yaml().unwrap();
        let mut findings = Vec::new();
        let terms = walk::Terms {
            alone: true,
            strict: true,
        };
        let result = walk::compare(&file.top(&node), terms, &mut findings);
        let told: Vec<_> = findings
            .iter()
            .map(|finding| finding.fault.clone())
            .collect();
        match becomes {
            table::Becomes::Acts | table::Becomes::ActsAlone => {
                assert_eq!((result, told), (Ok(()), vec![]), "{text}");
            }
            table::Becomes::Warns(why) | table::Becomes::WarnsAlone(why) => {
                let wanted = vec![format!("`{path}` has no effect: {why}")];
                assert_eq!((result, told), (Ok(()), wanted), "{text}");
            }
            table::Becomes::Refuses(why) => {
                let wanted = format!("`{path}` is not taken: {why}");
                assert_eq!(result.unwrap_err().fault, wanted, "{text}");
            }
        }
    }
}

#[test]
fn the_page_lists_every_key_and_what_becomes_of_it() {
    const PAGE: &str = include_str!("../../../../../docs/dex-compatibility.md");
    let mut text = "| key | here |\n|---|---|\n".to_owned();
    for (path, becomes) in table::keys() {
        let becomes = match becomes {
            table::Becomes::Acts => "acts".to_owned(),
            table::Becomes::ActsAlone => "acts under `doorward dex serve`".to_owned(),
            table::Becomes::Warns(why) => format!("warns: {why}"),
            table::Becomes::WarnsAlone(why) => {
                format!("warns under `doorward dex serve`: {why}")
            }
            table::Becomes::Refuses(why) => format!("refused: {why}"),
        };
        text.push_str(&format!("| `{path}` | {becomes} |\n"));
    }
    assert!(
        PAGE.contains(&text),
        "docs/dex-compatibility.md should have\n{text}"
    );
}

#[test]
fn a_running_dex_without_its_file_is_closed() {
    let (found, findings) = find(&[STOCK_WORKLOADS]);
    assert_eq!(found.len(), 1);
    let finding = findings.last().unwrap();
    let fault = "the file `/etc/dex/cfg/config.yaml` needs the key `config.yaml` of ConfigMap `auth/dex`, which is not here";
    assert_eq!((finding.code, &*finding.fault), (codes::FILE_ABSENT, fault));
    let closure = found[0].provider.as_ref().unwrap_err();
    assert_eq!(**closure, Closure::of(finding));
    assert_eq!(found[0].services, [key("auth", "dex")]);
}

#[test]
fn a_file_without_a_workload_leads_to_the_services_that_it_and_its_issuer_name() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: idp, namespace: login}\ndata:\n  dex.yaml: |\n    issuer: http://dex.auth.svc:5556/dex\n    enablePasswordDB: true\n";
    let (found, _) = find(&[config]);
    assert_eq!(found[0].services, [key("login", "idp"), key("auth", "dex")]);
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: a}\ndata:\n  config.yaml: |\n    issuer: x\n";
    assert!(find(&[other]).0.is_empty());
}

#[test]
fn the_file_is_found_behind_flags_and_shells() {
    let file = |text: &str| file_argument(&text.split(' ').collect::<Vec<_>>()).map(str::to_owned);
    assert_eq!(file("dex serve /a.yaml").as_deref(), Some("/a.yaml"));
    assert_eq!(
        file("dex serve --web-http-addr 0:1 --x=y /a.yaml").as_deref(),
        Some("/a.yaml")
    );
    assert_eq!(file("dex version"), None);
}
