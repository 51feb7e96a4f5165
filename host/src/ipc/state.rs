//! The state of a channel, behind its lock: what waits to be sent, what was received, what its owner is told.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodule_abi::error::ErrorCode;
use nodule_abi::limits::{IPC_DESCRIPTORS_MAX, IPC_INBOX_BYTES};
use rustix::io::Errno;

use super::events::{Events, Situation};
use super::internal::command;
use super::native_handle::NativeHandle;
use super::outbox::{Answered, Backlog, Outbox, Outgoing, SLICES_MAX};
use super::resources::Along;
use super::socket::Socket;
use super::wire::{Payload, Serialization};

/// How long a process that ends waits for a reader that reads nothing.
pub const LINGER_LIMIT: Duration = Duration::from_secs(2);

/// Most answers that wait to be written; while there are so many nothing is read that could ask for more.
const ANSWERS_MAX: usize = 64;

/// Most bytes one call writes; more is left to the task.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// What a received message costs beside its bytes.
const MESSAGE_BYTES: usize = 96;

/// Read beyond what was unread when the other side ended, so that its end is seen.
const DRAIN_SLACK_BYTES: usize = 64 * 1024;

/// A received message.
#[derive(Debug)]
pub struct Incoming {
    /// JSON text or a CBOR item.
    pub payload: Payload,
    /// The native handle that came with it.
    pub handle: Option<NativeHandle>,
    /// The resources that came with it.
    pub along: Along,
}

impl Incoming {
    fn descriptors(&self) -> usize {
        usize::from(self.handle.is_some()) + self.along.count()
    }
}

/// What a guest needs to fetch a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    pub bytes: usize,
    pub resources: usize,
    pub has_handle: bool,
    /// There is an error instead of the message.
    pub is_refused: bool,
}

/// What the other side wants.
#[derive(Debug)]
pub enum Step {
    /// A message for the guest.
    Message(Incoming),
    /// A message whose handle arrived.
    WithHandle(Incoming),
    /// A message whose handle did not arrive: it comes again.
    WithoutHandle,
    /// The handle under way has arrived there.
    Acknowledged,
    /// It has not.
    Refused,
}

/// How far a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Messages go both ways.
    Open,
    /// The other side takes nothing any more; what it sent before is still read.
    Broken,
    /// This side closes it once everything is sent.
    Closing,
    /// Nothing goes any way.
    Over,
}

/// What the task has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it is over.
    End,
    Wait {
        /// Something to read.
        read: bool,
        /// Room to write.
        write: bool,
        /// This moment.
        until: Option<Instant>,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Under which number an event tells that it is written; 0 when none was asked for.
    pub request: u32,
    /// Whether the sender should go on.
    pub backlog: Backlog,
}

/// Whether an event is to tell that a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    Yes,
    No,
}

/// See the module.
#[derive(Debug)]
pub struct State {
    pub phase: Phase,
    pub outbox: Outbox,
    pub events: Events,
    serialization: Serialization,
    socket: Option<Arc<Socket>>,
    /// The socket takes no more now.
    is_blocked: bool,
    last_request: u64,
    inbox: VecDeque<Incoming>,
    inbox_bytes: usize,
    inbox_handles: usize,
    /// The task reads nothing because the inbox is full.
    is_paused: bool,
    /// So many bytes are read however full the inbox is: the other side has ended, and its end lies behind them.
    allowance: usize,
    /// Nobody holds the channel any more: what is left of it ends then, unless it makes progress.
    linger_until: Option<Instant>,
    /// Handles that were given up, to be warned of.
    lost_handles: usize,
}

impl State {
    pub fn new(socket: Arc<Socket>, serialization: Serialization) -> Self {
        Self {
            phase: Phase::Open,
            outbox: Outbox::default(),
            events: Events::default(),
            serialization,
            socket: Some(socket),
            is_blocked: false,
            last_request: 0,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            inbox_handles: 0,
            is_paused: false,
            allowance: 0,
            linger_until: None,
            lost_handles: 0,
        }
    }

    /// Whether a message of so many bytes and descriptors would be accepted now. If not for room, an event tells of it.
    pub fn check_send(&mut self, bytes: usize, descriptors: usize, notify: Notify) -> Result<(), ErrorCode> {
        if self.phase != Phase::Open {
            return Err(ErrorCode::IpcChannelClosed);
        }
        let has_room = self.outbox.has_room(bytes, descriptors) && (notify == Notify::No || self.events.has_room());
        if !has_room {
            self.events.wants_drain();
            return Err(ErrorCode::IpcBackpressure);
        }
        Ok(())
    }

