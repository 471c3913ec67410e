//! `VirtualService` `http[].fault`: failures made on purpose.

use crate::finding::{Finding, Severity, codes};
use crate::names::Duration;
use crate::objects::{Fault, Field, Value, nearest};
use crate::snapshot::{Abort, FaultInjection, Share};

/// Names of gRPC status codes, in their order from 0.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Reads `fault`.
pub(super) fn read(
    field: &Field<'_>,
    findings: &mut Vec<Finding>,
) -> Result<FaultInjection, Fault> {
    field.only(&["delay", "abort"])?;
    let delay = field.child("delay");
    let abort = field.child("abort");
    if delay.is_none() && abort.is_none() {
        let fault = format!("`{}` has neither `delay` nor `abort`", field.path);
        return Err(field.fault(fault, "add one of them, or remove it"));
    }
    let mut injected = FaultInjection::default();
    if let Some(field) = delay {
        injected.delay = Some((self::delay(&field)?, share(&field, findings)?));
    }
    if let Some(field) = abort {
        injected.abort = Some((self::abort(&field)?, share(&field, findings)?));
    }
    Ok(injected)
}

fn delay(field: &Field<'_>) -> Result<Duration, Fault> {
    field.only(&["fixedDelay", "exponentialDelay", "percentage", "percent"])?;
    if let Some(span) = field.child("exponentialDelay") {
        let fault = format!("`{}` is not served here", span.path);
        return Err(span.fault(fault, "write `fixedDelay`"));
    }
    let span = field.required("fixedDelay")?;
    let delay = span.duration()?;
    if delay < Duration::from_millis(1) {
        let fault = format!("`{}` is under a millisecond", span.path);
        return Err(span.fault(fault, "write `1ms` or more"));
    }
    Ok(delay)
}

fn abort(field: &Field<'_>) -> Result<Abort, Fault> {
    field.only(&[
        "httpStatus",
        "grpcStatus",
        "http2Error",
        "percentage",
        "percent",
    ])?;
    if let Some(error) = field.child("http2Error") {
        let fault = format!("`{}` is not served here", error.path);
        return Err(error.fault(fault, "write `httpStatus` or `grpcStatus`"));
    }
    match (field.child("httpStatus"), field.child("grpcStatus")) {
        (Some(status), None) => match u16::try_from(status.number()?) {
            Ok(code @ 200..=599) => Ok(Abort::Http(code)),
            _ => {
                let fault = format!("`{}` is no status of an answer", status.path);
                Err(status.fault(fault, "write 200 to 599"))
            }
        },
        (None, Some(status)) => grpc(&status).map(Abort::Grpc),
        _ => Err(field.fault(
            format!("`{}` has to hold `httpStatus` or `grpcStatus`", field.path),
            "keep one of them",
        )),
    }
}

fn grpc(field: &Field<'_>) -> Result<u8, Fault> {
    let word = field.text()?;
    let by_number = word
        .parse()
        .ok()
        .filter(|number| usize::from(*number) < GRPC.len());
    let by_name = || GRPC.iter().position(|name| *name == word);
    by_number
        .or_else(|| by_name().and_then(|number| u8::try_from(number).ok()))
        .ok_or_else(|| {
            let fault = format!("`{}` knows no gRPC status `{word}`", field.path);
            field.fault(fault, nearest(word, &GRPC))
        })
}

/// `percentage.value`, or the old whole number `percent`. Neither means no request.
fn share(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Share, Fault> {
    let share = match (field.child("percentage"), field.child("percent")) {
        (Some(percentage), _) => percent_value(&percentage)?,
        (None, Some(whole)) => percent(&whole)?,
        (None, None) => Share::NONE,
    };
    if share == Share::NONE {
        findings.push(field.finding(
            codes::FAULT_WITHOUT_SHARE,
            Severity::Warning,
            format!("`{}` concerns no request: its percentage is 0", field.path),
            "write `percentage: {value: 100}` for every request, or remove it",
        ));
    }
    Ok(share)
}

/// `Percent`: its `value`, 0 where it is left out.
pub(super) fn percent_value(field: &Field<'_>) -> Result<Share, Fault> {
    field.only(&["value"])?;
    field
        .child("value")
        .map_or(Ok(Share::NONE), |value| percent(&value))
}

/// A number from 0 to 100.
pub(super) fn percent(field: &Field<'_>) -> Result<Share, Fault> {
    let number = match &field.node.value {
        Value::Number(text) => text.parse::<f64>().ok(),
        _ => None,
    };
    match number {
        Some(number) if (0.0..=100.0).contains(&number) => {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 1 000 000
            let millionths = (number * 10_000.0).round() as u32;
            Ok(Share::of_million(millionths))
        }
        _ => Err(field.fault(
            format!("`{}` has to be a number from 0 to 100", field.path),
            "write a percentage",
        )),
    }
}
