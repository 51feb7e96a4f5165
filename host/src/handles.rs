//! The handle table of an isolate: numbers a guest holds, resources the host holds.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::resource::ResourceKind;

use crate::child_process::ChildProcess;
use crate::ipc::{IpcChannel, NativeHandle};
use crate::locks::LockHandle;
use crate::messaging::PortEnd;
use crate::messaging::broadcast::Member;
use crate::runtime::Module;
use crate::stdio::{ReadStream, WriteStream};
use crate::worker_threads::{Reply, ThreadMessageRequest, Worker};

use crate::shared_memory::waiters::EventWait;
use crate::shared_memory::{ArrayPages, SharedBuffer};

/// A number naming a resource of one isolate. Starts at 1 and is never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Handle(u32);

impl Handle {
    /// The handle a guest names; checked when it is looked up.
    pub const fn from_guest(number: u32) -> Self {
        Self(number)
    }

    /// The number the guest sees.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle {}", self.0)
    }
}

/// A map by handle.
pub type HandleMap<T> = HashMap<Handle, T, BuildHasherDefault<HandleHasher>>;

/// Spreads the numbers of handles. They are counted up by the host, so nobody can choose colliding ones.
#[derive(Default, Debug)]
pub struct HandleHasher(u64);

impl Hasher for HandleHasher {
    fn write_u32(&mut self, number: u32) {
        // Fibonacci hashing: the map takes its place from the low bits and a tag from the high ones.
        let product = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        // Handles hash as one u32; this is for completeness.
        for byte in bytes {
            self.write_u32(u32::from(*byte) ^ u32::try_from(self.0 & 0xffff_ff00).unwrap_or(0));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a handle can name.
#[derive(Debug)]
pub enum Resource {
    /// A timer; its state is in [`crate::timers::Timers`].
    Timer {
        /// Fires again and again.
        repeat: bool,
    },
    /// The isolate's standard input.
    Stdin,
    /// A stream to read from.
    Reader(ReadStream),
    /// A stream to write to.
    Writer(WriteStream),
    /// A Web Lock, held or requested.
    Lock(LockHandle),
    /// A loaded side module; the index is its place in [`crate::process::dlopen`].
    SideModule(usize),
    /// One end of a message channel.
    Port(PortEnd),
    /// A broadcast channel.
    Broadcast(Member),
    /// A compiled module.
    Module(Module),
    /// A worker that this isolate started, or a context.
    Worker(Worker),
    /// A message to another thread that is not answered yet.
    ThreadMessage(ThreadMessageRequest),
    /// An answer about a worker.
    Reply(Reply),
    /// A shared buffer.
    SharedBuffer(Arc<SharedBuffer>),
    /// An ArrayBuffer in pages of its own.
    ArrayBuffer(ArrayPages),
    /// An asynchronous wait on shared memory; nothing yet while it is being started.
    Wait(Option<EventWait>),
    /// A child process.
    ChildProcess(ChildProcess),
    /// What a synchronous run of a process gave, encoded.
    SyncResult(Arc<[u8]>),
    /// One side of a channel between processes.
    IpcChannel(IpcChannel),
    /// A handle of the system that came with a message.
    NativeHandle(NativeHandle),
}

impl Resource {
    /// Node's name of the type, for `getActiveResourcesInfo()`; `None` for what never keeps a loop alive.
    pub fn type_name(&self, stdin: &'static str) -> Option<&'static str> {
        match self {
            Self::Timer { .. } => Some("Timeout"),
            Self::Stdin => Some(stdin),
            Self::Reader(_) | Self::Writer(_) | Self::IpcChannel(_) => Some("PipeWrap"),
            Self::NativeHandle(handle) => Some(handle.kind().resource_name()),
            Self::Port(_) => Some("MessagePort"),
            Self::Broadcast(_) => Some("BroadcastChannel"),
            Self::Worker(_) => Some("Worker"),
            Self::Wait(_) => Some("AtomicsWaitAsync"),
            Self::ChildProcess(_) => Some("ProcessWrap"),
            Self::Lock(_)
            | Self::SideModule(_)
            | Self::Module(_)
            | Self::ThreadMessage(_)
            | Self::Reply(_)
            | Self::SharedBuffer(_)
            | Self::SyncResult(_)
            | Self::ArrayBuffer(_) => None,
        }
    }

    /// The kind it has in messages; `None` for what cannot be in one.
    pub fn kind(&self) -> Option<ResourceKind> {
        match self {
            Self::Port(_) => Some(ResourceKind::Port),
            Self::Module(_) => Some(ResourceKind::Module),
            Self::SharedBuffer(_) => Some(ResourceKind::SharedBuffer),
            Self::ArrayBuffer(_) => Some(ResourceKind::ArrayBuffer),
            Self::Timer { .. }
            | Self::Stdin
            | Self::Reader(_)
            | Self::Writer(_)
            | Self::Lock(_)
            | Self::SideModule(_)
            | Self::Broadcast(_)
            | Self::Worker(_)
            | Self::ThreadMessage(_)
            | Self::Reply(_)
            | Self::ChildProcess(_)
            | Self::SyncResult(_)
            | Self::Wait(_)
            | Self::IpcChannel(_)
            | Self::NativeHandle(_) => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    resource: Resource,
    referenced: bool,
    active: bool,
}

/// One open handle, as reports list it.
#[derive(Clone, Debug)]
pub struct HandleInfo {
    /// The handle.
    pub handle: Handle,
    /// Node's name of its type.
    pub type_name: &'static str,
    /// Whether it can produce events now.
    pub active: bool,
    /// Whether it may keep the isolate alive.
    pub referenced: bool,
}

/// The handle table.
#[derive(Debug)]
pub struct Handles {
    entries: HandleMap<Entry>,
    last: u32,
    max: usize,
    /// How many entries are ports, and may be.
    ports: usize,
    ports_max: usize,
    /// How many entries are active and referenced.
    keeping_alive: usize,
}

impl Handles {
    /// An empty table for at most `max` open handles.
    pub fn new(max: usize) -> Self {
        Self {
            entries: HandleMap::default(),
            last: 0,
            max,
            ports: 0,
            ports_max: usize::MAX,
            keeping_alive: 0,
        }
    }

    /// At most so many ports.
    #[must_use]
    pub fn ports_max(mut self, max: usize) -> Self {
        self.ports_max = max;
        self
    }

    /// Adds a resource. `EMFILE` when the table is full. `active`: whether it can produce events from now on.
    pub fn insert(&mut self, resource: Resource, active: bool) -> Result<Handle> {
        self.insert_with(active, |_| resource)
    }

    /// As [`Self::insert`], for a resource that knows its handle; nothing is made when the table is full.
    pub fn insert_with(&mut self, active: bool, make: impl FnOnce(Handle) -> Resource) -> Result<Handle> {
        self.check_room(1)?;
        let number = self.last + 1;
        self.last = number;
        let handle = Handle(number);
        let resource = make(handle);
        self.ports += usize::from(matches!(resource, Resource::Port(_)));
        self.entries.insert(
            handle,
            Entry {
                resource,
                referenced: true,
                active,
            },
        );
        self.keeping_alive += usize::from(active);
        Ok(handle)
    }

    /// `EMFILE` unless `count` more handles fit.
    pub fn check_room(&self, count: usize) -> Result<()> {
        let numbers_left = usize::try_from(u32::MAX - self.last).unwrap_or(usize::MAX);
        if self.entries.len() + count > self.max || numbers_left < count {
            let message = format!("more than {} open handles (raise it with --max-handles)", self.max);
            return Err(ErrorRecord::new(ErrorCode::Emfile, message).into());
        }
        Ok(())
    }

    /// `ERR_OUT_OF_RANGE` unless `count` more ports fit.
    pub fn check_ports(&self, count: usize) -> Result<()> {
        let ports = self.ports + count;
        if ports > self.ports_max {
            let range = format!("<= {} (raise it with --max-ports)", self.ports_max);
            return Err(ErrorRecord::out_of_range("ports", &range, &ports.to_string()).into());
        }
        Ok(())
    }

    fn closed(handle: Handle) -> Box<ErrorRecord> {
        ErrorRecord::new(ErrorCode::HandleClosed, format!("{handle} was closed or never valid")).into()
    }

    /// The resource behind a handle.
    pub fn get(&self, handle: Handle) -> Result<&Resource> {
        self.entries
            .get(&handle)
            .map(|entry| &entry.resource)
            .ok_or_else(|| Self::closed(handle))
    }

    /// As [`Handles::get`], to change it.
    pub fn get_mut(&mut self, handle: Handle) -> Result<&mut Resource> {
        self.entries
            .get_mut(&handle)
            .map(|entry| &mut entry.resource)
            .ok_or_else(|| Self::closed(handle))
    }

    /// Most handles that can be open.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Removes a handle and gives its resource back.
    pub fn remove(&mut self, handle: Handle) -> Result<Resource> {
        let entry = self.entries.remove(&handle).ok_or_else(|| Self::closed(handle))?;
        self.ports -= usize::from(matches!(entry.resource, Resource::Port(_)));
        self.keeping_alive -= usize::from(entry.referenced && entry.active);
        Ok(entry.resource)
    }

    /// Sets whether a handle may keep the isolate alive.
    pub fn set_referenced(&mut self, handle: Handle, referenced: bool) -> Result<()> {
        self.update(handle, |entry| entry.referenced = referenced)
    }

    /// Sets whether a handle can produce events.
    pub fn set_active(&mut self, handle: Handle, active: bool) -> Result<()> {
        self.update(handle, |entry| entry.active = active)
    }

    fn update(&mut self, handle: Handle, change: impl FnOnce(&mut Entry)) -> Result<()> {
        let entry = self.entries.get_mut(&handle).ok_or_else(|| Self::closed(handle))?;
        let before = usize::from(entry.referenced && entry.active);
        change(entry);
        let after = usize::from(entry.referenced && entry.active);
        self.keeping_alive = self.keeping_alive + after - before;
        Ok(())
    }

    /// Whether a handle may keep the isolate alive.
    pub fn is_referenced(&self, handle: Handle) -> Result<bool> {
        self.entries
            .get(&handle)
            .map(|entry| entry.referenced)
            .ok_or_else(|| Self::closed(handle))
    }

    /// Whether anything keeps the isolate alive.
    pub fn keep_alive(&self) -> bool {
        self.keeping_alive > 0
    }

    /// How many handles are open.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no handle is open.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every open handle that can keep a loop alive, in order of creation. `stdin` is the type name of standard input.
    pub fn list(&self, stdin: &'static str) -> Vec<HandleInfo> {
        let mut list: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(handle, entry)| {
                Some(HandleInfo {
                    handle: *handle,
                    type_name: entry.resource.type_name(stdin)?,
                    active: entry.active,
                    referenced: entry.referenced,
                })
            })
            .collect();
        list.sort_by_key(|info| info.handle);
        list
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_reused_and_the_table_is_bounded() {
        let mut handles = Handles::new(1);
        let first = handles.insert(Resource::Stdin, true).unwrap();
        assert!(handles.insert(Resource::Stdin, true).unwrap_err().is_code("EMFILE"));
        handles.remove(first).unwrap();
        let second = handles.insert(Resource::Stdin, true).unwrap();
        assert_ne!(first, second);
        assert!(handles.get(first).unwrap_err().is_code("ERR_HANDLE_CLOSED"));
    }

    #[test]
    fn handles_spread_over_the_table() {
        let hash = |number: u32| {
            let mut hasher = HandleHasher::default();
            std::hash::Hash::hash(&Handle(number), &mut hasher);
            hasher.finish()
        };
        // 4,096 consecutive numbers in 4,096 places: no place is crowded, and tags (the top 7 bits) differ.
        let mut places = vec![0; 4096];
        let mut tags = [0; 128];
        for number in 1..=4096 {
            places[usize::try_from(hash(number) & 4095).unwrap()] += 1;
            tags[usize::try_from(hash(number) >> 57).unwrap()] += 1;
        }
        assert!(places.iter().all(|count| *count <= 8), "{:?}", places.iter().max());
        assert!(tags.iter().all(|count| (8..=128).contains(count)), "{tags:?}");
    }

    #[test]
    fn only_active_and_referenced_handles_keep_alive() {
        let mut handles = Handles::new(8);
        let handle = handles.insert(Resource::Timer { repeat: false }, true).unwrap();
        assert!(handles.keep_alive());
        handles.set_referenced(handle, false).unwrap();
        handles.set_referenced(handle, false).unwrap();
        assert!(!handles.keep_alive());
        handles.set_referenced(handle, true).unwrap();
        handles.set_active(handle, false).unwrap();
        assert!(!handles.keep_alive());
        handles.set_active(handle, true).unwrap();
        assert!(handles.keep_alive());
        handles.remove(handle).unwrap();
        assert!(!handles.keep_alive());
    }
}
