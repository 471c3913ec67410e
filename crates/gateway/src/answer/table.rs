//! What is said in which case. A policy's content, a manifest's fault and an object's name stay in
//! the log; users get what happened, whose turn it is, and a request id.

use std::borrow::Cow;

use http::StatusCode;
use model::snapshot::ServiceRef;
use policy::Unreadable;
use policy::decision::Refusal;

use super::{LocalFault, is_foreign};
use crate::facts::Unclear;
use crate::proxy::UpstreamFault;

/// What is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Status.
    pub(super) status: StatusCode,
    /// What scripts read; browsers too when there is no page.
    pub(super) text: Cow<'static, str>,
    /// What browsers show.
    pub(super) page: Option<Page>,
    /// The client's framing cannot be trusted any more.
    pub(super) close: bool,
    /// The text is as a program has it that this process stands in for: a line, with its charset.
    pub(super) line: bool,
}

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// What happened.
    pub(super) title: &'static str,
    /// Whose turn it is.
    pub(super) lead: Cow<'static, str>,
    /// What an operator types.
    pub(super) command: Option<String>,
}

const TELL: &str = "Tell your administrator, with the request number below.";

fn text(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Told {
    Told {
        status,
        text: text.into(),
        page: None,
        close: false,
        line: false,
    }
}

/// As OAuth2 Proxy says it.
fn line(status: StatusCode, said: &'static str) -> Told {
    Told {
        line: true,
        ..text(status, said)
    }
}

impl Told {
    fn page(self, title: &'static str, lead: impl Into<Cow<'static, str>>) -> Self {
        let page = Page {
            title,
            lead: lead.into(),
            command: None,
        };
        Self {
            page: Some(page),
            ..self
        }
    }

    fn closing(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }
}

/// A head that could not be made into facts.
pub(super) fn unclear(unclear: Unclear) -> Told {
    let (status, said) = match unclear {
        Unclear::NoHost => (StatusCode::BAD_REQUEST, "the request names no host"),
        Unclear::TwoHosts => (
            StatusCode::BAD_REQUEST,
            "the request names more than one host",
        ),
        Unclear::OtherHost => (
            StatusCode::BAD_REQUEST,
            "the request's target and its `host` header differ",
        ),
        Unclear::HostBytes => (StatusCode::BAD_REQUEST, "the request's host is not a host"),
        Unclear::Connect => (
            StatusCode::METHOD_NOT_ALLOWED,
            "this is no forward proxy: `CONNECT` is refused",
        ),
        Unclear::Coding => (
            StatusCode::BAD_REQUEST,
            "the request's `transfer-encoding` is not `chunked`",
        ),
        Unclear::Misdirected => (
            StatusCode::MISDIRECTED_REQUEST,
            "this connection was made for another host; ask on a new one",
        ),
        Unclear::TooManyHeaders => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request has too many headers",
        ),
    };
    text(status, said).closing()
}

/// Host or path that cannot mean anything.
pub(super) fn unreadable(unreadable: Unreadable) -> Told {
    text(StatusCode::BAD_REQUEST, unreadable.to_string())
        .page(
            "This address cannot be read",
            "The address means nothing to this gateway. Check it for characters that do not belong \
             there.",
        )
        .closing()
}

