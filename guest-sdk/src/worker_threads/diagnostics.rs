//! Looking at workers: usage, statistics, snapshots, profiles.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::event::EventRecord;
use serde::Deserialize;

use super::worker::Worker;
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::process::{CpuUsage, difference};
use crate::promise::{self, Promise, Resolver};
use crate::sys::{self, worker_threads as host};

/// Bytes read at once from an answer.
const CHUNK_BYTES: usize = 256 * 1024;

/// `ERR_WORKER_NOT_RUNNING`.
pub(super) fn not_running() -> Error {
    Error::with_code(ErrorCode::WorkerNotRunning, ErrorCode::WorkerNotRunning.text())
}

/// How long an isolate waited for events, and how long it did not (Node: `EventLoopUtilization`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventLoopUtilization {
    /// Waiting, in ms.
    pub idle: f64,
    /// Everything else since it was online, in ms.
    pub active: f64,
    /// `active / (active + idle)`; 0 when both are.
    pub utilization: f64,
}

impl EventLoopUtilization {
    fn new(idle: f64, active: f64) -> Self {
        let total = idle + active;
        Self {
            idle,
            active,
            utilization: if total > 0.0 { active / total } else { 0.0 },
        }
    }

    /// What came on top of `earlier` (Node: the arguments of `eventLoopUtilization`).
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self::new(self.idle - earlier.idle, self.active - earlier.active)
    }
}

/// Figures of performance (Node: `worker.performance`).
#[derive(Clone, Copy, Debug)]
pub struct Performance {
    /// The worker's handle; 0 when it has ended.
    handle: u32,
}

impl Performance {
    pub(super) fn of(handle: u32) -> Self {
        Self { handle }
    }

    /// Times since the worker was online; zeros before that and after its end
    /// (Node: `worker.performance.eventLoopUtilization`).
    pub fn event_loop_utilization(&self) -> EventLoopUtilization {
        match self.handle {
            0 => EventLoopUtilization::default(),
            handle => utilization_of(handle),
        }
    }
}

/// Times of this thread since it was online (Node: `performance.eventLoopUtilization`).
pub fn event_loop_utilization() -> EventLoopUtilization {
    utilization_of(0)
}

#[allow(clippy::cast_precision_loss, reason = "a figure")]
fn utilization_of(handle: u32) -> EventLoopUtilization {
    // A worker whose handle was closed meanwhile has ended.
    let [idle_ns, active_ns] = host::event_loop_utilization(handle).unwrap_or_default();
    EventLoopUtilization::new(idle_ns as f64 / 1e6, active_ns as f64 / 1e6)
}

/// What a snapshot holds besides the guest's state (Node: the options of `getHeapSnapshot`).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapSnapshotOptions {
    /// What the host keeps for the isolate, as a section `nodule.host`.
    pub expose_internals: bool,
    /// Names and values of the exported globals, as a section `nodule.globals`.
    pub expose_numeric_values: bool,
}

/// Figures about a worker's memory (Node: `getHeapStatistics`), in bytes unless stated otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HeapStatistics {
    /// Size of the linear memories.
    pub total_heap_size: u64,
    /// Size of the compiled code.
    pub total_heap_size_executable: u64,
    /// What of the linear memories is in the machine's memory.
    pub total_physical_size: u64,
    /// Room up to the limit.
    pub total_available_size: u64,
    /// What the allocator has given out.
    pub used_heap_size: u64,
    /// The limit.
    pub heap_size_limit: u64,
    /// As `used_heap_size`.
    pub malloced_memory: u64,
    /// The most that ever was.
    pub peak_malloced_memory: u64,
    /// Whether freed memory is overwritten.
    pub does_zap_garbage: bool,
    /// Instances in the isolate.
    pub number_of_native_contexts: u64,
    /// Always 0.
    pub number_of_detached_contexts: u64,
    /// Size of the handle table.
    pub total_global_handles_size: u64,
    /// What of it is used.
    pub used_global_handles_size: u64,
    /// What the host holds for the isolate.
    pub external_memory: u64,
    /// Everything the allocator ever gave out.
    pub total_allocated_bytes: u64,
}

/// How a CPU profile is taken.
#[derive(Clone, Copy, Debug)]
pub struct CpuProfileOptions {
    /// Time between samples; the least is a tick, 1 ms. Default: 0.
    pub sample_interval: Duration,
    /// Most samples. Default: 4,294,967,295.
    pub max_buffer_size: u32,
}

impl Default for CpuProfileOptions {
    fn default() -> Self {
        Self {
            sample_interval: Duration::ZERO,
            max_buffer_size: u32::MAX,
        }
    }
}

/// How a heap profile is taken.
#[derive(Clone, Copy, Debug)]
pub struct HeapProfileOptions {
    /// Bytes allocated between samples. Default: 524,288.
    pub sample_interval: u32,
    /// Most frames of a stack. Default: 16.
    pub stack_depth: u32,
}

impl Default for HeapProfileOptions {
    fn default() -> Self {
        Self {
            sample_interval: 512 * 1024,
            stack_depth: 16,
        }
    }
}

/// An answer in the host. Dropping it gives it up.
struct Reply {
    handle: u32,
}

impl Drop for Reply {
    fn drop(&mut self) {
        event_loop::unregister(self.handle);
        // It is open until here.
        let _ = sys::close(self.handle);
    }
}

/// Hears whether the request failed.
struct Waiting {
    resolver: Resolver<bool>,
}

impl Sink for Waiting {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        self.resolver.resolve(record.args[1] != 0);
    }
}

