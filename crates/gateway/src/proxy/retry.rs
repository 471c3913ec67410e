//! Which failures are tried again, and after what pause.

use http::{HeaderMap, HeaderName, StatusCode};
use model::names::Duration;
use model::snapshot::{GrpcStatus, RetryOn};

use super::UpstreamFault;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// Whether `on` may ask for another attempt after something was sent, so that a copy of the request
/// is needed. `is_http2` and `is_grpc` speak of the upstream and the request.
pub(super) fn needs_copy(on: &RetryOn, is_http2: bool, is_grpc: bool) -> bool {
    let RetryOn {
        connect_failure: _,
        refused_stream,
        reset,
        server_error,
        gateway_error,
        conflict,
        statuses,
        grpc,
    } = on;
    *reset
        || *server_error
        || *gateway_error
        || *conflict
        || !statuses.is_empty()
        || (*refused_stream && is_http2)
        || (is_grpc && !grpc.is_empty())
}

/// Whether an attempt that brought no answer is followed by another.
pub(super) fn after_fault(on: &RetryOn, fault: UpstreamFault) -> bool {
    let any_reset = on.reset || on.server_error || on.gateway_error;
    match fault {
        UpstreamFault::Unreachable | UpstreamFault::Untrusted => on.connect_failure || any_reset,
        UpstreamFault::Refused => on.refused_stream || any_reset,
        UpstreamFault::BrokeOff | UpstreamFault::Garbled | UpstreamFault::AttemptTimeout => {
            any_reset
        }
        UpstreamFault::Unresolvable
        | UpstreamFault::Overflow
        | UpstreamFault::NoneHealthy
        | UpstreamFault::Timeout
        | UpstreamFault::ClientStalled
        | UpstreamFault::ClientBroke
        | UpstreamFault::Rewrite => false,
    }
}

/// Whether an answer with this head is thrown away for another attempt. An upstream that says it has
/// too much to do already is not given more.
pub(super) fn after_answer(
    on: &RetryOn,
    status: StatusCode,
    headers: &HeaderMap,
    is_grpc: bool,
) -> bool {
    if headers.contains_key(OVERLOADED) {
        return false;
    }
    let code = status.as_u16();
    let by_status = (on.server_error && code >= 500)
        || (on.gateway_error && matches!(code, 502..=504))
        || (on.conflict && code == 409)
        || on.statuses.contains(&code);
    let said = || headers.get(GRPC_STATUS)?.to_str().ok()?.parse::<u8>().ok();
    by_status
        || (is_grpc
            && !on.grpc.is_empty()
            && said().is_some_and(|said| {
                on.grpc
                    .iter()
                    .copied()
                    .map(GrpcStatus::code)
                    .any(|it| it == said)
            }))
}

/// The pause before retry number `retry`, counted from 1: any length up to a bound that doubles from
/// `base` to ten times that, so that those who failed together do not come back together.
pub(super) fn pause(base: Duration, retry: u32, draw: u32) -> Duration {
    let doubled = base.saturating_mul(1_u32 << (retry - 1).min(10));
    let bound = doubled.min(base.saturating_mul(10));
    bound.mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use model::snapshot::Retries;

    use super::*;

    fn on(change: impl FnOnce(&mut RetryOn)) -> RetryOn {
        let mut on = RetryOn::default();
        change(&mut on);
        on
    }

    #[test]
    fn istios_default_tries_again_what_was_never_sent_or_never_looked_at() {
        let on = Retries::istio_default().on;
        let table = [
            (UpstreamFault::Unreachable, true),
            (UpstreamFault::Untrusted, true),
            (UpstreamFault::Refused, true),
            (UpstreamFault::BrokeOff, false),
            (UpstreamFault::AttemptTimeout, false),
            (UpstreamFault::Overflow, false),
            (UpstreamFault::NoneHealthy, false),
            (UpstreamFault::Timeout, false),
            (UpstreamFault::ClientBroke, false),
        ];
        for (fault, expected) in table {
            assert_eq!(after_fault(&on, fault), expected, "{fault:?}");
        }
        // A plain HTTP/1.1 request is never copied for it.
        assert!(!needs_copy(&on, false, false));
        assert!(needs_copy(&on, true, false));
        assert!(needs_copy(&on, false, true));
        let none = HeaderMap::new();
        assert!(!after_answer(
            &on,
            StatusCode::SERVICE_UNAVAILABLE,
            &none,
            false
        ));
    }

    #[test]
    fn words_of_retry_on_mean_what_envoy_means() {
        let none = HeaderMap::new();
        let again = |on: &RetryOn, code: u16| {
            after_answer(on, StatusCode::from_u16(code).unwrap(), &none, false)
        };
        let server_error = on(|on| on.server_error = true);
        assert!(again(&server_error, 500) && again(&server_error, 599));
        assert!(!again(&server_error, 499));
        let gateway_error = on(|on| on.gateway_error = true);
        assert!(again(&gateway_error, 502) && again(&gateway_error, 504));
        assert!(!again(&gateway_error, 500));
        let conflict = on(|on| on.conflict = true);
        assert!(again(&conflict, 409) && !again(&conflict, 404));
        let listed = on(|on| on.statuses = vec![418]);
        assert!(again(&listed, 418) && !again(&listed, 419));
        for any in [server_error, gateway_error, on(|on| on.reset = true)] {
            for fault in [
                UpstreamFault::BrokeOff,
                UpstreamFault::Unreachable,
                UpstreamFault::AttemptTimeout,
                UpstreamFault::Refused,
            ] {
                assert!(after_fault(&any, fault), "{any:?} {fault:?}");
            }
            assert!(!after_fault(&any, UpstreamFault::Overflow));
        }
    }

    #[test]
    fn a_grpc_status_counts_for_grpc_requests_only() {
        let on = Retries::istio_default().on;
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_static("14"));
        assert!(after_answer(&on, StatusCode::OK, &headers, true));
        assert!(!after_answer(&on, StatusCode::OK, &headers, false));
        headers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        assert!(!after_answer(&on, StatusCode::OK, &headers, true));
    }

    #[test]
    fn who_is_overloaded_is_left_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(OVERLOADED, HeaderValue::from_static("true"));
        let on = on(|on| on.server_error = true);
        assert!(!after_answer(
            &on,
            StatusCode::SERVICE_UNAVAILABLE,
            &headers,
            false
        ));
    }

    #[test]
    fn pauses_double_up_to_ten_times_and_are_drawn() {
        let base = Duration::from_millis(25);
        let longest = |retry| pause(base, retry, u32::MAX).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 40].map(longest),
            [25, 50, 100, 200, 250, 250]
        );
        assert_eq!(pause(base, 3, 0), Duration::ZERO);
    }
}
