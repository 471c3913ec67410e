//! Coming back from the issuer: what is checked, in which order, and what is asked for in between.

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::names::Timestamp;
use model::snapshot::Login;
use oidc::discovery::ProviderMetadata;
use oidc::id_token::{Expected, IdTokenFault};
use oidc::jose;
use oidc::wire::{ErrorCode, ErrorResponse, TokenResponse};
use policy::TokenFault;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::attempt::{Attempt, AttemptFault, STATE_LENGTH, Seal};
use super::begin::redirect_uri;
use super::identity::{Identity, IdentityFault};
use super::target::{Target, parameter, parameter_count};
use crate::issuer::IssuerFault;
use crate::sessions::NewSession;
use crate::site::Site;

/// Why nobody was signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallbackFault {
    /// The issuer sent an error instead of a code; `None` when it is not a registered one.
    IssuerRefused(Option<ErrorCode>),
    /// The answer says that it comes from another issuer, or does not say where from although the
    /// issuer always does (RFC 9207 §2.4), or came to the address of another issuer.
    AnotherIssuer,
    /// `state` has not the form that is sent out.
    StateMalformed,
    /// This browser did not begin this, or too long ago.
    Attempt(AttemptFault),
    /// Neither a code nor an error.
    NoCode,
    /// The issuer could not be asked.
    Issuer(IssuerFault),
    /// The issuer does not take the code, or this client.
    CodeRefused(Option<ErrorCode>),
    /// The token endpoint's answer makes no sense.
    AnswerUnreadable,
    /// The ID token's signature is not proven.
    Unproven(TokenFault),
    /// The ID token is not for us, now.
    IdToken(IdTokenFault),
    /// The ID token is signed with an algorithm that the settings do not take.
    AlgorithmRefused,
    /// `at_hash` names another access token.
    AnotherAccessToken,
    /// The claims describe nobody who can be let in.
    Identity(IdentityFault),
    /// E-mail or groups may not enter.
    NotAllowedIn,
    /// The session store did not take it.
    StoreUnavailable,
}

impl CallbackFault {
    /// Whether whoever sent the request can bring it about at will; then it is no news.
    pub(crate) fn is_senders(&self) -> bool {
        matches!(
            self,
            Self::IssuerRefused(_)
                | Self::AnotherIssuer
                | Self::StateMalformed
                | Self::Attempt(_)
                | Self::NoCode
        )
    }
}

/// A browser that came back with a code, to an attempt that it began.
pub(crate) struct Returned<'a> {
    login: &'a Login,
    attempt: Attempt,
    code: String,
    redirect_uri: String,
}

/// How the client proves who it is at the token endpoint (OpenID Connect Core §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientProof {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`, or nothing for a client without secret.
    Post,
}

/// What the token endpoint said.
pub(crate) enum Redemption<'a> {
    /// Tokens: their signature has to be proven next.
    Tokens(Redeemed<'a>),
    /// It does not know the client, who may be proven in another way.
    ClientRefused(Returned<'a>),
}

/// Tokens that nobody has proven yet.
pub(crate) struct Redeemed<'a> {
    login: &'a Login,
    attempt: Attempt,
    tokens: TokenResponse,
    id_token: String,
}

/// Somebody who may have a session.
pub(crate) struct SignedIn {
    /// Where they wanted to go.
    pub(crate) target: Target,
    /// What is kept.
    pub(crate) session: NewSession,
}

impl<'a> Returned<'a> {
    /// Reads the authorization response (RFC 6749 §4.1.2) in `parameters`, a query or a form.
    ///
    /// The state is compared before the code is spent, which OAuth2 Proxy does after; both answer
    /// the same.
    pub(crate) fn read(
        login: &'a Login,
        seal: &Seal,
        site: &Site,
        (path, headers): (&str, &HeaderMap),
        parameters: &str,
        now: Timestamp,
    ) -> Result<Self, CallbackFault> {
        // RFC 6749 §3.1: none may be there twice; two readers would take different ones.
        for name in ["error", "state", "code", "iss"] {
            if parameter_count(parameters, name) > 1 {
                return Err(CallbackFault::StateMalformed);
            }
        }
        if let Some(error) = parameter(parameters, "error") {
            return Err(CallbackFault::IssuerRefused(error.parse().ok()));
        }
        let state = parameter(parameters, "state")
            .filter(|state| {
                state.len() == STATE_LENGTH && BASE64URL_NOPAD.decode(state.as_bytes()).is_ok()
            })
            .ok_or(CallbackFault::StateMalformed)?;
        let attempt = seal
            .find(login, headers, &state, now)
            .map_err(CallbackFault::Attempt)?;
        // What was begun at an issuer that is offered no more.
        let login = attempt
            .choice(login)
            .ok_or(CallbackFault::Attempt(AttemptFault::Forged))?;
        if parameter(parameters, "iss").is_some_and(|issuer| issuer != *login.issuer)
            || !is_callback_of(login, path)
        {
            return Err(CallbackFault::AnotherIssuer);
        }
        let code = parameter(parameters, "code")
            .filter(|code| !code.is_empty())
            .ok_or(CallbackFault::NoCode)?;
        let redirect_uri = redirect_uri(login, site);
        Ok(Self {
            login,
            attempt,
            code,
            redirect_uri,
        })
    }

