//! What an isolate does, for those who watch it from other threads: loop utilization, size of its memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::process::usage;

/// Written by the isolate, read from anywhere.
#[derive(Debug, Default)]
pub struct Activity {
    /// When its code began to run, on the clock of `hrtime`; 0 before.
    online_ns: AtomicU64,
    /// When it ended; 0 before.
    ended_ns: AtomicU64,
    /// In one word, so that readers see no half of a change: twice the idle time while it runs; while it is parked
    /// twice the moment at which it would have been parked all the time, plus 1.
    idle: AtomicU64,
    memory_bytes: AtomicUsize,
    memory_peak_bytes: AtomicUsize,
}

impl Activity {
    /// Idle and active time in ns: parked in its event loop, and everything else since its code began to run. Zeros
    /// before that and after its end.
    pub fn event_loop_utilization(&self) -> (u64, u64) {
        self.utilization_at(usage::hrtime())
    }

    /// Bytes of its linear memories.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// The most its linear memories ever had.
    pub fn memory_peak_bytes(&self) -> usize {
        self.memory_peak_bytes.load(Ordering::Relaxed)
    }

    /// Whether its code runs or could run: after its start and before its end.
    pub fn is_online(&self) -> bool {
        self.online_ns.load(Ordering::Acquire) != 0 && self.ended_ns.load(Ordering::Acquire) == 0
    }

    fn utilization_at(&self, now: u64) -> (u64, u64) {
        if !self.is_online() {
            return (0, 0);
        }
        let online = self.online_ns.load(Ordering::Acquire);
        let word = self.idle.load(Ordering::Acquire);
        let idle = if word & 1 == 0 {
            word >> 1
        } else {
            now.saturating_sub(word >> 1)
        };
        (idle, now.saturating_sub(online).saturating_sub(idle))
    }

    /// Its code begins to run.
    pub(crate) fn goes_online(&self) {
        self.online_ns.store(usage::hrtime(), Ordering::Release);
    }

    /// It ended, however.
    pub(crate) fn ends(&self) {
        self.ended_ns.store(usage::hrtime(), Ordering::Release);
    }

    /// It waits for events until the guard is dropped.
    pub(crate) fn park(&self) -> Parked<'_> {
        self.park_at(usage::hrtime());
        Parked(self)
    }

    fn park_at(&self, now: u64) {
        let idle = self.idle.load(Ordering::Relaxed) >> 1;
        self.idle.store((now.saturating_sub(idle) << 1) | 1, Ordering::Release);
    }

    fn unpark_at(&self, now: u64) {
        let since = self.idle.load(Ordering::Relaxed) >> 1;
        self.idle.store(now.saturating_sub(since) << 1, Ordering::Release);
    }

    pub(super) fn memory_is(&self, bytes: usize) {
        self.memory_bytes.store(bytes, Ordering::Relaxed);
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// See [`Activity::park`].
pub(crate) struct Parked<'a>(&'a Activity);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.unpark_at(usage::hrtime());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_the_time_parked_and_active_the_rest() {
        let activity = Activity::default();
        assert_eq!(activity.utilization_at(5000), (0, 0), "not online yet");
        activity.online_ns.store(1000, Ordering::Relaxed);
        assert_eq!(activity.utilization_at(1500), (0, 500));
        activity.park_at(2000);
        assert_eq!(activity.utilization_at(2300), (300, 1000), "while it is parked");
        activity.unpark_at(3000);
        assert_eq!(activity.utilization_at(3500), (1000, 1500));
        activity.park_at(4000);
        activity.unpark_at(4001);
        assert_eq!(activity.utilization_at(5000), (1001, 2999));
        activity.ends();
        assert_eq!(activity.utilization_at(6000), (0, 0), "after its end");
    }

    #[test]
    fn the_peak_of_memory_stays() {
        let activity = Activity::default();
        for bytes in [10, 30, 20] {
            activity.memory_is(bytes);
        }
        assert_eq!((activity.memory_bytes(), activity.memory_peak_bytes()), (20, 30));
    }
}
