//! Imports of the area `worker_threads`.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::messaging::{MessageRef, RawMessage};
use super::{check, encode, fill, import, is, len32, sized_text, sized_value};
use crate::error::Result;

/// What the host answers to a new worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spawned {
    pub worker: u32,
    pub port: u32,
    pub thread: u32,
    /// Handles of its streams, 0 for none.
    pub stdio: [u32; 3],
}

pub(crate) fn spawn(options: &impl Serialize, code: &[u8], data: Option<MessageRef<'_>>) -> Result<Spawned> {
    let options = encode(options)?;
    let data = data.unwrap_or_default();
    let [worker, port, thread, stdin, stdout, stderr] = fill(|out| {
        import!(worker_threads::spawn(
            options.as_ptr(),
            len32(options.len()),
            code.as_ptr(),
            len32(code.len()),
            data.bytes.as_ptr(),
            len32(data.bytes.len()),
            data.resources.as_ptr(),
            len32(data.resources.len()),
            data.transfer.as_ptr(),
            len32(data.transfer.len()),
            out
        ))
    })?;
    Ok(Spawned {
        worker,
        port,
        thread,
        stdio: [stdin, stdout, stderr],
    })
}

/// Compiles a module; gives its handle.
pub(crate) fn module_compile(code: &[u8]) -> Result<u32> {
    let [module] = fill(|out| import!(worker_threads::module_compile(code.as_ptr(), len32(code.len()), out)))?;
    Ok(module)
}

/// A handle of the module that runs.
pub(crate) fn module_current() -> Result<u32> {
    let [module] = fill(|out| import!(worker_threads::module_current(out)))?;
    Ok(module)
}

/// The digest of a module.
pub(crate) fn module_digest(module: u32) -> Result<String> {
    sized_text(|buf, cap, len| import!(worker_threads::module_digest(module, buf, cap, len)))
}

/// Handles of the context and of the port to it.
pub(crate) fn create_context(options: &impl Serialize, code: &[u8]) -> Result<[u32; 2]> {
    let options = encode(options)?;
    fill(|out| {
        import!(worker_threads::create_context(
            options.as_ptr(),
            len32(options.len()),
            code.as_ptr(),
            len32(code.len()),
            out
        ))
    })
}

pub(crate) fn terminate(worker: u32) -> Result<()> {
    check(import!(worker_threads::terminate(worker)))
}

pub(crate) fn exit_error(worker: u32) -> Result<ErrorRecord> {
    sized_value(|buf, cap, len| import!(worker_threads::exit_error(worker, buf, cap, len)))
}

pub(crate) fn this_thread<T: DeserializeOwned>() -> Result<T> {
    sized_value(|buf, cap, len| import!(worker_threads::this_thread(buf, cap, len)))
}

/// Whether a look-up found a message.
fn found(outcome: u32, is_missing: &mut bool) -> u32 {
    *is_missing = is(outcome, ErrorCode::Enoent);
    outcome
}

/// Fills `message` by a call that may answer `ENOENT`; gives whether there was one.
fn look_up(
    message: &mut RawMessage,
    mut call: impl FnMut(*mut u8, u32, *mut u32, *mut u32, u32, *mut u32) -> u32,
) -> Result<bool> {
    let mut is_missing = false;
    let filled = message.fill(|buf, cap, len, entries, entries_cap, entries_len| {
        found(call(buf, cap, len, entries, entries_cap, entries_len), &mut is_missing)
    });
    match filled {
        Err(_) if is_missing => Ok(false),
        filled => filled,
    }
}

pub(crate) fn worker_data(message: &mut RawMessage) -> Result<bool> {
    look_up(message, |buf, cap, len, entries, entries_cap, entries_len| {
        import!(worker_threads::worker_data(
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len
        ))
    })
}

