//! The device flow's addresses (RFC 8628), where Dex has them: `/device/code` for the device;
//! `/device`, `/device/auth/verify_code` and `/device/callback` for the person.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::snapshot::{Conformance, GrantType, ProviderClient};
use oidc::pkce;
use serde_json::json;

use super::get_or_post;
use crate::attempts::Attempt;
use crate::authorize::{Challenge, Scopes, trusts};
use crate::clients::{may_use, presented};
use crate::form::{Form, query};
use crate::grants::device::{Answer as Decision, PAUSE, Wish, typed, user_code};
use crate::pages::DeviceTrouble;
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal, TokenFault};
use crate::storage::{Family, Redeemed};
use crate::{answer, pages};

/// Where a person's answer for a device comes back to us, below the issuer.
const CALLBACK: &str = "/device/callback";

impl Provider {
    /// `POST /device/code` (§3.1, §3.2).
    pub(crate) async fn device_code(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != Method::POST {
            return Err(TokenFault::NotPost.into());
        }
        self.offers_devices()?;
        let form = Form::of_body(request).map_err(TokenFault::from)?;
        let client = self.device_client(request, &form).await?;
        may_use(&client, GrantType::DeviceCode)?;
        let scope = form.find("scope").unwrap_or("openid");
        let scopes = Scopes::parse(scope).ok_or(TokenFault::WrongScope)?;
        let trusted = |peer: &String| trusts(&self.settings, peer, &client);
        if !scopes.audiences.iter().all(trusted) {
            return Err(TokenFault::WrongScope.into());
        }
        let wish = Wish {
            scope: scope.to_owned(),
            challenge: challenge(&form)?,
        };
        let device = self.random_secret();
        let lifetime = self.settings.protocol.device_lifetime;
        let until = self.now().plus(lifetime);
        let issuer = &*self.settings.issuer;
        let mut user = user_code(self.randomness());
        // Two devices with one code are a matter of chance, and of no more than that.
        for _ in 0..5 {
            let codes = (device.as_str(), user.as_str());
            if self
                .store
                .add_device(issuer, codes, &client.id, &wish, until)
                .await?
            {
                let page = format!("{issuer}/device");
                return Ok(answer::secret_json(&json!({
                    "device_code": device,
                    "user_code": user,
                    "verification_uri": page,
                    "verification_uri_complete": format!("{page}?{}", query(&[("user_code", &user)])),
                    "expires_in": lifetime.as_secs(),
                    "interval": PAUSE,
                })));
            }
            user = user_code(self.randomness());
        }
        Err(PageFault::Broken.into())
    }

    /// The client of a device. Dex asks for no proof, and devices that were set up for it bring none;
    /// a wrong one is refused all the same.
    pub(super) async fn device_client(
        &self,
        request: &Request<Bytes>,
        form: &Form,
    ) -> Result<ProviderClient, Refusal> {
        let conformance = self.settings.protocol.conformance;
        let seen = presented(request.headers(), form, conformance)?;
        if conformance == Conformance::Strict || seen.has_proof() {
            return self.proven_client(request, form).await;
        }
        let client = self.client_named(&seen.id).await?;
        Ok(client.ok_or_else(|| seen.refused())?)
    }

    fn offers_devices(&self) -> Result<(), TokenFault> {
        match self
            .settings
            .protocol
            .grants
            .contains(&GrantType::DeviceCode)
        {
            true => Ok(()),
            false => Err(TokenFault::UnsupportedGrantType),
        }
    }

    /// `GET /device`: the form for the code.
    pub(crate) fn device_page(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_query(request).map_err(PageFault::from)?;
        let wrong = form.find("invalid").is_some_and(|value| value == "true");
        let (status, trouble) = match wrong {
            true => (StatusCode::BAD_REQUEST, DeviceTrouble::WrongCode),
            false => (StatusCode::OK, DeviceTrouble::None),
        };
        Ok(self.device_form(status, form.text("user_code"), trouble))
    }

