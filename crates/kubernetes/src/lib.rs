//! Where manifests come from, and go to.
//!
//! **Does.** Reads files and directories of Kubernetes YAML and JSON into one
//! [`model::objects::ObjectSet`] ([`directory`]) and tells when it changes ([`Watch`]). A source
//! answers with everything it sees or with one [`SourceFault`]: never with a part, because a policy
//! that is left out is a door left open. Whoever asks keeps the last good set.
//!
//! Speaks the one question of Kubernetes' API that is not about manifests: whose a token is
//! ([`token_question`]).
//!
//! **Must not know.** What a manifest means, any decision, any user.
//!
//! **Flow.** paths → listing of files (hidden entries left out, links followed, each real file
//! once) → texts → compared with the last answer → handed on if it differs.

pub mod directory;
mod fault;
mod reviews;
mod watch;
mod write;

pub use directory::Directory;
pub use fault::SourceFault;
pub use reviews::{PATH as REVIEWS, TokenReview, token_answer, token_question};
pub use watch::Watch;
pub use write::DirectoryWriter;
