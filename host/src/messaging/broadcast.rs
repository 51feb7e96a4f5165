//! Broadcast channels: one to many by name, in one order for all.
//!
//! A message is queued for each channel apart, under the lock of its name. An isolate takes them by number: of all
//! heads of its channels the one with the lowest number, and of equal ones the channel that was created first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::event::EventKind;
use nodule_abi::limits::QUEUE_BYTES_MAX;
use tokio::sync::Notify;

use super::message::{Message, cost};
use super::{Account, Owner, queue_full};
use crate::handles::Handle;
use crate::runtime::{IsolateGroup, IsolateId};

/// The names of a process that are in use.
#[derive(Debug, Default)]
pub struct BroadcastNames {
    topics: Mutex<HashMap<String, Arc<Topic>>>,
}

/// All channels of one name.
#[derive(Debug)]
struct Topic {
    name: String,
    state: Mutex<TopicState>,
}

#[derive(Debug, Default)]
struct TopicState {
    last: u64,
    isolates: BTreeMap<IsolateId, Station>,
}

/// The channels of one isolate.
#[derive(Debug, Default)]
struct Station {
    /// In order of creation: handles grow.
    channels: BTreeMap<Handle, Inbox>,
    /// An event was given and no receive found the queues empty since.
    is_notified: bool,
    /// The event lies in the isolate's event queue, under this number.
    pending: Option<Handle>,
    is_waited_for: bool,
    arrived: Arc<Notify>,
}

#[derive(Debug)]
struct Inbox {
    owner: Owner,
    entries: VecDeque<(u64, Entry)>,
    used_bytes: usize,
}

/// A message and who pays for it, once for each channel that it waits for.
#[derive(Debug)]
pub struct Sent {
    message: Message,
    payer: Arc<Account>,
}

impl Deref for Sent {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

#[derive(Debug)]
enum Entry {
    Message(Arc<Sent>),
    /// So many messages were lost here.
    Lost(u64),
}

/// What a receive takes.
#[derive(Debug)]
pub enum Received {
    Message(Arc<Sent>),
    Lost(u64),
}

impl Entry {
    fn cost(&self) -> usize {
        match self {
            Self::Message(message) => message.cost(),
            Self::Lost(_) => cost(0, 0),
        }
    }
}

impl Inbox {
    fn bound(&self) -> usize {
        let own = self.owner.queue_bytes_max;
        own.map_or(QUEUE_BYTES_MAX, |own| own.min(QUEUE_BYTES_MAX))
    }

