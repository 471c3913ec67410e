//! What tests of this crate share: a clock that stands still, randomness that repeats itself, the
//! login proxy of a stock Kubeflow, and a tiny issuer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use model::names::{Duration, ObjectRef, Place, Secret, Timestamp};
use model::seams::{Clock, Randomness};
use model::snapshot::Login;
use oidc::jose::{self, SigningKey};
use oidc::pkce;
use serde_json::{Map, Value, json};

use crate::flow::target::parameter;
use crate::keys::{Keys, sha256};
use crate::proxy::LoginProxy;
use crate::sessions::{SessionSettings, Sessions};
use crate::site::Site;
use crate::transport::{Sent, Transport, TransportFault};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
pub(crate) const ISSUER: &str = "http://dex.auth.svc.cluster.local:5556/dex";
pub(crate) const HOST_NAME: &str = "kubeflow.example:8080";

/// Moves only when told to.
pub(crate) struct HeldClock(AtomicI64);

impl HeldClock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(span.as_secs() as i64, Ordering::SeqCst);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// Different at each call, the same in each run.
#[derive(Default)]
pub(crate) struct SeededRandomness(AtomicU64);

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let draw = self.0.fetch_add(1, Ordering::SeqCst);
            chunk.copy_from_slice(&sha256(&[b"seed", &draw.to_be_bytes()])[..chunk.len()]);
        }
    }
}

pub(crate) fn site() -> Site {
    Site {
        secure: false,
        authority: HOST_NAME.to_owned(),
    }
}

/// As `common/oauth2-proxy` of Kubeflow 26.03 configures it.
pub(crate) fn login() -> Login {
    let object = ObjectRef::new("ConfigMap", "oauth2-proxy", "oauth2-proxy");
    let place = Place::new("15-config.yaml", 807);
    Login {
        client_secret: Secret::new("pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok"),
        scopes: ["profile", "email", "groups", "openid"]
            .map(Arc::from)
            .to_vec(),
        login_url: Some("/dex/auth".into()),
        redeem_url: Some(format!("{ISSUER}/token").into()),
        jwks_url: Some(format!("{ISSUER}/keys").into()),
        redirect_url: Some("/oauth2/callback".into()),
        relative_redirect_url: true,
        prompt: Some("none".into()),
        cookie_name: "oauth2_proxy_kubeflow".into(),
        cookie_expire: Duration::from_secs(24 * 3600),
        cookie_secure: false,
        cookie_samesite: "lax".into(),
        display_name: "Dex".into(),
        email_domains: vec!["*".into()],
        set_authorization_header: true,
        set_xauthrequest: true,
        skip_jwt_bearer_tokens: true,
        ..Login::with_defaults(
            object,
            place,
            ISSUER.into(),
            "kubeflow-oidc-authservice".into(),
        )
    }
}

/// A code that was given out: what was asked for, to be compared when it is redeemed.
struct Granted {
    redirect_uri: String,
    challenge: String,
    nonce: String,
}

/// How the issuer misbehaves.
#[derive(Clone, Default)]
pub(crate) struct Quirks {
    pub(crate) down: bool,
    pub(crate) refuses_basic: bool,
    pub(crate) refuses_codes: bool,
    pub(crate) answer: Option<&'static str>,
    /// Claims that replace its own; `null` removes.
    pub(crate) claims: Map<String, Value>,
    /// Signed by somebody else under the same key id.
    pub(crate) stranger: bool,
    /// Members of the discovery document beside the usual ones.
    pub(crate) offers: Map<String, Value>,
    /// Whether it takes no pushed requests, though it offers to.
    pub(crate) refuses_pushed: bool,
    /// Whether it refuses refresh tokens.
    pub(crate) refuses_renewal: bool,
    /// Whether renewals bring no ID token.
    pub(crate) renews_without_id_token: bool,
    /// How long its tokens are good, seconds, when it gives refresh tokens.
    pub(crate) renewable: Option<i64>,
    /// What becomes of an ID token on its way.
    pub(crate) bend: Option<fn(&str) -> String>,
    /// Whether the discovery document says that every answer names the issuer.
    pub(crate) names_itself: bool,
    /// What its userinfo endpoint says: a status, a content type, a body. Without, it has none.
    pub(crate) user_info: Option<(u16, &'static str, String)>,
}

/// An OpenID provider, as small as it goes.
pub(crate) struct TinyIssuer {
    clock: Arc<HeldClock>,
    key: Mutex<Arc<SigningKey>>,
    stranger: SigningKey,
    codes: Mutex<HashMap<String, Granted>>,
    /// Refresh tokens that were not used yet: each is good once.
    refresh: Mutex<Vec<String>>,
    pub(crate) renewals: AtomicUsize,
    /// Bodies of requests in which a client proves who it is, the latest last.
    pub(crate) forms: Mutex<Vec<String>>,
    /// Other addresses that were asked, with GET.
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) quirks: Mutex<Quirks>,
    pub(crate) key_fetches: AtomicUsize,
    pub(crate) document_fetches: AtomicUsize,
    pub(crate) token_requests: AtomicUsize,
}

