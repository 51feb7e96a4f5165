//! `nodule:ipc/1`.

use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::imports::ipc::{KEEP_OPEN, NOTIFY};
use nodule_abi::imports::namespace;
use nodule_abi::limits::IPC_DESCRIPTORS_MAX;
use nodule_abi::resource::ResourceKind;
use wasmtime::{Caller, Linker};

use super::bridge::{Prepared, Purse};
use super::channel::{IpcChannel, channel};
use super::internal::{Envelope, Wrapping, handle_envelope, is_one_value};
use super::native_handle::NativeHandle;
use super::outbox::Backlog;
use super::resources::{Descriptor, ResourceType, descriptor, type_of};
use super::state::Notify;
use super::wire::{self, Serialization};
use crate::guest_memory::{self, SizedBuffer};
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::messaging::Transferred;
use crate::messaging::arguments::{Lists, MessageArgs, MessageOut};
use crate::runtime::IsolateState;

const AREA: &str = namespace::ipc;

type Guest<'a> = Caller<'a, IsolateState>;

/// Registers the area.
#[rustfmt::skip]
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(AREA, "state", |mut caller: Guest<'_>, channel: u32, facts: u32| {
        let result = state(&mut caller, Handle::from_guest(channel), facts);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "send", |mut caller: Guest<'_>, channel: u32, message: u32, message_len: u32, resources: u32,
        resources_len: u32, transfer: u32, transfer_len: u32, handle: u32, flags: u32, outcome: u32| {
        let args = MessageArgs { message, message_len, resources, resources_len, transfer, transfer_len };
        let result = send(&mut caller, Handle::from_guest(channel), args, handle, flags, outcome);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "receive", |mut caller: Guest<'_>, channel: u32, buf: u32, cap: u32, len: u32, resources: u32,
        resources_cap: u32, resources_len: u32, handle: u32| {
        let out = MessageOut { buf, cap, len, resources, resources_cap, resources_len };
        let result = receive(&mut caller, Handle::from_guest(channel), out, handle);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "start", |mut caller: Guest<'_>, channel: u32| {
        let result = with_channel(&caller, channel, IpcChannel::start);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "stop", |mut caller: Guest<'_>, channel: u32| {
        let result = with_channel(&caller, channel, IpcChannel::stop);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "disconnect", |mut caller: Guest<'_>, channel: u32| {
        let result = with_channel(&caller, channel, IpcChannel::disconnect);
        let result = result.and_then(|disconnected| Ok(disconnected?));
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "handle_type", |mut caller: Guest<'_>, handle: u32, ptr: u32, cap: u32, len_ptr: u32| {
        let result = handle_type(&mut caller, Handle::from_guest(handle), SizedBuffer { ptr, cap, len_ptr });
        respond(&mut caller, result)
    })?;
    Ok(())
}

fn with_channel<T>(
    caller: &Guest<'_>,
    handle: u32,
    use_channel: impl FnOnce(&IpcChannel) -> T,
) -> Result<T, HostError> {
    Ok(use_channel(channel(caller.data(), Handle::from_guest(handle))?))
}

fn state(caller: &mut Guest<'_>, handle: Handle, facts: u32) -> Result<(), HostError> {
    let channel = channel(caller.data(), handle)?;
    let numbers = [u32::from(channel.is_connected()), channel.serialization().number()];
    write_pair(caller, facts, numbers)
}

fn write_pair(caller: &mut Guest<'_>, ptr: u32, numbers: [u32; 2]) -> Result<(), HostError> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    guest_memory::write_bytes(caller, ptr, &bytes)
}

/// The handle a guest sends along.
fn native_handle(state: &IsolateState, number: u32) -> Result<Option<NativeHandle>, HostError> {
    if number == 0 {
        return Ok(None);
    }
    match state.handles.get(Handle::from_guest(number))? {
        Resource::NativeHandle(handle) => Ok(Some(handle.clone())),
        _ => Err(ErrorCode::InvalidHandleType.into()),
    }
}

fn send(
    caller: &mut Guest<'_>,
    handle: Handle,
    args: MessageArgs,
    native: u32,
    flags: u32,
    outcome: u32,
) -> Result<(), HostError> {
    guest_memory::check_writable(caller, outcome, 8)?;
    if flags & !(KEEP_OPEN | NOTIFY) != 0 {
        return Err(ErrorRecord::invalid_arg_value("flags", "has unknown bits", &flags.to_string()).into());
    }
    let notify = if flags & NOTIFY == 0 { Notify::No } else { Notify::Yes };
    let along = native_handle(caller.data(), native)?;
    let serialization = channel(caller.data(), handle)?.serialization();
    let parcel = Parcel::read(caller, args, serialization)?;
    let len = args.message_len as usize;
    let count = usize::from(along.is_some()) + parcel.types.len();
    channel(caller.data(), handle)?.check_send(len, count, notify)?;
    if len == 0 {
        return Err(ErrorRecord::invalid_arg_value("message", "must not be empty", "''").into());
    }
    // It lies in the memory, so it may be allocated.
    guest_memory::check_writable(caller, args.message, len)?;
    let wrapping = Wrapping {
        native: along.as_ref().map(NativeHandle::about),
        types: &parcel.types,
    };
    let is_wrapped = count > 0;
    let envelope = match is_wrapped {
        true => handle_envelope(serialization, wrapping),
        false => Envelope::default(),
    };
    let frame = wire::frame(serialization, (&envelope.before, len, &envelope.after), |message| {
        guest_memory::read_into(caller, args.message, message)?;
        check_text(serialization, message)?;
        if is_wrapped && !is_one_value(serialization, message) {
            let record = ErrorRecord::invalid_arg_value("message", "must be one value", "something else");
            return Err(HostError::from(record));
        }
        Ok(())
    })?;
    let frame = frame.ok_or(ErrorCode::IpcMessageTooLarge)?;
    let mut descriptors: Vec<_> = along.as_ref().map(NativeHandle::descriptor).into_iter().collect();
    descriptors.extend(parcel.take(caller.data_mut())?);
    let sent = channel(caller.data(), handle)?.send(frame, descriptors, notify);
    if along.is_some() && flags & KEEP_OPEN == 0 {
        drop(caller.data_mut().handles.remove(Handle::from_guest(native))?);
    }
    let is_short = u32::from(sent.backlog == Backlog::Short);
    write_pair(caller, outcome, [sent.request, is_short])
}

