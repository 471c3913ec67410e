//! Renewing tokens before they expire: once for each session at a time, apart from the requests that
//! notice the need.
//!
//! A request whose session is still proven goes on with it and leaves a note. One whose proof is over
//! waits for the renewal under way. The renewal is a task of its own: a client that goes away in
//! between must not take a refresh token with it that the issuer has already replaced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::names::{Duration, Timestamp};
use model::snapshot::Login;
use policy::{NoSession, Person};
use quick_cache::sync::Cache;
use tokio::sync::{mpsc, watch};

use super::Sessions;
use super::held::Held;
use super::store::{Record, StoreError, Stored};
use super::value::Name;
use crate::flow::renewal::{self, Asked, RenewalFault, Renewed};
use crate::flow::user_info::UserInfoFault;
use crate::keys::Source;

/// How many renewals may wait to begin; a request that finds no room asks again with the next.
const MOST_WAITING: usize = 4096;

/// A request waits no longer for a renewal.
const PATIENCE: Duration = Duration::from_secs(20);

/// It waits for so many of them, should one after the other fail for want of the store.
const TRIES: usize = 3;

/// After one that failed, nobody tries again for this long.
const PAUSE: Duration = Duration::from_secs(3);

/// New tokens are kept for a store that does not answer this long, and offered this often: the issuer
/// takes the old ones no more.
const KEPT: Duration = Duration::from_secs(600);
const OFFERED: Duration = Duration::from_millis(100);

/// How often it is looked whether another process is done.
const GLANCE: Duration = Duration::from_millis(25);

/// Renewals under way in this process.
pub(super) struct Renewals {
    under_way: Mutex<HashMap<Name, watch::Receiver<()>>>,
    failed: Cache<Name, Timestamp>,
    jobs: mpsc::Sender<Job>,
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
}

struct Job {
    name: Name,
    /// The cookie itself, where it is the session.
    body: Option<Arc<str>>,
    login: Arc<Login>,
    /// Dropped when it is done, which those who wait notice.
    done: watch::Sender<()>,
}

impl Renewals {
    pub(super) fn new() -> Self {
        let (jobs, waiting) = mpsc::channel(MOST_WAITING);
        Self {
            under_way: Mutex::default(),
            failed: Cache::new(MOST_WAITING),
            jobs,
            waiting: Mutex::new(Some(waiting)),
        }
    }

    /// Sees to it that the session is renewed; gives what ends with the renewal. `None`: one failed
    /// just now, or there is no room.
    pub(super) fn ask(
        &self,
        name: Name,
        login: &Arc<Login>,
        body: Option<Arc<str>>,
        now: Timestamp,
    ) -> Option<watch::Receiver<()>> {
        if self
            .failed
            .get(&name)
            .is_some_and(|at| at.plus(PAUSE) > now && at <= now)
        {
            return None;
        }
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = under_way.get(&name) {
            return Some(end.clone());
        }
        let (done, end) = watch::channel(());
        let job = Job {
            name,
            body,
            login: Arc::clone(login),
            done,
        };
        self.jobs.try_send(job).ok()?;
        under_way.insert(name, end.clone());
        Some(end)
    }

    /// Waits for what [`Self::ask`] gave.
    pub(super) async fn wait(&self, mut end: watch::Receiver<()>) {
        // The sender says nothing; it goes when the renewal is over.
        let _ = tokio::time::timeout(PATIENCE, end.changed()).await;
    }

    fn finished(&self, name: &Name) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way.remove(name);
    }
}

/// What came of a renewal.
pub(super) enum End {
    /// The session stands on new tokens, perhaps those that somebody else got.
    Renewed,
    /// There is no session any more.
    Ended,
    /// Neither; it may be tried again.
    Failed,
}

