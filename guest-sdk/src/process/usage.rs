//! Time, CPU and memory.

use nodule_abi::error::{ErrorCode, ErrorRecord};

use crate::error::Result;
use crate::sys;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Monotonic time in ns from an arbitrary point, which all processes of the machine share
/// (Node: `process.hrtime.bigint`).
pub fn hrtime() -> u64 {
    sys::process::hrtime()
}

/// Monotonic time as seconds and ns, or the time since `previous` (Node: `process.hrtime`).
pub fn hrtime_tuple(previous: Option<(i64, i64)>) -> (i64, i64) {
    let now = i64::try_from(hrtime()).unwrap_or(i64::MAX);
    since(now, previous)
}

fn since(now_ns: i64, previous: Option<(i64, i64)>) -> (i64, i64) {
    let (seconds, ns) = (now_ns / NS_PER_SECOND, now_ns % NS_PER_SECOND);
    let Some((previous_seconds, previous_ns)) = previous else {
        return (seconds, ns);
    };
    let (seconds, ns) = (seconds.wrapping_sub(previous_seconds), ns.wrapping_sub(previous_ns));
    if ns < 0 {
        (seconds.wrapping_sub(1), ns.wrapping_add(NS_PER_SECOND))
    } else {
        (seconds, ns)
    }
}

/// Seconds since the process started (Node: `process.uptime`).
pub fn uptime() -> f64 {
    sys::process::uptime()
}

/// CPU time in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// In user mode.
    pub user: i64,
    /// In the kernel.
    pub system: i64,
}

/// CPU time of the whole process, or what was added since `previous` (Node: `process.cpuUsage`).
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE` for a negative figure in `previous`.
pub fn cpu_usage(previous: Option<CpuUsage>) -> Result<CpuUsage> {
    check_previous(previous)?;
    difference(sys::process::cpu_usage()?, previous)
}

/// CPU time of this isolate, or what was added since `previous` (Node: `process.threadCpuUsage`).
///
/// # Errors
/// As [`cpu_usage`].
pub fn thread_cpu_usage(previous: Option<CpuUsage>) -> Result<CpuUsage> {
    check_previous(previous)?;
    difference(sys::process::thread_cpu_usage()?, previous)
}

pub(crate) fn check_previous(previous: Option<CpuUsage>) -> Result<()> {
    let Some(previous) = previous else { return Ok(()) };
    for (name, figure) in [("prevValue.user", previous.user), ("prevValue.system", previous.system)] {
        if figure < 0 {
            let record = ErrorRecord {
                name: "RangeError".into(),
                ..ErrorRecord::new(
                    ErrorCode::InvalidArgValue,
                    format!("The property '{name}' is invalid. Received {figure}"),
                )
            };
            return Err(record.into());
        }
    }
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the last step of functions that give results")]
pub(crate) fn difference([user, system]: [u64; 2], previous: Option<CpuUsage>) -> Result<CpuUsage> {
    let previous = previous.unwrap_or_default();
    let figure = |now: u64, before: i64| i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(before);
    Ok(CpuUsage {
        user: figure(user, previous.user),
        system: figure(system, previous.system),
    })
}

/// Memory in bytes (Node: `process.memoryUsage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Resident set size of the whole process.
    pub rss: u64,
    /// Size of the isolate's memories.
    pub heap_total: u64,
    /// What is allocated of them; all of it when nobody counts (feature `counting-allocator`).
    pub heap_used: u64,
    /// Bytes outside them that belong to the isolate.
    pub external: u64,
    /// Those of them that are buffers.
    pub array_buffers: u64,
}

/// Memory of the process and of this isolate (Node: `process.memoryUsage`).
///
/// # Errors
/// When the system does not tell.
pub fn memory_usage() -> Result<MemoryUsage> {
    let [rss, heap_total, heap_used, external, array_buffers] = sys::process::memory_usage(sys::heap_used())?;
    Ok(MemoryUsage {
        rss,
        heap_total,
        heap_used,
        external,
        array_buffers,
    })
}

/// Resident set size of the process (Node: `process.memoryUsage.rss`).
pub fn rss() -> u64 {
    sys::process::rss()
}

/// Bytes that are free for the process, control groups counted (Node: `process.availableMemory`).
pub fn available_memory() -> u64 {
    sys::process::available_memory()
}

/// Memory limit of the process, 0 when there is none (Node: `process.constrainedMemory`).
pub fn constrained_memory() -> u64 {
    sys::process::constrained_memory()
}

/// What the process used (Node: `process.resourceUsage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// CPU time in user mode, µs.
    pub user_cpu_time: u64,
    /// CPU time in the kernel, µs.
    pub system_cpu_time: u64,
    /// Largest resident set size, KiB.
    pub max_rss: u64,
    /// 0 on Linux.
    pub shared_memory_size: u64,
    /// 0 on Linux.
    pub unshared_data_size: u64,
    /// 0 on Linux.
    pub unshared_stack_size: u64,
    /// Page faults without I/O.
    pub minor_page_fault: u64,
    /// Page faults with I/O.
    pub major_page_fault: u64,
    /// 0 on Linux.
    pub swapped_out: u64,
    /// Reads of the file system.
    pub fs_read: u64,
    /// Writes to the file system.
    pub fs_write: u64,
    /// 0 on Linux.
    pub ipc_sent: u64,
    /// 0 on Linux.
    pub ipc_received: u64,
    /// 0 on Linux.
    pub signals_count: u64,
    /// Context switches because of waiting.
    pub voluntary_context_switches: u64,
    /// Context switches because the time was up.
    pub involuntary_context_switches: u64,
}

/// What the process used (Node: `process.resourceUsage`).
///
/// # Errors
/// When the system does not tell.
pub fn resource_usage() -> Result<ResourceUsage> {
    let [
        user_cpu_time,
        system_cpu_time,
        max_rss,
        shared_memory_size,
        unshared_data_size,
        unshared_stack_size,
        minor_page_fault,
        major_page_fault,
        swapped_out,
        fs_read,
        fs_write,
        ipc_sent,
        ipc_received,
        signals_count,
        voluntary_context_switches,
        involuntary_context_switches,
    ] = sys::process::resource_usage()?;
    Ok(ResourceUsage {
        user_cpu_time,
        system_cpu_time,
        max_rss,
        shared_memory_size,
        unshared_data_size,
        unshared_stack_size,
        minor_page_fault,
        major_page_fault,
        swapped_out,
        fs_read,
        fs_write,
        ipc_sent,
        ipc_received,
        signals_count,
        voluntary_context_switches,
        involuntary_context_switches,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_time_difference_borrows_from_the_seconds() {
        assert_eq!(since(5_100_000_000, Some((3, 200_000_000))), (1, 900_000_000));
        assert_eq!(since(5_100_000_000, None), (5, 100_000_000));
    }

    #[test]
    fn negative_figures_are_refused() {
        let error = cpu_usage(Some(CpuUsage { user: -1, system: 0 })).unwrap_err();
        assert_eq!(
            (error.name(), error.code()),
            ("RangeError", Some("ERR_INVALID_ARG_VALUE"))
        );
    }
}
