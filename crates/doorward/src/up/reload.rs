//! One manifest change: compile, compare, swap; and the periodic upkeep.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use certificates::Held;
use gateway::World;
use kubernetes::Watch;
use login::{LoginProxy, Sessions};
use model::finding::codes;
use model::objects::ObjectSet;
use model::seams::{Clock, Randomness};
use model::{Compiled, Finding, Role, Severity, Snapshot};
use provider::{Provider, Store};
use tokio::runtime::Handle;

use crate::config::Followed;

use super::admin::Condition;
use super::kfam::Contributors;
use super::local::Pages;
use super::transport::{IssuerTransport, LocalIssuer};
use super::upstreams::Upstreams;

/// Keys are rotated and the expired is deleted this often.
const UPKEEP: Duration = Duration::from_secs(30);

/// Files of the settings are looked at this often.
const GLANCE: Duration = Duration::from_secs(1);

/// Makes a world of an object set.
pub(crate) struct Maker {
    pub(crate) role: ArcSwap<Role>,
    pub(crate) names: Vec<String>,
    /// `Gateway` ports that have an address.
    pub(crate) bound: BTreeSet<u16>,
    pub(crate) held: Arc<Held>,
    pub(crate) transport: Arc<IssuerTransport>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) store: Arc<Store>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) contributors: Arc<Contributors>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
}

/// What came of an object set.
pub(crate) struct Made {
    pub(crate) world: World,
    pub(crate) condition: Condition,
    providers: Vec<Arc<Provider>>,
}

impl Maker {
    /// Compiles and wires. Total: what cannot be read is a finding and a closed door.
    pub(crate) async fn make(&self, objects: ObjectSet) -> Result<Made, CompilerEnded> {
        let compiled = compile(objects, &self.role.load_full()).await?;
        Ok(self.wire(compiled).await)
    }

    async fn wire(&self, compiled: Compiled) -> Made {
        let Compiled {
            snapshot,
            mut findings,
            // Nobody writes to a cluster from here.
            statuses: _,
        } = compiled;
        let snapshot = Arc::new(snapshot);
        let providers: Vec<_> = snapshot
            .providers()
            .iter()
            .map(|settings| self.provider(settings))
            .collect();
        self.transport.play(played(&snapshot, &providers));
        let logins = snapshot.logins().iter();
        self.transport
            .reach(logins.flat_map(|login| login.choices()));
        for provider in &providers {
            // The first sign-in should not wait for a key to be made; one that fails now is tried
            // again then.
            if let Err(error) = provider.prepare().await {
                tracing::error!(%error, "a signing key cannot be made");
            }
        }
        let logins = snapshot.logins().iter().map(|settings| {
            Arc::new(LoginProxy::new(
                Arc::clone(settings),
                Arc::clone(&self.sessions),
                Arc::clone(&self.clock),
                Arc::clone(&self.randomness),
            ))
        });
        let pages = Pages::new(
            logins.collect(),
            providers.clone(),
            Arc::clone(&self.contributors),
            Handle::current(),
        );
        findings.extend(self.held.apply(&snapshot, &self.names));
        findings.extend(self.unbound(&snapshot));
        findings.extend(policy::check_clients(&snapshot));
        findings.extend(policy::check_exemptions(&snapshot));
        tell(&findings);
        Made {
            world: World {
                snapshot,
                local: Arc::new(pages),
            },
            condition: Condition {
                findings,
                alarm: None,
            },
            providers,
        }
    }

    /// `Gateway` ports that nobody can reach, because no setting gives them an address.
    fn unbound(&self, snapshot: &Snapshot) -> Vec<Finding> {
        let ports = snapshot.listeners().keys();
        ports
            .filter(|port| !self.bound.contains(port))
            .map(|port| Finding {
                code: codes::PORT_UNBOUND,
                severity: Severity::Warning,
                place: None,
                object: None,
                field: String::new(),
                fault: format!("`Gateway` port {port} has no address, so nobody reaches it"),
                remedy: format!("add `listen: {{{port}: \"0.0.0.0:{port}\"}}` to `doorward.yaml`"),
            })
            .collect()
    }

    fn provider(&self, settings: &Arc<model::snapshot::Provider>) -> Arc<Provider> {
        let provider = Provider::new(
            Arc::clone(settings),
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            Arc::clone(&self.randomness),
        );
        let courier = Arc::clone(&self.transport);
        let upstreams = Arc::<Upstreams>::clone(&self.upstreams);
        Arc::new(provider.with_courier(courier as _).reaching(upstreams))
    }
}

/// Keeps the world as the manifests say.
pub(crate) struct Reload {
    pub(crate) maker: Maker,
    /// Settings with files of their own, and the manifests that they were last compiled with.
    pub(crate) followed: Option<Followed>,
    pub(crate) objects: Option<ObjectSet>,
    pub(crate) world: Arc<ArcSwap<World>>,
    pub(crate) condition: Arc<ArcSwap<Condition>>,
}

impl Reload {
    /// Follows `watch` until the process ends.
    pub(crate) async fn run(mut self, mut watch: Option<Watch>) {
        let snapshot = Arc::clone(&self.world.load().snapshot);
        let mut providers: Vec<_> = snapshot
            .providers()
            .iter()
            .map(|settings| self.maker.provider(settings))
            .collect();
        let mut upkeep = tokio::time::interval(UPKEEP);
        let mut glance = tokio::time::interval(GLANCE);
        loop {
            tokio::select! {
                _ = glance.tick(), if self.followed.is_some() => {
                    if let Some(objects) = self.changed_settings() {
                        match self.change(objects).await {
                            Ok(Some(new)) => providers = new,
                            Ok(None) => {}
                            Err(fault) => self.alarm(&fault.to_string()),
                        }
                    }
                }
                change = next(&mut watch) => match change {
                    Ok(objects) => match self.change(objects).await {
                        Ok(Some(new)) => providers = new,
                        Ok(None) => {}
                        Err(fault) => self.alarm(&fault.to_string()),
                    },
                    Err(fault) => self.alarm(&fault.to_string()),
                },
                _ = upkeep.tick() => self.upkeep(&providers).await,
            }
        }
    }

