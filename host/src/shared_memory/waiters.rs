//! Who waits on the cells of a shared buffer. The table belongs to the buffer, so its key is the byte offset alone.
//!
//! A waiter is added under the table's lock, which is held while the cell is compared: a notification that
//! follows a store finds every waiter that saw the old value. Nobody blocks an OS thread: a waiter is a future or
//! an event of its isolate. Dropping it takes it out.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nodule_abi::atomic::WaitResult;
use nodule_abi::event::{EventKind, EventRecord};
use tokio::sync::oneshot;

use super::buffer::SharedBuffer;
use crate::handles::Handle;
use crate::runtime::IsolateShared;
use crate::spawn_tied::Tied;

/// Offset of the cell and place in the order of arrival.
type Key = (u64, u64);

/// How a waiter is woken.
#[derive(Debug)]
enum Wake {
    /// An isolate is parked.
    Parked(oneshot::Sender<()>),
    /// An event goes to an isolate.
    Event(Weak<IsolateShared>, Handle),
}

/// The waiters of one buffer.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    waiting: BTreeMap<Key, Wake>,
}

fn push_done(shared: &IsolateShared, handle: Handle, result: WaitResult) -> bool {
    let record = EventRecord::new(EventKind::WaitDone, handle.number(), [u64::from(result as u32), 0, 0]);
    shared.events.push(record)
}

impl Wake {
    /// Gives itself back when the waiter's isolate can take no event now, `Ok(false)` when it is gone.
    fn wake(self) -> Result<bool, Self> {
        match self {
            Self::Parked(sender) => Ok(sender.send(()).is_ok()),
            Self::Event(shared, handle) => match shared.upgrade() {
                None => Ok(false),
                Some(isolate) if push_done(&isolate, handle, WaitResult::Woken) => Ok(true),
                Some(_) => Err(Self::Event(shared, handle)),
            },
        }
    }
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a waiter if `holds` says that the cell has the expected value.
    fn add(&self, offset: u64, holds: impl FnOnce() -> bool, wake: impl FnOnce() -> Wake) -> Option<Key> {
        let mut table = self.lock();
        if !holds() {
            return None;
        }
        table.last += 1;
        let key = (offset, table.last);
        table.waiting.insert(key, wake());
        Some(key)
    }

    /// Takes a waiter out. False when it was woken already.
    fn remove(&self, key: Key) -> bool {
        self.lock().waiting.remove(&key).is_some()
    }

    /// Wakes up to `count` waiters on the cell at `offset`, those first that waited longest, and gives how many.
    pub fn notify(&self, offset: u64, count: u32) -> u32 {
        let mut woken = 0;
        let mut table = self.lock();
        let mut from = 0;
        while woken < count
            && let Some(key) = table
                .waiting
                .range((offset, from)..=(offset, u64::MAX))
                .next()
                .map(|(key, _)| *key)
        {
            from = key.1 + 1;
            match table.waiting.remove(&key).map(Wake::wake) {
                Some(Ok(true)) => woken += 1,
                // Its queue of events is full: it stays, and is not counted.
                Some(Err(wake)) => drop(table.waiting.insert(key, wake)),
                Some(Ok(false)) | None => {}
            }
        }
        woken
    }

    /// How many wait.
    #[cfg(test)]
    #[allow(clippy::len_without_is_empty, reason = "only tests count them")]
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }
}

/// A parked isolate. Ends when it is notified; dropping it takes it out of the table.
#[derive(Debug)]
pub struct ParkedWait {
    buffer: Arc<SharedBuffer>,
    key: Key,
    woken: oneshot::Receiver<()>,
    /// The isolate goes on: nothing is left to pass on.
    is_over: bool,
}

impl ParkedWait {
    /// Starts to wait if `holds` says, under the lock, that the cell has the expected value.
    pub fn start(buffer: &Arc<SharedBuffer>, offset: u64, holds: impl FnOnce() -> bool) -> Option<Self> {
        let (sender, woken) = oneshot::channel();
        let key = buffer.waiters().add(offset, holds, || Wake::Parked(sender))?;
        Some(Self {
            buffer: Arc::clone(buffer),
            key,
            woken,
            is_over: false,
        })
    }

    /// Ends the wait for another reason: what it gives then.
    pub fn give_up(&mut self, reason: WaitResult) -> WaitResult {
        self.is_over = true;
        match self.buffer.waiters().remove(self.key) {
            true => reason,
            // The notification came first, and has counted it.
            false => WaitResult::Woken,
        }
    }
}

impl Future for ParkedWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let woken = Pin::new(&mut self.woken).poll(context).map(drop);
        self.is_over |= woken.is_ready();
        woken
    }
}

