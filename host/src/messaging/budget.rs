//! What all queues of a process may hold together, and the channels there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use nodule_abi::limits::QUEUES_TOTAL_BYTES_MAX;

use super::channel::Channel;

/// Counts queued bytes. A guest can make any number of channels, so a bound of each would not bound their sum.
#[derive(Debug, Default)]
pub struct QueueBudget {
    bytes: AtomicUsize,
    channels: Mutex<Channels>,
}

#[derive(Debug, Default)]
struct Channels {
    last: u64,
    list: HashMap<u64, Weak<Channel>>,
}

impl QueueBudget {
    /// Takes bytes, or gives `false` when there are not enough.
    pub fn charge(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= QUEUES_TOTAL_BYTES_MAX;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that are taken.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Makes a channel known; gives its number.
    pub fn enter(&self, channel: &Weak<Channel>) -> u64 {
        let mut channels = self.lock();
        channels.last += 1;
        let number = channels.last;
        channels.list.insert(number, Weak::clone(channel));
        number
    }

    /// Forgets a channel.
    pub fn leave(&self, number: u64) {
        self.lock().list.remove(&number);
    }

    /// Empties all channels. Called at the end of a process: ports that lie in each other's queues hold each other.
    pub fn close_all(&self) {
        let channels = std::mem::take(&mut self.lock().list);
        for channel in channels.into_values().filter_map(|channel| channel.upgrade()) {
            channel.abandon();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
