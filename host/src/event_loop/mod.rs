//! The event queue of an isolate: sources push records, the guest's loop takes them in batches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use nodule_abi::event::EventRecord;
use nodule_abi::limits::EVENT_QUEUE_LEN_MAX;

pub mod imports;

/// The queue. Shared between the isolate and whatever produces its events.
#[derive(Debug, Default)]
pub struct EventQueue {
    queued: Mutex<Queued>,
}

#[derive(Debug, Default)]
struct Queued {
    records: VecDeque<Entry>,
    /// How many of them come from sources without a bound of their own.
    unbounded: usize,
    /// The isolate's task, while it waits.
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Entry {
    record: EventRecord,
    is_bounded: bool,
}

/// Records a handle has in the queue at most.
const RECORDS_PER_HANDLE: usize = 4;

impl EventQueue {
    /// Adds a record and wakes the isolate. Gives `false`, and drops the record, when the queue is full
    /// ([`EVENT_QUEUE_LEN_MAX`]); sources with data to lose look before they push.
    pub fn push(&self, record: EventRecord) -> bool {
        let mut queued = self.lock();
        if queued.unbounded >= EVENT_QUEUE_LEN_MAX {
            return false;
        }
        queued.unbounded += 1;
        self.add(queued, record, false);
        true
    }

    /// As [`Self::push`], never refused: for sources that have at most a few records of a handle under way.
    pub fn push_counted(&self, record: EventRecord) {
        self.add(self.lock(), record, true);
    }

    fn add(&self, mut queued: MutexGuard<'_, Queued>, record: EventRecord, is_bounded: bool) {
        queued.records.push_back(Entry { record, is_bounded });
        let waker = queued.waker.take();
        drop(queued);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves records in order to the end of `taken`, until it has `max`.
    pub fn take(&self, taken: &mut Vec<EventRecord>, max: usize) {
        let mut queued = self.lock();
        let count = queued.records.len().min(max.saturating_sub(taken.len()));
        for _ in 0..count {
            let Some(entry) = queued.records.pop_front() else { break };
            queued.unbounded -= usize::from(!entry.is_bounded);
            taken.push(entry.record);
        }
    }

    /// Drops records of handles that are closed, once there are more than `handles_max` open handles can have.
    pub(crate) fn forget_stale(&self, handles_max: usize, is_open: impl Fn(u32) -> bool) {
        let mut queued = self.lock();
        let counted = queued.records.len() - queued.unbounded;
        // The sum keeps this rare: behind it, so many handles must be opened and closed again.
        if counted > (RECORDS_PER_HANDLE + 1) * handles_max {
            queued
                .records
                .retain(|entry| !entry.is_bounded || entry.record.handle == 0 || is_open(entry.record.handle));
        }
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ready once a record is there. Only the isolate's own task waits.
    pub fn poll_arrived(&self, context: &Context<'_>) -> Poll<()> {
        let mut queued = self.lock();
        if !queued.records.is_empty() {
            return Poll::Ready(());
        }
        if !queued
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            queued.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// As [`Self::take`], for tests.
    #[cfg(test)]
    pub fn take_vec(&self, max: usize) -> Vec<EventRecord> {
        let mut taken = Vec::new();
        self.take(&mut taken, max);
        taken
    }

    /// As [`Self::poll_arrived`], for tests.
    #[cfg(test)]
    pub async fn arrived(&self) {
        std::future::poll_fn(|context| self.poll_arrived(context)).await;
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
