//! Where each import of new side modules comes from. Changes nothing, so that what cannot be linked leaves
//! nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use nodule_abi::hooks;
use wasmtime::{AsContextMut, Caller, Extern, ExternType, Func, FuncType, ImportType, Mutability};

use super::files::Group;
use super::late::LateFunction;
use super::symbols::{self, Place, Symbol, SymbolType};
use super::{Binding, failed, give_way, shown};
use crate::host_error::HostError;
use crate::runtime::IsolateState;

/// Namespace of functions and of what a loader provides.
const ENV: &str = "env";
/// Namespace of data addresses.
const GOT_MEM: &str = "GOT.mem";
/// Namespace of function addresses.
const GOT_FUNC: &str = "GOT.func";

/// Most imports of all side modules of an isolate that need an object of the host.
const LINKED_IMPORTS_MAX: usize = 128 * 1024;
/// Most missing symbols an error names.
const UNDEFINED_NAMED_MAX: usize = 8;

/// What stands for one import.
#[derive(Clone, Debug)]
pub(super) enum Link {
    Memory,
    Table,
    StackPointer,
    MemoryBase,
    TableBase,
    /// A function that is there.
    Function(Func),
    /// A function of the group; late when its module is not instantiated yet.
    FileFunction {
        file: usize,
        function: LateFunction,
    },
    /// A function that is looked up when it is called.
    Late(LateFunction),
    /// A global that gets an address when the modules of the group are there.
    Address(Target),
}

/// Whose address a global gets.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A missing weak symbol: address 0.
    Null,
    Symbol(Symbol),
    FileSymbol {
        file: usize,
        name: String,
    },
    Late(LateFunction),
}

/// Whether the address of a function or of data is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Data,
}

/// What a lookup finds.
enum Found {
    Symbol(Symbol),
    FileSymbol { file: usize, ty: SymbolType },
}

/// Plans the imports of the files of a group.
pub(super) struct Planner<'a> {
    pub group: &'a Group,
    pub binding: Binding,
    /// The place the first file will have among the libraries.
    pub first_library: usize,
    scope: Vec<Place>,
    /// The functions that the current file imports, once they were asked for.
    imported: Option<HashMap<String, FuncType>>,
    undefined: Undefined,
}

/// Missing symbols: the first ones by name.
#[derive(Default)]
struct Undefined {
    names: Vec<String>,
    more: bool,
}

impl Undefined {
    fn add(&mut self, name: &str) {
        let name = shown(name);
        if self.names.contains(&name) {
            return;
        }
        if self.names.len() < UNDEFINED_NAMED_MAX {
            self.names.push(name);
        } else {
            self.more = true;
        }
    }
}

impl<'a> Planner<'a> {
    pub(super) fn new(state: &IsolateState, group: &'a Group, binding: Binding) -> Self {
        let side_modules = &state.process.side_modules;
        let scope = symbols::scope_of_group(side_modules, group);
        Self {
            group,
            binding,
            first_library: side_modules.libraries.len(),
            scope,
            imported: None,
            undefined: Undefined::default(),
        }
    }

    /// The links of every file, in the order of its imports. Fails with the names of all symbols that are missing.
    pub(super) async fn plan(mut self, caller: &mut Caller<'_, IsolateState>) -> Result<Vec<Vec<Link>>, HostError> {
        let mut budget = LINKED_IMPORTS_MAX.saturating_sub(caller.data().process.side_modules.linked_imports);
        let mut plans = Vec::with_capacity(self.group.files.len());
        for (file, side_file) in self.group.files.iter().enumerate() {
            let imports = side_file.module.imports();
            let too_many = || failed(format!("more than {LINKED_IMPORTS_MAX} imports of side modules"));
            budget = budget.checked_sub(imports.len()).ok_or_else(too_many)?;
            self.imported = None;
            let mut links = Vec::with_capacity(imports.len());
            for (count, import) in imports.enumerate() {
                give_way(count).await;
                links.push(self.link(caller, file, &import)?);
            }
            plans.push(links);
        }
        if self.undefined.names.is_empty() {
            return Ok(plans);
        }
        let names = self.undefined.names.join(", ");
        let more = if self.undefined.more { " and more" } else { "" };
        let hint = "hint: let the main module export it (--export), or load the library that has it with RTLD_GLOBAL";
        Err(failed(format!("undefined symbol: {names}{more} ({hint})")).into())
    }