impl Sessions {
    /// Renews the tokens of sessions that requests ask for, until the process ends. Exactly one call
    /// does; further ones return at once.
    pub async fn renew(self: Arc<Self>) {
        let waiting = self.renewals.waiting.lock();
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        while let Some(job) = waiting.recv().await {
            let sessions = Arc::clone(&self);
            tokio::spawn(async move {
                let Job {
                    name,
                    body,
                    login,
                    done,
                } = job;
                let renewed = match body {
                    Some(body) => Ok(sessions.renew_sealed(&name, &body, &login).await),
                    None => sessions.renew_one(&name, &login).await,
                };
                match renewed {
                    Ok(End::Renewed | End::Ended) => _ = sessions.renewals.failed.remove(&name),
                    Ok(End::Failed) => sessions.note_failure(name),
                    // The issuer has not failed: the next request that finds the store may ask it.
                    Err(error) if error.is_outage() => {
                        tracing::warn!(%error, "a session cannot be renewed yet");
                    }
                    Err(error) => {
                        tracing::error!(%error, "a session cannot be renewed");
                        sessions.note_failure(name);
                    }
                }
                sessions.renewals.finished(&name);
                drop(done);
            });
        }
    }

    /// Who a session that was found stands for, now: renewed, where it must be.
    pub(super) async fn current(
        &self,
        found: Result<Arc<Held>, NoSession>,
        name: &Name,
        login: &Arc<Login>,
        now: Timestamp,
    ) -> Result<Arc<Person>, NoSession> {
        let held = found?;
        let (person, fitting) = self.read_just_now(&held, name, login, now)?;
        match fitting {
            Ok(()) => {
                self.note_due(name, &person, login, now);
                Ok(person)
            }
            Err(NoSession::Expired) if person.due().is_some() => {
                self.renewed(name, login, now).await
            }
            Err(reason) => Err(reason),
        }
    }

    /// Who it stands for once its proof, which is over, was renewed. Where that failed and the issuer
    /// is not to blame, it was the store.
    async fn renewed(
        &self,
        name: &Name,
        login: &Arc<Login>,
        mut now: Timestamp,
    ) -> Result<Arc<Person>, NoSession> {
        for _ in 0..TRIES {
            let renewal = self.renewals.ask(*name, login, None, now);
            let is_asked = renewal.is_some();
            if let Some(end) = renewal {
                self.renewals.wait(end).await;
            }
            now = self.clock.now();
            let held = self.load(name, login, now).await?;
            let (person, fitting) = self.read_just_now(&held, name, login, now)?;
            match fitting {
                Ok(()) => return Ok(person),
                Err(NoSession::Expired) if person.due().is_some() && is_asked => {}
                Err(reason) => return Err(reason),
            }
        }
        Err(NoSession::StoreUnavailable)
    }

    /// The person of a session that was read from the store just now, and whether it is one.
    fn read_just_now(
        &self,
        held: &Arc<Held>,
        name: &Name,
        login: &Login,
        now: Timestamp,
    ) -> Result<(Arc<Person>, Result<(), NoSession>), NoSession> {
        // It lacks nothing.
        let person = self.ready(name, held, login);
        let person = person.ok_or(NoSession::StoreUnavailable)?;
        let fitting = self.fitting(name, held, &person, login, now);
        Ok((person, fitting.unwrap_or(Err(NoSession::Expired))))
    }

    /// Leaves a note where the proof of `person` is to be renewed; nobody waits for it.
    pub(super) fn note_due(
        &self,
        name: &Name,
        person: &Person,
        login: &Arc<Login>,
        now: Timestamp,
    ) {
        if person.due().is_some_and(|due| due <= now) {
            self.renewals.ask(*name, login, None, now);
        }
    }

    pub(super) fn note_failure(&self, name: Name) {
        self.renewals.failed.insert(name, self.clock.now());
    }

    async fn renew_one(&self, name: &Name, login: &Login) -> Result<End, StoreError> {
        let mut left = PATIENCE;
        let lock = loop {
            // Another process, or the one before in this one, may be done already.
            let Some(stored) = self.stored(name).await? else {
                self.forget(name);
                return Ok(End::Ended);
            };
            if stored.record.expires <= self.clock.now() {
                return Ok(End::Ended);
            }
            if !renewal::is_due(&stored.record, self.clock.now()) {
                self.live.remove(name);
                return Ok(End::Renewed);
            }
            if let Some(lock) = self.renewal_lock(name, self.clock.now()).await? {
                break lock;
            }
            let Some(rest) = left.checked_sub(GLANCE) else {
                return Ok(End::Failed);
            };
            left = rest;
            tokio::time::sleep(GLANCE).await;
        };
        let end = self.renew_alone(name, login).await;
        if let Err(error) = self.renewal_unlock(lock).await {
            tracing::warn!(%error, "the right to renew a session ends by itself");
        }
        end
    }

