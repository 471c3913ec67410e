//! The rules of an authorization request, in Dex's order: what comes before the redirect URI is
//! known to be the client's is shown, what comes after is redirected.

use model::names::Timestamp;
use model::snapshot::{
    Conformance, FrontChannel, GrantType, PromptRule, Provider, ProviderClient, RequestRule,
};
use oidc::jose::KeySet;
use oidc::pkce;
use oidc::wire::ErrorCode;
use url::{Host, Url};

use super::wishes::Wishes;
use super::{Asked, Challenge, Delivery, OUT_OF_BAND, Response, ResponseMode, Scopes};
use crate::form::Form;

/// Why a request may not go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CheckFault {
    /// Shown: sending a browser there would make us an open redirector.
    UnregisteredRedirect,
    /// Sent to the client.
    Redirected {
        delivery: Delivery,
        code: ErrorCode,
        reason: &'static str,
    },
}

pub(crate) type Reason = (ErrorCode, &'static str);

/// What a request is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) settings: &'a Provider,
    /// The client that the request names.
    pub(crate) client: &'a ProviderClient,
    /// Our own keys, which signed the hints that we accept.
    pub(crate) keys: &'a KeySet,
    /// How the parameters came.
    pub(crate) arrival: Arrival,
    pub(crate) now: Timestamp,
}

/// How parameters came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// By the browser.
    Plain,
    /// Pushed by the client (RFC 9126).
    Pushed,
}

impl Facts<'_> {
    /// Whether `prompt` and its like count. Stock Kubeflow's OAuth2 Proxy always sends `prompt=none`
    /// to a provider that remembers nobody.
    pub(crate) fn prompt_counts(&self) -> bool {
        let protocol = &self.settings.protocol;
        protocol.conformance == Conformance::Strict
            || protocol.sessions.is_some()
            || self.client.rules.prompt == PromptRule::Always
    }

    /// Checks `form` for a sign-in at `connector`, or anywhere when that is empty; `id` names the
    /// request if all is well.
    pub(crate) fn check(
        self,
        form: &Form,
        connector: &str,
        id: String,
    ) -> Result<Asked, CheckFault> {
        let redirect = form.text("redirect_uri");
        if !may_answer_at(self.settings, self.client, redirect) {
            return Err(CheckFault::UnregisteredRedirect);
        }
        let response = Response::parse(form.text("response_type"));
        let usual = response.map_or(ResponseMode::Query, Response::usual_mode);
        let asked_mode = form.find("response_mode").map(ResponseMode::parse);
        let delivery = Delivery::of(form);
        let for_device = is_device_callback(self.settings, redirect);
        let checked = self.parameters(form).and_then(|parameters| {
            if asked_mode == Some(None) {
                return Err((ErrorCode::InvalidRequest, "the response mode is unknown"));
            }
            if asked_mode == Some(Some(ResponseMode::Query)) && usual != ResponseMode::Query {
                return Err((ErrorCode::InvalidRequest, "tokens are not sent in a query"));
            }
            Ok(parameters)
        });
        match checked {
            Ok(parameters) => Ok(Asked {
                id,
                client: self.client.id.to_string(),
                delivery,
                response: parameters.response,
                nonce: form.text("nonce").to_owned(),
                scopes: parameters.scopes,
                challenge: parameters.challenge,
                connector: connector.to_owned(),
                // Who typed a code that somebody else showed them has to see whom they let in
                // (RFC 8628 §5.4).
                ask_approval: for_device
                    || form.text("approval_prompt") == "force"
                    || form
                        .text("prompt")
                        .split_ascii_whitespace()
                        .any(|word| word == "consent"),
                wishes: parameters.wishes,
                key: form.find("dpop_jkt").map(str::to_owned),
                session: None,
                expires_at: self.now.plus(self.settings.request_lifetime).seconds(),
            }),
            Err((code, reason)) => Err(CheckFault::Redirected {
                delivery,
                code,
                reason,
            }),
        }
    }

    fn parameters(&self, form: &Form) -> Result<Parameters, Reason> {
        if form.find("request").is_some() {
            return Err((
                ErrorCode::RequestNotSupported,
                "request objects are not supported",
            ));
        }
        if form.find("request_uri").is_some() {
            return Err((
                ErrorCode::RequestUriNotSupported,
                "request objects are not supported",
            ));
        }
        if self.client.rules.requests == RequestRule::Pushed && self.arrival == Arrival::Plain {
            return Err((
                ErrorCode::InvalidRequest,
                "this client has to push its requests",
            ));
        }
        let challenge = self.challenge(form)?;
        let scopes = Scopes::parse(form.text("scope"))
            .ok_or((ErrorCode::InvalidScope, "the scope `openid` is missing"))?;
        if !scopes
            .audiences
            .iter()
            .all(|peer| trusts(self.settings, peer, self.client))
        {
            return Err((
                ErrorCode::InvalidScope,
                "a named audience does not trust this client",
            ));
        }
        let response = self.response(form)?;
        let wishes = if self.prompt_counts() {
            Wishes::read(form, &self.settings.issuer, self.keys)?
        } else {
            Wishes::default()
        };
        Ok(Parameters {
            response,
            scopes,
            challenge,
            wishes,
        })
    }

    fn is_strict(&self) -> bool {
        self.settings.protocol.conformance == Conformance::Strict
    }

    fn challenge(&self, form: &Form) -> Result<Option<Challenge>, Reason> {
        let Some(text) = form.find("code_challenge") else {
            // OAuth 2.1 §4.1.1: who proves nothing else proves that the code is its own.
            if is_device_callback(self.settings, form.text("redirect_uri")) {
                return Ok(None);
            }
            if self.settings.pkce.enforced || (self.is_strict() && self.client.public) {
                return Err((ErrorCode::InvalidRequest, "the code challenge is missing"));
            }
            return Ok(None);
        };
        let word = form.find("code_challenge_method").unwrap_or("plain");
        let offered = self.settings.pkce.methods.iter().any(|one| **one == *word);
        let method = pkce::Method::parse(word).filter(|_| offered);
        match method {
            Some(pkce::Method::Plain) if self.is_strict() => Err((
                ErrorCode::InvalidRequest,
                "the code challenge has to be hashed",
            )),
            None => Err((
                ErrorCode::InvalidRequest,
                "the code challenge method is unknown",
            )),
            Some(method) => Ok(Some(Challenge {
                hashed: method == pkce::Method::S256,
                text: text.to_owned(),
            })),
        }
    }

    fn response(&self, form: &Form) -> Result<Response, Reason> {
        let text = form.text("response_type");
        if text.trim().is_empty() {
            return Err((ErrorCode::InvalidRequest, "the response type is missing"));
        }
        let response = Response::parse(text)
            .ok_or((ErrorCode::InvalidRequest, "the response type is unknown"))?;
        if response.token && !response.code && !response.id_token {
            return Err((
                ErrorCode::InvalidRequest,
                "the response type `token` cannot stand alone",
            ));
        }
        let offered = match self.settings.protocol.responses {
            FrontChannel::Code => !response.id_token && !response.token,
            FrontChannel::IdToken => !response.token,
            FrontChannel::Tokens => true,
        };
        let own = self.client.rules.responses.as_ref();
        let registered =
            own.is_none_or(|all| all.iter().any(|one| Response::parse(one) == Some(response)));
        if !offered {
            return Err((
                ErrorCode::UnsupportedResponseType,
                "the response type is not offered",
            ));
        }
        if !registered {
            return Err((
                ErrorCode::UnauthorizedClient,
                "the client is not registered for the response type",
            ));
        }
        // Dex asks for it only where there is no code (OpenID Connect Core §3.3.2.11 wants it always).
        let bare = response.id_token && (self.is_strict() || !response.code);
        if bare && form.find("nonce").is_none() {
            return Err((ErrorCode::InvalidRequest, "`nonce` is missing"));
        }
        if form.text("redirect_uri") == OUT_OF_BAND && (response.token || response.id_token) {
            return Err((ErrorCode::InvalidRequest, "tokens need an address to go to"));
        }
        Ok(response)
    }
}

