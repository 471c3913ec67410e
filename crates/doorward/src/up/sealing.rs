//! Whether the session store and this process have the same secret.

use login::{Sealing, Sessions, StoreError};

/// Looks at the start. A store that does not answer is looked at later.
///
/// # Errors
/// When not one session opens: that everybody has to sign in again is for an operator to decide,
/// who did by changing the secret where `may_change`.
pub(crate) async fn check_secret(sessions: &Sessions, may_change: bool) -> Result<(), StoreError> {
    let Sealing { known, foreign } = match sessions.sealing().await {
        Ok(sealing) => sealing,
        Err(error) if error.is_outage() => return Ok(()),
        Err(error) => return Err(error),
    };
    match (known, foreign) {
        (_, 0) => {}
        (0, _) if !may_change => return Err(StoreError::OtherSecret),
        _ => tracing::warn!(
            known,
            foreign,
            "sessions in the store were sealed under a secret that is not known here: these people have to sign in again"
        ),
    }
    Ok(())
}