impl Reply {
    /// Waits for the answer to a request that was just made.
    fn wait(handle: u32) -> (Self, Promise<bool>) {
        let (resolver, promise) = promise::deferred();
        event_loop::register(handle, Rc::new(Waiting { resolver }));
        (Self { handle }, promise)
    }

    fn read(&self, buf: &mut [u8]) -> Result<usize> {
        let len = buf.len().min(CHUNK_BYTES);
        host::read_reply(self.handle, &mut buf[..len])
    }

    fn read_to_end(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match self.read(&mut chunk)? {
                0 => return Ok(bytes),
                len => bytes.extend_from_slice(&chunk[..len]),
            }
        }
    }
}

/// Waits for the answer to a request that was just made. It is listened for from this call on, not only when the future
/// is awaited: the answer may come before.
fn ask(request: Result<u32>) -> impl Future<Output = Result<Reply>> + use<> {
    let waiting = request.map(Reply::wait);
    async move {
        let (reply, answered) = waiting?;
        let is_failed = answered.await?;
        if is_failed {
            // Gives the error in full.
            reply.read(&mut [0])?;
        }
        Ok(reply)
    }
}

/// A wasm core dump of a worker, to be read once.
pub struct HeapSnapshot {
    reply: Reply,
}

impl HeapSnapshot {
    /// Reads on; 0 at the end.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.reply.read(buf)
    }

    /// The rest of it.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>> {
        self.reply.read_to_end()
    }
}

impl fmt::Debug for HeapSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapSnapshot").finish_non_exhaustive()
    }
}

macro_rules! profile_handle {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        pub struct $name {
            start: Reply,
        }

        impl $name {
            /// Stops the profile and gives its JSON text; the same text again when repeated (Node: `handle.stop`).
            ///
            /// # Errors
            /// `EAGAIN` when too many answers are open.
            pub fn stop(&self) -> impl Future<Output = Result<String>> + use<> {
                let asked = ask(host::stop_profile(self.start.handle));
                async move { Ok(String::from_utf8(asked.await?.read_to_end()?)?) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

profile_handle! {
    /// A CPU profile that is being taken; dropping it stops it (Node: `CPUProfileHandle`).
    CpuProfileHandle
}

profile_handle! {
    /// A heap profile that is being taken; dropping it stops it (Node: `HeapProfileHandle`).
    HeapProfileHandle
}

impl Worker {
    /// A snapshot of its memory as a wasm core dump, taken while it runs (Node: `worker.getHeapSnapshot`).
    ///
    /// # Errors
    /// `ERR_WORKER_NOT_RUNNING`; `EAGAIN` when too many answers are open.
    pub fn get_heap_snapshot(
        &self,
        options: HeapSnapshotOptions,
    ) -> impl Future<Output = Result<HeapSnapshot>> + use<> {
        let flags = u32::from(options.expose_internals) | u32::from(options.expose_numeric_values) << 1;
        let asked = ask(self.handle().and_then(|handle| host::heap_snapshot(handle, flags)));
        async move {
            let reply = asked.await?;
            Ok(HeapSnapshot { reply })
        }
    }

    /// Figures about its memory (Node: `worker.getHeapStatistics`).
    ///
    /// # Errors
    /// As [`Self::get_heap_snapshot`].
    pub fn get_heap_statistics(&self) -> impl Future<Output = Result<HeapStatistics>> + use<> {
        let asked = ask(self.handle().and_then(host::heap_statistics));
        async move { Ok(crate::value::from_slice(&asked.await?.read_to_end()?)?) }
    }

    /// CPU time it used, on top of `previous` if that is given (Node: `worker.cpuUsage`).
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE`, at once, for a negative figure in `previous`; `ERR_WORKER_NOT_RUNNING` of the future.
    pub fn cpu_usage(&self, previous: Option<CpuUsage>) -> Result<impl Future<Output = Result<CpuUsage>> + use<>> {
        if let Some(CpuUsage { user, system }) = previous {
            for (name, figure) in [("prev.user", user), ("prev.system", system)] {
                if figure < 0 {
                    return Err(ErrorRecord::out_of_range(name, ">= 0", &figure.to_string()).into());
                }
            }
        }
        let usage = self.handle().and_then(host::cpu_usage);
        Ok(async move { difference(usage?, previous) })
    }

    /// Samples where it spends its time (Node: `worker.startCpuProfile`). The text of [`CpuProfileHandle::stop`] is a
    /// profile for the Firefox profiler.
    ///
    /// # Errors
    /// As [`Self::get_heap_snapshot`].
    pub fn start_cpu_profile(
        &self,
        options: CpuProfileOptions,
    ) -> impl Future<Output = Result<CpuProfileHandle>> + use<> {
        let interval_us = options.sample_interval.as_secs_f64() * 1e6;
        let request = self
            .handle()
            .and_then(|handle| host::start_cpu_profile(handle, interval_us, options.max_buffer_size));
        let asked = ask(request);
        async move {
            let start = asked.await?;
            Ok(CpuProfileHandle { start })
        }
    }

    /// Samples where it allocates (Node: `worker.startHeapProfile`).
    ///
    /// # Errors
    /// As [`Self::get_heap_snapshot`], and `ERR_HEAP_PROFILE_HAVE_BEEN_STARTED`.
    pub fn start_heap_profile(
        &self,
        options: HeapProfileOptions,
    ) -> impl Future<Output = Result<HeapProfileHandle>> + use<> {
        let request = self.handle().and_then(|handle| {
            host::start_heap_profile(handle, f64::from(options.sample_interval), options.stack_depth)
        });
        let asked = ask(request);
        async move {
            let start = asked.await?;
            Ok(HeapProfileHandle { start })
        }
    }
}
