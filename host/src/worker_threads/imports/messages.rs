//! Environment data and messages from thread to thread.

use std::sync::Arc;
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::limits::{NAME_BYTES_MAX, THREAD_MESSAGES_LEN_MAX};
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory;
use crate::handles::Resource;
use crate::host_error::{HostError, respond};
use crate::messaging::arguments::{MessageArgs, MessageOut, give_message, take_message};
use crate::runtime::{IsolateState, ThreadId};
use crate::worker_threads::thread_messages::{self, ThreadMessage};

type Result<T> = std::result::Result<T, HostError>;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "set_environment_data",
        |mut caller: Caller<'_, IsolateState>,
         key: u32,
         key_len: u32,
         message: u32,
         message_len: u32,
         resources: u32,
         resources_len: u32| {
            let message = MessageArgs {
                message,
                message_len,
                resources,
                resources_len,
                transfer: 0,
                transfer_len: 0,
            };
            let result = set_environment_data(&mut caller, (key, key_len), message);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "get_environment_data",
        |mut caller: Caller<'_, IsolateState>,
         key: u32,
         key_len: u32,
         buf: u32,
         cap: u32,
         len: u32,
         resources: u32,
         resources_cap: u32,
         resources_len: u32| {
            let out = MessageOut {
                buf,
                cap,
                len,
                resources,
                resources_cap,
                resources_len,
            };
            let result = get_environment_data(&mut caller, (key, key_len), out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "post_to_thread",
        |mut caller: Caller<'_, IsolateState>,
         thread: u32,
         message: u32,
         message_len: u32,
         resources: u32,
         resources_len: u32,
         transfer: u32,
         transfer_len: u32,
         timeout_ms: f64,
         out: u32| {
            let message = MessageArgs {
                message,
                message_len,
                resources,
                resources_len,
                transfer,
                transfer_len,
            };
            let result = post_to_thread(&mut caller, ThreadId::from_guest(thread), message, timeout_ms, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "thread_messages_listen",
        |mut caller: Caller<'_, IsolateState>, on: u32| {
            let state = caller.data();
            let (shared, bytes_max) = (&state.shared, state.messaging.queue_bytes_max);
            shared.thread_messages.listen(shared, on != 0, bytes_max);
            respond(&mut caller, Ok(()))
        },
    )?;
    linker.func_wrap(
        AREA,
        "thread_message_receive",
        |mut caller: Caller<'_, IsolateState>,
         buf: u32,
         cap: u32,
         len: u32,
         resources: u32,
         resources_cap: u32,
         resources_len: u32,
         origin: u32| {
            let out = MessageOut {
                buf,
                cap,
                len,
                resources,
                resources_cap,
                resources_len,
            };
            let result = thread_message_receive(&mut caller, out, origin);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "thread_message_done",
        |mut caller: Caller<'_, IsolateState>, token: u32, failed: u32| {
            let result = thread_message_done(caller.data_mut(), token, failed);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn set_environment_data(caller: &mut Caller<'_, IsolateState>, key: (u32, u32), message: MessageArgs) -> Result<()> {
    let key = guest_memory::read_bytes(caller, key.0, key.1, NAME_BYTES_MAX)?;
    if message.message_len == 0 {
        caller.data_mut().threads.environment_data.delete(&key);
        return Ok(());
    }
    let message = take_message(caller, message)?;
    let state = caller.data_mut();
    let account = Arc::clone(&state.shared.queued);
    Ok(state.threads.environment_data.set(&account, &key, message)?)
}

fn get_environment_data(caller: &mut Caller<'_, IsolateState>, key: (u32, u32), out: MessageOut) -> Result<()> {
    let key = guest_memory::read_bytes(caller, key.0, key.1, NAME_BYTES_MAX)?;
    let message = caller
        .data()
        .threads
        .environment_data
        .get(&key)
        .ok_or(ErrorCode::Enoent)?;
    // A copy: what does not fit stays where it is.
    let mut message = message.share();
    give_message(caller, &mut message, out)
}

fn post_to_thread(
    caller: &mut Caller<'_, IsolateState>,
    thread: ThreadId,
    message: MessageArgs,
    timeout_ms: f64,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let shared = Arc::clone(&caller.data().shared);
    if thread == shared.thread {
        let code = ErrorCode::WorkerMessagingSameThread;
        return Err(ErrorRecord::new(code, code.text()).into());
    }
    caller.data().handles.check_room(1)?;
    let timeout = (timeout_ms >= 0.0)
        .then(|| Duration::try_from_secs_f64(timeout_ms / 1000.0).ok())
        .flatten();
    let message = take_message(caller, message)?;
    let target = shared.group.thread(thread);
    let state = caller.data_mut();
    state.forget_stale_events();
    let handle = state.handles.insert_with(false, |handle| {
        Resource::ThreadMessage(thread_messages::post(&shared, handle, target, message, timeout))
    })?;
    guest_memory::write_u32(caller, out, handle.number())
}

fn thread_message_receive(caller: &mut Caller<'_, IsolateState>, out: MessageOut, origin: u32) -> Result<()> {
    guest_memory::check_writable(caller, origin, 8)?;
    if caller.data().threads.receipts.len() >= THREAD_MESSAGES_LEN_MAX {
        let message = "too many messages of other threads are being processed";
        return Err(ErrorRecord::new(ErrorCode::Emfile, message).into());
    }
    let Some(ThreadMessage {
        source,
        message,
        charge,
        receipt,
    }) = caller.data().shared.thread_messages.take()
    else {
        return Err(ErrorCode::Eagain.into());
    };
    let mut message = Some(message);
    let given = give_message(caller, &mut message, out);
    if let Some(message) = message {
        let unread = ThreadMessage {
            source,
            message,
            charge,
            receipt,
        };
        caller.data().shared.thread_messages.put_back(unread);
        return given;
    }
    given?;
    let token = caller.data_mut().threads.add_receipt(receipt);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&source.number().to_le_bytes());
    bytes[4..].copy_from_slice(&token.to_le_bytes());
    guest_memory::write_bytes(caller, origin, &bytes)
}

fn thread_message_done(state: &mut IsolateState, token: u32, failed: u32) -> Result<()> {
    let receipt = state.threads.receipts.remove(&token).ok_or(ErrorCode::HandleClosed)?;
    receipt.settle(match failed {
        0 => None,
        1 => Some(ErrorCode::WorkerMessagingErrored),
        _ => Some(ErrorCode::WorkerMessagingFailed),
    });
    Ok(())
}
