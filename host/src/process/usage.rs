//! Time and resources of the OS process: `hrtime`, `uptime`, `cpuUsage`, `resourceUsage`, `memoryUsage.rss`,
//! `availableMemory`, `constrainedMemory`.

use std::fs;
use std::sync::OnceLock;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::ClockId;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use crate::os::cgroup::Cgroup;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Number of fields of `resourceUsage()`.
pub const RESOURCE_FIELDS: usize = 16;

/// Node's names of what [`resource_usage`] returns, in its order.
pub const RESOURCE_FIELD_NAMES: [&str; RESOURCE_FIELDS] = [
    "userCPUTime",
    "systemCPUTime",
    "maxRSS",
    "sharedMemorySize",
    "unsharedDataSize",
    "unsharedStackSize",
    "minorPageFault",
    "majorPageFault",
    "swappedOut",
    "fsRead",
    "fsWrite",
    "ipcSent",
    "ipcReceived",
    "signalsCount",
    "voluntaryContextSwitches",
    "involuntaryContextSwitches",
];

/// CPU time in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Spent in user mode.
    pub user_us: u64,
    /// Spent in the kernel.
    pub system_us: u64,
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the same base in every process of the machine.
pub fn hrtime() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

/// Remembers the start of the process exactly. The binary calls it first thing; without that [`uptime`] takes the
/// kernel's word, which counts in clock ticks.
pub fn mark_start() {
    let _ = START_NS.set(hrtime());
}

/// Seconds since the process started.
pub fn uptime() -> f64 {
    let now = hrtime();
    let start = *START_NS.get_or_init(|| kernel_start_ns().unwrap_or(now));
    // A difference of f64s would lose the nanoseconds of a machine that runs for years.
    std::time::Duration::from_nanos(now.saturating_sub(start)).as_secs_f64()
}

static START_NS: OnceLock<u64> = OnceLock::new();

/// Start of this process on `CLOCK_MONOTONIC`, from `/proc/self/stat`.
fn kernel_start_ns() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = stat_field(&stat, 22)?;
    let since_boot = ticks.checked_mul(NANOS_PER_SEC / rustix::param::clock_ticks_per_second().max(1))?;
    // The kernel counts from boot, time asleep included; hrtime does not count sleep.
    let age = clock_ns(ClockId::CLOCK_BOOTTIME).checked_sub(since_boot)?;
    hrtime().checked_sub(age)
}

/// A numeric field of `/proc/<pid>/stat`, numbered as in `proc(5)`; from 3 on, since the name may hold anything.
pub(super) fn stat_field(stat: &str, number: usize) -> Option<u64> {
    let after_name = stat.rsplit_once(')')?.1;
    after_name
        .split_ascii_whitespace()
        .nth(number.checked_sub(3)?)?
        .parse()
        .ok()
}

fn clock_ns(clock: ClockId) -> u64 {
    // These clocks always exist, and are never negative.
    clock.now().map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * NANOS_PER_SEC + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// CPU time of the whole process.
pub fn cpu_usage() -> Result<CpuTime> {
    rusage(UsageWho::RUSAGE_SELF).map(|usage| cpu_time(&usage))
}

/// CPU time of the calling OS thread, for what runs on one OS thread from start to end.
pub fn thread_cpu_usage() -> Result<CpuTime> {
    rusage(UsageWho::RUSAGE_THREAD).map(|usage| cpu_time(&usage))
}

/// CPU time of the calling OS thread in ns, up to this moment; [`thread_cpu_usage`] is as old as the last scheduler tick.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The fields of `resourceUsage()` of the process, named by [`RESOURCE_FIELD_NAMES`]; what Linux does not count is 0.
pub fn resource_usage() -> Result<[u64; RESOURCE_FIELDS]> {
    rusage(UsageWho::RUSAGE_SELF).map(|usage| resource_fields(&usage))
}

/// As [`resource_usage`], of the calling OS thread.
pub fn thread_resource_usage() -> Result<[u64; RESOURCE_FIELDS]> {
    rusage(UsageWho::RUSAGE_THREAD).map(|usage| resource_fields(&usage))
}

fn rusage(who: UsageWho) -> Result<Usage> {
    getrusage(who).map_err(|errno| ErrorRecord::system(ErrorCode::from_errno(errno as i32), "getrusage").into())
}

fn cpu_time(usage: &Usage) -> CpuTime {
    CpuTime {
        user_us: micros(usage.user_time()),
        system_us: micros(usage.system_time()),
    }
}

fn micros(time: TimeVal) -> u64 {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_usec()).unwrap_or(0)
}

fn resource_fields(usage: &Usage) -> [u64; RESOURCE_FIELDS] {
    let count = |value: std::ffi::c_long| u64::try_from(value).unwrap_or(0);
    [
        micros(usage.user_time()),
        micros(usage.system_time()),
        count(usage.max_rss()),
        count(usage.shared_integral()),
        count(usage.unshared_data_integral()),
        count(usage.unshared_stack_integral()),
        count(usage.minor_page_faults()),
        count(usage.major_page_faults()),
        count(usage.full_swaps()),
        count(usage.block_reads()),
        count(usage.block_writes()),
        count(usage.ipc_sends()),
        count(usage.ipc_receives()),
        count(usage.signals()),
        count(usage.voluntary_context_switches()),
        count(usage.involuntary_context_switches()),
    ]
}

