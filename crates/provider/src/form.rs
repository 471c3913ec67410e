//! Forms and queries (`application/x-www-form-urlencoded`), read strictly and written.

use http::{HeaderMap, Method, Request, header};
use percent_encoding::percent_decode;

/// Decoded parameters in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

/// Why parameters were not read. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormFault {
    /// A broken escape, or not UTF-8.
    Unreadable,
    /// A body that is no form, or too long.
    NotAForm,
    /// A parameter is there twice (RFC 6749 §3.1, §3.2).
    Repeated,
}

/// Bodies above this are not looked at. No form of ours comes near.
const LONGEST_BODY: usize = 64 * 1024;

/// More parameters than any form or query of ours has; each is compared with those before it.
const MOST_PARAMETERS: usize = 256;

impl Form {
    /// Reads a query or a body.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, FormFault> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for piece in text
            .split(|byte| *byte == b'&')
            .filter(|piece| !piece.is_empty())
        {
            let cut = piece
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(piece.len());
            let name = decode(&piece[..cut])?;
            let value = decode(piece.get(cut + 1..).unwrap_or_default())?;
            if pairs.len() == MOST_PARAMETERS {
                return Err(FormFault::NotAForm);
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(FormFault::Repeated);
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The query of a request.
    pub(crate) fn of_query<B>(request: &Request<B>) -> Result<Self, FormFault> {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// The body of a request.
    pub(crate) fn of_body<B: AsRef<[u8]>>(request: &Request<B>) -> Result<Self, FormFault> {
        let body = request.body().as_ref();
        if body.len() > LONGEST_BODY || !says_form(request.headers()) {
            return Err(FormFault::NotAForm);
        }
        Self::parse(body)
    }

    /// Body (of a POST) and query; the body's word counts where both speak.
    pub(crate) fn of_both<B: AsRef<[u8]>>(request: &Request<B>) -> Result<Self, FormFault> {
        let query = Self::of_query(request)?;
        if request.method() != Method::POST {
            return Ok(query);
        }
        let mut both = Self::of_body(request)?;
        for (name, value) in query.0 {
            if both.find(&name).is_none() {
                both.0.push((name, value));
            }
        }
        Ok(both)
    }

    /// A parameter; empty counts as absent (RFC 6749 §3.1).
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// A parameter, or nothing as empty text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The parameters without `name`.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// The parameters, with `others` in the place of those of the same name.
    #[must_use]
    pub(crate) fn overridden(mut self, others: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in others {
            self.0.retain(|(known, _)| *known != name);
            self.0.push((name, value));
        }
        self
    }

    /// Every parameter, in order of arrival.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// Written as a query, without the parameter `without`.
    pub(crate) fn query_without(&self, without: &str) -> String {
        let pairs: Vec<(&str, &str)> = self
            .0
            .iter()
            .filter(|(name, _)| name != without)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        query(&pairs)
    }
}

/// Writes parameters.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Decodes one form value: `+` is a space.
pub(crate) fn decode(text: &[u8]) -> Result<String, FormFault> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    decode_path(&spaced)
}

/// Decodes one path segment: `+` is itself.
pub(crate) fn decode_path(text: &[u8]) -> Result<String, FormFault> {
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let whole = text
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if !whole {
            return Err(FormFault::Unreadable);
        }
    }
    String::from_utf8(percent_decode(text).collect()).map_err(|_| FormFault::Unreadable)
}

fn says_form(headers: &HeaderMap) -> bool {
    // A missing type is taken for a form: small scripts forget it and nothing else comes here.
    headers.get(header::CONTENT_TYPE).is_none_or(|value| {
        let essence = value
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let form = Form::parse(b"a=1+2&b=%2Foauth2%2Fcallback&c&d=%2525&&e==x").unwrap();
        assert_eq!(form.text("a"), "1 2");
        assert_eq!(form.text("b"), "/oauth2/callback");
        assert_eq!(form.find("c"), None);
        assert_eq!(form.text("d"), "%25");
        assert_eq!(form.text("e"), "=x");
    }

    #[test]
    fn broken_parameters_have_their_faults() {
        assert_eq!(Form::parse(b"a=%zz"), Err(FormFault::Unreadable));
        assert_eq!(Form::parse(b"a=%2"), Err(FormFault::Unreadable));
        assert_eq!(Form::parse(b"a=%ff"), Err(FormFault::Unreadable));
        assert_eq!(Form::parse(b"a=1&b=2&%61=3"), Err(FormFault::Repeated));
    }

    #[test]
    fn bodies_must_be_forms_and_come_before_the_query() {
        let request = |kind: &str| {
            Request::post("/x?a=query&b=query")
                .header("content-type", kind)
                .body("a=body")
                .unwrap()
        };
        let both = Form::of_both(&request("Application/X-WWW-Form-Urlencoded; charset=utf-8"));
        assert_eq!(both.as_ref().unwrap().text("a"), "body");
        assert_eq!(both.unwrap().text("b"), "query");
        assert_eq!(
            Form::of_both(&request("application/json")),
            Err(FormFault::NotAForm)
        );
    }

    #[test]
    fn queries_are_written_so_that_they_can_be_read() {
        let written = query(&[("state", ""), ("a b", "1&2=3/é")]);
        assert_eq!(written, "state=&a+b=1%262%3D3%2F%C3%A9");
        assert_eq!(
            Form::parse(written.as_bytes()).unwrap().text("a b"),
            "1&2=3/é"
        );
    }
}
