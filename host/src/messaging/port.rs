//! Channels. The queue of each direction lies in the channel, so that a port can change its owner with all that is
//! on its way to it.
//!
//! Locks: the two queues of a channel are never locked together; events are pushed under the lock of a queue; no
//! message is dropped under one, because that may close ports.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::limits::{QUEUE_BYTES_MAX, QUEUE_HIGH_BYTES, QUEUE_HIGH_MESSAGES};
use tokio::sync::Notify;

use super::message::{Message, discard};
use super::{Owner, QueueBudget, queue_full};
use crate::host_error::HostError;
use crate::runtime::IsolateGroup;

/// What a receiver takes out of the queue at once.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// One of the two ends of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A channel: what is on its way to each of its ends.
#[derive(Debug)]
pub struct Channel {
    queues: [Queue; 2],
    budget: Arc<QueueBudget>,
    number: u64,
}

#[derive(Debug, Default)]
struct Queue {
    inbox: Mutex<Inbox>,
    /// For a receiver that waits without an event.
    arrived: Notify,
}

/// What one end receives.
#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<Message>,
    /// Number and cost of what is queued, what the receiver has in its batch included.
    used_messages: usize,
    used_bytes: usize,
    /// Where the events go; none while the end is on its way.
    owner: Option<Owner>,
    is_started: bool,
    /// Its owner was told of messages and has not seen the queue empty since.
    is_notified: bool,
    /// A `Message` event lies in the owner's event queue.
    is_message_pending: bool,
    /// Nothing is added any more.
    is_closed: bool,
    /// Its own end closed it.
    is_closed_here: bool,
    is_close_told: bool,
    /// A sender was told to wait for room.
    is_room_wanted: bool,
    /// Its owner, as a sender, is to hear of room.
    is_drain_due: bool,
    /// A `PortDrain` event lies in the owner's event queue.
    is_drain_pending: bool,
    /// Somebody waits on `arrived`.
    is_waited_for: bool,
}

impl Inbox {
    fn is_above_mark(&self) -> bool {
        let bytes = self.bound(QUEUE_HIGH_BYTES);
        self.used_bytes >= bytes || self.used_messages >= QUEUE_HIGH_MESSAGES
    }

    fn bound(&self, bytes: usize) -> usize {
        let own = self.owner.as_ref().and_then(|owner| owner.queue_bytes_max);
        own.map_or(bytes, |own| own.min(bytes))
    }

    /// Gives the owner the events that are due.
    fn tell(&mut self) {
        let Some(owner) = &self.owner else { return };
        if self.is_started && !self.is_notified && self.used_messages > 0 {
            self.is_notified = true;
            if !self.is_message_pending {
                self.is_message_pending = true;
                owner.tell(EventKind::Message, self.used_messages as u64);
            }
        }
        let is_at_end = self.used_messages == 0 || (self.is_closed_here && !self.is_started);
        if self.is_closed && is_at_end && !self.is_close_told {
            self.is_close_told = true;
            owner.tell(EventKind::PortClose, 0);
        }
        if self.is_drain_due && !self.is_drain_pending {
            self.is_drain_due = false;
            self.is_drain_pending = true;
            owner.tell(EventKind::PortDrain, 0);
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The receiver has room for more.
    Room,
    /// The receiver's queue is at its mark; an event tells when it is below again.
    AboveMark,
}

/// Why a message was not queued. Nothing happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The receiver's queue is at its mark.
    NoRoom,
    /// The receiver's queue is at its hard bound.
    ReceiverFull,
    /// All queues of the process together are.
    ProcessFull,
}

impl From<Refusal> for HostError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoRoom => ErrorCode::Eagain.into(),
            Refusal::ReceiverFull => queue_full("the receiver's queue is full").into(),
            Refusal::ProcessFull => queue_full("the queues of the process are full").into(),
        }
    }
}

impl Channel {
    fn queue(&self, side: Side) -> &Queue {
        match side {
            Side::First => &self.queues[0],
            Side::Second => &self.queues[1],
        }
    }

    fn inbox(&self, side: Side) -> MutexGuard<'_, Inbox> {
        self.queue(side).inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiter(&self, side: Side, inbox: &mut Inbox) {
        if std::mem::take(&mut inbox.is_waited_for) {
            self.queue(side).arrived.notify_one();
        }
    }

    /// Whether `cost` more can be queued for `to`; takes them from the budget. `false` when the channel is closed.
    fn admit(&self, inbox: &mut Inbox, cost: usize, only_if_room: bool) -> Result<bool, Refusal> {
        if inbox.is_closed {
            return Ok(false);
        }
        if only_if_room && inbox.is_above_mark() {
            inbox.is_room_wanted = true;
            return Err(Refusal::NoRoom);
        }
        let used = inbox.used_bytes.saturating_add(cost);
        if used > inbox.bound(QUEUE_BYTES_MAX) {
            return Err(Refusal::ReceiverFull);
        }
        if !self.budget.charge(cost) {
            return Err(Refusal::ProcessFull);
        }
        inbox.used_bytes = used;
        inbox.used_messages += 1;
        Ok(true)
    }

