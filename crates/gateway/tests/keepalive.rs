//! Memory over many requests: alone in its process, so that nobody else's memory counts.

#[path = "gateway/door.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the other tests")]
mod door;
#[path = "gateway/upstream.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod upstream;

use door::{Door, Wanted};

#[tokio::test]
async fn ten_thousand_requests_on_one_connection_leave_nothing_behind() {
    let (app, connections) = upstream::echo().await;
    // The log is kept in memory here.
    let wanted = Wanted {
        app: Some(app),
        workers: 1,
        log: false,
        ..Wanted::default()
    };
    let door = Door::open(wanted).await;
    let mut client = door.client().await;
    for _ in 0..500 {
        client.get("/app/").await;
    }
    let before = resident();
    for _ in 0..10_000 {
        assert_eq!(client.get("/app/").await.status(), 200);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more than before");
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    let metrics = door.gateway.metrics().render();
    assert!(metrics.contains("doorward_connections 1\n"), "{metrics}");
}

/// Resident memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