/// What goes with a message besides a native handle: checked, and still the guest's.
#[derive(Default)]
struct Parcel {
    lists: Lists,
    types: Vec<ResourceType>,
}

impl Parcel {
    fn read(caller: &mut Guest<'_>, args: MessageArgs, serialization: Serialization) -> Result<Self, HostError> {
        if args.resources_len == 0 && args.transfer_len == 0 {
            return Ok(Self::default());
        }
        if serialization == Serialization::Json {
            let text = "Only channels with the serialization 'advanced' carry buffers and ports.";
            return Err(ErrorRecord::new(ErrorCode::DataClone, text).into());
        }
        let lists = args.read_lists(caller, None)?;
        // With a native handle.
        if lists.resources.len() >= IPC_DESCRIPTORS_MAX {
            let text = format!(
                "{} resources in one message to another process; there can be {}.",
                lists.resources.len(),
                IPC_DESCRIPTORS_MAX - 1
            );
            return Err(ErrorRecord::new(ErrorCode::DataClone, text).into());
        }
        let handles = &caller.data().handles;
        let types = lists.resources.iter().map(|handle| type_of(handles.get(*handle)?));
        Ok(Self {
            types: types.collect::<Result<_, _>>()?,
            lists,
        })
    }

    /// Takes what moves out of the isolate: all of it, or nothing.
    fn take(&self, state: &mut IsolateState) -> Result<Vec<Descriptor>, HostError> {
        for handle in &self.lists.resources {
            if let Resource::SharedBuffer(buffer) = state.handles.get(*handle)? {
                buffer.share_elsewhere()?;
            }
        }
        let count = self.types.iter().filter(|one| one.kind == ResourceKind::Port).count();
        let bridges: Vec<_> = (0..count).map(|_| Prepared::pair()).collect::<Result<_, _>>()?;
        let mut bridges = bridges.into_iter();
        let taken = self.lists.take(state)?;
        let purse = Purse::of(state);
        let descriptors = taken.into_iter().filter_map(|resource| match resource {
            Transferred::Port(end) => {
                let (prepared, far) = bridges.next()?;
                prepared.start(end, purse.clone());
                Some(Descriptor::Plain(Arc::new(far)))
            }
            other => descriptor(other),
        });
        Ok(descriptors.collect())
    }
}

/// One line of UTF-8 is what the other side can take apart from the next.
fn check_text(serialization: Serialization, message: &[u8]) -> Result<(), HostError> {
    if serialization == Serialization::Advanced {
        return Ok(());
    }
    if std::str::from_utf8(message).is_err() {
        return Err(ErrorRecord::new(ErrorCode::Eilseq, "JSON that is not UTF-8").into());
    }
    match memchr::memchr(b'\n', message) {
        Some(_) => Err(ErrorRecord::invalid_arg_value("message", "must not have line ends", "'\\n'").into()),
        None => Ok(()),
    }
}

fn receive(caller: &mut Guest<'_>, handle: Handle, out: MessageOut, native_out: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, native_out, 4)?;
    let Some(needed) = channel(caller.data(), handle)?.peek() else {
        return Err(ErrorCode::Eagain.into());
    };
    if !needed.is_refused {
        out.check(caller, needed.bytes, needed.resources)?;
        let handles = needed.resources + usize::from(needed.has_handle);
        caller.data().handles.check_room(handles)?;
    }
    let Some(message) = channel(caller.data(), handle)?.take() else {
        return Err(ErrorCode::Eagain.into());
    };
    let state = caller.data_mut();
    let resources = message.along.claim(&Purse::of(state))?;
    let native = match message.handle {
        Some(native) => state.handles.insert(Resource::NativeHandle(native), false)?.number(),
        None => 0,
    };
    out.write(caller, &message.payload, resources)?;
    guest_memory::write_u32(caller, native_out, native)
}

fn handle_type(caller: &mut Guest<'_>, handle: Handle, out: SizedBuffer) -> Result<(), HostError> {
    match caller.data().handles.get(handle)? {
        Resource::NativeHandle(native) => {
            let name = native.kind().name();
            out.write(caller, name.as_bytes())
        }
        _ => Err(ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no native handle")).into()),
    }
}