    /// Adds an admitted message.
    fn push(&self, to: Side, inbox: &mut Inbox, message: Message) -> Posted {
        inbox.messages.push_back(message);
        inbox.tell();
        self.wake_waiter(to, inbox);
        let is_above = inbox.is_above_mark();
        inbox.is_room_wanted |= is_above;
        if is_above { Posted::AboveMark } else { Posted::Room }
    }

    /// Queues a message for `to`; on a closed channel it is dropped.
    fn post(&self, to: Side, only_if_room: bool, message: Message) -> Result<Posted, Refusal> {
        let cost = message.cost();
        let mut inbox = self.inbox(to);
        match self.admit(&mut inbox, cost, only_if_room) {
            Ok(true) => return Ok(self.push(to, &mut inbox, message)),
            refused => {
                drop(inbox);
                discard([message]);
                refused.map(|_| Posted::Room)
            }
        }
    }

    /// Ends sending in both directions.
    fn close(&self, from: Side) {
        for side in [from, from.other()] {
            let mut inbox = self.inbox(side);
            inbox.is_closed = true;
            inbox.is_closed_here |= side == from;
            inbox.tell();
            self.wake_waiter(side, &mut inbox);
        }
    }

    /// Counts off what a receiver has consumed; gives whether the sender is to hear of room.
    fn release(&self, inbox: &mut Inbox, messages: usize, bytes: usize) -> bool {
        inbox.used_messages -= messages;
        inbox.used_bytes -= bytes;
        self.budget.release(bytes);
        inbox.tell();
        let has_room = inbox.is_room_wanted && !inbox.is_above_mark();
        inbox.is_room_wanted &= !has_room;
        has_room
    }

    /// Tells the sender at `side` that its receiver has room.
    fn drained(&self, side: Side) {
        let mut inbox = self.inbox(side);
        inbox.is_drain_due = true;
        inbox.tell();
    }

    /// Throws away what is queued for an end that is gone, and what it had taken but not counted off.
    fn empty(&self, side: Side, batch: VecDeque<Message>, taken: (usize, usize)) {
        let mut inbox = self.inbox(side);
        inbox.is_closed = true;
        inbox.owner = None;
        let messages = std::mem::take(&mut inbox.messages);
        let all = batch.iter().chain(&messages);
        let (count, bytes) = all.fold(taken, |(count, bytes), message| (count + 1, bytes + message.cost()));
        self.release(&mut inbox, count, bytes);
        drop(inbox);
        discard(batch.into_iter().chain(messages));
    }

    /// Empties a channel that nobody can reach any more.
    pub(super) fn abandon(&self) {
        for side in [Side::First, Side::Second] {
            self.empty(side, VecDeque::new(), (0, 0));
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.budget.leave(self.number);
    }
}

/// One end of a channel, owned by an isolate or on its way. Dropping it closes the channel.
#[derive(Debug)]
pub struct PortEnd {
    channel: Arc<Channel>,
    side: Side,
    /// What the next receives take.
    batch: VecDeque<Message>,
    /// Number and cost of what was taken out of the batch and is still counted in the queue.
    taken: (usize, usize),
}

/// The two ends of a new channel of a process.
pub fn entangle(group: &IsolateGroup) -> [PortEnd; 2] {
    let budget = &group.queues;
    let channel = Arc::new_cyclic(|channel| Channel {
        queues: Default::default(),
        budget: Arc::clone(budget),
        number: budget.enter(channel),
    });
    [Side::First, Side::Second].map(|side| PortEnd {
        channel: Arc::clone(&channel),
        side,
        batch: VecDeque::new(),
        taken: (0, 0),
    })
}

impl Drop for PortEnd {
    fn drop(&mut self) {
        self.channel.close(self.side);
        let batch = std::mem::take(&mut self.batch);
        self.channel.empty(self.side, batch, self.taken);
    }
}

impl PortEnd {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.channel.inbox(self.side)
    }

    /// Sends a message to the other end; on a closed channel it is dropped.
    pub fn post(&self, only_if_room: bool, message: Message) -> Result<Posted, Refusal> {
        self.channel.post(self.side.other(), only_if_room, message)
    }

    /// Reserves a place for a message that is yet to be made, so that making it can take things away for good.
    pub fn reserve(&self, only_if_room: bool, cost: usize) -> Result<Place, Refusal> {
        let to = self.side.other();
        let is_admitted = self.channel.admit(&mut self.channel.inbox(to), cost, only_if_room)?;
        Ok(Place {
            channel: Arc::clone(&self.channel),
            to,
            cost: if is_admitted { cost } else { 0 },
        })
    }

    /// Whether this is the other end of the channel of `end`.
    pub fn is_peer_of(&self, end: &PortEnd) -> bool {
        Arc::ptr_eq(&self.channel, &end.channel) && self.side != end.side
    }

    /// Whether it can still move: its owner has not closed it nor heard of its close.
    pub fn can_move(&self) -> bool {
        let inbox = self.inbox();
        !inbox.is_closed_here && !inbox.is_close_told
    }

