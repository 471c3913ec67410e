//! `VirtualService` `http[].retries`, and the mesh's `defaultHttpRetryPolicy`, which is the same.

use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::names::Duration;
use crate::objects::{Fault, Field, nearest};
use crate::snapshot::{GrpcStatus, Retries, RetryOn};

/// What a route says about trying again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum RetrySetting {
    /// Nothing: the mesh's default.
    #[default]
    Default,
    /// Once only.
    Off,
    /// So.
    Given(Arc<Retries>),
}

const FIELDS: [&str; 6] = [
    "attempts",
    "perTryTimeout",
    "retryOn",
    "retryRemoteLocalities",
    "retryIgnorePreviousHosts",
    "backoff",
];

/// Reads a retry policy.
pub(super) fn read(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<RetrySetting, Fault> {
    field.only(&FIELDS)?;
    let attempts = field
        .child("attempts")
        .map_or(Ok(0), |attempts| attempts.number())?;
    if attempts == 0 {
        for name in [
            "perTryTimeout",
            "retryOn",
            "retryRemoteLocalities",
            "backoff",
        ] {
            if let Some(other) = field.child(name) {
                let fault = format!("`{}` needs `attempts` above 0", other.path);
                return Err(other.fault(fault, "give `attempts`, or remove it"));
            }
        }
        return Ok(RetrySetting::Off);
    }
    let usual = Retries::istio_default();
    let on = match field.child("retryOn") {
        Some(words) if !words.text()?.trim().is_empty() => retry_on(&words, findings)?,
        _ => usual.on,
    };
    Ok(RetrySetting::Given(Arc::new(Retries {
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        attempt_timeout: field
            .child("perTryTimeout")
            .map(|span| at_least_one_millisecond(&span))
            .transpose()?,
        on,
        back_off: match field.child("backoff") {
            Some(span) => at_least_one_millisecond(&span)?,
            None => usual.back_off,
        },
    })))
}

fn at_least_one_millisecond(field: &Field<'_>) -> Result<Duration, Fault> {
    let span = field.duration()?;
    if span < Duration::from_millis(1) {
        let fault = format!("`{}` is under a millisecond", field.path);
        return Err(field.fault(fault, "write `1ms` or more"));
    }
    Ok(span)
}

/// Words of Envoy, and status codes by number.
fn retry_on(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<RetryOn, Fault> {
    const KNOWN: [&str; 11] = [
        "5xx",
        "gateway-error",
        "reset",
        "connect-failure",
        "refused-stream",
        "retriable-4xx",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ];
    let mut on = RetryOn::default();
    for word in field.text()?.split(',').map(str::trim) {
        match word {
            "5xx" => {
                on.server_error = true;
                on.reset = true;
                on.connect_failure = true;
                on.refused_stream = true;
            }
            "gateway-error" => {
                on.gateway_error = true;
                on.reset = true;
            }
            "reset" => {
                on.reset = true;
                on.connect_failure = true;
                on.refused_stream = true;
            }
            // Nothing was sent in either case.
            "connect-failure" | "reset-before-request" => on.connect_failure = true,
            "refused-stream" => on.refused_stream = true,
            "retriable-4xx" => on.conflict = true,
            "cancelled" => on.grpc.push(GrpcStatus::Cancelled),
            "deadline-exceeded" => on.grpc.push(GrpcStatus::DeadlineExceeded),
            "internal" => on.grpc.push(GrpcStatus::Internal),
            "resource-exhausted" => on.grpc.push(GrpcStatus::ResourceExhausted),
            "unavailable" => on.grpc.push(GrpcStatus::Unavailable),
            // It stands for the numbers beside it.
            "" | "retriable-status-codes" => {}
            "envoy-ratelimited" | "retriable-headers" | "http3-post-connect-failure" => {
                findings.push(field.finding(
                    codes::ROUTE_FIELD_IGNORED,
                    Severity::Warning,
                    format!("`{word}` in `{}` has no effect here", field.path),
                    "name a condition on the answer's status or on the connection",
                ));
            }
            _ => match word.parse::<u16>() {
                Ok(status @ 100..=599) => on.statuses.push(status),
                _ => {
                    let fault = format!("`{}` knows no `{word}`", field.path);
                    return Err(field.fault(fault, nearest(word, &KNOWN)));
                }
            },
        }
    }
    Ok(on)
}
