//! A question to another program that has to agree.

use std::sync::Arc;

use model::snapshot::Route;
use serde_json::{Map, Value};

/// Somebody may pass, as far as is known here; the authorizer at [`Self::url`] has the last word. One
/// that does not answer says no.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// Where it is asked.
    pub url: Arc<str>,
    /// What is answered when it agrees.
    pub route: Arc<Route>,
    /// Who wants to pass.
    pub user: Box<str>,
    /// Their groups.
    pub groups: Vec<Box<str>>,
    /// How it is known: `cookie` or `header`.
    pub method_of_proof: &'static str,
    /// Claims of their token.
    pub claims: Map<String, Value>,
    /// Where to: host.
    pub host: Box<str>,
    /// Port, where the host has one.
    pub port: Box<str>,
    /// Path.
    pub path: Box<str>,
    /// Method.
    pub method: Box<str>,
}
