//! One pass over the memories and globals of an isolate.

use std::ops::Range;

use wasm_encoder::Encode as _;
use wasmtime::{AsContextMut as _, Extern, Global, Instance, Memory, SharedMemory, StoreContextMut, Val};

use super::pages::{LiveMemory, PageTable};
use crate::runtime::IsolateState;

/// A piece of shared memory mapped into a linear memory.
pub(super) struct Window {
    /// The name by which it is the same wherever it is mapped.
    pub(super) name: String,
    /// The memory it lies in.
    pub(super) memory: Memory,
    /// Where in it.
    pub(super) range: Range<usize>,
}

/// The windows of an isolate.
pub(super) fn shared_windows(context: &StoreContextMut<'_, IsolateState>) -> Vec<Window> {
    let state = context.data();
    let Some(memory) = state.exports.memory else {
        return Vec::new();
    };
    let windows = state.shared_memory.windows.shared();
    windows
        .map(|(buffer, range)| Window {
            name: format!("SharedArrayBuffer {}", buffer.pages().id().number()),
            memory,
            range,
        })
        .collect()
}

/// A memory of either kind.
pub(super) enum AnyMemory {
    Own(Memory),
    Shared(SharedMemory),
}

impl AnyMemory {
    pub(super) fn live<'a>(&'a self, context: &'a StoreContextMut<'_, IsolateState>) -> LiveMemory<'a> {
        match self {
            Self::Own(memory) => LiveMemory::of(*memory, context),
            Self::Shared(memory) => LiveMemory::shared(memory),
        }
    }
}

/// A global that an instance exports.
pub(super) struct NamedGlobal {
    pub(super) instance: u32,
    pub(super) name: String,
    pub(super) global: Global,
}

/// An instance with the numbers of its memories and globals.
pub(super) struct CapturedInstance {
    pub(super) name: String,
    /// Where its code lies: frames name their instance by it.
    pub(super) code: usize,
    pub(super) code_bytes: usize,
    pub(super) memories: Vec<u32>,
    pub(super) globals: Vec<u32>,
}

/// What there is in an isolate. The engine shows what instances export, so their memory and stack pointer but not
/// their private globals.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) instances: Vec<CapturedInstance>,
    pub(super) memories: Vec<AnyMemory>,
    pub(super) globals: Vec<NamedGlobal>,
}

/// Identifies a module by where its code lies.
pub(super) fn code_of(module: &wasmtime::Module) -> usize {
    module.image_range().start.addr()
}

impl Inventory {
    /// Of the main module and the side modules.
    pub(super) fn of(context: &mut StoreContextMut<'_, IsolateState>) -> Self {
        let state = context.data();
        let main = state
            .exports
            .instance
            .map(|main| (state.module.name().to_string(), main));
        let side = state.process.side_modules.instances();
        let instances: Vec<_> = main.into_iter().chain(side).collect();
        let mut inventory = Self::default();
        for (name, instance) in instances {
            inventory.add(context, name, instance);
        }
        inventory
    }

    fn add(&mut self, context: &mut StoreContextMut<'_, IsolateState>, name: String, instance: Instance) {
        let number = index(self.instances.len());
        let module = instance.module(&*context);
        let (code, code_bytes) = (code_of(module), module.text().len());
        let exports: Vec<_> = instance
            .exports(context.as_context_mut())
            .map(|export| (export.name().to_string(), export.into_extern()))
            .collect();
        let mut captured = CapturedInstance {
            name,
            code,
            code_bytes,
            memories: Vec::new(),
            globals: Vec::new(),
        };
        for (name, export) in exports {
            match export {
                Extern::Memory(memory) => captured.memories.push(self.memory(context, AnyMemory::Own(memory))),
                Extern::SharedMemory(memory) => captured.memories.push(self.memory(context, AnyMemory::Shared(memory))),
                Extern::Global(global) => {
                    captured.globals.push(index(self.globals.len()));
                    self.globals.push(NamedGlobal {
                        instance: number,
                        name,
                        global,
                    });
                }
                Extern::Func(_) | Extern::Table(_) | Extern::Tag(_) => {}
            }
        }
        // Side modules import the memory of the main module.
        if captured.memories.is_empty() && number > 0 && !self.memories.is_empty() {
            captured.memories.push(0);
        }
        self.instances.push(captured);
    }