    fn link(
        &mut self,
        caller: &mut Caller<'_, IsolateState>,
        file: usize,
        import: &ImportType<'_>,
    ) -> Result<Link, HostError> {
        match (import.module(), import.name(), import.ty()) {
            (ENV, "memory", ExternType::Memory(_)) => Ok(Link::Memory),
            (ENV, hooks::FUNCTION_TABLE, ExternType::Table(_)) => Ok(Link::Table),
            (ENV, hooks::STACK_POINTER, ExternType::Global(_)) => Ok(Link::StackPointer),
            (ENV, "__memory_base", ExternType::Global(_)) => Ok(Link::MemoryBase),
            (ENV, "__table_base", ExternType::Global(_)) => Ok(Link::TableBase),
            (GOT_MEM | GOT_FUNC, name, ExternType::Global(ty))
                if ty.content().is_i32() && ty.mutability() == Mutability::Var =>
            {
                let kind = if import.module() == GOT_MEM {
                    Kind::Data
                } else {
                    Kind::Function
                };
                Ok(Link::Address(self.address(caller, file, name, kind)))
            }
            (ENV, name, ExternType::Func(ty)) => self.function(caller, file, name, ty),
            (namespace, name, ExternType::Func(ty)) => self.host_function(caller, file, namespace, name, ty),
            (namespace, name, ty) => {
                let file = &self.group.files[file].name;
                Err(failed(format!(
                    "{file} imports {:?} {:?} as {}, which no loader provides",
                    shown(namespace),
                    shown(name),
                    kind_of(&ty)
                ))
                .into())
            }
        }
    }

    /// The first in the scope that has the name, and as what is wanted.
    fn find(
        &self,
        caller: &mut Caller<'_, IsolateState>,
        name: &str,
        kind: Kind,
        except: Option<usize>,
    ) -> Option<Found> {
        let right = |is_function: bool| is_function == (kind == Kind::Function);
        self.scope.iter().find_map(|place| {
            let symbol = match *place {
                Place::Main => symbols::of_main(caller, name),
                Place::Library(library) => symbols::of_library(caller, library, name),
                Place::File(file) if Some(file) == except => None,
                Place::File(file) => {
                    let ty = symbols::of_file(self.group, file, name)?;
                    return right(matches!(ty, SymbolType::Function(_))).then_some(Found::FileSymbol { file, ty });
                }
            };
            symbol
                .filter(|symbol| right(matches!(symbol, Symbol::Function(_))))
                .map(Found::Symbol)
        })
    }

    fn is_weak(&self, file: usize, namespace: &str, name: &str) -> bool {
        self.group.files[file]
            .dylink
            .weak
            .contains(&(namespace.to_owned(), name.to_owned()))
    }

    fn late(&self, file: usize, name: &str, ty: FuncType) -> LateFunction {
        LateFunction {
            library: self.first_library + file,
            name: Arc::from(name),
            ty,
        }
    }

    fn function(
        &mut self,
        caller: &mut Caller<'_, IsolateState>,
        file: usize,
        name: &str,
        ty: FuncType,
    ) -> Result<Link, HostError> {
        match self.find(caller, name, Kind::Function, Some(file)) {
            Some(Found::Symbol(Symbol::Function(function))) => {
                let found = function.ty(&*caller);
                self.check_type(file, name, &found, &ty)?;
                Ok(Link::Function(function))
            }
            Some(Found::FileSymbol {
                file: place,
                ty: SymbolType::Function(found),
            }) => {
                self.check_type(file, name, &found, &ty)?;
                Ok(Link::FileFunction {
                    file: place,
                    function: self.late(file, name, ty),
                })
            }
            _ => self.host_function(caller, file, ENV, name, ty),
        }
    }

