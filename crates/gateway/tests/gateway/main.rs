//! The data plane over real sockets: a gateway on free ports, upstreams and clients in this process.

mod balance;
mod cases;
mod door;
mod edges;
mod forwarding;
mod http2_upstream;
mod lifecycle;
mod lying_upstream;
mod mirrors;
mod peers;
mod retries;
mod shedding;
mod streaming;
mod tls_upstream;
mod upstream;
mod websocket;
