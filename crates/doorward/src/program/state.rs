//! Where the databases are: containers of the programs that are stood in for often may write
//! nowhere but to memory.

use std::path::PathBuf;

use super::variable;
use crate::up::state::{StateDirectory, StateFault};

/// Opens `DOORWARD_STATE`; where that is not set, the usual place, or one that lasts as long as
/// this process.
pub(super) fn open(program: &str) -> Result<StateDirectory, StateFault> {
    if let Some(named) = variable("DOORWARD_STATE") {
        return StateDirectory::open(&PathBuf::from(named));
    }
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = || Some(absolute("HOME")?.join(".local/state"));
    let usual = absolute("XDG_STATE_HOME").or_else(home);
    if let Some(base) = usual
        && let Ok(state) = StateDirectory::open(&base.join("doorward").join(program))
    {
        return Ok(state);
    }
    let passing = passing(program)?;
    tracing::warn!(
        path = %passing.path().display(),
        "what is stored ends with this process: `DOORWARD_STATE` names no directory that lasts"
    );
    Ok(passing)
}

/// A place that lasts as long as this process.
pub(super) fn passing(program: &str) -> Result<StateDirectory, StateFault> {
    let own = format!("doorward-{program}-{}", std::process::id());
    StateDirectory::open(&std::env::temp_dir().join(&own))
        .or_else(|_| StateDirectory::open(&PathBuf::from("/dev/shm").join(&own)))
}
