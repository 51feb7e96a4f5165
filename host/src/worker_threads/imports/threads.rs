//! Starting and ending workers; what a thread knows of itself.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::limits::{QUEUE_BYTES_MAX, WORKER_MODULE_BYTES_MAX};
use nodule_abi::value::Value;
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{self, SizedBuffer};
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::messaging::arguments::{MessageArgs, MessageOut, give_message};
use crate::messaging::{Charged, queue_full};
use crate::runtime::IsolateState;
use crate::worker_threads::Worker;
use crate::worker_threads::contexts;
use crate::worker_threads::options::WorkerOptions;
use crate::worker_threads::spawn::{self, Started};

type Result<T> = std::result::Result<T, HostError>;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "spawn",
        |mut caller: Caller<'_, IsolateState>,
         options: u32,
         options_len: u32,
         code: u32,
         code_len: u32,
         message: u32,
         message_len: u32,
         resources: u32,
         resources_len: u32,
         transfer: u32,
         transfer_len: u32,
         out: u32| {
            let message = MessageArgs {
                message,
                message_len,
                resources,
                resources_len,
                transfer,
                transfer_len,
            };
            let result = spawn_worker(&mut caller, (options, options_len), (code, code_len), message, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "terminate",
        |mut caller: Caller<'_, IsolateState>, handle: u32| {
            let result = worker(caller.data(), handle).map(Worker::terminate);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "exit_error",
        |mut caller: Caller<'_, IsolateState>, handle: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = exit_error(&mut caller, handle, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "this_thread",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let facts = this_thread(caller.data());
            let result = SizedBuffer { ptr, cap, len_ptr }.write_value(&mut caller, &facts);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "worker_data",
        |mut caller: Caller<'_, IsolateState>,
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
            let result = worker_data(&mut caller, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "create_context",
        |mut caller: Caller<'_, IsolateState>, options: u32, options_len: u32, code: u32, code_len: u32, out: u32| {
            let result = create_context(&mut caller, (options, options_len), (code, code_len), out);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

/// The worker behind a handle.
pub(super) fn worker(state: &IsolateState, handle: u32) -> Result<&Worker> {
    match state.handles.get(Handle::from_guest(handle))? {
        Resource::Worker(worker) => Ok(worker),
        _ => Err(ErrorRecord::new(ErrorCode::Einval, format!("handle {handle} is no worker")).into()),
    }
}

/// The bytes of a module, if the guest gave any.
pub(super) fn read_code(caller: &mut Caller<'_, IsolateState>, (ptr, len): (u32, u32)) -> Result<Option<Vec<u8>>> {
    let most = u32::try_from(WORKER_MODULE_BYTES_MAX).unwrap_or(u32::MAX);
    match len {
        0 => Ok(None),
        len => Ok(Some(guest_memory::read_bytes(caller, ptr, len, most)?)),
    }
}

fn spawn_worker(
    caller: &mut Caller<'_, IsolateState>,
    (options, options_len): (u32, u32),
    code: (u32, u32),
    message: MessageArgs,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 24)?;
    let options: WorkerOptions = guest_memory::read_value(caller, options, options_len)?;
    let code = read_code(caller, code)?;
    let prepared = spawn::prepare(caller.data(), &options, code)?;
    let data = match message.message_len {
        0 => None,
        _ => {
            let bytes_max = prepared.granted.limits.max_queue_bytes;
            Some(take_worker_data(caller, message, bytes_max)?)
        }
    };
    let Started {
        worker,
        port,
        thread,
        stdio,
    } = prepared.start(caller.data_mut(), data)?;
    let numbers = [
        worker.number(),
        port.number(),
        thread,
        stdio[0].unwrap_or(0),
        stdio[1].unwrap_or(0),
        stdio[2].unwrap_or(0),
    ];
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    guest_memory::write_bytes(caller, out, &bytes)
}

/// Takes `workerData` out of its creator, which pays for it until the worker has it. Nothing moves when it is too much.
fn take_worker_data(
    caller: &mut Caller<'_, IsolateState>,
    message: MessageArgs,
    bytes_max: Option<usize>,
) -> Result<Charged> {
    let draft = message.read(caller, None)?;
    let cost = draft.cost();
    if cost > bytes_max.map_or(QUEUE_BYTES_MAX, |max| max.min(QUEUE_BYTES_MAX)) {
        return Err(queue_full("workerData is larger than the worker's queue may be").into());
    }
    let state = caller.data_mut();
    let charge = state.shared.queued.hold(cost);
    let charge = charge
        .ok_or_else(|| queue_full("the queues of the process, or the share of this isolate in them, are full"))?;
    let message = draft.into_message(state)?;
    Ok(Charged { message, charge })
}

fn create_context(
    caller: &mut Caller<'_, IsolateState>,
    (options, options_len): (u32, u32),
    code: (u32, u32),
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 8)?;
    let options: WorkerOptions = guest_memory::read_value(caller, options, options_len)?;
    let code = read_code(caller, code)?;
    let handles = contexts::create(caller.data_mut(), &options, code)?;
    let bytes: Vec<u8> = handles
        .iter()
        .flat_map(|handle| handle.number().to_le_bytes())
        .collect();
    guest_memory::write_bytes(caller, out, &bytes)
}

fn exit_error(caller: &mut Caller<'_, IsolateState>, handle: u32, out: SizedBuffer) -> Result<()> {
    let record = worker(caller.data(), handle)?.exit_error().ok_or(ErrorCode::Enoent)?;
    out.write_value(caller, &*record)
}

fn this_thread(state: &IsolateState) -> Value {
    let threads = &state.threads;
    Value::object([
        ("threadId", Value::from(state.shared.thread.number())),
        ("threadName", threads.name.as_deref().map_or(Value::Null, Value::from)),
        (
            "resourceLimits",
            threads
                .resource_limits
                .clone()
                .unwrap_or_else(|| Value::object::<&str, Value>([])),
        ),
        ("parentPort", threads.parent_port.map_or(0, Handle::number).into()),
        ("isInternalThread", false.into()),
    ])
}

fn worker_data(caller: &mut Caller<'_, IsolateState>, out: MessageOut) -> Result<()> {
    let Some(Charged { message, charge }) = caller.data_mut().threads.worker_data.take() else {
        return Err(ErrorCode::Enoent.into());
    };
    let mut message = Some(message);
    let given = give_message(caller, &mut message, out);
    caller.data_mut().threads.worker_data = message.map(|message| Charged { message, charge });
    given
}
