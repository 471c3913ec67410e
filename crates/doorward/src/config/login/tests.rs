use std::time::Duration;

use super::*;
use crate::config::FileConfig;

const ONE: &str = "
login:
  emailDomains: ['*']
  issuers:
    - issuer: https://issuer.example
      clientId: door
      clientAuth: none
";

fn read(text: &str) -> Result<Login, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("doorward.yaml");
    for (name, text) in [
        ("secret", "hush\n"),
        ("empty", "\n"),
        ("ca.pem", "CA"),
        ("client.pem", "CERT"),
        ("client.key", "KEY"),
        (
            "people.csv",
            "# who\nAnn@Example.com,Ann\n\n\"bob@example.com\"\n",
        ),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    std::fs::write(&path, text).unwrap();
    let file = FileConfig::read(&path).map_err(|fault| fault.to_string())?;
    let role = file.role(&path).map_err(|fault| fault.to_string())?;
    Ok((*role.login.unwrap()).clone())
}

#[test]
fn little_has_to_be_said() {
    let login = read(ONE).unwrap();
    assert_eq!(&*login.issuer, "https://issuer.example");
    assert_eq!(&*login.display_name, "issuer.example");
    assert_eq!(&*login.cookie_name, "doorward_session");
    assert_eq!(login.logout_path.as_deref(), Some("/logout"));
    assert!(login.logout_at_issuer && login.cookie_secure && login.others.is_empty());
    assert_eq!(login.client_auth, LoginClientAuth::Secret);
    assert!(login.client_secret.is_empty());
    assert_eq!(login.key(), "doorward/login");
}

#[test]
fn everything_can_be_said() {
    let login = read(
        "
login:
  prefix: /door/
  logoutPath: ''
  logoutAtIssuer: off
  skipPage: on
  emailDomains: [example.org]
  emails: [Eve@example.net]
  emailsFile: people.csv
  groups: [staff]
  exempt: ['GET=^/health$', '^/public/']
  apiPaths: ['^/api/']
  redirectHosts: [.example.com]
  bearerTokens: on
  passIdToken: on
  cookie: {name: my, domains: [example.com], lifetime: 8h, sameSite: strict, secure: off, path: /x}
  refresh: {after: 5m, failure: end}
  attempts: {lifetime: 10m, limit: 5}
  rules:
    - {hosts: [Admin.example.com], paths: [/a], groups: [admins], emails: [Ann@example.com], emailDomains: [b.c]}
  issuers:
    - name: corp
      label: Corporate account
      issuer: https://corp.example
      clientId: door
      clientSecret: {file: secret}
      clientAuth: client_secret_post
      pushedRequests: always
      signedRequests: never
      scopes: [openid, email, offline_access]
      claims: {user: oid, email: upn, groups: realm.roles, preferredUsername: name}
      emailVerified: required
      extraAudiences: [api]
      signingAlgorithms: [ES256]
      clockSkew: 10s
      prompt: login
      parameters: {acr_values: mfa}
      tls: {authorities: ca.pem, systemToo: on}
    - name: partner
      issuer: https://partner.example/realm
      clientId: other
      clientAuth: private_key_jwt
      clientKey: {file: client.key}
      clientKeyId: k1
      endpoints:
        authorization: https://partner.example/a
        token: https://partner.example/t
        keys: https://partner.example/k
        endSession: https://partner.example/e
    - name: bank
      issuer: https://bank.example
      clientId: third
      clientAuth: tls_client_auth
      redirectUrl: https://door.example/door/callback/bank
      tls: {certificate: client.pem, key: {file: client.key}}
",
    )
    .unwrap();
    assert_eq!((&*login.prefix, &*login.choice), ("/door", "corp"));
    assert_eq!(login.client_secret.expose(), b"hush");
    assert_eq!(login.client_auth, LoginClientAuth::SecretPost);
    assert_eq!(login.pushed_requests, WhenOffered::Always);
    assert_eq!(login.signed_requests, WhenOffered::Never);
    assert_eq!(login.cookie_expire, Duration::from_secs(8 * 3600));
    assert_eq!(login.cookie_refresh, Some(Duration::from_secs(300)));
    assert_eq!(login.refresh_failure, RefreshFailure::End);
    assert_eq!(login.attempt_limit, 5);
    assert_eq!(login.email_verified, EmailVerified::Required);
    assert_eq!(login.clock_skew, Duration::from_secs(10));
    assert_eq!(&*login.groups_claim, "realm.roles");
    assert_eq!((&*login.user_claim, &*login.email_claim), ("oid", "upn"));
    let listed: Vec<&str> = login.emails.iter().map(|one| &**one).collect();
    assert_eq!(
        listed,
        ["ann@example.com", "bob@example.com", "eve@example.net"]
    );
    assert_eq!(login.issuer_tls.authorities.as_deref(), Some("CA"));
    assert!(login.issuer_tls.system_too && !login.issuer_tls.unverified);
    assert_eq!(&*login.entry_rules[0].hosts[0], "admin.example.com");
    assert!(login.skip_routes[0].method.is_some() && login.skip_routes[1].method.is_none());
    assert_eq!(login.logout_path, None);
    let [partner, bank] = &login.others[..] else {
        panic!("{:?}", login.others.len())
    };
    assert_eq!(
        partner.redirect_url.as_deref(),
        Some("/door/callback/partner")
    );
    assert_eq!(
        partner.login_url.as_deref(),
        Some("https://partner.example/a")
    );
    assert_eq!(
        partner.end_session_url.as_deref(),
        Some("https://partner.example/e")
    );
    assert!(
        matches!(&partner.client_auth, LoginClientAuth::PrivateKeyJwt { key_id: Some(id), .. } if **id == *"k1")
    );
    // What is common is the same everywhere, what is not is not inherited.
    assert_eq!(partner.emails, login.emails);
    assert_eq!(partner.email_verified, EmailVerified::NotDenied);
    assert_eq!(&*partner.email_claim, "email");
    assert!(partner.login_parameters.is_empty() && partner.issuer_tls == IssuerTls::default());
    assert_eq!(bank.client_auth, LoginClientAuth::Tls);
    assert_eq!(
        bank.redirect_url.as_deref(),
        Some("https://door.example/door/callback/bank")
    );
    assert!(bank.issuer_tls.client.is_some());
}

