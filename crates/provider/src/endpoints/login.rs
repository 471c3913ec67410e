//! `GET|POST /auth/{connector}/login`: the form, and the check of what it brings.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use model::snapshot::{ConnectorKind, ProviderClient};

use super::authorize::may_use;
use super::{form_targets, get_or_post, own_address};
use crate::attempts::{Attempt, Devices, Ended};
use crate::authorize::{Asked, may_answer_at};
use crate::connectors::{self, Outcome, Way, way};
use crate::form::Form;
use crate::pages::Trouble;
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal};
use crate::sealed::{Purpose, Sealed};
use crate::users::Checked;
use crate::{answer, pages};

impl Provider {
    pub(crate) async fn login(&self, request: &Request<Bytes>, connector: &str) -> Answer {
        get_or_post(request)?;
        let query = Form::of_query(request).map_err(PageFault::from)?;
        let state = Sealed::split(query.text("state"));
        let asked: Asked = self
            .seal()
            .await?
            .open(Purpose::Login, &state)
            .map_err(PageFault::from)?;
        if asked.is_expired(self.now()) {
            return Err(PageFault::Expired.into());
        }
        if asked.connector != connector {
            return Err(PageFault::WrongConnector.into());
        }
        let client = self.client_of(&asked).await?;
        let found = self.connector(connector)?;
        may_use(Some(&client), found)?;
        let Way::Form { prompt } = way(found) else {
            return Err(PageFault::WrongConnector.into());
        };
        if self.store.is_answered(&asked.id).await? {
            return Err(PageFault::AlreadyAnswered.into());
        }
        let back = own_link(&self.settings.path, query.text("back"));
        let form = |status, login: &str, trouble| {
            let page = pages::Login {
                prompt,
                client: &client.name,
                action: own_address(request),
                login,
                back,
                trouble,
            };
            answer::page(
                status,
                pages::login(&self.settings, &page),
                &form_targets(&asked.delivery.redirect),
            )
        };
        if request.method() != Method::POST {
            return Ok(form(
                StatusCode::OK,
                &asked.wishes.login_hint,
                Trouble::None,
            ));
        }

        let sent = Form::of_body(request).map_err(PageFault::from)?;
        let (login, password) = (sent.text("login"), sent.text("password"));
        let address = client_address(request.headers());
        // The same name is another person's with another connector.
        let account = match found.kind {
            ConnectorKind::Local => login.to_owned(),
            _ => format!("{connector}\n{login}"),
        };
        let seal = self.seal().await?;
        let devices = Devices::of(request.headers(), &seal);
        let attempt = Attempt {
            account: &account,
            address,
            device: devices.known_for(&account, self.now()),
        };
        let store = &self.store;
        if let Some(wait) = store.attempts.closed_for(attempt, self.now()) {
            store.sign_ins.ended(Ended::Slowed);
            let mut response = form(StatusCode::TOO_MANY_REQUESTS, login, Trouble::TooMany);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
            return Ok(response);
        }
        if found.kind != ConnectorKind::Local {
            let context = self.context(found, &asked.scopes);
            let purpose = connectors::Purpose::Password { login, password };
            let person = match self.converse(found, &context, purpose).await {
                Ok(Outcome::Known(identity)) => self.person(found, identity),
                Ok(Outcome::Wrong | Outcome::Depart(_)) => {
                    self.refused(attempt).await;
                    tracing::info!(connector, client = asked.client, address, "sign-in refused");
                    return Ok(form(
                        StatusCode::UNAUTHORIZED,
                        login,
                        Trouble::WrongCredentials,
                    ));
                }
                Err(fault) => Err(fault),
            };
            let person = person.map_err(|fault| self.page_fault(found, &fault))?;
            if let Some(whole) = store.attempts.succeeded(attempt) {
                store.forget_attempts(&whole).await?;
            }
            store.sign_ins.ended(Ended::LetIn);
            let cookie = devices
                .cookie_with(
                    &account,
                    &self.settings,
                    &seal,
                    self.randomness(),
                    self.now(),
                )
                .map_err(|_| PageFault::Broken)?;
            let mut response = self.signed_in_at(found, asked, person).await?;
            response.headers_mut().append(header::SET_COOKIE, cookie);
            return Ok(response);
        }
        let checked = store
            .check_password(
                &self.settings.passwords,
                login,
                password,
                self.randomness(),
                self.now().seconds(),
            )
            .await?;
        if matches!(checked, Checked::Nobody) {
            self.refused(attempt).await;
            // The name is not logged: people type their password there.
            tracing::info!(connector, client = asked.client, address, "sign-in refused");
            return Ok(form(
                StatusCode::UNAUTHORIZED,
                login,
                Trouble::WrongCredentials,
            ));
        }
        if let Some(whole) = store.attempts.succeeded(attempt) {
            store.forget_attempts(&whole).await?;
        }
        let person = match checked {
            Checked::Person(person) => person,
            Checked::OneTime(user) => {
                store.sign_ins.ended(Ended::LetIn);
                return self.ask_new_password(asked, &user).await;
            }
            Checked::Disabled | Checked::Nobody => {
                store.sign_ins.ended(Ended::Disabled);
                tracing::info!(
                    connector,
                    client = asked.client,
                    address,
                    "account is disabled"
                );
                return Ok(form(StatusCode::UNAUTHORIZED, login, Trouble::Disabled));
            }
        };
        tracing::info!(
            connector,
            client = asked.client,
            user_id = person.user_id,
            "signed in"
        );
        store.sign_ins.ended(Ended::LetIn);
        let cookie = devices
            .cookie_with(login, &self.settings, &seal, self.randomness(), self.now())
            .map_err(|_| PageFault::Broken)?;
        let mut response = self
            .person_known(asked.signed_in(*person, self.now()))
            .await?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }

