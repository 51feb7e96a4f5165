//! What the isolate that holds a channel is told, and when. At most a few events of a channel are under way.

use std::collections::VecDeque;
use std::sync::Arc;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::{EventKind, EventRecord};

use tokio::sync::Notify;

use super::outbox::Completion;
use crate::messaging::Owner;

/// Most `IpcSent` events of a channel in the event queue; the next follow as these are taken.
const RESULTS_PENDING_MAX: usize = 64;

/// Most runs of requests with one outcome that wait to be told.
const RUNS_MAX: usize = 1024;

/// Requests one behind the other that all ended in the same way.
#[derive(Clone, Copy, Debug)]
struct Run {
    next: u64,
    last: u64,
    error: Option<ErrorCode>,
}

/// The events of one channel.
#[derive(Debug, Default)]
pub struct Events {
    owner: Option<Owner>,
    /// Hears of every change.
    watcher: Option<Arc<Notify>>,
    is_started: bool,
    /// The guest was told of messages and has not found the inbox empty since.
    is_notified: bool,
    /// An `IpcMessage` lies in the event queue.
    is_message_pending: bool,
    is_drain_wanted: bool,
    is_drain_pending: bool,
    results: VecDeque<Run>,
    results_pending: usize,
    /// What it failed with, until that is told.
    error: Option<ErrorCode>,
    is_over: bool,
    is_disconnect_told: bool,
}

/// How things stand when events are due.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// A message waits.
    pub has_messages: bool,
    /// Who was refused may send again.
    pub has_room: bool,
}

impl Events {
    /// From now on they go to `owner`.
    pub fn attach(&mut self, owner: Owner) {
        self.owner = Some(owner);
    }

    /// `watcher` hears of every change from now on.
    pub fn watch(&mut self, watcher: Arc<Notify>) {
        watcher.notify_one();
        self.watcher = Some(watcher);
    }

    /// Nobody is told any more. The owner may be the last to hold its isolate: not to be dropped under a lock.
    pub fn detach(&mut self) -> Option<Owner> {
        self.results = VecDeque::new();
        self.watcher = None;
        self.owner.take()
    }

    /// Lowers the bound of what is received, in bytes.
    pub fn queue_bytes_max(&self) -> Option<usize> {
        self.owner.as_ref()?.queue_bytes_max
    }

    /// Begins delivery, or asks for another event.
    pub fn start(&mut self) {
        self.is_started = true;
        self.is_notified = false;
    }

    /// Ends delivery.
    pub fn stop(&mut self) {
        self.is_started = false;
    }

    /// The guest found the inbox empty: the next message gives an event again.
    pub fn found_empty(&mut self) {
        self.is_notified = false;
    }

    /// A sender was refused and is to hear of room.
    pub fn wants_drain(&mut self) {
        self.is_drain_wanted = true;
    }

    /// Whether results can be kept for one more request.
    pub fn has_room(&self) -> bool {
        self.results.len() < RUNS_MAX
    }

    /// It failed.
    pub fn fail(&mut self, error: ErrorCode) {
        self.error.get_or_insert(error);
    }

    /// Nothing comes any more.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Keeps what became of requests.
    pub fn add_results(&mut self, completions: impl IntoIterator<Item = Completion>) {
        if self.owner.is_none() {
            return;
        }
        for Completion { request, error } in completions {
            match self.results.back_mut() {
                Some(run) if run.error == error && run.last + 1 == request => run.last = request,
                _ => self.results.push_back(Run {
                    next: request,
                    last: request,
                    error,
                }),
            }
        }
    }

    /// Gives the owner what is due: messages before their end.
    pub fn tell(&mut self, situation: Situation) {
        if let Some(watcher) = &self.watcher {
            watcher.notify_one();
        }
        let Some(owner) = &self.owner else { return };
        let push = |kind, args| {
            let record = EventRecord::new(kind, owner.handle.number(), args);
            owner.shared.events.push_counted(record);
        };
        if self.is_started && !self.is_notified && situation.has_messages {
            self.is_notified = true;
            if !self.is_message_pending {
                self.is_message_pending = true;
                push(EventKind::IpcMessage, [0; 3]);
            }
        }
        while self.results_pending < RESULTS_PENDING_MAX
            && let Some(run) = self.results.front_mut()
        {
            self.results_pending += 1;
            let error = run.error.map_or(0, |error| u64::from(error.number()));
            push(EventKind::IpcSent, [run.next & u64::from(u32::MAX), error, 0]);
            run.next += 1;
            if run.next > run.last {
                self.results.pop_front();
            }
        }
        if self.is_drain_wanted && situation.has_room && !self.is_drain_pending {
            self.is_drain_wanted = false;
            self.is_drain_pending = true;
            push(EventKind::IpcDrain, [0; 3]);
        }
        if let Some(error) = self.error.take() {
            push(EventKind::IpcError, [u64::from(error.number()), 0, 0]);
        }
        if self.is_over && !self.is_disconnect_told {
            self.is_disconnect_told = true;
            push(EventKind::IpcDisconnect, [0; 3]);
        }
    }

    /// The guest is about to get an event.
    pub fn delivered(&mut self, kind: u32) {
        match EventKind::from_number(kind) {
            Some(EventKind::IpcMessage) => self.is_message_pending = false,
            Some(EventKind::IpcDrain) => self.is_drain_pending = false,
            Some(EventKind::IpcSent) => self.results_pending = self.results_pending.saturating_sub(1),
            _ => {}
        }
    }
}
