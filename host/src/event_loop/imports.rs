//! `nodule:event_loop/1`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use nodule_abi::error::ErrorRecord;
use nodule_abi::event::{EVENT_RECORD_BYTES, EventKind, EventRecord};
use nodule_abi::imports::namespace;
use nodule_abi::limits::EVENT_BATCH_MAX;
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::messaging;
use crate::runtime::{IsolateState, park, serve_requests};

const AREA: &str = namespace::event_loop;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(AREA, "wait", |mut caller, arguments| {
        Box::new(async move {
            let result = wait(&mut caller, arguments).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap(
        AREA,
        "ref_handle",
        |mut caller: Caller<'_, IsolateState>, handle: u32| {
            let result = caller
                .data_mut()
                .handles
                .set_referenced(Handle::from_guest(handle), true);
            respond(&mut caller, result.map_err(HostError::from))
        },
    )?;
    linker.func_wrap(
        AREA,
        "unref_handle",
        |mut caller: Caller<'_, IsolateState>, handle: u32| {
            let result = caller
                .data_mut()
                .handles
                .set_referenced(Handle::from_guest(handle), false);
            respond(&mut caller, result.map_err(HostError::from))
        },
    )?;
    linker.func_wrap(
        AREA,
        "has_ref",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = has_ref(&mut caller, handle, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(AREA, "close", |mut caller: Caller<'_, IsolateState>, handle: u32| {
        let result = close(caller.data_mut(), Handle::from_guest(handle));
        respond(&mut caller, result)
    })?;
    Ok(())
}

async fn wait(
    caller: &mut Caller<'_, IsolateState>,
    (events_ptr, cap, timeout_ns, keep_alive, count_ptr): (u32, u32, i64, u32, u32),
) -> Result<(), HostError> {
    if cap == 0 || cap > EVENT_BATCH_MAX {
        return Err(
            ErrorRecord::out_of_range("cap", &format!(">= 1 && <= {EVENT_BATCH_MAX}"), &cap.to_string()).into(),
        );
    }
    guest_memory::check_writable(caller, events_ptr, cap as usize * EVENT_RECORD_BYTES)?;
    guest_memory::check_writable(caller, count_ptr, 4)?;
    let deadline = u64::try_from(timeout_ns)
        .ok()
        .and_then(|ns| Instant::now().checked_add(Duration::from_nanos(ns)));
    let mut records = std::mem::take(&mut caller.data_mut().event_records);
    records.clear();
    let result = next_records(caller, &mut records, cap as usize, deadline, keep_alive != 0).await;
    let written = result.and_then(|()| write_records(caller, events_ptr, &records));
    let count = u32::try_from(records.len()).unwrap_or(cap);
    caller.data_mut().event_records = records;
    written?;
    guest_memory::write_u32(caller, count_ptr, count)
}

fn write_records(caller: &mut Caller<'_, IsolateState>, ptr: u32, records: &[EventRecord]) -> Result<(), HostError> {
    match records {
        [] => Ok(()),
        [record] => guest_memory::write_bytes(caller, ptr, &record.to_bytes()),
        records => {
            let bytes: Vec<u8> = records.iter().flat_map(|record| record.to_bytes()).collect();
            guest_memory::write_bytes(caller, ptr, &bytes)
        }
    }
}

/// Queued records first, then due timers; waits when there are none. Nothing when the time is over,
/// or when nothing ref'd is left and the guest has no reason of its own to stay.
async fn next_records(
    caller: &mut Caller<'_, IsolateState>,
    records: &mut Vec<EventRecord>,
    max: usize,
    deadline: Option<Instant>,
    keep_alive: bool,
) -> Result<(), HostError> {
    loop {
        serve_requests(&mut *caller).map_err(HostError::Trap)?;
        let state = caller.data_mut();
        state.shared.events.take(records, max);
        for record in records.iter_mut() {
            match record.kind == EventKind::ThreadMessage as u32 {
                true => state.shared.thread_messages.delivered(),
                false => messaging::deliver(state, record),
            }
        }
        let due = state.timers.next_due();
        let mut is_over = false;
        // Most waits have neither: they need no clock.
        if deadline.is_some() || due.is_some() {
            let now = Instant::now();
            while records.len() < max
                && let Some(record) = state.timers.pop_due(now, &mut state.handles)
            {
                records.push(record);
            }
            is_over = deadline.is_some_and(|deadline| deadline <= now);
        }
        let is_idle = || !keep_alive && !state.handles.keep_alive() && !state.locks.waits_for_others(&state.shared);
        if !records.is_empty() || is_over || is_idle() {
            return Ok(());
        }
        let wake = match (deadline, due) {
            (Some(deadline), Some(due)) => Some(deadline.min(due)),
            (deadline, due) => deadline.or(due),
        };
        let shared = Arc::clone(&state.shared);
        let mut contexts = std::mem::take(&mut state.threads.contexts);
        let arrived = poll_fn(|context| {
            if shared.events.poll_arrived(context).is_ready() {
                return Poll::Ready(());
            }
            contexts.run(context);
            Poll::Pending
        });
        let _idle = shared.activity.park();
        match wake {
            // The runtime's clock has a grain of 1 ms and never fires early.
            Some(wake) => drop(park(caller, tokio::time::timeout_at(wake.into(), arrived)).await?),
            None => park(caller, arrived).await?,
        }
        caller.data_mut().threads.contexts = contexts;
    }
}

fn has_ref(caller: &mut Caller<'_, IsolateState>, handle: u32, out: u32) -> Result<(), HostError> {
    let referenced = caller.data().handles.is_referenced(Handle::from_guest(handle))?;
    guest_memory::write_u32(caller, out, u32::from(referenced))
}

fn close(state: &mut IsolateState, handle: Handle) -> Result<(), HostError> {
    state.messaging.marks.remove(&handle);
    state.shared_memory.unmap(handle)?;
    match state.handles.remove(handle)? {
        Resource::Timer { .. } => state.timers.clear(handle),
        Resource::Stdin => state.stdio.close_stdin(),
        // Dropping the end of a pipe is what its other end sees, dropping a lock releases it.
        Resource::Reader(_) | Resource::Writer(_) | Resource::Lock(_) => {}
        // Side modules stay mapped; only the handle goes.
        Resource::SideModule(_) => {}
        // Closed by being dropped.
        Resource::Port(_) | Resource::Broadcast(_) | Resource::Module(_) => {}
        // A worker runs on; a message to a thread may still arrive; an answer is given up.
        Resource::Worker(_) | Resource::ThreadMessage(_) | Resource::Reply(_) => {}
        Resource::SharedBuffer(_) | Resource::ArrayBuffer(_) | Resource::Wait(_) => {}
        // A child runs on.
        Resource::ChildProcess(_) | Resource::SyncResult(_) => {}
        // What a channel accepted is still sent.
        Resource::IpcChannel(_) | Resource::NativeHandle(_) => {}
    }
    Ok(())
}
