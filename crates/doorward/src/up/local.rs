//! The local pages behind the gateway's seam: login proxies, providers, KFAM, `whoami`.
//!
//! The data plane runs one single-threaded runtime a core. Pages wait for a database or hash a
//! password, so each is handed to the control plane's runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use gateway::Local;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use login::LoginProxy;
use policy::decision::{Served, SignIn};
use provider::Provider;
use tokio::runtime::Handle;

use super::kfam::Contributors;
use super::whoami;
use crate::program::files;

/// What answers in this process, in the order of one snapshot.
pub(crate) struct Pages {
    logins: Vec<Arc<LoginProxy>>,
    providers: Vec<Arc<Provider>>,
    contributors: Arc<Contributors>,
    control: Handle,
}

type Answer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

impl Pages {
    pub(crate) fn new(
        logins: Vec<Arc<LoginProxy>>,
        providers: Vec<Arc<Provider>>,
        contributors: Arc<Contributors>,
        control: Handle,
    ) -> Self {
        Self {
            logins,
            providers,
            contributors,
            control,
        }
    }

    /// Runs `page` on the control plane and waits for it from the data plane.
    fn on_control(&self, page: impl Future<Output = Response<Bytes>> + Send + 'static) -> Answer {
        let page = self.control.spawn(page);
        Box::pin(async move {
            page.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a local page ended early");
                status(StatusCode::INTERNAL_SERVER_ERROR)
            })
        })
    }
}

impl Local for Pages {
    fn serve(&self, what: &Served, request: Request<Bytes>) -> Answer {
        match what {
            Served::Login(index) => match self.logins.get(*index).cloned() {
                Some(login) => self.on_control(async move { login.handle(request).await }),
                None => at_once(status(StatusCode::SERVICE_UNAVAILABLE)),
            },
            Served::Provider(index) => match self.providers.get(*index).cloned() {
                Some(provider) => self.on_control(async move { provider.handle(request).await }),
                None => at_once(status(StatusCode::SERVICE_UNAVAILABLE)),
            },
            Served::Kfam => {
                let contributors = Arc::clone(&self.contributors);
                self.on_control(async move { contributors.handle(request).await })
            }
            Served::Consent(consent) => match self.logins.first().cloned() {
                Some(login) => {
                    let consent = consent.clone();
                    self.on_control(async move { login.consent(&consent, request).await })
                }
                None => at_once(status(StatusCode::SERVICE_UNAVAILABLE)),
            },
            Served::Ready => match self.logins.first().cloned() {
                Some(login) => self.on_control(async move { login.ready().await }),
                None => at_once(status(StatusCode::SERVICE_UNAVAILABLE)),
            },
            Served::Files { directory, below } => {
                let (directory, below) = (Arc::clone(directory), below.clone());
                self.on_control(files::answer(directory, below, request))
            }
            Served::Whoami => at_once(whoami::answer(&request)),
            // The gateway answers these by itself, from the route.
            Served::Response(_) | Served::Leave(_) | Served::Preflight | Served::Fault(_) => {
                at_once(status(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    fn sign_in(&self, sign_in: &SignIn, request: Parts) -> Answer {
        match self.logins.get(sign_in.login).cloned() {
            Some(login) => {
                let sign_in = sign_in.clone();
                self.on_control(async move { login.challenge(&request, &sign_in).await })
            }
            None => at_once(status(StatusCode::SERVICE_UNAVAILABLE)),
        }
    }
}

fn at_once(response: Response<Bytes>) -> Answer {
    Box::pin(std::future::ready(response))
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
