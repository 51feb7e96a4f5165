//! Brings a planned group of side modules into the guest: room, instances, addresses, constructors.

use wasmtime::{AsContextMut, Caller, Extern, Global, GlobalType, Instance, Mutability, Ref, Trap, Val, ValType};

use super::files::{Dependency, Group, SideFile};
use super::plan::{Link, Planner, Target};
use super::symbols::{self, Symbol};
use super::{Library, Main, Mode, Phase, addresses, failed, give_way};
use crate::host_error::HostError;
use crate::process::abort::AbortRequest;
use crate::process::end::{ExitRequest, UncaughtError};
use crate::runtime::{IsolateState, LimitExceeded};

/// Size of a page of the guest's memory.
pub(super) const PAGE_BYTES: u64 = 64 * 1024;
/// Pages that 32 bits can address.
const PAGES_MAX: u64 = 64 * 1024;

/// Adjusts pointers in a module's data.
const APPLY_DATA_RELOCS: &str = "__wasm_apply_data_relocs";
/// Runs a module's constructors.
const CALL_CTORS: &str = "__wasm_call_ctors";
/// Runs them in a module that was linked with the start files of a reactor.
const INITIALIZE: &str = "_initialize";

/// A global of a module that waits for its address.
struct Slot {
    global: Global,
    target: Target,
}

/// Links a group, whose first file was asked for, and gives the place of that among the libraries.
pub(super) async fn link(
    caller: &mut Caller<'_, IsolateState>,
    main: Main,
    group: Group,
    mode: Mode,
) -> Result<usize, HostError> {
    let planner = Planner::new(caller.data(), &group, mode.binding);
    let first = planner.first_library;
    let plans = planner.plan(caller).await?;
    // From here on something is left behind, whatever happens; so it counts.
    register(caller.data_mut(), &group, first, mode, plans.iter().map(Vec::len).sum());
    let stack_pointer = main.stack_pointer.get(caller.as_context_mut());
    let result = bring_up(caller, main, &group, first, &plans).await;
    if result.is_err() {
        let side_modules = &mut caller.data_mut().process.side_modules;
        for library in &mut side_modules.libraries[first..first + group.files.len()] {
            if library.phase == Phase::Loading {
                library.phase = Phase::Failed;
                side_modules.by_file.remove(&library.file);
            }
        }
        // What trapped has not given its stack back.
        main.stack_pointer
            .set(caller.as_context_mut(), stack_pointer)
            .map_err(HostError::Trap)?;
    }
    result.map(|()| first)
}

/// Gives each file its place, so that a constructor which loads modules itself finds them.
fn register(state: &mut IsolateState, group: &Group, first: usize, mode: Mode, imports: usize) {
    let side_modules = &mut state.process.side_modules;
    side_modules.mapped += group.files.len();
    side_modules.linked_imports += imports;
    for (index, file) in group.files.iter().enumerate() {
        let needed = file.needed.iter().map(|dependency| match dependency {
            Dependency::Loaded(library) => *library,
            Dependency::New(file) => first + file,
        });
        side_modules.by_file.insert(file.id, first + index);
        side_modules.libraries.push(Library {
            file: file.id,
            name: file.name.clone(),
            digest: file.digest.clone(),
            phase: Phase::Loading,
            visibility: mode.visibility,
            instance: None,
            memory_base: 0,
            thread_local: file.dylink.thread_local.clone(),
            needed: needed.collect(),
            root: first,
            handle: None,
            opened: 0,
        });
    }
}

