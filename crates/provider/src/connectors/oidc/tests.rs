//! Conversations with an issuer that a test plays.

use bytes::Bytes;
use http::{HeaderMap, Response};
use model::names::Secret;
use model::snapshot::{IssuerTls, OidcOverrides, UpstreamClient};
use oidc::jose::SigningKey;

use super::*;
use crate::connectors::Wanted;

const NOW: i64 = 1_700_000_000;
const CALLBACK: &str = "https://us/dex/callback";

pub(crate) fn settings() -> OidcConnector {
    OidcConnector {
        client: UpstreamClient {
            id: "us".into(),
            secret: Secret::new("s"),
            redirect_uri: CALLBACK.into(),
        },
        issuer: "https://up".into(),
        issuer_alias: None,
        overrides: OidcOverrides::default(),
        basic_auth_unsupported: None,
        scopes: vec!["profile".into(), "email".into()],
        tls: IssuerTls::default(),
        skip_email_verified: false,
        enable_groups: false,
        allowed_groups: Vec::new(),
        acr_values: Vec::new(),
        user_info: false,
        user_id_key: "sub".into(),
        user_name_key: "name".into(),
        prompt: "consent".into(),
        pkce: None,
        override_claims: false,
        preferred_username_key: "preferred_username".into(),
        email_key: "email".into(),
        groups_key: "groups".into(),
        groups_filter: None,
        groups_prefix: "".into(),
        groups_suffix: "".into(),
        new_groups: Vec::new(),
    }
}

fn luggage() -> Luggage {
    Luggage {
        verifier: "v".repeat(43),
        nonce: "n".into(),
    }
}

fn context(offline: bool) -> Context {
    Context {
        callback: CALLBACK.into(),
        wanted: Wanted {
            groups: false,
            offline,
        },
        now: NOW,
    }
}

/// What an issuer says.
struct Issuer {
    key: SigningKey,
    metadata: Value,
    claims: Value,
    user_info: Value,
    /// Answers of `/keys`, the last one for ever.
    keys: Vec<Value>,
    requests: Vec<String>,
    documents: Vec<(String, bool)>,
}

impl Issuer {
    fn new() -> Self {
        let key = SigningKey::generate("k1".into()).unwrap();
        Self {
            metadata: json!({
                "issuer": "https://up", "authorization_endpoint": "https://up/auth?a=b",
                "token_endpoint": "https://up/token", "jwks_uri": "https://up/keys",
                "userinfo_endpoint": "https://up/me", "code_challenge_methods_supported": ["S256"],
            }),
            claims: json!({
                "iss": "https://up", "aud": "us", "sub": "7", "name": "N", "email": "n@e",
                "email_verified": true, "nonce": "n", "iat": NOW, "exp": NOW + 60,
            }),
            user_info: json!({"sub": "7", "email": "info@e"}),
            keys: vec![json!({"keys": [key.jwk()]})],
            key,
            requests: Vec::new(),
            documents: Vec::new(),
        }
    }

    fn answer(&mut self, question: Question) -> Answered {
        let body = match question {
            Question::Document { url, anew } => {
                self.documents.push((url.clone(), anew));
                match &*url {
                    "https://up/.well-known/openid-configuration" => self.metadata.clone(),
                    "https://up/keys" if self.keys.len() > 1 => self.keys.remove(0),
                    "https://up/keys" => self.keys[0].clone(),
                    other => panic!("{other}"),
                }
            }
            Question::Http(request) => {
                let body = String::from_utf8_lossy(request.body()).into_owned();
                let auth = request.headers().get("authorization");
                let auth = auth.map_or("", |value| value.to_str().unwrap());
                self.requests
                    .push(format!("{} {auth} {body}", request.uri()));
                match request.uri().path() {
                    "/token" => {
                        let claims = self.claims.as_object().unwrap();
                        let id_token = self.key.sign(claims).unwrap();
                        json!({"access_token": "at", "id_token": id_token,
                               "refresh_token": "rt", "token_type": "Bearer"})
                    }
                    "/me" => self.user_info.clone(),
                    other => panic!("{other}"),
                }
            }
            Question::Directory(_) => panic!("no directory"),
        };
        Answered::Http(Response::new(Bytes::from(body.to_string())))
    }

