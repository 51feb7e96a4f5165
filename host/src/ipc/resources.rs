//! What goes to another process beside a message, over `advanced` channels: each as a descriptor, named in the envelope by
//! its type and a length. What comes is checked here, and belongs to nobody until the guest fetches the message.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use minicbor::data::Type;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::IPC_DESCRIPTORS_MAX;
use nodule_abi::resource::ResourceKind;
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::bridge::{self, Purse};
use crate::handles::Resource;
use crate::messaging::Transferred;
use crate::shared_memory::{ArrayPages, ForeignPages, SharedBuffer};

/// Longest name of a type that is looked at.
const NAME_BYTES_MAX: usize = 64;

/// A descriptor on its way out, with what must not end before it arrived.
#[derive(Clone, Debug)]
pub enum Descriptor {
    /// A descriptor and nothing else.
    Plain(Arc<OwnedFd>),
    /// Of a shared buffer.
    Shared(Arc<SharedBuffer>),
    /// Of the pages of an ArrayBuffer.
    Array(ArrayPages),
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(fd) => fd.as_fd(),
            Self::Shared(buffer) => buffer.pages().file(),
            Self::Array(array) => array.pages().file(),
        }
    }
}

/// What a descriptor is: an entry of the member `types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// The kind.
    pub kind: ResourceKind,
    /// Of memory, its length in bytes.
    pub byte_length: u64,
}

fn data_clone(text: impl Into<String>) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::DataClone, text).into()
}

/// What another process would be told about a resource of the isolate, if it can have it.
///
/// # Errors
/// `DataCloneError` says why it cannot.
pub fn type_of(resource: &Resource) -> Result<ResourceType> {
    let (kind, byte_length) = match resource {
        Resource::SharedBuffer(buffer) if buffer.is_growable() => {
            return Err(data_clone(
                "A growable SharedArrayBuffer cannot be sent to another process: its length is known in this one only.",
            ));
        }
        Resource::SharedBuffer(buffer) => (ResourceKind::SharedBuffer, buffer.byte_length()),
        Resource::ArrayBuffer(array) => (ResourceKind::ArrayBuffer, array.byte_length()),
        Resource::Port(_) => (ResourceKind::Port, 0),
        other => {
            let name = other.kind().map_or("resource of this kind", ResourceKind::name);
            return Err(data_clone(format!("A {name} cannot be sent to another process.")));
        }
    };
    Ok(ResourceType { kind, byte_length })
}

/// The same for one in a message; nothing when another process cannot have it.
pub fn type_of_transferred(resource: &Transferred) -> Option<ResourceType> {
    let byte_length = match resource {
        Transferred::SharedBuffer(buffer) if buffer.is_growable() => return None,
        Transferred::Module(_) => return None,
        Transferred::SharedBuffer(buffer) => buffer.byte_length(),
        Transferred::ArrayBuffer(array) => array.byte_length(),
        Transferred::Port(_) => 0,
    };
    Some(ResourceType {
        kind: resource.kind(),
        byte_length,
    })
}

/// The descriptor of what was taken; nothing of ports, which need a bridge, and of what [`type_of`] refuses.
pub fn descriptor(resource: Transferred) -> Option<Descriptor> {
    match resource {
        Transferred::SharedBuffer(buffer) => Some(Descriptor::Shared(buffer)),
        Transferred::ArrayBuffer(array) => Some(Descriptor::Array(array)),
        Transferred::Port(_) | Transferred::Module(_) => None,
    }
}

/// The member `types` as CBOR: an array of pairs.
pub fn encode_types(types: &[ResourceType]) -> Vec<u8> {
    let pairs: Vec<_> = types.iter().map(|one| (one.kind.name(), one.byte_length)).collect();
    // Writing to a vector cannot fail.
    minicbor::to_vec(pairs).unwrap_or_default()
}

