//! Limits of an isolate and their enforcement.

use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use wasmtime::ResourceLimiter;

/// What happens when a guest wants more memory than it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMemoryLimit {
    /// The isolate ends with `ERR_WORKER_OUT_OF_MEMORY`.
    #[default]
    End,
    /// `memory.grow` returns -1 and the guest goes on.
    Fail,
}

/// Hard limits of one isolate. Exceeding one ends that isolate, never a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

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
        }
    }
}

impl Limits {
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
        if self.max_handles != default.max_handles {
            add("max-handles", self.max_handles.to_string());
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

    fn memory(reason: String) -> Self {
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
}

impl MemoryLimiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
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
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::warn!(%error, "the system refused memory to a guest");
        self.memory_bytes -= std::mem::take(&mut self.pending_bytes);
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
