//! Signs of life of one connection, and the switch that ends it.
//!
//! A sweeper looks at every connection of a worker once per tick; nothing on the request path sets
//! a timer. The counters are atomics only because an upgraded connection must be `Send`; one thread
//! uses them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Waker};

use model::names::Duration;

use crate::settings::Limits;

/// Signs of life, in ticks of the sweeper.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    // Since the last request ended; bytes alone keep no connection open.
    quiet: AtomicU32,
    reading_head: AtomicU32,
    write_blocked: AtomicU32,
    in_flight: AtomicU32,
    requests: AtomicU32,
    retired: AtomicBool,
    cut_off: AtomicBool,
}

impl Pulse {
    /// Whether the next answer is to be the last.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// The connection ends here and now: there are no last words.
    pub(super) fn cut_off(&self) {
        self.cut_off.store(true, Relaxed);
    }

    /// Whether it was cut off.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Relaxed)
    }

    /// Bytes of a head came in.
    pub(super) fn reads_head(&self) {
        if self.reading_head.load(Relaxed) == 0 {
            self.reading_head.store(1, Relaxed);
        }
    }

    /// No head is being read.
    pub(super) fn has_head(&self) {
        self.reading_head.store(0, Relaxed);
    }

    /// Bytes went out.
    pub(super) fn wrote(&self) {
        self.write_blocked.store(0, Relaxed);
    }

    /// The client takes no more bytes for now.
    pub(super) fn blocked(&self) {
        if self.write_blocked.load(Relaxed) == 0 {
            self.write_blocked.store(1, Relaxed);
        }
    }

    /// Requests that are being answered.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Requests so far, wrapping.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    fn step(counter: &AtomicU32) -> u32 {
        let value = counter.load(Relaxed).saturating_add(1);
        counter.store(value, Relaxed);
        value
    }

    fn step_running(counter: &AtomicU32) -> u32 {
        if counter.load(Relaxed) == 0 {
            0
        } else {
            Self::step(counter)
        }
    }

    /// One tick has passed: what is to happen to the connection.
    fn tick(&self, ticks: &Ticks) -> Order {
        if Self::step_running(&self.write_blocked) > ticks.body
            || Self::step_running(&self.reading_head) > ticks.head
        {
            return Order::Abort;
        }
        if self.in_flight.load(Relaxed) == 0 && Self::step(&self.quiet) > ticks.idle {
            return Order::Drain;
        }
        Order::None
    }
}

/// A request that is being answered; dropped when its answer has ended.
pub(crate) struct Busy(Arc<Pulse>);

impl Busy {
    /// A whole head was read.
    pub(crate) fn begin(pulse: &Arc<Pulse>) -> Self {
        pulse.reading_head.store(0, Relaxed);
        pulse
            .requests
            .store(pulse.requests.load(Relaxed).wrapping_add(1), Relaxed);
        pulse
            .in_flight
            .store(pulse.in_flight.load(Relaxed) + 1, Relaxed);
        Self(Arc::clone(pulse))
    }

    /// A request whose answer may be over while its body still comes.
    pub(crate) fn hold(pulse: &Arc<Pulse>) -> Self {
        pulse
            .in_flight
            .store(pulse.in_flight.load(Relaxed) + 1, Relaxed);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0
            .in_flight
            .store(self.0.in_flight.load(Relaxed) - 1, Relaxed);
        self.0.quiet.store(0, Relaxed);
    }
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    None,
    /// Finish what is running, take nothing new.
    Drain,
    /// Stop at once.
    Abort,
}

/// The switch of one connection.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) pulse: Arc<Pulse>,
    has_streams: bool,
    order: Cell<Order>,
    told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Switch {
    /// `has_streams` tells HTTP/2.
    pub(super) fn new(pulse: Arc<Pulse>, has_streams: bool) -> Rc<Self> {
        Rc::new(Self {
            pulse,
            has_streams,
            order: Cell::new(Order::None),
            told: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// Gives an order and wakes the connection to it.
    pub(super) fn give(&self, order: Order) {
        self.told.set(true);
        self.order.set(order);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Takes the order, and asks to be woken at the next one.
    pub(super) fn take(&self, cx: &Context<'_>) -> Order {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        self.order.replace(Order::None)
    }

    /// Sends the client elsewhere without losing what it may have sent already: HTTP/2 has GOAWAY for
    /// that, HTTP/1.1 the next answer.
    pub(super) fn retire(&self) {
        if !self.has_streams {
            self.pulse.retired.store(true, Relaxed);
        } else if !self.is_told() && !self.is_fresh() {
            // A fresh one may not have read the client's first words, and would end without any.
            self.give(Order::Drain);
        }
    }

    /// Whether it was ever told to end.
    pub(super) fn is_told(&self) -> bool {
        self.told.get()
    }

    /// Whether no request was ever read off it: it would sit out its whole idle time.
    pub(super) fn is_fresh(&self) -> bool {
        self.pulse.requests() == 0
    }

    /// One tick has passed.
    pub(super) fn tick(&self, ticks: &Ticks) {
        match self.pulse.tick(ticks) {
            Order::None => {}
            order => self.give(order),
        }
    }
}

/// Limits in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    /// One tick.
    pub(super) length: Duration,
    head: u32,
    idle: u32,
    body: u32,
}

impl Ticks {
    /// Ticks fine enough for `limits`: a second, or a quarter of the shortest limit.
    pub(super) fn new(limits: &Limits) -> Self {
        let shortest = limits.head.min(limits.idle).min(limits.body);
        let length = (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(500));
        let ticks = |limit: Duration| {
            u32::try_from(limit.as_millis() / length.as_millis()).unwrap_or(u32::MAX)
        };
        Self {
            length,
            head: ticks(limits.head),
            idle: ticks(limits.idle),
            body: ticks(limits.body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKS: Ticks = Ticks {
        length: Duration::from_millis(10),
        head: 3,
        idle: 5,
        body: 3,
    };

    fn after(pulse: &Pulse, ticks: usize) -> Order {
        (0..ticks).map(|_| pulse.tick(&TICKS)).last().unwrap()
    }

    #[test]
    fn a_head_that_trickles_in_is_cut_off_although_bytes_keep_coming() {
        let pulse = Pulse::default();
        for _ in 0..2 {
            pulse.reads_head();
            assert_eq!(pulse.tick(&TICKS), Order::None);
        }
        pulse.reads_head();
        assert_eq!(pulse.tick(&TICKS), Order::Abort);
    }

    #[test]
    fn an_idle_connection_is_drained_and_a_busy_one_is_not() {
        let pulse = Arc::new(Pulse::default());
        assert_eq!(after(&pulse, 5), Order::None);
        assert_eq!(after(&pulse, 1), Order::Drain);
        let busy = Busy::begin(&pulse);
        assert_eq!(after(&pulse, 50), Order::None);
        drop(busy);
        assert_eq!(after(&pulse, 5), Order::None);
        assert_eq!(after(&pulse, 1), Order::Drain);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_off_and_one_that_takes_slowly_is_not() {
        let pulse = Arc::new(Pulse::default());
        let _busy = Busy::begin(&pulse);
        for _ in 0..20 {
            pulse.blocked();
            assert_eq!(after(&pulse, 2), Order::None);
            pulse.wrote();
        }
        pulse.blocked();
        assert_eq!(after(&pulse, 3), Order::Abort);
    }
}
