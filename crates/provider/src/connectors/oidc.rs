//! `oidc`: another OpenID provider (OpenID Connect Core §3.1, Discovery 1.0).

mod claims;

use model::snapshot::{OidcConnector, OidcPkce};
use oidc::discovery::ProviderMetadata;
use oidc::id_token::{self, Expected};
use oidc::jose::{self, KeySet, VerifyFault};
use oidc::wire::TokenResponse;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::code_flow::{self, Proof};
use super::wire;
use super::{Answered, ConnectorFault, Context, Identity, Luggage, Move, Purpose, Question, Turn};

/// How far the clock of the upstream may be off, seconds.
const LEEWAY: i64 = 60;

/// Where a conversation stands: what is waited for, and what is known by then.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The discovery document.
    Metadata(Errand),
    /// Tokens for a code or a refresh token.
    Tokens(Errand, Box<ProviderMetadata>),
    /// The keys that the ID token is signed with.
    Keys {
        errand: Errand,
        metadata: Box<ProviderMetadata>,
        tokens: Box<TokenResponse>,
        /// They were asked for anew.
        anew: bool,
    },
    /// What the user info endpoint says.
    UserInfo {
        errand: Errand,
        claims: Map<String, Value>,
        refresh: Option<String>,
    },
}

/// Why the upstream is spoken to.
#[derive(Debug)]
pub(crate) enum Errand {
    Depart {
        state: String,
        luggage: Luggage,
    },
    Redeem {
        code: String,
        /// `iss` of the answer (RFC 9207).
        issuer: Option<String>,
        luggage: Luggage,
    },
    Renew {
        before: Box<Identity>,
        token: String,
    },
}

pub(super) fn begin(settings: &OidcConnector, _: &Context, purpose: Purpose<'_>) -> Turn<Stage> {
    let errand = match purpose {
        Purpose::Depart { state, luggage } => Errand::Depart {
            state: state.to_owned(),
            luggage: luggage.clone(),
        },
        Purpose::Return { query, luggage, .. } => Errand::Redeem {
            code: code_flow::code(query)?.to_owned(),
            issuer: query
                .iter()
                .find(|(name, _)| *name == "iss")
                .map(|(_, value)| (*value).to_owned()),
            luggage: luggage.clone(),
        },
        Purpose::Again { before } => {
            let held = before
                .held
                .as_ref()
                .and_then(|held| held.get("refresh_token"));
            let token = held.and_then(Value::as_str).ok_or(ConnectorFault::Gone)?;
            Errand::Renew {
                before: Box::new(before.clone()),
                token: token.to_owned(),
            }
        }
        Purpose::Password { .. } => return Err(ConnectorFault::NotForThis),
    };
    let url = format!(
        "{}/.well-known/openid-configuration",
        settings.issuer.trim_end_matches('/')
    );
    let question = Question::Document { url, anew: false };
    Ok(Move::Ask(question, Stage::Metadata(errand)))
}

impl Stage {
    pub(super) fn next(
        self,
        settings: &OidcConnector,
        context: &Context,
        answered: Answered,
    ) -> Turn<Self> {
        match self {
            Self::Metadata(errand) => {
                let metadata = metadata(settings, wire::json(answered)?)?;
                set_out(settings, context, errand, metadata)
            }
            Self::Tokens(errand, metadata) => {
                let tokens = match code_flow::tokens(answered) {
                    // The upstream does not know the person's token any more.
                    Err(ConnectorFault::Status(400 | 401))
                        if matches!(errand, Errand::Renew { .. }) =>
                    {
                        return Err(ConnectorFault::Gone);
                    }
                    other => other?,
                };
                with_tokens(settings, errand, metadata, tokens)
            }
            Self::Keys {
                errand,
                metadata,
                tokens,
                anew,
            } => {
                let keys = wire::json(answered)?.to_string();
                let keys = KeySet::from_json(&keys).map_err(ConnectorFault::Keys)?;
                let id_token = tokens.id_token.as_deref().unwrap_or_default();
                let claims = match jose::verify(id_token, &keys) {
                    // The upstream may have turned its keys since they were read.
                    Err(VerifyFault::UnknownKey) if !anew => {
                        let url = metadata.jwks_uri.clone();
                        let question = Question::Document { url, anew: true };
                        let stage = Self::Keys {
                            errand,
                            metadata,
                            tokens,
                            anew: true,
                        };
                        return Ok(Move::Ask(question, stage));
                    }
                    verified => verified.map_err(ConnectorFault::Signature)?,
                };
                check(settings, context, &errand, &metadata, &claims)?;
                let bound = claims.get("at_hash").and_then(Value::as_str);
                if let Some(hash) = bound
                    && is_sha256(id_token)
                    && !bool::from(
                        jose::left_half_hash(&tokens.access_token)
                            .as_bytes()
                            .ct_eq(hash.as_bytes()),
                    )
                {
                    return Err(ConnectorFault::Answer(
                        "the upstream's access token is another one's",
                    ));
                }
                if settings.user_info {
                    return ask_user_info(errand, &metadata, *tokens, claims);
                }
                known(settings, context, errand, claims, tokens.refresh_token)
            }
            Self::UserInfo {
                errand,
                mut claims,
                refresh,
            } => {
                let Value::Object(told) = wire::json(answered)? else {
                    return Err(ConnectorFault::Answer("the user info is no object"));
                };
                // OpenID Connect Core §5.3.2: another person's answer must not be used.
                let (had, has) = (claims.get("sub"), told.get("sub"));
                if had.is_some() && has.is_some() && had != has {
                    return Err(ConnectorFault::Answer("the user info is another person's"));
                }
                claims.extend(told);
                known(settings, context, errand, claims, refresh)
            }
        }
    }
}

