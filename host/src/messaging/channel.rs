//! Channels. The queue of each direction lies in the channel, so that a port can change its owner with all that is
//! on its way to it.
//!
//! Locks: the two queues of a channel are never locked together; events are pushed under the lock of a queue; no
//! message and no owner is dropped under one, because that may close ports, or end the process with all its channels.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventKind;
use nodule_abi::limits::{QUEUE_BYTES_MAX, QUEUE_HIGH_BYTES, QUEUE_HIGH_MESSAGES};
use tokio::sync::Notify;

use super::message::{Message, discard};
use super::{Account, Owner, QueueBudget, queue_full};
use crate::host_error::HostError;

/// One of the two ends of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    First,
    Second,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A channel: what is on its way to each of its ends.
#[derive(Debug)]
pub struct Channel {
    pub queues: [Queue; 2],
    pub budget: Arc<QueueBudget>,
    pub number: u64,
}

#[derive(Debug, Default)]
pub struct Queue {
    inbox: Mutex<Inbox>,
    /// For a receiver that waits without an event.
    pub arrived: Notify,
}

/// What one end receives.
#[derive(Debug, Default)]
pub struct Inbox {
    pub messages: VecDeque<Message>,
    /// Number and cost of what is queued, what the receiver has in its batch included.
    pub used_messages: usize,
    used_bytes: usize,
    /// Who pays for the bytes, in the order of the messages; nobody for those of a port without an owner.
    payers: VecDeque<(Option<Arc<Account>>, usize)>,
    /// How many of the queued messages have ports in them.
    pub carriers: usize,
    /// Where the events go; none while the end is on its way.
    pub owner: Option<Owner>,
    pub is_started: bool,
    /// Its owner was told of messages and has not seen the queue empty since.
    pub is_notified: bool,
    /// A `Message` event lies in the owner's event queue.
    pub is_message_pending: bool,
    /// Nothing is added any more.
    pub is_closed: bool,
    /// Its own end closed it.
    pub is_closed_here: bool,
    pub is_close_told: bool,
    /// A sender was told to wait for room.
    is_room_wanted: bool,
    /// Its owner, as a sender, is to hear of room.
    is_drain_due: bool,
    /// A `PortDrain` event lies in the owner's event queue.
    pub is_drain_pending: bool,
    /// Somebody waits on `arrived`.
    pub is_waited_for: bool,
    /// Hears of every change: what carries the messages of this end to another process.
    pub bridge: Option<Arc<Notify>>,
}

impl Inbox {
    fn is_above_mark(&self) -> bool {
        let bytes = self.bound(QUEUE_HIGH_BYTES);
        self.used_bytes >= bytes || self.used_messages >= QUEUE_HIGH_MESSAGES
    }

    /// As much of `bytes` as the owner's own bound allows.
    pub fn bound(&self, bytes: usize) -> usize {
        let own = self.owner.as_ref().and_then(|owner| owner.queue_bytes_max);
        own.map_or(bytes, |own| own.min(bytes))
    }

    fn pay(&mut self, payer: Option<&Arc<Account>>, bytes: usize) {
        let number = |payer: Option<&Arc<Account>>| payer.map(Arc::as_ptr);
        match self.payers.back_mut() {
            Some((last, owed)) if number(last.as_ref()) == number(payer) => *owed += bytes,
            // The last one stays when all is paid, because it is likely to come again.
            Some(last) if last.1 == 0 => *last = (payer.cloned(), bytes),
            _ => self.payers.push_back((payer.cloned(), bytes)),
        }
    }

    fn give_back(&mut self, budget: &QueueBudget, mut bytes: usize) {
        while let Some((payer, owed)) = self.payers.front_mut() {
            let part = bytes.min(*owed);
            *owed -= part;
            bytes -= part;
            match payer {
                Some(payer) => payer.release(part),
                None => budget.release(part),
            }
            if bytes == 0 {
                return;
            }
            self.payers.pop_front();
        }
    }

    /// Gives the owner the events that are due.
    pub fn tell(&mut self) {
        if let Some(bridge) = &self.bridge {
            bridge.notify_one();
        }
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
            Refusal::ProcessFull => {
                queue_full("the queues of the process, or the share of this isolate in them, are full").into()
            }
        }
    }
}

impl Channel {
    pub fn queue(&self, side: Side) -> &Queue {
        match side {
            Side::First => &self.queues[0],
            Side::Second => &self.queues[1],
        }
    }

    pub fn inbox(&self, side: Side) -> MutexGuard<'_, Inbox> {
        self.queue(side).inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiter(&self, side: Side, inbox: &mut Inbox) {
        if std::mem::take(&mut inbox.is_waited_for) {
            self.queue(side).arrived.notify_one();
        }
    }

