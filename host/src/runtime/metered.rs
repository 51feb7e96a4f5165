//! The wrapper around every run of guest code: counts CPU time and keeps the ticker going.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::engine::Ticker;
use crate::process::usage;

/// CPU time an isolate used, in µs. Exact although isolates move between OS threads: it is taken
/// from the thread's clock around every poll.
#[derive(Debug, Default)]
pub struct CpuUsage {
    user_us: AtomicU64,
    system_us: AtomicU64,
    /// Whether the current turn on an OS thread began by something the isolate waited for and has seen no tick.
    woken: AtomicBool,
}

impl CpuUsage {
    /// User and system time so far, in µs.
    pub fn get(&self) -> [u64; 2] {
        [
            self.user_us.load(Ordering::Relaxed),
            self.system_us.load(Ordering::Relaxed),
        ]
    }

    /// User and system time so far together.
    pub fn total(&self) -> Duration {
        let [user, system] = self.get();
        Duration::from_micros(user + system)
    }

    /// Tells, once a turn, that the isolate came from a wait and not from giving way.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::Relaxed)
    }

    fn add(&self, before: [u64; 2], after: [u64; 2]) {
        self.user_us
            .fetch_add(after[0].saturating_sub(before[0]), Ordering::Relaxed);
        self.system_us
            .fetch_add(after[1].saturating_sub(before[1]), Ordering::Relaxed);
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
        let before = thread_cpu_us();
        let result = this.inner.as_mut().poll(context);
        this.cpu.add(before, thread_cpu_us());
        result
    }
}

/// CPU time of the current OS thread; 0 where the system does not tell.
fn thread_cpu_us() -> [u64; 2] {
    usage::thread_cpu_usage().map_or([0; 2], |cpu| [cpu.user_us, cpu.system_us])
}
