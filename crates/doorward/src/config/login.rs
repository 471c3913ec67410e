//! `login:` of `doorward.yaml`: how people sign in, natively.

mod form;
mod words;

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::names::{ObjectRef, Place, Secret};
use model::snapshot::{
    EmailVerified, EntryRule, IssuerTls, IssuerTlsClient, Login, LoginClientAuth, RefreshFailure,
    UserInfo, WhenOffered,
};

use super::Switch;
pub(crate) use form::LoginConfig;
use form::{
    AskUserInfo, AttemptsConfig, ClaimsConfig, CookieConfig, EndpointsConfig, Failure,
    IssuerConfig, Offered, ProvenBy, RefreshConfig, RuleConfig, SecretConfig, TlsConfig, Verified,
};
use words::{
    address, addresses, cookie_name, host, is_plain_path, is_web_address, lower, patterns,
    skip_rule, texts,
};

/// What is wrong with the section: the key, and the fault. The operator's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoginFault {
    pub(crate) key: String,
    pub(crate) fault: String,
}

impl fmt::Display for LoginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.fault)
    }
}

fn fault<T>(key: &str, fault: impl Into<String>) -> Result<T, LoginFault> {
    Err(LoginFault {
        key: format!("login.{key}"),
        fault: fault.into(),
    })
}

impl LoginConfig {
    /// The files whose content counts, for who looks whether it changed.
    pub(crate) fn has_files(&self) -> bool {
        self.emails_file.is_some()
            || self.issuers.iter().any(|issuer| {
                let is_file = |secret: &Option<SecretConfig>| {
                    secret.as_ref().is_some_and(|secret| secret.file.is_some())
                };
                is_file(&issuer.client_secret)
                    || is_file(&issuer.client_key)
                    || is_file(&issuer.tls.key)
                    || issuer.tls.authorities.is_some()
                    || issuer.tls.certificate.is_some()
            })
    }

    /// The login of the section, with what the files that it names say now; paths are seen from
    /// where the settings file at `path` is.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn login(&self, path: &Path) -> Result<Login, LoginFault> {
        let Self {
            prefix,
            issuers,
            cookie,
            refresh,
            attempts,
            logout_path,
            logout_at_issuer,
            skip_page,
            email_domains,
            emails,
            emails_file,
            groups,
            rules,
            exempt,
            api_paths,
            redirect_hosts,
            bearer_tokens,
            pass_id_token,
        } = self;
        let at = At(path);
        let Some((first, further)) = issuers.split_first() else {
            return fault("issuers", "there is none, so nobody can sign in");
        };
        let prefix = prefix.trim_end_matches('/');
        if !is_plain_path(prefix) {
            return fault("prefix", "it is no path below `/`, such as `/oauth2`");
        }
        if !logout_path.is_empty() && !is_plain_path(logout_path) {
            return fault("logoutPath", "it is no path below `/`, such as `/logout`");
        }
        let mut listed = lower(emails);
        if let Some(file) = emails_file {
            let text = at.text("emailsFile", file)?;
            listed.extend(text.lines().filter_map(address));
        }
        if listed.is_empty() && email_domains.is_empty() {
            return fault(
                "emailDomains",
                "nobody may enter; write `[\"*\"]` for everybody whom the issuer signs in, or say who by `emailDomains`, `emails` or `emailsFile`",
            );
        }
        let CookieConfig {
            name,
            domains,
            path: cookie_path,
            lifetime,
            same_site,
            secure,
        } = cookie;
        let RefreshConfig { after, failure } = refresh;
        let AttemptsConfig {
            lifetime: attempt_lifetime,
            limit,
        } = attempts;
        let usual = Login::with_defaults(
            ObjectRef::new("Settings", "doorward", "login"),
            Place::new(path.display().to_string(), 1),
            first.issuer.as_str().into(),
            first.client_id.as_str().into(),
        );
        let is_on = |switch: &Option<Switch>, usual| switch.map_or(usual, |it| it == Switch::On);
        let common = Login {
            prefix: prefix.into(),
            cookie_name: cookie_name(name.as_deref().unwrap_or("doorward_session"))?,
            cookie_domains: texts(domains),
            cookie_path: cookie_path.as_deref().unwrap_or("/").into(),
            cookie_expire: lifetime.map_or(usual.cookie_expire, |span| span.0),
            cookie_samesite: match same_site.as_deref().unwrap_or("lax") {
                "lax" => "Lax".into(),
                "strict" => "Strict".into(),
                "none" => "None".into(),
                _ => return fault("cookie.sameSite", "it is `lax`, `strict` or `none`"),
            },
            cookie_secure: is_on(secure, true),
            cookie_refresh: after.map(|span| span.0),
            refresh_failure: match failure {
                Failure::Keep => RefreshFailure::KeepWhileValid,
                Failure::End => RefreshFailure::End,
            },
            attempt_lifetime: attempt_lifetime.map_or(usual.attempt_lifetime, |span| span.0),
            attempt_limit: limit.unwrap_or(usual.attempt_limit).max(1),
            logout_path: (!logout_path.is_empty()).then(|| logout_path.as_str().into()),
            logout_at_issuer: is_on(logout_at_issuer, true),
            skip_provider_button: is_on(skip_page, false),
            email_domains: texts(email_domains),
            emails: Arc::new(listed),
            allowed_groups: texts(groups),
            entry_rules: rules.iter().map(RuleConfig::rule).collect(),
            skip_routes: exempt
                .iter()
                .map(|it| skip_rule(it))
                .collect::<Result<_, _>>()?,
            api_routes: patterns("apiPaths", api_paths)?,
            whitelist_domains: texts(redirect_hosts),
            skip_jwt_bearer_tokens: is_on(bearer_tokens, false),
            set_authorization_header: is_on(pass_id_token, false),
            set_xauthrequest: true,
            ..usual
        };
        let mut names = BTreeSet::new();
        for (number, issuer) in issuers.iter().enumerate() {
            let is_name = |letter: u8| letter.is_ascii_alphanumeric() || b"-_".contains(&letter);
            if !issuer.name.bytes().all(is_name) || (issuer.name.is_empty() && issuers.len() > 1) {
                let key = format!("issuers[{number}].name");
                return fault(&key, "it is not made of letters, digits, `-` and `_`");
            }
            if !names.insert(&issuer.name) {
                let key = format!("issuers[{number}].name");
                return fault(&key, format!("`{}` stands there twice", issuer.name));
            }
        }
        let others: Result<Vec<_>, _> = further
            .iter()
            .enumerate()
            .map(|(number, issuer)| {
                let mut other = issuer.login(number + 1, &common, at)?;
                // Each has a callback of its own.
                let own = || format!("{prefix}/callback/{}", issuer.name).into();
                other.redirect_url = other.redirect_url.or_else(|| Some(own()));
                Ok(Arc::new(other))
            })
            .collect();
        let mut login = first.login(0, &common, at)?;
        login.others = others?;
        Ok(login)
    }
}

