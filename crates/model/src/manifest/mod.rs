//! One file per kind: raw shapes and their conversion.

pub(crate) mod authorization_policy;
pub(crate) mod certificate;
pub(crate) mod config_map;
pub(crate) mod dex;
pub(crate) mod environment;
pub(crate) mod gateway;
pub(crate) mod header_edits;
mod http_answer;
mod http_cors;
mod http_fault;
mod http_match;
pub(crate) mod http_mirror;
pub(crate) mod http_retries;
pub(crate) mod http_route;
pub(crate) mod mesh;
pub(crate) mod namespace;
pub(crate) mod oauth2_proxy;
mod policy_rule;
mod policy_values;
mod published_samples;
pub(crate) mod request_authentication;
pub(crate) mod secret;
pub(crate) mod selection;
pub(crate) mod service;
pub(crate) mod stream_route;
pub(crate) mod virtual_service;
pub(crate) mod workload;
