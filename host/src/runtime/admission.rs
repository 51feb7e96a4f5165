//! Room for isolates: when the system has no more, new ones wait in a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most isolates that wait for room.
const WAITING_MAX: usize = 10_000;

/// Mappings of an isolate: a stack and its guard page, guard region, memory below, in and above its image.
const MAPS_PER_ISOLATE: usize = 6;

/// Mappings left for everything else: libraries, heaps, threads, shared buffers.
const MAPS_RESERVED: usize = 4_096;

/// Linux's default of `vm.max_map_count`.
const MAPS_MAX_DEFAULT: usize = 65_530;

/// Counts the isolates of a host and its siblings.
#[derive(Debug)]
pub struct Admission {
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Room for one isolate, until dropped.
#[derive(Debug)]
pub struct Admitted {
    _permit: OwnedSemaphorePermit,
}

impl Default for Admission {
    fn default() -> Self {
        let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let maps = maps.ok().and_then(|text| text.trim().parse().ok());
        Self::for_maps(maps.unwrap_or(MAPS_MAX_DEFAULT))
    }
}

impl Admission {
    fn for_maps(maps: usize) -> Self {
        Self::new(maps.saturating_sub(MAPS_RESERVED) / MAPS_PER_ISOLATE)
    }

    fn new(room: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(room.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for room.
    ///
    /// # Errors
    /// `ERR_WORKER_INIT_FAILED` when too many wait already.
    pub async fn admit(&self) -> Result<Admitted> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(Admitted { _permit: permit });
        }
        let refused = |reason: String| -> Box<ErrorRecord> {
            let message = format!("Worker initialization failure: {reason}");
            ErrorRecord::new(ErrorCode::WorkerInitFailed, message).into()
        };
        let _place = WaitingPlace::take(&self.waiting)
            .ok_or_else(|| refused(format!("no room, and {WAITING_MAX} wait for it already")))?;
        // Never closed.
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let permit = permit.map_err(|error| refused(error.to_string()))?;
        Ok(Admitted { _permit: permit })
    }
}

/// A place in the queue, until dropped.
struct WaitingPlace<'a>(&'a AtomicUsize);

impl<'a> WaitingPlace<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let more = |count| (count < WAITING_MAX).then_some(count + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn those_without_room_wait_and_too_many_are_refused() {
        let admission = Admission::new(1);
        let context = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(first)) = pin!(admission.admit()).poll(context) else {
            panic!("there is room for one")
        };
        let mut second = Box::pin(admission.admit());
        assert!(second.as_mut().poll(context).is_pending());
        let mut rest: Vec<_> = (1..WAITING_MAX).map(|_| Box::pin(admission.admit())).collect();
        for waiting in &mut rest {
            assert!(waiting.as_mut().poll(context).is_pending());
        }
        let Poll::Ready(Err(error)) = pin!(admission.admit()).poll(context) else {
            panic!("the queue is full")
        };
        assert_eq!(error.error_code(), Some(ErrorCode::WorkerInitFailed));
        // Who is dropped leaves its place; room goes to the first in the queue.
        drop(rest);
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 1);
        drop(first);
        assert!(matches!(second.as_mut().poll(context), Poll::Ready(Ok(_))));
    }

    #[test]
    fn ten_thousand_isolates_fit_by_default() {
        assert!(Admission::for_maps(MAPS_MAX_DEFAULT).room.available_permits() > 10_000);
        assert_eq!(Admission::for_maps(0).room.available_permits(), 1);
    }
}