impl IssuerConfig {
    /// `common` with what is this issuer's own.
    fn login(&self, number: usize, common: &Login, at: At<'_>) -> Result<Login, LoginFault> {
        let Self {
            name,
            label,
            issuer,
            client_id,
            client_secret,
            client_auth,
            client_key,
            client_key_id,
            pushed_requests,
            signed_requests,
            scopes,
            endpoints,
            claims,
            user_info,
            email_verified,
            extra_audiences,
            signing_algorithms,
            clock_skew,
            prompt,
            parameters,
            redirect_url,
            tls,
        } = self;
        let key = |key: &str| format!("issuers[{number}].{key}");
        for (name, text) in [("issuer", issuer)].into_iter().chain(addresses(endpoints)) {
            if !is_web_address(text) {
                return fault(&key(name), format!("`{text}` is no web address"));
            }
        }
        if client_id.is_empty() {
            return fault(&key("clientId"), "it is empty");
        }
        let secret = at.secret(&key("clientSecret"), client_secret.as_ref())?;
        let wants_secret = |auth| match &secret {
            Some(_) => Ok(auth),
            None => fault(
                &key("clientSecret"),
                "it is missing; `clientAuth: none` is for a client without one",
            ),
        };
        let client_auth = match client_auth {
            ProvenBy::ClientSecret => wants_secret(LoginClientAuth::Secret)?,
            ProvenBy::ClientSecretBasic => wants_secret(LoginClientAuth::SecretBasic)?,
            ProvenBy::ClientSecretPost => wants_secret(LoginClientAuth::SecretPost)?,
            ProvenBy::PrivateKeyJwt => {
                let Some(own) = at.secret(&key("clientKey"), client_key.as_ref())? else {
                    return fault(
                        &key("clientKey"),
                        "`private_key_jwt` signs with it, and it is missing",
                    );
                };
                LoginClientAuth::PrivateKeyJwt {
                    key: own,
                    key_id: client_key_id.as_deref().map(Arc::from),
                }
            }
            ProvenBy::TlsClientAuth if tls.certificate.is_none() => {
                return fault(
                    &key("tls.certificate"),
                    "`tls_client_auth` shows it, and it is missing",
                );
            }
            ProvenBy::TlsClientAuth => LoginClientAuth::Tls,
            ProvenBy::None => LoginClientAuth::Secret,
        };
        let ClaimsConfig {
            user,
            email,
            groups,
            preferred_username,
        } = claims;
        let claim = |said: &Option<String>, usual: &Arc<str>| {
            said.as_deref().map_or_else(|| Arc::clone(usual), Arc::from)
        };
        let endpoint = |pick: fn(&EndpointsConfig) -> Option<&String>| {
            endpoints
                .as_ref()
                .and_then(pick)
                .map(|text| Arc::from(text.as_str()))
        };
        let parameters = parameters.iter();
        Ok(Login {
            choice: name.as_str().into(),
            display_name: label.as_deref().map_or_else(|| host(issuer), Arc::from),
            issuer: issuer.as_str().into(),
            client_id: client_id.as_str().into(),
            client_secret: secret.unwrap_or_else(|| Secret::new([])),
            client_auth,
            pushed_requests: pushed_requests.when(),
            signed_requests: signed_requests.when(),
            scopes: scopes
                .as_ref()
                .map_or_else(|| common.scopes.clone(), |said| texts(said)),
            login_url: endpoint(|all| Some(&all.authorization)),
            redeem_url: endpoint(|all| Some(&all.token)),
            jwks_url: endpoint(|all| Some(&all.keys)),
            user_info_url: endpoint(|all| all.user_info.as_ref()),
            user_info: match user_info {
                AskUserInfo::WhenMissing => UserInfo::WhenMissing,
                AskUserInfo::Always => UserInfo::Always,
                AskUserInfo::Never => UserInfo::Never,
            },
            end_session_url: endpoint(|all| all.end_session.as_ref()),
            user_claim: claim(user, &common.user_claim),
            email_claim: claim(email, &common.email_claim),
            groups_claim: claim(groups, &common.groups_claim),
            preferred_username_claim: claim(preferred_username, &common.preferred_username_claim),
            email_verified: match email_verified {
                Verified::NotDenied => EmailVerified::NotDenied,
                Verified::Required => EmailVerified::Required,
                Verified::Any => EmailVerified::Any,
            },
            extra_audiences: texts(extra_audiences),
            signing_algorithms: texts(signing_algorithms),
            clock_skew: clock_skew.map_or(common.clock_skew, |span| span.0),
            prompt: prompt.as_deref().map(Arc::from),
            login_parameters: parameters
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            redirect_url: redirect_url.as_deref().map(Arc::from),
            issuer_tls: tls.read(&key, at)?,
            ..common.clone()
        })
    }
}

