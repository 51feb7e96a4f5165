//! Exports as symbols, and the order in which modules are searched for one.

use wasmtime::{AsContextMut, Caller, Extern, ExternType, Func, FuncType, GlobalType, Instance, Mutability};

use super::files::{Dependency, Group};
use super::{Phase, SideModules, Visibility};
use crate::runtime::IsolateState;

/// Names of a module that are for its loader, not for other modules.
const LOADER_PREFIX: &str = "__wasm_";

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Symbol {
    Function(Func),
    /// An address.
    Data(u32),
}

/// What a name of a module that is not instantiated will stand for.
#[derive(Clone, Debug)]
pub(super) enum SymbolType {
    Function(FuncType),
    Data,
}

/// Where symbols are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    Main,
    Library(usize),
    /// A file of the group that is being loaded.
    File(usize),
}

fn is_address(ty: &GlobalType) -> bool {
    ty.mutability() == Mutability::Const && ty.content().is_i32()
}

/// The symbol `name` of an instance whose data starts at `memory_base`.
pub(super) fn of_instance(
    caller: &mut Caller<'_, IsolateState>,
    instance: Instance,
    memory_base: u32,
    name: &str,
) -> Option<Symbol> {
    if name.starts_with(LOADER_PREFIX) {
        return None;
    }
    match instance.get_export(caller.as_context_mut(), name)? {
        Extern::Func(function) => Some(Symbol::Function(function)),
        Extern::Global(global) if is_address(&global.ty(&*caller)) => {
            let offset = global.get(caller.as_context_mut()).i32()?;
            Some(Symbol::Data(memory_base.wrapping_add(offset.cast_unsigned())))
        }
        _ => None,
    }
}

/// The symbol `name` of the main module.
pub(super) fn of_main(caller: &mut Caller<'_, IsolateState>, name: &str) -> Option<Symbol> {
    let instance = caller.data().exports.instance?;
    of_instance(caller, instance, 0, name)
}

/// The symbol `name` of a library.
pub(super) fn of_library(caller: &mut Caller<'_, IsolateState>, library: usize, name: &str) -> Option<Symbol> {
    let library = caller.data().process.side_modules.libraries.get(library)?;
    if library.phase == Phase::Failed || library.thread_local.contains(name) {
        return None;
    }
    let (instance, memory_base) = (library.instance?, library.memory_base);
    of_instance(caller, instance, memory_base, name)
}

/// What the symbol `name` of a new file will be.
pub(super) fn of_file(group: &Group, file: usize, name: &str) -> Option<SymbolType> {
    let file = &group.files[file];
    if name.starts_with(LOADER_PREFIX) || file.dylink.thread_local.contains(name) {
        return None;
    }
    match file.module.get_export(name)? {
        ExternType::Func(ty) => Some(SymbolType::Function(ty)),
        ExternType::Global(ty) if is_address(&ty) => Some(SymbolType::Data),
        _ => None,
    }
}

/// Where files of a group look: the main module, global libraries, then the group's root and all it needs.
pub(super) fn scope_of_group(side_modules: &SideModules, group: &Group) -> Vec<Place> {
    let mut scope = vec![Place::Main];
    scope.extend(global_libraries(side_modules).map(Place::Library));
    let place = |dependency: &Dependency| match dependency {
        Dependency::Loaded(library) => Place::Library(*library),
        Dependency::New(file) => Place::File(*file),
    };
    let mut closure = vec![place(&group.root)];
    let mut seen: std::collections::HashSet<Place> = closure.iter().copied().collect();
    let mut next = 0;
    while let Some(found) = closure.get(next) {
        let needed: Vec<Place> = match *found {
            Place::Main => Vec::new(),
            Place::File(file) => group.files[file].needed.iter().map(place).collect(),
            Place::Library(library) => side_modules.libraries[library]
                .needed
                .iter()
                .map(|needed| Place::Library(*needed))
                .collect(),
        };
        closure.extend(needed.into_iter().filter(|needed| seen.insert(*needed)));
        next += 1;
    }
    let known: std::collections::HashSet<Place> = scope.iter().copied().collect();
    scope.extend(closure.into_iter().filter(|place| !known.contains(place)));
    scope
}

/// Where a library looks once it is loaded: as [`scope_of_group`], with what is global by now.
pub(super) fn scope_of_library(side_modules: &SideModules, library: usize) -> Vec<usize> {
    let mut scope: Vec<usize> = global_libraries(side_modules).collect();
    if let Some(library) = side_modules.libraries.get(library) {
        let closure = side_modules.closure(library.root);
        scope.extend(
            closure
                .into_iter()
                .filter(|place| side_modules.libraries[*place].visibility == Visibility::Local),
        );
    }
    scope
}

fn global_libraries(side_modules: &SideModules) -> impl Iterator<Item = usize> {
    let is_global =
        |(index, library): (usize, &super::Library)| (library.visibility == Visibility::Global).then_some(index);
    side_modules.libraries.iter().enumerate().filter_map(is_global)
}
