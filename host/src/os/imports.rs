//! `nodule:os/1`.

use nodule_abi::imports::namespace;
use nodule_abi::value::Value;
use wasmtime::{Caller, Linker};

use super::Cpu;
use crate::guest_memory::SizedBuffer;
use crate::host_error::respond;
use crate::runtime::IsolateState;

const AREA: &str = namespace::os;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "cpus",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let cpus = Value::array(super::cpus().iter().map(describe));
            let result = SizedBuffer { ptr, cap, len_ptr }.write_value(&mut caller, &cpus);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(AREA, "available_parallelism", || {
        u32::try_from(super::available_parallelism()).unwrap_or(u32::MAX)
    })?;
    Ok(())
}

fn describe(cpu: &Cpu) -> Value {
    let times = &cpu.times;
    let times = [
        ("user", times.user_ms),
        ("nice", times.nice_ms),
        ("sys", times.sys_ms),
        ("idle", times.idle_ms),
        ("irq", times.irq_ms),
    ];
    Value::object([
        ("model", Value::from(cpu.model.as_str())),
        ("speed", cpu.speed_mhz.into()),
        ("times", Value::object(times)),
    ])
}
