//! `doorward authservice`: the environment of Arrikto's OIDC AuthService, of all its generations.

mod variables;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::finding::{Code, Finding, Severity, codes};
use crate::manifest::session_place::{RedisPlace, RedisServers, SessionPlace};
use crate::names::{Duration, ObjectRef, Place, Secret};
use crate::snapshot::{
    AuthService, AuthServiceShape, HeaderName, Login, LoginShape, Program, Regex, SignOutPath,
    Snapshot, Transformer, fixed,
};
pub use variables::{Becomes, variables};

/// An AuthService, ready to be run.
#[derive(Debug)]
pub struct Standing {
    /// What is decided by.
    pub snapshot: Snapshot,
    /// `SERVER_HOSTNAME` and `SERVER_PORT`: where requests are judged.
    pub judge: Arc<str>,
    /// `READINESS_PROBE_PORT`, at the same host.
    pub readiness: Arc<str>,
    /// `WEB_SERVER_PORT`, at the same host.
    pub web: Arc<str>,
    /// `CLIENT_NAME`: what the pages call the service.
    pub client_name: Arc<str>,
    /// `CA_BUNDLE`: a PEM file of authorities for the issuer.
    pub authorities: Option<Arc<str>>,
    /// Where it keeps sessions.
    pub sessions: SessionPlace,
    /// What is odd, and serves all the same.
    pub findings: Vec<Finding>,
}

/// Reads the environment. Everything that is wrong is told at once.
///
/// # Errors
/// When the program must not start.
pub fn stand_in(environment: &[(String, String)]) -> Result<Standing, Vec<Finding>> {
    let mut read = Read {
        environment,
        findings: Vec::new(),
    };
    let standing = read.standing();
    let is_bad = |finding: &Finding| finding.severity == Severity::Error;
    if read.findings.iter().any(is_bad) {
        return Err(read.findings);
    }
    Ok(Standing {
        findings: read.findings,
        ..standing
    })
}

/// The environment while it is read.
struct Read<'a> {
    environment: &'a [(String, String)],
    findings: Vec<Finding>,
}

