//! What is to be sent, and in which order: a pure state machine, without sockets.
//!
//! As in Node one handle is under way at a time. From the moment a message with a handle is accepted everything else is
//! held back until the other side has told what became of it; only what answers the other side goes ahead.

use std::collections::VecDeque;
use std::io::IoSlice;

use nodule_abi::error::ErrorCode;
use nodule_abi::limits::{IPC_BACKLOG_BYTES, IPC_DESCRIPTORS_MAX, IPC_QUEUE_BYTES_MAX};

use super::resources::Descriptor;

/// How often a handle that did not arrive is sent again, as in Node.
const REPEATS_MAX: u32 = 3;

/// What a queued message costs beside its bytes.
const MESSAGE_BYTES: usize = 96;

/// Most descriptors that wait, however short their messages are.
const DESCRIPTORS_MAX: usize = 16 * IPC_DESCRIPTORS_MAX;

/// Most frames of one write.
pub const SLICES_MAX: usize = 16;

/// A message on its way out.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The whole frame.
    pub frame: Vec<u8>,
    /// What goes along. Closed once it arrived, unless somebody else holds it too.
    pub descriptors: Vec<Descriptor>,
    /// Under which number it is reported written.
    pub request: Option<u64>,
}

impl Outgoing {
    fn cost(&self) -> usize {
        MESSAGE_BYTES + self.frame.len()
    }

    fn has_handle(&self) -> bool {
        !self.descriptors.is_empty()
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request.
    pub request: u64,
    /// Why the message was not written.
    pub error: Option<ErrorCode>,
}

#[derive(Debug)]
enum Entry {
    /// An answer to the other side.
    Answer(Vec<u8>),
    Message(Outgoing),
}

impl Entry {
    fn frame(&self) -> &[u8] {
        match self {
            Self::Answer(frame) => frame,
            Self::Message(message) => &message.frame,
        }
    }

    fn descriptors(&self) -> &[Descriptor] {
        match self {
            Self::Answer(_) => &[],
            Self::Message(message) => &message.descriptors,
        }
    }
}

/// What became of the handle that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It arrived, or is sent again.
    Settled,
    /// It did not arrive, however often it was sent, and was given up with its message.
    Lost,
    /// There is none: the other side answers what nobody asked.
    Unasked,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What is being written, the first from `written` on. Answers, then messages; a message with a handle is the last.
    ready: VecDeque<Entry>,
    written: usize,
    answers: usize,
    /// What waits for the answer about a handle.
    held: VecDeque<Outgoing>,
    /// A message with a handle is in `ready` or in `unanswered`.
    is_handle_out: bool,
    /// The message with a handle that is written.
    unanswered: Option<Outgoing>,
    repeats: u32,
    /// What the messages in both queues cost.
    cost: usize,
    /// Descriptors of messages that did not arrive yet.
    descriptors: usize,
    /// Bytes that are not written, of what need not wait for an answer.
    unwritten: usize,
    completions: Vec<Completion>,
}

impl Outbox {
    /// Whether a message of so many bytes and descriptors is accepted: one however long, more within the bounds.
    pub fn has_room(&self, bytes: usize, descriptors: usize) -> bool {
        let fits = self.cost == 0 || self.cost.saturating_add(MESSAGE_BYTES + bytes) <= IPC_QUEUE_BYTES_MAX;
        fits && (descriptors == 0 || self.descriptors + descriptors <= DESCRIPTORS_MAX)
    }

    /// Whether so much was written that who was refused may try again.
    pub fn is_half_empty(&self) -> bool {
        self.cost <= IPC_QUEUE_BYTES_MAX / 2 && self.descriptors <= DESCRIPTORS_MAX / 2
    }

    /// Whether so much waits that who can wait should.
    pub fn is_backlogged(&self) -> bool {
        self.cost >= IPC_BACKLOG_BYTES || self.descriptors >= IPC_DESCRIPTORS_MAX
    }

    /// Accepts a message. Gives what Node's `send` returns: whether the backlog is short, or, behind a handle, whether
    /// this is the first that waits.
    pub fn push(&mut self, message: Outgoing) -> Backlog {
        self.cost += message.cost();
        self.descriptors += message.descriptors.len();
        if self.is_handle_out {
            self.held.push_back(message);
            return Backlog::short_if(self.held.len() == 1);
        }
        self.make_ready(message);
        Backlog::short_if(self.unwritten < IPC_BACKLOG_BYTES)
    }

    fn make_ready(&mut self, message: Outgoing) {
        self.is_handle_out |= message.has_handle();
        self.unwritten += message.frame.len();
        self.ready.push_back(Entry::Message(message));
    }

    /// Adds an answer to the other side: it follows what is half written, and waits for nothing else.
    pub fn answer(&mut self, frame: Vec<u8>) {
        let is_message_begun = self.written > 0 && matches!(self.ready.front(), Some(Entry::Message(_)));
        let at = usize::from(is_message_begun) + self.answers;
        self.answers += 1;
        self.unwritten += frame.len();
        self.ready.insert(at.min(self.ready.len()), Entry::Answer(frame));
    }

