//! Where an authorization request comes in: the choice of a connector, then the rules. Nothing is
//! stored: the checked request goes on sealed in the address.

use bytes::Bytes;
use http::{Request, StatusCode};
use model::snapshot::{ProviderClient, ProviderConnector};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::get_or_post;
use crate::authorize::{Checked, check};
use crate::claims::random_word;
use crate::form::{Form, query};
use crate::provider::{Answer, Provider};
use crate::refusal::PageFault;
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

impl Provider {
    /// `GET|POST /auth`.
    pub(crate) fn authorize(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_both(request).map_err(PageFault::from)?;
        let address = |id: &str| self.connector_address(id, &form.query_without("connector_id"));
        if let Some(wanted) = form.find("connector_id") {
            self.connector(wanted)?;
            return Ok(answer::redirect_to(StatusCode::FOUND, &address(wanted)));
        }
        let client = self.client(form.text("client_id"));
        let ids: Vec<_> = self
            .settings
            .connectors
            .iter()
            .filter(|one| may_use(client, one).is_ok())
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
        let id = random_word(self.randomness());
        let Checked { asked } = check(&self.settings, &form, connector, id, self.now())?;
        let found = self.connector(connector)?;
        may_use(self.client(&asked.client), found)?;
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

    /// The connector of this id.
    pub(super) fn connector(&self, id: &str) -> Result<&ProviderConnector, PageFault> {
        let mut all = self.settings.connectors.iter();
        all.find(|one| *one.id == *id)
            .ok_or(PageFault::UnknownConnector)
    }

    fn client(&self, id: &str) -> Option<&ProviderClient> {
        self.settings.clients.iter().find(|one| *one.id == *id)
    }

    /// Path of a connector with `query`; no host, for the browser may know us by another.
    pub(super) fn connector_address(&self, below: &str, query: &str) -> String {
        let segments: Vec<String> = below
            .split('/')
            .map(|segment| utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string())
            .collect();
        let joint = if query.is_empty() { "" } else { "?" };
        format!(
            "{}/auth/{}{joint}{query}",
            self.settings.path,
            segments.join("/")
        )
    }
}
