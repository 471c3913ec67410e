//! `doorward authservice`: the environment of AuthService.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use login::{Reviewer, StoreAddress};
use model::Severity;
use model::auth_service::{Standing, stand_in};
use model::oauth2_proxy::IssuerTrust;
use model::session_place::SessionPlace;
use model::snapshot::LoginShape;

use super::listen::address;
use super::reviews::ApiServer;
use super::serve::{Beside, Fault, Program, serve};
use super::sessions::{Kept, kept};
use super::{environment, trust, variable};
use crate::up::{fail, start_log};

/// Any fault: as the original, which has one code only.
const FAILED: u8 = 1;

/// Runs `doorward authservice`.
pub(crate) fn run() -> ExitCode {
    let log = variable("DOORWARD_LOG").unwrap_or_else(|| "info".to_owned());
    if let Err(words) = start_log(&log) {
        return fail(FAILED, &words);
    }
    let standing = match stand_in(&environment()) {
        Ok(standing) => standing,
        Err(findings) => {
            let mut words = "invalid configuration:".to_owned();
            for finding in findings {
                if finding.severity == Severity::Error {
                    let (fault, remedy) = (finding.fault, finding.remedy);
                    words.push_str(&format!("\n  {fault}\n  help: {remedy}"));
                }
            }
            return fail(FAILED, &words);
        }
    };
    for finding in &standing.findings {
        tracing::warn!(code = %finding.code, help = finding.remedy, "{}", finding.fault);
    }
    match program(standing) {
        Ok(program) => super::run(serve(program)),
        Err(words) => fail(FAILED, &words),
    }
}

/// It has no secret of its own: one for a shared store must be given.
fn places(sessions: &SessionPlace) -> Result<Kept, String> {
    let kept = kept(sessions, None).map_err(|fault| fault.to_string())?;
    match kept.settings.store {
        // The value of its cookie is short, and good as a bearer token.
        StoreAddress::Cookie => Err(
            "`DOORWARD_SESSIONS`: sessions of AuthService are in no cookie\nhelp: leave it out, or name a store".to_owned(),
        ),
        _ => Ok(kept),
    }
}

fn program(standing: Standing) -> Result<Program, String> {
    let Standing {
        snapshot,
        judge,
        readiness,
        web,
        client_name,
        authorities,
        sessions,
        findings: _,
    } = standing;
    let read = |text: &str| -> Result<SocketAddr, String> {
        address(text).map_err(|fault| Fault::Address(fault).to_string())
    };
    let trust = IssuerTrust {
        authorities: authorities.into_iter().collect(),
        // The original adds the bundle to what the system trusts.
        system: true,
        anybody: false,
    };
    let wants_reviews = snapshot.logins().iter().any(|login| match &login.shape {
        LoginShape::AuthService(shape) => shape.reviews.is_some(),
        LoginShape::OAuth2Proxy => false,
    });
    let reviewer = match wants_reviews {
        true => ApiServer::find()?,
        false => None,
    };
    if wants_reviews && reviewer.is_none() {
        if variable("KUBERNETES_AUTHN_ENABLED").is_some() {
            return Err("`KUBERNETES_AUTHN_ENABLED` is set, and there is no cluster: neither `KUBECONFIG` nor a service account\nhelp: run it in a pod, or set it to `false`".to_owned());
        }
        tracing::info!("tokens of Kubernetes are not taken: there is no cluster here");
    }
    let reviewer = reviewer.map(|server| Arc::new(server) as Arc<dyn Reviewer>);
    Ok(Program {
        name: "authservice",
        snapshot,
        http: Some(read(&judge)?),
        https: None,
        metrics: None,
        sessions: places(&sessions)?,
        issuer: trust::client(&trust)?,
        watched: Vec::new(),
        beside: Some(Beside {
            readiness: read(&readiness)?,
            web: read(&web)?,
            name: client_name,
        }),
        reviewer,
        again: Box::new(|| None),
    })
}