    /// The issuer that was asked, with its options.
    pub(crate) fn choice(&self) -> &'a Login {
        self.login
    }

    /// Takes into account what the issuer says of itself: one that names itself in every answer did
    /// not send one without its name (RFC 9207 §2.4).
    pub(crate) fn named_by(
        self,
        parameters: &str,
        metadata: Option<&ProviderMetadata>,
    ) -> Result<Self, CallbackFault> {
        let always = metadata.is_some_and(|metadata| {
            metadata.authorization_response_iss_parameter_supported == Some(true)
        });
        match always && parameter(parameters, "iss").is_none() {
            true => Err(CallbackFault::AnotherIssuer),
            false => Ok(self),
        }
    }

    /// The access token request (RFC 6749 §4.1.3, RFC 7636 §4.5).
    pub(crate) fn token_request(
        &self,
        endpoint: &str,
        proof: ClientProof,
    ) -> Result<http::Request<Bytes>, CallbackFault> {
        let verifier = self.attempt.verifier();
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", &self.code)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("code_verifier", verifier.as_str());
        let secret = self.login.client_secret.expose();
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        match proof {
            ClientProof::Basic => {
                let encode = |bytes| byte_serialize(bytes).collect::<String>();
                let pair = format!(
                    "{}:{}",
                    encode(self.login.client_id.as_bytes()),
                    encode(secret)
                );
                let value = format!("Basic {}", BASE64.encode(pair.as_bytes()));
                let mut value =
                    HeaderValue::from_str(&value).map_err(|_| CallbackFault::AnswerUnreadable)?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            ClientProof::Post => {
                form.append_pair("client_id", &self.login.client_id);
                if !secret.is_empty() {
                    form.append_pair("client_secret", &String::from_utf8_lossy(secret));
                }
            }
        }
        request
            .body(Bytes::from(form.finish()))
            .map_err(|_| CallbackFault::Issuer(IssuerFault::BadAddress))
    }

    /// Takes the token endpoint's answer.
    pub(crate) fn answered(
        self,
        answer: &http::Response<Bytes>,
    ) -> Result<Redemption<'a>, CallbackFault> {
        if answer.status() != StatusCode::OK {
            let error: Option<ErrorResponse> = serde_json::from_slice(answer.body()).ok();
            let code = error.and_then(|error| error.code());
            let unknown_client = code == Some(ErrorCode::InvalidClient)
                || (code.is_none() && answer.status() == StatusCode::UNAUTHORIZED);
            return match unknown_client {
                true => Ok(Redemption::ClientRefused(self)),
                false => Err(CallbackFault::CodeRefused(code)),
            };
        }
        let mut tokens: TokenResponse =
            serde_json::from_slice(answer.body()).map_err(|_| CallbackFault::AnswerUnreadable)?;
        let id_token = tokens
            .id_token
            .take()
            .ok_or(CallbackFault::AnswerUnreadable)?;
        let Self { login, attempt, .. } = self;
        Ok(Redemption::Tokens(Redeemed {
            login,
            attempt,
            tokens,
            id_token,
        }))
    }
}

