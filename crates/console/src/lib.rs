//! Pages and interfaces of doorward itself.
//!
//! **Does.** [`Kfam`] answers the REST interface with which Kubeflow's dashboard and its users see
//! and change who gets into the namespaces of profiles.
//!
//! **Must not know.** Cookies, tokens, sockets, Kubernetes, files: who asks comes with the request,
//! and what is changed goes through [`model::seams::ObjectWriter`].
//!
//! **Flow.** request → what is asked for → [`policy::bindings`] says what follows, or why not → the
//! writer → status and text.

mod kfam;

pub use kfam::{Answer, Kfam};
