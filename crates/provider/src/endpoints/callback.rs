//! Away to an upstream and back: `/auth/{connector}` sends people there, `/callback` and
//! `/callback/{connector}` take them back. What the request was travels in `state`, sealed; nothing
//! is stored until it is known who it is.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::snapshot::{ConnectorKind, ProviderConnector};
use oidc::wire::ErrorCode;
use serde::{Deserialize, Serialize};

use super::authorize::may_use;
use crate::answer;
use crate::authorize::{Asked, Person, Scopes};
use crate::claims::random_word;
use crate::connectors::{
    self, ConnectorFault, Context, Identity, Luggage, Outcome, Wanted, Way, asks_again,
};
use crate::form::Form;
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal, TokenFault};
use crate::sealed::{Purpose, Sealed};

/// A request whose person is away at an upstream.
#[derive(Serialize, Deserialize)]
struct Away {
    asked: Asked,
    luggage: Luggage,
}

impl Provider {
    /// Sends the browser to the upstream.
    pub(super) async fn depart(&self, asked: Asked, connector: &ProviderConnector) -> Answer {
        let luggage = Luggage {
            // 43 letters at least (RFC 7636 §4.1).
            verifier: format!(
                "{}{}",
                random_word(self.randomness()),
                random_word(self.randomness())
            ),
            nonce: random_word(self.randomness()),
        };
        let context = self.context(connector, &asked.scopes);
        let away = Away { asked, luggage };
        let sealed = self
            .seal()
            .await?
            .seal(Purpose::Callback, &away, self.randomness())
            .map_err(|_| PageFault::Broken)?;
        let state = sealed.joined();
        let purpose = connectors::Purpose::Depart {
            state: &state,
            luggage: &away.luggage,
        };
        match self.converse(connector, &context, purpose).await {
            Ok(Outcome::Depart(address)) => Ok(answer::redirect_to(StatusCode::FOUND, &address)),
            Ok(Outcome::Known(_) | Outcome::Wrong) => Err(PageFault::Broken.into()),
            Err(fault) => Err(self.page_fault(connector, &fault).into()),
        }
    }

