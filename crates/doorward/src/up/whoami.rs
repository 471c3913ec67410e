//! The built-in application: shows who you are and which headers an application gets.

use askama::Template;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

/// Headers that prove who somebody is: the page tells that they came, not what they say.
const SECRETS: [header::HeaderName; 4] = [
    header::HeaderName::from_static("x-doorward-assertion"),
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
];

#[derive(Template)]
#[template(path = "whoami.html")]
struct Page<'a> {
    user: Option<&'a str>,
    method: &'a str,
    target: &'a str,
    headers: Vec<(&'a str, String)>,
}

/// Answers every path.
pub(crate) fn answer(request: &Request<Bytes>) -> Response<Bytes> {
    let shown = |name: &header::HeaderName, value: &HeaderValue| {
        if SECRETS.contains(name) {
            return format!("({} bytes, not shown)", value.len());
        }
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    let mut headers: Vec<(&str, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), shown(name, value)))
        .collect();
    // What doorward says of the user comes first: it is what the page is for.
    headers.sort_by_key(|(name, _)| (!is_about_the_user(name), *name));
    let page = Page {
        user: request
            .headers()
            .get("kubeflow-userid")
            .and_then(|user| user.to_str().ok()),
        method: request.method().as_str(),
        target: request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str()),
        headers,
    };
    let (status, body) = match page.render() {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            tracing::error!(%error, "the `whoami` page cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let set = response.headers_mut();
    set.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    response
}

fn is_about_the_user(name: &str) -> bool {
    name == "authorization" || name.starts_with("kubeflow-") || name.starts_with("x-auth-request-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown_and_text_is_escaped() {
        let request = Request::builder()
            .uri("/a?<b>")
            .header("kubeflow-userid", "ann@example.com")
            .header("authorization", "Bearer secret-token")
            .header("x-note", "<script>")
            .body(Bytes::new());
        let request = request.unwrap_or_else(|_| {
            Request::builder()
                .uri("/a?b")
                .header("kubeflow-userid", "ann@example.com")
                .header("authorization", "Bearer secret-token")
                .header("x-note", "<script>")
                .body(Bytes::new())
                .unwrap()
        });
        let response = answer(&request);
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        assert!(body.contains("Signed in as ann@example.com"));
        assert!(!body.contains("secret-token"));
        assert!(body.contains("(19 bytes, not shown)"));
        assert!(!body.contains("<script>"));
    }
}
