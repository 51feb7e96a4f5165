//! The state of an isolate as a wasm core dump of the tool conventions: custom sections `core`, `coremodules`,
//! `coreinstances` and `corestack`, memories, their data as far as it is not zero, and globals.
//!
//! Sections of our own, all of CBOR: `nodule.host` (what the host keeps), `nodule.globals` (names and values),
//! `nodule.windows` (where shared memory is mapped).

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::{self, Object, Value};
use wasm_encoder::{ConstExpr, Encode as _, Section as _};
use wasmtime::{HeapType, Mutability, StoreContextMut, Val, ValType, WasmBacktrace};

use super::capture::{AnyMemory, Inventory, Segments, Window, code_of, index, shared_windows};
use super::host_section;
use super::inspect::inspect;
use super::pages::PageTable;
use crate::runtime::{IsolateShared, IsolateState};

/// What a snapshot holds beside the guest's own state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// What the host keeps for the isolate, in a section `nodule.host`. Default: no.
    pub expose_internals: bool,
    /// Names and values of the exported globals, in a section `nodule.globals`. Default: no.
    pub expose_numeric_values: bool,
}

/// A wasm core dump, in pieces.
#[derive(Debug, Default)]
pub struct HeapSnapshot {
    pieces: VecDeque<Vec<u8>>,
}

impl HeapSnapshot {
    /// The next piece; the bytes of all pieces in order are the file.
    pub fn next_chunk(&mut self) -> Option<Vec<u8>> {
        self.pieces.pop_front()
    }

