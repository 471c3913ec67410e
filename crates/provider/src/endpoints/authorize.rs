//! Where an authorization request comes in: the choice of a connector, then the rules. Nothing is
//! stored: the checked request goes on sealed in the address.

use bytes::Bytes;
use http::{Request, StatusCode};
use model::snapshot::ProviderConnector;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::get_or_post;
use crate::authorize::{Checked, check};
use crate::claims::random_word;
use crate::form::{Form, query};
use crate::provider::{Answer, Provider};
use crate::refusal::PageFault;
use crate::sealed::Purpose;
use crate::{answer, pages};

/// Id and name of a connector, as Dex has them.
pub(crate) fn named(connector: &ProviderConnector) -> (&'static str, &'static str) {
    match connector {
        ProviderConnector::Local => ("local", "Email"),
    }
}

impl Provider {
    /// `GET|POST /auth`.
    pub(crate) fn authorize(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_both(request).map_err(PageFault::from)?;
        let address = |id: &str| self.connector_address(id, &form.query_without("connector_id"));
        let ids: Vec<_> = self.settings.connectors.iter().map(named).collect();
        if let Some(wanted) = form.find("connector_id") {
            if !ids.iter().any(|(id, _)| *id == wanted) {
                return Err(PageFault::UnknownConnector.into());
            }
            return Ok(answer::redirect_to(StatusCode::FOUND, &address(wanted)));
        }
        if let [(only, _)] = ids.as_slice()
            && !self.settings.always_show_login
        {
            return Ok(answer::redirect_to(StatusCode::FOUND, &address(only)));
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
        if !self
            .settings
            .connectors
            .iter()
            .any(|one| named(one).0 == connector)
        {
            return Err(PageFault::UnknownConnector.into());
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

    /// Path of a connector with `query`; no host, for the browser may know us by another.
    fn connector_address(&self, below: &str, query: &str) -> String {
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