    /// From now on events go to `owner`.
    pub fn attach(&self, owner: Owner) {
        let mut inbox = self.inbox();
        inbox.owner = Some(owner);
        inbox.tell();
    }

    /// Takes it from its owner, with all that is queued for it.
    pub fn detach(&mut self) {
        let mut inbox = self.channel.inbox(self.side);
        while let Some(message) = self.batch.pop_back() {
            inbox.messages.push_front(message);
        }
        inbox.owner = None;
        inbox.is_started = false;
        inbox.is_notified = false;
        inbox.is_message_pending = false;
        inbox.is_drain_pending = false;
        drop(inbox);
        self.count_off();
    }

    /// Counts off what was consumed.
    fn count_off(&mut self) {
        let (messages, bytes) = std::mem::take(&mut self.taken);
        let has_room = self.channel.release(&mut self.inbox(), messages, bytes);
        if has_room {
            self.channel.drained(self.side.other());
        }
    }

    /// Begins delivery, or asks for another event.
    pub fn start(&self) {
        let mut inbox = self.inbox();
        inbox.is_started = true;
        inbox.is_notified = false;
        inbox.tell();
    }

    /// Ends delivery.
    pub fn stop(&self) {
        let mut inbox = self.inbox();
        inbox.is_started = false;
        inbox.tell();
    }

    /// Ends sending in both directions.
    pub fn close(&self) {
        self.channel.close(self.side);
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        !self.inbox().is_closed
    }

    /// The oldest message. When there is none, the next one gives an event again.
    pub fn peek(&mut self) -> Option<&Message> {
        if self.batch.is_empty() {
            self.fetch();
        }
        self.batch.front()
    }

    fn fetch(&mut self) {
        let mut inbox = self.channel.inbox(self.side);
        let mut bytes = 0;
        let is_within = |message: &&Message| {
            let fits = bytes < BATCH_BYTES;
            bytes += message.cost();
            fits
        };
        let candidates = inbox.messages.iter().take(BATCH_MESSAGES);
        let count = candidates.take_while(is_within).count();
        if count == inbox.messages.len() {
            std::mem::swap(&mut self.batch, &mut inbox.messages);
        } else {
            self.batch.extend(inbox.messages.drain(..count));
        }
        if count == 0 {
            inbox.is_notified = false;
        }
    }

    /// Takes the message that [`Self::peek`] showed.
    pub fn take(&mut self) -> Option<Message> {
        let message = self.batch.pop_front()?;
        self.taken.0 += 1;
        self.taken.1 += message.cost();
        if self.batch.is_empty() {
            self.count_off();
        }
        Some(message)
    }

    /// What somebody who waits for a message has to await.
    pub fn watch(&mut self) -> Watch {
        if self.peek().is_some() {
            return Watch::Ready;
        }
        let mut inbox = self.channel.inbox(self.side);
        if !inbox.messages.is_empty() {
            return Watch::Ready;
        }
        if inbox.is_closed {
            return Watch::Closed;
        }
        inbox.is_waited_for = true;
        Watch::Waiting(Arrival {
            channel: Arc::clone(&self.channel),
            side: self.side,
        })
    }

    /// The guest is about to get an event of this port.
    pub fn delivered(&self, record: &mut EventRecord) {
        let mut inbox = self.inbox();
        match EventKind::from_number(record.kind) {
            Some(EventKind::Message) => {
                inbox.is_message_pending = false;
                record.args[0] = inbox.used_messages as u64;
            }
            Some(EventKind::PortDrain) => inbox.is_drain_pending = false,
            _ => {}
        }
    }
}

/// A place reserved in a queue. Dropped without a message it is given back.
#[derive(Debug)]
pub struct Place {
    channel: Arc<Channel>,
    to: Side,
    /// What is reserved; 0 when the channel is closed.
    cost: usize,
}

impl Place {
    /// Queues the message; drops it when the channel was closed meanwhile.
    pub fn fill(mut self, message: Message) -> Posted {
        let mut inbox = self.channel.inbox(self.to);
        if self.cost > 0 && !inbox.is_closed {
            self.cost = 0;
            return self.channel.push(self.to, &mut inbox, message);
        }
        drop(inbox);
        discard([message]);
        Posted::Room
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.cost > 0 {
            let has_room = self.channel.release(&mut self.channel.inbox(self.to), 1, self.cost);
            if has_room {
                self.channel.drained(self.to.other());
            }
        }
    }
}

/// Whether a receive would give a message.
#[derive(Debug)]
pub enum Watch {
    /// Yes.
    Ready,
    /// No, and never again.
    Closed,
    /// Not yet.
    Waiting(Arrival),
}

/// The arrival of a message, or the end of the channel.
#[derive(Debug)]
pub struct Arrival {
    channel: Arc<Channel>,
    side: Side,
}

impl Arrival {
    /// Ends when something may have arrived.
    pub async fn wait(self) {
        self.channel.queue(self.side).arrived.notified().await;
    }
}