    /// How many answers are not written.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Collects what the next write is made of; gives how many slices and what goes with the first byte.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> (usize, &'a [Descriptor]) {
        let Some(first) = self.ready.front() else {
            return (0, &[]);
        };
        let [slot, rest @ ..] = slices;
        *slot = IoSlice::new(first.frame().get(self.written..).unwrap_or_default());
        let descriptors = if self.written == 0 { first.descriptors() } else { &[] };
        if !descriptors.is_empty() {
            return (1, descriptors);
        }
        // The first byte of a frame with descriptors begins a write of its own.
        let more = self
            .ready
            .iter()
            .skip(1)
            .take_while(|entry| entry.descriptors().is_empty());
        let mut count = 1;
        for (slot, entry) in rest.iter_mut().zip(more) {
            *slot = IoSlice::new(entry.frame());
            count += 1;
        }
        (count, &[])
    }

    /// So many bytes of what [`Self::gather`] gave are written.
    pub fn wrote(&mut self, mut bytes: usize) {
        self.unwritten = self.unwritten.saturating_sub(bytes);
        while let Some(first) = self.ready.front() {
            let left = first.frame().len() - self.written;
            if bytes < left {
                self.written += bytes;
                return;
            }
            bytes -= left;
            self.written = 0;
            match self.ready.pop_front() {
                Some(Entry::Answer(_)) => self.answers -= 1,
                Some(Entry::Message(message)) => self.is_written(message),
                None => {}
            }
            if bytes == 0 {
                return;
            }
        }
    }

    fn is_written(&mut self, mut message: Outgoing) {
        self.cost -= message.cost();
        if let Some(request) = message.request.take() {
            self.completions.push(Completion { request, error: None });
        }
        if message.has_handle() {
            self.unanswered = Some(message);
        }
    }

    /// The other side has the handle.
    pub fn acknowledged(&mut self) -> Answered {
        match self.unanswered.take() {
            Some(message) => {
                self.descriptors -= message.descriptors.len();
                drop(message);
                self.release();
                Answered::Settled
            }
            None => Answered::Unasked,
        }
    }

    /// The other side has the message, and the handle did not arrive: sends it again, or gives it up.
    pub fn refused(&mut self) -> Answered {
        let Some(message) = self.unanswered.take() else {
            return Answered::Unasked;
        };
        if self.repeats < REPEATS_MAX {
            self.repeats += 1;
            self.cost += message.cost();
            self.make_ready(message);
            return Answered::Settled;
        }
        self.descriptors -= message.descriptors.len();
        drop(message);
        self.release();
        Answered::Lost
    }

    /// What was held back may go, up to the next handle.
    fn release(&mut self) {
        self.is_handle_out = false;
        self.repeats = 0;
        while !self.is_handle_out
            && let Some(message) = self.held.pop_front()
        {
            self.make_ready(message);
        }
    }

    /// The system refuses the first message for its descriptors: it is given up, those behind it are not.
    pub fn reject_first(&mut self, error: ErrorCode) {
        let Some(Entry::Message(message)) = self.ready.pop_front() else {
            return;
        };
        self.cost -= message.cost();
        self.descriptors -= message.descriptors.len();
        self.unwritten = self.unwritten.saturating_sub(message.frame.len());
        self.completions.extend(message.request.map(|request| Completion {
            request,
            error: Some(error),
        }));
        if message.has_handle() {
            self.release();
        }
    }

    /// What was accepted already cannot be sent.
    pub fn refuse(&mut self, message: Outgoing, error: ErrorCode) {
        self.completions.extend(message.request.map(|request| Completion {
            request,
            error: Some(error),
        }));
    }

    /// Gives everything up; the copies of handles are closed.
    pub fn fail(&mut self, error: ErrorCode) {
        let ready = std::mem::take(&mut self.ready).into_iter();
        let ready = ready.filter_map(|entry| match entry {
            Entry::Answer(_) => None,
            Entry::Message(message) => Some(message),
        });
        let messages = ready.chain(std::mem::take(&mut self.held));
        let requests = messages.filter_map(|message| message.request);
        let failed = requests.map(|request| Completion {
            request,
            error: Some(error),
        });
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(failed);
        *self = Self {
            completions,
            ..Self::default()
        };
    }

    /// Whether there is nothing to write now.
    pub fn is_written_out(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether everything is written, and no handle waits for its answer.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && !self.is_handle_out
    }

    /// What became of requests since the last call.
    pub fn take_completions(&mut self) -> Vec<Completion> {
        std::mem::take(&mut self.completions)
    }
}

/// Whether a sender should go on, as Node's `send` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// It may.
    Short,
    /// It should wait.
    Long,
}

impl Backlog {
    fn short_if(is_short: bool) -> Self {
        if is_short { Self::Short } else { Self::Long }
    }
}
