//! `nodule:ipc/1`.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::imports::ipc::{KEEP_OPEN, NOTIFY};
use nodule_abi::imports::namespace;
use wasmtime::{Caller, Linker};

use super::channel::{IpcChannel, channel};
use super::internal::is_one_value;
use super::native_handle::NativeHandle;
use super::outbox::Backlog;
use super::state::Notify;
use super::wire::{self, Serialization};
use crate::guest_memory::{self, SizedBuffer};
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::messaging::arguments::{MessageArgs, MessageOut};
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
    check_resources(args)?;
    let len = args.message_len as usize;
    let target = channel(caller.data(), handle)?;
    let serialization = target.serialization();
    target.check_send(len, notify)?;
    if len == 0 {
        return Err(ErrorRecord::invalid_arg_value("message", "must not be empty", "''").into());
    }
    // It lies in the memory, so it may be allocated.
    guest_memory::check_writable(caller, args.message, len)?;
    let envelope = along.as_ref().map(|along| along.envelope(serialization));
    let envelope = envelope.unwrap_or_default();
    let frame = wire::frame(serialization, (&envelope.before, len, &envelope.after), |message| {
        guest_memory::read_into(caller, args.message, message)?;
        check_text(serialization, message)?;
        if along.is_some() && !is_one_value(serialization, message) {
            let record = ErrorRecord::invalid_arg_value("message", "must be one value", "something else");
            return Err(HostError::from(record));
        }
        Ok(())
    })?;
    let frame = frame.ok_or(ErrorCode::IpcMessageTooLarge)?;
    let sent = channel(caller.data(), handle)?.send(frame, along.as_ref(), notify)?;
    if along.is_some() && flags & KEEP_OPEN == 0 {
        drop(caller.data_mut().handles.remove(Handle::from_guest(native))?);
    }
    let is_short = u32::from(sent.backlog == Backlog::Short);
    write_pair(caller, outcome, [sent.request, is_short])
}

/// Nothing but bytes and a native handle goes to another process yet.
fn check_resources(args: MessageArgs) -> Result<(), HostError> {
    if args.resources_len == 0 && args.transfer_len == 0 {
        return Ok(());
    }
    let text = "Ports, buffers and modules cannot be sent to another process.";
    Err(ErrorRecord::new(ErrorCode::DataClone, text).into())
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
    let Some((bytes, has_handle)) = channel(caller.data(), handle)?.peek() else {
        return Err(ErrorCode::Eagain.into());
    };
    out.check(caller, bytes, 0)?;
    caller.data().handles.check_room(usize::from(has_handle))?;
    let Some(message) = channel(caller.data(), handle)?.take() else {
        return Err(ErrorCode::Eagain.into());
    };
    let native = match message.handle {
        Some(native) => caller
            .data_mut()
            .handles
            .insert(Resource::NativeHandle(native), false)?
            .number(),
        None => 0,
    };
    out.write(caller, &message.payload, [])?;
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
