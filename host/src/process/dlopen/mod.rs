//! `process.dlopen`: wasm side modules (`dylink.0`) in the memory and table of the guest that loads them.
//!
//! A side module brings its code, its data and its function pointers; the loader reserves room for the data by
//! growing the guest's memory by whole pages, and for the pointers by growing its table. Symbols are resolved as
//! ELF does it: first the main module's exports, then libraries loaded with `RTLD_GLOBAL`, then the library that
//! was asked for and what it needs, breadth first. A guest's allocator must cope with pages that it did not ask
//! for, as dlmalloc (wasi-libc, Rust) does.
//!
//! | file | what it does |
//! |---|---|
//! | `dylink` | what a module asks of its loader |
//! | `files` | from a path to compiled files, those they need included |
//! | `symbols` | exports as symbols, and the order in which they are looked up |
//! | `plan` | where each import comes from; changes nothing |
//! | `link` | reserves, instantiates, relocates, constructs |
//! | `late` | functions that are looked up when they are called |
//! | `addresses` | functions as table indexes |

mod addresses;
mod dylink;
mod files;
mod late;
mod link;
mod plan;
mod symbols;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::hooks;
use wasmtime::{Caller, Extern, Global, Instance, Memory, Mutability, Table};

use self::addresses::FunctionAddresses;
use self::files::{Dependency, FileId, Loader};
use self::symbols::Symbol;
use super::report::LoadedModule;
use crate::handles::{Handle, Resource};
use crate::host_error::HostError;
use crate::runtime::IsolateState;

/// `RTLD_LAZY`: a function that is missing is missed when it is called.
const RTLD_LAZY: u32 = 1;
/// `RTLD_NOW`: everything is resolved before `dlopen` returns.
const RTLD_NOW: u32 = 2;
/// `RTLD_GLOBAL`: later side modules may use its symbols.
const RTLD_GLOBAL: u32 = 256;

/// When a missing function is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    Lazy,
    Now,
}

/// Who may use the symbols of a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    /// Those loaded with it.
    Local,
    /// Everything loaded later.
    Global,
}

/// What the flags of a `dlopen` say.
#[derive(Clone, Copy, Debug)]
struct Mode {
    binding: Binding,
    visibility: Visibility,
}

impl Mode {
    fn from_guest(flags: u32) -> Result<Self> {
        if flags & !(RTLD_LAZY | RTLD_NOW | RTLD_GLOBAL) != 0 || flags & (RTLD_LAZY | RTLD_NOW) == 0 {
            return Err(failed(format!(
                "invalid mode for dlopen(): {flags:#x} (hint: RTLD_LAZY {RTLD_LAZY} or RTLD_NOW {RTLD_NOW}, with or without RTLD_GLOBAL {RTLD_GLOBAL})"
            )));
        }
        Ok(Self {
            binding: if flags & RTLD_NOW == 0 {
                Binding::Lazy
            } else {
                Binding::Now
            },
            visibility: if flags & RTLD_GLOBAL == 0 {
                Visibility::Local
            } else {
                Visibility::Global
            },
        })
    }
}

/// How far a library is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its constructors have not ended.
    Loading,
    Ready,
    /// It could not be loaded. Its room cannot be given back.
    Failed,
}

/// A side module of an isolate.
#[derive(Debug)]
struct Library {
    file: FileId,
    name: String,
    digest: String,
    phase: Phase,
    visibility: Visibility,
    /// Absent until it is instantiated.
    instance: Option<Instance>,
    /// Where its data starts.
    memory_base: u32,
    /// Exports that are no symbols.
    thread_local: HashSet<String>,
    /// The libraries it needs.
    needed: Vec<usize>,
    /// The library whose loading brought it in.
    root: usize,
    handle: Option<Handle>,
    /// How often `dlopen` gave the handle out.
    opened: u32,
}

