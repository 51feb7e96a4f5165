//! The wrapper around every run of guest code: counts CPU time and keeps the ticker going.
//!
//! Asking the kernel for the CPU time of a thread takes 0.2–0.4 µs, as long as a short turn of a guest. So a short turn
//! counts with its wall time, and only a longer one, which may have been preempted, is measured with the thread's
//! clock: against an anchor that every OS thread keeps, less what was counted since.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::engine::Ticker;
use crate::process::usage;

/// Turns up to this long count with their wall time.
const SHORT_TURN: Duration = Duration::from_micros(50);

/// Age at which an anchor is renewed: what else ran on the thread since then may count as the guest's time.
const ANCHOR_AGE_MAX: Duration = Duration::from_millis(1);

/// CPU time an isolate used. A running turn is counted at ticks, and when it ends.
#[derive(Debug, Default)]
pub struct CpuUsage {
    user_ns: AtomicU64,
    system_ns: AtomicU64,
    /// Whether the current turn on an OS thread began by something the isolate waited for and has seen no tick.
    woken: AtomicBool,
}

impl CpuUsage {
    /// User and system time so far, in µs.
    pub fn get(&self) -> [u64; 2] {
        [&self.user_ns, &self.system_ns].map(|ns| ns.load(Ordering::Relaxed) / 1000)
    }

    /// User and system time so far together.
    pub fn total(&self) -> Duration {
        let parts = [&self.user_ns, &self.system_ns].map(|ns| ns.load(Ordering::Relaxed));
        Duration::from_nanos(parts.iter().sum())
    }

    /// Counts the running turn up to now. Only on the thread that polls the isolate this belongs to.
    pub(crate) fn count_running_turn(&self) {
        if let Some(start) = TURN_START.get() {
            TURN_START.set(Some(self.count_turn(start)));
        }
    }

    /// Tells, once a turn, that the isolate came from a wait and not from giving way.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }

    /// Counts the time from `start` to now, which it gives.
    fn count_turn(&self, start: Instant) -> Instant {
        let now = Instant::now();
        let wall = now.saturating_duration_since(start);
        let [user, system] = THREAD_CLOCK.with(|clock| {
            let (next, spent) = clock.get().turn(now, wall, read_thread_clock);
            clock.set(next);
            spent
        });
        self.user_ns.fetch_add(user, Ordering::Relaxed);
        if system > 0 {
            self.system_ns.fetch_add(system, Ordering::Relaxed);
        }
        now
    }
}

/// The CPU clock of an OS thread at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    cpu_ns: u64,
    user_us: u64,
    system_us: u64,
}

fn read_thread_clock() -> Reading {
    // Tells only the shares: it is as old as the last tick of the scheduler.
    let shares = usage::thread_cpu_usage().unwrap_or_default();
    Reading {
        cpu_ns: usage::thread_cpu_ns(),
        user_us: shares.user_us,
        system_us: shares.system_us,
    }
}

/// When the clock of an OS thread was last read, what it said, and what turns counted since without reading it.
#[derive(Clone, Copy, Debug)]
struct ThreadClock {
    wall: Option<Instant>,
    reading: Reading,
    counted_ns: u64,
    /// Share of system time last seen, in 1/256.
    system_share: u64,
}

thread_local! {
    static THREAD_CLOCK: Cell<ThreadClock> = const {
        Cell::new(ThreadClock {
            wall: None,
            reading: Reading { cpu_ns: 0, user_us: 0, system_us: 0 },
            counted_ns: 0,
            system_share: 0,
        })
    };
    /// Start of the running turn, or of its part that is not counted yet.
    static TURN_START: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl ThreadClock {
    /// The clock at the start of a turn.
    fn fresh(self, now: Instant, read: impl FnOnce() -> Reading) -> Self {
        let is_fresh = |wall| now.saturating_duration_since(wall) < ANCHOR_AGE_MAX;
        if self.wall.is_some_and(is_fresh) {
            return self;
        }
        self.anchored(now, read())
    }

    fn anchored(self, now: Instant, reading: Reading) -> Self {
        let user = reading.user_us.saturating_sub(self.reading.user_us);
        let system = reading.system_us.saturating_sub(self.reading.system_us);
        Self {
            wall: Some(now),
            reading,
            counted_ns: 0,
            // Unknown between two ticks of the scheduler: then as before.
            system_share: (system * 256).checked_div(user + system).unwrap_or(self.system_share),
        }
    }

    /// The clock after a turn that ended at `now`, and the turn's user and system time in ns.
    fn turn(self, now: Instant, wall: Duration, read: impl FnOnce() -> Reading) -> (Self, [u64; 2]) {
        let wall_ns = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
        if wall <= SHORT_TURN {
            let counted_ns = self.counted_ns.saturating_add(wall_ns);
            return (Self { counted_ns, ..self }, [wall_ns, 0]);
        }
        let next = self.anchored(now, read());
        let since_anchor = next.reading.cpu_ns.saturating_sub(self.reading.cpu_ns);
        let spent = since_anchor.saturating_sub(self.counted_ns).min(wall_ns);
        let system = spent / 256 * next.system_share;
        (next, [spent - system, system])
    }
}

/// A future that runs guest code.
pub struct Metered<F> {
    inner: Pin<Box<F>>,
    ticker: Arc<Ticker>,
    cpu: Arc<CpuUsage>,
}

impl<F: Future> Metered<F> {
    /// Wraps `inner`.
    pub fn new(inner: F, ticker: Arc<Ticker>, cpu: Arc<CpuUsage>) -> Self {
        Self {
            inner: Box::pin(inner),
            ticker,
            cpu,
        }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _running = this.ticker.enter();
        this.cpu.woken.store(true, Ordering::Relaxed);
        let _turn = Turn::start(&this.cpu);
        this.inner.as_mut().poll(context)
    }
}

/// A turn on an OS thread; counted when dropped, also by a panic. One inside another (a host function that polls a
/// plugin) counts for both.
struct Turn<'a> {
    cpu: &'a CpuUsage,
    outer: Option<(Instant, ThreadClock)>,
}

