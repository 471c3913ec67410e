//! The data plane over real sockets: a gateway on free ports, upstreams and clients in this process.

mod authorizer;
mod balance;
mod cases;
mod clients;
mod connections;
mod door;
mod edges;
mod envoy;
mod floods;
mod forwarding;
mod http2_upstream;
mod lifecycle;
mod lying_upstream;
mod mirrors;
mod peers;
mod ports;
mod prior_knowledge;
mod retries;
mod secure;
mod shedding;
mod streaming;
mod streams;
mod tls_upstream;
mod upstream;
mod websocket;
