//! What a decision that lets a request through takes from the heap: nothing, but for a path that its
//! route rewrites.

use std::path::Path;

use doorward_policy::{Outcome, Request, RequestHead};
use http::{HeaderMap, Method};
use model::names::Timestamp;
use testkit::cases::{self, NOW};

#[test]
fn a_request_that_is_let_through_takes_nothing_from_the_heap() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/kubeflow-stock");
    let case = cases::load_one(&directory).unwrap();
    let snapshot = model::compile(&case.objects().unwrap()).snapshot;
    let headers = HeaderMap::new();
    let [mut as_sent, mut rewritten] = [0; 2];
    for request in &case.file.requests {
        let session = cases::session(&case, request, &snapshot).unwrap();
        let head = RequestHead {
            method: &Method::GET,
            scheme: "https",
            authority: &request.host,
            target: &request.path,
            headers: &headers,
            port: request.port,
            peer: request.peer,
            client: request.peer,
            principal: None,
            sni: None,
            now: Timestamp::from_seconds(NOW),
            draw: 0,
        };
        let decide = || {
            let read = Request::read(head, snapshot.normalization()).unwrap();
            match doorward_policy::decide(&read, &snapshot, &session).outcome {
                Outcome::Forward(permit) => Some(permit.path_and_query().is_some()),
                _ => None,
            }
        };
        // The first decision for a person makes their headers shareable.
        let Some(is_rewritten) = decide() else {
            continue;
        };
        let taken = allocation_counter::measure(|| {
            decide();
        });
        let name = &request.name;
        if is_rewritten {
            rewritten += 1;
        } else {
            as_sent += 1;
            assert_eq!(taken.count_total, 0, "{name}");
        }
    }
    assert!(as_sent >= 4 && rewritten >= 1, "{as_sent} {rewritten}");
}
