//! The channel between two processes, as one side holds it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::event::EventRecord;
use tokio::sync::Notify as Wake;
use tokio_util::sync::CancellationToken;

use super::outbox::Outgoing;
use super::resources::Descriptor;
use super::socket::Socket;
use super::state::{Incoming, Needed, Notify, Phase, Sent, State};
use super::warner::Warner;
use super::wire::Serialization;
use super::{descriptors, linger, task};
use crate::handles::{Handle, Resource};
use crate::messaging::Owner;
use crate::runtime::IsolateState;
use crate::spawn_tied::Tied;

/// What the holder of a channel and its task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub serialization: Serialization,
    /// It carries the messages of a port.
    pub is_port: bool,
    state: Mutex<State>,
    /// Tells the task that something changed.
    pub changed: Wake,
    /// Cancelled when it is over, or when nobody holds it any more.
    closed: CancellationToken,
    pub warner: OnceLock<Warner>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the channel now.
    pub fn finish(&self) {
        self.lock().finish();
        self.is_over();
    }

    /// It was found to be over.
    pub fn is_over(&self) {
        self.closed.cancel();
        self.changed.notify_one();
    }

    /// It failed, and ends.
    pub fn fail(&self, error: ErrorCode) {
        self.lock().events.fail(error);
        self.finish();
    }
}

/// One side of a channel between processes. Dropping it closes the channel; what was accepted is still sent, by a task
/// that gives up when the other side takes nothing for a while.
#[derive(Debug)]
pub struct IpcChannel {
    shared: Arc<Shared>,
    task: Option<Tied>,
}

/// Whether a channel keeps its isolate alive at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// It does, until `unref_handle`.
    Ref,
    /// It does not, until `ref_handle`.
    Unref,
}