/// The document of the issuer, with what the settings say instead.
fn metadata(
    settings: &OidcConnector,
    document: Value,
) -> Result<Box<ProviderMetadata>, ConnectorFault> {
    let mut read: ProviderMetadata = serde_json::from_value(document)
        .map_err(|_| ConnectorFault::Answer("the discovery document cannot be read"))?;
    let expected = settings.issuer_alias.as_ref().unwrap_or(&settings.issuer);
    if read.issuer != **expected {
        return Err(ConnectorFault::Answer(
            "the discovery document names another issuer",
        ));
    }
    let overrides = &settings.overrides;
    if !overrides.is_empty() {
        // What is offered is not known of the addresses that are put in.
        read.code_challenge_methods_supported.clear();
    }
    for (target, given) in [
        (&mut read.authorization_endpoint, &overrides.authorization),
        (&mut read.token_endpoint, &overrides.token),
        (&mut read.jwks_uri, &overrides.keys),
    ] {
        if let Some(given) = given {
            *target = given.to_string();
        }
    }
    if let Some(given) = &overrides.user_info {
        read.userinfo_endpoint = Some(given.to_string());
    }
    Ok(Box::new(read))
}

fn pkce(settings: &OidcConnector, metadata: &ProviderMetadata) -> OidcPkce {
    let offers = |method: &str| {
        let mut offered = metadata.code_challenge_methods_supported.iter();
        offered.any(|one| one == method)
    };
    match settings.pkce {
        Some(pkce) => pkce,
        None if offers("S256") => OidcPkce::S256,
        None if offers("plain") => OidcPkce::Plain,
        None => OidcPkce::None,
    }
}

/// Hosts that do not take the Basic header are known by name, as Dex knows them.
fn proof(settings: &OidcConnector, metadata: &ProviderMetadata) -> Proof {
    let host = url::Url::parse(&settings.issuer).ok();
    let host = host.as_ref().and_then(url::Url::host_str).unwrap_or("");
    let is_below = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    let named = &metadata.token_endpoint_auth_methods_supported;
    let takes = |method: &str| named.iter().any(|one| one == method);
    match settings.basic_auth_unsupported {
        Some(true) => Proof::Form,
        Some(false) => Proof::Header,
        None if is_below("okta.com") || is_below("oktapreview.com") => Proof::Form,
        None if takes("client_secret_post") && !takes("client_secret_basic") => Proof::Form,
        None => Proof::Header,
    }
}

fn set_out(
    settings: &OidcConnector,
    context: &Context,
    errand: Errand,
    metadata: Box<ProviderMetadata>,
) -> Turn<Stage> {
    let client = &settings.client;
    let proof = proof(settings, &metadata);
    match &errand {
        Errand::Depart { state, luggage } => {
            let mut more: Vec<(&str, String)> = vec![("nonce", luggage.nonce.clone())];
            match pkce(settings, &metadata) {
                OidcPkce::S256 => {
                    more.push(("code_challenge", challenge(&luggage.verifier)));
                    more.push(("code_challenge_method", "S256".to_owned()));
                }
                OidcPkce::Plain => {
                    more.push(("code_challenge", luggage.verifier.clone()));
                    more.push(("code_challenge_method", "plain".to_owned()));
                }
                OidcPkce::None => {}
            }
            if !settings.acr_values.is_empty() {
                more.push(("acr_values", settings.acr_values.join(" ")));
            }
            if context.wanted.offline {
                more.push(("access_type", "offline".to_owned()));
                more.push(("prompt", settings.prompt.to_string()));
            }
            let mut scopes: Vec<&str> = vec!["openid"];
            scopes.extend(settings.scopes.iter().map(|scope| &**scope));
            let offers = &metadata.scopes_supported;
            if context.wanted.offline
                && offers.iter().any(|one| one == "offline_access")
                && !scopes.contains(&"offline_access")
            {
                scopes.push("offline_access");
            }
            let more: Vec<(&str, &str)> =
                more.iter().map(|(name, text)| (*name, &**text)).collect();
            let address = code_flow::departure(
                &metadata.authorization_endpoint,
                client,
                (&context.callback, state),
                &scopes.join(" "),
                &more,
            )?;
            Ok(Move::Depart(address))
        }
        Errand::Redeem {
            code,
            issuer,
            luggage,
        } => {
            // Another issuer's answer (RFC 9207 §2.4).
            if issuer
                .as_ref()
                .is_some_and(|issuer| *issuer != metadata.issuer)
            {
                return Err(ConnectorFault::Unasked);
            }
            let verifier = match pkce(settings, &metadata) {
                OidcPkce::None => None,
                OidcPkce::S256 | OidcPkce::Plain => Some(&*luggage.verifier),
            };
            let endpoint = &metadata.token_endpoint;
            let request = code_flow::redeem(endpoint, client, proof, (code, verifier))?;
            Ok(Move::Ask(
                Question::Http(request),
                Stage::Tokens(errand, metadata),
            ))
        }
        Errand::Renew { token, .. } => {
            let request = code_flow::renew(&metadata.token_endpoint, client, proof, token)?;
            Ok(Move::Ask(
                Question::Http(request),
                Stage::Tokens(errand, metadata),
            ))
        }
    }
}