#[test]
fn what_is_wrong_is_named_by_its_key() {
    let with = |extra: &str| format!("{ONE}      {extra}\n");
    let top = |extra: &str| format!("{ONE}  {extra}\n");
    for (text, key, says) in [
        (
            "login: {issuers: [], emailDomains: ['*']}".to_owned(),
            "login.issuers",
            "there is none",
        ),
        (
            ONE.replace("  emailDomains: ['*']\n", ""),
            "login.emailDomains",
            "nobody may enter",
        ),
        (
            ONE.replace("https://issuer.example", "issuer.example"),
            "login.issuers[0].issuer",
            "no web address",
        ),
        (
            ONE.replace("door", "''"),
            "login.issuers[0].clientId",
            "empty",
        ),
        (
            ONE.replace("      clientAuth: none\n", ""),
            "login.issuers[0].clientSecret",
            "missing",
        ),
        (
            ONE.replace("clientAuth: none", "clientAuth: private_key_jwt"),
            "login.issuers[0].clientKey",
            "missing",
        ),
        (
            ONE.replace("clientAuth: none", "clientAuth: tls_client_auth"),
            "login.issuers[0].tls.certificate",
            "missing",
        ),
        (
            with("clientSecret: {file: nowhere}"),
            "login.issuers[0].clientSecret",
            "cannot be read",
        ),
        (
            with("clientSecret: {file: empty}"),
            "login.issuers[0].clientSecret",
            "empty",
        ),
        (
            with("clientSecret: {env: DOORWARD_NO_SUCH}"),
            "login.issuers[0].clientSecret",
            "DOORWARD_NO_SUCH",
        ),
        (
            with("clientSecret: {file: secret, env: X}"),
            "login.issuers[0].clientSecret",
            "exclude",
        ),
        (
            with("clientSecret: {}"),
            "login.issuers[0].clientSecret",
            "write",
        ),
        (with("name: a b"), "login.issuers[0].name", "letters"),
        (
            with("endpoints: {authorization: x, token: https://t, keys: https://k}"),
            "login.issuers[0].endpoints.authorization",
            "no web address",
        ),
        (
            with("tls: {certificate: client.pem}"),
            "login.issuers[0].tls.key",
            "missing",
        ),
        (top("prefix: oauth2"), "login.prefix", "no path"),
        (top("logoutPath: /a//b"), "login.logoutPath", "no path"),
        (
            top("emailsFile: nowhere"),
            "login.emailsFile",
            "cannot be read",
        ),
        (top("exempt: ['/open/']"), "login.exempt", "does not begin"),
        (top("apiPaths: ['(']"), "login.apiPaths", "("),
        (top("cookie: {name: 'a b'}"), "login.cookie.name", "letters"),
        (
            top("cookie: {sameSite: loose}"),
            "login.cookie.sameSite",
            "strict",
        ),
        (
            format!("{ONE}    - {{issuer: https://b.example, clientId: x, clientAuth: none}}\n"),
            "login.issuers[0].name",
            "letters",
        ),
        (
            ONE.replace("    - issuer", "    - name: a\n      issuer")
                + "    - {name: a, issuer: https://b.example, clientId: x, clientAuth: none}\n",
            "login.issuers[1].name",
            "twice",
        ),
    ] {
        let fault = read(&text).unwrap_err();
        assert!(fault.contains(&format!("`{key}`: ")), "{key}: {fault}");
        assert!(fault.contains(says), "{says}: {fault}");
        assert!(
            fault.contains("doorward.yaml: ") && fault.contains("\nhelp: "),
            "{fault}"
        );
        assert!(!fault.contains("hush"), "{fault}");
    }
    for text in [
        with("clientSecret: hush"),
        with("clientAuth: magic"),
        with("clockSkew: 5"),
        with("clockSkew: 5 minutes"),
        top("isuers: []"),
        top("cookie: {nam: x}"),
    ] {
        let fault = read(&text).unwrap_err();
        assert!(fault.contains("doorward.yaml:"), "{fault}");
    }
}
