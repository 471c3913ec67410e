//! Listeners: what each may carry, whether it can be served, and where several contradict.

use std::sync::Arc;

use super::{GatewayApi, certificates, clients, conditions};
use crate::finding::{Code, Finding, Severity, codes};
use crate::manifest::gateway_api::GROUP;
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::listener::{Listener, Protocol};
use crate::snapshot::{ClientAuth, Closure, ListenerProtocol, ServedCertificate};
use crate::world::World;

/// A verdict about one condition: `Err` holds the reason and the words.
pub(super) type Verdict = Result<(), Denial>;

/// Why a condition does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// A word that the specification lists.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Denial {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// A listener of a Gateway that this process serves.
pub(super) struct Seat<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) listener: &'a Listener,
    /// Kinds of routes that may attach.
    pub(super) kinds: Vec<&'static str>,
    pub(super) accepted: Verdict,
    pub(super) resolved: Verdict,
    /// Against another listener.
    pub(super) conflict: Verdict,
    pub(super) certificates: Vec<ServedCertificate>,
    /// Whether clients show a certificate.
    pub(super) clients: ClientAuth,
    /// Accepted routes.
    pub(super) attached: u32,
    /// Set where its hosts are known and cannot be served.
    pub(super) closed: Option<Arc<Closure>>,
}

impl Seat<'_> {
    /// What is spoken there; `None` for what is not served here.
    pub(super) fn protocol(&self) -> Option<ListenerProtocol> {
        match self.listener.protocol {
            Protocol::Http => Some(ListenerProtocol::Http),
            Protocol::Https | Protocol::Tls => Some(ListenerProtocol::Tls),
            Protocol::Other(_) => None,
        }
    }

    /// Whether what comes then is no HTTP.
    pub(super) fn is_stream(&self) -> bool {
        self.listener.protocol == Protocol::Tls
    }

    /// Whether TLS goes to the backend as it came.
    pub(super) fn passes_tls_on(&self) -> bool {
        self.listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.passthrough)
    }

    /// Whether the data plane knows it, open or closed.
    pub(super) fn is_programmed(&self) -> bool {
        self.accepted.is_ok() && self.conflict.is_ok()
    }

    /// Whether requests are served.
    pub(super) fn serves(&self) -> bool {
        self.is_programmed() && self.closed.is_none()
    }

    fn finding(&self, code: Code, denial: &Denial, remedy: &str) -> Finding {
        self.gateway.object.finding(
            code,
            Severity::Error,
            self.listener.line,
            self.listener.path.clone(),
            denial.message.clone(),
            remedy,
        )
    }
}

/// Every listener, Gateways in the order of their age.
pub(super) fn seat<'a>(
    api: &'a GatewayApi,
    world: &World,
    findings: &mut Vec<Finding>,
) -> Vec<Seat<'a>> {
    let mut seats = Vec::new();
    for gateway in &api.gateways {
        let mut closed = gateway.closed.clone();
        if let Err((_, finding)) = conditions::refusal(gateway) {
            closed.get_or_insert_with(|| Arc::new(Closure::of(&finding)));
            findings.push(*finding);
        }
        for listener in &gateway.listeners {
            let mut seat = Seat {
                gateway,
                listener,
                kinds: Vec::new(),
                accepted: supported(listener),
                resolved: Ok(()),
                conflict: Ok(()),
                certificates: Vec::new(),
                clients: ClientAuth::None,
                attached: 0,
                closed: closed.clone(),
            };
            kinds(&mut seat);
            if let Err(denial) = &seat.accepted {
                let finding = seat.finding(
                    codes::LISTENER_REFUSED,
                    denial,
                    "route HTTP or HTTPS through doorward only",
                );
                findings.push(finding);
            }
            if let Err(denial) = &seat.resolved {
                let remedy = "allow `HTTPRoute` or `GRPCRoute`";
                findings.push(seat.finding(codes::LISTENER_REFUSED, denial, remedy));
            }
            let ends_tls = match listener.protocol {
                Protocol::Https => true,
                Protocol::Tls => !seat.passes_tls_on(),
                Protocol::Http | Protocol::Other(_) => false,
            };
            if seat.accepted.is_ok() && ends_tls {
                certificates::find(api, world, &mut seat, findings);
                clients::find(api, world, &mut seat, findings);
            }
            seats.push(seat);
        }
    }
    conflicts(&mut seats);
    for seat in &seats {
        if let Err(denial) = &seat.conflict {
            let remedy = "give it another port or another host name; it is not served";
            findings.push(seat.finding(codes::LISTENER_REFUSED, denial, remedy));
        }
    }
    seats
}

