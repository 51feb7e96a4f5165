//! Channels apart from guests: framing, order, ends, and other sides that break the rules.

mod channels;
mod ends;
mod framing;
mod guests;
mod handles;
mod hostile;
mod outbox;
mod ports;
mod resources;

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::{EventKind, EventRecord};

use super::channel::IpcChannel;
use super::internal::{Envelope, Wrapping, handle_envelope};
use super::native_handle::NativeHandle;
use super::state::{Incoming, Notify, Sent};
use super::wire::{Serialization, frame};
use crate::handles::Handle;
use crate::messaging::Owner;
use crate::runtime::IsolateShared;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An isolate that holds one side of a channel, and what it was told so far.
struct Side {
    channel: IpcChannel,
    shared: Arc<IsolateShared>,
    events: Vec<EventRecord>,
}

impl Side {
    fn new(fd: impl Into<OwnedFd>, serialization: Serialization) -> Self {
        let channel = IpcChannel::open(fd.into(), serialization).unwrap();
        let shared = IsolateShared::root();
        channel.attach(Owner {
            shared: Arc::clone(&shared),
            handle: Handle::from_guest(7),
            queue_bytes_max: None,
        });
        Self {
            channel,
            shared,
            events: Vec::new(),
        }
    }

    /// As a guest that listens to messages.
    fn started(fd: impl Into<OwnedFd>, serialization: Serialization) -> Self {
        let side = Self::new(fd, serialization);
        side.channel.start();
        side
    }

    fn send(&self, message: impl AsRef<[u8]>) -> Result<Sent, ErrorCode> {
        self.send_with(message, None, Notify::No)
    }

    fn send_with(
        &self,
        message: impl AsRef<[u8]>,
        handle: Option<&NativeHandle>,
        notify: Notify,
    ) -> Result<Sent, ErrorCode> {
        let serialization = self.channel.serialization();
        let message = message.as_ref();
        let native = handle.map(NativeHandle::about);
        let wrap = |_: &_| handle_envelope(serialization, Wrapping { native, types: &[] });
        let Envelope { before, after } = handle.map(wrap).unwrap_or_default();
        let fill = |bytes: &mut [u8]| {
            bytes.copy_from_slice(message);
            Ok::<_, ()>(())
        };
        let frame = frame(serialization, (&before, message.len(), &after), fill);
        let descriptors: Vec<_> = handle.map(NativeHandle::descriptor).into_iter().collect();
        self.channel.check_send(message.len(), descriptors.len(), notify)?;
        Ok(self.channel.send(frame.unwrap().unwrap(), descriptors, notify))
    }

    /// Takes the events that are there.
    fn take_events(&mut self) {
        let mut records = self.shared.events.take_vec(usize::MAX);
        for record in &records {
            self.channel.delivered(record);
        }
        self.events.append(&mut records);
    }

    fn told(&self, kind: EventKind) -> Option<EventRecord> {
        self.events.iter().find(|record| record.kind == kind as u32).copied()
    }

    /// Waits for an event of this kind.
    async fn event(&mut self, kind: EventKind) -> EventRecord {
        let wait = async {
            loop {
                self.take_events();
                if let Some(at) = self.events.iter().position(|record| record.kind == kind as u32) {
                    return self.events.remove(at);
                }
                self.shared.events.arrived().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the event comes")
    }

    fn try_receive(&self) -> Option<Incoming> {
        self.channel.peek()?;
        self.channel.take()
    }

    /// Waits for a message as a guest does: by events.
    async fn incoming(&mut self) -> Incoming {
        loop {
            if let Some(message) = self.try_receive() {
                return message;
            }
            self.event(EventKind::IpcMessage).await;
        }
    }

    async fn text(&mut self) -> String {
        String::from_utf8(self.incoming().await.payload.to_vec()).unwrap()
    }
}

/// A text as a message.
fn encoded(serialization: Serialization, text: &str) -> Vec<u8> {
    match serialization {
        Serialization::Json => serde_json::to_vec(text).unwrap(),
        Serialization::Advanced => minicbor::to_vec(text).unwrap(),
    }
}

fn sockets() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// Waits until the other end is closed.
async fn closed(end: &mut UnixStream) {
    end.set_nonblocking(true).unwrap();
    let wait = async {
        while end.read(&mut [0; 1]).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the other end is closed");
}

fn pair(serialization: Serialization) -> (Side, Side) {
    let (left, right) = sockets();
    (Side::started(left, serialization), Side::started(right, serialization))
}

/// A channel and the bare other end of its socket, with calls that wait.
fn against(serialization: Serialization) -> (Side, UnixStream) {
    let (left, right) = sockets();
    right.set_read_timeout(Some(PATIENCE)).unwrap();
    (Side::started(left, serialization), right)
}
