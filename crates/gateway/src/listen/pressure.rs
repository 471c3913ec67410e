//! How much memory is left: asked with every tick, never by a request.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::settings::Limits;

/// Share of the container's memory that is used before requests are turned away, in percent.
const SHARE: u64 = 90;

/// Whether memory runs out.
#[derive(Debug)]
pub(super) struct Pressure {
    // Bytes; `None` when nothing limits the process.
    limit: Option<u64>,
    high: AtomicBool,
}

impl Pressure {
    /// The limit of the settings, else a share of what the container may use.
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = limits.memory.or_else(|| Some(container()? / 100 * SHARE));
        Self {
            limit,
            high: AtomicBool::new(false),
        }
    }

    /// Looks again.
    pub(super) fn measure(&self) {
        let Some(limit) = self.limit else { return };
        // Where it cannot be measured, nothing is turned away for it.
        let is_high = resident().is_some_and(|used| used >= limit);
        if is_high != self.high.load(Relaxed) {
            self.high.store(is_high, Relaxed);
            if is_high {
                tracing::warn!(limit, "memory runs out: requests are turned away");
            } else {
                tracing::info!(limit, "there is memory again");
            }
        }
    }

    /// Whether it was high at the last look.
    pub(super) fn is_high(&self) -> bool {
        self.high.load(Relaxed)
    }
}

/// What the control group lets the process use, in bytes.
fn container() -> Option<u64> {
    const FILES: [&str; 2] = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let text = FILES
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok())?;
    // `max`, or a number near the largest one, means that there is no limit.
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

/// Bytes of memory in use.
fn resident() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_read_where_the_kernel_tells_it() {
        let status = "Name:\tdoorward\nVmHWM:\t  20000 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(resident_in(status), Some(12_345 * 1024));
        assert_eq!(resident_in("Name:\tdoorward\n"), None);
        assert!(resident().is_none_or(|used| used > 100_000));
    }

    #[test]
    fn pressure_is_high_above_the_limit_only() {
        for (limit, expected) in [(1, true), (u64::MAX, false)] {
            let pressure = Pressure::new(&Limits {
                memory: Some(limit),
                ..Limits::default()
            });
            assert!(!pressure.is_high());
            pressure.measure();
            assert_eq!(pressure.is_high(), expected && resident().is_some());
        }
    }
}