impl Drop for ParkedWait {
    fn drop(&mut self) {
        let waiters = self.buffer.waiters();
        if !waiters.remove(self.key) && !self.is_over {
            // Its isolate was ended between the notification and the next instruction: the next waiter takes its place.
            waiters.notify(self.key.0, 1);
        }
    }
}

/// A wait whose end is an event. Dropping it takes it out of the table.
#[derive(Debug)]
pub struct EventWait {
    buffer: Arc<SharedBuffer>,
    key: Key,
    _timer: Option<Tied>,
}

/// Time until an event that found no room is tried again.
const RETRY: Duration = Duration::from_millis(10);

impl EventWait {
    /// Starts to wait as [`ParkedWait::start`]; the event goes to `handle` of `isolate`.
    pub fn start(
        buffer: &Arc<SharedBuffer>,
        offset: u64,
        holds: impl FnOnce() -> bool,
        isolate: &Arc<IsolateShared>,
        handle: Handle,
        deadline: Option<Instant>,
    ) -> Option<Self> {
        let weak = Arc::downgrade(isolate);
        let wake = || Wake::Event(Weak::clone(&weak), handle);
        let key = buffer.waiters().add(offset, holds, wake)?;
        let timer = deadline.map(|deadline| {
            let buffer = Arc::clone(buffer);
            Tied::spawn(async move {
                tokio::time::sleep_until(deadline.into()).await;
                if !buffer.waiters().remove(key) {
                    return;
                }
                while let Some(isolate) = weak.upgrade()
                    && !push_done(&isolate, handle, WaitResult::TimedOut)
                {
                    drop(isolate);
                    tokio::time::sleep(RETRY).await;
                }
            })
        });
        Some(Self {
            buffer: Arc::clone(buffer),
            key,
            _timer: timer,
        })
    }
}

impl Drop for EventWait {
    fn drop(&mut self) {
        self.buffer.waiters().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use nodule_abi::atomic::{NOT_GROWABLE, NOTIFY_ALL};

    use super::super::pages::Account;
    use super::*;

    fn buffer() -> Arc<SharedBuffer> {
        SharedBuffer::new(64, NOT_GROWABLE, &Account::new(1, 1 << 20)).unwrap()
    }

    fn is_woken(wait: &mut ParkedWait) -> bool {
        wait.woken.try_recv().is_ok()
    }

    #[test]
    fn waiters_are_woken_in_order_and_counted_once() {
        let buffer = buffer();
        let mut waits: Vec<_> = (0..4)
            .map(|_| ParkedWait::start(&buffer, 8, || true).unwrap())
            .collect();
        let mut other = ParkedWait::start(&buffer, 16, || true).unwrap();
        assert!(ParkedWait::start(&buffer, 8, || false).is_none());
        assert_eq!(buffer.waiters().notify(8, 0), 0);
        assert_eq!(buffer.waiters().notify(8, 2), 2);
        let woken: Vec<_> = waits.iter_mut().map(is_woken).collect();
        assert_eq!(woken, [true, true, false, false]);
        assert_eq!(buffer.waiters().notify(8, NOTIFY_ALL), 2);
        assert_eq!(buffer.waiters().notify(8, NOTIFY_ALL), 0);
        assert!(!is_woken(&mut other));
    }

    #[test]
    fn who_is_gone_is_not_counted() {
        let buffer = buffer();
        let mut first = ParkedWait::start(&buffer, 0, || true).unwrap();
        let second = ParkedWait::start(&buffer, 0, || true).unwrap();
        let mut third = ParkedWait::start(&buffer, 0, || true).unwrap();
        drop(second);
        assert_eq!(buffer.waiters().len(), 2);
        assert_eq!(buffer.waiters().notify(0, 2), 2);
        assert!(is_woken(&mut first) && is_woken(&mut third));
        assert_eq!(buffer.waiters().len(), 0);
    }

    #[test]
    fn a_notification_that_found_a_dying_isolate_goes_to_the_next() {
        let buffer = buffer();
        let first = ParkedWait::start(&buffer, 0, || true).unwrap();
        let mut second = ParkedWait::start(&buffer, 0, || true).unwrap();
        assert_eq!(buffer.waiters().notify(0, 1), 1);
        drop(first);
        assert!(is_woken(&mut second));
    }

    #[test]
    fn a_notification_before_the_end_of_the_time_counts() {
        let buffer = buffer();
        let mut wait = ParkedWait::start(&buffer, 0, || true).unwrap();
        assert_eq!(buffer.waiters().notify(0, 1), 1);
        assert_eq!(wait.give_up(WaitResult::TimedOut), WaitResult::Woken);
        let mut wait = ParkedWait::start(&buffer, 0, || true).unwrap();
        assert_eq!(wait.give_up(WaitResult::TimedOut), WaitResult::TimedOut);
        assert_eq!(buffer.waiters().notify(0, 1), 0);
    }
}