    /// Adds a message, or counts it as lost. Never refuses: a slow receiver holds up nobody. Gives `false` when the
    /// process had no room for it.
    fn add(&mut self, number: u64, message: &Arc<Sent>) -> bool {
        let entry = Entry::Message(Arc::clone(message));
        let used = self.used_bytes.saturating_add(entry.cost());
        let is_within = used <= self.bound();
        if is_within && message.payer.charge(entry.cost()) {
            self.used_bytes = used;
            self.entries.push_back((number, entry));
            return true;
        }
        if let Some((_, Entry::Lost(count))) = self.entries.back_mut() {
            *count += 1;
        } else {
            // One small entry beyond the bound; the next can only follow a message that fitted again.
            self.entries.push_back((number, Entry::Lost(1)));
        }
        !is_within
    }
}

impl Station {
    fn tell(&mut self) {
        if self.is_notified {
            return;
        }
        let waiting: usize = self.channels.values().map(|inbox| inbox.entries.len()).sum();
        let Some(inbox) = self.channels.values().next().filter(|_| waiting > 0) else {
            return;
        };
        self.is_notified = true;
        if self.pending.is_none() {
            self.pending = Some(inbox.owner.handle);
            inbox.owner.tell(EventKind::Broadcast, waiting as u64);
        }
    }
}

impl Topic {
    fn lock(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One channel, as its isolate holds it. Dropping it leaves the name.
#[derive(Debug)]
pub struct Member {
    group: Arc<IsolateGroup>,
    topic: Arc<Topic>,
    isolate: IsolateId,
    handle: Handle,
    payer: Arc<Account>,
}

impl Member {
    /// Joins `name` as `owner`.
    pub fn join(name: &str, owner: Owner) -> Self {
        let group = Arc::clone(&owner.shared.group);
        let mut topics = group.broadcasts.lock();
        let new = || Topic {
            name: name.to_owned(),
            state: Mutex::default(),
        };
        let topic = match topics.get(name) {
            Some(topic) => Arc::clone(topic),
            None => {
                let topic = Arc::new(new());
                topics.insert(name.to_owned(), Arc::clone(&topic));
                topic
            }
        };
        let (isolate, handle) = (owner.shared.id, owner.handle);
        let payer = Arc::clone(&owner.shared.queued);
        let inbox = Inbox {
            owner,
            entries: VecDeque::new(),
            used_bytes: 0,
        };
        let mut state = topic.lock();
        state
            .isolates
            .entry(isolate)
            .or_default()
            .channels
            .insert(handle, inbox);
        drop(state);
        drop(topics);
        Self {
            group,
            topic,
            isolate,
            handle,
            payer,
        }
    }

    /// Sends a message to all other channels of the name.
    pub fn post(&self, message: Message) {
        let message = Arc::new(Sent {
            message,
            payer: Arc::clone(&self.payer),
        });
        let mut has_room = true;
        let mut state = self.topic.lock();
        state.last += 1;
        let number = state.last;
        for (isolate, station) in &mut state.isolates {
            for (handle, inbox) in &mut station.channels {
                if *isolate != self.isolate || *handle != self.handle {
                    has_room &= inbox.add(number, &message);
                }
            }
            station.tell();
            if std::mem::take(&mut station.is_waited_for) {
                station.arrived.notify_one();
            }
        }
        drop(state);
        if !has_room {
            // For the next message: this one is lost where it found no room.
            self.group.queues.collect();
        }
    }

    /// Takes the next message for any channel of the isolate, or only for this one, if `accept` does: it sees how much
    /// is needed. Without a message the next gives an event again.
    pub fn receive<E>(
        &self,
        only_this: bool,
        accept: impl FnOnce(&Message) -> Result<(), E>,
    ) -> Result<Option<(Handle, Received)>, E> {
        let mut state = self.topic.lock();
        let Some(station) = state.isolates.get_mut(&self.isolate) else {
            return Ok(None);
        };
        let heads = station.channels.iter().filter_map(|(handle, inbox)| {
            let (number, _) = inbox.entries.front()?;
            Some((*number, *handle))
        });
        let next = if only_this {
            heads.filter(|(_, handle)| *handle == self.handle).min()
        } else {
            heads.min()
        };
        let Some((_, handle)) = next else {
            station.is_notified &= only_this;
            return Ok(None);
        };
        let Some(inbox) = station.channels.get_mut(&handle) else {
            return Ok(None);
        };
        if let Some((_, Entry::Message(message))) = inbox.entries.front() {
            accept(message)?;
        }
        let Some((_, entry)) = inbox.entries.pop_front() else {
            return Ok(None);
        };
        Ok(Some((
            handle,
            match entry {
                Entry::Message(message) => {
                    inbox.used_bytes -= message.cost();
                    message.payer.release(message.cost());
                    Received::Message(message)
                }
                Entry::Lost(count) => Received::Lost(count),
            },
        )))
    }

    /// Asks for another event when messages are there.
    pub fn rearm(&self) {
        let mut state = self.topic.lock();
        if let Some(station) = state.isolates.get_mut(&self.isolate) {
            station.is_notified = false;
            station.tell();
        }
    }

    /// What tells of the next message, unless this channel has one.
    pub fn watch(&self) -> Option<Arc<Notify>> {
        let mut state = self.topic.lock();
        let station = state.isolates.get_mut(&self.isolate)?;
        let inbox = station.channels.get(&self.handle)?;
        if !inbox.entries.is_empty() {
            return None;
        }
        station.is_waited_for = true;
        Some(Arc::clone(&station.arrived))
    }

    /// The guest is about to get the event of its channels of this name.
    pub fn delivered(&self) {
        let mut state = self.topic.lock();
        if let Some(station) = state.isolates.get_mut(&self.isolate) {
            station.pending = None;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // In the order of `join`, so that a name that others join at this moment stays.
        let mut topics = self.group.broadcasts.lock();
        let mut state = self.topic.lock();
        let mut inbox = None;
        if let Some(station) = state.isolates.get_mut(&self.isolate) {
            inbox = station.channels.remove(&self.handle);
            // The guest will not know the number in the event, or go on with it.
            if station.pending.is_none_or(|pending| pending == self.handle) {
                station.pending = None;
                station.is_notified = false;
                station.tell();
            }
            if station.channels.is_empty() {
                state.isolates.remove(&self.isolate);
            }
        }
        if state.isolates.is_empty() {
            topics.remove(&self.topic.name);
        }
        drop(state);
        drop(topics);
        if let Some(inbox) = inbox {
            for (_, entry) in inbox.entries {
                if let Entry::Message(message) = entry {
                    message.payer.release(message.cost());
                }
            }
        }
    }
}

impl BroadcastNames {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In place of lost messages.
pub(super) fn lost(count: u64) -> Box<ErrorRecord> {
    let plural = if count == 1 { "message was" } else { "messages were" };
    queue_full(&format!("{count} {plural} lost: the queue of the channel was full"))
}

/// A channel that is closed.
pub(super) fn closed() -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::InvalidState, "BroadcastChannel is closed.").into()
}