/// Made once for all tests: making one takes longer than any of them.
static OWN: OnceLock<Vec<u8>> = OnceLock::new();
static STRANGER: OnceLock<Vec<u8>> = OnceLock::new();

fn key(made: &OnceLock<Vec<u8>>) -> SigningKey {
    let fresh = || {
        SigningKey::generate("one".to_owned())
            .unwrap()
            .pkcs8()
            .to_vec()
    };
    SigningKey::from_pkcs8("one".to_owned(), made.get_or_init(fresh)).unwrap()
}

impl TinyIssuer {
    fn new(clock: Arc<HeldClock>) -> Self {
        Self {
            clock,
            key: Mutex::new(Arc::new(key(&OWN))),
            stranger: key(&STRANGER),
            codes: Mutex::default(),
            refresh: Mutex::default(),
            renewals: AtomicUsize::new(0),
            forms: Mutex::default(),
            asked: Mutex::default(),
            quirks: Mutex::default(),
            key_fetches: AtomicUsize::new(0),
            document_fetches: AtomicUsize::new(0),
            token_requests: AtomicUsize::new(0),
        }
    }

    pub(crate) fn rotate(&self, kid: &str) {
        *self.key.lock().unwrap() = Arc::new(SigningKey::generate(kid.to_owned()).unwrap());
    }

    pub(crate) fn misbehave(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.quirks.lock().unwrap());
    }

    /// A token with these claims over the usual ones.
    pub(crate) fn token(&self, changes: Value) -> String {
        let now = self.clock.now().seconds();
        let mut claims = json!({
            "iss": ISSUER, "sub": "Cg1", "aud": "kubeflow-oidc-authservice", "iat": now,
            "exp": now + 86_400, "email": "user@example.com", "email_verified": true,
            "groups": ["team-a", "team-b"], "preferred_username": "user",
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        match self.quirks.lock().unwrap().stranger {
            true => self.stranger.sign(claims).unwrap(),
            false => self.key.lock().unwrap().sign(claims).unwrap(),
        }
    }

    /// What a person's browser gets after the password: the address to go back to.
    pub(crate) fn authorize(&self, url: &str) -> String {
        let query = url.split_once('?').unwrap().1;
        let get = |name| parameter(query, name).unwrap_or_default();
        assert_eq!(get("response_type"), "code");
        assert_eq!(get("code_challenge_method"), "S256");
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        let (redirect_uri, state) = (get("redirect_uri"), get("state"));
        let back = format!("{redirect_uri}?code={code}&state={state}");
        let granted = Granted {
            redirect_uri,
            challenge: get("code_challenge"),
            nonce: get("nonce"),
        };
        codes.insert(code, granted);
        back
    }

    fn redeem(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.token_requests.fetch_add(1, Ordering::SeqCst);
        let form = std::str::from_utf8(request.body()).unwrap();
        self.forms.lock().unwrap().push(form.to_owned());
        let get = |name| parameter(form, name).unwrap_or_default();
        let quirks = self.quirks.lock().unwrap().clone();
        let error = |status: u16, error: &str| answer(status, json!({"error": error}).to_string());
        let basic = request
            .headers()
            .get(AUTHORIZATION)
            .map(|value| value.as_bytes().to_vec());
        let known = match (&basic, quirks.refuses_basic) {
            (Some(_), true) => false,
            (Some(value), false) => value.starts_with(b"Basic a3ViZWZsb3ct"),
            (None, _) if get("client_assertion_type").ends_with(":jwt-bearer") => true,
            (None, _) => get("client_secret") == "pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok",
        };
        if !known {
            return error(401, "invalid_client");
        }
        if let Some(text) = quirks.answer {
            return answer(200, text.to_owned());
        }
        if get("grant_type") == "refresh_token" {
            return self.renew(&get("refresh_token"), &quirks);
        }
        let Some(granted) = self.codes.lock().unwrap().remove(&get("code")) else {
            return error(400, "invalid_grant");
        };
        let proven = pkce::matches(
            pkce::Method::S256,
            &granted.challenge,
            &get("code_verifier"),
        );
        if quirks.refuses_codes || !proven || granted.redirect_uri != get("redirect_uri") {
            return error(400, "invalid_grant");
        }
        let mut claims = json!({"nonce": granted.nonce, "at_hash": jose::left_half_hash("at")});
        claims
            .as_object_mut()
            .unwrap()
            .extend(quirks.claims.clone());
        if let Some(life) = quirks.renewable {
            claims["exp"] = json!(self.clock.now().seconds() + life);
        }
        let id_token = self.token(claims);
        let id_token = quirks.bend.map_or(id_token.clone(), |bend| bend(&id_token));
        let mut body = json!({"access_token": "at", "token_type": "bearer", "id_token": id_token});
        if let Some(life) = quirks.renewable {
            body["expires_in"] = json!(life);
            body["refresh_token"] = json!(self.fresh_refresh_token());
        }
        answer(200, body.to_string())
    }

    fn fresh_refresh_token(&self) -> String {
        let mut held = self.refresh.lock().unwrap();
        let number = self.renewals.load(Ordering::SeqCst);
        let token = format!("refresh-{number}-{}", held.len());
        held.push(token.clone());
        token
    }

    /// RFC 6749 §6, with rotation: a refresh token is good once.
    fn renew(&self, token: &str, quirks: &Quirks) -> Response<Bytes> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        let before = self.refresh.lock().unwrap().len();
        self.refresh.lock().unwrap().retain(|one| one != token);
        let known = before > self.refresh.lock().unwrap().len();
        if !known || quirks.refuses_renewal {
            return answer(400, json!({"error": "invalid_grant"}).to_string());
        }
        let life = quirks.renewable.unwrap_or(60);
        let mut claims = quirks.claims.clone();
        claims.insert("exp".to_owned(), json!(self.clock.now().seconds() + life));
        let number = self.renewals.load(Ordering::SeqCst);
        let mut body = json!({
            "access_token": format!("at-{number}"), "token_type": "bearer", "expires_in": life,
            "refresh_token": self.fresh_refresh_token(),
        });
        if !quirks.renews_without_id_token {
            let id_token = self.token(Value::Object(claims));
            body["id_token"] = json!(quirks.bend.map_or(id_token.clone(), |bend| bend(&id_token)));
        }
        answer(200, body.to_string())
    }
}

