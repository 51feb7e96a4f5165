//! `postMessageToThread`: from any thread of a process to any other, past the main thread.
//!
//! Every message has a receipt. Whoever holds it last answers the sender: the receiver when its listeners have run,
//! the receipt itself when it is dropped because the receiver ended, or the timer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::limits::{THREAD_MESSAGES_BYTES_MAX, THREAD_MESSAGES_LEN_MAX};

use crate::handles::Handle;
use crate::messaging::{Charge, Message};
use crate::runtime::{IsolateShared, ThreadId};
use crate::spawn_tied::Tied;

/// The answer to a request: given once, to the sender's handle.
#[derive(Debug)]
struct Answer {
    sender: Arc<IsolateShared>,
    handle: Handle,
    given: AtomicBool,
}

impl Answer {
    fn give(&self, error: Option<ErrorCode>) {
        if !self.given.swap(true, Ordering::AcqRel) {
            let number = error.map_or(0, |code| u64::from(code.number()));
            self.sender.events.push_counted(EventRecord::new(
                EventKind::ThreadMessageDone,
                self.handle.number(),
                [0, number, 0],
            ));
        }
    }
}

/// Kept by the receiver while it processes a message. Dropping it says that the message was not processed.
#[derive(Debug)]
pub struct Receipt(Arc<Answer>);

impl Receipt {
    /// Tells the sender what became of its message.
    pub fn settle(self, error: Option<ErrorCode>) {
        self.0.give(error);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.0.give(Some(ErrorCode::WorkerMessagingFailed));
    }
}

/// A message on its way.
#[derive(Debug)]
pub struct ThreadMessage {
    /// The thread that sent it.
    pub source: ThreadId,
    /// What it sent.
    pub message: Message,
    /// Paid by the sender until the message is taken.
    pub charge: Charge,
    /// How it hears of the outcome.
    pub receipt: Receipt,
}

/// The sender's side of a request. Dropping it stops the timer; the message may still arrive.
#[derive(Debug)]
pub struct ThreadMessageRequest {
    _timer: Option<Tied>,
}

/// The messages that wait for one thread.
#[derive(Debug, Default)]
pub struct ThreadMessages {
    state: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<ThreadMessage>,
    bytes: usize,
    /// Lowers the bound of `bytes`.
    bytes_max: Option<usize>,
    /// Whether the thread has listeners.
    is_listening: bool,
    /// Whether the thread knows of messages that it has not taken yet.
    is_told: bool,
    /// Whether the event that tells it is still queued.
    is_event_queued: bool,
    /// The thread has ended.
    is_closed: bool,
}

impl Queue {
    /// One event at most is under way.
    fn tell(&mut self, owner: &IsolateShared) {
        self.is_told = true;
        if !std::mem::replace(&mut self.is_event_queued, true) {
            let record = EventRecord::new(EventKind::ThreadMessage, 0, [0; 3]);
            owner.events.push_counted(record);
        }
    }
}

impl ThreadMessages {
    /// Says whether the thread `owner` has listeners, and how many bytes may wait for them if there is a limit. Without
    /// any, what waits is answered `FAILED`; with some it is told again of what waits.
    pub fn listen(&self, owner: &IsolateShared, on: bool, bytes_max: Option<usize>) {
        let mut queue = self.lock();
        queue.is_listening = on;
        queue.bytes_max = bytes_max;
        if on {
            if !queue.messages.is_empty() {
                queue.tell(owner);
            }
        } else {
            let dropped = std::mem::take(&mut queue.messages);
            queue.bytes = 0;
            drop(queue);
            drop(dropped);
        }
    }

    /// The thread has ended: what waits is answered.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        let dropped = std::mem::take(&mut queue.messages);
        drop(queue);
        drop(dropped);
    }

    /// The thread gets the event now.
    pub fn delivered(&self) {
        self.lock().is_event_queued = false;
    }

    /// The oldest message. `None`: the next one is told by an event.
    pub fn take(&self) -> Option<ThreadMessage> {
        let mut queue = self.lock();
        let Some(message) = queue.messages.pop_front() else {
            queue.is_told = false;
            return None;
        };
        queue.bytes -= message.message.cost();
        Some(message)
    }

    /// The oldest message comes back because its receiver had no room for it.
    pub fn put_back(&self, message: ThreadMessage) {
        let mut queue = self.lock();
        queue.bytes += message.message.cost();
        queue.messages.push_front(message);
    }

    fn push(&self, receiver: &IsolateShared, message: ThreadMessage) {
        let mut queue = self.lock();
        let bytes = queue.bytes + message.message.cost();
        let bytes_max = queue
            .bytes_max
            .map_or(THREAD_MESSAGES_BYTES_MAX, |max| max.min(THREAD_MESSAGES_BYTES_MAX));
        let is_full = queue.messages.len() >= THREAD_MESSAGES_LEN_MAX || bytes > bytes_max;
        if queue.is_closed || !queue.is_listening || is_full {
            drop(queue);
            // Its receipt answers.
            drop(message);
            return;
        }
        queue.bytes = bytes;
        queue.messages.push_back(message);
        if !queue.is_told {
            queue.tell(receiver);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a message to a thread; `handle` of the sender hears the outcome. A message that does not fit the receiver's
/// queue, or what the sender and the process may have queued, has failed.
pub fn post(
    sender: &Arc<IsolateShared>,
    handle: Handle,
    target: Option<Arc<IsolateShared>>,
    message: Message,
    timeout: Option<Duration>,
) -> ThreadMessageRequest {
    let answer = Arc::new(Answer {
        sender: Arc::clone(sender),
        handle,
        given: AtomicBool::new(false),
    });
    let timer = timeout.map(|timeout| {
        let answer = Arc::clone(&answer);
        Tied::spawn(async move {
            tokio::time::sleep(timeout).await;
            answer.give(Some(ErrorCode::WorkerMessagingTimeout));
        })
    });
    let receipt = Receipt(answer);
    if let Some(target) = target
        && let Some(charge) = sender.queued.hold(message.cost())
    {
        let message = ThreadMessage {
            source: sender.thread,
            message,
            charge,
            receipt,
        };
        target.thread_messages.push(&target, message);
    }
    ThreadMessageRequest { _timer: timer }
}