    /// Counts a refused attempt.
    async fn refused(&self, attempt: Attempt<'_>) {
        self.store.sign_ins.ended(Ended::Refused);
        let overdrawn = self.store.attempts.failed(attempt, self.now());
        if let Err(error) = self.store.keep_attempts(&overdrawn).await {
            // It counts until this process ends.
            tracing::warn!(%error, "failed sign-ins cannot be kept");
        }
    }

    /// The client of a request, if its configuration still allows the request.
    pub(super) async fn client_of(&self, asked: &Asked) -> Result<ProviderClient, Refusal> {
        let client = self
            .client_named(&asked.client)
            .await?
            .ok_or(PageFault::UnknownClient)?;
        if !may_answer_at(&self.settings, &client, &asked.delivery.redirect) {
            return Err(PageFault::UnregisteredRedirect.into());
        }
        Ok(client)
    }
}

/// `back` if it leads to our list of connectors, and nowhere else.
fn own_link<'a>(path: &str, back: &'a str) -> &'a str {
    let ours = back
        .strip_prefix(path)
        .is_some_and(|rest| rest.starts_with("/auth?"));
    if ours && !back.starts_with("//") && !back.contains(['\\', '\r', '\n', '\t']) {
        back
    } else {
        ""
    }
}

/// The client's address as the gateway found it behind the hops that it trusts.
pub(super) fn client_address(headers: &HeaderMap) -> &str {
    headers
        .get("x-envoy-external-address")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_to_our_own_list_only() {
        assert_eq!(
            own_link("/dex", "/dex/auth?client_id=x"),
            "/dex/auth?client_id=x"
        );
        for bad in [
            "",
            "https://evil/dex/auth?",
            "//evil/auth?",
            "/dex/authx?",
            "/other",
            "javascript:x",
        ] {
            assert_eq!(own_link("/dex", bad), "", "{bad}");
        }
        assert_eq!(own_link("", "//evil/auth?"), "");
        assert_eq!(own_link("", "/auth?a"), "/auth?a");
    }

    #[test]
    fn the_address_is_the_one_that_the_gateway_found() {
        let mut headers = HeaderMap::new();
        assert_eq!(client_address(&headers), "");
        let hops = HeaderValue::from_static("1.2.3.4, 10.0.0.9");
        headers.insert("x-forwarded-for", hops);
        assert_eq!(client_address(&headers), "");
        let found = HeaderValue::from_static("1.2.3.4");
        headers.insert("x-envoy-external-address", found);
        assert_eq!(client_address(&headers), "1.2.3.4");
    }
}