fn supported(listener: &Listener) -> Verdict {
    let passthrough = listener.tls.as_ref().is_some_and(|tls| tls.passthrough);
    let refuse = |message: String| Err(Denial::new("UnsupportedProtocol", message));
    match &listener.protocol {
        Protocol::Http => Ok(()),
        Protocol::Https if passthrough => refuse(format!(
            "`{}` passes TLS through, which `HTTPS` does not",
            listener.path
        )),
        Protocol::Https => Ok(()),
        Protocol::Tls if listener.tls.is_none() => refuse(format!(
            "`{}` does not say whether TLS ends there",
            listener.path
        )),
        Protocol::Tls => Ok(()),
        Protocol::Other(other) => refuse(format!(
            "`{}` speaks `{other}`, which is not served here",
            listener.path
        )),
    }
}

/// The kinds of routes that may attach: those of the protocol, as far as the listener allows them.
fn kinds(seat: &mut Seat<'_>) {
    let of_protocol: &[&'static str] = match seat.listener.protocol {
        Protocol::Http | Protocol::Https => &["HTTPRoute", "GRPCRoute"],
        Protocol::Tls => &["TLSRoute"],
        Protocol::Other(_) => &[],
    };
    let wanted = &seat.listener.allowed.kinds;
    if wanted.is_empty() {
        seat.kinds = of_protocol.to_vec();
        return;
    }
    for (group, kind) in wanted {
        let known = of_protocol.iter().find(|known| **known == &**kind);
        match known.filter(|_| &**group == GROUP) {
            Some(known) if seat.kinds.contains(known) => {}
            Some(known) => seat.kinds.push(known),
            None => {
                let message = format!(
                    "`{}.allowedRoutes` allows `{kind}`, which it cannot carry",
                    seat.listener.path
                );
                seat.resolved = Err(Denial::new("InvalidRouteKinds", message));
            }
        }
    }
}

/// Two listeners of one Gateway that contradict each other are both refused: nobody can say which
/// is meant. Between Gateways the older one stays; equal hosts of both are served together.
fn conflicts(seats: &mut [Seat<'_>]) {
    let mut denials: Vec<(usize, Denial)> = Vec::new();
    for (index, seat) in seats.iter().enumerate() {
        let rivals = seats.iter().enumerate().filter(|(other, rival)| {
            *other != index
                && rival.listener.port == seat.listener.port
                && rival.protocol().is_some()
                && seat.protocol().is_some()
        });
        for (other, rival) in rivals {
            let same_gateway = std::ptr::eq(rival.gateway, seat.gateway);
            if rival.protocol() != seat.protocol() && (same_gateway || other < index) {
                let message = format!(
                    "`{}` of `{}` already speaks another protocol on port {}",
                    rival.listener.name, rival.gateway.object.reference, seat.listener.port
                );
                denials.push((index, Denial::new("ProtocolConflict", message)));
                break;
            }
            if same_gateway && rival.listener.hostname == seat.listener.hostname {
                let message = format!(
                    "`{}` already serves the host `{}` on port {}",
                    rival.listener.name, seat.listener.hostname, seat.listener.port
                );
                denials.push((index, Denial::new("HostnameConflict", message)));
                break;
            }
        }
    }
    for (index, denial) in denials {
        seats[index].conflict = Err(denial);
    }
}
