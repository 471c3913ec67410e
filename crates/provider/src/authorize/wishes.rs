//! What a request wants of the sign-in itself: `prompt`, `max_age`, `id_token_hint`, `acr_values`
//! (OpenID Connect Core §3.1.2.1) and `claims` (§5.5).

use model::names::Duration;
use oidc::jose::{self, KeySet};
use oidc::wire::ErrorCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::check::Reason;
use crate::form::Form;

/// What a request wants of the sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wishes {
    pub(crate) prompt: Prompt,
    /// How old the sign-in may be, seconds.
    pub(crate) max_age: Option<u64>,
    /// Who is to be signed in, as `sub`.
    pub(crate) subject: Option<String>,
    /// The login name to begin with.
    pub(crate) login_hint: String,
    /// One of these classes of sign-in is a must, when there are any.
    pub(crate) classes: Vec<String>,
    /// Claims wanted by name.
    pub(crate) claims: WantedClaims,
}

/// `prompt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Prompt {
    /// Whatever is needed is shown.
    #[default]
    AsNeeded,
    /// `none`: nothing may be shown.
    Never,
    /// `login` or `select_account`: the person signs in whatever is remembered.
    SignIn,
}

/// The names in `claims`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WantedClaims {
    pub(crate) id_token: Vec<String>,
    pub(crate) user_info: Vec<String>,
}

/// Class of a sign-in with one factor.
pub(crate) const ONE_FACTOR: &str = "1";

/// Longer `claims` are not looked at.
const LONGEST: usize = 8 * 1024;

impl Wishes {
    /// Reads the wishes of `form`; hints are checked against `keys`, ours.
    pub(super) fn read(form: &Form, issuer: &str, keys: &KeySet) -> Result<Self, Reason> {
        let mut wishes = Self {
            prompt: prompt(form.text("prompt"))?,
            max_age: max_age(form)?,
            subject: hinted(form, issuer, keys)?,
            login_hint: form.text("login_hint").to_owned(),
            ..Self::default()
        };
        if let Some(text) = form.find("claims") {
            wishes.want(text)?;
        }
        Ok(wishes)
    }

    /// How old the sign-in may be.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.max_age.map(Duration::from_secs)
    }

    /// Whether a sign-in of `class` will do.
    pub(crate) fn admits(&self, class: &str) -> bool {
        self.classes.is_empty() || self.classes.iter().any(|one| one == class)
    }

    fn want(&mut self, text: &str) -> Result<(), Reason> {
        let bad = (ErrorCode::InvalidRequest, "`claims` cannot be read");
        if text.len() > LONGEST {
            return Err(bad);
        }
        let read: Map<String, Value> = serde_json::from_str(text).map_err(|_| bad)?;
        let section = |name: &str| match read.get(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members.clone()),
            Some(_) => Err(bad),
        };
        let (id_token, user_info) = (section("id_token")?, section("userinfo")?);
        for (name, wish) in id_token.iter().chain(&user_info) {
            if !matches!(wish, Value::Null | Value::Object(_)) {
                return Err(bad);
            }
            if name == "sub"
                && let Some(subject) = wish.get("value").and_then(Value::as_str)
            {
                self.subject = Some(subject.to_owned());
            }
        }
        if let Some(wish) = id_token.get("acr")
            && wish.get("essential") == Some(&Value::Bool(true))
        {
            let several = wish.get("values").and_then(Value::as_array);
            let one = wish.get("value");
            let all = several.into_iter().flatten().chain(one);
            self.classes = all
                .filter_map(|class| Some(class.as_str()?.to_owned()))
                .collect();
        }
        self.claims = WantedClaims {
            id_token: id_token.into_iter().map(|(name, _)| name).collect(),
            user_info: user_info.into_iter().map(|(name, _)| name).collect(),
        };
        Ok(())
    }
}

fn prompt(text: &str) -> Result<Prompt, Reason> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if let Some(_unknown) = words
        .iter()
        .find(|word| !["none", "login", "consent", "select_account"].contains(word))
    {
        return Err((ErrorCode::InvalidRequest, "`prompt` has an unknown word"));
    }
    if words.contains(&"none") {
        return match words.len() {
            1 => Ok(Prompt::Never),
            _ => Err((
                ErrorCode::InvalidRequest,
                "`none` cannot stand with another `prompt`",
            )),
        };
    }
    let signs_in = words.contains(&"login") || words.contains(&"select_account");
    Ok(if signs_in {
        Prompt::SignIn
    } else {
        Prompt::AsNeeded
    })
}

fn max_age(form: &Form) -> Result<Option<u64>, Reason> {
    let bad = (
        ErrorCode::InvalidRequest,
        "`max_age` is no number of seconds",
    );
    let Some(text) = form.find("max_age") else {
        return Ok(None);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        // What is longer than a lifetime of the clock asks for nothing.
        Ok(seconds) if digits => Ok(Some(seconds).filter(|one| *one < i64::MAX as u64 / 2)),
        _ => Err(bad),
    }
}

