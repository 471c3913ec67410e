//! KFAM behind the gateway's seam: it answers from the newest snapshot, writes where others do not
//! wait for it, and says that a change is made once requests see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use console::{Answer, Kfam};
use http::{Request, Response, StatusCode};
use kubernetes::DirectoryWriter;
use model::Snapshot;
use policy::bindings::is_shown;
use tokio::sync::watch;

/// A change of the manifests is live in under a second; on a network file system in some more.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);

/// KFAM for as long as the process runs.
pub(crate) struct Contributors {
    kfam: Arc<Kfam>,
    latest: watch::Sender<Arc<Snapshot>>,
}

impl Contributors {
    pub(crate) fn new(writer: DirectoryWriter) -> Self {
        let nothing = model::compile(&model::objects::ObjectSet::default()).snapshot;
        Self {
            kfam: Arc::new(Kfam::new(Arc::new(writer))),
            latest: watch::Sender::new(Arc::new(nothing)),
        }
    }

    /// Requests follow this snapshot from now on.
    pub(crate) fn follow(&self, snapshot: &Arc<Snapshot>) {
        self.latest.send_replace(Arc::clone(snapshot));
    }

    pub(crate) async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let kfam = Arc::clone(&self.kfam);
        let snapshot = Arc::clone(&self.latest.borrow());
        let answer = tokio::task::spawn_blocking(move || kfam.answer(snapshot.tenancy(), &request));
        let Ok(Answer { response, change }) = answer.await else {
            return said(StatusCode::INTERNAL_SERVER_ERROR, "");
        };
        let Some(change) = change else {
            return response;
        };
        let mut latest = self.latest.subscribe();
        let shown = latest.wait_for(|snapshot| is_shown(snapshot.tenancy(), &change));
        match tokio::time::timeout(SHOWS_WITHIN, shown).await {
            Ok(_) => response,
            Err(_) => {
                tracing::warn!("a change through KFAM was written and does not show");
                let text = "this was written, and the manifests still say otherwise\n";
                said(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

fn said(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}
