//! Ports whose other end is in another process. Each has a socket pair with a channel of its own, and a task that carries
//! messages between that and the queues of this process: what is queued when the port moves goes first.
//!
//! The end of either side is that of the other, behind the messages that came before it. Neither side takes more than its
//! queues hold: the other one has to wait then, and whoever posts there hears of it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::IPC_DESCRIPTORS_MAX;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::sync::Notify as Wake;

use super::channel::IpcChannel;
use super::internal::{Wrapping, handle_envelope, is_one_value, parse, port_envelope};
use super::resources::{Descriptor, ResourceType, descriptor, type_of_transferred};
use super::state::Notify;
use super::wire::{self, Serialization};
use crate::messaging::message::cost;
use crate::messaging::{Account, Message, PortEnd, QueueBudget, Refusal, Transferred, entangle_in};
use crate::runtime::{IsolateShared, IsolateState};
use crate::shared_memory::pages::Account as MemoryAccount;
use crate::shared_memory::{FilePermit, file_permit};
use crate::spawn_tied::Tied;

/// What no receiver can decode: it stands for a message that could not be carried.
const UNREADABLE: [u8; 1] = [0xff];

/// When what the budget of the process refused is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// How long a process that ends waits for ports whose other side takes nothing.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// Who pays for what comes over a port.
#[derive(Clone, Debug)]
pub struct Purse {
    queues: Arc<QueueBudget>,
    payer: Arc<Account>,
    /// For buffers.
    pub memory: Arc<MemoryAccount>,
}

impl Purse {
    /// An isolate.
    pub fn of(state: &IsolateState) -> Self {
        Self::with(&state.shared, state.shared_memory.account())
    }

    /// An isolate, whose account of buffers is `memory`.
    pub fn with(isolate: &IsolateShared, memory: &Arc<MemoryAccount>) -> Self {
        Self {
            queues: Arc::clone(&isolate.group.queues),
            payer: Arc::clone(&isolate.queued),
            memory: Arc::clone(memory),
        }
    }
}

/// The bridge of a port that has not moved yet.
#[derive(Debug)]
pub struct Prepared {
    channel: IpcChannel,
    permit: FilePermit,
}

impl Prepared {
    /// One side, and the socket for the other process.
    ///
    /// # Errors
    /// `ENOMEM` when this process has too many, or what the system says.
    pub fn pair() -> Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|error| ErrorRecord::system(ErrorCode::from_errno(error.raw_os_error()), "socketpair"))?;
        Ok((Self::of(near)?, far))
    }

    /// The side of a socket that came.
    ///
    /// # Errors
    /// As of [`Self::pair`].
    pub fn of(socket: OwnedFd) -> Result<Self> {
        let permit = file_permit()?;
        let channel = IpcChannel::open_port(socket).map_err(|error| {
            let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
            ErrorRecord::system(code, "open")
        })?;
        Ok(Self { channel, permit })
    }

    /// Carries messages from now on.
    pub fn start(self, mut end: PortEnd, purse: Purse) {
        let changed = Arc::new(Wake::new());
        end.bridge(Arc::clone(&purse.payer), Arc::clone(&changed));
        self.channel.watch_changes(Arc::clone(&changed));
        let bridge = Bridge {
            end,
            channel: self.channel,
            purse,
            changed: Arc::clone(&changed),
            _permit: self.permit,
        };
        let number = {
            let mut list = list();
            list.last += 1;
            let number = list.last;
            list.bridges.insert(number, (changed, None));
            number
        };
        let leaving = Leaving(number);
        let task = Tied::spawn(async move {
            let _leaving = leaving;
            bridge.run().await;
        });
        // Not under the lock: a runtime that ends drops it at once.
        if let Some((_, place)) = list().bridges.get_mut(&number) {
            *place = Some(task);
        }
    }
}

/// A new port of this process over a socket that came.
///
/// # Errors
/// As of [`Prepared::pair`].
pub fn received(socket: OwnedFd, purse: &Purse) -> Result<PortEnd> {
    let prepared = Prepared::of(socket)?;
    let [near, far] = entangle_in(&purse.queues);
    prepared.start(far, purse.clone());
    Ok(near)
}

#[derive(Debug)]
struct List {
    last: u64,
    bridges: BTreeMap<u64, (Arc<Wake>, Option<Tied>)>,
}

/// The tasks of all bridges, which are owned here: each ends with its port.
static LIST: Mutex<List> = Mutex::new(List {
    last: 0,
    bridges: BTreeMap::new(),
});

/// Tells that one left the list.
static LEFT: Wake = Wake::const_new();

/// The process ends: what is queued is still sent.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a bridge out of the list when its task is over, whatever ends that.
struct Leaving(u64);

impl Drop for Leaving {
    fn drop(&mut self) {
        let left = list().bridges.remove(&self.0);
        drop(left);
        LEFT.notify_waiters();
    }
}

/// Sends what is queued for ports in other processes, and closes them: what a process does before it ends.
pub async fn finish_ports() {
    IS_ENDING.store(true, Ordering::SeqCst);
    loop {
        let left = LEFT.notified();
        let changed: Vec<_> = list()
            .bridges
            .values()
            .map(|(changed, _)| Arc::clone(changed))
            .collect();
        if changed.is_empty() {
            return;
        }
        changed.iter().for_each(|changed| changed.notify_one());
        if tokio::time::timeout(FINISH_LIMIT, left).await.is_err() {
            let rest = std::mem::take(&mut list().bridges);
            drop(rest);
            return;
        }
    }
}

