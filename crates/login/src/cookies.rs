//! Cookies: read without allocation, written with the attributes that the login proxy's settings
//! ask for (RFC 6265 §4.1, §5.2).

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use model::names::Duration;
use model::snapshot::Login;

use crate::site::Site;

/// Every `name=value` pair of every `Cookie` header, in order.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((
                pair[..equals].trim_ascii_end(),
                pair[equals + 1..].trim_ascii_start(),
            ))
        })
}

/// The values of every cookie named `name`, exactly.
pub(crate) fn named<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    pairs(headers).filter_map(move |(one, value)| (one == name.as_bytes()).then_some(value))
}

/// Names of all cookies of `login` that the request brought: the session, what an OAuth2 Proxy may
/// have left (`<name>_0`, `<name>_1`, …) when `parts`, and attempts (`<name>_<8>_csrf`,
/// `<name>_csrf`) when `attempts`.
pub(crate) fn belonging(
    headers: &HeaderMap,
    login: &Login,
    parts: bool,
    attempts: bool,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in pairs(headers) {
        let Some(rest) = name.strip_prefix(login.cookie_name.as_bytes()) else {
            continue;
        };
        let is_part = match rest {
            [] => true,
            [b'_', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        let is_attempt = rest.starts_with(b"_") && rest.ends_with(b"_csrf");
        if ((parts && is_part) || (attempts && is_attempt))
            && let Ok(name) = std::str::from_utf8(name)
            && !names.iter().any(|one| one == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Where a cookie of one login proxy, set on one request, is sent.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    path: &'a str,
    domain: Option<&'a str>,
    secure: bool,
    same_site: SameSite,
}

/// `SameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameSite {
    Lax,
    Strict,
    None,
}

impl<'a> Attributes<'a> {
    /// For session cookies.
    pub(crate) fn session(login: &'a Login, site: &Site) -> Self {
        let secure = site.secure || login.cookie_secure;
        let same_site = same_site(&login.cookie_samesite, secure);
        Self {
            path: &login.cookie_path,
            domain: domain(login, &site.authority),
            secure,
            same_site,
        }
    }

    /// For the cookie of a sign-in attempt. `Strict` would keep it from the callback, which the
    /// issuer's site leads to, so it is weakened to `Lax`.
    pub(crate) fn attempt(login: &'a Login, site: &Site) -> Self {
        let session = Self::session(login, site);
        let wanted = match &login.attempt_samesite {
            Some(text) => same_site(text, session.secure),
            None => session.same_site,
        };
        let same_site = match wanted {
            SameSite::Strict => SameSite::Lax,
            other => other,
        };
        Self {
            same_site,
            ..session
        }
    }

    /// `Set-Cookie` for a value that stays for `max_age`.
    pub(crate) fn set(&self, name: &str, value: &str, max_age: Duration) -> Option<HeaderValue> {
        self.render(name, value, max_age.as_secs())
    }

    /// `Set-Cookie` that takes a cookie back.
    pub(crate) fn delete(&self, name: &str) -> Option<HeaderValue> {
        self.render(name, "", 0)
    }

    /// `None` when a name or domain from the settings cannot stand in a header.
    fn render(&self, name: &str, value: &str, max_age: u64) -> Option<HeaderValue> {
        let domain = self
            .domain
            .map(|domain| format!("; Domain={domain}"))
            .unwrap_or_default();
        let path = self.path;
        let secure = if self.secure { "; Secure" } else { "" };
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        };
        let text = format!(
            "{name}={value}; Path={path}{domain}; Max-Age={max_age}; HttpOnly{secure}; SameSite={same_site}"
        );
        HeaderValue::from_str(&text).ok()
    }
}

fn same_site(text: &str, secure: bool) -> SameSite {
    match text {
        text if text.eq_ignore_ascii_case("strict") => SameSite::Strict,
        // Without `Secure` browsers drop `SameSite=None` altogether.
        text if text.eq_ignore_ascii_case("none") && secure => SameSite::None,
        _ => SameSite::Lax,
    }
}

/// The longest configured domain that the host ends with; the shortest one when none does.
fn domain<'a>(login: &'a Login, authority: &str) -> Option<&'a str> {
    let mut domains: Vec<&str> = login.cookie_domains.iter().map(|one| &**one).collect();
    domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
    domains
        .iter()
        .find(|domain| authority.ends_with(**domain))
        .or(domains.last())
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn pairs_are_found_in_every_cookie_header_and_names_are_exact() {
        let headers = headers(&["a=1; b=2;c=3", "  a = 4 ;; =; A=5; aa=6; noequals; b=x=y"]);
        let all = |name| named(&headers, name).collect::<Vec<_>>();
        assert_eq!(all("a"), [b"1".as_slice(), b"4"]);
        assert_eq!(all("b"), [b"2".as_slice(), b"x=y"]);
        assert_eq!(all("c"), [b"3".as_slice()]);
        assert!(all("noequals").is_empty());
    }

    #[test]
    fn only_the_cookies_of_this_login_are_counted_as_its_own() {
        let login = fixture::login();
        let headers = headers(&[
            "oauth2_proxy_kubeflow=x; oauth2_proxy_kubeflow_0=x; oauth2_proxy_kubeflow_1=x",
            "oauth2_proxy_kubeflow_=x; oauth2_proxy_kubeflow_1a=x; oauth2_proxy_kubeflow2=x",
            "oauth2_proxy_kubeflow_abcdefgh_csrf=x; oauth2_proxy_kubeflow_csrf=x; other=x",
        ]);
        assert_eq!(
            belonging(&headers, &login, true, false),
            [
                "oauth2_proxy_kubeflow",
                "oauth2_proxy_kubeflow_0",
                "oauth2_proxy_kubeflow_1"
            ]
        );
        assert_eq!(
            belonging(&headers, &login, false, true),
            [
                "oauth2_proxy_kubeflow_abcdefgh_csrf",
                "oauth2_proxy_kubeflow_csrf"
            ]
        );
    }

    #[test]
    fn the_attributes_follow_the_settings() {
        let mut login = fixture::login();
        let https = Site {
            secure: true,
            ..fixture::site()
        };
        let text = |attributes: Attributes<'_>| {
            let value = attributes.set("n", "v", Duration::from_secs(9)).unwrap();
            value.to_str().unwrap().to_owned()
        };
        let plain = text(Attributes::session(&login, &fixture::site()));
        assert_eq!(plain, "n=v; Path=/; Max-Age=9; HttpOnly; SameSite=Lax");
        let secured = text(Attributes::session(&login, &https));
        assert_eq!(
            secured,
            "n=v; Path=/; Max-Age=9; HttpOnly; Secure; SameSite=Lax"
        );
        login.cookie_samesite = "strict".into();
        assert!(text(Attributes::session(&login, &https)).ends_with("SameSite=Strict"));
        assert!(text(Attributes::attempt(&login, &https)).ends_with("SameSite=Lax"));
        login.cookie_samesite = "none".into();
        assert!(text(Attributes::session(&login, &https)).ends_with("SameSite=None"));
        assert!(text(Attributes::session(&login, &fixture::site())).ends_with("SameSite=Lax"));
        login.cookie_samesite = "lax".into();
        login.cookie_path = "/kubeflow".into();
        login.attempt_samesite = Some("none".into());
        let attempt = text(Attributes::attempt(&login, &https));
        assert_eq!(
            attempt,
            "n=v; Path=/kubeflow; Max-Age=9; HttpOnly; Secure; SameSite=None"
        );
        assert!(text(Attributes::session(&login, &https)).ends_with("SameSite=Lax"));
    }

    #[test]
    fn the_domain_is_the_longest_that_fits_and_else_the_shortest() {
        let mut login = fixture::login();
        assert_eq!(domain(&login, "a.b.example.com"), None);
        login.cookie_domains = vec!["example.com".into(), ".b.example.com".into()];
        assert_eq!(domain(&login, "a.b.example.com"), Some(".b.example.com"));
        assert_eq!(domain(&login, "c.example.com"), Some("example.com"));
        assert_eq!(domain(&login, "elsewhere.org"), Some("example.com"));
    }
}
