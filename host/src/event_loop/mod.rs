//! The event queue of an isolate: sources push records, the guest's loop takes them in batches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodule_abi::event::EventRecord;
use nodule_abi::limits::EVENT_QUEUE_LEN_MAX;
use tokio::sync::Notify;

pub mod imports;

/// The queue. Shared between the isolate and whatever produces its events.
#[derive(Debug, Default)]
pub struct EventQueue {
    queued: Mutex<Queued>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    records: VecDeque<Entry>,
    /// How many of them come from sources without a bound of their own.
    unbounded: usize,
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
        drop(queued);
        self.arrived.notify_one();
    }

    /// Takes up to `max` records in order.
    pub fn take(&self, max: usize) -> Vec<EventRecord> {
        let mut queued = self.lock();
        let count = queued.records.len().min(max);
        let taken: Vec<_> = queued.records.drain(..count).collect();
        queued.unbounded -= taken.iter().filter(|entry| !entry.is_bounded).count();
        drop(queued);
        taken.into_iter().map(|entry| entry.record).collect()
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

    /// Ends when a record may have arrived.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
