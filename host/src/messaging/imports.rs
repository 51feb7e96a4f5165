//! `nodule:messaging/1`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::imports::messaging::{ONLY_IF_ROOM, ONLY_THIS, marks, outcome};
use nodule_abi::imports::namespace;
use nodule_abi::limits::NAME_BYTES_MAX;
use wasmtime::{Caller, Linker};

use super::arguments::{MessageArgs, MessageOut, give_message, read_handles, take_message};
use super::broadcast::{self, Member, Received};
use super::channel::Posted;
use super::message::{Message, Transferred};
use super::port::{PortEnd, Watch, entangle};
use super::{Owner, transfer};
use crate::guest_memory;
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::runtime::{IsolateState, park};

const AREA: &str = namespace::messaging;

type Guest<'a> = Caller<'a, IsolateState>;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    register_ports(linker)?;
    register_resources(linker)?;
    register_broadcast(linker)
}

#[rustfmt::skip]
fn register_ports(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(AREA, "channel", |mut caller: Guest<'_>, ports: u32| {
        let result = channel(&mut caller, ports);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "post", |mut caller: Guest<'_>, port: u32, message: u32, message_len: u32, resources: u32,
        resources_len: u32, transfer: u32, transfer_len: u32, flags: u32, out: u32| {
        let args = MessageArgs { message, message_len, resources, resources_len, transfer, transfer_len };
        let result = post(&mut caller, Handle::from_guest(port), args, flags, out);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "receive", |mut caller: Guest<'_>, port: u32, buf: u32, cap: u32, len: u32, resources: u32,
        resources_cap: u32, resources_len: u32| {
        let out = MessageOut { buf, cap, len, resources, resources_cap, resources_len };
        let result = receive(&mut caller, Handle::from_guest(port), out);
        respond(&mut caller, result)
    })?;
    linker.func_wrap_async(AREA, "receive_wait", |mut caller: Guest<'_>, (port, timeout_ns): (u32, i64)| {
        Box::new(async move {
            let result = receive_wait(&mut caller, Handle::from_guest(port), timeout_ns).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap(AREA, "start", |mut caller: Guest<'_>, port: u32| {
        let result = with_port(caller.data_mut(), port, |end| end.start());
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "stop", |mut caller: Guest<'_>, port: u32| {
        let result = with_port(caller.data_mut(), port, |end| end.stop());
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "close", |mut caller: Guest<'_>, port: u32| {
        let result = with_port(caller.data_mut(), port, |end| end.close());
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "is_open", |mut caller: Guest<'_>, port: u32, out: u32| {
        let is_open = with_port(caller.data_mut(), port, |end| end.is_open());
        let result = is_open.and_then(|is_open| guest_memory::write_u32(&mut caller, out, u32::from(is_open)));
        respond(&mut caller, result)
    })?;
    Ok(())
}

#[rustfmt::skip]
fn register_resources(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(AREA, "check_transfer", |mut caller: Guest<'_>, source: u32, list: u32, list_len: u32| {
        let result = check_transfer(&mut caller, source, list, list_len);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "mark", |mut caller: Guest<'_>, handle: u32, flags: u32| {
        let result = mark(caller.data_mut(), Handle::from_guest(handle), flags);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "marks", |mut caller: Guest<'_>, handle: u32, out: u32| {
        let state = caller.data();
        let known = state.handles.get(Handle::from_guest(handle)).map(drop).map_err(HostError::from);
        let marks = state.messaging.marks.get(&Handle::from_guest(handle)).copied().unwrap_or(0);
        let result = known.and_then(|()| guest_memory::write_u32(&mut caller, out, marks));
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "clone_message", |mut caller: Guest<'_>, message: u32, message_len: u32, resources: u32,
        resources_len: u32, transfer: u32, transfer_len: u32, buf: u32, cap: u32, len: u32, out_resources: u32,
        resources_cap: u32, out_resources_len: u32| {
        let args = MessageArgs { message, message_len, resources, resources_len, transfer, transfer_len };
        let out = MessageOut { buf, cap, len, resources: out_resources, resources_cap, resources_len: out_resources_len };
        let result = clone_message(&mut caller, args, out);
        respond(&mut caller, result)
    })?;
    Ok(())
}

#[rustfmt::skip]
fn register_broadcast(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(AREA, "broadcast_open", |mut caller: Guest<'_>, name: u32, name_len: u32, out: u32| {
        let result = broadcast_open(&mut caller, name, name_len, out);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "broadcast_post", |mut caller: Guest<'_>, handle: u32, message: u32, message_len: u32,
        resources: u32, resources_len: u32| {
        let args = MessageArgs { message, message_len, resources, resources_len, transfer: 0, transfer_len: 0 };
        let result = broadcast_post(&mut caller, Handle::from_guest(handle), args);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "broadcast_rearm", |mut caller: Guest<'_>, handle: u32| {
        let result = member(caller.data(), Handle::from_guest(handle)).map(Member::rearm);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "broadcast_receive", |mut caller: Guest<'_>, handle: u32, flags: u32, target: u32, buf: u32,
        cap: u32, len: u32, resources: u32, resources_cap: u32, resources_len: u32| {
        let out = MessageOut { buf, cap, len, resources, resources_cap, resources_len };
        let result = broadcast_receive(&mut caller, Handle::from_guest(handle), flags, target, out);
        respond(&mut caller, result)
    })?;
    Ok(())
}

fn wrong_kind(handle: Handle, wanted: &str) -> HostError {
    ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no {wanted}")).into()
}

fn port(state: &mut IsolateState, handle: Handle) -> Result<&mut PortEnd, HostError> {
    match state.handles.get_mut(handle)? {
        Resource::Port(end) => Ok(end),
        _ => Err(wrong_kind(handle, "port")),
    }
}

fn with_port<T>(state: &mut IsolateState, handle: u32, use_port: impl FnOnce(&PortEnd) -> T) -> Result<T, HostError> {
    port(state, Handle::from_guest(handle)).map(|end| use_port(end))
}

fn channel(caller: &mut Guest<'_>, ports: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, ports, 8)?;
    let state = caller.data_mut();
    state.handles.check_ports(2)?;
    let [first, second] = entangle(&state.shared.group);
    let first = transfer::own_port(state, first)?;
    let second = match transfer::own_port(state, second) {
        Ok(second) => second,
        Err(error) => {
            drop(state.handles.remove(first)?);
            return Err(error.into());
        }
    };
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.number().to_le_bytes());
    bytes[4..].copy_from_slice(&second.number().to_le_bytes());
    guest_memory::write_bytes(caller, ports, &bytes)
}

/// The steps of the specification: check, encode (done by the guest), check again, detach everything and queue.
fn post(caller: &mut Guest<'_>, handle: Handle, args: MessageArgs, flags: u32, out: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, out, 4)?;
    let source = Some(handle).filter(|handle| handle.number() != 0);
    if let Some(source) = source {
        port(caller.data_mut(), source)?;
    }
    let draft = args.read(caller, source)?;
    let outcome = send(caller.data_mut(), source, draft, flags & ONLY_IF_ROOM != 0)?;
    guest_memory::write_u32(caller, out, outcome)
}

fn send(
    state: &mut IsolateState,
    source: Option<Handle>,
    draft: super::arguments::Draft,
    only_if_room: bool,
) -> Result<u32, HostError> {
    let Some(source) = source else {
        drop(draft.into_message(state)?);
        return Ok(outcome::ROOM);
    };
    let posted = if draft.list().is_empty() {
        let message = draft.into_message(state)?;
        port(state, source)?.post(only_if_room, message)?
    } else {
        let end = port(state, source)?;
        let place = end.reserve(only_if_room, draft.cost())?;
        let list = draft.list().to_vec();
        let Resource::Port(end) = state.handles.get(source)? else {
            return Err(wrong_kind(source, "port"));
        };
        if transfer::holds_target(state, end, &list) {
            drop(place);
            drop(draft.into_message(state)?);
            return Ok(outcome::TARGET_LOST);
        }
        place.fill(draft.into_message(state)?)
    };
    Ok(match posted {
        Posted::Room => outcome::ROOM,
        Posted::AboveMark => outcome::ABOVE_MARK,
    })
}

fn receive(caller: &mut Guest<'_>, handle: Handle, out: MessageOut) -> Result<(), HostError> {
    let Some(message) = port(caller.data_mut(), handle)?.peek() else {
        return Err(ErrorCode::Eagain.into());
    };
    let (bytes, resources) = (message.bytes.len(), message.resources.len());
    out.check(caller, bytes, resources)?;
    match port(caller.data_mut(), handle)?.take() {
        Some(message) => out.write(caller, &message.bytes, message.resources),
        None => Err(ErrorCode::Eagain.into()),
    }
}

async fn receive_wait(caller: &mut Guest<'_>, handle: Handle, timeout_ns: i64) -> Result<(), HostError> {
    let deadline = u64::try_from(timeout_ns)
        .ok()
        .and_then(|ns| Instant::now().checked_add(Duration::from_nanos(ns)));
    loop {
        let arrived = match caller.data_mut().handles.get_mut(handle)? {
            Resource::Port(end) => match end.watch() {
                Watch::Ready => return Ok(()),
                Watch::Closed => return Err(ErrorCode::ClosedMessagePort.into()),
                Watch::Waiting(arrival) => arrival_at(Some(arrival), None),
            },
            Resource::Broadcast(member) => match member.watch() {
                None => return Ok(()),
                Some(arrived) => arrival_at(None, Some(arrived)),
            },
            _ => return Err(wrong_kind(handle, "port")),
        };
        match deadline {
            None => park(caller, arrived).await?,
            Some(deadline) => {
                let waited = park(caller, tokio::time::timeout_at(deadline.into(), arrived)).await?;
                if waited.is_err() {
                    return Err(ErrorCode::Etimedout.into());
                }
            }
        }
    }
}

/// One wait for both kinds of receivers.
async fn arrival_at(port: Option<super::port::Arrival>, broadcast: Option<Arc<tokio::sync::Notify>>) {
    if let Some(arrival) = port {
        arrival.wait().await;
    }
    if let Some(arrived) = broadcast {
        arrived.notified().await;
    }
}

fn check_transfer(caller: &mut Guest<'_>, source: u32, list: u32, list_len: u32) -> Result<(), HostError> {
    let list = read_handles(caller, list, list_len)?;
    let source = Some(Handle::from_guest(source)).filter(|source| source.number() != 0);
    Ok(transfer::check_list(caller.data(), source, &list)?)
}

fn mark(state: &mut IsolateState, handle: Handle, flags: u32) -> Result<(), HostError> {
    if flags & !(marks::UNTRANSFERABLE | marks::UNCLONEABLE) != 0 {
        return Err(ErrorRecord::invalid_arg_value("flags", "has unknown bits", &flags.to_string()).into());
    }
    // Handles that close on their own would leave their marks behind.
    if state.handles.get(handle)?.kind().is_none() {
        return Err(wrong_kind(handle, "resource of messages"));
    }
    *state.messaging.marks.entry(handle).or_default() |= flags;
    Ok(())
}

fn clone_message(caller: &mut Guest<'_>, args: MessageArgs, out: MessageOut) -> Result<(), HostError> {
    out.check(caller, args.message_len as usize, args.resources_len as usize)?;
    let message = take_message(caller, args)?;
    give_message(caller, &mut Some(message), out)
}

fn broadcast_open(caller: &mut Guest<'_>, name: u32, name_len: u32, out: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, out, 4)?;
    let name = guest_memory::read_str(caller, name, name_len, NAME_BYTES_MAX)?;
    let state = caller.data_mut();
    let owner = Owner::source(state);
    let handle = state
        .handles
        .insert_with(true, |handle| Resource::Broadcast(Member::join(&name, owner(handle))))?;
    state.forget_stale_events();
    guest_memory::write_u32(caller, out, handle.number())
}

fn member(state: &IsolateState, handle: Handle) -> Result<&Member, HostError> {
    match state.handles.get(handle) {
        Ok(Resource::Broadcast(member)) => Ok(member),
        Ok(_) => Err(wrong_kind(handle, "broadcast channel")),
        Err(_) => Err(broadcast::closed().into()),
    }
}

fn broadcast_post(caller: &mut Guest<'_>, handle: Handle, args: MessageArgs) -> Result<(), HostError> {
    member(caller.data(), handle)?;
    let message = take_message(caller, args)?;
    member(caller.data(), handle)?.post(message);
    Ok(())
}

fn broadcast_receive(
    caller: &mut Guest<'_>,
    handle: Handle,
    flags: u32,
    target: u32,
    out: MessageOut,
) -> Result<(), HostError> {
    guest_memory::check_writable(caller, target, 4)?;
    let only_this = flags & ONLY_THIS != 0;
    // The guest's memory is not touched under the lock of the name.
    let fits = |message: &Message| {
        let needed = (message.bytes.len(), message.resources.len());
        let fits = needed.0 <= out.cap as usize && needed.1 <= out.resources_cap as usize;
        if fits { Ok(()) } else { Err(needed) }
    };
    let received = member(caller.data(), handle)?.receive(only_this, fits);
    let (receiver, received) = match received {
        Ok(Some(received)) => received,
        Ok(None) => return Err(ErrorCode::Eagain.into()),
        Err((bytes, resources)) => {
            return out.check(caller, bytes, resources);
        }
    };
    guest_memory::write_u32(caller, target, receiver.number())?;
    match received {
        Received::Lost(count) => Err(broadcast::lost(count).into()),
        Received::Message(message) => {
            out.check(caller, message.bytes.len(), message.resources.len())?;
            out.write(
                caller,
                &message.bytes,
                message.resources.iter().filter_map(Transferred::share),
            )
        }
    }
}
