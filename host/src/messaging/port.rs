//! Ports: the ends of channels. An end is owned by an isolate, or lies in a message that is on its way to one.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};

use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::limits::{IPC_DESCRIPTORS_MAX, QUEUE_BYTES_MAX};
use tokio::sync::Notify;

use super::channel::{Channel, Inbox, Place, Posted, Refusal, Side};
use super::message::{Message, cost};
use super::{Account, Owner, QueueBudget};
use crate::runtime::IsolateGroup;

/// What a receiver takes out of the queue at once.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// One end of a channel, owned by an isolate or on its way. Dropping it closes the channel.
#[derive(Debug)]
pub struct PortEnd {
    channel: Arc<Channel>,
    side: Side,
    /// Who pays for what it sends: its owner.
    payer: Option<Arc<Account>>,
    /// What the next receives take.
    batch: VecDeque<Message>,
    /// Number and cost of what was taken out of the batch and is still counted in the queue.
    taken: (usize, usize),
}

/// The two ends of a new channel of a process.
pub fn entangle(group: &IsolateGroup) -> [PortEnd; 2] {
    entangle_in(&group.queues)
}

/// The two ends of a new channel of the process with these queues.
pub fn entangle_in(budget: &Arc<QueueBudget>) -> [PortEnd; 2] {
    let channel = Arc::new_cyclic(|channel| Channel {
        queues: Default::default(),
        budget: Arc::clone(budget),
        number: budget.enter(channel),
    });
    [Side::First, Side::Second].map(|side| PortEnd {
        channel: Arc::clone(&channel),
        side,
        payer: None,
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
        self.channel
            .post(self.side.other(), only_if_room, self.payer.as_ref(), message)
    }

    /// Reserves a place for a message that is yet to be made, so that making it can take things away for good.
    pub fn reserve(&self, only_if_room: bool, cost: usize) -> Result<Place, Refusal> {
        let to = self.side.other();
        let admitted = self.channel.admitted(to, cost, only_if_room, self.payer.as_ref())?;
        let is_admitted = admitted.is_some();
        drop(admitted);
        Ok(Place {
            channel: Arc::clone(&self.channel),
            to,
            cost: if is_admitted { cost } else { 0 },
        })
    }

    /// It belongs to no isolate, but to what carries its messages to another process and hears of every change.
    pub fn bridge(&mut self, payer: Arc<Account>, changed: Arc<Notify>) {
        self.payer = Some(payer);
        let mut inbox = self.inbox();
        inbox.bridge = Some(changed);
        inbox.tell();
    }

    /// Most bytes of one message from another process that the other end takes.
    pub fn peer_bytes_max(&self) -> usize {
        let bound = self.channel.inbox(self.side.other()).bound(QUEUE_BYTES_MAX);
        bound.saturating_sub(cost(0, IPC_DESCRIPTORS_MAX))
    }

    /// The number of its channel.
    pub fn channel_number(&self) -> u64 {
        self.channel.number
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
    pub fn attach(&mut self, owner: Owner) {
        self.payer = Some(Arc::clone(&owner.shared.queued));
        let _moving = self.channel.budget.move_port();
        let mut inbox = self.inbox();
        inbox.owner = Some(owner);
        inbox.tell();
    }

    /// Takes it from its owner, with all that is queued for it.
    pub fn detach(&mut self) {
        self.payer = None;
        let moving = self.channel.budget.move_port();
        let mut inbox = self.channel.inbox(self.side);
        let carriers = self.batch.iter().filter(|message| message.has_ports()).count();
        inbox.carriers += carriers;
        self.channel.budget.add_carriers(carriers);
        while let Some(message) = self.batch.pop_back() {
            inbox.messages.push_front(message);
        }
        let owner = inbox.owner.take();
        inbox.is_started = false;
        inbox.is_notified = false;
        inbox.is_message_pending = false;
        inbox.is_drain_pending = false;
        drop(inbox);
        drop(moving);
        drop(owner);
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
        if inbox.carriers > 0 {
            let carriers = self.batch.iter().filter(|message| message.has_ports()).count();
            inbox.carriers -= carriers;
            self.channel.budget.remove_carriers(carriers);
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
