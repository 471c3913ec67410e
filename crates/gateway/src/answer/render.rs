//! Words → bytes and headers.

use askama::Template;
use bytes::Bytes;
use http::Response;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::table::{Page, Told};
use super::{Asker, grpc};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'",
);

#[derive(Template)]
#[template(path = "page.html")]
struct Shown<'a> {
    title: &'a str,
    lead: &'a str,
    command: Option<&'a str>,
    request_id: Option<&'a str>,
}

/// The answer that says `told` to `asker`.
pub(super) fn told(told: Told, asker: &Asker) -> Response<Bytes> {
    let Told {
        status,
        text,
        page,
        close,
        line,
    } = told;
    let id = asker.request_id.as_ref();
    if asker.grpc && !asker.relayed {
        let mut response = grpc::answer(status, &text);
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        return response;
    }
    let html = page
        .filter(|_| asker.html)
        .and_then(|page| render(&page, id));
    let is_page = html.is_some();
    let is_empty = text.is_empty();
    let mut response = Response::new(html.unwrap_or_else(|| text.into_owned()).into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_page {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    } else if !is_empty {
        let kind = match line {
            true => "text/plain; charset=utf-8",
            false => "text/plain",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id.clone());
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn render(page: &Page, request_id: Option<&HeaderValue>) -> Option<String> {
    let Page {
        title,
        lead,
        command,
    } = page;
    let request_id = request_id.and_then(|id| id.to_str().ok());
    Shown {
        title,
        lead,
        command: command.as_deref(),
        request_id,
    }
    .render()
    .ok()
}

#[cfg(test)]
mod tests {
    use model::snapshot::ServiceRef;
    use policy::decision::Refusal;

    use super::super::table;
    use super::*;
    use crate::proxy::UpstreamFault;

    fn asker(html: bool) -> Asker {
        Asker {
            html,
            grpc: false,
            relayed: false,
            request_id: Some(HeaderValue::from_static("id-1")),
        }
    }

    #[test]
    fn a_browser_gets_a_page_and_a_script_gets_a_line() {
        let service = ServiceRef {
            namespace: "ns".into(),
            name: "<ui>".into(),
            port: 80,
        };
        let fault = || table::upstream(UpstreamFault::Unreachable, &service);
        let page = told(fault(), &asker(true));
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(page.headers()[CONTENT_SECURITY_POLICY], POLICY);
        let text = String::from_utf8(page.into_body().to_vec()).unwrap();
        assert!(text.contains("--resolve &#60;ui&#62;.ns=ADDR"), "{text}");
        assert!(text.contains("<code>id-1</code>"));
        assert!(!text.contains("<style") && !text.contains("style=") && !text.contains("<script"));
        let line = told(fault(), &asker(false));
        assert_eq!(line.headers()[CONTENT_TYPE], "text/plain");
        assert_eq!(line.headers()[REQUEST_ID], "id-1");
        assert!(line.body().starts_with(b"service `<ui>.ns:80`"));
    }

    #[test]
    fn access_denied_is_a_page_for_a_browser_and_the_stock_line_for_a_script() {
        let page = told(table::refusal(&Refusal::Denied), &asker(true));
        assert_eq!(page.status(), 403);
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let text = String::from_utf8(page.into_body().to_vec()).unwrap();
        assert!(text.contains("<h1>You may not open this</h1>"), "{text}");
        assert!(text.contains("<code>id-1</code>"), "{text}");
        let line = told(table::refusal(&Refusal::Denied), &asker(false));
        assert_eq!(line.status(), 403);
        assert_eq!(line.headers()[CONTENT_TYPE], "text/plain");
        assert_eq!(&line.body()[..], b"RBAC: access denied");
    }

    #[test]
    fn where_nothing_is_served_a_script_reads_nothing() {
        let empty = told(table::refusal(&Refusal::NoRoute), &asker(false));
        assert_eq!(empty.status(), 404);
        assert_eq!(empty.headers().get(CONTENT_TYPE), None);
        assert!(empty.body().is_empty());
        let page = told(table::refusal(&Refusal::NoRoute), &asker(true));
        assert_eq!(page.status(), 404);
        assert!(!page.body().is_empty());
    }
}
