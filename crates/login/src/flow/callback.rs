//! Coming back from the issuer: what is checked, in which order, and what is asked for in between.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, StatusCode};
use model::names::Timestamp;
use model::snapshot::{Login, LoginShape};
use oidc::discovery::ProviderMetadata;
use oidc::id_token::{Expected, IdTokenFault};
use oidc::wire::{ErrorCode, TokenResponse};
use policy::TokenFault;
use serde_json::{Map, Value};

use super::attempt::{Attempt, AttemptFault, STATE_LENGTH, Seal};
use super::begin::redirect_uri;
use super::identity::{Identity, IdentityFault};
use super::renewal;
use super::target::{Target, parameter, parameter_count};
use super::token::{expiry_of, fits_access_token, leeway_seconds, takes_algorithm};
use super::user_info::UserInfoFault;
use crate::client::error_code;
use crate::issuer::IssuerFault;
use crate::sessions::NewSession;
use crate::sessions::store::Tokens;
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
    /// The userinfo endpoint was to be asked, and its answer is of no use.
    UserInfo(UserInfoFault),
    /// The claims describe nobody who can be let in.
    Identity(IdentityFault),
    /// E-mail or groups may not enter.
    NotAllowedIn,
    /// The session store did not take it.
    StoreUnavailable,
    /// The session fits into no cookie, which is where it would be.
    TooLong,
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

/// Tokens that nobody has proven yet.
pub(crate) struct Redeemed<'a> {
    login: &'a Login,
    attempt: Attempt,
    tokens: TokenResponse,
    id_token: String,
}

/// Whom the proven ID token speaks of; what the userinfo endpoint says may be wanted beside it.
pub(crate) struct Proven<'a> {
    login: &'a Login,
    attempt: Attempt,
    tokens: TokenResponse,
    id_token: String,
    claims: Map<String, Value>,
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
        let state = parameter(parameters, "state").ok_or(CallbackFault::StateMalformed)?;
        if state.len() != STATE_LENGTH || BASE64URL_NOPAD.decode(state.as_bytes()).is_err() {
            // An OAuth2 Proxy, which writes it in two parts, began this sign-in before we took over.
            return Err(match state.contains(':') {
                true => CallbackFault::Attempt(AttemptFault::Forged),
                false => CallbackFault::StateMalformed,
            });
        }
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

    /// The access token request (RFC 6749 §4.1.3, RFC 7636 §4.5), but for who asks.
    pub(crate) fn token_request(&self) -> [(&'static str, String); 4] {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("code", self.code.clone()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("code_verifier", self.attempt.verifier().as_str().to_owned()),
        ]
    }

    /// Takes the token endpoint's answer.
    pub(crate) fn answered(
        self,
        answer: &http::Response<Bytes>,
    ) -> Result<Redeemed<'a>, CallbackFault> {
        if answer.status() != StatusCode::OK {
            return Err(CallbackFault::CodeRefused(error_code(answer)));
        }
        let mut tokens: TokenResponse =
            serde_json::from_slice(answer.body()).map_err(|_| CallbackFault::AnswerUnreadable)?;
        let id_token = tokens
            .id_token
            .take()
            .ok_or(CallbackFault::AnswerUnreadable)?;
        let Self { login, attempt, .. } = self;
        Ok(Redeemed {
            login,
            attempt,
            tokens,
            id_token,
        })
    }
}

impl<'a> Redeemed<'a> {
    /// The issuer that was asked, with its options.
    pub(crate) fn choice(&self) -> &'a Login {
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
    ) -> Result<Proven<'a>, CallbackFault> {
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
        if !takes_algorithm(login, &id_token) {
            return Err(CallbackFault::AlgorithmRefused);
        }
        oidc::id_token::check(claims, &expected).map_err(CallbackFault::IdToken)?;
        if !fits_access_token(&id_token, claims, &tokens.access_token) {
            return Err(CallbackFault::AnotherAccessToken);
        }
        Ok(Proven {
            login,
            attempt,
            tokens,
            id_token,
            claims: claims.clone(),
        })
    }
}

impl Proven<'_> {
    /// The claims of the ID token.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// What the userinfo endpoint is asked with.
    pub(crate) fn access_token(&self) -> &str {
        &self.tokens.access_token
    }

    /// Reads who it is, with what the userinfo endpoint said where it was asked.
    pub(crate) fn signed_in(
        self,
        user_info: Option<&Map<String, Value>>,
        now: Timestamp,
    ) -> Result<SignedIn, CallbackFault> {
        let Self {
            login,
            attempt,
            tokens,
            id_token,
            claims,
        } = self;
        let identity =
            Identity::read(login, &claims, user_info).map_err(CallbackFault::Identity)?;
        if !policy::admits(login, Some(&identity.email), &identity.groups) {
            return Err(CallbackFault::NotAllowedIn);
        }
        let lasting = Lasting::of(login, &claims, &tokens, now)?;
        let session = NewSession {
            login: login.key(),
            issuer: login.issuer.to_string(),
            sid: claims.get("sid").and_then(Value::as_str).map(str::to_owned),
            identity,
            id_token,
            access_token: Some(tokens.access_token).filter(|token| !token.is_empty()),
            shows_access_token: login.pass_access_token,
            refresh_token: tokens.refresh_token,
            tokens: lasting.tokens,
            created: now,
            expires: lasting.expires,
        };
        Ok(SignedIn {
            target: attempt.target().clone(),
            session,
        })
    }
}

/// Whether `path` is where answers of `login`'s issuer come to: each issuer of several has a callback
/// of its own, so that the answer of one is not taken for that of another (RFC 9700 §4.4.2.2).
fn is_callback_of(login: &Login, path: &str) -> bool {
    if let LoginShape::AuthService(shape) = &login.shape {
        return *shape.callback == *path;
    }
    let own = format!("/callback/{}", login.choice);
    let sent = login.redirect_url.as_deref().unwrap_or_default();
    let wanted = match !login.choice.is_empty() && sent.ends_with(&own) {
        true => &own,
        false => "/callback",
    };
    path.strip_prefix(&*login.prefix) == Some(wanted)
}

/// How long a session and its tokens last.
struct Lasting {
    expires: Timestamp,
    tokens: Option<Tokens>,
}

impl Lasting {
    /// With a refresh token, a session lasts as long as its cookie. Without, never longer than its ID
    /// token: what stands behind us refuses an expired one.
    fn of(
        login: &Login,
        claims: &Map<String, Value>,
        answer: &TokenResponse,
        now: Timestamp,
    ) -> Result<Self, CallbackFault> {
        let token = expiry_of(claims).ok_or(CallbackFault::IdToken(IdTokenFault::NoExpiry))?;
        // A token inside the leeway would make a session that is over before it begins.
        if token <= now {
            return Err(CallbackFault::IdToken(IdTokenFault::Expired));
        }
        let cookie = match login.cookie_expire {
            span if span.is_zero() => token,
            span => now.plus(span),
        };
        if answer.refresh_token.is_none() {
            return Ok(Self {
                expires: token.min(cookie),
                tokens: None,
            });
        }
        let until = renewal::until(Some(token), answer.expires_in, now);
        Ok(Self {
            expires: cookie,
            tokens: Some(renewal::tokens(login, now, until)),
        })
    }
}