/// `code_challenge` of method S256 (RFC 7636 §4.2).
fn challenge(verifier: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    data_encoding::BASE64URL_NOPAD.encode(digest.as_ref())
}

fn with_tokens(
    settings: &OidcConnector,
    errand: Errand,
    metadata: Box<ProviderMetadata>,
    tokens: TokenResponse,
) -> Turn<Stage> {
    if tokens.id_token.is_some() {
        let url = metadata.jwks_uri.clone();
        return Ok(Move::Ask(
            Question::Document { url, anew: false },
            Stage::Keys {
                errand,
                metadata,
                tokens: Box::new(tokens),
                anew: false,
            },
        ));
    }
    match &errand {
        // An upstream need not repeat the ID token (OpenID Connect Core §12.2).
        Errand::Renew { .. } if settings.user_info => {
            ask_user_info(errand, &metadata, tokens, Map::new())
        }
        _ => Err(ConnectorFault::Answer("the upstream gave no ID token")),
    }
}

fn ask_user_info(
    errand: Errand,
    metadata: &ProviderMetadata,
    tokens: TokenResponse,
    claims: Map<String, Value>,
) -> Turn<Stage> {
    let endpoint = metadata
        .userinfo_endpoint
        .as_deref()
        .ok_or(ConnectorFault::Answer("the upstream has no user info"))?;
    let request = wire::get(endpoint, Some(&tokens.access_token))?;
    Ok(Move::Ask(
        Question::Http(request),
        Stage::UserInfo {
            errand,
            claims,
            refresh: tokens.refresh_token,
        },
    ))
}

/// Whether the token was meant for us, now (OpenID Connect Core §3.1.3.7, §12.2).
fn check(
    settings: &OidcConnector,
    context: &Context,
    errand: &Errand,
    metadata: &ProviderMetadata,
    claims: &Map<String, Value>,
) -> Result<(), ConnectorFault> {
    let nonce = match errand {
        // Some do not repeat it; another one's is refused.
        Errand::Redeem { luggage, .. } if claims.contains_key("nonce") => Some(&*luggage.nonce),
        _ => None,
    };
    let expected = Expected {
        issuer: &metadata.issuer,
        client_id: &settings.client.id,
        extra_audiences: &[],
        nonce,
        now: context.now,
        leeway_seconds: LEEWAY,
    };
    id_token::check(claims, &expected).map_err(ConnectorFault::Token)
}

/// Whether the token's digest is SHA-256.
fn is_sha256(id_token: &str) -> bool {
    let header = id_token.split('.').next().unwrap_or_default();
    let header = data_encoding::BASE64URL_NOPAD.decode(header.as_bytes());
    let header: Option<Value> = header
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let algorithm = header.as_ref().and_then(|header| header.get("alg"));
    algorithm
        .and_then(Value::as_str)
        .is_some_and(|name| name.ends_with("256"))
}

fn known(
    settings: &OidcConnector,
    context: &Context,
    errand: Errand,
    claims: Map<String, Value>,
    refresh: Option<String>,
) -> Turn<Stage> {
    let mut identity = claims::identity(settings, &claims)?;
    let held = match errand {
        Errand::Renew { before, token } => {
            // The same token may go on, and the same person has to.
            if before.user_id != identity.user_id {
                return Err(ConnectorFault::Gone);
            }
            Some(refresh.unwrap_or(token))
        }
        _ if context.wanted.offline => refresh,
        _ => None,
    };
    identity.held = held.map(|token| json!({ "refresh_token": token }));
    Ok(Move::Known(identity))
}

#[cfg(test)]
pub(super) mod tests;

#[cfg(test)]
pub(crate) use tests::settings;