pub(crate) fn set_environment_data(key: &[u8], value: MessageRef<'_>) -> Result<()> {
    check(import!(worker_threads::set_environment_data(
        key.as_ptr(),
        len32(key.len()),
        value.bytes.as_ptr(),
        len32(value.bytes.len()),
        value.resources.as_ptr(),
        len32(value.resources.len())
    )))
}

pub(crate) fn get_environment_data(key: &[u8], message: &mut RawMessage) -> Result<bool> {
    look_up(message, |buf, cap, len, entries, entries_cap, entries_len| {
        import!(worker_threads::get_environment_data(
            key.as_ptr(),
            len32(key.len()),
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len
        ))
    })
}

/// Gives the handle of the request.
pub(crate) fn post_to_thread(thread: u32, message: MessageRef<'_>, timeout_ms: f64) -> Result<u32> {
    let [request] = fill(|out| {
        import!(worker_threads::post_to_thread(
            thread,
            message.bytes.as_ptr(),
            len32(message.bytes.len()),
            message.resources.as_ptr(),
            len32(message.resources.len()),
            message.transfer.as_ptr(),
            len32(message.transfer.len()),
            timeout_ms,
            out
        ))
    })?;
    Ok(request)
}

pub(crate) fn thread_messages_listen(on: bool) -> Result<()> {
    check(import!(worker_threads::thread_messages_listen(u32::from(on))))
}

/// Takes a message of another thread: its id and the token to answer with.
pub(crate) fn thread_message_receive(message: &mut RawMessage) -> Result<Option<[u32; 2]>> {
    let mut origin = [0; 2];
    let is_there = message.fill(|buf, cap, len, entries, entries_cap, entries_len| {
        import!(worker_threads::thread_message_receive(
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len,
            origin.as_mut_ptr()
        ))
    })?;
    Ok(is_there.then_some(origin))
}

pub(crate) fn thread_message_done(token: u32, failed: u32) -> Result<()> {
    check(import!(worker_threads::thread_message_done(token, failed)))
}

/// Idle and active time in ns; `worker` 0 for the calling isolate.
pub(crate) fn event_loop_utilization(worker: u32) -> Result<[u64; 2]> {
    fill(|out| import!(worker_threads::event_loop_utilization(worker, out)))
}

pub(crate) fn cpu_usage(worker: u32) -> Result<[u64; 2]> {
    fill(|out| import!(worker_threads::cpu_usage(worker, out)))
}

pub(crate) fn heap_snapshot(worker: u32, options: u32) -> Result<u32> {
    let [reply] = fill(|out| import!(worker_threads::heap_snapshot(worker, options, out)))?;
    Ok(reply)
}

pub(crate) fn heap_statistics(worker: u32) -> Result<u32> {
    let [reply] = fill(|out| import!(worker_threads::heap_statistics(worker, out)))?;
    Ok(reply)
}

pub(crate) fn start_cpu_profile(worker: u32, interval_us: f64, buffer_len: u32) -> Result<u32> {
    let [reply] = fill(|out| import!(worker_threads::start_cpu_profile(worker, interval_us, buffer_len, out)))?;
    Ok(reply)
}

pub(crate) fn start_heap_profile(worker: u32, interval_bytes: f64, stack_depth: u32) -> Result<u32> {
    let [reply] = fill(|out| {
        import!(worker_threads::start_heap_profile(
            worker,
            interval_bytes,
            stack_depth,
            out
        ))
    })?;
    Ok(reply)
}

pub(crate) fn stop_profile(profile: u32) -> Result<u32> {
    let [reply] = fill(|out| import!(worker_threads::stop_profile(profile, out)))?;
    Ok(reply)
}

/// Reads on in a reply; 0 at its end.
pub(crate) fn read_reply(reply: u32, buf: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    check(import!(worker_threads::read_reply(
        reply,
        buf.as_mut_ptr(),
        len32(buf.len()),
        &mut len
    )))?;
    Ok((len as usize).min(buf.len()))
}