    /// `POST /device/auth/verify_code`: on to the sign-in.
    pub(crate) async fn verify_code(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != Method::POST {
            return Err(PageFault::WrongMethod.into());
        }
        let form = Form::of_body(request).map_err(PageFault::from)?;
        let code = typed(form.text("user_code"));
        if code.is_empty() {
            return Err(PageFault::NoUserCode.into());
        }
        // Guessing is slowed down for each address, as passwords are.
        let attempt = Attempt {
            account: "device code",
            address: super::login::client_address(request.headers()),
            device: None,
        };
        let now = self.now();
        if self.store.attempts.closed_for(attempt, now).is_some() {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Ok(self.device_form(status, &code, DeviceTrouble::TooMany));
        }
        let issuer = &*self.settings.issuer;
        let Some(waiting) = self.store.device_of_user_code(issuer, &code, now).await? else {
            self.store.attempts.failed(attempt, now);
            let status = StatusCode::BAD_REQUEST;
            return Ok(self.device_form(status, &code, DeviceTrouble::WrongCode));
        };
        self.store.attempts.succeeded(attempt);
        let parameters = [
            ("client_id", waiting.client.as_str()),
            ("response_type", "code"),
            ("redirect_uri", &self.device_callback()),
            ("scope", &waiting.wish.scope),
            ("state", &code),
        ];
        let path = &self.settings.path;
        let address = format!("{path}/auth?{}", query(&parameters));
        Ok(answer::redirect_to(StatusCode::FOUND, &address))
    }

    /// `GET /device/callback`: what the person decided.
    pub(crate) async fn device_answered(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_query(request).map_err(PageFault::from)?;
        let issuer = &*self.settings.issuer;
        let user = form.find("state").ok_or(PageFault::NoState)?;
        let now = self.now();
        let waiting = self.store.device_of_user_code(issuer, user, now).await?;
        let waiting = waiting.ok_or(PageFault::Expired)?;
        if form.find("error").is_some() {
            self.store
                .answer_device(issuer, user, &Decision::Denied, now)
                .await?;
            return Err(PageFault::DeviceDenied.into());
        }
        let secret = form.find("code").ok_or(PageFault::NoState)?;
        let code = self.store.code(issuer, secret).await?;
        let code = code.filter(|code| code.expires_at > now.seconds());
        let code = code.ok_or(PageFault::Expired)?;
        // A code of another client, or for another address, is not for a device.
        if code.client != waiting.client || code.redirect != self.device_callback() {
            return Err(PageFault::NoState.into());
        }
        let (family, keep): (Option<&Family>, _) = (None, now.plus(self.settings.token_lifetime));
        let spent = self
            .store
            .redeem(issuer, secret, &code, family, (now, keep));
        if spent.await? == Redeemed::Gone {
            return Err(PageFault::AlreadyAnswered.into());
        }
        let decision = Decision::Granted(Box::new(code.grant));
        if !self
            .store
            .answer_device(issuer, user, &decision, now)
            .await?
        {
            return Err(PageFault::AlreadyAnswered.into());
        }
        let html = pages::device_done(&self.settings);
        Ok(answer::page(StatusCode::OK, html, "'none'"))
    }

    /// The redirect URI of our own that a device's sign-in ends at.
    pub(super) fn device_callback(&self) -> String {
        format!("{}{CALLBACK}", self.settings.path)
    }

    fn device_form(
        &self,
        status: StatusCode,
        code: &str,
        trouble: DeviceTrouble,
    ) -> http::Response<Bytes> {
        let html = pages::device(&self.settings, code, trouble);
        answer::page(status, html, "'self'")
    }
}

fn challenge(form: &Form) -> Result<Option<Challenge>, TokenFault> {
    let Some(text) = form.find("code_challenge") else {
        return Ok(None);
    };
    let method = match form.find("code_challenge_method") {
        None => pkce::Method::Plain,
        Some(word) => pkce::Method::parse(word).ok_or(TokenFault::ChallengeMethod)?,
    };
    Ok(Some(Challenge {
        hashed: method == pkce::Method::S256,
        text: text.to_owned(),
    }))
}
