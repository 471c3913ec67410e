//! Asking an issuer who somebody is, beside what its ID token says.

use model::snapshot::Login;
use serde_json::{Map, Value};

use super::Sessions;
use crate::flow::user_info::{self, Said, UserInfoFault};
use crate::keys::Source;

impl Sessions {
    /// What the userinfo endpoint of `login`'s issuer says of whom a proven ID token with `claims`
    /// speaks; `None` where it is not to be asked, or the issuer has none.
    pub(crate) async fn user_info(
        &self,
        login: &Login,
        claims: &Map<String, Value>,
        access_token: &str,
    ) -> Result<Option<Map<String, Value>>, UserInfoFault> {
        if access_token.is_empty() || !user_info::is_wanted(login, claims) {
            return Ok(None);
        }
        // Where the addresses are configured, discovery is not asked for a further one.
        let metadata = match (&login.user_info_url, &login.login_url) {
            (None, None) => {
                let metadata = self.keys.metadata(&login.issuer).await;
                Some(metadata.map_err(UserInfoFault::Issuer)?)
            }
            _ => None,
        };
        let Some(endpoint) = user_info::endpoint(login, metadata.as_deref()) else {
            return Ok(None);
        };
        let request = user_info::request(endpoint, access_token).map_err(UserInfoFault::Issuer)?;
        let answer = self.clients.issuer().ask(request).await;
        let said = user_info::answered(&answer.map_err(UserInfoFault::Issuer)?)?;
        let info = match said {
            Said::Claims(info) => info,
            Said::Signed(text) => {
                let proven = self.keys.prove_given(&text, &Source::of_login(login)).await;
                let proven = proven.map_err(|_| UserInfoFault::Unproven)?;
                let info = proven.claims().clone();
                user_info::is_for(login, &info)?;
                info
            }
        };
        user_info::is_about(claims, &info)?;
        Ok(Some(info))
    }
}
