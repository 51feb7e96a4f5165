//! Web Locks: names that isolates of one process hold, alone or together.
//!
//! | file | what it does |
//! |---|---|
//! | `table` | the rules: who holds, who waits, who is next |
//! | `imports` | `nodule:locks/1` |
//!
//! This file ties the two together: a lock is a handle of an isolate, and its grant an event.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nodule_abi::error::Result;
use nodule_abi::event::{EventKind, EventRecord};
use serde::Serialize;

use crate::handles::{Handle, Handles, Resource};
use crate::runtime::{IsolateShared, ThreadId};
use crate::spawn_tied::Tied;

pub mod imports;
mod table;

use table::{Answer, RequestId, Table};
pub use table::{Mode, WhenBusy};

/// Pause before an event is offered again to a full queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// The locks of a process.
#[derive(Debug, Default)]
pub struct LockTable {
    table: Mutex<Table<Arc<Claim>>>,
}

impl LockTable {
    fn lock(&self) -> MutexGuard<'_, Table<Arc<Claim>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything held and everything that waits.
    pub fn query(&self) -> Snapshot {
        let table = self.lock();
        let mut snapshot = Snapshot::default();
        for listed in table.list() {
            let list = if listed.is_held {
                &mut snapshot.held
            } else {
                &mut snapshot.pending
            };
            list.push(LockInfo {
                name: Arc::clone(listed.name),
                mode: listed.mode.name(),
                client_id: listed.owner.client_id(),
            });
        }
        snapshot
    }
}

/// What `query` gives.
#[derive(Debug, Default, Serialize)]
pub struct Snapshot {
    held: Vec<LockInfo>,
    pending: Vec<LockInfo>,
}

/// One request as `query` gives it.
#[derive(Debug, Serialize)]
pub struct LockInfo {
    #[serde(serialize_with = "serialize_text")]
    name: Arc<str>,
    mode: &'static str,
    #[serde(rename = "clientId")]
    client_id: String,
}

fn serialize_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// The owner of a request: which handle of which isolate hears of it.
struct Claim {
    thread: ThreadId,
    isolate: Weak<IsolateShared>,
    /// Known before the request is made.
    handle: AtomicU32,
    /// How many requests of the isolate wait.
    waiting: Arc<AtomicUsize>,
    /// Tells the isolate later, when its queue was full. Goes with the handle.
    tellers: Mutex<Vec<Tied>>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("thread", &self.thread)
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Claim {
    fn client_id(&self) -> String {
        format!("nodule-{}-{}", std::process::id(), self.thread)
    }

    /// It is this one's turn.
    fn granted(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.tell(EventKind::LockGranted);
    }

    fn tell(&self, kind: EventKind) {
        let Some(isolate) = self.isolate.upgrade() else { return };
        let record = EventRecord::new(kind, self.handle.load(Ordering::Relaxed), [0; 3]);
        let mut tellers = self.tellers.lock().unwrap_or_else(PoisonError::into_inner);
        // What comes later must not overtake what waits already.
        if tellers.is_empty() && isolate.events.push(record) {
            return;
        }
        drop(isolate);
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let isolate = Weak::clone(&self.isolate);
        let before = tellers.pop();
        tellers.push(Tied::spawn(async move {
            if let Some(before) = before {
                before.ended().await;
            }
            while isolate.upgrade().is_some_and(|isolate| !isolate.events.push(record)) {
                tokio::time::sleep(QUEUE_FULL_PAUSE).await;
            }
        }));
    }
}

/// A lock or a request for one, as the handle table has it. Dropping it releases the lock or gives the request up.
#[derive(Debug)]
pub struct LockHandle {
    isolate: Arc<IsolateShared>,
    claim: Arc<Claim>,
    /// Name and number, once the request is made.
    request: Option<(Arc<str>, RequestId)>,
}

impl Drop for LockHandle {
    fn drop(&mut self) {
        if let Some((name, id)) = self.request.take() {
            let was_pending = self
                .isolate
                .group
                .locks
                .lock()
                .release(&name, id, |claim| claim.granted());
            if was_pending {
                self.claim.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.claim
            .tellers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// What an isolate knows of its own requests.
#[derive(Debug, Default)]
pub struct LockClient {
    /// How many wait.
    waiting: Arc<AtomicUsize>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The lock is held.
    Granted(Handle),
    /// An event tells when it is.
    Pending(Handle),
    /// The lock is not available.
    Refused,
}

impl LockClient {
    /// Requests a lock for an isolate.
    pub fn request(
        &self,
        isolate: &Arc<IsolateShared>,
        handles: &mut Handles,
        name: &str,
        mode: Mode,
        when_busy: WhenBusy,
    ) -> Result<Outcome> {
        let claim = Arc::new(Claim {
            thread: isolate.thread,
            isolate: Arc::downgrade(isolate),
            handle: AtomicU32::new(0),
            waiting: Arc::clone(&self.waiting),
            tellers: Mutex::default(),
        });
        let lock = LockHandle {
            isolate: Arc::clone(isolate),
            claim: Arc::clone(&claim),
            request: None,
        };
        let handle = handles.insert(Resource::Lock(lock), false)?;
        claim.handle.store(handle.number(), Ordering::Relaxed);
        let name: Arc<str> = name.into();
        let answer = {
            let mut table = isolate.group.locks.lock();
            let stolen = |owner: &Arc<Claim>| owner.tell(EventKind::LockStolen);
            let answer = table.request(&name, mode, when_busy, claim, stolen);
            if matches!(answer, Answer::Pending(_)) {
                // Counted before another can grant it.
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
            answer
        };
        let (id, outcome) = match answer {
            Answer::Granted(id) => (id, Outcome::Granted(handle)),
            Answer::Pending(id) => (id, Outcome::Pending(handle)),
            Answer::Refused => {
                handles.remove(handle)?;
                return Ok(Outcome::Refused);
            }
        };
        if let Resource::Lock(lock) = handles.get_mut(handle)? {
            lock.request = Some((name, id));
        }
        Ok(outcome)
    }

    /// Whether a request waits for another isolate. One that waits for a lock of this isolate keeps nothing alive: with
    /// nothing else to happen here it would wait for ever.
    pub fn waits_for_others(&self, isolate: &IsolateShared) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
            && isolate
                .group
                .locks
                .lock()
                .waits_for_others(|claim| claim.thread == isolate.thread)
    }
}

#[cfg(test)]
mod tests;