    /// Whether `cost` more can be queued for `to`; takes them from the budget. `false` when the channel is closed.
    fn admit(
        &self,
        inbox: &mut Inbox,
        cost: usize,
        only_if_room: bool,
        payer: Option<&Arc<Account>>,
    ) -> Result<bool, Refusal> {
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
        let fits = match payer {
            Some(payer) => payer.charge(cost),
            None => self.budget.charge(cost),
        };
        if !fits {
            return Err(Refusal::ProcessFull);
        }
        inbox.pay(payer, cost);
        inbox.used_bytes = used;
        inbox.used_messages += 1;
        Ok(true)
    }

    /// As [`Channel::admit`], with the queue. When the process is full, what nobody can reach is thrown away first.
    pub fn admitted(
        &self,
        to: Side,
        cost: usize,
        only_if_room: bool,
        payer: Option<&Arc<Account>>,
    ) -> Result<Option<MutexGuard<'_, Inbox>>, Refusal> {
        let attempt = || {
            let mut inbox = self.inbox(to);
            let is_open = self.admit(&mut inbox, cost, only_if_room, payer)?;
            Ok(is_open.then_some(inbox))
        };
        match attempt() {
            Err(Refusal::ProcessFull) if self.budget.collect() => attempt(),
            outcome => outcome,
        }
    }

    /// Adds an admitted message.
    fn push(&self, to: Side, inbox: &mut Inbox, message: Message) -> Posted {
        if message.has_ports() {
            inbox.carriers += 1;
            self.budget.add_carriers(1);
        }
        inbox.messages.push_back(message);
        inbox.tell();
        self.wake_waiter(to, inbox);
        let is_above = inbox.is_above_mark();
        inbox.is_room_wanted |= is_above;
        if is_above { Posted::AboveMark } else { Posted::Room }
    }

    /// Queues a message for `to`; on a closed channel it is dropped.
    pub fn post(
        &self,
        to: Side,
        only_if_room: bool,
        payer: Option<&Arc<Account>>,
        message: Message,
    ) -> Result<Posted, Refusal> {
        match self.admitted(to, message.cost(), only_if_room, payer) {
            Ok(Some(mut inbox)) => Ok(self.push(to, &mut inbox, message)),
            refused => {
                let refused = refused.map(drop);
                discard([message]);
                refused.map(|_| Posted::Room)
            }
        }
    }

    /// Ends sending in both directions.
    pub fn close(&self, from: Side) {
        for side in [from, from.other()] {
            let mut inbox = self.inbox(side);
            inbox.is_closed = true;
            inbox.is_closed_here |= side == from;
            inbox.tell();
            self.wake_waiter(side, &mut inbox);
        }
    }

    /// Counts off what a receiver has consumed; gives whether the sender is to hear of room.
    pub fn release(&self, inbox: &mut Inbox, messages: usize, bytes: usize) -> bool {
        inbox.used_messages -= messages;
        inbox.used_bytes -= bytes;
        inbox.give_back(&self.budget, bytes);
        inbox.tell();
        let has_room = inbox.is_room_wanted && !inbox.is_above_mark();
        inbox.is_room_wanted &= !has_room;
        has_room
    }

    /// Tells the sender at `side` that its receiver has room.
    pub fn drained(&self, side: Side) {
        let mut inbox = self.inbox(side);
        inbox.is_drain_due = true;
        inbox.tell();
    }

    /// Throws away what is queued for an end that is gone, and what it had taken but not counted off.
    pub fn empty(&self, side: Side, batch: VecDeque<Message>, taken: (usize, usize)) {
        let mut inbox = self.inbox(side);
        inbox.is_closed = true;
        let owner = inbox.owner.take();
        inbox.bridge = None;
        let messages = std::mem::take(&mut inbox.messages);
        self.budget.remove_carriers(std::mem::take(&mut inbox.carriers));
        let all = batch.iter().chain(&messages);
        let (count, bytes) = all.fold(taken, |(count, bytes), message| (count + 1, bytes + message.cost()));
        self.release(&mut inbox, count, bytes);
        drop(inbox);
        drop(owner);
        discard(batch.into_iter().chain(messages));
    }

    /// Whether one of its ends is in another process.
    pub fn is_bridged(&self) -> bool {
        [Side::First, Side::Second]
            .into_iter()
            .any(|side| self.inbox(side).bridge.is_some())
    }

    /// Empties a channel that nobody can reach any more.
    pub fn abandon(&self) {
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

/// A place reserved in a queue. Dropped without a message it is given back.
#[derive(Debug)]
pub struct Place {
    pub channel: Arc<Channel>,
    pub to: Side,
    /// What is reserved; 0 when the channel is closed.
    pub cost: usize,
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
