//! What the guest's allocator counts, read where the guest keeps it.

use nodule_abi::hooks;
use wasmtime::{AsContextMut, Memory, StoreContextMut};

use super::pages::LiveMemory;
use crate::guest_memory;
use crate::runtime::IsolateState;

/// Where a guest counts, if it does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeapFigures(Option<(Memory, u32)>);

/// What it has counted. Any number: the guest writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) live_bytes: u64,
    pub(super) peak_bytes: u64,
    pub(super) total_allocated_bytes: u64,
}

impl HeapFigures {
    /// The figures at an address that the guest gave; none when they do not lie in its memory or have another layout.
    pub(crate) fn at(context: &StoreContextMut<'_, IsolateState>, address: u32) -> Self {
        let Some(memory) = context.data().exports.memory else {
            return Self(None);
        };
        let live = LiveMemory::of(memory, context);
        let is_inside = address as usize + hooks::HEAP_FIGURES_BYTES <= live.len();
        let version = word(live, address, hooks::HEAP_FIGURES_VERSION_AT) & u64::from(u32::MAX);
        let is_known = version == u64::from(hooks::HEAP_FIGURES_VERSION);
        Self((is_inside && is_known).then_some((memory, address)))
    }

    /// What is counted now.
    pub(super) fn read(self, context: &StoreContextMut<'_, IsolateState>) -> Option<Counts> {
        let (memory, address) = self.0?;
        let live = LiveMemory::of(memory, context);
        Some(Counts {
            live_bytes: word(live, address, hooks::HEAP_FIGURES_LIVE_AT),
            peak_bytes: word(live, address, hooks::HEAP_FIGURES_PEAK_AT),
            total_allocated_bytes: word(live, address, hooks::HEAP_FIGURES_TOTAL_AT),
        })
    }

    /// Asks for a sample every so many bytes; 0 for none.
    pub(super) fn set_sample_interval(self, mut context: impl AsContextMut<Data = IsolateState>, interval_bytes: u32) {
        let Some((memory, address)) = self.0 else { return };
        let writes: [(usize, &[u8]); 2] = [
            (hooks::HEAP_FIGURES_UNTIL_AT, &i64::from(interval_bytes).to_le_bytes()),
            (hooks::HEAP_FIGURES_INTERVAL_AT, &interval_bytes.to_le_bytes()),
        ];
        for (offset, bytes) in writes {
            if let Err(error) =
                guest_memory::copy_in(&mut context.as_context_mut(), memory, address as usize + offset, bytes)
            {
                // The range was checked, and memory never shrinks.
                tracing::warn!(?error, "the sample interval could not be set");
            }
        }
    }
}

/// The little-endian word at an offset from an address; 0 outside of the memory.
fn word(memory: LiveMemory<'_>, address: u32, offset: usize) -> u64 {
    let start = address as usize + offset;
    let mut bytes = Vec::with_capacity(8);
    memory.append(start..start + 8, &mut bytes);
    bytes.as_slice().try_into().map_or(0, u64::from_le_bytes)
}