    /// A function of the host, or of the embedder. What nobody has is left open, if that is allowed.
    fn host_function(
        &mut self,
        caller: &mut Caller<'_, IsolateState>,
        file: usize,
        namespace: &str,
        name: &str,
        ty: FuncType,
    ) -> Result<Link, HostError> {
        let full_name = if namespace == ENV {
            name.to_owned()
        } else {
            format!("{namespace} {name}")
        };
        if let Some(Extern::Func(function)) = host_extern(caller, namespace, name) {
            let found = function.ty(&*caller);
            self.check_type(file, &full_name, &found, &ty)?;
            return Ok(Link::Function(function));
        }
        if self.binding == Binding::Now && !self.is_weak(file, namespace, name) {
            self.undefined.add(&full_name);
        }
        Ok(Link::Late(self.late(file, &full_name, ty)))
    }

    fn address(&mut self, caller: &mut Caller<'_, IsolateState>, file: usize, name: &str, kind: Kind) -> Target {
        if let Some(found) = self.find(caller, name, kind, None) {
            return match found {
                Found::Symbol(symbol) => Target::Symbol(symbol),
                Found::FileSymbol { file, .. } => Target::FileSymbol {
                    file,
                    name: name.to_owned(),
                },
            };
        }
        let namespace = if kind == Kind::Data { GOT_MEM } else { GOT_FUNC };
        if self.is_weak(file, namespace, name) || self.is_weak(file, ENV, name) {
            return Target::Null;
        }
        // A pointer to a missing function needs a type, which only an import of the function tells.
        let module = &self.group.files[file].module;
        let imported = self
            .imported
            .get_or_insert_with(|| imported_functions(module))
            .get(name)
            .cloned();
        match imported {
            Some(ty) if kind == Kind::Function && self.binding == Binding::Lazy => {
                Target::Late(self.late(file, name, ty))
            }
            _ => {
                self.undefined.add(name);
                Target::Null
            }
        }
    }

    fn check_type(&self, file: usize, name: &str, found: &FuncType, wanted: &FuncType) -> Result<(), HostError> {
        if found.matches(wanted) {
            return Ok(());
        }
        let file = &self.group.files[file].name;
        Err(failed(format!(
            "symbol {} has the type {found}, but {file} imports it as {wanted}",
            shown(name)
        ))
        .into())
    }
}

/// The functions that a module imports from libraries.
fn imported_functions(module: &wasmtime::Module) -> HashMap<String, FuncType> {
    let functions = module.imports().filter_map(|import| match import.ty() {
        ExternType::Func(ty) if import.module() == ENV => Some((import.name().to_owned(), ty)),
        _ => None,
    });
    functions.collect()
}

/// A definition of the host's linker. Kept, because each lookup takes room in the store.
fn host_extern(caller: &mut Caller<'_, IsolateState>, namespace: &str, name: &str) -> Option<Extern> {
    let key = (namespace.to_owned(), name.to_owned());
    if let Some(known) = caller.data().process.side_modules.host_functions.get(&key) {
        return Some(known.clone());
    }
    let host = caller.data().host.clone();
    let found = host.linker().get(caller.as_context_mut(), namespace, name).ok()?;
    caller
        .data_mut()
        .process
        .side_modules
        .host_functions
        .insert(key, found.clone());
    Some(found)
}

fn kind_of(ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) => "a function",
        ExternType::Global(_) => "a global of this type",
        ExternType::Table(_) => "a table",
        ExternType::Memory(_) => "a memory",
        ExternType::Tag(_) => "a tag",
    }
}
