//! What a decision was made from, for the log: enough to make it again, and no secret.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};
use policy::request::is_secret;
use policy::{Bearer, Identified, NoSession, Outcome, Refusal, Request, Session, TokenFault};

use crate::facts::Asked;
use crate::listen::Peer;

/// A longer value of a header is left out.
const LONGEST: usize = 1024;

/// What a decision was made from, besides method, host, path and client.
pub(crate) struct Basis {
    /// `Gateway` port.
    pub(crate) port: u16,
    /// `http` or `https`, as the browser sees it.
    pub(crate) scheme: &'static str,
    /// Who asked.
    pub(crate) who: Option<Identified>,
    /// Why somebody has to sign in.
    pub(crate) absence: Option<NoSession>,
    /// Why a token was refused.
    pub(crate) token_fault: Option<TokenFault>,
    /// Headers that policies and routes look at; without their value where that is a secret.
    pub(crate) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    peer: Rc<Peer>,
    /// Whom the proxy that asks heard it from: its own connection says nothing then.
    asked: Option<Rc<Asked>>,
}

impl Basis {
    /// Of `request`, before anything of it changes. `tested` are the headers that decisions depend
    /// on.
    pub(crate) fn of(
        request: &Request<'_>,
        outcome: &Outcome,
        session: &Session,
        tested: &[HeaderName],
        peer: &Rc<Peer>,
    ) -> Self {
        let absence = match outcome {
            Outcome::SignIn(sign_in) => Some(sign_in.absence),
            _ => None,
        };
        let token_fault = match outcome {
            Outcome::Refuse(Refusal::Token(fault)) => Some(*fault),
            _ => None,
        };
        Self {
            absence,
            token_fault,
            ..Self::let_through(request, who(outcome, session), tested, peer)
        }
    }

    /// Of `request`, which somebody else routes and is let through, for `who`.
    pub(crate) fn let_through(
        request: &Request<'_>,
        who: Option<Identified>,
        tested: &[HeaderName],
        peer: &Rc<Peer>,
    ) -> Self {
        let head = request.head();
        Self {
            port: head.port,
            scheme: if head.scheme == "http" {
                "http"
            } else {
                "https"
            },
            who,
            absence: None,
            token_fault: None,
            headers: headers(tested, head.headers),
            peer: Rc::clone(peer),
            asked: None,
        }
    }

    /// The same, where a proxy asks that heard the request from `asked`.
    pub(crate) fn heard_from(self, asked: Option<&Rc<Asked>>) -> Self {
        Self {
            asked: asked.cloned(),
            ..self
        }
    }

    /// Server name of the handshake, where it is not the host.
    pub(super) fn other_server_name(&self, host: Option<&HeaderValue>) -> Option<&str> {
        let name = match &self.asked {
            Some(asked) => asked.sni.as_deref()?,
            None => self.peer.server_name.as_deref()?,
        };
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let same = host
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
            && matches!(host.as_bytes().get(name.len()), None | Some(b':' | b'.'));
        (!same).then_some(name)
    }

    /// SPIFFE id of the client's certificate.
    pub(super) fn principal(&self) -> Option<&str> {
        match &self.asked {
            Some(asked) => asked.principal.as_deref(),
            None => self.peer.certificate.as_ref()?.principal.as_deref(),
        }
    }
}

/// Whom a permit is for; where there is none, whoever showed a good token or a session.
fn who(outcome: &Outcome, session: &Session) -> Option<Identified> {
    if let Outcome::Forward(permit) = outcome {
        return permit.identified().cloned();
    }
    match (&session.bearer, &session.person) {
        // A token that is refused names nobody.
        (_, _) if matches!(outcome, Outcome::Refuse(Refusal::Token(_))) => None,
        (Bearer::Valid(token), _) => Some(Identified::Bearer(token.clone())),
        (_, Ok(person)) => Some(Identified::Person(person.clone())),
        (_, Err(_)) => None,
    }
}

fn headers(tested: &[HeaderName], received: &HeaderMap) -> Vec<(HeaderName, Option<HeaderValue>)> {
    let mut headers = Vec::new();
    for name in tested {
        for value in received.get_all(name) {
            let may_be_told = !is_secret(name) && value.len() <= LONGEST;
            headers.push((name.clone(), may_be_told.then(|| value.clone())));
        }
    }
    headers
}
