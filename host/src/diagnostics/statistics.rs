//! Figures about the memory of an isolate.

use std::sync::Arc;

use nodule_abi::error::Result;
use nodule_abi::value::Value;
use wasmtime::StoreContextMut;

use super::capture::Inventory;
use super::inspect::inspect;
use super::pages::PageTable;
use super::snapshot::object;
use crate::runtime::{IsolateShared, IsolateState};

/// Node's heap statistics, as far as wasm has them. All but the flag and the contexts are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapStatistics {
    /// Size of the linear memories.
    pub total_heap_size: u64,
    /// Size of the compiled code, which isolates of the same module share.
    pub total_heap_size_executable: u64,
    /// What of the linear memories is in the machine's memory.
    pub total_physical_size: u64,
    /// Room up to the limit.
    pub total_available_size: u64,
    /// What the guest's allocator has given out and not got back; the size of the memory for a guest that does not tell.
    pub used_heap_size: u64,
    /// The limit on all linear memory.
    pub heap_size_limit: u64,
    /// As `used_heap_size`.
    pub malloced_memory: u64,
    /// The most that `malloced_memory` ever was.
    pub peak_malloced_memory: u64,
    /// Whether freed memory is overwritten: never.
    pub does_zap_garbage: bool,
    /// Instances in the isolate: the main module and its side modules.
    pub number_of_native_contexts: u64,
    /// Always 0: instances go with their isolate.
    pub number_of_detached_contexts: u64,
    /// Size of the handle table.
    pub total_global_handles_size: u64,
    /// What of it is used.
    pub used_global_handles_size: u64,
    /// What the host holds for the isolate beside its memory.
    pub external_memory: u64,
    /// Everything the guest's allocator ever gave out.
    pub total_allocated_bytes: u64,
}

impl From<HeapStatistics> for Value {
    fn from(statistics: HeapStatistics) -> Self {
        object([
            ("total_heap_size", statistics.total_heap_size.into()),
            (
                "total_heap_size_executable",
                statistics.total_heap_size_executable.into(),
            ),
            ("total_physical_size", statistics.total_physical_size.into()),
            ("total_available_size", statistics.total_available_size.into()),
            ("used_heap_size", statistics.used_heap_size.into()),
            ("heap_size_limit", statistics.heap_size_limit.into()),
            ("malloced_memory", statistics.malloced_memory.into()),
            ("peak_malloced_memory", statistics.peak_malloced_memory.into()),
            ("does_zap_garbage", statistics.does_zap_garbage.into()),
            ("number_of_native_contexts", statistics.number_of_native_contexts.into()),
            (
                "number_of_detached_contexts",
                statistics.number_of_detached_contexts.into(),
            ),
            ("total_global_handles_size", statistics.total_global_handles_size.into()),
            ("used_global_handles_size", statistics.used_global_handles_size.into()),
            ("external_memory", statistics.external_memory.into()),
            ("total_allocated_bytes", statistics.total_allocated_bytes.into()),
        ])
    }
}

/// The figures at the isolate's next tick or wait.
///
/// # Errors
/// `ERR_WORKER_NOT_RUNNING` when it has ended or ends before; `EAGAIN` when too many requests wait for it.
pub async fn heap_statistics(shared: &Arc<IsolateShared>) -> Result<HeapStatistics> {
    inspect(shared, |mut context| take(&mut context)).await
}

fn take(context: &mut StoreContextMut<'_, IsolateState>) -> HeapStatistics {
    let inventory = Inventory::of(context);
    let pages = PageTable::open();
    let resident = inventory
        .memories
        .iter()
        .map(|memory| pages.resident_bytes(memory.live(context)))
        .sum::<usize>();
    let state = context.data();
    let executable: usize = inventory.instances.iter().map(|instance| instance.code_bytes).sum();
    let memory = state.memory_bytes() as u64;
    let limit = state.limits.max_memory_bytes as u64;
    let allocator = state.diagnostics.figures.read(context);
    // What a guest writes there may be anything.
    let used = allocator.map_or(memory, |figures| figures.live_bytes.min(memory));
    let handles = state.handles_bytes();
    HeapStatistics {
        total_heap_size: memory,
        total_heap_size_executable: executable as u64,
        total_physical_size: resident as u64,
        total_available_size: limit.saturating_sub(memory),
        used_heap_size: used,
        heap_size_limit: limit,
        malloced_memory: used,
        peak_malloced_memory: allocator
            .map_or(memory, |figures| figures.peak_bytes.min(memory))
            .max(used),
        does_zap_garbage: false,
        number_of_native_contexts: inventory.instances.len() as u64,
        number_of_detached_contexts: 0,
        total_global_handles_size: handles as u64,
        used_global_handles_size: handles as u64,
        external_memory: state.host_bytes() as u64,
        total_allocated_bytes: allocator
            .map_or(memory, |figures| figures.total_allocated_bytes)
            .max(used),
    }
}
