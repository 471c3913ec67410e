//! When a place is left out for a while.

use std::cell::Cell;

use model::names::Duration;
use model::snapshot::Outliers;

/// A place is never left out for longer at once, unless the first time is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// How a request at a place went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// An answer below 500.
    Good,
    /// A 5xx that the application made.
    ServerError,
    /// 502, 503, 504, a break or a timeout.
    GatewayError,
    /// No connection was made.
    NoConnection,
}

impl Sign {
    /// What an answer's status says.
    pub(crate) fn of(status: http::StatusCode) -> Self {
        match status.as_u16() {
            502..=504 => Self::GatewayError,
            500..=599 => Self::ServerError,
            _ => Self::Good,
        }
    }
}

/// The health of one place, as its requests showed it.
#[derive(Debug, Default)]
pub(super) struct Health {
    consecutive_5xx: Cell<u32>,
    consecutive_gateway: Cell<u32>,
    // How often it was left out lately.
    times: Cell<u32>,
    out_until: Cell<Duration>,
    shunned: Cell<bool>,
}

impl Health {
    /// Whether outlier detection leaves it out.
    pub(super) fn is_out(&self, now: Duration) -> bool {
        self.out_until.get() > now
    }

    /// Whether it took no connection when it was last asked for one.
    pub(super) fn is_shunned(&self) -> bool {
        self.shunned.get()
    }

    /// It takes connections.
    pub(super) fn reached(&self) {
        self.shunned.set(false);
    }

    /// Takes a sign; true when the place is to be left out now.
    pub(super) fn note(&self, sign: Sign, rules: Option<&Outliers>, now: Duration) -> bool {
        self.shunned.set(sign == Sign::NoConnection);
        let Some(rules) = rules else { return false };
        let step = |counter: &Cell<u32>, hit: bool, limit: u32| {
            counter.set(if hit {
                counter.get().saturating_add(1)
            } else {
                0
            });
            limit > 0 && counter.get() >= limit
        };
        let gateway = matches!(sign, Sign::GatewayError | Sign::NoConnection);
        let any = gateway || sign == Sign::ServerError;
        let over_any = step(&self.consecutive_5xx, any, rules.consecutive_5xx);
        let over_gateway = step(
            &self.consecutive_gateway,
            gateway,
            rules.consecutive_gateway_errors,
        );
        (over_any || over_gateway) && !self.is_out(now)
    }

    /// Leaves it out: longer each time, unless it was well for a while.
    pub(super) fn eject(&self, rules: &Outliers, now: Duration) {
        let base = rules.base_ejection.max(Duration::from_millis(1));
        let well = now.saturating_sub(self.out_until.get());
        let forgiven = u32::try_from(well.as_millis() / base.as_millis()).unwrap_or(u32::MAX);
        let times = self.times.get().saturating_sub(forgiven).saturating_add(1);
        self.times.set(times);
        let length = base.saturating_mul(times).min(LONGEST.max(base));
        self.out_until.set(now + length);
        self.consecutive_5xx.set(0);
        self.consecutive_gateway.set(0);
    }
}

/// Whether one more of `all` places may be left out when `out` are already. One of several always
/// may, or a small Service would never lose its broken place.
pub(super) fn may_eject(rules: &Outliers, out: usize, all: usize) -> bool {
    (out == 0 && all > 1) || (out + 1) * 100 <= rules.max_ejection_percent as usize * all
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Outliers = Outliers {
        consecutive_5xx: 3,
        consecutive_gateway_errors: 2,
        base_ejection: Duration::from_secs(30),
        max_ejection_percent: 10,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn errors_in_a_row_count_and_a_good_answer_starts_anew() {
        let health = Health::default();
        let note = |sign| health.note(sign, Some(&RULES), seconds(1));
        for sign in [Sign::ServerError, Sign::ServerError, Sign::Good] {
            assert!(!note(sign));
        }
        assert!(!note(Sign::ServerError));
        assert!(!note(Sign::ServerError));
        assert!(note(Sign::ServerError));
        let health = Health::default();
        let note = |sign| health.note(sign, Some(&RULES), seconds(1));
        assert!(!note(Sign::GatewayError));
        assert!(!note(Sign::ServerError), "it breaks the row of the other");
        assert!(note(Sign::GatewayError), "three of any kind");
        assert!(!Health::default().note(Sign::GatewayError, None, seconds(1)));
    }

    #[test]
    fn it_is_left_out_longer_each_time_and_forgiven_when_it_stays_well() {
        let health = Health::default();
        health.eject(&RULES, seconds(100));
        assert!(health.is_out(seconds(129)) && !health.is_out(seconds(130)));
        health.eject(&RULES, seconds(131));
        assert!(health.is_out(seconds(190)) && !health.is_out(seconds(191)));
        health.eject(&RULES, seconds(1000));
        assert!(!health.is_out(seconds(1030)));
        for _ in 0..100 {
            health.eject(&RULES, health.out_until.get());
        }
        let last = health.out_until.get();
        health.eject(&RULES, last);
        assert_eq!(health.out_until.get() - last, LONGEST);
    }

    #[test]
    fn no_more_than_the_share_is_left_out_but_one_of_several_may_be() {
        assert!(may_eject(&RULES, 0, 2));
        assert!(!may_eject(&RULES, 1, 10));
        assert!(may_eject(&RULES, 1, 20));
        assert!(!may_eject(&RULES, 0, 1));
        let all = Outliers {
            max_ejection_percent: 100,
            ..RULES
        };
        assert!(may_eject(&all, 0, 1));
        assert!(may_eject(&all, 4, 5));
    }

    #[test]
    fn a_place_without_connection_is_shunned_until_it_has_one() {
        let health = Health::default();
        health.note(Sign::NoConnection, None, seconds(1));
        assert!(health.is_shunned());
        health.note(Sign::ServerError, None, seconds(2));
        assert!(!health.is_shunned());
        health.note(Sign::NoConnection, None, seconds(3));
        health.reached();
        assert!(!health.is_shunned());
    }
}
