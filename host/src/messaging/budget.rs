//! What all queues of a process may hold together, and the channels there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use nodule_abi::limits::QUEUES_TOTAL_BYTES_MAX;

use super::channel::Channel;
use super::collect::Pace;
use super::message::Message;

/// What an isolate below the root one may have queued, with all that it started.
const SHARE_BYTES_MAX: usize = QUEUES_TOTAL_BYTES_MAX / 2;

/// Counts queued bytes. A guest can make any number of channels, so a bound of each would not bound their sum.
#[derive(Debug, Default)]
pub struct QueueBudget {
    bytes: AtomicUsize,
    channels: Mutex<Channels>,
    /// Messages with ports that are queued.
    carriers: AtomicUsize,
    /// Held by those that give a port an owner or take it away; `collect` lets them wait.
    pub moving: RwLock<()>,
    pub pace: Mutex<Pace>,
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

    /// All channels that exist.
    pub fn live(&self) -> Vec<Arc<Channel>> {
        // All are kept, so none ends under the lock that its end takes.
        self.lock().list.values().filter_map(Weak::upgrade).collect()
    }

    /// More messages with ports are queued.
    pub fn add_carriers(&self, count: usize) {
        self.carriers.fetch_add(count, Ordering::Relaxed);
    }

    /// Fewer messages with ports are queued.
    pub fn remove_carriers(&self, count: usize) {
        self.carriers.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether any message with ports is queued.
    pub fn has_carriers(&self) -> bool {
        self.carriers.load(Ordering::Relaxed) > 0
    }

    /// Keeps ports where they are as long as it is held.
    pub fn move_port(&self) -> RwLockReadGuard<'_, ()> {
        self.moving.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a channel.
    pub fn leave(&self, number: u64) {
        self.lock().list.remove(&number);
    }

    /// Empties all channels. Called at the end of a process: ports that lie in each other's queues hold each other.
    pub fn close_all(&self) {
        let channels = std::mem::take(&mut self.lock().list);
        for channel in channels.into_values().filter_map(|channel| channel.upgrade()) {
            // Its bridge ends by itself, when it has sent what is queued.
            if !channel.is_bridged() {
                channel.abandon();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that one isolate has queued, wherever they lie, and its share of what the process may have.
///
/// What a worker starts has no share of its own: making many workers gives nobody more.
#[derive(Debug)]
pub struct Account {
    budget: Arc<QueueBudget>,
    bytes: AtomicUsize,
    is_root: bool,
}

impl Account {
    /// Of the root isolate, which is bounded by the process alone.
    pub fn root(budget: &Arc<QueueBudget>) -> Arc<Self> {
        Self::new(budget, true)
    }

    fn new(budget: &Arc<QueueBudget>, is_root: bool) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            bytes: AtomicUsize::new(0),
            is_root,
        })
    }

    /// Of what this isolate starts.
    pub fn below(self: &Arc<Self>) -> Arc<Self> {
        if self.is_root {
            Self::new(&self.budget, false)
        } else {
            Arc::clone(self)
        }
    }

    /// Takes bytes from the share and from the process, or gives `false` when there are not enough.
    pub fn charge(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_within = self.is_root || before.saturating_add(bytes) <= SHARE_BYTES_MAX;
        let fits = is_within && self.budget.charge(bytes);
        if !fits {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.release(bytes);
    }

    /// Bytes that are taken.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes bytes until the guard is dropped.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let fits = self.charge(bytes) || (self.budget.collect() && self.charge(bytes));
        fits.then(|| Charge {
            account: Arc::clone(self),
            bytes,
        })
    }
}

/// Bytes of an account; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// A message that lies outside of queues, and what it was charged.
#[derive(Debug)]
pub struct Charged {
    /// The message.
    pub message: Message,
    /// Given back with it.
    pub charge: Charge,
}
