//! The data plane over real sockets: a gateway on free ports, upstreams and clients in this process.

mod cases;
mod clients;
mod door;
mod edges;
mod floods;
mod forwarding;
mod lifecycle;
mod ports;
mod secure;
mod streaming;
mod streams;
mod upstream;
mod websocket;
