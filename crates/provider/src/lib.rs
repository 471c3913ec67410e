//! The OpenID provider: Dex's addresses, forms and tokens, on a store of its own.
//!
//! A browser's way: [`Provider::handle`] finds the endpoint → `authorize` checks the request (pure)
//! and seals it into the address, nothing is stored → the login form opens the seal, the password
//! is checked → a code is stored → `token` redeems it, once, and signs. Refusals go through one
//! table (`answer`).
//!
//! Built: discovery, keys, authorize (code, implicit and hybrid; request objects, pushed requests),
//! remembered sign-ins and sign-out, login, approval, the device flow, token (code, refresh, device,
//! client credentials, exchange; proof of possession), introspection, revocation, userinfo. What is not built is not
//! advertised and answers 404 or `unsupported_grant_type`.
//!
//! The private signing keys lie in the database, sealed under the key file beside `provider.db`.
//!
//! Must not know: sessions of the login proxy, routes of the gateway, authorization rules.

mod answer;
mod attempts;
mod authorize;
mod claims;
mod clients;
mod connectors;
mod endpoints;
#[cfg(test)]
mod fixture;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grants;
mod keys;
mod notices;
mod pages;
mod passwords;
mod provider;
mod refusal;
mod sealed;
mod storage;
mod subject;
mod tokens;
mod users;

pub use connectors::{
    Directory, DirectoryAsk, DirectoryEntry, DirectoryTold, Sent, Told, Upstream, UpstreamFault,
};
pub use keys::KeyFileFault;
pub use notices::{Courier, Taken};
pub use provider::Provider;
pub use storage::{AddressFault, Damaged, Store, StoreAddress, StoreError, Wanted};
pub use users::{
    BreachedFolder, BreachedPasswords, GivenPassword, NewUser, PasswordPolicy, PasswordState,
    UnusableHash, User, UserFault, Weakness, one_time_password,
};
