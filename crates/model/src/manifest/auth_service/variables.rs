//! Every variable, and what becomes of it.

use Becomes::{Acts, Warns};

/// What becomes of a variable. The first text is the value that changes nothing, the second says why
/// nothing acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It acts as in the original.
    Acts,
    /// It is taken, told of once, and changes nothing.
    Warns(&'static str, &'static str),
}

const STORE: &str = "sessions are in the database below `DOORWARD_STATE`";
const PAGE: &str = "the pages have the look of doorward";

/// Every variable, in the order of the original's own page; those of older generations last.
pub fn variables() -> impl Iterator<Item = (&'static str, Becomes)> {
    VARIABLES.iter().copied()
}

static VARIABLES: &[(&str, Becomes)] = &[
    ("OIDC_PROVIDER", Acts),
    ("OIDC_AUTH_URL", Acts),
    ("CLIENT_ID", Acts),
    ("CLIENT_SECRET", Acts),
    ("REDIRECT_URL", Acts),
    ("OIDC_SCOPES", Acts),
    ("AUTHSERVICE_URL_PREFIX", Acts),
    ("SKIP_AUTH_URLS", Acts),
    ("HOMEPAGE_URL", Acts),
    ("AFTER_LOGIN_URL", Acts),
    ("AFTER_LOGOUT_URL", Acts),
    ("VERIFY_AUTH_URL", Acts),
    ("AUTH_HEADER", Acts),
    ("AUTH_METHOD_HEADER", Acts),
    ("AUDIENCES", Acts),
    ("USERID_HEADER", Acts),
    ("GROUPS_HEADER", Acts),
    ("USERID_PREFIX", Acts),
    ("USERID_TRANSFORMERS", Acts),
    ("USERID_CLAIM", Acts),
    ("GROUPS_CLAIM", Acts),
    ("ID_TOKEN_HEADER", Acts),
    ("SERVER_HOSTNAME", Acts),
    ("SERVER_PORT", Acts),
    ("WEB_SERVER_PORT", Acts),
    ("READINESS_PROBE_PORT", Acts),
    ("CA_BUNDLE", Acts),
    (
        "LOG_LEVEL",
        Warns("INFO", "`DOORWARD_LOG` says what the log tells"),
    ),
    ("SESSION_STORE_TYPE", Acts),
    (
        "SESSION_STORE_PATH",
        Warns("/var/lib/authservice/data.db", STORE),
    ),
    (
        "OIDC_STATE_STORE_PATH",
        Warns(
            "/var/lib/authservice/data.db",
            "a sign-in is in a sealed cookie until it is finished",
        ),
    ),
    ("SESSION_STORE_REDIS_ADDR", Acts),
    ("SESSION_STORE_REDIS_PWD", Acts),
    ("SESSION_STORE_REDIS_DB", Acts),
    ("SESSION_MAX_AGE", Acts),
    ("SESSION_SAME_SITE", Acts),
    ("STRICT_SESSION_VALIDATION", Acts),
    ("IDTOKEN_AUTHN_ENABLED", Acts),
    ("KUBERNETES_AUTHN_ENABLED", Acts),
    ("ACCESS_TOKEN_AUTHN_ENABLED", Acts),
    ("ACCESS_TOKEN_AUTHN", Acts),
    ("CACHE_ENABLED", Acts),
    ("CACHE_EXPIRATION_MINUTES", Acts),
    ("GROUPS_ALLOWLIST", Acts),
    ("EXTERNAL_AUTHZ_URL", Acts),
    ("CLIENT_NAME", Acts),
    ("THEMES_URL", Warns("themes", PAGE)),
    ("THEME", Warns("kubeflow", PAGE)),
    ("TEMPLATE_PATH", Warns("", PAGE)),
    ("SKIP_AUTH_URI", Acts),
    ("STATIC_DESTINATION_URL", Acts),
    ("STORE_PATH", Warns("/var/lib/authservice/data.db", STORE)),
    ("PORT", Acts),
    ("USERID_TOKEN_HEADER", Acts),
];