async fn bring_up(
    caller: &mut Caller<'_, IsolateState>,
    main: Main,
    group: &Group,
    first: usize,
    plans: &[Vec<Link>],
) -> Result<(), HostError> {
    let order = group.dependency_order();
    let mut slots = Vec::new();
    for &file in &order {
        instantiate(
            caller,
            main,
            &group.files[file],
            first,
            first + file,
            &plans[file],
            &mut slots,
        )
        .await?;
    }
    for (count, slot) in slots.into_iter().enumerate() {
        give_way(count).await;
        let address = address(caller, main, first, slot.target).await?;
        slot.global
            .set(caller.as_context_mut(), i32(address))
            .map_err(HostError::Trap)?;
    }
    for &file in &order {
        call(caller, first + file, APPLY_DATA_RELOCS).await?;
    }
    for &file in &order {
        if call(caller, first + file, CALL_CTORS).await? == Called::Absent {
            call(caller, first + file, INITIALIZE).await?;
        }
        caller.data_mut().process.side_modules.libraries[first + file].phase = Phase::Ready;
    }
    Ok(())
}

/// Takes room for one module and instantiates it there.
async fn instantiate(
    caller: &mut Caller<'_, IsolateState>,
    main: Main,
    file: &SideFile,
    first: usize,
    library: usize,
    plan: &[Link],
    slots: &mut Vec<Slot>,
) -> Result<(), HostError> {
    let code_bytes = file.module.text().len();
    if let Err(reason) = caller.data_mut().add_code(code_bytes) {
        return Err(failed(format!("{}: {reason}", file.name)).into());
    }
    let memory_base = reserve_memory(caller, main, file).await?;
    let table_base = reserve_table(caller, main, file).await?;
    let mut imports = Vec::with_capacity(plan.len());
    for (count, link) in plan.iter().enumerate() {
        give_way(count).await;
        imports.push(match link {
            Link::Memory => main.memory.into(),
            Link::Table => main.table.into(),
            Link::StackPointer => main.stack_pointer.into(),
            Link::MemoryBase => address_global(caller, Mutability::Const, memory_base)?.into(),
            Link::TableBase => address_global(caller, Mutability::Const, table_base)?.into(),
            Link::Function(function) => (*function).into(),
            Link::FileFunction { file, function } => match symbols::of_library(caller, first + file, &function.name) {
                Some(Symbol::Function(found)) => found.into(),
                _ => function.clone().into_func(caller).into(),
            },
            Link::Late(function) => function.clone().into_func(caller).into(),
            Link::Address(target) => {
                let global = address_global(caller, Mutability::Var, 0)?;
                slots.push(Slot {
                    global,
                    target: target.clone(),
                });
                Extern::from(global)
            }
        });
    }
    caller.data_mut().process.side_modules.libraries[library].memory_base = memory_base;
    let instance = Instance::new_async(caller.as_context_mut(), &file.module, &imports).await;
    let instance = instance.map_err(|error| guest_failure(caller, &file.name, "instantiation", error))?;
    caller.data_mut().process.side_modules.libraries[library].instance = Some(instance);
    addresses::learn(
        caller,
        main.table,
        u64::from(table_base),
        u64::from(file.dylink.table.size),
    );
    Ok(())
}

fn i32(address: u32) -> Val {
    Val::I32(address.cast_signed())
}

fn address_global(
    caller: &mut Caller<'_, IsolateState>,
    mutability: Mutability,
    address: u32,
) -> Result<Global, HostError> {
    Global::new(
        caller.as_context_mut(),
        GlobalType::new(ValType::I32, mutability),
        i32(address),
    )
    .map_err(HostError::Trap)
}