struct Parameters {
    response: Response,
    scopes: Scopes,
    challenge: Option<Challenge>,
    wishes: Wishes,
}

/// Whether tokens for `peer` may be given to `client`.
pub(crate) fn trusts(settings: &Provider, peer: &str, client: &ProviderClient) -> bool {
    *client.id == *peer
        || settings
            .clients
            .iter()
            .any(|known| *known.id == *peer && known.trusted_peers.contains(&client.id))
}

/// Whether `client` may have answers at `redirect`, or its devices may through us.
pub(crate) fn may_answer_at(settings: &Provider, client: &ProviderClient, redirect: &str) -> bool {
    let device = || {
        let offered = settings.protocol.grants.contains(&GrantType::DeviceCode);
        let own = client.rules.grants.as_ref();
        let may = own.is_none_or(|grants| grants.contains(&GrantType::DeviceCode));
        offered && may && is_device_callback(settings, redirect)
    };
    redirect_is_allowed(client, redirect) || device()
}

/// Whether an answer at `redirect` is for a device that waits.
fn is_device_callback(settings: &Provider, redirect: &str) -> bool {
    redirect.strip_prefix(&*settings.path) == Some("/device/callback")
}

/// Whether `client` may have answers at `redirect`: a registered text, byte for byte; for a public
/// client that registered nothing, out-of-band or its own machine (RFC 8252 §7.3).
fn redirect_is_allowed(client: &ProviderClient, redirect: &str) -> bool {
    if redirect.is_empty() {
        return false;
    }
    if client
        .redirect_uris
        .iter()
        .any(|known| **known == *redirect)
    {
        return true;
    }
    if !client.public || !client.redirect_uris.is_empty() {
        return false;
    }
    redirect == OUT_OF_BAND || is_own_machine(redirect)
}

fn is_own_machine(redirect: &str) -> bool {
    let Ok(url) = Url::parse(redirect) else {
        return false;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && loopback && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests;