/// Reads the member `types`. Nothing when it is not one, or when it names what this host does not know.
pub fn decode_types(member: &[u8]) -> Option<Vec<ResourceType>> {
    let mut decoder = minicbor::Decoder::new(member);
    let count = usize::try_from(decoder.array().ok()??).ok()?;
    if count > IPC_DESCRIPTORS_MAX {
        return None;
    }
    let mut types = Vec::with_capacity(count);
    for _ in 0..count {
        if decoder.array().ok()? != Some(2) || decoder.datatype().ok()? != Type::String {
            return None;
        }
        let name = decoder.str().ok().filter(|name| name.len() <= NAME_BYTES_MAX)?;
        let kind = match name {
            _ if name == ResourceKind::SharedBuffer.name() => ResourceKind::SharedBuffer,
            _ if name == ResourceKind::ArrayBuffer.name() => ResourceKind::ArrayBuffer,
            _ if name == ResourceKind::Port.name() => ResourceKind::Port,
            _ => return None,
        };
        let byte_length = decoder.u64().ok()?;
        types.push(ResourceType { kind, byte_length });
    }
    Some(types)
}

/// What came beside a message.
#[derive(Debug, Default)]
pub enum Along {
    /// Nothing.
    #[default]
    Nothing,
    /// These, in the order of the message's side list.
    Resources(Vec<Arrived>),
    /// What is not what it was said to be.
    Refused(String),
}

impl Along {
    /// How many descriptors there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Resources(resources) => resources.len(),
            Self::Nothing | Self::Refused(_) => 0,
        }
    }

    /// Lets an isolate pay for them.
    ///
    /// # Errors
    /// `ENOMEM` above its limits; `DataCloneError` for what was refused.
    pub fn claim(self, purse: &Purse) -> Result<Vec<Transferred>> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Resources(resources) => resources.into_iter().map(|one| one.claim(purse)).collect(),
            Self::Refused(text) => Err(data_clone(format!(
                "The message of the other process was refused: {text}."
            ))),
        }
    }

    /// Checks descriptors against what they were said to be.
    pub fn check(types: Option<Vec<ResourceType>>, descriptors: impl ExactSizeIterator<Item = OwnedFd>) -> Self {
        let Some(types) = types else {
            return Self::Refused("it has resources of an unknown kind".to_owned());
        };
        let (wanted, got) = (types.len(), descriptors.len());
        if wanted != got {
            return Self::Refused(format!("{got} descriptors came for {wanted} resources"));
        }
        let checked = types
            .into_iter()
            .zip(descriptors)
            .map(|(one, fd)| Arrived::check(one, fd));
        match checked.collect() {
            Ok(resources) => Self::Resources(resources),
            Err(text) => Self::Refused(text),
        }
    }
}

/// A resource that came and is nobody's yet.
#[derive(Debug)]
pub enum Arrived {
    /// A shared buffer.
    Shared(ForeignPages),
    /// The pages of an ArrayBuffer.
    Array(ForeignPages),
    /// The socket of a port.
    Port(OwnedFd),
}

impl Arrived {
    fn check(one: ResourceType, fd: OwnedFd) -> std::result::Result<Self, String> {
        let refused = |reason| format!("what came as a {} is none: {reason}", one.kind.name());
        if one.kind == ResourceKind::Port {
            let is_socket = sockopt::socket_domain(&fd) == Ok(AddressFamily::UNIX)
                && sockopt::socket_type(&fd) == Ok(SocketType::STREAM);
            return if is_socket {
                Ok(Self::Port(fd))
            } else {
                Err(refused("it is no UNIX stream socket"))
            };
        }
        let pages = ForeignPages::check(fd, one.byte_length).map_err(refused)?;
        Ok(match one.kind {
            ResourceKind::ArrayBuffer => Self::Array(pages),
            _ => Self::Shared(pages),
        })
    }

    fn claim(self, purse: &Purse) -> Result<Transferred> {
        Ok(match self {
            Self::Shared(pages) => Transferred::SharedBuffer(pages.into_shared(&purse.memory)?),
            Self::Array(pages) => Transferred::ArrayBuffer(pages.into_array(&purse.memory)?),
            Self::Port(socket) => Transferred::Port(bridge::received(socket, purse)?),
        })
    }
}
