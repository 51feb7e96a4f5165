//! Looking at workers: usage, statistics, snapshots, profiles.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::value::Value;
use wasmtime::{Caller, Linker};

use super::AREA;
use super::threads::worker;
use crate::diagnostics::{self, CpuProfileOptions, HeapProfileOptions, SnapshotOptions};
use crate::guest_memory;
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::process::js_text;
use crate::runtime::{IsolateShared, IsolateState};
use crate::worker_threads::reply::{self, Body, Profile, READ_BYTES_MAX, Reply};

type Result<T> = std::result::Result<T, HostError>;
type Answer = nodule_abi::error::Result<Body>;

const EXPOSE_INTERNALS: u32 = 1;
const EXPOSE_NUMERIC_VALUES: u32 = 2;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "event_loop_utilization",
        |mut caller: Caller<'_, IsolateState>, handle: u32, times: u32| {
            let result = event_loop_utilization(&mut caller, handle, times);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "cpu_usage",
        |mut caller: Caller<'_, IsolateState>, handle: u32, usage: u32| {
            let result = cpu_usage(&mut caller, handle, usage);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "heap_snapshot",
        |mut caller: Caller<'_, IsolateState>, handle: u32, options: u32, out: u32| {
            let options = SnapshotOptions {
                expose_internals: options & EXPOSE_INTERNALS != 0,
                expose_numeric_values: options & EXPOSE_NUMERIC_VALUES != 0,
            };
            let result = heap_snapshot(&mut caller, handle, options, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "heap_statistics",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = ask_worker(&mut caller, handle, out, heap_statistics);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "start_cpu_profile",
        |mut caller: Caller<'_, IsolateState>, handle: u32, interval_us: f64, buffer_len: u32, out: u32| {
            let result = start_cpu_profile(&mut caller, handle, (interval_us, buffer_len), out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "start_heap_profile",
        |mut caller: Caller<'_, IsolateState>, handle: u32, interval_bytes: f64, stack_depth: u32, out: u32| {
            let result = start_heap_profile(&mut caller, handle, (interval_bytes, stack_depth), out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "stop_profile",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = stop_profile(&mut caller, handle, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "read_reply",
        |mut caller: Caller<'_, IsolateState>, handle: u32, buf: u32, cap: u32, len: u32| {
            let result = read_reply(&mut caller, Handle::from_guest(handle), (buf, cap, len));
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn event_loop_utilization(caller: &mut Caller<'_, IsolateState>, handle: u32, times: u32) -> Result<()> {
    let state = caller.data();
    let shared = match handle {
        0 => &state.shared,
        handle => worker(state, handle)?.shared(),
    };
    let (idle_ns, active_ns) = shared.activity.event_loop_utilization();
    guest_memory::write_u64s(caller, times, &[idle_ns, active_ns])
}

fn cpu_usage(caller: &mut Caller<'_, IsolateState>, handle: u32, usage: u32) -> Result<()> {
    let used = worker(caller.data(), handle)?.running()?.cpu.get();
    guest_memory::write_u64s(caller, usage, &used)
}

/// Asks a running worker something and writes the handle of the answer.
fn ask_worker<F: Future<Output = Answer> + Send + 'static>(
    caller: &mut Caller<'_, IsolateState>,
    handle: u32,
    out: u32,
    ask: impl FnOnce(Arc<IsolateShared>) -> F,
) -> Result<()> {
    let shared = Arc::clone(worker(caller.data(), handle)?.running()?);
    start_reply(caller, out, ask(shared))
}

fn start_reply(
    caller: &mut Caller<'_, IsolateState>,
    out: u32,
    ask: impl Future<Output = Answer> + Send + 'static,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let state = caller.data_mut();
    reply::check_room(&state.threads.open_replies)?;
    state.forget_stale_events();
    let (shared, counter) = (Arc::clone(&state.shared), Arc::clone(&state.threads.open_replies));
    let handle = state.handles.insert_with(true, |handle| {
        Resource::Reply(Reply::start(&shared, handle, &counter, ask))
    })?;
    guest_memory::write_u32(caller, out, handle.number())
}

fn heap_snapshot(caller: &mut Caller<'_, IsolateState>, handle: u32, options: SnapshotOptions, out: u32) -> Result<()> {
    let counter = &caller.data().threads.open_snapshots;
    reply::check_snapshots(counter)?;
    let counted = Arc::clone(counter);
    ask_worker(caller, handle, out, |shared| async move {
        let snapshot = diagnostics::heap_snapshot(&shared, options).await?;
        Ok(Body::Snapshot(snapshot, counted))
    })
}

async fn heap_statistics(shared: Arc<IsolateShared>) -> Answer {
    let statistics: Value = diagnostics::heap_statistics(&shared).await?.into();
    nodule_abi::value::to_vec(&statistics)
        .map(Body::Bytes)
        .map_err(|error| ErrorRecord::new(ErrorCode::Internal, error.to_string()).into())
}

/// A number that is an option: not negative, not NaN.
fn check_number(name: &str, number: f64) -> Result<f64> {
    if number.is_nan() || number < 0.0 {
        return Err(ErrorRecord::out_of_range(name, ">= 0", &js_text::number(number)).into());
    }
    Ok(number)
}

fn start_cpu_profile(
    caller: &mut Caller<'_, IsolateState>,
    handle: u32,
    (interval_us, buffer_len): (f64, u32),
    out: u32,
) -> Result<()> {
    let interval_us = check_number("options.sampleInterval", interval_us)?;
    let options = CpuProfileOptions {
        sample_interval: Duration::try_from_secs_f64(interval_us / 1e6).unwrap_or(Duration::MAX),
        max_buffer_size: buffer_len,
    };
    ask_worker(caller, handle, out, |shared| async move {
        let profile = diagnostics::start_cpu_profile(&shared, options).await?;
        Ok(Body::Profile(Arc::new(Profile::Cpu(profile))))
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, not NaN; too large becomes the largest"
)]
fn start_heap_profile(
    caller: &mut Caller<'_, IsolateState>,
    handle: u32,
    (interval_bytes, stack_depth): (f64, u32),
    out: u32,
) -> Result<()> {
    let options = HeapProfileOptions {
        sample_interval: check_number("options.sampleInterval", interval_bytes)? as u32,
        stack_depth,
    };
    ask_worker(caller, handle, out, move |shared| async move {
        let profile = diagnostics::start_heap_profile(&shared, options).await?;
        Ok(Body::Profile(Arc::new(Profile::Heap(profile))))
    })
}

/// The answer behind a handle.
fn reply(state: &IsolateState, handle: Handle) -> Result<&Reply> {
    match state.handles.get(handle)? {
        Resource::Reply(reply) => Ok(reply),
        _ => Err(ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no answer")).into()),
    }
}

fn stop_profile(caller: &mut Caller<'_, IsolateState>, handle: u32, out: u32) -> Result<()> {
    let handle = Handle::from_guest(handle);
    let profile = reply(caller.data(), handle)?.profile();
    let profile = profile.ok_or_else(|| ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no profile")))?;
    start_reply(caller, out, async move {
        profile.stop().await.map(|text| Body::Bytes(text.into_bytes()))
    })
}

fn read_reply(caller: &mut Caller<'_, IsolateState>, handle: Handle, (buf, cap, len): (u32, u32, u32)) -> Result<()> {
    if cap == 0 || cap > READ_BYTES_MAX {
        return Err(ErrorRecord::out_of_range("cap", &format!(">= 1 && <= {READ_BYTES_MAX}"), &cap.to_string()).into());
    }
    guest_memory::check_writable(caller, buf, cap as usize)?;
    guest_memory::check_writable(caller, len, 4)?;
    let read = reply(caller.data(), handle)?.read(cap as usize);
    let is_waiting = read.as_ref().is_err_and(|error| error.is_code("EAGAIN"));
    caller.data_mut().handles.set_active(handle, is_waiting)?;
    let bytes = read?;
    guest_memory::write_bytes(caller, buf, &bytes)?;
    guest_memory::write_u32(caller, len, u32::try_from(bytes.len()).unwrap_or(cap))
}
