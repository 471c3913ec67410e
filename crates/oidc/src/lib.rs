//! OpenID Connect vocabulary shared by both sides of the protocol: wire types, discovery, ID token
//! rules, PKCE, and JOSE. Pure: no clock, no sockets, no storage; `now` arrives as Unix seconds.
//!
//! A relying party reads top-down: [`discovery`] says where things are, [`pkce`] and [`wire`] carry
//! the code exchange, [`jose`] proves who signed a token, [`id_token`] decides whether a proven
//! token was meant for us. A provider uses the same rooms from the other side.
//!
//! JOSE is done directly on `aws-lc-rs`, so that a key is parsed once and not for each signature.

pub mod discovery;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod id_token;
pub mod jose;
pub mod pkce;
pub mod wire;
