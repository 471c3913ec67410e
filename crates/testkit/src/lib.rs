//! Test kit: access cases as data, and what runs them.
//!
//! **Does.** [`cases`] loads `cases/<name>/case.yaml` with its manifests and runs it on
//! [`policy::decide()`]. The same files are run over sockets and by `explain`; those runners take
//! [`cases::Case`] and compare what they see. [`envoy`] says what compiled policies are for a real
//! Envoy, so that both can be asked; [`generate`] makes policies for that and for properties.
//!
//! **Must not know.** Sockets, stores, the binary. For tests only.

pub mod cases;
pub mod envoy;
pub mod generate;
pub mod scale;