    /// Sends a message that [`Self::check_send`] admitted, at once when nothing is before it. What is left is the task's. What
    /// moved with it is gone for the sender: when the channel was closed meanwhile, it is a message that is not written.
    pub fn send(&mut self, mut message: Outgoing, notify: Notify) -> Sent {
        let mut request = 0;
        if notify == Notify::Yes {
            self.last_request += 1;
            message.request = Some(self.last_request);
            request = u32::try_from(self.last_request & u64::from(u32::MAX)).unwrap_or(0);
        }
        let backlog = match self.phase {
            Phase::Open => self.outbox.push(message),
            Phase::Broken | Phase::Closing | Phase::Over => {
                self.outbox.refuse(message, ErrorCode::IpcChannelClosed);
                Backlog::Long
            }
        };
        self.flush();
        Sent { request, backlog }
    }

    /// Writes what can be written now.
    pub fn flush(&mut self) {
        let mut budget = WRITE_BYTES_MAX;
        while let Some(socket) = &self.socket
            && !self.is_blocked
            && !self.outbox.is_written_out()
        {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let (count, descriptors) = self.outbox.gather(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
            let has_descriptors = !descriptors.is_empty();
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            match socket.send(slices, &descriptors) {
                Ok(bytes) => {
                    self.outbox.wrote(bytes);
                    self.has_progressed();
                    budget = budget.saturating_sub(bytes);
                    // It took a part, so it is full. Once all is written nobody would wait for room.
                    self.is_blocked = bytes < wanted || (budget == 0 && !self.outbox.is_written_out());
                }
                Err(Errno::WOULDBLOCK) => self.is_blocked = true,
                // Too many descriptors are on their way already, or this one cannot be.
                Err(error @ (Errno::TOOMANYREFS | Errno::BADF | Errno::INVAL)) if has_descriptors => {
                    self.outbox.reject_first(ErrorCode::from_errno(error.raw_os_error()));
                }
                Err(error) => self.is_broken(ErrorCode::from_errno(error.raw_os_error())),
            }
        }
        self.report();
    }

    /// The task found that the socket has room.
    pub fn unblock(&mut self) {
        self.is_blocked = false;
        self.flush();
    }

    fn has_progressed(&mut self) {
        if let Some(until) = &mut self.linger_until {
            *until = Instant::now() + LINGER_LIMIT;
        }
    }

    fn is_broken(&mut self, error: ErrorCode) {
        self.outbox.fail(error);
        if self.phase == Phase::Open {
            self.phase = Phase::Broken;
        }
    }

    /// Tells the owner what is due.
    pub fn report(&mut self) {
        self.events.add_results(self.outbox.take_completions());
        self.events.tell(Situation {
            has_messages: !self.inbox.is_empty(),
            has_room: self.outbox.is_half_empty() && self.events.has_room(),
        });
    }

    /// Takes in what was read, in order; gives whether more may be read now.
    pub fn apply(&mut self, steps: impl IntoIterator<Item = Step>, bytes_read: usize) -> bool {
        if self.phase == Phase::Over {
            return false;
        }
        self.allowance = self.allowance.saturating_sub(bytes_read);
        // Nobody is left to take messages, but answers are waited for.
        let is_abandoned = self.linger_until.is_some();
        for step in steps {
            match step {
                Step::Message(_) | Step::WithHandle(_) | Step::WithoutHandle if is_abandoned => {}
                Step::Message(message) => self.deliver(message),
                Step::WithHandle(message) => {
                    self.answer("NODE_HANDLE_ACK");
                    self.deliver(message);
                }
                Step::WithoutHandle => self.answer("NODE_HANDLE_NACK"),
                Step::Acknowledged => {
                    if self.outbox.acknowledged() == Answered::Settled {
                        self.has_progressed();
                    }
                }
                Step::Refused => match self.outbox.refused() {
                    Answered::Settled => self.has_progressed(),
                    Answered::Lost => self.lost_handles += 1,
                    Answered::Unasked => {}
                },
            }
        }
        self.flush();
        self.may_read(false)
    }

    fn deliver(&mut self, message: Incoming) {
        self.inbox_bytes += MESSAGE_BYTES + message.payload.len();
        self.inbox_handles += message.descriptors();
        self.inbox.push_back(message);
    }

    fn answer(&mut self, cmd: &str) {
        if matches!(self.phase, Phase::Open | Phase::Closing) {
            self.outbox.answer(command(self.serialization, cmd));
        }
    }

    fn inbox_bound(&self) -> usize {
        let own = self.events.queue_bytes_max();
        own.map_or(IPC_INBOX_BYTES, |own| own.min(IPC_INBOX_BYTES))
    }

    /// Whether the inbox takes more: one message however long, more within the bounds.
    fn may_read(&self, is_mid_message: bool) -> bool {
        let is_within = self.inbox_bytes < self.inbox_bound() && self.inbox_handles < IPC_DESCRIPTORS_MAX;
        let has_room = self.inbox.is_empty() || is_within || self.allowance > 0;
        let completes = self.phase == Phase::Closing && is_mid_message;
        (has_room || completes) && self.outbox.answers() < ANSWERS_MAX
    }

    /// What the task has to do next.
    pub fn plan(&mut self, is_mid_message: bool) -> Plan {
        let is_sent = self.phase == Phase::Closing && self.outbox.is_empty();
        let completes = is_mid_message && self.linger_until.is_none();
        let is_late = self.linger_until.is_some_and(|until| until <= Instant::now());
        if (is_sent && !completes) || is_late {
            self.finish();
        }
        if self.phase == Phase::Over {
            return Plan::End;
        }
        let read = self.may_read(is_mid_message);
        self.is_paused = !read;
        Plan::Wait {
            read,
            write: self.is_blocked && !self.outbox.is_written_out(),
            until: self.linger_until,
        }
    }

    /// What the oldest message needs.
    pub fn peek(&mut self) -> Option<Needed> {
        if self.inbox.is_empty() {
            self.events.found_empty();
        }
        let message = self.inbox.front()?;
        Some(Needed {
            bytes: message.payload.len(),
            resources: message.along.count(),
            has_handle: message.handle.is_some(),
            is_refused: matches!(message.along, Along::Refused(_)),
        })
    }

    /// Takes the oldest message; gives also whether the task has to be woken to read on.
    pub fn take(&mut self) -> Option<(Incoming, bool)> {
        let message = self.inbox.pop_front()?;
        self.inbox_bytes -= MESSAGE_BYTES + message.payload.len();
        self.inbox_handles -= message.descriptors();
        let is_roomy = self.inbox_bytes <= self.inbox_bound() / 2 && self.inbox_handles <= IPC_DESCRIPTORS_MAX / 2;
        Some((message, self.is_paused && is_roomy))
    }

    /// Closes the channel once everything is sent.
    pub fn disconnect(&mut self) -> Result<(), ErrorCode> {
        if self.phase != Phase::Open {
            return Err(ErrorCode::IpcDisconnected);
        }
        self.phase = Phase::Closing;
        Ok(())
    }

    /// The other side has ended: what it wrote is read however full the inbox is.
    pub fn other_side_ended(&mut self) {
        if let Some(socket) = &self.socket {
            self.allowance = socket.unread_bytes().saturating_add(DRAIN_SLACK_BYTES);
        }
    }

    /// Nobody holds the channel any more. Gives what must not be dropped under the lock; what was accepted is still sent.
    pub fn abandon(&mut self) -> impl Sized + use<> {
        match self.phase {
            Phase::Open => self.phase = Phase::Closing,
            Phase::Broken => self.finish(),
            Phase::Closing | Phase::Over => {}
        }
        self.linger_until = Some(Instant::now() + LINGER_LIMIT);
        if self.outbox.is_empty() {
            self.finish();
        }
        self.inbox_bytes = 0;
        self.inbox_handles = 0;
        (self.events.detach(), std::mem::take(&mut self.inbox))
    }

    /// Ends it now: what is not sent is lost, what was received can be taken.
    pub fn finish(&mut self) {
        self.phase = Phase::Over;
        if let Some(socket) = self.socket.take() {
            socket.shut_down();
        }
        self.outbox.fail(ErrorCode::IpcChannelClosed);
        self.events.end();
        self.report();
    }

    /// Handles that were given up since the last call.
    pub fn take_lost_handles(&mut self) -> usize {
        std::mem::take(&mut self.lost_handles)
    }

    /// Whether the socket takes no more now.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }
}
