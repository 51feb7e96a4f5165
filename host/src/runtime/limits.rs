//! Limits of an isolate and their enforcement.

use std::sync::Arc;
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

use super::activity::Activity;

/// What happens when a guest wants more memory than it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnMemoryLimit {
    /// The isolate ends with `ERR_WORKER_OUT_OF_MEMORY`.
    #[default]
    End,
    /// `memory.grow` returns -1 and the guest goes on.
    Fail,
}

/// Hard limits of one isolate. Exceeding one ends that isolate, never a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All linear memory of the isolate, in bytes. Default: 4 GiB, what wasm32 can address.
    pub max_memory_bytes: usize,
    /// What happens at that limit. Default: the isolate ends.
    pub on_memory_limit: OnMemoryLimit,
    /// Elements of all tables. Default: 1 Mi.
    pub max_table_elements: usize,
    /// CPU time. Default: none.
    pub max_cpu_time: Option<Duration>,
    /// Wall time. Default: none.
    pub timeout: Option<Duration>,
    /// Instructions, roughly; needs [`crate::EngineOptions::fuel`]. Default: none.
    pub fuel: Option<u64>,
    /// Open handles. Default: 65,536.
    pub max_handles: usize,
    /// Live workers below this isolate, those of its workers included. Default: 10,000.
    pub max_workers: usize,
    /// Running child processes of this isolate and its workers. Default: 1,024.
    pub max_children: usize,
    /// Open message ports. Default: as many as handles, 65,536.
    pub max_ports: usize,
    /// Bytes the host holds for the isolate: queued messages, buffers of streams. Default: none, each queue has its own
    /// bound. Besides, all queues of a process share a bound of 1 GiB, of which a worker, with the workers below it, may
    /// have filled half.
    pub max_queue_bytes: Option<usize>,
    /// Machine code it runs, side modules included, in bytes. Default: none.
    pub max_code_bytes: Option<usize>,
    /// Shared buffers and page-backed ArrayBuffers that it created and that still exist. Default: 4,096.
    pub max_shared_buffers: usize,
    /// Bytes of those together. Default: 4 GiB.
    pub max_shared_bytes: usize,
    /// The largest wasm stack that a worker below gets. Default: none, the largest class (16 MiB).
    pub max_stack_bytes: Option<usize>,
}

/// Live workers below an isolate.
const WORKERS_MAX_DEFAULT: usize = 10_000;

/// Shared buffers of an isolate: each may be a mapping, of which a process has 65,530 by default.
const SHARED_BUFFERS_MAX_DEFAULT: usize = 4_096;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_memory_bytes: 4 << 30,
            on_memory_limit: OnMemoryLimit::default(),
            max_table_elements: 1 << 20,
            max_cpu_time: None,
            timeout: None,
            fuel: None,
            max_handles: nodule_abi::limits::HANDLES_MAX_DEFAULT,
            max_workers: WORKERS_MAX_DEFAULT,
            max_children: nodule_abi::limits::CHILDREN_MAX_DEFAULT,
            max_ports: nodule_abi::limits::HANDLES_MAX_DEFAULT,
            max_queue_bytes: None,
            max_code_bytes: None,
            max_shared_buffers: SHARED_BUFFERS_MAX_DEFAULT,
            max_shared_bytes: 4 << 30,
            max_stack_bytes: None,
        }
    }
}

/// The tighter of two limits that need not be.
fn tighter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

impl Limits {
    /// What an isolate gets that an isolate with these limits starts: what is wanted for it, at most these.
    #[must_use]
    pub fn narrow(&self, wanted: &Self) -> Self {
        Self {
            max_memory_bytes: self.max_memory_bytes.min(wanted.max_memory_bytes),
            on_memory_limit: wanted.on_memory_limit,
            max_table_elements: self.max_table_elements.min(wanted.max_table_elements),
            max_cpu_time: tighter(self.max_cpu_time, wanted.max_cpu_time),
            timeout: tighter(self.timeout, wanted.timeout),
            fuel: tighter(self.fuel, wanted.fuel),
            max_handles: self.max_handles.min(wanted.max_handles),
            max_workers: self.max_workers.min(wanted.max_workers),
            max_children: self.max_children.min(wanted.max_children),
            max_ports: self.max_ports.min(wanted.max_ports),
            max_queue_bytes: tighter(self.max_queue_bytes, wanted.max_queue_bytes),
            max_code_bytes: tighter(self.max_code_bytes, wanted.max_code_bytes),
            max_shared_buffers: self.max_shared_buffers.min(wanted.max_shared_buffers),
            max_shared_bytes: self.max_shared_bytes.min(wanted.max_shared_bytes),
            max_stack_bytes: tighter(self.max_stack_bytes, wanted.max_stack_bytes),
        }
    }

