//! Who waits on the cells of a shared buffer. The table belongs to the buffer, so its key is the byte offset alone.
//!
//! A waiter is added under the table's lock, which is held while the cell is compared: a notification that
//! follows a store finds every waiter that saw the old value. Nobody blocks an OS thread: a waiter is a future or
//! an event of its isolate. Dropping it takes it out.
//!
//! Once another process has the buffer too, new waiters go to the kernel's queue instead (`futex`), and those of the table
//! can be woken from there. A notification wakes those of the table first, who came first, then those of the queue; what it
//! gives is the sum. The queue is in the order of arrival, whatever the process.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use nodule_abi::atomic::WaitResult;
use nodule_abi::error::Result;
use nodule_abi::event::{EventKind, EventRecord};
use tokio::sync::oneshot;

use super::buffer::SharedBuffer;
use super::futex::{self, Expected, KernelWait, Relay};
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
pub struct Waiters {
    table: Mutex<Table>,
    /// Another process has the buffer too. Changes under the lock of the table, and once.
    is_elsewhere: AtomicBool,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    waiting: BTreeMap<Key, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    wake: Wake,
    /// Lets other processes wake it.
    relay: Option<Relay>,
}

/// What became of one who wanted to wait.
enum Added {
    Waits(Key),
    NotEqual,
    /// The kernel has the queue.
    Elsewhere,
}

fn push_done(shared: &IsolateShared, handle: Handle, result: WaitResult) -> bool {
    let record = EventRecord::new(EventKind::WaitDone, handle.number(), [u64::from(result as u32), 0, 0]);
    shared.events.push(record)
}

