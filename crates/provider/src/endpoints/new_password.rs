//! `GET|POST /auth/{connector}/password`: a password that was for one time is changed before its
//! person goes on.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};

use super::{form_targets, get_or_post, own_address};
use crate::authorize::Asked;
use crate::form::{Form, query};
use crate::pages::NewPasswordTrouble;
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal};
use crate::sealed::{Purpose, Sealed};
use crate::storage::StoredUser;
use crate::users::{UserFault, stored_person};
use crate::{answer, pages};
use model::names::Duration;

/// How long somebody may think about a new password.
const THINKING: Duration = Duration::from_secs(900);

/// A request whose person has proved themselves with a password for one time.
#[derive(Serialize, Deserialize)]
struct Changing {
    asked: Asked,
    user_id: String,
    /// Of the person, when they proved themselves.
    version: i64,
    /// Unix seconds.
    until: i64,
}

impl Provider {
    /// Sends the browser to the form.
    pub(super) async fn ask_new_password(&self, asked: Asked, user: &StoredUser) -> Answer {
        let changing = Changing {
            until: self.now().plus(THINKING).seconds().min(asked.expires_at),
            asked,
            user_id: user.id.clone(),
            version: user.version,
        };
        let sealed = self
            .seal()
            .await?
            .seal(Purpose::NewPassword, &changing, self.randomness())
            .map_err(|_| PageFault::Broken)?;
        let below = format!("{}/password", changing.asked.connector);
        let query = query(&[("state", &sealed.joined())]);
        let address = self.connector_address(&below, &query);
        Ok(answer::redirect_to(StatusCode::SEE_OTHER, &address))
    }

    pub(crate) async fn new_password(&self, request: &Request<Bytes>, connector: &str) -> Answer {
        get_or_post(request)?;
        let state = Form::of_query(request).map_err(PageFault::from)?;
        let changing: Changing = self
            .seal()
            .await?
            .open(Purpose::NewPassword, &Sealed::split(state.text("state")))
            .map_err(PageFault::from)?;
        if changing.until <= self.now().seconds() {
            return Err(PageFault::Expired.into());
        }
        let asked = changing.asked;
        if asked.connector != connector {
            return Err(PageFault::WrongConnector.into());
        }
        self.client_of(&asked).await?;
        if self.store.is_answered(&asked.id).await? {
            return Err(PageFault::AlreadyAnswered.into());
        }
        let user = self.store.user_by_id(&changing.user_id).await?;
        let user = user
            .filter(|user| user.version == changing.version && user.enabled)
            .ok_or(PageFault::AccountChanged)?;
        let form = |status, trouble| {
            let page = pages::NewPassword {
                action: own_address(request),
                email: &user.details.email,
                least: self.store.policy.least,
                trouble,
            };
            answer::page(
                status,
                pages::new_password(&self.settings, &page),
                &form_targets(&asked.delivery.redirect),
            )
        };
        if request.method() != Method::POST {
            return Ok(form(StatusCode::OK, None));
        }
        let sent = Form::of_body(request).map_err(PageFault::from)?;
        let again = |trouble| Ok(form(StatusCode::BAD_REQUEST, Some(trouble)));
        let password = sent.text("password");
        if password != sent.text("again") {
            return again(NewPasswordTrouble::Differ);
        }
        let chosen = self
            .store
            .choose_password(user.clone(), password, self.randomness(), self.now())
            .await;
        match chosen {
            Ok(true) => {}
            Ok(false) => return Err(PageFault::AccountChanged.into()),
            Err(UserFault::Weak(weakness)) => return again(NewPasswordTrouble::Weak(weakness)),
            Err(UserFault::Store(error)) => return Err(Refusal::Store(error)),
            Err(UserFault::Busy) => return Err(PageFault::Busy.into()),
            Err(_) => return Err(PageFault::Broken.into()),
        }
        tracing::info!(
            connector,
            user_id = user.id,
            "password changed by its person"
        );
        let person = stored_person(&user, self.now().seconds());
        self.person_known(asked.signed_in(person, self.now())).await
    }
}