impl TlsConfig {
    fn read(&self, key: &dyn Fn(&str) -> String, at: At<'_>) -> Result<IssuerTls, LoginFault> {
        let Self {
            authorities,
            system_too,
            certificate,
            key: own,
        } = self;
        let text = |name: &str, file: &Option<PathBuf>| -> Result<Option<Arc<str>>, LoginFault> {
            let text = file.as_ref().map(|file| at.text(&key(name), file));
            Ok(text.transpose()?.map(Arc::from))
        };
        let client = match text("tls.certificate", certificate)? {
            None => None,
            Some(certificates) => match at.secret(&key("tls.key"), own.as_ref())? {
                Some(key) => Some(IssuerTlsClient { certificates, key }),
                None => {
                    return fault(
                        &key("tls.key"),
                        "the certificate needs it, and it is missing",
                    );
                }
            },
        };
        Ok(IssuerTls {
            authorities: text("tls.authorities", authorities)?,
            system_too: *system_too == Some(Switch::On),
            unverified: false,
            client,
        })
    }
}

impl RuleConfig {
    fn rule(&self) -> EntryRule {
        let Self {
            hosts,
            paths,
            groups,
            emails,
            email_domains,
        } = self;
        EntryRule {
            hosts: hosts
                .iter()
                .map(|host| host.to_lowercase().into())
                .collect(),
            paths: texts(paths),
            groups: texts(groups),
            emails: lower(emails),
            email_domains: texts(email_domains),
        }
    }
}

impl Offered {
    fn when(self) -> WhenOffered {
        match self {
            Self::Auto => WhenOffered::Auto,
            Self::Always => WhenOffered::Always,
            Self::Never => WhenOffered::Never,
        }
    }
}

/// Where paths are seen from.
#[derive(Clone, Copy)]
struct At<'a>(&'a Path);

impl At<'_> {
    fn text(self, key: &str, file: &Path) -> Result<String, LoginFault> {
        let beside = self.0.parent().unwrap_or(Path::new("."));
        let file = beside.join(file);
        fs::read_to_string(&file)
            .or_else(|error| fault(key, format!("`{}` cannot be read: {error}", file.display())))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "settings come from the environment here"
    )]
    fn secret(self, key: &str, said: Option<&SecretConfig>) -> Result<Option<Secret>, LoginFault> {
        let Some(SecretConfig { file, env: name }) = said else {
            return Ok(None);
        };
        let text = match (file, name) {
            (Some(file), None) => self.text(key, file)?,
            (None, Some(name)) => match env::var(name) {
                Ok(text) => text,
                Err(_) => return fault(key, format!("the environment has no `{name}`")),
            },
            (Some(_), Some(_)) => return fault(key, "`file` and `env` exclude each other"),
            (None, None) => return fault(key, "write `{file: PATH}` or `{env: NAME}`"),
        };
        // Editors end a file with a line break, and no secret begins or ends with one.
        let text = text.trim_matches(['\r', '\n']);
        if text.is_empty() {
            return fault(key, "it is empty");
        }
        Ok(Some(Secret::new(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests;
