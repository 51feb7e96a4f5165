//! Messages: bytes that the host never parses, and the resources beside them.

use std::cell::RefCell;
use std::sync::Arc;

use nodule_abi::resource::ResourceKind;

use super::bytes::MessageBytes;
use super::port::PortEnd;
use crate::runtime::Module;
use crate::shared_memory::{ArrayPages, SharedBuffer};

/// Something sent. Dropping it closes the ports in it.
#[derive(Debug)]
pub struct Message {
    /// The encoded value.
    pub bytes: MessageBytes,
    /// What `Value::Resource(i)` in it means.
    pub resources: Vec<Transferred>,
}

/// A resource on its way.
#[derive(Debug)]
pub enum Transferred {
    /// One end of a channel, with its queue.
    Port(PortEnd),
    /// A compiled module.
    Module(Module),
    /// A shared buffer.
    SharedBuffer(Arc<SharedBuffer>),
    /// The pages of an ArrayBuffer.
    ArrayBuffer(ArrayPages),
}

/// What a message costs beside its bytes, and an entry of its side list: what the host allocates for them.
const MESSAGE_BYTES: usize = 96;
const RESOURCE_BYTES: usize = 256;

/// Bytes a message counts for in the bounds of queues.
pub fn cost(bytes: usize, resources: usize) -> usize {
    MESSAGE_BYTES + bytes + resources * RESOURCE_BYTES
}

impl Message {
    /// Bytes it counts for in the bounds of queues.
    pub fn cost(&self) -> usize {
        cost(self.bytes.len(), self.resources.len())
    }
}

impl Message {
    /// Whether there are ports in it.
    pub fn has_ports(&self) -> bool {
        self.resources
            .iter()
            .any(|resource| matches!(resource, Transferred::Port(_)))
    }

    /// A second one, when everything in it is shared by cloning.
    pub fn share(&self) -> Option<Self> {
        let resources = self.resources.iter().map(Transferred::share);
        Some(Self {
            bytes: self.bytes.clone(),
            resources: resources.collect::<Option<_>>()?,
        })
    }
}

impl Transferred {
    /// Its kind.
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Port(_) => ResourceKind::Port,
            Self::Module(_) => ResourceKind::Module,
            Self::SharedBuffer(_) => ResourceKind::SharedBuffer,
            Self::ArrayBuffer(_) => ResourceKind::ArrayBuffer,
        }
    }

    /// A second one, of kinds that are shared by cloning.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::Port(_) | Self::ArrayBuffer(_) => None,
            Self::Module(module) => Some(Self::Module(module.clone())),
            Self::SharedBuffer(buffer) => Some(Self::SharedBuffer(Arc::clone(buffer))),
        }
    }
}

thread_local! {
    /// Messages that are being dropped on this thread; `None` while none is.
    static DISCARDED: RefCell<Option<Vec<Message>>> = const { RefCell::new(None) };
}

/// Drops messages without recursion: the ports in them may have queues with ports in them, and so on.
pub(super) fn discard(messages: impl IntoIterator<Item = Message>) {
    let mut messages = messages.into_iter().peekable();
    if messages.peek().is_none() {
        return;
    }
    let is_outermost = DISCARDED.try_with(|discarded| {
        let mut discarded = discarded.borrow_mut();
        let is_outermost = discarded.is_none();
        discarded.get_or_insert_with(Vec::new).extend(messages.by_ref());
        is_outermost
    });
    if is_outermost != Ok(true) {
        return;
    }
    let next = || DISCARDED.with(|discarded| discarded.borrow_mut().as_mut().and_then(Vec::pop));
    while let Some(message) = next() {
        drop(message);
    }
    DISCARDED.set(None);
}