/// Room for the data of a module, zeroed: whole pages behind what is there.
async fn reserve_memory(caller: &mut Caller<'_, IsolateState>, main: Main, file: &SideFile) -> Result<u32, HostError> {
    if file.dylink.memory.size == 0 {
        return Ok(0);
    }
    let pages = main.memory.size(&*caller);
    let (start, end) = file.dylink.memory.place(pages * PAGE_BYTES);
    let delta = end.div_ceil(PAGE_BYTES) - pages;
    let full = || failed(format!("memory is full: {} wants {delta} pages more", file.name));
    let state = caller.data();
    let allowed = state.limits.max_memory_bytes.saturating_sub(state.memory_bytes()) as u64;
    let base = u32::try_from(start).map_err(|_| full())?;
    if pages + delta > PAGES_MAX {
        return Err(full().into());
    }
    if delta * PAGE_BYTES > allowed {
        return Err(failed(format!("{} (raise it with --max-memory)", full().message)).into());
    }
    main.memory
        .grow_async(caller.as_context_mut(), delta)
        .await
        .map_err(|error| match error.downcast_ref::<LimitExceeded>() {
            Some(_) => HostError::Trap(error),
            None => full().into(),
        })?;
    Ok(base)
}

/// Room for the function pointers of a module: empty entries behind what is there.
async fn reserve_table(caller: &mut Caller<'_, IsolateState>, main: Main, file: &SideFile) -> Result<u32, HostError> {
    if file.dylink.table.size == 0 {
        return Ok(0);
    }
    let size = main.table.size(&*caller);
    let (start, end) = file.dylink.table.place(size);
    let base = u32::try_from(start).map_err(|_| failed("the function table is full"))?;
    addresses::grow(caller, main.table, end - size, Ref::Func(None)).await?;
    Ok(base)
}

/// The address that a global of a module gets.
async fn address(
    caller: &mut Caller<'_, IsolateState>,
    main: Main,
    first: usize,
    target: Target,
) -> Result<u32, HostError> {
    let symbol = match target {
        Target::Null => return Ok(0),
        Target::Symbol(symbol) => symbol,
        Target::FileSymbol { file, name } => symbols::of_library(caller, first + file, &name)
            .ok_or_else(|| failed(format!("undefined symbol: {}", super::shown(&name))))?,
        Target::Late(function) => Symbol::Function(function.into_func(caller)),
    };
    match symbol {
        Symbol::Data(address) => Ok(address),
        Symbol::Function(function) => Ok(addresses::of(caller, main.table, function).await?),
    }
}

/// Whether a module had what was to be called.
#[derive(PartialEq, Eq)]
enum Called {
    Present,
    Absent,
}

/// Calls a function that a module exports for its loader, if it does.
async fn call(caller: &mut Caller<'_, IsolateState>, library: usize, name: &str) -> Result<Called, HostError> {
    let library = &caller.data().process.side_modules.libraries[library];
    let (instance, library) = (library.instance, library.name.clone());
    let Some(function) = instance.and_then(|instance| instance.get_func(caller.as_context_mut(), name)) else {
        return Ok(Called::Absent);
    };
    let wrong = || failed(format!("{library} exports {name} with parameters or results"));
    let function = function.typed::<(), ()>(caller.as_context_mut()).map_err(|_| wrong())?;
    let result = function.call_async(caller.as_context_mut(), ()).await;
    result.map_err(|error| guest_failure(caller, &library, name, error))?;
    Ok(Called::Present)
}

/// A failure of code of a side module: a trap or panic makes the loading fail, an end of the isolate stays one.
fn guest_failure(
    caller: &mut Caller<'_, IsolateState>,
    library: &str,
    what: &str,
    error: wasmtime::Error,
) -> HostError {
    let ends = error.is::<ExitRequest>()
        || error.is::<AbortRequest>()
        || error.is::<LimitExceeded>()
        || error.is::<UncaughtError>()
        || matches!(error.downcast_ref(), Some(Trap::OutOfFuel));
    if ends {
        return HostError::Trap(error);
    }
    let reason = match caller.data_mut().panic.take() {
        Some(panic) => panic.message,
        None => reason(&error),
    };
    failed(format!("{library}: {what} failed: {reason}")).into()
}

/// The causes of an error, outermost first, without its backtrace.
fn reason(error: &wasmtime::Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    // A backtrace has several lines.
    let causes: Vec<_> = causes.filter(|text| !text.contains('\n')).collect();
    causes.join(": ")
}
