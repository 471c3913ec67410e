//! The data plane over real sockets: a gateway on free ports, upstreams and clients in this process.

mod cases;
mod door;
mod edges;
mod forwarding;
mod lifecycle;
mod streaming;
mod upstream;
mod websocket;