impl IpcChannel {
    /// Takes one end of a socket pair into use, on the current runtime; reading begins at once.
    ///
    /// # Errors
    /// What the system says to `fd`.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn open(fd: OwnedFd, serialization: Serialization) -> io::Result<Self> {
        Self::open_as(fd, serialization, false)
    }

    /// As [`Self::open`], for the messages of a port.
    pub(super) fn open_port(fd: OwnedFd) -> io::Result<Self> {
        let channel = Self::open_as(fd, Serialization::Advanced, true)?;
        channel.start();
        Ok(channel)
    }

    fn open_as(fd: OwnedFd, serialization: Serialization, is_port: bool) -> io::Result<Self> {
        let socket = Arc::new(Socket::new(fd)?);
        let shared = Arc::new(Shared {
            serialization,
            is_port,
            state: Mutex::new(State::new(Arc::clone(&socket), serialization)),
            changed: Wake::new(),
            closed: CancellationToken::new(),
            warner: OnceLock::new(),
        });
        // For writing it is registered apart, when it is full: else every read of the other side would wake this one.
        let socket = descriptors::readable(socket)?;
        let task = Tied::spawn(task::run(Arc::clone(&shared), socket));
        Ok(Self {
            shared,
            task: Some(task),
        })
    }

    /// How messages are encoded.
    pub fn serialization(&self) -> Serialization {
        self.shared.serialization
    }

    /// Whether messages can be sent (Node: `connected`).
    pub fn is_connected(&self) -> bool {
        self.shared.lock().phase == Phase::Open
    }

    /// Whether nothing goes any way.
    pub(super) fn is_over(&self) -> bool {
        self.shared.lock().phase == Phase::Over
    }

    /// Whether more should wait until some of what was sent is written.
    pub(super) fn is_backlogged(&self) -> bool {
        self.shared.lock().outbox.is_backlogged()
    }

    /// Lets `changed` hear of messages, of room and of the end.
    pub(super) fn watch_changes(&self, changed: Arc<Wake>) {
        self.shared.lock().events.watch(changed);
    }

    /// Follows the channel to its end.
    pub fn watch(&self) -> ChannelWatch {
        ChannelWatch {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether a message of so many bytes and descriptors would be accepted now.
    pub(super) fn check_send(&self, bytes: usize, descriptors: usize, notify: Notify) -> Result<(), ErrorCode> {
        self.shared.lock().check_send(bytes, descriptors, notify)
    }

    /// Sends the frame of a message that was admitted, and what goes with it.
    pub(super) fn send(&self, frame: Vec<u8>, descriptors: Vec<Descriptor>, notify: Notify) -> Sent {
        let message = Outgoing {
            frame,
            descriptors,
            request: None,
        };
        let mut state = self.shared.lock();
        let was_blocked = state.is_blocked();
        let sent = state.send(message, notify);
        let is_newly_blocked = state.is_blocked() && !was_blocked;
        drop(state);
        if is_newly_blocked {
            self.shared.changed.notify_one();
        }
        sent
    }

    /// What the oldest message needs.
    pub(super) fn peek(&self) -> Option<Needed> {
        self.shared.lock().peek()
    }

    /// Takes the oldest message.
    pub(super) fn take(&self) -> Option<Incoming> {
        let (message, wakes_task) = self.shared.lock().take()?;
        if wakes_task {
            self.shared.changed.notify_one();
        }
        Some(message)
    }

    /// Begins delivery, or asks for another event.
    pub(super) fn start(&self) {
        let mut state = self.shared.lock();
        state.events.start();
        state.report();
    }

    /// Ends delivery.
    pub(super) fn stop(&self) {
        self.shared.lock().events.stop();
    }

    /// Closes it once everything is sent. `ERR_IPC_DISCONNECTED` when it is not connected.
    pub(super) fn disconnect(&self) -> Result<(), ErrorCode> {
        self.shared.lock().disconnect()?;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// From now on events go to `owner`.
    pub(super) fn attach(&self, owner: Owner) {
        let mut state = self.shared.lock();
        state.events.attach(owner);
        state.report();
    }

    /// The guest is about to get an event of this channel.
    pub(crate) fn delivered(&self, record: &EventRecord) {
        let mut state = self.shared.lock();
        state.events.delivered(record.kind);
        state.report();
    }
}

impl Drop for IpcChannel {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let leftovers = state.abandon();
        let is_over = state.phase == Phase::Over;
        drop(state);
        drop(leftovers);
        self.shared.closed.cancel();
        if let Some(task) = self.task.take().filter(|_| !is_over) {
            linger::keep(&self.shared, task);
            self.shared.changed.notify_one();
        }
    }
}

/// Follows a channel to its end, whoever holds it.
#[derive(Clone, Debug)]
pub struct ChannelWatch {
    shared: Arc<Shared>,
}

impl ChannelWatch {
    /// The process at the other side has ended: reads what it left, however little of it was fetched. Returns when its end
    /// was read and `IpcDisconnect` is on its way; after `limit` the channel is closed where it stands.
    pub async fn drained(&self, limit: Duration) {
        self.shared.lock().other_side_ended();
        self.shared.changed.notify_one();
        let closed = tokio::time::timeout(limit, self.shared.closed.cancelled());
        if closed.await.is_err() {
            self.shared.finish();
        }
    }
}

/// Lets an isolate own a channel: its events go to the handle.
///
/// # Errors
/// `EMFILE` when the isolate has no room for a handle; the channel is closed.
pub fn insert(
    state: &mut IsolateState,
    channel: IpcChannel,
    reference: Reference,
) -> nodule_abi::error::Result<Handle> {
    let owner = Owner::source(state);
    let warner = Warner::of(state);
    let handle = state.handles.insert_with(true, |handle| {
        // A channel has one owner for life.
        let _ = channel.shared.warner.set(warner);
        channel.attach(owner(handle));
        Resource::IpcChannel(channel)
    })?;
    state.handles.set_referenced(handle, reference == Reference::Ref)?;
    state.forget_stale_events();
    Ok(handle)
}

/// The channel behind a handle.
pub(super) fn channel(state: &IsolateState, handle: Handle) -> nodule_abi::error::Result<&IpcChannel> {
    match state.handles.get(handle)? {
        Resource::IpcChannel(channel) => Ok(channel),
        _ => Err(ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no channel between processes")).into()),
    }
}