/// Whom `id_token_hint` names. It may have expired: it tells whom the client knows.
fn hinted(form: &Form, issuer: &str, keys: &KeySet) -> Result<Option<String>, Reason> {
    let Some(token) = form.find("id_token_hint") else {
        return Ok(None);
    };
    let bad = (
        ErrorCode::InvalidRequest,
        "`id_token_hint` is no token of this issuer",
    );
    let claims = jose::verify(token, keys).map_err(|_| bad)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer) {
        return Err(bad);
    }
    text("sub").map(|sub| Some(sub.to_owned())).ok_or(bad)
}

#[cfg(test)]
mod tests {
    use oidc::jose::{SigningAlgorithm, SigningKey};
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://h/dex";

    fn read(parameters: &[(&str, &str)]) -> Result<Wishes, ErrorCode> {
        let form = Form::parse(crate::form::query(parameters).as_bytes()).unwrap();
        let keys = KeySet::from_json(r#"{"keys":[]}"#).unwrap();
        Wishes::read(&form, ISSUER, &keys).map_err(|(code, _)| code)
    }

    #[test]
    fn prompts_are_words_and_none_stands_alone() {
        let prompt = |text| read(&[("prompt", text)]).map(|wishes| wishes.prompt);
        for (text, expected) in [
            ("", Prompt::AsNeeded),
            ("consent", Prompt::AsNeeded),
            ("none", Prompt::Never),
            ("login", Prompt::SignIn),
            ("select_account", Prompt::SignIn),
            ("login  consent", Prompt::SignIn),
        ] {
            assert_eq!(prompt(text), Ok(expected), "{text}");
        }
        for text in ["none login", "create", "None", "login none"] {
            assert_eq!(prompt(text), Err(ErrorCode::InvalidRequest), "{text}");
        }
    }

    #[test]
    fn ages_are_whole_seconds() {
        let age = |text| read(&[("max_age", text)]).map(|wishes| wishes.max_age);
        assert_eq!(age("0"), Ok(Some(0)));
        assert_eq!(age("10000"), Ok(Some(10_000)));
        for bad in ["-1", "+1", "1.5", "x", "1e3", " 1", "99999999999999999999"] {
            assert_eq!(age(bad), Err(ErrorCode::InvalidRequest), "{bad}");
        }
    }

    #[test]
    fn a_hint_must_be_ours_and_may_have_expired() {
        let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let keys = KeySet::from_json(&json!({ "keys": [key.jwk()] }).to_string()).unwrap();
        let hint = |claims: Value| {
            let token = key.sign(claims.as_object().unwrap()).unwrap();
            let form = Form::parse(format!("id_token_hint={token}").as_bytes()).unwrap();
            Wishes::read(&form, ISSUER, &keys).map(|wishes| wishes.subject)
        };
        let good = json!({"iss": ISSUER, "sub": "s", "exp": 1});
        assert_eq!(hint(good), Ok(Some("s".into())));
        for bad in [
            json!({"iss": "https://x", "sub": "s"}),
            json!({"iss": ISSUER}),
        ] {
            assert!(hint(bad).is_err());
        }
        let garbage = read(&[("id_token_hint", "a.b.c")]);
        assert_eq!(garbage.unwrap_err(), ErrorCode::InvalidRequest);
    }

    #[test]
    fn claims_are_wanted_by_name() {
        let claims = json!({
            "userinfo": {"name": {"essential": true}, "sub": {"value": "s"}},
            "id_token": {"acr": {"essential": true, "values": ["1", "2"]}, "email": null},
        });
        let wishes = read(&[("claims", &claims.to_string())]).unwrap();
        assert_eq!(wishes.claims.user_info, ["name", "sub"]);
        assert_eq!(wishes.claims.id_token, ["acr", "email"]);
        assert_eq!(wishes.subject.as_deref(), Some("s"));
        assert!(wishes.admits("1") && !wishes.admits("3"));
        // A class that is not essential is a wish only.
        let claims = json!({"id_token": {"acr": {"values": ["9"]}}}).to_string();
        assert!(read(&[("claims", &claims)]).unwrap().admits(ONE_FACTOR));
        let long = format!("{{\"x\":\"{}\"}}", "y".repeat(LONGEST));
        for bad in [
            "x",
            "[]",
            "{\"userinfo\":7}",
            "{\"id_token\":{\"a\":7}}",
            &long,
        ] {
            let seen = read(&[("claims", bad)]);
            assert_eq!(seen.unwrap_err(), ErrorCode::InvalidRequest, "{bad:.20}");
        }
    }
}