impl TinyIssuer {
    /// The userinfo endpoint, which takes its own access tokens alone.
    fn tell(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.asked.lock().unwrap().push(request.uri().to_string());
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        let said = self.quirks.lock().unwrap().user_info.clone();
        match said {
            Some((status, kind, body))
                if token.is_some_and(|token| token.starts_with(b"Bearer at")) =>
            {
                let mut answer = answer(status, body);
                let kind = HeaderValue::from_static(kind);
                answer.headers_mut().insert("content-type", kind);
                answer
            }
            Some(_) => answer(401, String::new()),
            None => answer(404, String::new()),
        }
    }
}

fn answer(status: u16, body: String) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}

impl Transport for TinyIssuer {
    fn send(&self, request: Request<Bytes>) -> Sent<'_> {
        Box::pin(async move {
            if self.quirks.lock().unwrap().down {
                return Err(TransportFault::Unreachable);
            }
            let path = request.uri().to_string();
            Ok(match path.strip_prefix(ISSUER).unwrap_or_default() {
                "/keys" => {
                    self.key_fetches.fetch_add(1, Ordering::SeqCst);
                    let key = self.key.lock().unwrap().jwk();
                    answer(200, json!({"keys": [key]}).to_string())
                }
                "/.well-known/openid-configuration" => {
                    self.document_fetches.fetch_add(1, Ordering::SeqCst);
                    let at = |path: &str| format!("{ISSUER}{path}");
                    let mut document = json!({
                        "issuer": ISSUER, "authorization_endpoint": at("/auth"),
                        "token_endpoint": at("/token"), "jwks_uri": at("/keys"),
                        "authorization_response_iss_parameter_supported":
                            self.quirks.lock().unwrap().names_itself,
                    });
                    let offers = self.quirks.lock().unwrap().offers.clone();
                    document.as_object_mut().unwrap().extend(offers);
                    answer(200, document.to_string())
                }
                "/par" => {
                    let form = String::from_utf8(request.body().to_vec()).unwrap();
                    let number = self.forms.lock().unwrap().len();
                    self.forms.lock().unwrap().push(form);
                    let body =
                        json!({"request_uri": format!("urn:pushed:{number}"), "expires_in": 60});
                    match self.quirks.lock().unwrap().refuses_pushed {
                        true => answer(400, json!({"error": "invalid_request"}).to_string()),
                        false => answer(201, body.to_string()),
                    }
                }
                "/token" => {
                    // Long enough for others to come in between.
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    self.redeem(&request)
                }
                "/userinfo" => self.tell(&request),
                _ => {
                    self.asked.lock().unwrap().push(path);
                    answer(404, String::new())
                }
            })
        })
    }
}

