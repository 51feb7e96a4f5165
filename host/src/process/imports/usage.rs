//! Time, CPU, memory.

use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::write_u64s;
use crate::host_error::{HostError, respond};
use crate::process::usage;
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(AREA, "hrtime", usage::hrtime)?;
    linker.func_wrap(AREA, "uptime", usage::uptime)?;
    linker.func_wrap(AREA, "rss", usage::rss)?;
    linker.func_wrap(AREA, "available_memory", usage::available_memory)?;
    linker.func_wrap(AREA, "constrained_memory", usage::constrained_memory)?;
    linker.func_wrap(AREA, "cpu_usage", |mut caller: Caller<'_, IsolateState>, out: u32| {
        let result = cpu_usage(&mut caller, out);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(
        AREA,
        "thread_cpu_usage",
        |mut caller: Caller<'_, IsolateState>, out: u32| {
            let cpu = &caller.data().shared.cpu;
            cpu.count_running_turn();
            let used = cpu.get();
            let result = write_u64s(&mut caller, out, &used);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "memory_usage",
        |mut caller: Caller<'_, IsolateState>, heap_used: u64, out: u32| {
            let result = memory_usage(&mut caller, heap_used, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "resource_usage",
        |mut caller: Caller<'_, IsolateState>, out: u32| {
            let result = resource_usage(&mut caller, out);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn cpu_usage(caller: &mut Caller<'_, IsolateState>, out: u32) -> Result<(), HostError> {
    let used = usage::cpu_usage()?;
    write_u64s(caller, out, &[used.user_us, used.system_us])
}

fn resource_usage(caller: &mut Caller<'_, IsolateState>, out: u32) -> Result<(), HostError> {
    write_u64s(caller, out, &usage::resource_usage()?)
}

fn memory_usage(caller: &mut Caller<'_, IsolateState>, heap_used: u64, out: u32) -> Result<(), HostError> {
    let figures = memory_figures(caller.data(), heap_used);
    write_u64s(caller, out, &figures)
}

/// rss, heapTotal, heapUsed, external, arrayBuffers.
fn memory_figures(state: &IsolateState, heap_used: u64) -> [u64; 5] {
    let heap_total = state.memory_bytes() as u64;
    let heap_used = if heap_used == 0 {
        heap_total
    } else {
        heap_used.min(heap_total)
    };
    let array_buffers = 0;
    let external = array_buffers + state.host_bytes() as u64;
    [usage::rss(), heap_total, heap_used, external, array_buffers]
}
