//! One file an endpoint; here, which is which.

mod approval;
mod assets;
mod authorize;
mod callback;
mod device;
mod discovery;
mod finish;
mod introspect;
mod login;
mod logout;
mod new_password;
mod push;
mod revoke;
mod sign_in;
mod token;
mod user_info;

use bytes::Bytes;
use http::{Method, Request};

use crate::answer::Language;
use crate::form::decode_path;
use crate::refusal::PageFault;
use assets::Asset;

/// What a path below the issuer's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Discovery,
    Keys,
    Authorize,
    /// `/auth/{connector}`.
    Connector(String),
    /// `/auth/{connector}/login`.
    Login(String),
    /// `/callback`, or `/callback/{connector}`.
    Callback(Option<String>),
    /// `/auth/{connector}/password`.
    NewPassword(String),
    Approval,
    Token,
    Introspect,
    Push,
    DeviceCode,
    Device,
    VerifyCode,
    DeviceAnswered,
    Logout,
    Revoke,
    UserInfo,
    Health,
    Asset(Asset),
    Nothing,
}

impl Endpoint {
    /// Finds the endpoint of `path` for an issuer whose path is `base`. Paths are not cleaned:
    /// connector ids may hold an escaped slash.
    pub(crate) fn find(base: &str, path: &str) -> Self {
        let Some(rest) = path.strip_prefix(base) else {
            return Self::Nothing;
        };
        match rest {
            "/.well-known/openid-configuration" => Self::Discovery,
            "/keys" => Self::Keys,
            "/auth" => Self::Authorize,
            "/approval" => Self::Approval,
            "/callback" => Self::Callback(None),
            "/token" => Self::Token,
            "/token/introspect" => Self::Introspect,
            "/par" => Self::Push,
            "/device/code" => Self::DeviceCode,
            "/device" => Self::Device,
            "/device/auth/verify_code" => Self::VerifyCode,
            "/device/callback" => Self::DeviceAnswered,
            "/logout" => Self::Logout,
            "/token/revoke" => Self::Revoke,
            "/userinfo" => Self::UserInfo,
            "/healthz" => Self::Health,
            "/static/doorward.css" => Self::Asset(Asset::Stylesheet),
            "/static/send.js" => Self::Asset(Asset::Send),
            "/static/logo.svg" => Self::Asset(Asset::Logo),
            _ => match rest.strip_prefix("/callback/") {
                Some(id) => match decode_path(id.as_bytes()) {
                    Ok(id) if !id.is_empty() => Self::Callback(Some(id)),
                    _ => Self::Nothing,
                },
                None => rest
                    .strip_prefix("/auth/")
                    .map_or(Self::Nothing, Self::of_connector),
            },
        }
    }

    fn of_connector(rest: &str) -> Self {
        let (id, found): (_, fn(String) -> Self) = match rest.split_once('/') {
            None => (rest, Self::Connector),
            Some((id, "login")) => (id, Self::Login),
            Some((id, "password")) => (id, Self::NewPassword),
            Some(_) => return Self::Nothing,
        };
        decode_path(id.as_bytes()).map_or(Self::Nothing, found)
    }

    /// How it speaks when something breaks.
    pub(crate) fn language(&self) -> Language {
        match self {
            Self::Discovery
            | Self::Token
            | Self::Introspect
            | Self::Revoke
            | Self::Push
            | Self::DeviceCode
            | Self::UserInfo => Language::Json,
            _ => Language::Pages,
        }
    }
}

/// The methods of pages with forms.
fn get_or_post(request: &Request<Bytes>) -> Result<(), PageFault> {
    match *request.method() {
        Method::GET | Method::HEAD | Method::POST => Ok(()),
        _ => Err(PageFault::WrongMethod),
    }
}

/// Path and query as they arrived: where a page's form is sent.
fn own_address(request: &Request<Bytes>) -> &str {
    request
        .uri()
        .path_and_query()
        .map_or("", |both| both.as_str())
}

/// Where forms of a page may lead: here, and on to the client. Browsers apply the rule to the
/// redirects after the form too, and the client may redirect further, so of its address only the
/// scheme is named.
pub(crate) fn form_targets(redirect: &str) -> String {
    match url::Url::parse(redirect) {
        Ok(url) if url.scheme() != "urn" => format!("'self' {}:", url.scheme()),
        _ => "'self'".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_as_they_are() {
        let find = |path| Endpoint::find("/dex", path);
        assert_eq!(find("/dex/auth"), Endpoint::Authorize);
        assert_eq!(find("/dex/auth/local"), Endpoint::Connector("local".into()));
        assert_eq!(
            find("/dex/auth/a%2Fb+c/login"),
            Endpoint::Login("a/b+c".into())
        );
        assert_eq!(
            find("/dex/.well-known/openid-configuration"),
            Endpoint::Discovery
        );
        assert_eq!(Endpoint::find("", "/keys"), Endpoint::Keys);
        assert_eq!(find("/dex/callback"), Endpoint::Callback(None));
        assert_eq!(
            find("/dex/callback/a%2Fb"),
            Endpoint::Callback(Some("a/b".into()))
        );
        for nothing in [
            "/dex/auth/local/other",
            "/dex/auth/local/login/",
            "/dex/auth/%zz",
            "/dex//auth",
            "/dexter/auth",
            "/keys",
            "/dex/token/introspect/",
            "/dex/callback/",
        ] {
            assert_eq!(find(nothing), Endpoint::Nothing, "{nothing}");
        }
    }

    #[test]
    fn forms_may_lead_to_the_client() {
        assert_eq!(form_targets("/oauth2/callback"), "'self'");
        assert_eq!(form_targets("https://h:8443/cb"), "'self' https:");
        assert_eq!(form_targets("com.app:/cb"), "'self' com.app:");
        assert_eq!(form_targets("urn:ietf:wg:oauth:2.0:oob"), "'self'");
    }
}