/// Resident set size of the process in bytes.
pub fn rss() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.unwrap_or(0).saturating_mul(page_bytes)
}

/// Bytes the process can still get: what the machine has available, or what its control groups leave, whichever is
/// less.
pub fn available_memory() -> u64 {
    let machine = meminfo().available;
    Cgroup::own().memory_left().map_or(machine, |left| left.min(machine))
}

/// The memory limit of the process in bytes: the tightest one of its control groups; 0 when there is none, or none
/// below what the machine has.
pub fn constrained_memory() -> u64 {
    let total = meminfo().total;
    Cgroup::own()
        .memory_limit()
        .filter(|limit| total == 0 || *limit < total)
        .unwrap_or(0)
}

/// Memory of the machine in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineMemory {
    /// All of it.
    pub total: u64,
    /// What new programs can get without swapping.
    pub available: u64,
}

/// Memory of the machine, zeros when the kernel does not say.
pub fn meminfo() -> MachineMemory {
    fs::read_to_string("/proc/meminfo")
        .map(|text| parse_meminfo(&text))
        .unwrap_or_default()
}

fn parse_meminfo(text: &str) -> MachineMemory {
    let bytes = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim_end().parse().ok()?;
        kib.checked_mul(1024)
    };
    MachineMemory {
        total: bytes("MemTotal").unwrap_or(0),
        available: bytes("MemAvailable").or_else(|| bytes("MemFree")).unwrap_or(0),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::process::node_oracle;

    fn burn(time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            black_box(0);
        }
    }

    #[test]
    fn cpu_time_counts_up_while_working() {
        let (process, thread) = (cpu_usage().unwrap(), thread_cpu_usage().unwrap());
        burn(Duration::from_millis(60));
        let now = thread_cpu_usage().unwrap();
        let spent = now.user_us + now.system_us - thread.user_us - thread.system_us;
        // The machine may be busy with others, so the lower bound is generous.
        assert!((5_000..200_000).contains(&spent), "{spent}");
        let all = cpu_usage().unwrap();
        assert!(all.user_us + all.system_us >= process.user_us + process.system_us + spent);
    }

    #[test]
    fn the_clock_is_the_one_node_reads() {
        let before = hrtime();
        let script = "process.stdout.write(String(process.hrtime.bigint()))";
        let Some(node) = node_oracle::run(script, &[]) else {
            return;
        };
        let node: u64 = node.parse().unwrap();
        assert!(before < node && node < hrtime());
    }

    #[test]
    fn the_kernels_start_time_is_close_to_the_truth() {
        let start = kernel_start_ns().unwrap();
        let now = hrtime();
        assert!(start < now && now - start < 3600 * NANOS_PER_SEC);
        let (first, second) = (uptime(), uptime());
        assert!(first > 0.0 && second >= first);
    }

    #[test]
    fn resource_fields_are_in_nodes_order() {
        let script = "process.stdout.write(Object.keys(process.resourceUsage()).join())";
        if let Some(node) = node_oracle::run(script, &[]) {
            assert_eq!(RESOURCE_FIELD_NAMES.join(","), node);
        }
        let fields = resource_usage().unwrap();
        let field = |name| fields[RESOURCE_FIELD_NAMES.iter().position(|known| *known == name).unwrap()];
        // KiB, as rss is in bytes.
        assert!(field("maxRSS") * 1024 >= rss() / 2 && field("maxRSS") < 64 * 1024 * 1024);
        assert!(field("minorPageFault") > 0);
        assert!(field("minorPageFault") >= thread_resource_usage().unwrap()[6]);
    }

    #[test]
    fn rss_follows_touched_memory() {
        let before = rss();
        let touched = vec![1_u8; 64 << 20];
        assert!(rss() >= before + (32 << 20), "{before} {}", rss());
        black_box(touched);
    }

    #[test]
    fn memory_figures_fit_together() {
        let machine = meminfo();
        assert!(machine.total > 0 && machine.available <= machine.total);
        let free = available_memory();
        assert!(free > 0 && free <= machine.total);
        let limit = constrained_memory();
        assert!(limit == 0 || limit < machine.total);
    }

    #[test]
    fn kernel_texts_are_parsed() {
        assert_eq!(
            parse_meminfo("MemTotal:  100 kB\nMemFree: 10 kB\nMemAvailable:    50 kB\n"),
            MachineMemory {
                total: 102_400,
                available: 51_200
            }
        );
        assert_eq!(parse_meminfo("MemFree: 10 kB").available, 10_240);
        assert_eq!(parse_meminfo("garbage"), MachineMemory::default());
        assert_eq!(stat_field("1 (a) b) c) S 7 8", 4), Some(7));
        assert_eq!(stat_field("1 (a", 4), None);
    }
}