/// What became of one direction for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// All that there was is carried, or there is no room; a change is told.
    Waits,
    /// To be tried again after a while.
    Retry,
    /// Its source has ended, and all is carried.
    Ended,
}

/// See the module.
#[derive(Debug)]
struct Bridge {
    end: PortEnd,
    channel: IpcChannel,
    purse: Purse,
    changed: Arc<Wake>,
    _permit: FilePermit,
}

impl Bridge {
    async fn run(mut self) {
        loop {
            let is_ending = IS_ENDING.load(Ordering::SeqCst);
            let outward = self.carry_outward(is_ending);
            let inward = if is_ending { Flow::Waits } else { self.carry_inward() };
            // What is accepted for the other side is sent by the channel after its end.
            if outward == Flow::Ended || inward == Flow::Ended {
                return;
            }
            // A change since anything was looked at is kept.
            let changed = self.changed.notified();
            if inward == Flow::Retry {
                let _ = tokio::time::timeout(RETRY, changed).await;
            } else {
                changed.await;
            }
        }
    }

    /// From the queue of this process to the other side, as long as that takes it.
    fn carry_outward(&mut self, is_ending: bool) -> Flow {
        while !self.channel.is_backlogged() {
            let is_open = self.end.is_open() && !is_ending;
            if self.end.peek().is_none() {
                return if is_open { Flow::Waits } else { Flow::Ended };
            }
            let Some(message) = self.end.take() else {
                return Flow::Waits;
            };
            let (frame, descriptors) = pack(message, &self.purse);
            self.channel.send(frame, descriptors, Notify::No);
        }
        Flow::Waits
    }

    /// From the other side into the queue of this process, as long as that has room.
    fn carry_inward(&mut self) -> Flow {
        loop {
            let is_over = self.channel.is_over();
            let Some(needed) = self.channel.peek() else {
                return if is_over { Flow::Ended } else { Flow::Waits };
            };
            // What no queue of the receiver holds would wait for ever.
            let is_too_large = needed.bytes >= self.end.peer_bytes_max();
            let bytes = if is_too_large { UNREADABLE.len() } else { needed.bytes };
            let place = match self.end.reserve(true, cost(bytes, needed.resources)) {
                Ok(place) => place,
                Err(Refusal::NoRoom) => return Flow::Waits,
                Err(Refusal::ReceiverFull | Refusal::ProcessFull) => return Flow::Retry,
            };
            let Some(message) = self.channel.take() else {
                return Flow::Waits;
            };
            let message = match message.along.claim(&self.purse) {
                Ok(_) if is_too_large => unreadable(),
                Ok(resources) => Message {
                    bytes: (&*message.payload).into(),
                    resources,
                },
                Err(error) => {
                    tracing::debug!(%error, "a message over a port was refused");
                    unreadable()
                }
            };
            place.fill(message);
        }
    }
}

fn unreadable() -> Message {
    Message {
        bytes: (&UNREADABLE[..]).into(),
        resources: Vec::new(),
    }
}

/// A message as it goes to the other side; what cannot go there makes it one that the receiver cannot decode.
fn pack(message: Message, purse: &Purse) -> (Vec<u8>, Vec<Descriptor>) {
    let Message { bytes, resources } = message;
    let packed = pack_resources(resources, &bytes, purse);
    let (types, descriptors, bytes) = match packed {
        Some((types, descriptors)) if !bytes.is_empty() => (types, descriptors, &*bytes),
        _ => (Vec::new(), Vec::new(), &UNREADABLE[..]),
    };
    let envelope = if !types.is_empty() {
        let wrapping = Wrapping {
            native: None,
            types: &types,
        };
        handle_envelope(Serialization::Advanced, wrapping)
    } else if parse(Serialization::Advanced, bytes).is_some() {
        // It looks like one of ours.
        port_envelope()
    } else {
        Default::default()
    };
    let around = (&envelope.before[..], bytes.len(), &envelope.after[..]);
    let frame = wire::frame(Serialization::Advanced, around, |place| {
        place.copy_from_slice(bytes);
        Ok::<_, ()>(())
    });
    match frame {
        Ok(Some(frame)) => (frame, descriptors),
        Ok(None) | Err(()) => (wire::short_frame(Serialization::Advanced, &UNREADABLE), Vec::new()),
    }
}

/// The resources of a message as types and descriptors; `None` when they cannot go.
fn pack_resources(
    resources: Vec<Transferred>,
    bytes: &[u8],
    purse: &Purse,
) -> Option<(Vec<ResourceType>, Vec<Descriptor>)> {
    if resources.is_empty() {
        return Some(Default::default());
    }
    let is_carried = resources.len() <= IPC_DESCRIPTORS_MAX && is_one_value(Serialization::Advanced, bytes);
    if !is_carried {
        return None;
    }
    let (mut types, mut descriptors) = (Vec::new(), Vec::new());
    for resource in resources {
        types.push(type_of_transferred(&resource)?);
        if let Transferred::SharedBuffer(buffer) = &resource {
            buffer.share_elsewhere().ok()?;
        }
        descriptors.push(match resource {
            Transferred::Port(end) => {
                let (prepared, far) = Prepared::pair().ok()?;
                prepared.start(end, purse.clone());
                Descriptor::Plain(Arc::new(far))
            }
            other => descriptor(other)?,
        });
    }
    Some((types, descriptors))
}