impl<'a> Turn<'a> {
    fn start(cpu: &'a CpuUsage) -> Self {
        let now = Instant::now();
        let clock = THREAD_CLOCK.get();
        THREAD_CLOCK.set(clock.fresh(now, read_thread_clock));
        let outer = TURN_START.replace(Some(now)).map(|start| (start, clock));
        Self { cpu, outer }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.cpu.count_running_turn();
        TURN_START.set(None);
        if let Some((start, clock)) = self.outer {
            TURN_START.set(Some(start));
            THREAD_CLOCK.set(clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn reading(cpu_us: u64, system_us: u64) -> Reading {
        Reading {
            cpu_ns: cpu_us * 1000,
            user_us: cpu_us - system_us,
            system_us,
        }
    }

    fn micros(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn a_preempted_turn_counts_what_the_thread_ran() {
        let start = Instant::now();
        let clock = THREAD_CLOCK.get().anchored(start, reading(1000, 0));
        let (clock, spent) = clock.turn(start + micros(10), micros(10), || panic!("short turns ask nobody"));
        assert_eq!(spent, [10_000, 0]);
        // 5 ms went by, the thread ran for 2 ms since the anchor, 10 µs are counted already.
        let (clock, spent) = clock.turn(start + micros(5010), micros(5000), || reading(3000, 500));
        let total: u64 = spent.iter().sum();
        assert_eq!(total, 1_990_000);
        assert!(
            (490_000..=500_000).contains(&spent[1]),
            "a quarter is system time: {spent:?}"
        );
        // Never more than its wall time, whatever else ran on the thread.
        let (_, spent) = clock.turn(start + micros(6000), micros(100), || reading(4000, 500));
        assert_eq!(spent.iter().sum::<u64>(), 100_000);
    }

    #[test]
    fn an_old_anchor_is_renewed_and_a_fresh_one_kept() {
        let start = Instant::now();
        let clock = THREAD_CLOCK.get().anchored(start, reading(1000, 0));
        let kept = clock.fresh(start + micros(900), || panic!("the anchor is fresh"));
        assert_eq!(kept.reading.cpu_ns, 1_000_000);
        let renewed = clock.fresh(start + micros(1100), || reading(1500, 0));
        assert_eq!((renewed.reading.cpu_ns, renewed.counted_ns), (1_500_000, 0));
    }

    #[test]
    fn a_turn_inside_a_turn_counts_for_both() {
        let [outer, inner] = [(); 2].map(|()| CpuUsage::default());
        let turn = Turn::start(&outer);
        burn(Duration::from_millis(5));
        {
            let _turn = Turn::start(&inner);
            burn(Duration::from_millis(5));
        }
        burn(Duration::from_millis(5));
        drop(turn);
        assert!(inner.total() >= Duration::from_millis(4), "{inner:?}");
        assert!(outer.total() >= Duration::from_millis(13), "{outer:?}");
        assert!(TURN_START.get().is_none());
    }

    /// Computes for this much CPU time.
    fn burn(time: Duration) {
        let start = usage::thread_cpu_ns();
        while u128::from(usage::thread_cpu_ns() - start) < time.as_nanos() {}
    }

    /// Turns of any length, beside threads that take the processors away, add up to the CPU time of the thread.
    #[test]
    fn turns_add_up_beside_competing_threads() {
        let competing = AtomicUsize::new(std::thread::available_parallelism().map_or(1, usize::from) * 2);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..competing.load(Ordering::Relaxed) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop()
                    }
                });
            }
            let cpu = CpuUsage::default();
            let before = usage::thread_cpu_ns();
            for round in 0..300 {
                let _turn = Turn::start(&cpu);
                burn(Duration::from_micros(if round % 3 == 0 { 1000 } else { 20 }));
            }
            let spent = Duration::from_nanos(usage::thread_cpu_ns() - before);
            stop.store(true, Ordering::Relaxed);
            let counted = cpu.total();
            let difference = spent.abs_diff(counted);
            assert!(difference < spent / 10, "spent {spent:?}, counted {counted:?}");
        });
    }
}
