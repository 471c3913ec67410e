//! OpenID Connect relying party: signs people in through any issuer, and knows afterwards who sent a
//! request.
//!
//! **Does.** [`Sessions`] tells from cookies and tokens who sent a request, mostly without waiting.
//! [`LoginProxy`] serves the pages of one login proxy in OAuth2 Proxy's shape (start, callback,
//! sign-in, sign-out, auth, userinfo) and answers requests that need somebody to sign in first.
//! [`Keys`] holds what issuers publish.
//!
//! **Must not know.** Routes, rules, upstreams, the provider: it speaks to any issuer, ours included,
//! over the protocol and through a [`Transport`].
//!
//! **Flow.** sign-in page → start → issuer → callback (`flow`, pure) → token request (`issuer`) →
//! keys → a session (`sessions`) under a random cookie → where the person wanted to go.

mod assertion;
mod client;
mod cookies;
mod flow;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod issuer;
mod keys;
mod pages;
mod proxy;
mod reviewer;
mod sessions;
mod site;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;

#[cfg(test)]
mod fixture;

pub use assertion::{Asserter, Assertion};
pub use keys::Keys;
pub use proxy::LoginProxy;
pub use reviewer::{Review, Reviewed, Reviewer};
pub use sessions::{
    AddressFault, Listed, Memo, Page, RedisAddress, RedisKind, Sealing, SessionSettings, Sessions,
    StoreAddress, StoreError, session_secret,
};
pub use transport::{Sent, Transport, TransportFault};