    /// `GET /callback`, and `/callback/{connector}` for those that a proxy in front signs in.
    pub(crate) async fn callback(&self, request: &Request<Bytes>, id: Option<&str>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(PageFault::WrongMethod.into());
        }
        let query = Form::of_query(request).map_err(PageFault::from)?;
        let state = Sealed::split(query.text("state"));
        let Away { asked, luggage } = self
            .seal()
            .await?
            .open(Purpose::Callback, &state)
            .map_err(PageFault::from)?;
        if asked.is_expired(self.now()) {
            return Err(PageFault::Expired.into());
        }
        let connector = self.connector(&asked.connector)?;
        // Headers of a proxy count on the path that is the proxy's, and nowhere else.
        let fits = match (connectors::way(connector), id) {
            (Way::Away, None) => true,
            (Way::Proxied, Some(id)) => *connector.id == *id,
            _ => false,
        };
        if !fits {
            return Err(PageFault::WrongConnector.into());
        }
        let client = self.client_of(&asked).await?;
        may_use(Some(&client), connector)?;
        if self.store.is_answered(&asked.id).await? {
            return Err(PageFault::AlreadyAnswered.into());
        }
        let context = self.context(connector, &asked.scopes);
        let pairs = query.pairs();
        let purpose = connectors::Purpose::Return {
            query: &pairs,
            headers: request.headers(),
            luggage: &luggage,
        };
        let person = match self.converse(connector, &context, purpose).await {
            Ok(Outcome::Known(identity)) => self.person(connector, identity),
            Ok(Outcome::Depart(_) | Outcome::Wrong) => return Err(PageFault::Broken.into()),
            Err(ConnectorFault::Refused) => {
                tracing::info!(connector = &*connector.id, "the upstream refused a sign-in");
                return Err(asked.refused(ErrorCode::AccessDenied, "the sign-in was refused"));
            }
            Err(fault) => return Err(self.page_fault(connector, &fault).into()),
        };
        let person = person.map_err(|fault| self.page_fault(connector, &fault))?;
        self.signed_in_at(connector, asked, person).await
    }

    /// Goes on with somebody whom a connector knows.
    pub(super) async fn signed_in_at(
        &self,
        connector: &ProviderConnector,
        mut asked: Asked,
        person: Person,
    ) -> Answer {
        tracing::info!(
            connector = &*connector.id,
            client = asked.client,
            user_id = person.user_id,
            "signed in"
        );
        // A refresh token that can never be used is none.
        asked.scopes.offline_access &= asks_again(&connector.kind);
        self.person_known(asked.signed_in(person, self.now())).await
    }

    pub(super) fn context(&self, connector: &ProviderConnector, scopes: &Scopes) -> Context {
        let issuer = self.settings.issuer.trim_end_matches('/');
        Context {
            callback: match connectors::way(connector) {
                Way::Proxied => {
                    let id = super::authorize::segment(&connector.id);
                    format!("{issuer}/callback/{id}")
                }
                Way::Away | Way::Form { .. } => format!("{issuer}/callback"),
            },
            wanted: Wanted {
                groups: scopes.groups,
                offline: scopes.offline_access,
            },
            now: self.now().seconds(),
        }
    }

    /// An identity as a person of ours.
    pub(super) fn person(
        &self,
        connector: &ProviderConnector,
        identity: Identity,
    ) -> Result<Person, ConnectorFault> {
        // Everybody without an id would be the same person.
        if identity.user_id.is_empty() {
            return Err(ConnectorFault::Claim("user id"));
        }
        Ok(Person {
            user_id: identity.user_id,
            connector: connector.id.to_string(),
            email: identity.email,
            email_verified: identity.email_verified,
            name: identity.name,
            preferred_username: identity.preferred_username,
            groups: identity.groups,
            signed_in_at: self.now().seconds(),
            held: identity.held.map(Box::new),
        })
    }

    /// What the browser is told; the log is told the rest.
    pub(super) fn page_fault(
        &self,
        connector: &ProviderConnector,
        fault: &ConnectorFault,
    ) -> PageFault {
        tracing::warn!(connector = &*connector.id, %fault, "a connector signs nobody in");
        match fault {
            ConnectorFault::Refused => PageFault::UpstreamRefused,
            ConnectorFault::NotAMember => PageFault::NotAMember,
            ConnectorFault::Unasked => PageFault::NoState,
            ConnectorFault::Upstream(_)
            | ConnectorFault::Status(_)
            | ConnectorFault::Answer(_)
            | ConnectorFault::Keys(_)
            | ConnectorFault::Signature(_)
            | ConnectorFault::Token(_)
            | ConnectorFault::Claim(_)
            | ConnectorFault::Address
            | ConnectorFault::Directory(_)
            | ConnectorFault::Ambiguous
            | ConnectorFault::Gone
            | ConnectorFault::NotForThis => PageFault::UpstreamFailed,
        }
    }

    /// Who `person` is by now, as their connector tells it; nothing when they may not sign in any
    /// more.
    pub(super) async fn person_by_now(
        &self,
        person: &Person,
        scopes: &Scopes,
    ) -> Result<Option<Person>, Refusal> {
        let Ok(connector) = self.connector(&person.connector) else {
            return Ok(None);
        };
        if connector.kind == ConnectorKind::Local {
            let configured = &self.settings.passwords;
            return Ok(self.store.person_now(configured, person).await?);
        }
        let before = Identity {
            user_id: person.user_id.clone(),
            name: person.name.clone(),
            preferred_username: person.preferred_username.clone(),
            email: person.email.clone(),
            email_verified: person.email_verified,
            groups: person.groups.clone(),
            held: person.held.as_deref().cloned(),
        };
        let context = self.context(connector, scopes);
        let purpose = connectors::Purpose::Again { before: &before };
        match self.converse(connector, &context, purpose).await {
            Ok(Outcome::Known(identity)) if identity.user_id == person.user_id => {
                let found = self.person(connector, identity);
                Ok(found.ok().map(|found| Person {
                    signed_in_at: person.signed_in_at,
                    ..found
                }))
            }
            Ok(_) | Err(ConnectorFault::Gone | ConnectorFault::NotAMember) => Ok(None),
            Err(fault) => {
                tracing::warn!(connector = &*connector.id, %fault, "a connector cannot be asked again");
                Err(TokenFault::Upstream.into())
            }
        }
    }
}
