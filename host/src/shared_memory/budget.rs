//! What all isolates of the host together may use of bounded things of the system: memory maps, descriptors,
//! threads.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

/// Maps of a window: its own, and that of the memory behind it, which it splits off.
const MAPS_A_WINDOW: usize = 2;

/// Linux's default of `vm.max_map_count`.
const MAX_MAP_COUNT_DEFAULT: usize = 65_530;

/// Half of the maps that the system allows a process; the other half is for everything else.
static WINDOWS: LazyLock<Gauge> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let maps = text.trim().parse().unwrap_or(MAX_MAP_COUNT_DEFAULT);
    Gauge::new(maps / 2 / MAPS_A_WINDOW)
});

/// Half of the descriptors that the process may open.
static FILES: LazyLock<Gauge> = LazyLock::new(|| {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.and_then(|files| usize::try_from(files).ok());
    Gauge::new(files.unwrap_or(usize::MAX) / 2)
});

/// Threads of the host that wait on cells which other processes have too.
static WAITS: Gauge = Gauge::new(256);

/// Counts uses up to a bound.
#[derive(Debug)]
pub(crate) struct Gauge {
    max: usize,
    used: AtomicUsize,
}

impl Gauge {
    const fn new(max: usize) -> Self {
        Self {
            max,
            used: AtomicUsize::new(0),
        }
    }

    fn take(&'static self, what: &str) -> Result<Permit> {
        let more = |used: usize| (used < self.max).then_some(used + 1);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Permit(self)),
            Err(_) => {
                let message = format!("the process has {} {what}, and can have no more", self.max);
                Err(ErrorRecord::new(ErrorCode::Enomem, message).into())
            }
        }
    }
}

/// One use; it ends with this value.
#[derive(Debug)]
pub(crate) struct Permit(&'static Gauge);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Room for one more window or free range. `ENOMEM` when there is none.
pub(super) fn window() -> Result<Permit> {
    WINDOWS.take("windows of shared memory")
}

/// One more wait on a cell that another process has too. `ENOMEM` when there are too many.
pub(super) fn wait() -> Result<Permit> {
    WAITS.take("waits on cells that other processes share")
}

/// One more descriptor. `ENOMEM` when there is none.
pub(crate) fn file() -> Result<Permit> {
    FILES.take("buffers and ports with a descriptor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_refuses_what_is_above_its_bound() {
        static GAUGE: Gauge = Gauge::new(2);
        let first = GAUGE.take("things").unwrap();
        let second = GAUGE.take("things").unwrap();
        assert!(GAUGE.take("things").unwrap_err().is_code("ENOMEM"));
        drop(first);
        let third = GAUGE.take("things").unwrap();
        drop((second, third));
        assert_eq!(GAUGE.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn windows_stay_below_what_the_system_allows() {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let maps: usize = text.trim().parse().unwrap();
        assert!(WINDOWS.max > 0 && WINDOWS.max * MAPS_A_WINDOW <= maps / 2);
    }
}
