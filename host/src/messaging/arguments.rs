//! Messages in guest memory: on their way in and on their way out.

use nodule_abi::error::ErrorCode;
use nodule_abi::limits::{MESSAGE_RESOURCES_MAX, QUEUE_BYTES_MAX};
use nodule_abi::resource::{RESOURCE_ENTRY_BYTES, ResourceKind};
use wasmtime::Caller;

use super::bytes::MessageBytes;
use super::message::{Message, Transferred, cost};
use super::{queue_full, transfer};
use crate::guest_memory;
use crate::handles::Handle;
use crate::host_error::HostError;
use crate::runtime::IsolateState;

/// Where a guest put a message that goes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageArgs {
    pub message: u32,
    pub message_len: u32,
    pub resources: u32,
    pub resources_len: u32,
    pub transfer: u32,
    pub transfer_len: u32,
}

/// A message that was read and checked, but whose resources are still the guest's.
#[derive(Debug)]
pub(crate) struct Draft {
    bytes: MessageBytes,
    lists: Lists,
}

/// What a message carries and what moves with it: checked, and still the guest's.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// The side list.
    pub resources: Vec<Handle>,
    list: Vec<Handle>,
}

impl Lists {
    /// Takes what moves out of the isolate; gives the resources, in order.
    pub fn take(&self, state: &mut IsolateState) -> Result<Vec<Transferred>, HostError> {
        if self.resources.is_empty() && self.list.is_empty() {
            return Ok(Vec::new());
        }
        transfer::take(state, &self.resources, &self.list)
    }
}

impl MessageArgs {
    /// Reads the message and checks what it carries. `source` is the sending port.
    pub fn read(self, caller: &mut Caller<'_, IsolateState>, source: Option<Handle>) -> Result<Draft, HostError> {
        let lists = self.read_lists(caller, source)?;
        if self.message_len as usize > QUEUE_BYTES_MAX {
            return Err(queue_full("the message is larger than any receiver's queue").into());
        }
        let len = self.message_len as usize;
        let short = MessageBytes::short(len, |bytes| guest_memory::read_into(caller, self.message, bytes))?;
        let bytes = match short {
            Some(bytes) => bytes,
            None => guest_memory::read_shared(caller, self.message, self.message_len)?.into(),
        };
        Ok(Draft { bytes, lists })
    }

    /// Reads and checks what the message carries.
    pub fn read_lists(self, caller: &mut Caller<'_, IsolateState>, source: Option<Handle>) -> Result<Lists, HostError> {
        let list = read_handles(caller, self.transfer, self.transfer_len)?;
        let resources = read_handles(caller, self.resources, self.resources_len)?;
        let state = caller.data();
        if !list.is_empty() {
            transfer::check_list(state, source, &list)?;
        }
        transfer::check_resources(state, &resources, &list)?;
        Ok(Lists { resources, list })
    }
}

impl Draft {
    /// What moves with it.
    pub fn list(&self) -> &[Handle] {
        &self.lists.list
    }

    /// What the message will cost.
    pub fn cost(&self) -> usize {
        cost(self.bytes.len(), self.lists.resources.len())
    }

    /// Takes the resources out of the isolate.
    pub fn into_message(self, state: &mut IsolateState) -> Result<Message, HostError> {
        Ok(Message {
            resources: self.lists.take(state)?,
            bytes: self.bytes,
        })
    }
}

/// Reads a message and takes its resources out of the isolate.
pub(crate) fn take_message(caller: &mut Caller<'_, IsolateState>, args: MessageArgs) -> Result<Message, HostError> {
    let draft = args.read(caller, None)?;
    draft.into_message(caller.data_mut())
}

/// Copies a list of handles.
pub(crate) fn read_handles(
    caller: &mut Caller<'_, IsolateState>,
    ptr: u32,
    count: u32,
) -> Result<Vec<Handle>, HostError> {
    let numbers = guest_memory::read_u32s(caller, ptr, count, MESSAGE_RESOURCES_MAX)?;
    Ok(numbers.into_iter().map(Handle::from_guest).collect())
}

/// Where a guest wants a message that comes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageOut {
    pub buf: u32,
    pub cap: u32,
    pub len: u32,
    pub resources: u32,
    pub resources_cap: u32,
    pub resources_len: u32,
}

impl MessageOut {
    /// Writes both lengths; `ERANGE` when the message does not fit.
    pub fn check(self, caller: &mut Caller<'_, IsolateState>, bytes: usize, resources: usize) -> Result<(), HostError> {
        guest_memory::check_writable(caller, self.resources_len, 4)?;
        guest_memory::write_u32(caller, self.len, u32::try_from(bytes).unwrap_or(u32::MAX))?;
        guest_memory::write_u32(caller, self.resources_len, u32::try_from(resources).unwrap_or(u32::MAX))?;
        if bytes > self.cap as usize || resources > self.resources_cap as usize {
            return Err(ErrorCode::Erange.into());
        }
        guest_memory::check_writable(caller, self.buf, bytes)?;
        if resources > 0 {
            guest_memory::check_writable(caller, self.resources, resources * RESOURCE_ENTRY_BYTES)?;
        }
        Ok(())
    }

    /// Writes a message that was checked to fit, and lets the isolate own its resources. When there is no room for
    /// them (`EMFILE`), it owns none.
    pub fn write(
        self,
        caller: &mut Caller<'_, IsolateState>,
        bytes: &[u8],
        resources: impl IntoIterator<Item = Transferred>,
    ) -> Result<(), HostError> {
        let state = caller.data_mut();
        let mut entries = Vec::new();
        for resource in resources {
            match transfer::admit(state, resource) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    for (handle, _) in entries {
                        // It is in the table since a moment ago.
                        drop(state.handles.remove(handle));
                    }
                    return Err(error.into());
                }
            }
        }
        guest_memory::write_bytes(caller, self.buf, bytes)?;
        if !entries.is_empty() {
            let entries: Vec<u8> = entries.into_iter().flat_map(entry_bytes).collect();
            guest_memory::write_bytes(caller, self.resources, &entries)?;
        }
        Ok(())
    }
}

fn entry_bytes((handle, kind): (Handle, ResourceKind)) -> [u8; RESOURCE_ENTRY_BYTES] {
    let mut bytes = [0; RESOURCE_ENTRY_BYTES];
    bytes[..4].copy_from_slice(&handle.number().to_le_bytes());
    bytes[4..].copy_from_slice(&(kind as u32).to_le_bytes());
    bytes
}

/// Hands a message to the isolate; on `ERANGE` and other mistakes of the guest it stays in `message`.
pub(crate) fn give_message(
    caller: &mut Caller<'_, IsolateState>,
    message: &mut Option<Message>,
    out: MessageOut,
) -> Result<(), HostError> {
    let Some(waiting) = message.as_ref() else {
        return Err(ErrorCode::Eagain.into());
    };
    out.check(caller, waiting.bytes.len(), waiting.resources.len())?;
    match message.take() {
        Some(message) => out.write(caller, &message.bytes, message.resources),
        None => Ok(()),
    }
}
