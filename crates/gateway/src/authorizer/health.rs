//! `grpc.health.v1`: whether anybody is here to be asked.

use std::fmt;

use http::Request;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::grpc::AUTHORIZATION;

/// What one worker tells.
pub(crate) struct Health {
    reporter: HealthReporter,
    server: HealthServer<HealthService>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Health")
    }
}

impl Default for Health {
    fn default() -> Self {
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        Self {
            reporter,
            server: HealthServer::new(service),
        }
    }
}

impl Health {
    /// Whether questions are taken from now on.
    pub(crate) async fn serves(&self, does: bool) {
        let status = if does {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in ["", AUTHORIZATION] {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Answers who asks about it.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> http::Response<Body> {
        let mut server = self.server.clone();
        match server.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