/// A refusal.
pub(super) fn refusal(refusal: &Refusal) -> Told {
    match refusal {
        Refusal::NoRoute => text(StatusCode::NOT_FOUND, "").page(
            "Nothing is served here",
            "No application is reachable under this address. Check the address, or ask your \
             administrator where the application is.",
        ),
        // Browsers ask again on a connection of its own (RFC 9110 §15.5.20).
        Refusal::Misdirected => text(
            StatusCode::MISDIRECTED_REQUEST,
            "this connection was made for another host; ask on a new one",
        )
        .page(
            "Ask again",
            "Your browser asked over a connection that was made for another address. Load the page \
             again; if that does not help, close the browser and open it anew.",
        ),
        // The line is what stock Kubeflow answers.
        Refusal::Denied => text(StatusCode::FORBIDDEN, "RBAC: access denied").page(
            "You may not open this",
            format!(
                "The rules of this gateway do not let you through to it. If you need it, ask for \
                 access. {TELL}"
            ),
        ),
        Refusal::Token(fault) => {
            let status = if is_foreign(*fault) {
                StatusCode::FORBIDDEN
            } else {
                StatusCode::UNAUTHORIZED
            };
            text(status, fault.message()).page(
                "Your token is not accepted",
                format!(
                    "The token that came with this request does not count here, or not any more. \
                     Sign out and in again, or get a new token. If that does not help: {TELL}"
                ),
            )
        }
        Refusal::Forbidden => line(StatusCode::FORBIDDEN, "Forbidden\n"),
        Refusal::NoUpstream => line(StatusCode::NOT_FOUND, "404 page not found\n"),
        Refusal::NotAllowedIn => text(StatusCode::FORBIDDEN, "this account is not allowed in")
            .page(
                "This account is not allowed in",
                "You are signed in, but this account may not use what is behind this door. Sign in \
                 with another account, or ask your administrator to let this one in.",
            ),
        Refusal::AuthorizerUnavailable(status) => text(
            StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN),
            "",
        )
        .page(
            "Access cannot be checked",
            format!(
                "The service that decides who may come in does not answer. Try again in a moment. \
                 If it stays, {}",
                lower(TELL)
            ),
        ),
        Refusal::StoreUnavailable => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the session store does not answer",
        )
        .page(
            "Sessions cannot be read",
            format!(
                "You may be signed in, but this cannot be checked now. Try again in a \
                         moment. If it stays, {}",
                lower(TELL)
            ),
        ),
        Refusal::Closed(closure) => text(
            StatusCode::from_u16(closure.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            "closed: a manifest of this gateway is broken",
        )
        .page(
            "This door is closed",
            format!(
                "The gateway's configuration for this address cannot be read, so nobody \
                             is let through. {TELL}"
            ),
        ),
    }
}

/// An upstream that did not answer.
pub(super) fn upstream(fault: UpstreamFault, service: &ServiceRef) -> Told {
    let ServiceRef {
        name,
        namespace,
        port,
    } = service;
    match fault {
        UpstreamFault::Unresolvable | UpstreamFault::Unreachable => {
            let command = format!("--resolve {name}.{namespace}=ADDR");
            let (state, title) = if fault == UpstreamFault::Unresolvable {
                ("has no known address", "The application cannot be found")
            } else {
                ("takes no connections", "The application does not answer")
            };
            let said = format!("service `{name}.{namespace}:{port}` {state}; help: {command}");
            let lead = format!(
                "The Service {name} in namespace {namespace} {state} on port {port}. You did nothing \
                 wrong; try again in a moment."
            );
            let told = text(StatusCode::SERVICE_UNAVAILABLE, said);
            Told {
                page: Some(Page {
                    title,
                    lead: lead.into(),
                    command: Some(command),
                }),
                ..told
            }
        }
        UpstreamFault::BrokeOff | UpstreamFault::Refused => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream connect error or disconnect/reset before headers",
        )
        .page(
            "The application broke off",
            format!(
                "The Service {name} in namespace {namespace} ended the connection without an \
                     answer. Try again in a moment."
            ),
        ),
        UpstreamFault::Untrusted => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "service `{name}.{namespace}:{port}` cannot be reached over TLS; the gateway's log \
                 says why"
            ),
        )
        .page(
            "The application cannot be trusted",
            format!(
                "No safe connection to the Service {name} in namespace {namespace} could be made. \
                 {TELL}"
            ),
        ),
        UpstreamFault::Garbled => text(
            StatusCode::BAD_GATEWAY,
            "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
        )
        .page(
            "The application's answer cannot be read",
            format!("What the Service {name} in namespace {namespace} said is no answer. {TELL}"),
        ),
        UpstreamFault::Overflow => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        )
        .page(
            "The application has too much to do",
            format!(
                "The Service {name} in namespace {namespace} has as many requests as it may have. \
                 Try again in a moment."
            ),
        ),
        UpstreamFault::NoneHealthy => text(StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream")
            .page(
                "The application does not answer",
                format!(
                    "The Service {name} in namespace {namespace} failed again and again. Try again \
                     in a moment."
                ),
            ),
        UpstreamFault::Timeout | UpstreamFault::AttemptTimeout => text(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout")
            .page(
                "The application takes too long",
                format!(
                    "The Service {name} in namespace {namespace} did not answer in time. Try again \
                     in a moment."
                ),
            ),
        UpstreamFault::ClientStalled => text(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive",
        )
        .closing(),
        UpstreamFault::ClientBroke => {
            text(StatusCode::BAD_REQUEST, "the request's body broke off").closing()
        }
        UpstreamFault::Rewrite => no_path(),
    }
}