    /// With the right to.
    async fn renew_alone(&self, name: &Name, login: &Login) -> Result<End, StoreError> {
        let Some(stored) = self.stored(name).await? else {
            self.forget(name);
            return Ok(End::Ended);
        };
        if !renewal::is_due(&stored.record, self.clock.now()) {
            self.live.remove(name);
            return Ok(End::Renewed);
        }
        let Stored {
            record, version, ..
        } = stored;
        match self.ask_for(login, &record).await {
            Ok(Renewed::Whole(record)) => {
                let written = self.put(name, version, *record).await?;
                Ok(match written {
                    Some(_) => End::Renewed,
                    None => End::Failed,
                })
            }
            // What the issuer replaced must not be lost, though the rest is of no use yet.
            Ok(Renewed::TokenOnly(record, fault)) => {
                tracing::warn!(
                    issuer = record.issuer,
                    ?fault,
                    "a session was renewed in part"
                );
                self.put(name, version, *record).await?;
                Ok(End::Failed)
            }
            Err(fault) if fault.ends_session(login) => {
                // Somebody who lost the right may have written new tokens since.
                let again = self.stored(name).await?;
                if again.is_some_and(|again| again.version != version) {
                    self.live.remove(name);
                    return Ok(End::Renewed);
                }
                tracing::info!(
                    login = login.key(),
                    ?fault,
                    "a session ended with its tokens"
                );
                self.end_by_name(name).await?;
                Ok(End::Ended)
            }
            Err(fault) => {
                tracing::warn!(
                    login = login.key(),
                    ?fault,
                    "a session cannot be renewed yet"
                );
                Ok(End::Failed)
            }
        }
    }

    /// Puts what the issuer gave in the place of version `version`, and waits for a store that does
    /// not answer.
    async fn put(
        &self,
        name: &Name,
        version: i64,
        record: Record,
    ) -> Result<Option<Person>, StoreError> {
        let mut left = KEPT;
        loop {
            let now = self.clock.now();
            let error = match self.replace(name, version, record.clone(), now).await {
                Err(error) if error.is_outage() => error,
                written => return written,
            };
            left = left.checked_sub(OFFERED).ok_or(error)?;
            tokio::time::sleep(OFFERED).await;
        }
    }

    pub(super) async fn ask_for(
        &self,
        login: &Login,
        record: &Record,
    ) -> Result<Renewed, RenewalFault> {
        let choice = renewal::choice(login, record).ok_or(RenewalFault::IssuerGone)?;
        let form = renewal::token_request(record)?;
        let answer = self.clients.token(choice, &form).await;
        let tokens = renewal::answered(&answer.map_err(RenewalFault::Issuer)?)?;
        let now = self.clock.now();
        let Some(id_token) = tokens.id_token.clone() else {
            return Ok(renewal::kept(choice, record, tokens, now));
        };
        let source = Source::of_login(choice);
        match self.keys.prove_given(&id_token, &source).await {
            Ok(token) => {
                let claims = token.claims();
                renewal::check(choice, record, &tokens, claims, self.clock.now())?;
                let info = self.user_info(choice, claims, &tokens.access_token).await;
                let asked = match &info {
                    Ok(info) => Asked::Answered(info.as_ref()),
                    Err(UserInfoFault::Issuer(fault)) => {
                        tracing::warn!(issuer = &*choice.issuer, %fault, "the userinfo endpoint is silent");
                        Asked::Silent
                    }
                    Err(UserInfoFault::AnotherPerson | UserInfoFault::Unproven) => {
                        return Err(RenewalFault::AnotherPerson);
                    }
                };
                renewal::proven(choice, record, tokens, (claims, asked), self.clock.now())
            }
            Err(fault) => renewal::unproven(record, tokens, fault),
        }
    }
}