    fn run(
        &mut self,
        settings: &OidcConnector,
        context: &Context,
        purpose: Purpose<'_>,
    ) -> Result<Move<Stage>, ConnectorFault> {
        let mut moved = begin(settings, context, purpose)?;
        while let Move::Ask(question, stage) = moved {
            let answered = self.answer(question);
            moved = stage.next(settings, context, answered)?;
        }
        Ok(moved)
    }

    fn come_back(
        &mut self,
        settings: &OidcConnector,
        query: &[(&str, &str)],
    ) -> Result<Identity, ConnectorFault> {
        let luggage = luggage();
        let purpose = Purpose::Return {
            query,
            headers: &HeaderMap::new(),
            luggage: &luggage,
        };
        match self.run(settings, &context(true), purpose)? {
            Move::Known(identity) => Ok(identity),
            other => panic!("{other:?}"),
        }
    }
}

const CODE: [(&str, &str); 1] = [("code", "c")];

fn departure(settings: &OidcConnector, metadata: Option<Value>, offline: bool) -> String {
    let mut issuer = Issuer::new();
    if let Some(metadata) = metadata {
        issuer.metadata = metadata;
    }
    let luggage = luggage();
    let purpose = Purpose::Depart {
        state: "s",
        luggage: &luggage,
    };
    match issuer.run(settings, &context(offline), purpose).unwrap() {
        Move::Depart(address) => address,
        other => panic!("{other:?}"),
    }
}

#[test]
fn people_are_sent_away_as_the_settings_say() {
    let address = departure(&settings(), None, false);
    let challenge = challenge(&luggage().verifier);
    let wanted = format!(
        "https://up/auth?a=b&client_id=us&redirect_uri=https%3A%2F%2Fus%2Fdex%2Fcallback\
         &response_type=code&scope=openid+profile+email&state=s&nonce=n\
         &code_challenge={challenge}&code_challenge_method=S256"
    );
    assert_eq!(address, wanted);
    let mut rules = settings();
    rules.pkce = Some(OidcPkce::None);
    rules.acr_values = vec!["high".into()];
    rules.overrides.authorization = Some("https://else/auth".into());
    let address = departure(&rules, None, true);
    assert!(
        address.starts_with("https://else/auth?client_id=us&"),
        "{address}"
    );
    assert!(address.ends_with("&nonce=n&acr_values=high&access_type=offline&prompt=consent"));
    rules.prompt = "".into();
    assert!(departure(&rules, None, true).ends_with("&access_type=offline&prompt="));
}

#[test]
fn a_code_is_redeemed_and_the_token_believed() {
    let mut issuer = Issuer::new();
    let known = issuer.come_back(&settings(), &CODE).unwrap();
    assert_eq!((&*known.user_id, &*known.email), ("7", "n@e"));
    assert_eq!(known.held, Some(json!({"refresh_token": "rt"})));
    let verifier = luggage().verifier;
    let wanted = format!(
        "https://up/token Basic dXM6cw== grant_type=authorization_code&code=c\
         &redirect_uri=https%3A%2F%2Fus%2Fdex%2Fcallback&code_verifier={verifier}"
    );
    assert_eq!(issuer.requests, [wanted]);
    let mut rules = settings();
    rules.basic_auth_unsupported = Some(true);
    rules.user_info = true;
    let mut issuer = Issuer::new();
    let known = issuer.come_back(&rules, &CODE).unwrap();
    assert_eq!(known.email, "info@e");
    assert!(issuer.requests[0].ends_with("&client_id=us&client_secret=s"));
    assert_eq!(issuer.requests[1], "https://up/me Bearer at ");
}

#[test]
fn hosts_that_take_no_header_are_known() {
    for (issuer, wanted) in [
        ("https://x.okta.com", Proof::Form),
        ("https://x.oktapreview.com/oauth2", Proof::Form),
        ("https://okta.com.evil", Proof::Header),
        ("https://up", Proof::Header),
    ] {
        let mut rules = settings();
        rules.issuer = issuer.into();
        assert_eq!(
            proof(&rules, &ProviderMetadata::default()),
            wanted,
            "{issuer}"
        );
    }
}