    /// The flags of `nodule run` that set these limits, without those at their default.
    pub fn flags(&self) -> Vec<String> {
        let default = Self::default();
        let mut flags = Vec::new();
        let mut add = |name: &str, value: String| flags.push(format!("--{name}={value}"));
        if self.max_memory_bytes != default.max_memory_bytes {
            add("max-memory", self.max_memory_bytes.to_string());
        }
        if self.max_table_elements != default.max_table_elements {
            add("max-table-elements", self.max_table_elements.to_string());
        }
        if let Some(time) = self.max_cpu_time {
            add("max-cpu-ms", time.as_millis().to_string());
        }
        if let Some(time) = self.timeout {
            add("timeout-ms", time.as_millis().to_string());
        }
        if let Some(fuel) = self.fuel {
            add("fuel", fuel.to_string());
        }
        for (name, bound, default) in [
            ("max-handles", self.max_handles, default.max_handles),
            ("max-workers", self.max_workers, default.max_workers),
            ("max-children", self.max_children, default.max_children),
            ("max-ports", self.max_ports, default.max_ports),
            (
                "max-shared-buffers",
                self.max_shared_buffers,
                default.max_shared_buffers,
            ),
            ("max-shared-memory", self.max_shared_bytes, default.max_shared_bytes),
        ] {
            if bound != default {
                add(name, bound.to_string());
            }
        }
        for (name, bound) in [("max-queue", self.max_queue_bytes), ("max-code", self.max_code_bytes)] {
            if let Some(bound) = bound {
                add(name, bound.to_string());
            }
        }
        flags
    }
}

/// The isolate ran into a limit: it ends, no hook of the guest runs.
#[derive(Clone, Debug)]
pub struct LimitExceeded(pub Box<ErrorRecord>);

impl std::fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LimitExceeded {}

impl LimitExceeded {
    fn new(code: ErrorCode, message: String) -> Self {
        Self(Box::new(ErrorRecord::new(code, message)))
    }

    pub(crate) fn cpu_time(limit: Duration) -> Self {
        Self::new(
            ErrorCode::CpuLimit,
            format!(
                "Worker terminated due to reaching its CPU limit of {} ms (raise it with --max-cpu-ms)",
                limit.as_millis()
            ),
        )
    }

    pub(crate) fn timeout(limit: Duration) -> Self {
        Self::new(
            ErrorCode::Deadline,
            format!(
                "Worker terminated due to reaching its time limit of {} ms (raise it with --timeout-ms)",
                limit.as_millis()
            ),
        )
    }

    pub(crate) fn fuel() -> Self {
        Self::new(
            ErrorCode::OutOfFuel,
            "Worker terminated due to using up its fuel (raise it with --fuel)".into(),
        )
    }

    pub(crate) fn memory(reason: String) -> Self {
        Self::new(
            ErrorCode::WorkerOutOfMemory,
            format!("Worker terminated due to reaching memory limit: {reason}"),
        )
    }
}

/// Counts and bounds the memories and tables of one store.
#[derive(Debug)]
pub struct MemoryLimiter {
    limits: Limits,
    memory_bytes: usize,
    table_elements: usize,
    /// The next growth was accepted; taken back if the system refuses it.
    pending_bytes: usize,
    activity: Arc<Activity>,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: Limits, activity: Arc<Activity>) -> Self {
        Self {
            limits,
            activity,
            memory_bytes: 0,
            table_elements: 0,
            pending_bytes: 0,
        }
    }

    /// Bytes of all linear memories.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

/// Memories and tables an isolate's modules may define together, side modules included.
const INSTANCES_MAX: usize = 512;

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        let wanted = self.memory_bytes.saturating_add(growth);
        if wanted > self.limits.max_memory_bytes {
            if self.limits.on_memory_limit == OnMemoryLimit::Fail {
                return Ok(false);
            }
            let limit = self.limits.max_memory_bytes;
            return Err(LimitExceeded::memory(format!(
                "{wanted} bytes wanted, {limit} allowed (raise it with --max-memory)"
            ))
            .into());
        }
        self.memory_bytes = wanted;
        self.pending_bytes = growth;
        self.activity.memory_is(wanted);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::warn!(%error, "the system refused memory to a guest");
        self.memory_bytes -= std::mem::take(&mut self.pending_bytes);
        self.activity.memory_is(self.memory_bytes);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let wanted = self.table_elements.saturating_add(desired.saturating_sub(current));
        if wanted > self.limits.max_table_elements {
            return Ok(false);
        }
        self.table_elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_gets_at_most_the_limits_of_its_creator() {
        let creator = Limits {
            max_memory_bytes: 1000,
            max_cpu_time: Some(Duration::from_secs(2)),
            max_queue_bytes: Some(50),
            max_workers: 3,
            ..Limits::default()
        };
        let wanted = Limits {
            max_memory_bytes: 2000,
            on_memory_limit: OnMemoryLimit::Fail,
            timeout: Some(Duration::from_secs(1)),
            max_queue_bytes: Some(70),
            max_code_bytes: Some(9),
            max_workers: 2,
            ..Limits::default()
        };
        let expected = Limits {
            max_memory_bytes: 1000,
            max_cpu_time: Some(Duration::from_secs(2)),
            max_queue_bytes: Some(50),
            ..wanted
        };
        assert_eq!(creator.narrow(&wanted), expected);
        assert_eq!(
            creator.narrow(&Limits::default()),
            creator,
            "it wants nothing of its own"
        );
    }

    #[test]
    fn every_limit_that_differs_is_a_flag() {
        let limits = Limits {
            max_workers: 1,
            max_ports: 2,
            max_queue_bytes: Some(3),
            max_code_bytes: Some(4),
            max_shared_buffers: 5,
            max_shared_bytes: 6,
            ..Limits::default()
        };
        let mut flags = limits.flags();
        flags.sort();
        let expected = [
            "--max-code=4",
            "--max-ports=2",
            "--max-queue=3",
            "--max-shared-buffers=5",
            "--max-shared-memory=6",
            "--max-workers=1",
        ];
        assert_eq!(flags, expected);
        assert!(Limits::default().flags().is_empty());
    }
}
