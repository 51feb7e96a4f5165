//! The event queue of an isolate: sources push records, the guest's loop takes them in batches.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use nodule_abi::event::EventRecord;
use nodule_abi::limits::EVENT_QUEUE_LEN_MAX;
use tokio::sync::Notify;

pub mod imports;

/// The queue. Shared between the isolate and whatever produces its events.
#[derive(Debug, Default)]
pub struct EventQueue {
    records: Mutex<VecDeque<EventRecord>>,
    arrived: Notify,
}

impl EventQueue {
    /// Adds a record and wakes the isolate. Gives `false`, and drops the record, when the queue is full
    /// ([`EVENT_QUEUE_LEN_MAX`]); sources with data to lose look before they push.
    pub fn push(&self, record: EventRecord) -> bool {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= EVENT_QUEUE_LEN_MAX {
            return false;
        }
        records.push_back(record);
        drop(records);
        self.arrived.notify_one();
        true
    }

    /// Takes up to `max` records in order.
    pub fn take(&self, max: usize) -> Vec<EventRecord> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let count = records.len().min(max);
        records.drain(..count).collect()
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends when a record may have arrived.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
