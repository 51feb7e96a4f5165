//! Who holds which lock and who waits for it: the rules, without isolates.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Alone.
    Exclusive,
    /// Beside others that share it.
    Shared,
}

impl Mode {
    /// Node's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

/// What a request does when the lock is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBusy {
    /// It waits for its turn.
    Wait,
    /// It is refused.
    Refuse,
    /// It takes the lock from all who hold it.
    Steal,
}

/// A request, granted or not. Later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What became of a request at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lock is held.
    Granted(RequestId),
    /// It waits.
    Pending(RequestId),
    /// It was refused.
    Refused,
}

#[derive(Debug)]
struct Entry<O> {
    mode: Mode,
    owner: O,
}

/// The requests of one name. Both are in the order of the requests.
#[derive(Debug)]
struct Queue<O> {
    held: BTreeMap<RequestId, Entry<O>>,
    pending: BTreeMap<RequestId, Entry<O>>,
}

impl<O> Queue<O> {
    /// Whether a lock can be granted beside those that are held.
    fn admits(&self, mode: Mode) -> bool {
        match (mode, self.held.first_key_value()) {
            (_, None) => true,
            (Mode::Shared, Some((_, first))) => first.mode == Mode::Shared,
            (Mode::Exclusive, Some(_)) => false,
        }
    }

    /// Grants what can be granted now, in order.
    fn grant(&mut self, granted: &mut impl FnMut(&O)) {
        while let Some(first) = self.pending.first_entry() {
            let mode = first.get().mode;
            if !self.admits(mode) {
                return;
            }
            if let Some((id, entry)) = self.pending.pop_first() {
                granted(&entry.owner);
                self.held.insert(id, entry);
            }
        }
    }
}

/// One request as `query` lists it.
#[derive(Debug)]
pub struct Listed<'a, O> {
    /// The request.
    pub id: RequestId,
    /// Name of the lock.
    pub name: &'a Arc<str>,
    /// Its mode.
    pub mode: Mode,
    /// Whose it is.
    pub owner: &'a O,
    /// Whether the lock is held.
    pub is_held: bool,
}

/// All locks of a process. `O` is what the table knows of an owner.
#[derive(Debug)]
pub struct Table<O> {
    queues: HashMap<Arc<str>, Queue<O>>,
    last: u64,
}

impl<O> Default for Table<O> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            last: 0,
        }
    }
}

impl<O> Table<O> {
    /// Asks for a lock. `stolen` hears of the owners that lose theirs.
    pub fn request(
        &mut self,
        name: &Arc<str>,
        mode: Mode,
        when_busy: WhenBusy,
        owner: O,
        mut stolen: impl FnMut(&O),
    ) -> Answer {
        let is_free = self
            .queues
            .get(name)
            .is_none_or(|queue| queue.pending.is_empty() && queue.admits(mode));
        if !is_free && when_busy == WhenBusy::Refuse {
            return Answer::Refused;
        }
        self.last += 1;
        let id = RequestId(self.last);
        let queue = self.queues.entry(Arc::clone(name)).or_insert_with(|| Queue {
            held: BTreeMap::new(),
            pending: BTreeMap::new(),
        });
        let entry = Entry { mode, owner };
        if when_busy == WhenBusy::Steal {
            for lost in std::mem::take(&mut queue.held).values() {
                stolen(&lost.owner);
            }
            queue.held.insert(id, entry);
            return Answer::Granted(id);
        }
        if is_free {
            queue.held.insert(id, entry);
            return Answer::Granted(id);
        }
        queue.pending.insert(id, entry);
        Answer::Pending(id)
    }

    /// Releases a lock or gives a request up; nothing for one that was stolen. `granted` hears of the owners whose turn
    /// it is then. Gives whether the request was still waiting.
    pub fn release(&mut self, name: &Arc<str>, id: RequestId, mut granted: impl FnMut(&O)) -> bool {
        let Some(queue) = self.queues.get_mut(name) else {
            return false;
        };
        let was_pending = queue.pending.remove(&id).is_some();
        if was_pending || queue.held.remove(&id).is_some() {
            queue.grant(&mut granted);
        }
        if queue.held.is_empty() && queue.pending.is_empty() {
            self.queues.remove(name);
        }
        was_pending
    }

    /// All requests, in their order.
    pub fn list(&self) -> Vec<Listed<'_, O>> {
        let mut list = Vec::new();
        for (name, queue) in &self.queues {
            for (entries, is_held) in [(&queue.held, true), (&queue.pending, false)] {
                list.extend(entries.iter().map(|(id, entry)| Listed {
                    id: *id,
                    name,
                    mode: entry.mode,
                    owner: &entry.owner,
                    is_held,
                }));
            }
        }
        list.sort_by_key(|listed| listed.id);
        list
    }

    /// Whether a request of one that `is_own` accepts waits behind a request of another.
    pub fn waits_for_others(&self, is_own: impl Fn(&O) -> bool) -> bool {
        self.queues.values().any(|queue| {
            let mut is_behind = queue.held.values().any(|entry| !is_own(&entry.owner));
            queue.pending.values().any(|entry| {
                let is_own = is_own(&entry.owner);
                is_behind |= !is_own;
                is_own && is_behind
            })
        })
    }
}

#[cfg(test)]
mod tests;
