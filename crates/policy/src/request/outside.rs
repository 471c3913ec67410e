//! Headers that nobody outside may send.

use http::{HeaderMap, HeaderName};

/// Header names that stand for all their spellings: without letter case, `_` for `-`, as
/// applications fold them together. [`model::Snapshot::identity_headers`] are removed by such a
/// table, made once per snapshot.
#[derive(Clone, Debug, Default)]
pub struct FoldedNames {
    // Names with dashes, by length: most headers are told apart by their length alone.
    by_length: Vec<Vec<HeaderName>>,
}

impl FoldedNames {
    /// Knows `names`, in normal form.
    pub fn of(names: &[HeaderName]) -> Self {
        let mut by_length = Vec::new();
        for name in names {
            let length = name.as_str().len();
            if by_length.len() <= length {
                by_length.resize_with(length + 1, Vec::new);
            }
            by_length[length].push(name.clone());
        }
        Self { by_length }
    }

    /// Whether `sent` is one of them in some spelling.
    pub fn covers(&self, sent: &HeaderName) -> bool {
        let sent = sent.as_str();
        self.by_length
            .get(sent.len())
            .is_some_and(|names| names.iter().any(|name| is_same(sent, name.as_str())))
    }

    /// Removes every one of them, repeated ones included. Every front end does this to headers from
    /// outside before it makes a [`super::RequestHead`].
    pub fn remove_from(&self, headers: &mut HeaderMap) {
        // One forged header is rare, so the ordinary request only pays for looking.
        while let Some(forged) = headers.keys().find(|name| self.covers(name)).cloned() {
            headers.remove(&forged);
        }
    }
}

/// Whether two names, in lower case, are one to an application that folds `_` and `-` together.
fn is_same(sent: &str, name: &str) -> bool {
    let dash = |byte: u8| if byte == b'_' { b'-' } else { byte };
    sent.len() == name.len()
        && sent
            .bytes()
            .zip(name.bytes())
            .all(|(sent, name)| dash(sent) == dash(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn left(sent: &[&'static str]) -> Vec<String> {
        let identity = FoldedNames::of(&[
            HeaderName::from_static("kubeflow-userid"),
            HeaderName::from_static("x-auth-request-email"),
            HeaderName::from_static("x_claim"),
        ]);
        let mut headers = HeaderMap::new();
        for name in sent {
            for value in ["a", "b"] {
                let name = HeaderName::from_static(name);
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        identity.remove_from(&mut headers);
        let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn every_spelling_goes() {
        let forged = [
            "kubeflow-userid",
            "kubeflow_userid",
            "x_auth-request_email",
            "x-auth-request-email",
            "x-claim",
            "x_claim",
            "x-user",
        ];
        assert_eq!(left(&forged), ["x-user"]);
    }

    #[test]
    fn nothing_else_goes() {
        let near = [
            "kubeflow-useri",
            "kubeflow-userids",
            "kubeflow.userid",
            "xauth-request-emails",
        ];
        assert_eq!(left(&near), near);
    }

    #[test]
    fn without_names_everything_passes() {
        let headers = FoldedNames::default();
        assert!(!headers.covers(&HeaderName::from_static("a")));
    }
}