    fn memory(&mut self, context: &StoreContextMut<'_, IsolateState>, memory: AnyMemory) -> u32 {
        let live = memory.live(context);
        if let Some(known) = self.memories.iter().position(|known| known.live(context).is(live)) {
            return index(known);
        }
        self.memories.push(memory);
        index(self.memories.len() - 1)
    }

    /// The values of the globals, in order.
    pub(super) fn values(&self, context: &mut StoreContextMut<'_, IsolateState>) -> Vec<Val> {
        self.globals
            .iter()
            .map(|named| named.global.get(context.as_context_mut()))
            .collect()
    }
}

/// Counts of exports and instances are far below 4 Gi.
pub(super) fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Longest segment.
const CHUNK_BYTES: usize = 64 * 1024;
/// Above this many, pages with zeros between them go into one segment: tools take at most 100,000.
const FINE_SEGMENTS_MAX: u32 = 30_000;
/// Length from which a piece of the encoded data is handed on.
const PIECE_BYTES: usize = 256 * 1024;
/// A number of 32 bits in LEB128, padded so that it can be written later.
const PADDED_BYTES: usize = 5;

/// The data segments of a core dump, encoded.
#[derive(Default)]
pub(super) struct Segments {
    /// The encoded segments, cut anywhere.
    pub(super) pieces: Vec<Vec<u8>>,
    /// How many they are.
    pub(super) count: u32,
    current: Vec<u8>,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    start: usize,
    end: usize,
    len_at: usize,
}

impl Segments {
    /// Copies what is not zero of a memory, without the parts in `left_out`.
    pub(super) fn add_memory(
        &mut self,
        pages: &PageTable,
        memory: LiveMemory<'_>,
        (number, is_64): (u32, bool),
        left_out: &[Range<usize>],
    ) {
        pages.for_each_used(memory, |page| {
            if !left_out
                .iter()
                .any(|out| out.start <= page.start && page.end <= out.end)
            {
                self.add_page(memory, (number, is_64), page);
            }
        });
        self.close();
        let mut last = std::mem::take(&mut self.current);
        last.shrink_to_fit();
        self.pieces.push(last);
    }

    fn add_page(&mut self, memory: LiveMemory<'_>, target: (u32, bool), page: Range<usize>) {
        let before = self.current.len();
        if let Some(open) = &self.open {
            let same_chunk = open.start / CHUNK_BYTES == page.start / CHUNK_BYTES;
            if same_chunk && (open.end == page.start || self.count >= FINE_SEGMENTS_MAX) {
                let gap = page.start - open.end;
                self.current.resize(before + gap, 0);
                if memory.append(page.clone(), &mut self.current) {
                    self.open = self.open.take().map(|open| OpenSegment { end: page.end, ..open });
                } else {
                    self.current.truncate(before);
                }
                return;
            }
            self.close();
        }
        let before = self.current.len();
        let len_at = self.begin(target, page.start);
        if memory.append(page.clone(), &mut self.current) {
            self.open = Some(OpenSegment {
                start: page.start,
                end: page.end,
                len_at,
            });
        } else {
            self.current.truncate(before);
        }
    }

    /// Writes the head of a segment; gives the place of its length.
    fn begin(&mut self, (memory, is_64): (u32, bool), offset: usize) -> usize {
        const ACTIVE_WITH_MEMORY: u8 = 2;
        const I32_CONST: u8 = 0x41;
        const I64_CONST: u8 = 0x42;
        const END: u8 = 0x0b;
        let out = &mut self.current;
        if out.capacity() == 0 {
            out.reserve_exact(PIECE_BYTES + 2 * CHUNK_BYTES);
        }
        out.push(ACTIVE_WITH_MEMORY);
        memory.encode(out);
        if is_64 {
            out.push(I64_CONST);
            (offset as u64).cast_signed().encode(out);
        } else {
            out.push(I32_CONST);
            index(offset).cast_signed().encode(out);
        }
        out.push(END);
        let len_at = out.len();
        out.resize(len_at + PADDED_BYTES, 0);
        len_at
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let mut rest = open.end - open.start;
        for (place, byte) in self.current[open.len_at..].iter_mut().take(PADDED_BYTES).enumerate() {
            let more = if place + 1 < PADDED_BYTES { 0x80 } else { 0 };
            *byte = u8::try_from(rest & 0x7f).unwrap_or(0) | more;
            rest >>= 7;
        }
        self.count += 1;
        if self.current.len() >= PIECE_BYTES {
            self.pieces.push(std::mem::take(&mut self.current));
        }
    }
}