impl Wake {
    /// Gives itself back when the waiter's isolate can take no event now, `Ok(false)` when it is gone.
    fn wake(self) -> std::result::Result<bool, Self> {
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
    /// Of a buffer that came from another process.
    pub fn elsewhere() -> Self {
        Self {
            is_elsewhere: AtomicBool::new(true),
            ..Self::default()
        }
    }

    /// Whether another process has the buffer too.
    pub fn is_elsewhere(&self) -> bool {
        self.is_elsewhere.load(Ordering::SeqCst)
    }

    /// From now on another process has it. Who waits already can be woken by that one too.
    pub(super) fn share_elsewhere(buffer: &Arc<SharedBuffer>) -> Result<()> {
        let waiters = buffer.waiters();
        let mut table = waiters.lock();
        for ((offset, number), waiter) in &mut table.waiting {
            let (weak, key) = (Arc::downgrade(buffer), (*offset, *number));
            let notified = move || weak.upgrade().is_some_and(|buffer| buffer.waiters().wake(key));
            waiter.relay = Some(Relay::start(buffer, *offset, notified)?);
        }
        waiters.is_elsewhere.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a waiter if `holds` says that the cell has the expected value.
    fn add(&self, offset: u64, holds: impl FnOnce() -> bool, wake: impl FnOnce() -> Wake) -> Added {
        let mut table = self.lock();
        if !holds() {
            return Added::NotEqual;
        }
        if self.is_elsewhere() {
            return Added::Elsewhere;
        }
        table.last += 1;
        let key = (offset, table.last);
        let waiter = Waiter {
            wake: wake(),
            relay: None,
        };
        table.waiting.insert(key, waiter);
        Added::Waits(key)
    }

    /// Takes a waiter out. False when it was woken already.
    fn remove(&self, key: Key) -> bool {
        self.lock().waiting.remove(&key).is_some()
    }

    /// Wakes one. False when it does not wait any more.
    fn wake(&self, key: Key) -> bool {
        self.lock().wake(key)
    }

    /// Wakes up to `count` waiters on the cell at `offset` of this process, those first that waited longest, and gives how
    /// many.
    fn notify_here(&self, offset: u64, count: u32) -> u32 {
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
            woken += u32::from(table.wake(key));
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

impl Table {
    /// Wakes one. False when it is not there; it stays when its queue of events is full.
    fn wake(&mut self, key: Key) -> bool {
        let Some(Waiter { wake, relay }) = self.waiting.remove(&key) else {
            return false;
        };
        match wake.wake() {
            Ok(is_woken) => is_woken,
            Err(wake) => {
                self.waiting.insert(key, Waiter { wake, relay });
                false
            }
        }
    }
}

impl SharedBuffer {
    /// Wakes up to `count` waiters on the cell at `offset`, and gives how many: those of this process first that waited before
    /// another one had the buffer, then those in the kernel's queue.
    pub fn notify(&self, offset: u64, count: u32) -> u32 {
        let waiters = self.waiters();
        let here = waiters.notify_here(offset, count);
        if !waiters.is_elsewhere() {
            return here;
        }
        here.saturating_add(futex::wake(self, offset, count - here))
    }
}

/// One that waits: in the table of its buffer, or in the kernel's queue. Ends when it is notified; dropping it takes it out.
#[derive(Debug)]
pub enum ParkedWait {
    /// In the table.
    Here(TableWait),
    /// In the kernel's queue.
    Elsewhere(KernelWait),
}

impl ParkedWait {
    /// Starts to wait if `holds` says, under the lock, that the cell has the expected value. `ENOMEM` when too many wait for
    /// other processes.
    pub fn start(buffer: &Arc<SharedBuffer>, expected: Expected, holds: impl FnOnce() -> bool) -> Result<Option<Self>> {
        let (sender, woken) = oneshot::channel();
        match buffer.waiters().add(expected.offset, holds, || Wake::Parked(sender)) {
            Added::NotEqual => Ok(None),
            Added::Waits(key) => Ok(Some(Self::Here(TableWait {
                buffer: Arc::clone(buffer),
                key,
                woken,
                is_over: false,
            }))),
            Added::Elsewhere => KernelWait::start(buffer, expected).map(|wait| Some(Self::Elsewhere(wait))),
        }
    }

    /// Ends the wait for another reason: what it gives then.
    pub fn give_up(&mut self, reason: WaitResult) -> WaitResult {
        match self {
            Self::Here(wait) => wait.give_up(reason),
            Self::Elsewhere(wait) => wait.give_up(reason),
        }
    }
}

impl Future for ParkedWait {
    type Output = Result<WaitResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Here(wait) => wait.poll(context).map(|()| Ok(WaitResult::Woken)),
            Self::Elsewhere(wait) => Pin::new(wait).poll(context),
        }
    }
}

/// One in the table.
#[derive(Debug)]
pub struct TableWait {
    buffer: Arc<SharedBuffer>,
    key: Key,
    woken: oneshot::Receiver<()>,
    /// The isolate goes on: nothing is left to pass on.
    is_over: bool,
}

impl TableWait {
    fn give_up(&mut self, reason: WaitResult) -> WaitResult {
        self.is_over = true;
        match self.buffer.waiters().remove(self.key) {
            true => reason,
            // The notification came first, and has counted it.
            false => WaitResult::Woken,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let woken = Pin::new(&mut self.woken).poll(context).map(drop);
        self.is_over |= woken.is_ready();
        woken
    }
}

impl Drop for TableWait {
    fn drop(&mut self) {
        if !self.buffer.waiters().remove(self.key) && !self.is_over {
            // Its isolate was ended between the notification and the next instruction: the next waiter takes its place.
            self.buffer.notify(self.key.0, 1);
        }
    }
}

/// A wait whose end is an event. Dropping it takes it out.
#[derive(Debug)]
pub struct EventWait {
    /// Its place in the table.
    place: Option<(Arc<SharedBuffer>, Key)>,
    /// Waits for the end of its time, or in the kernel's queue.
    _task: Option<Tied>,
}

/// Time until an event that found no room is tried again.
const RETRY: Duration = Duration::from_millis(10);

impl EventWait {
    /// Starts to wait as [`ParkedWait::start`]; the event goes to `handle` of `isolate`.
    pub fn start(
        buffer: &Arc<SharedBuffer>,
        expected: Expected,
        holds: impl FnOnce() -> bool,
        isolate: &Arc<IsolateShared>,
        handle: Handle,
        deadline: Option<Instant>,
    ) -> Result<Option<Self>> {
        let weak = Arc::downgrade(isolate);
        let wake = || Wake::Event(Weak::clone(&weak), handle);
        let key = match buffer.waiters().add(expected.offset, holds, wake) {
            Added::NotEqual => return Ok(None),
            Added::Waits(key) => key,
            Added::Elsewhere => {
                let wait = KernelWait::start(buffer, expected)?;
                let task = Tied::spawn(async move {
                    let result = in_time(wait, deadline).await;
                    tell_done(weak, handle, result).await;
                });
                return Ok(Some(Self {
                    place: None,
                    _task: Some(task),
                }));
            }
        };
        let timer = deadline.map(|deadline| {
            let buffer = Arc::clone(buffer);
            Tied::spawn(async move {
                tokio::time::sleep_until(deadline.into()).await;
                if buffer.waiters().remove(key) {
                    tell_done(weak, handle, WaitResult::TimedOut).await;
                }
            })
        });
        Ok(Some(Self {
            place: Some((Arc::clone(buffer), key)),
            _task: timer,
        }))
    }
}

/// How a wait in the kernel's queue ends. That the cell had changed before it began was not to be seen when the guest was
/// told that it waits: it is an end like a notification.
async fn in_time(mut wait: KernelWait, deadline: Option<Instant>) -> WaitResult {
    let over = async {
        match deadline {
            None => std::future::pending().await,
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        }
    };
    tokio::select! {
        biased;
        ended = &mut wait => {
            if let Err(error) = ended {
                tracing::warn!(%error, "a wait has failed");
            }
            WaitResult::Woken
        }
        () = over => wait.give_up(WaitResult::TimedOut),
    }
}

async fn tell_done(isolate: Weak<IsolateShared>, handle: Handle, result: WaitResult) {
    while let Some(isolate) = isolate.upgrade()
        && !push_done(&isolate, handle, result)
    {
        drop(isolate);
        tokio::time::sleep(RETRY).await;
    }
}

impl Drop for EventWait {
    fn drop(&mut self) {
        if let Some((buffer, key)) = &self.place {
            buffer.waiters().remove(*key);
        }
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
        match wait {
            ParkedWait::Here(wait) => wait.woken.try_recv().is_ok(),
            ParkedWait::Elsewhere(_) => false,
        }
    }

    fn start(buffer: &Arc<SharedBuffer>, offset: u64, holds: bool) -> Option<ParkedWait> {
        let expected = Expected {
            offset,
            bits: 32,
            value: 0,
        };
        ParkedWait::start(buffer, expected, || holds).unwrap()
    }

    #[test]
    fn waiters_are_woken_in_order_and_counted_once() {
        let buffer = buffer();
        let mut waits: Vec<_> = (0..4).map(|_| start(&buffer, 8, true).unwrap()).collect();
        let mut other = start(&buffer, 16, true).unwrap();
        assert!(start(&buffer, 8, false).is_none());
        assert_eq!(buffer.notify(8, 0), 0);
        assert_eq!(buffer.notify(8, 2), 2);
        let woken: Vec<_> = waits.iter_mut().map(is_woken).collect();
        assert_eq!(woken, [true, true, false, false]);
        assert_eq!(buffer.notify(8, NOTIFY_ALL), 2);
        assert_eq!(buffer.notify(8, NOTIFY_ALL), 0);
        assert!(!is_woken(&mut other));
    }

    #[test]
    fn who_is_gone_is_not_counted() {
        let buffer = buffer();
        let mut first = start(&buffer, 0, true).unwrap();
        let second = start(&buffer, 0, true).unwrap();
        let mut third = start(&buffer, 0, true).unwrap();
        drop(second);
        assert_eq!(buffer.waiters().len(), 2);
        assert_eq!(buffer.notify(0, 2), 2);
        assert!(is_woken(&mut first) && is_woken(&mut third));
        assert_eq!(buffer.waiters().len(), 0);
    }

    #[test]
    fn a_notification_that_found_a_dying_isolate_goes_to_the_next() {
        let buffer = buffer();
        let first = start(&buffer, 0, true).unwrap();
        let mut second = start(&buffer, 0, true).unwrap();
        assert_eq!(buffer.notify(0, 1), 1);
        drop(first);
        assert!(is_woken(&mut second));
    }

    #[test]
    fn a_notification_before_the_end_of_the_time_counts() {
        let buffer = buffer();
        let mut wait = start(&buffer, 0, true).unwrap();
        assert_eq!(buffer.notify(0, 1), 1);
        assert_eq!(wait.give_up(WaitResult::TimedOut), WaitResult::Woken);
        let mut wait = start(&buffer, 0, true).unwrap();
        assert_eq!(wait.give_up(WaitResult::TimedOut), WaitResult::TimedOut);
        assert_eq!(buffer.notify(0, 1), 0);
    }
}
