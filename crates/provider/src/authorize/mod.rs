//! An authorization request as it moves on: asked → a person is known → answered with a code. Each
//! stage owns its data; the first two travel sealed through the browser.

mod check;
mod delivery;
mod object;
mod redirect;
mod remembered;
mod wishes;

use model::names::{Duration, Timestamp};
use oidc::pkce;
use oidc::wire::ErrorCode;
use serde::{Deserialize, Serialize};

pub(crate) use check::{Arrival, CheckFault, Facts, may_answer_at, trusts};
pub(crate) use delivery::{Delivery, Response, ResponseMode};
pub(crate) use object::opened;
pub(crate) use redirect::{OUT_OF_BAND, in_fragment, location};
pub(crate) use remembered::{Next, SignIn, class, methods};
pub(crate) use wishes::{ONE_FACTOR, WantedClaims, Wishes};

use crate::refusal::Refusal;

/// A checked request that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Names this request; it is answered once.
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) delivery: Delivery,
    pub(crate) response: Response,
    pub(crate) nonce: String,
    pub(crate) scopes: Scopes,
    pub(crate) challenge: Option<Challenge>,
    /// Where the person signs in; empty until that is chosen.
    pub(crate) connector: String,
    pub(crate) wishes: Wishes,
    /// Thumbprint of the key that the client will prove to hold (RFC 9449 §10).
    pub(crate) key: Option<String>,
    /// `sid` of the browser's remembered sign-in.
    pub(crate) session: Option<String>,
    /// The client wants the approval page whatever the settings say.
    pub(crate) ask_approval: bool,
    /// Unix seconds.
    pub(crate) expires_at: i64,
}

/// A request whose person is known and has yet to agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedIn {
    pub(crate) asked: Asked,
    pub(crate) person: Person,
    /// `sid` of the remembered sign-in.
    session: Option<String>,
    /// Unix seconds. Sooner than the request's: whoever holds this need not sign in.
    until: i64,
}

/// How long a person may think about their approval.
const THINKING: Duration = Duration::from_secs(600);

/// What a code or a refresh token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Names it: everything that comes of it can be revoked together.
    #[serde(default)]
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) nonce: String,
    pub(crate) scopes: Scopes,
    pub(crate) person: Person,
    /// Checked when a code is redeemed.
    pub(crate) challenge: Option<Challenge>,
    /// `sid` of the remembered sign-in that it came of.
    #[serde(default)]
    pub(crate) session: Option<String>,
    /// Claims wanted by name.
    #[serde(default)]
    pub(crate) claims: WantedClaims,
    /// Thumbprint of the key that its tokens are bound to.
    #[serde(default)]
    pub(crate) key: Option<String>,
}

/// Who signed in, as the connector told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) user_id: String,
    pub(crate) connector: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) name: String,
    pub(crate) preferred_username: String,
    pub(crate) groups: Vec<String>,
    /// When they signed in, Unix seconds.
    pub(crate) signed_in_at: i64,
    /// What their connector needs to ask about them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<Box<serde_json::Value>>,
}

/// The scopes that mean something here. `openid` is always there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scopes {
    pub(crate) email: bool,
    pub(crate) profile: bool,
    pub(crate) groups: bool,
    pub(crate) offline_access: bool,
    pub(crate) federated_id: bool,
    /// Clients named by `audience:server:client_id:…`, in order.
    pub(crate) audiences: Vec<String>,
}

/// A PKCE challenge (RFC 7636 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Challenge {
    /// `S256`, else plain.
    pub(crate) hashed: bool,
    pub(crate) text: String,
}

impl Challenge {
    /// Whether `verifier` is what the challenge was made from.
    pub(crate) fn matches(&self, verifier: &str) -> bool {
        let method = if self.hashed {
            pkce::Method::S256
        } else {
            pkce::Method::Plain
        };
        pkce::matches(method, &self.text, verifier)
    }
}

impl Asked {
    /// Whether it is too late to go on.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now.seconds()
    }

    /// The answer to the client that nothing will come of it.
    pub(crate) fn refused(self, code: ErrorCode, reason: &'static str) -> Refusal {
        Refusal::Client {
            delivery: self.delivery,
            code,
            reason,
        }
    }

    /// The next stage.
    pub(crate) fn signed_in(self, person: Person, now: Timestamp) -> SignedIn {
        let until = now.plus(THINKING).seconds().min(self.expires_at);
        SignedIn {
            asked: self,
            person,
            session: None,
            until,
        }
    }
}

impl SignedIn {
    /// Whether it is too late to go on.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.until <= now.seconds()
    }

    /// With the `sid` of the remembered sign-in.
    pub(crate) fn within(self, sid: String) -> Self {
        Self {
            session: Some(sid),
            ..self
        }
    }

    /// The last stage: what the code will stand for.
    pub(crate) fn grant(self, id: String) -> Grant {
        Grant {
            id,
            client: self.asked.client,
            nonce: self.asked.nonce,
            scopes: self.asked.scopes,
            person: self.person,
            challenge: self.asked.challenge,
            session: self.session,
            claims: self.asked.wishes.claims,
            key: self.asked.key,
        }
    }
}

const AUDIENCE: &str = "audience:server:client_id:";

impl Scopes {
    /// Reads a `scope` parameter; nothing without `openid`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scopes, openid) = Self::read(text);
        openid.then_some(scopes)
    }

    /// Reads a `scope` parameter, and whether `openid` is in it. Scopes that mean nothing here are
    /// ignored (OpenID Connect Core §3.1.2.1).
    pub(crate) fn read(text: &str) -> (Self, bool) {
        let mut scopes = Self::default();
        let mut openid = false;
        for word in text.split_ascii_whitespace() {
            match word {
                "openid" => openid = true,
                "email" => scopes.email = true,
                "profile" => scopes.profile = true,
                "groups" => scopes.groups = true,
                "offline_access" => scopes.offline_access = true,
                "federated:id" => scopes.federated_id = true,
                other => {
                    if let Some(peer) = other.strip_prefix(AUDIENCE)
                        && !scopes.audiences.iter().any(|known| known == peer)
                    {
                        scopes.audiences.push(peer.to_owned());
                    }
                }
            }
        }
        (scopes, openid)
    }

    /// Written out (RFC 6749 §3.3).
    pub(crate) fn text(&self) -> String {
        let each = [
            (true, "openid"),
            (self.email, "email"),
            (self.profile, "profile"),
            (self.groups, "groups"),
            (self.offline_access, "offline_access"),
            (self.federated_id, "federated:id"),
        ];
        let named = each
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, name)| (*name).to_owned());
        let peers = self
            .audiences
            .iter()
            .map(|peer| format!("{AUDIENCE}{peer}"));
        named.chain(peers).collect::<Vec<_>>().join(" ")
    }

    /// Whether nothing in it is missing from `granted`.
    pub(crate) fn is_within(&self, granted: &Self) -> bool {
        let each = [
            (self.email, granted.email),
            (self.profile, granted.profile),
            (self.groups, granted.groups),
            (self.offline_access, granted.offline_access),
            (self.federated_id, granted.federated_id),
        ];
        each.iter().all(|(wanted, had)| !wanted || *had)
            && self
                .audiences
                .iter()
                .all(|one| granted.audiences.contains(one))
    }
}