/// The side modules of one isolate.
#[derive(Debug, Default)]
pub struct SideModules {
    /// Never shortened: numbers stay valid.
    libraries: Vec<Library>,
    by_file: HashMap<FileId, usize>,
    /// Libraries for which room was taken, failed ones included.
    mapped: usize,
    /// Imports that got a host object of their own.
    linked_imports: usize,
    addresses: FunctionAddresses,
    /// Host functions that side modules import, by namespace and name.
    host_functions: HashMap<(String, String), Extern>,
    /// Calls through late functions that have not returned.
    late_calls: usize,
}

/// What [`symbol`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A table index, which is a function pointer.
    Function(u32),
    /// An address in memory.
    Data(u32),
}

/// What side modules share with the main module.
#[derive(Clone, Copy, Debug)]
struct Main {
    memory: Memory,
    table: Table,
    stack_pointer: Global,
}

impl Main {
    /// The exports that loading needs; names all that are missing and what links them in.
    fn of(caller: &Caller<'_, IsolateState>) -> Result<Self> {
        let exports = caller.data().exports;
        let memory = exports.memory.filter(|memory| {
            let ty = memory.ty(caller);
            !ty.is_64() && !ty.is_shared() && ty.page_size() == link::PAGE_BYTES
        });
        let table = exports.function_table.filter(|table| {
            let ty = table.ty(caller);
            !ty.is_64()
                && ty.element().matches(&wasmtime::RefType::FUNCREF)
                && ty.maximum().is_none_or(|max| max > table.size(caller))
        });
        let stack_pointer = exports.stack_pointer.filter(|global| {
            let ty = global.ty(caller);
            ty.mutability() == Mutability::Var && ty.content().is_i32()
        });
        if let (Some(_), Some(memory), Some(table), Some(stack_pointer)) =
            (exports.instance, memory, table, stack_pointer)
        {
            return Ok(Self {
                memory,
                table,
                stack_pointer,
            });
        }
        let missing = [
            (
                exports.instance.is_none(),
                "its exports before it is instantiated".to_owned(),
            ),
            (
                memory.is_none(),
                "\"memory\", an unshared 32-bit memory (link it with --export-memory)".to_owned(),
            ),
            (
                table.is_none(),
                format!(
                    "a growable {:?} (link it with --export-table --growable-table)",
                    hooks::FUNCTION_TABLE
                ),
            ),
            (
                stack_pointer.is_none(),
                format!("{0:?} (link it with --export={0})", hooks::STACK_POINTER),
            ),
        ];
        let missing: Vec<_> = missing
            .into_iter()
            .filter_map(|(missing, what)| missing.then_some(what))
            .collect();
        Err(failed(format!(
            "the main module does not export {}",
            missing.join(", ")
        )))
    }
}

/// `ERR_DLOPEN_FAILED`.
fn failed(message: impl Into<String>) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::DlopenFailed, message).into()
}

/// Imports between two breaks.
const IMPORTS_PER_TURN: usize = 64;