#[test]
fn keys_that_were_turned_are_asked_for_once_more() {
    let mut issuer = Issuer::new();
    let old = SigningKey::generate("k0".into()).unwrap();
    issuer.keys.insert(0, json!({"keys": [old.jwk()]}));
    assert!(issuer.come_back(&settings(), &CODE).is_ok());
    let anew: Vec<_> = issuer.documents.iter().map(|(_, anew)| *anew).collect();
    assert_eq!(anew, [false, false, true]);
    let mut issuer = Issuer::new();
    issuer.keys = vec![json!({"keys": [old.jwk()]})];
    let seen = issuer.come_back(&settings(), &CODE);
    assert_eq!(
        seen,
        Err(ConnectorFault::Signature(VerifyFault::UnknownKey))
    );
}

#[test]
fn nobody_is_known_by_an_answer_that_was_not_meant_for_us() {
    use oidc::id_token::IdTokenFault as F;
    for (name, value, fault) in [
        ("iss", json!("https://evil"), F::WrongIssuer),
        ("aud", json!("them"), F::WrongAudience),
        ("exp", json!(NOW - 61), F::Expired),
        ("nonce", json!("other"), F::WrongNonce),
    ] {
        let mut issuer = Issuer::new();
        issuer.claims[name] = value;
        let seen = issuer.come_back(&settings(), &CODE);
        assert_eq!(seen, Err(ConnectorFault::Token(fault)), "{name}");
    }
    let run = |query: &[(&str, &str)]| Issuer::new().come_back(&settings(), query);
    let denied = [("error", "access_denied"), ("code", "c")];
    assert_eq!(run(&denied), Err(ConnectorFault::Refused));
    assert_eq!(run(&[]), Err(ConnectorFault::Unasked));
    // Another issuer's answer.
    let mixed = [("code", "c"), ("iss", "https://evil")];
    assert_eq!(run(&mixed), Err(ConnectorFault::Unasked));
    assert!(run(&[("code", "c"), ("iss", "https://up")]).is_ok());
    let mut rules = settings();
    rules.user_info = true;
    let mut issuer = Issuer::new();
    issuer.user_info = json!({"sub": "8"});
    let fault = ConnectorFault::Answer("the user info is another person's");
    assert_eq!(issuer.come_back(&rules, &CODE), Err(fault));
    let mut issuer = Issuer::new();
    issuer.metadata["issuer"] = json!("https://evil");
    let fault = ConnectorFault::Answer("the discovery document names another issuer");
    assert_eq!(issuer.come_back(&settings(), &CODE), Err(fault));
    // Unless the settings name it.
    let mut rules = settings();
    rules.issuer_alias = Some("https://alias".into());
    let mut issuer = Issuer::new();
    issuer.metadata["issuer"] = json!("https://alias");
    issuer.claims["iss"] = json!("https://alias");
    assert!(issuer.come_back(&rules, &CODE).is_ok());
}

#[test]
fn somebody_is_asked_for_again_with_the_token_of_the_upstream() {
    let before = Identity {
        user_id: "7".into(),
        held: Some(json!({"refresh_token": "r0"})),
        ..Identity::default()
    };
    let again = |issuer: &mut Issuer, before: &Identity| {
        let purpose = Purpose::Again { before };
        match issuer.run(&settings(), &context(true), purpose)? {
            Move::Known(identity) => Ok(identity),
            other => panic!("{other:?}"),
        }
    };
    let mut issuer = Issuer::new();
    issuer.claims["email"] = json!("new@e");
    issuer.claims.as_object_mut().unwrap().remove("nonce");
    let known = again(&mut issuer, &before).unwrap();
    assert_eq!(known.email, "new@e");
    assert_eq!(known.held, Some(json!({"refresh_token": "rt"})));
    assert!(issuer.requests[0].ends_with("grant_type=refresh_token&refresh_token=r0"));
    issuer.claims["sub"] = json!("8");
    assert_eq!(again(&mut issuer, &before), Err(ConnectorFault::Gone));
    let nothing = Identity {
        held: None,
        ..before
    };
    assert_eq!(again(&mut issuer, &nothing), Err(ConnectorFault::Gone));
}