impl Redeemed<'_> {
    /// The issuer that was asked, with its options.
    pub(crate) fn choice(&self) -> &Login {
        self.login
    }

    /// The ID token, whose signature has to be proven with the issuer's keys.
    pub(crate) fn id_token(&self) -> &str {
        &self.id_token
    }

    /// Takes the claims of the proven ID token.
    pub(crate) fn proven(
        self,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<SignedIn, CallbackFault> {
        let Self {
            login,
            attempt,
            tokens,
            id_token,
        } = self;
        let nonce = attempt.nonce();
        let extra: Vec<&str> = login.extra_audiences.iter().map(|one| &**one).collect();
        let expected = Expected {
            issuer: &login.issuer,
            client_id: &login.client_id,
            extra_audiences: &extra,
            nonce: Some(&nonce),
            now: now.seconds(),
            leeway_seconds: leeway_seconds(login),
        };
        let algorithm = algorithm(&id_token);
        let mut taken = login.signing_algorithms.iter();
        if !login.signing_algorithms.is_empty() && !taken.any(|one| **one == *algorithm) {
            return Err(CallbackFault::AlgorithmRefused);
        }
        oidc::id_token::check(claims, &expected).map_err(CallbackFault::IdToken)?;
        check_access_token(&algorithm, claims, &tokens.access_token)?;
        let identity = Identity::read(login, claims).map_err(CallbackFault::Identity)?;
        if !policy::admits(login, Some(&identity.email), &identity.groups) {
            return Err(CallbackFault::NotAllowedIn);
        }
        let session = NewSession {
            login: login.key(),
            issuer: login.issuer.to_string(),
            sid: claims.get("sid").and_then(Value::as_str).map(str::to_owned),
            identity,
            id_token,
            access_token: Some(tokens.access_token).filter(|token| !token.is_empty()),
            refresh_token: tokens.refresh_token,
            created: now,
            expires: expiry(login, claims, now)?,
        };
        Ok(SignedIn {
            target: attempt.target().clone(),
            session,
        })
    }
}

/// How far the clock of the issuer may be off.
pub(crate) fn leeway_seconds(login: &Login) -> i64 {
    i64::try_from(login.clock_skew.as_secs()).unwrap_or(i64::MAX)
}

/// Whether `path` is where answers of `login`'s issuer come to: each issuer of several has a callback
/// of its own, so that the answer of one is not taken for that of another (RFC 9700 §4.4.2.2).
fn is_callback_of(login: &Login, path: &str) -> bool {
    let own = format!("/callback/{}", login.choice);
    let sent = login.redirect_url.as_deref().unwrap_or_default();
    let wanted = match !login.choice.is_empty() && sent.ends_with(&own) {
        true => &own,
        false => "/callback",
    };
    path.strip_prefix(&*login.prefix) == Some(wanted)
}

/// `alg` of a token's header.
fn algorithm(id_token: &str) -> String {
    let header = id_token.split('.').next().unwrap_or_default();
    let header: Map<String, Value> = BASE64URL_NOPAD
        .decode(header.as_bytes())
        .ok()
        .and_then(|header| serde_json::from_slice(&header).ok())
        .unwrap_or_default();
    let algorithm = header.get("alg").and_then(Value::as_str);
    algorithm.unwrap_or_default().to_owned()
}

/// `at_hash`, when there is one and its digest is SHA-256 (OpenID Connect Core §3.1.3.8).
fn check_access_token(
    algorithm: &str,
    claims: &Map<String, Value>,
    access_token: &str,
) -> Result<(), CallbackFault> {
    let Some(stated) = claims.get("at_hash") else {
        return Ok(());
    };
    if !algorithm.ends_with("256") {
        return Ok(());
    }
    let stated = stated.as_str().unwrap_or_default();
    let same = jose::left_half_hash(access_token)
        .as_bytes()
        .ct_eq(stated.as_bytes());
    if bool::from(same) {
        Ok(())
    } else {
        Err(CallbackFault::AnotherAccessToken)
    }
}

/// A session lasts as long as its cookie, and never longer than its ID token: what stands behind us
/// refuses an expired one.
fn expiry(
    login: &Login,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Timestamp, CallbackFault> {
    let stated = claims.get("exp");
    #[allow(clippy::cast_possible_truncation)] // RFC 7519 §2 allows fractions
    let token = stated
        .and_then(|time| {
            time.as_i64()
                .or_else(|| time.as_f64().map(|time| time as i64))
        })
        .map(Timestamp::from_seconds)
        .ok_or(CallbackFault::IdToken(IdTokenFault::NoExpiry))?;
    let expires = match login.cookie_expire {
        span if span.is_zero() => token,
        span => token.min(now.plus(span)),
    };
    // A token inside the leeway would make a session that is over before it begins.
    if expires <= now {
        Err(CallbackFault::IdToken(IdTokenFault::Expired))
    } else {
        Ok(expires)
    }
}