impl Read<'_> {
    fn standing(&mut self) -> Standing {
        self.judge_unused();
        // The oldest generation had no prefix, and fixed paths.
        let is_old = self.text("AUTHSERVICE_URL_PREFIX").is_none();
        let prefix = self.text("AUTHSERVICE_URL_PREFIX");
        let prefix = prefix.unwrap_or_else(|| "/authservice".into());
        let prefix: Arc<str> = prefix.trim_end_matches('/').into();
        if !prefix.starts_with('/') {
            let remedy = "write it as `/authservice/`";
            self.bad("AUTHSERVICE_URL_PREFIX", "is no path below `/`", remedy);
        }
        let redirect = self.text("REDIRECT_URL").unwrap_or_else(|| match is_old {
            true => "/login/oidc".into(),
            false => format!("{prefix}/oidc/callback").into(),
        });
        let callback = self.path_of("REDIRECT_URL", &redirect);
        let host = self.text("SERVER_HOSTNAME").unwrap_or_else(|| "".into());
        let port = self.text("SERVER_PORT").or_else(|| self.text("PORT"));
        let at = |port: Option<Arc<str>>, usual: &str| -> Arc<str> {
            format!("{host}:{}", port.as_deref().unwrap_or(usual)).into()
        };
        Standing {
            judge: at(port, "8080"),
            readiness: at(self.text("READINESS_PROBE_PORT"), "8081"),
            web: at(self.text("WEB_SERVER_PORT"), "8082"),
            client_name: self
                .text("CLIENT_NAME")
                .unwrap_or_else(|| "AuthService".into()),
            authorities: self.text("CA_BUNDLE"),
            sessions: self.sessions(),
            findings: Vec::new(),
            snapshot: {
                let login = self.login(&prefix, redirect, &callback, is_old);
                let service = self.service(&prefix, callback, is_old);
                Snapshot::of_program(Program::AuthService(Box::new(service)), login)
            },
        }
    }

    fn login(
        &mut self,
        prefix: &Arc<str>,
        redirect: Arc<str>,
        callback: &Arc<str>,
        is_old: bool,
    ) -> Login {
        let issuer = self.required("OIDC_PROVIDER");
        let client_id = self.required("CLIENT_ID");
        let client_secret = self.required("CLIENT_SECRET");
        if !issuer.is_empty() && !is_web(&issuer) {
            self.bad(
                "OIDC_PROVIDER",
                "is no web address",
                "write it as `https://HOST/PATH`",
            );
        }
        let login_url = self.text("OIDC_AUTH_URL");
        if login_url
            .as_ref()
            .is_some_and(|url| !is_web(url) && !is_path(url))
        {
            let remedy = "write it as `/dex/auth` or `https://HOST/PATH`";
            self.bad("OIDC_AUTH_URL", "is no web address", remedy);
        }
        let mut scopes = self.list("OIDC_SCOPES");
        if scopes.is_empty() {
            scopes.push("email".into());
        }
        if !scopes.iter().any(|scope| **scope == *"openid") {
            scopes.insert(0, "openid".into());
        }
        let groups = self.list("GROUPS_ALLOWLIST");
        let everybody = groups.is_empty() || groups.iter().any(|group| **group == *"*");
        let (by_id_token, by_access_token) = (
            self.switch("IDTOKEN_AUTHN_ENABLED", true),
            self.switch("ACCESS_TOKEN_AUTHN_ENABLED", true),
        );
        let mode = self.text("ACCESS_TOKEN_AUTHN");
        let is_jwt = mode.as_deref().is_none_or(|mode| mode == "jwt");
        if !is_jwt && mode.as_deref() != Some("opaque") {
            let remedy = "write `jwt` or `opaque`";
            self.bad(
                "ACCESS_TOKEN_AUTHN",
                "is neither `jwt` nor `opaque`",
                remedy,
            );
        }
        let audiences = self.list("AUDIENCES");
        let usual = || vec!["istio-ingressgateway.istio-system.svc.cluster.local".into()];
        let audiences = if audiences.is_empty() {
            usual()
        } else {
            audiences
        };
        let seconds = self.number("SESSION_MAX_AGE", 86_400).max(1);
        let after_login = self.text("AFTER_LOGIN_URL").map(|url| (url, true));
        let older = || Some((self.text("STATIC_DESTINATION_URL")?, false));
        let shape = AuthServiceShape {
            callback: Arc::clone(callback),
            homepage: self
                .text("HOMEPAGE_URL")
                .unwrap_or_else(|| format!("{prefix}/site/homepage").into()),
            after_login: after_login.or_else(older),
            after_logout: self
                .text("AFTER_LOGOUT_URL")
                .unwrap_or_else(|| format!("{prefix}/site/after_logout").into()),
            session_headers: match is_old {
                true => vec![
                    HeaderName::from_static("x-auth-token"),
                    self.header("AUTH_HEADER", "authorization"),
                ],
                false => vec![self.header("AUTH_HEADER", "authorization")],
            },
            token_header: self.header("ID_TOKEN_HEADER", "authorization"),
            opaque_tokens: by_access_token && mode.as_deref() == Some("opaque"),
            reviews: self
                .switch("KUBERNETES_AUTHN_ENABLED", true)
                .then(|| audiences.clone()),
            remembered: self.remembered(),
            strict: self.switch("STRICT_SESSION_VALIDATION", false),
        };
        let object = ObjectRef::new("Program", "doorward", "authservice");
        let usual = Login::with_defaults(object, Place::new("environment", 0), issuer, client_id);
        Login {
            prefix: Arc::clone(prefix),
            client_secret: Secret::new(client_secret.as_bytes()),
            scopes,
            login_url,
            relative_redirect_url: is_path(&redirect),
            redirect_url: Some(redirect),
            cookie_name: "authservice_session".into(),
            cookie_expire: Duration::from_secs(seconds),
            cookie_secure: false,
            cookie_samesite: match self.text("SESSION_SAME_SITE").as_deref() {
                Some("Strict") => "Strict".into(),
                Some("None") => "None".into(),
                _ => "Lax".into(),
            },
            skip_provider_button: true,
            email_domains: vec!["*".into()],
            allowed_groups: if everybody { Vec::new() } else { groups },
            skip_jwt_bearer_tokens: by_id_token || by_access_token && is_jwt,
            extra_audiences: match by_access_token && is_jwt {
                true => audiences,
                false => Vec::new(),
            },
            email_claim: self.text("USERID_CLAIM").unwrap_or_else(|| "email".into()),
            groups_claim: self.text("GROUPS_CLAIM").unwrap_or_else(|| "groups".into()),
            // It is shown to the issuer only, each time.
            pass_access_token: shape.strict,
            shape: LoginShape::AuthService(shape),
            ..usual
        }
    }

    fn service(&mut self, prefix: &Arc<str>, callback: Arc<str>, is_old: bool) -> AuthService {
        let mut skipped = self.list("SKIP_AUTH_URLS");
        skipped.extend(self.list("SKIP_AUTH_URI"));
        if skipped.iter().any(|path| !is_path(path)) {
            let remedy = "write paths such as `/dex`, with commas or blanks between them";
            self.bad("SKIP_AUTH_URLS", "has something that is no path", remedy);
        }
        let verify = self.text("VERIFY_AUTH_URL");
        let verify = verify.unwrap_or_else(|| format!("{prefix}/verify").into());
        let mut sign_outs = vec![SignOutPath {
            path: format!("{prefix}/logout").into(),
            by_get: false,
        }];
        if is_old {
            sign_outs.push(SignOutPath {
                path: "/logout".into(),
                by_get: true,
            });
        }
        AuthService {
            prefix: Arc::clone(prefix),
            skipped,
            callback,
            sign_outs,
            verify: self.path_of("VERIFY_AUTH_URL", &verify),
            skip: fixed("skip", 200, "OK"),
            pass: fixed("pass", 200, if is_old { "OK" } else { "" }),
            verified: fixed("verify", 204, ""),
            user_header: self.header("USERID_HEADER", "kubeflow-userid"),
            user_prefix: self.text("USERID_PREFIX").unwrap_or_else(|| "".into()),
            transformers: self.transformers(),
            groups_header: self.header("GROUPS_HEADER", "kubeflow-groups"),
            method_header: self.header("AUTH_METHOD_HEADER", "auth-method"),
            authorizer: self.authorizer(),
            token_header: is_old
                .then(|| self.header("USERID_TOKEN_HEADER", "kubeflow-userid-token")),
        }
    }

    fn sessions(&mut self) -> SessionPlace {
        match self.text("SESSION_STORE_TYPE").as_deref() {
            None | Some("boltdb") => return SessionPlace::Usual,
            Some("redis") => {}
            Some(_) => {
                let remedy = "write `boltdb` or `redis`";
                self.bad("SESSION_STORE_TYPE", "is unknown", remedy);
            }
        }
        let address = self.text("SESSION_STORE_REDIS_ADDR");
        let address = address.unwrap_or_else(|| "127.0.0.1:6379".into());
        let database = self.number("SESSION_STORE_REDIS_DB", 0);
        let password = self.text("SESSION_STORE_REDIS_PWD");
        SessionPlace::Redis(RedisPlace {
            servers: RedisServers::One,
            urls: vec![Secret::new(format!("redis://{address}/{database}"))],
            user: None,
            password: password.map(|text| Secret::new(text.as_bytes())),
            sentinel_password: None,
            authorities: None,
        })
    }

    fn remembered(&mut self) -> Option<Duration> {
        let minutes = self.number("CACHE_EXPIRATION_MINUTES", 5).max(1);
        self.switch("CACHE_ENABLED", false)
            .then(|| Duration::from_secs(minutes.saturating_mul(60)))
    }

    fn authorizer(&mut self) -> Option<Arc<str>> {
        let url = self.text("EXTERNAL_AUTHZ_URL")?;
        if !is_web(&url) {
            let remedy = "write it as `http://HOST/PATH`";
            self.bad("EXTERNAL_AUTHZ_URL", "is no web address", remedy);
        }
        Some(url)
    }

    /// `[{"matches": "…", "replaces": "…"}]`.
    fn transformers(&mut self) -> Vec<Transformer> {
        const NAME: &str = "USERID_TRANSFORMERS";
        const REMEDY: &str = "write it as `[{\"matches\": \"PATTERN\", \"replaces\": \"TEXT\"}]`";
        let Some(text) = self.text(NAME) else {
            return Vec::new();
        };
        let Ok(listed) = serde_json::from_str::<Vec<serde_json::Value>>(&text) else {
            self.bad(NAME, "is no list in JSON", REMEDY);
            return Vec::new();
        };
        let mut transformers = Vec::new();
        for one in listed {
            let text = |name: &str| one.get(name).and_then(serde_json::Value::as_str);
            let matches = text("matches").and_then(|source| Regex::anywhere(source).ok());
            match (matches, text("replaces")) {
                (Some(matches), Some(replaces)) => transformers.push(Transformer {
                    matches,
                    replaces: replaces.into(),
                }),
                _ => self.bad(NAME, "has an entry that cannot be read", REMEDY),
            }
        }
        transformers
    }

    /// The path of an address or path.
    fn path_of(&mut self, name: &str, text: &str) -> Arc<str> {
        let parsed = url::Url::parse(text).ok().filter(url::Url::has_host);
        match parsed {
            Some(url) => url.path().into(),
            None if is_path(text) => text.into(),
            None => {
                self.bad(name, "is no web address and no path", "write it as `/path`");
                "/".into()
            }
        }
    }

    fn text(&self, name: &str) -> Option<Arc<str>> {
        let mut all = self.environment.iter();
        let (_, value) = all.find(|(one, _)| one == name)?;
        (!value.is_empty()).then(|| Arc::from(&**value))
    }

    fn required(&mut self, name: &'static str) -> Arc<str> {
        self.text(name).unwrap_or_else(|| {
            self.report(
                codes::LOGIN_OPTION_MISSING,
                Severity::Error,
                name,
                format!("`{name}` is missing"),
                "set the variable".to_owned(),
            );
            "".into()
        })
    }

    /// With commas or blanks: the generations differ, and manifests have both.
    fn list(&self, name: &str) -> Vec<Arc<str>> {
        let text = self.text(name).unwrap_or_else(|| "".into());
        text.split([',', ' ', '\t', '\n'])
            .filter(|item| !item.is_empty())
            .map(Arc::from)
            .collect()
    }

    fn switch(&mut self, name: &str, unset: bool) -> bool {
        match self.text(name).as_deref() {
            None => unset,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some(_) => {
                self.bad(
                    name,
                    "has to be `true` or `false`",
                    "write `true` or `false`",
                );
                unset
            }
        }
    }

    fn number(&mut self, name: &str, unset: u64) -> u64 {
        match self.text(name).map(|text| text.parse()) {
            None => unset,
            Some(Ok(number)) => number,
            Some(Err(_)) => {
                self.bad(
                    name,
                    "has to be a whole number",
                    "write a number of seconds",
                );
                unset
            }
        }
    }

    fn header(&mut self, name: &str, unset: &'static str) -> HeaderName {
        let text = self.text(name);
        let text = text.as_deref().unwrap_or(unset);
        HeaderName::from_bytes(text.as_bytes()).unwrap_or_else(|_| {
            self.bad(
                name,
                "is no name of a header",
                "use letters, digits and `-`",
            );
            HeaderName::from_static(unset)
        })
    }

    /// Says what becomes of every variable that nothing acts on.
    fn judge_unused(&mut self) {
        for (name, becomes) in variables() {
            let Some(value) = self.text(name) else {
                continue;
            };
            match becomes {
                Becomes::Acts => {}
                Becomes::Warns(usual, _) if *value == *usual => {}
                Becomes::Warns(_, why) => self.report(
                    codes::LOGIN_OPTION_IGNORED,
                    Severity::Warning,
                    name,
                    format!("`{name}` has no effect here: {why}"),
                    "remove it, or leave it".to_owned(),
                ),
            }
        }
    }

    fn bad(&mut self, name: &str, what: &str, remedy: &str) {
        let fault = format!("`{name}` {what}");
        let code = codes::LOGIN_OPTION_VALUE;
        self.report(code, Severity::Error, name, fault, remedy.to_owned());
    }

    fn report(
        &mut self,
        code: Code,
        severity: Severity,
        name: &str,
        fault: String,
        remedy: String,
    ) {
        self.findings.push(Finding {
            code,
            severity,
            place: None,
            object: None,
            field: name.to_owned(),
            fault,
            remedy,
        });
    }
}

fn is_web(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.starts_with("//")
}
