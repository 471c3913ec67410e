//! From a known person to the answer: what was remembered of them, the approval page if it is
//! wanted, then what the client asked for.

use data_encoding::BASE64URL_NOPAD;
use http::{StatusCode, header};
use model::names::Duration;
use model::snapshot::Conformance;

use crate::authorize::{Asked, OUT_OF_BAND, Person, SignIn, SignedIn};
use crate::claims::random_word;
use crate::form::query;
use crate::provider::{Answer, Provider};
use crate::refusal::PageFault;
use crate::sealed::Purpose;
use crate::storage::Code;
use crate::{answer, pages};

impl Provider {
    /// Goes on after somebody has signed in.
    pub(super) async fn person_known(&self, signed_in: SignedIn) -> Answer {
        if let Some((code, reason)) = signed_in.asked.objection(&signed_in.person) {
            return Err(signed_in.asked.refused(code, reason));
        }
        let Some(lifetimes) = self.lifetimes() else {
            return self.approve(signed_in).await;
        };
        let held = signed_in.asked.session.clone();
        let sign_in = SignIn {
            // Signing in again is the same session, if it is the same person.
            sid: held.unwrap_or_else(|| random_word(self.randomness())),
            person: signed_in.person.clone(),
        };
        let issuer = &*self.settings.issuer;
        let secret = self.random_secret();
        let now = self.now();
        let kept = self
            .store
            .remember_sign_in(issuer, &secret, &sign_in, lifetimes, now)
            .await?;
        let sign_in = if kept {
            sign_in
        } else {
            // The browser's session is another person's: it ends, and a new one begins.
            self.end_browsers_sign_in(&sign_in.sid).await?;
            let fresh = SignIn {
                sid: random_word(self.randomness()),
                ..sign_in
            };
            self.store
                .remember_sign_in(issuer, &secret, &fresh, lifetimes, now)
                .await?;
            fresh
        };
        let cookie = self.sign_in_cookie(&secret).await?;
        let mut response = self.approve(signed_in.within(sign_in.sid)).await?;
        if let Some(cookie) = cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// Goes on with somebody whose sign-in is remembered.
    pub(super) async fn person_remembered(&self, asked: Asked, person: Person) -> Answer {
        let sid = asked.session.clone();
        let signed_in = asked.signed_in(person, self.now());
        self.approve(match sid {
            Some(sid) => signed_in.within(sid),
            None => signed_in,
        })
        .await
    }

    async fn approve(&self, signed_in: SignedIn) -> Answer {
        if self.settings.skip_approval && !signed_in.asked.ask_approval {
            return self.finish(signed_in).await;
        }
        let sealed = self
            .seal()
            .await?
            .seal(Purpose::Approval, &signed_in, self.randomness())
            .map_err(|_| PageFault::Broken)?;
        let query = query(&[("req", &sealed.body), ("hmac", &sealed.proof)]);
        let address = format!("{}/approval?{query}", self.settings.path);
        Ok(answer::redirect_to(StatusCode::SEE_OTHER, &address))
    }

    /// Makes what the client asked for, writes it down, sends it.
    pub(super) async fn finish(&self, signed_in: SignedIn) -> Answer {
        let asked = signed_in.asked.clone();
        let client = self.client_of(&asked).await?;
        let grant = signed_in.grant(random_word(self.randomness()));
        let secret = asked.response.code.then(|| self.random_secret());
        let access_token = match asked.response.token {
            true => Some(self.access_token(&client, &grant, &asked.scopes).await?),
            false => None,
        };
        let id_token = match asked.response.id_token {
            true => {
                let (access_token, code) = (access_token.as_deref(), secret.as_deref());
                let made = self.id_token(&grant, &asked.scopes, access_token, code);
                Some(made.await?)
            }
            false => None,
        };
        let code = Code {
            client: asked.client.clone(),
            redirect: asked.delivery.redirect.clone(),
            expires_at: self.now().plus(self.code_lifetime()).seconds(),
            grant,
        };
        let first = self
            .store
            .answer_request(
                &self.settings.issuer,
                (&asked.id, asked.expires_at),
                &code,
                secret.as_deref(),
            )
            .await?;
        if !first {
            return Err(PageFault::AlreadyAnswered.into());
        }
        if asked.delivery.redirect == OUT_OF_BAND {
            let page = pages::code(&self.settings, secret.as_deref().unwrap_or_default());
            return Ok(answer::page(StatusCode::OK, page, "'none'"));
        }
        let lifetime = self.settings.token_lifetime.as_secs().to_string();
        let mut parameters = Vec::new();
        let mut put = |name: &'static str, value: Option<&str>| {
            if let Some(value) = value {
                parameters.push((name, value.to_owned()));
            }
        };
        put("code", secret.as_deref());
        put("access_token", access_token.as_deref());
        if access_token.is_some() {
            put("token_type", Some(self.token_type(&code.grant)));
            put("expires_in", Some(&lifetime));
        }
        put("id_token", id_token.as_deref());
        put("state", Some(&asked.delivery.state));
        Ok(answer::deliver(
            &self.settings,
            &asked.delivery,
            &parameters,
        ))
    }

    fn code_lifetime(&self) -> Duration {
        match self.settings.protocol.conformance {
            // RFC 6749 §4.1.2 advises no more; Dex grants half an hour.
            Conformance::Compatible => Duration::from_secs(600),
            // FAPI 2.0 Security Profile §5.3.2.1.
            Conformance::Strict => Duration::from_secs(60),
        }
    }

    /// 256 unpredictable bits as text.
    pub(crate) fn random_secret(&self) -> String {
        let mut bytes = [0; 32];
        self.randomness().fill(&mut bytes);
        BASE64URL_NOPAD.encode(&bytes)
    }
}
