//! Points and spans of time as values; nobody here asks a clock.

/// A span of time.
pub type Duration = std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From Unix seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Unix seconds.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// This moment plus `span`, whole seconds, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(span.as_secs()))
    }

    /// This moment minus `span`, whole seconds, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(span.as_secs()))
    }
}