/// Lets others run now and then while the imports of a large module are gone through.
async fn give_way(count: usize) {
    if count % IMPORTS_PER_TURN == IMPORTS_PER_TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// Most characters of a name in a message.
const SHOWN_CHARS_MAX: usize = 200;

/// A name as messages show it.
fn shown(name: &str) -> String {
    if name.chars().nth(SHOWN_CHARS_MAX).is_none() {
        return name.to_owned();
    }
    name.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect()
}

/// Loads a side module and what it needs. Compiles on another thread, then runs constructors in the guest.
pub async fn open(
    caller: &mut Caller<'_, IsolateState>,
    path: &str,
    flags: u32,
) -> std::result::Result<Handle, HostError> {
    let mode = Mode::from_guest(flags)?;
    let proof = caller.data().permissions.check_addon(path)?;
    let main = Main::of(caller)?;
    let loader = Loader::new(
        proof,
        caller.data(),
        caller.data().process.cwd(&caller.data().permissions)?,
    );
    let path = path.to_owned();
    let group = tokio::task::spawn_blocking(move || loader.load(&path))
        .await
        .map_err(HostError::internal)??;
    let library = match group.root {
        Dependency::Loaded(library) => library,
        Dependency::New(_) => link::link(caller, main, group, mode).await?,
    };
    let state = caller.data_mut();
    if mode.visibility == Visibility::Global {
        state.process.side_modules.make_global(library);
    }
    state.process.side_modules.libraries[library].open(library, &mut state.handles)
}

impl Library {
    /// Counts the handle up; makes one when there is none (any more).
    fn open(&mut self, index: usize, handles: &mut crate::handles::Handles) -> std::result::Result<Handle, HostError> {
        let known = self.handle.filter(|handle| handles.get(*handle).is_ok());
        let handle = match known {
            Some(handle) => handle,
            None => {
                self.opened = 0;
                handles.insert(Resource::SideModule(index), false)?
            }
        };
        self.handle = Some(handle);
        self.opened = self.opened.saturating_add(1);
        Ok(handle)
    }
}

impl SideModules {
    /// Those that are there, for reports.
    pub fn loaded(&self) -> impl Iterator<Item = LoadedModule> {
        let there = self.libraries.iter().filter(|library| library.phase != Phase::Failed);
        there.map(|library| LoadedModule {
            path: library.name.clone(),
            digest: library.digest.clone(),
        })
    }

    /// The library and all it needs, breadth first.
    fn closure(&self, library: usize) -> Vec<usize> {
        let mut found = vec![library];
        let mut seen: HashSet<usize> = HashSet::from([library]);
        let mut next = 0;
        while let Some(library) = found.get(next).and_then(|library| self.libraries.get(*library)) {
            found.extend(library.needed.iter().filter(|needed| seen.insert(**needed)));
            next += 1;
        }
        found
    }

    fn make_global(&mut self, library: usize) {
        for library in self.closure(library) {
            self.libraries[library].visibility = Visibility::Global;
        }
    }

    fn by_handle(&self, handles: &crate::handles::Handles, handle: Handle) -> Result<usize> {
        match handles.get(handle)? {
            Resource::SideModule(library) => Ok(*library),
            _ => Err(ErrorRecord::new(ErrorCode::HandleClosed, format!("{handle} is no side module")).into()),
        }
    }
}

/// Looks `name` up in a side module and what it needs. A function gets a place in the table, once.
pub async fn symbol(
    caller: &mut Caller<'_, IsolateState>,
    handle: Handle,
    name: &str,
) -> std::result::Result<Address, HostError> {
    let state = caller.data();
    let library = state.process.side_modules.by_handle(&state.handles, handle)?;
    for place in state.process.side_modules.closure(library) {
        match symbols::of_library(caller, place, name) {
            None => {}
            Some(Symbol::Data(address)) => return Ok(Address::Data(address)),
            Some(Symbol::Function(function)) => {
                let table = Main::of_table(caller)?;
                return Ok(Address::Function(addresses::of(caller, table, function).await?));
            }
        }
    }
    let library = &caller.data().process.side_modules.libraries[library];
    Err(failed(format!("{} has no symbol {name}", library.name)).into())
}

impl Main {
    fn of_table(caller: &Caller<'_, IsolateState>) -> Result<Table> {
        caller
            .data()
            .exports
            .function_table
            .ok_or_else(|| failed("the main module exports no table"))
    }
}

/// Gives a handle back. The last time it is closed; the code stays, because pointers into it may be anywhere.
pub fn close(state: &mut IsolateState, handle: Handle) -> Result<()> {
    let library = state.process.side_modules.by_handle(&state.handles, handle)?;
    let library = &mut state.process.side_modules.libraries[library];
    library.opened = library.opened.saturating_sub(1);
    if library.opened == 0 {
        library.handle = None;
        state.handles.remove(handle)?;
    }
    Ok(())
}