/// This gateway has more to do than it can.
pub(super) fn overloaded() -> Told {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gateway has too much to do",
    )
    .page(
        "There is too much to do",
        "This gateway has more requests than it can answer. Try again in a moment.",
    )
}

/// A call that cannot be shown a page to sign in on.
pub(super) fn sign_in() -> Told {
    text(StatusCode::UNAUTHORIZED, "sign in first")
}

/// A local service that was not asked, or did not answer.
pub(super) fn local(fault: LocalFault) -> Told {
    match fault {
        LocalFault::BodyTooLarge => text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request's body is too large",
        )
        .page(
            "This is too much",
            "What was sent is longer than this page takes. Go back and send less.",
        )
        .closing(),
        LocalFault::BodyBroken => {
            text(StatusCode::BAD_REQUEST, "the request's body broke off").closing()
        }
        LocalFault::BodyStalled => text(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive",
        )
        .closing(),
        LocalFault::Rewrite => no_path(),
        LocalFault::Failed => text(StatusCode::INTERNAL_SERVER_ERROR, "this page failed")
            .page("This page failed", format!("It is not your fault. {TELL}")),
    }
}

fn no_path() -> Told {
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the route's rewrite makes no path",
    )
    .page(
        "This address leads nowhere",
        format!("The gateway's configuration makes no address of it. It is not your fault. {TELL}"),
    )
}

fn lower(sentence: &str) -> String {
    let (first, rest) = sentence.split_at(1);
    first.to_ascii_lowercase() + rest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::finding::Code;
    use model::names::{ObjectRef, Place};
    use model::snapshot::Closure;
    use policy::TokenFault;

    use super::*;

    #[test]
    fn every_refusal_has_its_status() {
        let closure = Closure {
            code: Code(101),
            object: Some(ObjectRef::new("VirtualService", "ns", "secret-name")),
            place: Some(Place::new("secret-file.yaml", 3)),
            fault: "`spec` is secret".into(),
        };
        let table = [
            (Refusal::NoRoute, 404),
            (Refusal::Misdirected, 421),
            (Refusal::Denied, 403),
            (Refusal::Token(TokenFault::Expired), 401),
            (Refusal::Token(TokenFault::KeysUnavailable), 401),
            (Refusal::Token(TokenFault::AudienceNotAllowed), 403),
            (Refusal::NotAllowedIn, 403),
            (Refusal::AuthorizerUnavailable(504), 504),
            (Refusal::StoreUnavailable, 503),
            (Refusal::Closed(Arc::new(closure)), 503),
        ];
        for (refused, status) in table {
            let told = refusal(&refused);
            assert_eq!(told.status.as_u16(), status, "{refused:?}");
            assert!(told.page.is_some(), "{refused:?}");
            let words = format!("{told:?}");
            assert!(!words.contains("secret"), "{words}");
        }
        assert_eq!(refusal(&Refusal::Denied).text, "RBAC: access denied");
        assert_eq!(refusal(&Refusal::NoRoute).text, "");
    }

    #[test]
    fn a_missing_upstream_is_named_with_the_remedy() {
        let service = ServiceRef {
            namespace: "kubeflow".into(),
            name: "ui".into(),
            port: 80,
        };
        let told = upstream(UpstreamFault::Unreachable, &service);
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            told.text,
            "service `ui.kubeflow:80` takes no connections; help: --resolve ui.kubeflow=ADDR"
        );
        assert_eq!(
            told.page.unwrap().command.unwrap(),
            "--resolve ui.kubeflow=ADDR"
        );
        let told = upstream(UpstreamFault::Timeout, &service);
        assert_eq!(
            (told.status.as_u16(), &*told.text),
            (504, "upstream request timeout")
        );
    }
}
