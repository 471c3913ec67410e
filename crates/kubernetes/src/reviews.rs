//! Asking an API server whose a token is: `TokenReview` of `authentication.k8s.io/v1`.

use serde::{Deserialize, Serialize};

/// Where it is asked, by `POST`.
pub const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

const API_VERSION: &str = "authentication.k8s.io/v1";
const KIND: &str = "TokenReview";

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenReview {
    /// Not authenticated, and why, where the server says so.
    Refused(String),
    /// For none of the audiences that were asked for.
    OtherAudience,
    /// A user's.
    Of {
        /// `username`.
        user: String,
        /// `groups`.
        groups: Vec<String>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    audiences: &'a [&'a str],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: String,
    kind: String,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    groups: Vec<String>,
}

/// The question about `token` for `audiences`.
pub fn token_question(token: &str, audiences: &[&str]) -> String {
    let question = Question {
        api_version: API_VERSION,
        kind: KIND,
        spec: Spec { token, audiences },
    };
    serde_json::to_string(&question).unwrap_or_default()
}

/// What the server answers to [`token_question`]; `None` when it is no answer to it. A server that
/// knows of audiences says for which of them the token is good; one that says nothing took no
/// notice of them, and so the token may be for anybody.
pub fn token_answer(body: &[u8], audiences: &[&str]) -> Option<TokenReview> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    if answer.api_version != API_VERSION || answer.kind != KIND {
        return None;
    }
    let Status {
        authenticated,
        user,
        audiences: good,
        error,
    } = answer.status;
    if !authenticated || user.username.is_empty() {
        return Some(TokenReview::Refused(error));
    }
    if !audiences.is_empty() && !good.iter().any(|one| audiences.contains(&one.as_str())) {
        return Some(TokenReview::OtherAudience);
    }
    Some(TokenReview::Of {
        user: user.username,
        groups: user.groups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_as_the_api_has_it() {
        let wanted = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"t","audiences":["a","b"]}}"#;
        assert_eq!(token_question("t", &["a", "b"]), wanted);
    }

    #[test]
    fn an_answer_is_read_for_the_audiences_that_were_asked_for() {
        let of = |status: &str| {
            let body = format!(
                r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{{}},"spec":{{}},"status":{status}}}"#
            );
            token_answer(body.as_bytes(), &["a", "b"])
        };
        let user = r#""user":{"username":"system:serviceaccount:n:s","uid":"1","groups":["system:serviceaccounts"],"extra":{"x":["y"]}}"#;
        assert_eq!(
            of(&format!(
                r#"{{"authenticated":true,{user},"audiences":["b"]}}"#
            )),
            Some(TokenReview::Of {
                user: "system:serviceaccount:n:s".to_owned(),
                groups: vec!["system:serviceaccounts".to_owned()],
            })
        );
        for other in [
            format!(r#"{{"authenticated":true,{user},"audiences":["c"]}}"#),
            format!(r#"{{"authenticated":true,{user}}}"#),
        ] {
            assert_eq!(of(&other), Some(TokenReview::OtherAudience));
        }
        let refused = of(r#"{"user":{},"error":"token has expired"}"#);
        assert_eq!(
            refused,
            Some(TokenReview::Refused("token has expired".to_owned()))
        );
        assert_eq!(
            of(r#"{"authenticated":true,"user":{},"audiences":["a"]}"#),
            Some(TokenReview::Refused(String::new()))
        );
        let bodies: [&[u8]; 3] = [
            b"",
            b"{}",
            br#"{"kind":"Status","apiVersion":"v1","status":{}}"#,
        ];
        for body in bodies {
            assert_eq!(token_answer(body, &["a"]), None);
        }
    }
}