/// A login proxy with its store, its issuer, and a browser.
pub(crate) struct Bench {
    pub(crate) clock: Arc<HeldClock>,
    pub(crate) issuer: Arc<TinyIssuer>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) login: Arc<Login>,
    pub(crate) proxy: LoginProxy,
    pub(crate) directory: tempfile::TempDir,
    randomness: Arc<SeededRandomness>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Login)) -> Self {
        let clock = Arc::new(HeldClock(AtomicI64::new(NOW.seconds())));
        let issuer = Arc::new(TinyIssuer::new(clock.clone()));
        let randomness = Arc::new(SeededRandomness::default());
        let keys = Arc::new(Keys::new(issuer.clone(), clock.clone()));
        let directory = tempfile::tempdir().unwrap();
        let sessions = open(
            directory.path(),
            keys.clone(),
            clock.clone(),
            randomness.clone(),
        )
        .await;
        let mut login = login();
        change(&mut login);
        let login = Arc::new(login);
        let proxy = LoginProxy::new(
            login.clone(),
            sessions.clone(),
            clock.clone(),
            randomness.clone(),
        );
        Self {
            clock,
            issuer,
            keys,
            sessions,
            login,
            proxy,
            directory,
            randomness,
        }
    }

    /// The same state directory, opened by another process at the same time.
    pub(crate) async fn beside(&self) -> Arc<Sessions> {
        open(
            self.directory.path(),
            self.keys.clone(),
            self.clock.clone(),
            self.randomness.clone(),
        )
        .await
    }

    /// Another process with these settings.
    pub(crate) async fn with_settings(&self, settings: SessionSettings) -> Arc<Sessions> {
        let parts = (
            self.keys.clone(),
            self.clock.clone(),
            self.randomness.clone(),
        );
        let sessions = Sessions::with(settings, parts.0, parts.1, parts.2).await;
        Arc::new(sessions.unwrap())
    }

    /// The login proxy keeps its sessions there from now on.
    pub(crate) fn work_with(&mut self, sessions: Arc<Sessions>) {
        self.sessions = sessions;
        self.proxy = LoginProxy::new(
            self.login.clone(),
            self.sessions.clone(),
            self.clock.clone(),
            self.randomness.clone(),
        );
    }

    /// The same state directory, opened by another process.
    pub(crate) async fn reopen(&mut self) {
        self.sessions.close().await;
        let parts = (
            self.keys.clone(),
            self.clock.clone(),
            self.randomness.clone(),
        );
        self.sessions = open(self.directory.path(), parts.0, parts.1, parts.2).await;
        self.proxy = LoginProxy::new(
            self.login.clone(),
            self.sessions.clone(),
            self.clock.clone(),
            self.randomness.clone(),
        );
    }

    pub(crate) async fn get(&self, path: &str, browser: &Browser) -> Response<Bytes> {
        let mut request = Request::get(path).body(Bytes::new()).unwrap();
        *request.headers_mut() = browser.headers();
        self.proxy.handle(request).await
    }

    /// All the way: start, issuer, callback; gives where the person ends up.
    pub(crate) async fn sign_in(&self, browser: &mut Browser, wanted: &str) -> String {
        let back = self.leave(browser, wanted).await;
        let answer = self.get(&back, browser).await;
        browser.take(&answer);
        assert_eq!(answer.status(), StatusCode::FOUND, "{}", body(&answer));
        location(&answer)
    }

    /// Half the way: the address that the issuer sends the browser back to.
    pub(crate) async fn leave(&self, browser: &mut Browser, wanted: &str) -> String {
        let wanted: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let answer = self
            .get(&format!("/oauth2/start?rd={wanted}"), browser)
            .await;
        browser.take(&answer);
        assert_eq!(answer.status(), StatusCode::FOUND, "{}", body(&answer));
        self.issuer.authorize(&location(&answer))
    }
}

async fn open(
    directory: &Path,
    keys: Arc<Keys>,
    clock: Arc<HeldClock>,
    randomness: Arc<SeededRandomness>,
) -> Arc<Sessions> {
    let path = directory.join("sessions.db");
    let sessions = Sessions::open(&path, keys, clock, randomness).await;
    let sessions = Arc::new(sessions.unwrap());
    tokio::spawn(sessions.clone().renew());
    sessions
}

/// Cookies by name, as a browser keeps them.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: Vec<(String, String)>,
}

impl Browser {
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(HOST_NAME));
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !pairs.is_empty() {
            headers.insert(COOKIE, HeaderValue::from_str(&pairs.join("; ")).unwrap());
        }
        headers
    }

    pub(crate) fn take(&mut self, answer: &Response<Bytes>) {
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(one, _)| one != name);
            if !attributes.contains("Max-Age=0;") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies
            .iter()
            .find(|(one, _)| one == name)
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) fn body(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

pub(crate) fn location(answer: &Response<Bytes>) -> String {
    answer.headers()[LOCATION].to_str().unwrap().to_owned()
}