    /// The manifests to compile anew, when files of the settings say something else than before.
    fn changed_settings(&self) -> Option<ObjectSet> {
        let role = match self.followed.as_ref()?.role() {
            Ok(role) => role,
            Err(fault) => {
                let condition = self.condition.load();
                if condition.alarm.is_none() {
                    self.alarm(&fault.to_string());
                }
                return None;
            }
        };
        if role == *self.maker.role.load_full() {
            return None;
        }
        self.maker.role.store(Arc::new(role));
        tracing::info!("files of the settings changed; new requests follow them");
        self.objects.clone()
    }

    async fn change(
        &mut self,
        objects: ObjectSet,
    ) -> Result<Option<Vec<Arc<Provider>>>, CompilerEnded> {
        if self.followed.is_some() {
            self.objects = Some(objects.clone());
        }
        let compiled = compile(objects, &self.maker.role.load_full()).await?;
        let now = self.world.load_full();
        if compiled.snapshot == *now.snapshot {
            // The same world: requests keep their warm tables; only what is told may differ.
            let condition = self.condition.load();
            let mut findings = compiled.findings;
            findings.extend(self.maker.held.apply(&now.snapshot, &self.maker.names));
            findings.extend(self.maker.unbound(&now.snapshot));
            findings.extend(policy::check_clients(&now.snapshot));
            findings.extend(policy::check_exemptions(&now.snapshot));
            if condition.findings != findings || condition.alarm.is_some() {
                tell(&findings);
                self.condition.store(Arc::new(Condition {
                    findings,
                    alarm: None,
                }));
            }
            return Ok(None);
        }
        let Made {
            world,
            condition,
            providers,
        } = self.maker.wire(compiled).await;
        let snapshot = Arc::clone(&world.snapshot);
        self.world.store(Arc::new(world));
        self.maker.contributors.follow(&snapshot);
        self.condition.store(Arc::new(condition));
        tracing::info!("the manifests changed; new requests follow them");
        Ok(Some(providers))
    }

    /// The source cannot be read: the last good snapshot stays, and everybody who asks is told.
    fn alarm(&self, fault: &str) {
        tracing::error!(
            fault,
            "the manifests cannot be read; the last good ones serve"
        );
        let condition = self.condition.load();
        self.condition.store(Arc::new(Condition {
            findings: condition.findings.clone(),
            alarm: Some(fault.to_owned()),
        }));
    }

    async fn upkeep(&self, providers: &[Arc<Provider>]) {
        let now = self.maker.clock.now();
        for provider in providers {
            if let Err(error) = provider.maintain().await {
                tracing::error!(%error, "signing keys cannot be kept up");
            }
        }
        if let Err(error) = self.maker.sessions.sweep(now).await {
            tracing::error!(%error, "expired sessions cannot be deleted");
        }
        self.report(self.maker.held.renew(now));
    }

    /// Adds what was found since the manifests were compiled: a certificate that expires while it
    /// serves, say.
    fn report(&self, found: Vec<Finding>) {
        let condition = self.condition.load();
        let new: Vec<_> = found
            .into_iter()
            .filter(|finding| !condition.findings.contains(finding))
            .collect();
        if new.is_empty() {
            return;
        }
        tell(&new);
        let findings = condition.findings.iter().cloned().chain(new).collect();
        self.condition.store(Arc::new(Condition {
            findings,
            alarm: condition.alarm.clone(),
        }));
    }
}

/// Waits for ever when there is nothing to watch.
async fn next(watch: &mut Option<Watch>) -> Result<ObjectSet, kubernetes::directory::SourceFault> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// The compiler panicked: a defect of ours. The last good snapshot goes on.
#[derive(Debug)]
pub(crate) struct CompilerEnded;

impl fmt::Display for CompilerEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the compiler ended early; this is a defect of doorward, please report it with the manifests")
    }
}

/// Compiling a large tree takes a while: not on a thread that others wait for.
async fn compile(objects: ObjectSet, role: &Arc<Role>) -> Result<Compiled, CompilerEnded> {
    let role = Arc::clone(role);
    let compiled = tokio::task::spawn_blocking(move || model::compile_as(&objects, &role)).await;
    compiled.map_err(|_| CompilerEnded)
}

fn played(snapshot: &Snapshot, providers: &[Arc<Provider>]) -> Vec<LocalIssuer> {
    let both = snapshot.providers().iter().zip(providers);
    both.map(|(settings, provider)| LocalIssuer {
        issuer: settings.issuer.trim_end_matches('/').into(),
        provider: Arc::clone(provider),
    })
    .collect()
}

/// The log tells each finding once for each world.
fn tell(findings: &[Finding]) {
    let mut told = BTreeSet::new();
    for finding in findings {
        let line = finding.to_string();
        if !told.insert(line.clone()) {
            continue;
        }
        match finding.severity {
            Severity::Error => {
                tracing::error!(code = %finding.code, help = finding.remedy, "{line}")
            }
            Severity::Warning => {
                tracing::warn!(code = %finding.code, help = finding.remedy, "{line}")
            }
            Severity::Note => {
                tracing::debug!(code = %finding.code, help = finding.remedy, "{line}")
            }
        }
    }
}