    /// Bytes of all pieces that were not taken yet.
    pub fn len_bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// All of it at once.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len_bytes());
        for piece in self.pieces {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

/// Takes a snapshot at the isolate's next tick or wait. The isolate stands still for one pass over what is not zero in
/// its memory.
///
/// The engine shows only what modules export: private globals and memories are not part of it, and of the stack the
/// youngest frames as in error messages, without locals.
///
/// # Errors
/// `ERR_WORKER_NOT_RUNNING` when it has ended or ends before; `EAGAIN` when too many requests wait for it;
/// `ERANGE` when the data is 4 GiB or more, which the format cannot hold.
pub async fn heap_snapshot(shared: &Arc<IsolateShared>, options: SnapshotOptions) -> Result<HeapSnapshot> {
    inspect(shared, move |context| capture(context, options)).await?
}

fn capture(mut context: StoreContextMut<'_, IsolateState>, options: SnapshotOptions) -> Result<HeapSnapshot> {
    let context = &mut context;
    let inventory = Inventory::of(context);
    let windows = shared_windows(context);
    let values = inventory.values(context);
    let mut dump = wasm_encoder::Module::new();
    dump.section(&wasm_encoder::CoreDumpSection::new(context.data().module.name()));
    dump.section(&memory_section(context, &inventory));
    dump.section(&global_section(context, &inventory, &values));
    let mut pieces = VecDeque::from([dump.finish()]);
    let segments = data(context, &inventory, &windows);
    append_data_section(&mut pieces, segments)?;
    let mut tail = Vec::new();
    append_structure(&mut tail, context, &inventory);
    if options.expose_numeric_values {
        append_custom(&mut tail, "nodule.globals", &globals_value(&inventory, &values));
    }
    if options.expose_internals {
        append_custom(&mut tail, "nodule.host", &host_section::value(context.data()));
    }
    if !windows.is_empty() {
        append_custom(
            &mut tail,
            "nodule.windows",
            &windows_value(context, &inventory, &windows),
        );
    }
    pieces.push_back(tail);
    Ok(HeapSnapshot { pieces })
}

fn memory_section(context: &StoreContextMut<'_, IsolateState>, inventory: &Inventory) -> wasm_encoder::MemorySection {
    let mut section = wasm_encoder::MemorySection::new();
    for memory in &inventory.memories {
        let (ty, pages) = match memory {
            AnyMemory::Own(memory) => (memory.ty(context), memory.size(context)),
            AnyMemory::Shared(memory) => (memory.ty(), memory.size()),
        };
        let page_size_log2 = ty.page_size_log2();
        section.memory(wasm_encoder::MemoryType {
            minimum: pages,
            maximum: ty.maximum(),
            memory64: ty.is_64(),
            shared: ty.is_shared(),
            page_size_log2: (page_size_log2 != 16).then_some(page_size_log2.into()),
        });
    }
    section
}

fn global_section(
    context: &StoreContextMut<'_, IsolateState>,
    inventory: &Inventory,
    values: &[Val],
) -> wasm_encoder::GlobalSection {
    let mut section = wasm_encoder::GlobalSection::new();
    for (named, value) in inventory.globals.iter().zip(values) {
        let ty = named.global.ty(context);
        let (val_type, init) = constant(ty.content(), value);
        let ty = wasm_encoder::GlobalType {
            val_type,
            mutable: ty.mutability() == Mutability::Var,
            shared: false,
        };
        section.global(ty, &init);
    }
    section
}

/// References become null: what they refer to is not part of a core dump.
fn constant(ty: &ValType, value: &Val) -> (wasm_encoder::ValType, ConstExpr) {
    use wasm_encoder::ValType as Encoded;
    match value {
        Val::I32(value) => (Encoded::I32, ConstExpr::i32_const(*value)),
        Val::I64(value) => (Encoded::I64, ConstExpr::i64_const(*value)),
        Val::F32(bits) => (Encoded::F32, ConstExpr::f32_const(f32::from_bits(*bits).into())),
        Val::F64(bits) => (Encoded::F64, ConstExpr::f64_const(f64::from_bits(*bits).into())),
        Val::V128(value) => (Encoded::V128, ConstExpr::v128_const(value.as_u128().cast_signed())),
        _ => {
            let is_function = matches!(ty, ValType::Ref(ty) if matches!(ty.heap_type().top(), HeapType::Func));
            if is_function {
                (Encoded::FUNCREF, ConstExpr::ref_null(wasm_encoder::HeapType::FUNC))
            } else {
                (Encoded::EXTERNREF, ConstExpr::ref_null(wasm_encoder::HeapType::EXTERN))
            }
        }
    }
}

/// The data of all memories; a window that is mapped several times comes once.
fn data(context: &StoreContextMut<'_, IsolateState>, inventory: &Inventory, windows: &[Window]) -> Segments {
    let pages = PageTable::open();
    let mut segments = Segments::default();
    let mut seen = HashSet::new();
    let repeated: Vec<_> = windows.iter().filter(|window| !seen.insert(&window.name)).collect();
    for (number, memory) in inventory.memories.iter().enumerate() {
        let live = memory.live(context);
        let is_64 = match memory {
            AnyMemory::Own(memory) => memory.ty(context).is_64(),
            AnyMemory::Shared(memory) => memory.ty().is_64(),
        };
        let left_out: Vec<Range<usize>> = repeated
            .iter()
            .filter(|window| AnyMemory::Own(window.memory).live(context).is(live))
            .map(|window| window.range.clone())
            .collect();
        segments.add_memory(&pages, live, (index(number), is_64), &left_out);
    }
    segments
}

fn append_data_section(pieces: &mut VecDeque<Vec<u8>>, segments: Segments) -> Result<()> {
    let mut count = Vec::new();
    segments.count.encode(&mut count);
    let len = count.len() + segments.pieces.iter().map(Vec::len).sum::<usize>();
    let len = u32::try_from(len)
        .map_err(|_| ErrorRecord::new(ErrorCode::Erange, "the memory holds more than a core dump can (4 GiB)"))?;
    let mut head = vec![wasm_encoder::SectionId::Data.into()];
    len.encode(&mut head);
    head.extend(count);
    pieces.push_back(head);
    pieces.extend(segments.pieces.into_iter().filter(|piece| !piece.is_empty()));
    Ok(())
}

/// Appends the sections that say what the memories and globals belong to.
fn append_structure(tail: &mut Vec<u8>, context: &StoreContextMut<'_, IsolateState>, inventory: &Inventory) {
    let mut modules = wasm_encoder::CoreDumpModulesSection::new();
    let mut instances = wasm_encoder::CoreDumpInstancesSection::new();
    for (number, instance) in inventory.instances.iter().enumerate() {
        modules.module(&instance.name);
        instances.instance(
            index(number),
            instance.memories.iter().copied(),
            instance.globals.iter().copied(),
        );
    }
    modules.append_to(tail);
    instances.append_to(tail);
    let thread = match context.data().shared.thread.number() {
        0 => "main".to_string(),
        number => format!("worker {number}"),
    };
    let mut stack = wasm_encoder::CoreDumpStackSection::new(thread);
    for frame in WasmBacktrace::force_capture(context).frames() {
        let code = code_of(frame.module());
        let instance = inventory.instances.iter().position(|instance| instance.code == code);
        let offset = frame.func_offset().map_or(0, index);
        stack.frame(index(instance.unwrap_or(0)), frame.func_index(), offset, [], []);
    }
    stack.append_to(tail);
}

fn append_custom(tail: &mut Vec<u8>, name: &str, value: &Value) {
    let data = match value::encode(value) {
        Ok(data) => data,
        Err(error) => {
            tracing::error!(%error, name, "a section of a snapshot could not be encoded");
            return;
        }
    };
    let section = wasm_encoder::CustomSection {
        name: name.into(),
        data: data.into(),
    };
    section.append_to(tail);
}

fn globals_value(inventory: &Inventory, values: &[Val]) -> Value {
    let entry = |(named, value): (&super::capture::NamedGlobal, &Val)| {
        let (ty, number) = match value {
            Val::I32(value) => ("i32", Value::from(*value)),
            Val::I64(value) => ("i64", Value::from(*value)),
            Val::F32(bits) => ("f32", Value::from(f32::from_bits(*bits))),
            Val::F64(bits) => ("f64", Value::from(f64::from_bits(*bits))),
            Val::V128(value) => ("v128", Value::from(value.as_u128())),
            _ => ("ref", Value::Null),
        };
        object([
            ("instance", named.instance.into()),
            ("name", named.name.as_str().into()),
            ("type", ty.into()),
            ("value", number),
        ])
    };
    Value::Array(inventory.globals.iter().zip(values).map(entry).collect())
}

fn windows_value(context: &StoreContextMut<'_, IsolateState>, inventory: &Inventory, windows: &[Window]) -> Value {
    let entry = |window: &Window| {
        let live = AnyMemory::Own(window.memory);
        let live = live.live(context);
        let number = inventory
            .memories
            .iter()
            .position(|memory| memory.live(context).is(live));
        object([
            ("name", window.name.as_str().into()),
            ("memory", number.map(index).into()),
            ("offset", (window.range.start as u64).into()),
            ("bytes", (window.range.len() as u64).into()),
        ])
    };
    Value::Array(windows.iter().map(entry).collect())
}

/// A plain object.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut object = Object::new();
    for (key, value) in members {
        object.insert(key, value);
    }
    Value::Object(object)
}
