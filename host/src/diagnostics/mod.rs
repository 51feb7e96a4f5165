//! Diagnostics of a running isolate, taken from outside: by another isolate or by the embedder.
//!
//! Whoever asks puts a request into the isolate's queue; the isolate serves it at its next tick or while it waits in a
//! host function, so also in an endless loop, and goes on. One that has ended answers `ERR_WORKER_NOT_RUNNING`.
//!
//! | file | what it does |
//! |---|---|
//! | `inspect` | asks an isolate and waits for its answer |
//! | `snapshot` | the state of an isolate as a wasm core dump |
//! | `capture` | one pass over its memories and globals |
//! | `pages` | which pages of a memory hold anything, and their bytes |
//! | `host_section` | what the host keeps for it, as a section of the snapshot |
//! | `statistics` | figures about its memory |
//! | `heap_figures` | what the guest's allocator counts |
//! | `stacks` | call stacks, each kept once |
//! | `cpu_profile`, `firefox` | where it spends its time |
//! | `heap_profile` | where it allocates |
//! | `imports` | `nodule:diagnostics/1` |

use std::sync::Arc;
use std::time::Instant;

use wasmtime::{AsContextMut as _, Caller, StoreContextMut};

use crate::runtime::{IsolateShared, IsolateState};

mod capture;
mod cpu_profile;
mod firefox;
mod heap_figures;
mod heap_profile;
mod host_section;
pub mod imports;
mod inspect;
mod pages;
mod snapshot;
mod stacks;
mod statistics;

pub use cpu_profile::{CpuProfile, CpuProfileOptions, start_cpu_profile};
pub(crate) use heap_figures::HeapFigures;
pub use heap_profile::{HeapProfile, HeapProfileOptions, start_heap_profile};
pub use snapshot::{HeapSnapshot, SnapshotOptions, heap_snapshot};
pub use statistics::{HeapStatistics, heap_statistics};

/// What an isolate keeps for those who watch it.
pub(crate) struct Diagnostics {
    shared: Arc<IsolateShared>,
    /// What its allocator counts, if it tells.
    figures: HeapFigures,
    cpu: Vec<Arc<cpu_profile::Recording>>,
    heap: Option<Arc<heap_profile::Recording>>,
    /// Whether it waits in a host function.
    parked: bool,
    /// The time to the next tick was set anew when it was woken.
    rearmed: bool,
}

impl Diagnostics {
    /// Of an isolate that nobody watches.
    pub(crate) fn new(shared: &Arc<IsolateShared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            figures: HeapFigures::default(),
            cpu: Vec::new(),
            heap: None,
            parked: false,
            rearmed: false,
        }
    }

    /// Keeps what is known about the guest's allocator.
    pub(crate) fn set_figures(&mut self, figures: HeapFigures) {
        self.figures = figures;
    }
}

/// The isolate has ended, whatever ended it.
impl Drop for Diagnostics {
    fn drop(&mut self) {
        for recording in &self.cpu {
            recording.end();
        }
        self.shared.control.end();
    }
}

/// Called at every tick of a computing isolate. `woken`: the tick may have come while it waited.
pub(crate) fn on_tick(context: &mut StoreContextMut<'_, IsolateState>, woken: bool) {
    let diagnostics = &mut context.data_mut().diagnostics;
    if diagnostics.cpu.is_empty() {
        return;
    }
    let rearmed = std::mem::take(&mut diagnostics.rearmed);
    if !woken || rearmed {
        cpu_profile::sample(context);
    }
}

/// The time an isolate waits in a host function.
#[must_use]
pub(crate) struct IdleTime(());

impl IdleTime {
    /// It begins to wait.
    pub(crate) fn begin(state: &mut IsolateState) -> Self {
        let diagnostics = &mut state.diagnostics;
        diagnostics.parked = true;
        if !diagnostics.cpu.is_empty() {
            let now = Instant::now();
            for recording in &diagnostics.cpu {
                recording.park(now);
            }
        }
        Self(())
    }

    /// It has waited.
    pub(crate) fn end(self, caller: &mut Caller<'_, IsolateState>) {
        let diagnostics = &mut caller.data_mut().diagnostics;
        diagnostics.parked = false;
        if diagnostics.cpu.is_empty() {
            return;
        }
        let now = Instant::now();
        for recording in &diagnostics.cpu {
            recording.unpark(now);
        }
        // A tick that came meanwhile says nothing about what it computes from now on.
        diagnostics.rearmed = true;
        caller.as_context_mut().set_epoch_deadline(1);
    }
}
