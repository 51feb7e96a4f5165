//! `nodule:child_process/1`.

use std::sync::Arc;
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::imports::namespace;
use nodule_abi::limits::CHILD_OPTIONS_BYTES_MAX;
use nodule_abi::value::{self, Object, Value};
use wasmtime::{Caller, Linker};

use super::ChildProcess;
use super::options::{Form, Request};
use super::process::Timeout;
use super::program::Names;
use super::spawn::{self, Prepared};
use super::start_failure::StartFailure;
use super::sync::{Run, RunResult};
use super::tree;
use crate::guest_memory::{self, SizedBuffer};
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::runtime::{IsolateState, park};
use crate::spawn_tied::Tied;

const AREA: &str = namespace::child_process;

/// A length that stands for no input.
const NO_INPUT: u32 = u32::MAX;

type Result<T> = std::result::Result<T, HostError>;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(AREA, "spawn", |mut caller, arguments| {
        Box::new(async move {
            let result = spawn(&mut caller, arguments).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap_async(AREA, "spawn_sync", |mut caller, arguments| {
        Box::new(async move {
            let result = spawn_sync(&mut caller, arguments).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap_async(AREA, "kill_tree", |mut caller, arguments| {
        Box::new(async move {
            let result = kill_tree(&mut caller, arguments).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap(
        AREA,
        "kill",
        |mut caller: Caller<'_, IsolateState>, handle: u32, signal: i32| {
            let result = kill(caller.data(), handle, signal);
            respond(&mut caller, result)
        },
    )?;
    register_facts(linker)
}

fn register_facts(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "start_error",
        |mut caller: Caller<'_, IsolateState>, handle: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = start_error(&mut caller, handle, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "start_facts",
        |mut caller: Caller<'_, IsolateState>, handle: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = start_facts(&mut caller, handle, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker
        .func_wrap(
            AREA,
            "sync_result",
            |mut caller: Caller<'_, IsolateState>, handle: u32, ptr: u32, cap: u32, len_ptr: u32| {
                let result = sync_result(&mut caller, handle, SizedBuffer { ptr, cap, len_ptr });
                respond(&mut caller, result)
            },
        )
        .map(drop)
}

fn read_request(caller: &mut Caller<'_, IsolateState>, (ptr, len): (u32, u32), form: Form) -> Result<Request> {
    let bytes = guest_memory::read_bytes(caller, ptr, len, CHILD_OPTIONS_BYTES_MAX)?;
    let value: Value = value::from_slice(&bytes)
        .map_err(|error| ErrorRecord::new(ErrorCode::InvalidArgValue, format!("the options are no value: {error}")))?;
    Ok(Request::from_value(&value, form)?)
}

fn child(state: &IsolateState, handle: u32) -> Result<&ChildProcess> {
    match state.handles.get(Handle::from_guest(handle))? {
        Resource::ChildProcess(child) => Ok(child),
        _ => Err(ErrorRecord::new(ErrorCode::Einval, format!("handle {handle} is no child process")).into()),
    }
}

async fn spawn(
    caller: &mut Caller<'_, IsolateState>,
    (options, options_len, stdio, stdio_cap, out): (u32, u32, u32, u32, u32),
) -> Result<()> {
    guest_memory::check_writable(caller, out, 12)?;
    let request = read_request(caller, (options, options_len), Form::Async)?;
    let entries = request.stdio.len();
    if entries > stdio_cap as usize {
        let message = format!("stdio has {entries} entries, there is room for {stdio_cap}");
        return Err(ErrorRecord::new(ErrorCode::Erange, message).into());
    }
    guest_memory::check_writable(caller, stdio, entries * 8)?;
    let timeout = request.timeout.map(|after| Timeout {
        after,
        signal: request.kill_signal,
        whole_tree: request.kill_tree,
    });
    let names = Arc::new(Names::of(&request, &caller.data().process));
    let prepared = Prepared::new(caller.data(), &request, &names).and_then(Prepared::ready);
    let answer = match prepared {
        Ok(mut prepared) => {
            let launched = park(caller, prepared.launch()).await?;
            spawn::adopt(caller.data_mut(), prepared, launched, timeout)?
        }
        Err(failure) if failure.is_told_later() => spawn::adopt_unstarted(caller.data_mut(), failure, names, &request)?,
        Err(failure) => return Err(failure.thrown("spawn").into()),
    };
    for (index, pair) in (0_u32..).zip(&answer.stdio) {
        guest_memory::write_u32(caller, stdio + index * 8, pair[0])?;
        guest_memory::write_u32(caller, stdio + index * 8 + 4, pair[1])?;
    }
    let channel = answer.channel.map_or(0, Handle::number);
    for (offset, number) in [(0, answer.child.number()), (4, answer.pid), (8, channel)] {
        guest_memory::write_u32(caller, out + offset, number)?;
    }
    Ok(())
}

async fn spawn_sync(
    caller: &mut Caller<'_, IsolateState>,
    (options, options_len, input, input_len, out): (u32, u32, u32, u32, u32),
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let request = read_request(caller, (options, options_len), Form::Sync)?;
    let max_total = caller.data().limits.max_memory_bytes;
    let input = match input_len {
        NO_INPUT => None,
        len => Some(guest_memory::read_bytes(
            caller,
            input,
            len,
            u32::try_from(max_total).unwrap_or(u32::MAX),
        )?),
    };
    let state = caller.data();
    state.handles.check_room(1)?;
    let names = Arc::new(Names::of(&request, &state.process));
    let result = match Prepared::new(state, &request, &names) {
        Ok(prepared) => {
            let run = Run {
                prepared,
                input,
                max_buffer: request.max_buffer,
                max_total,
                timeout: request.timeout,
                kill_signal: request.kill_signal,
                kill_tree: request.kill_tree,
            };
            park(caller, run.run()).await?
        }
        Err(failure) => Err(failure),
    };
    let result = match result {
        Ok(result) => result,
        // A mistake of the caller is thrown, also here.
        Err(StartFailure::Guest(record)) => return Err(record.into()),
        Err(failure) => RunResult::failed(failure, &names),
    };
    let encoded = value::to_vec(&result).map_err(HostError::internal)?;
    let handle = caller
        .data_mut()
        .handles
        .insert(Resource::SyncResult(encoded.into()), false)?;
    guest_memory::write_u32(caller, out, handle.number())
}

fn sync_result(caller: &mut Caller<'_, IsolateState>, handle: u32, buffer: SizedBuffer) -> Result<()> {
    let encoded = match caller.data().handles.get(Handle::from_guest(handle))? {
        Resource::SyncResult(encoded) => Arc::clone(encoded),
        _ => return Err(ErrorRecord::new(ErrorCode::Einval, format!("handle {handle} is no result")).into()),
    };
    buffer.write(caller, &encoded)
}

fn start_error(caller: &mut Caller<'_, IsolateState>, handle: u32, buffer: SizedBuffer) -> Result<()> {
    match child(caller.data(), handle)?.failure.clone() {
        Some(failure) => buffer.write_value(caller, &*failure),
        None => Err(ErrorCode::Esrch.into()),
    }
}

fn start_facts(caller: &mut Caller<'_, IsolateState>, handle: u32, buffer: SizedBuffer) -> Result<()> {
    let names = &child(caller.data(), handle)?.names;
    let arguments = names.spawnargs.iter().map(|word| Value::from(word.as_str()));
    let mut facts = Object::new();
    facts.insert("spawnargs", Value::Array(arguments.collect()));
    facts.insert("spawnfile", names.spawnfile.as_str());
    buffer.write_value(caller, &Value::Object(facts))
}

fn gone() -> HostError {
    ErrorRecord::system(ErrorCode::Esrch, "kill").into()
}

fn kill(state: &IsolateState, handle: u32, signal: i32) -> Result<()> {
    match &child(state, handle)?.process {
        Some(process) => Ok(process.kill(signal)?),
        None => Err(gone()),
    }
}

async fn kill_tree(
    caller: &mut Caller<'_, IsolateState>,
    (handle, signal, grace_ms, out): (u32, i32, f64, u32),
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    if grace_ms.is_nan() {
        return Err(ErrorRecord::out_of_range("grace", ">= 0", "NaN").into());
    }
    if !(1..=64).contains(&signal) {
        return Err(ErrorRecord::system(ErrorCode::Einval, "kill").into());
    }
    let process = child(caller.data(), handle)?.process.clone().ok_or_else(gone)?;
    let (count, tree) = park(caller, async move { tree::kill(&process, signal).await }).await?;
    if grace_ms >= 0.0 && !tree.is_empty() {
        let grace = Duration::try_from_secs_f64(grace_ms / 1000.0).unwrap_or(Duration::MAX);
        let group = Arc::clone(&caller.data().shared.group);
        let tasks = Arc::clone(&group);
        tasks.processes.add(None, |number| {
            Tied::spawn(async move {
                tree.end_after(grace).await;
                group.processes.remove(number);
            })
        });
    }
    guest_memory::write_u32(caller, out, u32::try_from(count).unwrap_or(u32::MAX))
}
