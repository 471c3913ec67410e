//! What a process begins with: its state directory, and sockets that are open already.

use std::net::TcpListener;

use gateway::Listening;
use login::Sessions;

use super::activation::Activated;
use super::handover::{self, Asked, HandOverFault, Predecessor};
use super::state::{Beside, Found, StateDirectory, StateFault};

/// All of it.
pub(crate) struct Heritage {
    pub(crate) state: StateDirectory,
    /// Of `Gateway` ports.
    pub(crate) sockets: Vec<Listening>,
    /// Of the administration listener.
    pub(crate) admin: Option<TcpListener>,
    /// Who goes on unless it is told that this process serves.
    pub(crate) predecessor: Option<Predecessor>,
}

/// Why there is nothing to begin with.
#[derive(Debug)]
pub(crate) enum HeritageFault {
    State(StateFault),
    HandOver(HandOverFault),
}

impl Heritage {
    /// What the service manager opened, and what a predecessor has. Call it when everything else is
    /// ready: the predecessor does not wait for long.
    pub(crate) async fn claim(
        found: Found,
        activated: Activated,
        sessions: &Sessions,
    ) -> Result<Self, HeritageFault> {
        match found {
            Found::Free(state) => Ok(Self::alone(state, activated)),
            Found::Held(beside) => Self::succeed(beside, activated, sessions).await,
        }
    }

    fn alone(state: StateDirectory, activated: Activated) -> Self {
        let Activated { sockets, admin } = activated;
        Self {
            state,
            sockets,
            admin,
            predecessor: None,
        }
    }

    async fn succeed(
        beside: Beside,
        activated: Activated,
        sessions: &Sessions,
    ) -> Result<Self, HeritageFault> {
        let asked = handover::ask(beside.path()).await;
        let Some(asked) = asked.map_err(HeritageFault::HandOver)? else {
            // It has ended meanwhile, or is not one that can be asked.
            let state = StateDirectory::open(beside.path()).map_err(HeritageFault::State)?;
            return Ok(Self::alone(state, activated));
        };
        sessions.share();
        let Activated { mut sockets, admin } = activated;
        let Asked {
            predecessor,
            sockets: passed,
            admin: passed_admin,
            lock,
        } = asked;
        sockets.extend(passed);
        Ok(Self {
            state: beside.with(lock),
            sockets,
            admin: admin.or(passed_admin),
            predecessor: Some(predecessor),
        })
    }
}
