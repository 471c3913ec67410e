//! What an answer has, and how it goes to the client (Multiple Response Types, Form Post Response
//! Mode).

use serde::{Deserialize, Serialize};

use crate::form::Form;

/// `response_type`: what the answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Response {
    pub(crate) code: bool,
    pub(crate) id_token: bool,
    pub(crate) token: bool,
}

/// `response_mode`: where the answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

/// Where an answer goes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) redirect: String,
    pub(crate) state: String,
    pub(crate) mode: ResponseMode,
}

impl Delivery {
    /// Where `form` says that an answer goes, before anything else of it is known to be good.
    pub(crate) fn of(form: &Form) -> Self {
        let response = Response::parse(form.text("response_type"));
        let usual = response.map_or(ResponseMode::Query, Response::usual_mode);
        let asked = form.find("response_mode").and_then(ResponseMode::parse);
        let mode = match asked {
            // Tokens in a query would end in logs (Multiple Response Types §2.1).
            Some(ResponseMode::Query) | None => usual,
            Some(mode) => mode,
        };
        Self {
            redirect: form.text("redirect_uri").to_owned(),
            state: form.text("state").to_owned(),
            mode,
        }
    }
}

impl Response {
    /// A code, as most clients want it.
    #[cfg(test)]
    pub(crate) const CODE: Self = Self {
        code: true,
        id_token: false,
        token: false,
    };

    /// Reads words in any order; nothing without a word or with an unknown one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut response = Self {
            code: false,
            id_token: false,
            token: false,
        };
        for word in text.split_ascii_whitespace() {
            match word {
                "code" => response.code = true,
                "id_token" => response.id_token = true,
                "token" => response.token = true,
                _ => return None,
            }
        }
        (response.code || response.id_token || response.token).then_some(response)
    }

    /// How it goes when the client says nothing.
    pub(crate) fn usual_mode(self) -> ResponseMode {
        if self.id_token || self.token {
            ResponseMode::Fragment
        } else {
            ResponseMode::Query
        }
    }
}

impl ResponseMode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "query" => Self::Query,
            "fragment" => Self::Fragment,
            "form_post" => Self::FormPost,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_in_any_order() {
        let all = Response::parse("token code  id_token").unwrap();
        assert_eq!(Response::parse("code id_token token"), Some(all));
        assert_eq!(all.usual_mode(), ResponseMode::Fragment);
        assert_eq!(Response::parse("code"), Some(Response::CODE));
        assert_eq!(Response::CODE.usual_mode(), ResponseMode::Query);
        for bad in ["", " ", "none", "code none", "Code"] {
            assert_eq!(Response::parse(bad), None, "{bad}");
        }
        assert_eq!(
            ResponseMode::parse("form_post"),
            Some(ResponseMode::FormPost)
        );
        assert_eq!(ResponseMode::parse("web_message"), None);
    }
}
