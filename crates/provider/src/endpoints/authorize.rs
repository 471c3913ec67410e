//! Where an authorization request comes in: the rules, what is remembered of the browser, the choice
//! of a connector. Nothing is stored: the checked request goes on sealed in the address.

use bytes::Bytes;
use http::{Request, StatusCode};
use model::snapshot::{ProviderClient, ProviderConnector};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::get_or_post;
use super::push::Gathered;
use crate::authorize::{Arrival, Asked, Facts, Next};
use crate::claims::random_word;
use crate::connectors::{Way, way};
use crate::form::{Form, query};
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal};
use crate::sealed::Purpose;
use crate::{answer, pages};

/// Whether people of `client` may sign in through `connector`: a client may name the only ones, and
/// a connector the only grants.
pub(super) fn may_use(
    client: Option<&ProviderClient>,
    connector: &ProviderConnector,
) -> Result<(), PageFault> {
    let grants = connector.grants.as_ref();
    if grants.is_some_and(|grants| !grants.iter().any(|one| **one == *"authorization_code")) {
        return Err(PageFault::UnknownConnector);
    }
    let allowed = client.map_or(&[][..], |client| &client.allowed_connectors);
    if !allowed.is_empty() && !allowed.contains(&connector.id) {
        return Err(PageFault::ForbiddenConnector);
    }
    Ok(())
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Provider {
    /// `GET|POST /auth`.
    pub(crate) async fn authorize(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_both(request).map_err(PageFault::from)?;
        let address = |id: &str| self.connector_address(id, &form.query_without("connector_id"));
        let client = self.client_named(form.text("client_id")).await?;
        if let Some(client) = &client {
            // Nobody is asked how to sign in whose sign-in is remembered, or who must not be asked.
            if let Some(answer) = self.without_asking(request, &form, client).await? {
                return Ok(answer);
            }
        }
        if let Some(wanted) = form.find("connector_id") {
            self.connector(wanted)?;
            return Ok(answer::redirect_to(StatusCode::FOUND, &address(wanted)));
        }
        let ids: Vec<_> = self
            .settings
            .connectors
            .iter()
            .filter(|one| may_use(client.as_ref(), one).is_ok())
            .map(|one| (&*one.id, &*one.name))
            .collect();
        if let [(only, _)] = ids.as_slice()
            && !self.settings.always_show_login
        {
            return Ok(answer::redirect_to(StatusCode::FOUND, &address(only)));
        }
        if ids.is_empty() {
            return Err(PageFault::UnknownConnector.into());
        }
        let mut list: Vec<_> = ids
            .into_iter()
            .map(|(id, name)| (address(id), name))
            .collect();
        list.sort_by_key(|(_, name)| *name);
        Ok(answer::page(
            StatusCode::OK,
            pages::connectors(&self.settings, &list),
            "'none'",
        ))
    }

    /// `GET|POST /auth/{connector}`. Dex takes no POST here, and the scripts that send one break.
    pub(crate) async fn begin(&self, request: &Request<Bytes>, connector: &str) -> Answer {
        get_or_post(request)?;
        let form = Form::of_both(request).map_err(PageFault::from)?;
        let client = self
            .client_named(form.text("client_id"))
            .await?
            .ok_or(PageFault::UnknownClient)?;
        let asked = self.checked(&form, &client, connector).await?;
        let found = self.connector(connector)?;
        may_use(Some(&client), found)?;
        let asked = match self.next(request, asked).await? {
            Ok(asked) => asked,
            Err(answer) => return Ok(answer),
        };
        if let Way::Away | Way::Proxied = way(found) {
            return self.depart(asked, found).await;
        }
        let sealed = self
            .seal()
            .await?
            .seal(Purpose::Login, &asked, self.randomness())
            .map_err(|_| PageFault::Broken)?;
        let back = match self.settings.connectors.len() {
            1 => String::new(),
            _ => format!(
                "{}/auth?{}",
                self.settings.path,
                form.query_without("connector_id")
            ),
        };
        let state = sealed.joined();
        let login = self.connector_address(&format!("{connector}/login"), "");
        let query = query(&[("state", &state), ("back", &back)]);
        Ok(answer::redirect_to(
            StatusCode::FOUND,
            &format!("{login}?{query}"),
        ))
    }

    /// The answer to a request before a connector is chosen, if there is one already.
    async fn without_asking(
        &self,
        request: &Request<Bytes>,
        form: &Form,
        client: &ProviderClient,
    ) -> Result<Option<http::Response<Bytes>>, Refusal> {
        let keys = self.keys().await?;
        let facts = self.facts(client, &keys.verifiers, Arrival::Plain);
        if !facts.prompt_counts() {
            return Ok(None);
        }
        let asked = self
            .checked(form, client, form.text("connector_id"))
            .await?;
        Ok(self.next(request, asked).await?.err())
    }

    /// The request that `form` makes, checked.
    async fn checked(
        &self,
        form: &Form,
        client: &ProviderClient,
        connector: &str,
    ) -> Result<Asked, Refusal> {
        let keys = self.keys().await?;
        let Gathered { form, arrival, id } = self.gathered(form, client).await?;
        let id = id.unwrap_or_else(|| random_word(self.randomness()));
        let facts = self.facts(client, &keys.verifiers, arrival);
        Ok(facts.check(&form, connector, id)?)
    }

    /// What requests of `client` are checked against.
    pub(super) fn facts<'a>(
        &'a self,
        client: &'a ProviderClient,
        keys: &'a oidc::jose::KeySet,
        arrival: Arrival,
    ) -> Facts<'a> {
        Facts {
            settings: &self.settings,
            client,
            keys,
            arrival,
            now: self.now(),
        }
    }

    /// The request, when somebody has to sign in for it; else its answer.
    async fn next(
        &self,
        request: &Request<Bytes>,
        mut asked: Asked,
    ) -> Result<Result<Asked, http::Response<Bytes>>, Refusal> {
        let remembered = self.remembered(request).await?;
        asked.session = remembered.as_ref().map(|one| one.sid.clone());
        match asked.next(remembered.as_ref(), self.settings.skip_approval, self.now()) {
            Next::SignIn => Ok(Ok(asked)),
            Next::Known(person) => Ok(Err(self.person_remembered(asked, person).await?)),
            Next::Refuse(code, reason) => Err(asked.refused(code, reason)),
        }
    }

    /// The connector of this id.
    pub(super) fn connector(&self, id: &str) -> Result<&ProviderConnector, PageFault> {
        let mut all = self.settings.connectors.iter();
        all.find(|one| *one.id == *id)
            .ok_or(PageFault::UnknownConnector)
    }

    /// Path of a connector with `query`; no host, for the browser may know us by another.
    pub(super) fn connector_address(&self, below: &str, query: &str) -> String {
        let segments: Vec<String> = below.split('/').map(segment).collect();
        let joint = if query.is_empty() { "" } else { "?" };
        format!(
            "{}/auth/{}{joint}{query}",
            self.settings.path,
            segments.join("/")
        )
    }
}
