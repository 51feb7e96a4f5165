//! One isolate from its first to its last instruction: entry, uncaught errors and their hooks, exit.
//!
//! The steps are those of Node's process: an uncaught error goes to the guest's hook on the same instance;
//! handled, the guest's loop goes on; not handled, it is printed and the exit listeners run with code 1.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::hooks::{self, Origin};
use nodule_abi::limits::{ERROR_RECORD_BYTES_MAX, HOOK_BUFFER_BYTES};
use wasmtime::{AsContextMut as _, Func, Instance, Store, Trap, Val, WasmParams, WasmResults};

use super::isolate::{ExitStatus, IsolateRole};
use super::limits::LimitExceeded;
use super::module::Module;
use super::state::{Exports, IsolateState};
use super::trap;
use crate::diagnostics::HeapFigures;
use crate::guest_memory;
use crate::process;
use crate::process::abort::{self, AbortRequest};
use crate::process::end::{ExitRequest, UncaughtError};
use crate::stdio::Output;

/// Exit codes of the runtime itself.
pub mod code {
    /// Uncaught error, exceeded limit.
    pub const UNCAUGHT: i64 = 1;
    /// The module could not be linked or instantiated.
    pub const LINK: i64 = 4;
    /// The uncaught hook is no function of the right type.
    pub const HOOK_INVALID: i64 = 6;
    /// The uncaught hook failed.
    pub const HOOK_FAILED: i64 = 7;
    /// A trap before user code.
    pub const BOOTSTRAP: i64 = 10;
}

/// Why a call into the guest ended.
enum Ended {
    Returned,
    Exit(i64),
    Uncaught { record: Box<ErrorRecord>, origin: Origin },
    Limit(Box<ErrorRecord>),
}

/// What the uncaught hook said.
enum Verdict {
    Handled,
    NotHandled,
    Invalid,
    Ended(Ended),
}

/// Whether the guest's exit hook still has to run.
#[derive(PartialEq, Eq)]
enum ExitHook {
    Pending,
    Ran,
}

/// Runs one isolate.
pub(super) struct Lifecycle<'a> {
    store: &'a mut Store<IsolateState>,
    exit_hook: ExitHook,
}

impl<'a> Lifecycle<'a> {
    pub(super) fn new(store: &'a mut Store<IsolateState>) -> Self {
        Self {
            store,
            exit_hook: ExitHook::Pending,
        }
    }

    /// Instantiates `module`, calls `entry` and goes on to the end.
    pub(super) async fn run(mut self, module: &Module, entry: &str) -> ExitStatus {
        let status = self.run_to_end(module, entry).await;
        let stderr = self.store.data().stdio.stderr.clone();
        print_end(self.store.data().role, &stderr, &status).await;
        status
    }

    async fn run_to_end(&mut self, module: &Module, entry: &str) -> ExitStatus {
        let state = self.store.data_mut();
        state.process.listen_for_host(&state.shared);
        let instance = match self.instantiate(module).await {
            Ok(instance) => instance,
            Err(status) => return status,
        };
        let function = match instance.get_typed_func::<(), ()>(&mut *self.store, entry) {
            Ok(function) => function,
            Err(_) => return self.failed_start(code::LINK, no_entry(module, entry)),
        };
        let stack_pointer = self.stack_pointer();
        self.store.data().shared.activity.goes_online();
        self.store.data().threads.online();
        let result = function.call_async(&mut *self.store, ()).await;
        if let Err(error) = &result
            && self.is_trap(error)
            && trap::in_constructor(error)
        {
            return self.failed_start(code::BOOTSTRAP, trap::error_record(error));
        }
        let mut ended = self.classify(result);
        loop {
            match ended {
                Ended::Returned => return self.exit(None).await,
                Ended::Exit(code) => {
                    self.store.data_mut().process.exit_code.set_code(code);
                    return self.exit(None).await;
                }
                Ended::Limit(record) => return self.limit_exceeded(record),
                Ended::Uncaught { record, origin } => {
                    self.restore_stack_pointer(stack_pointer);
                    match self.uncaught_hook(&record, origin).await {
                        Verdict::Handled => ended = self.resume_hook().await,
                        Verdict::NotHandled => return self.uncaught(record).await,
                        Verdict::Invalid => return self.hook_invalid(record),
                        Verdict::Ended(Ended::Uncaught { record, .. }) => {
                            return self.failed_start(code::HOOK_FAILED, record);
                        }
                        Verdict::Ended(other) => ended = other,
                    }
                }
            }
        }
    }

    /// An end with a code of the runtime's own. A thread has no such codes: it ends with 1.
    fn failed_start(&self, code: i64, error: impl Into<Box<ErrorRecord>>) -> ExitStatus {
        let code = match self.store.data().role {
            IsolateRole::Worker => code::UNCAUGHT,
            IsolateRole::Main | IsolateRole::Embedded => code,
        };
        ExitStatus::failed(code, error)
    }

    /// The hook cannot be called. A thread's creator sees the code alone.
    fn hook_invalid(&self, record: Box<ErrorRecord>) -> ExitStatus {
        let is_worker = self.store.data().role == IsolateRole::Worker;
        ExitStatus {
            code: code::HOOK_INVALID,
            error: Some(record).filter(|_| !is_worker),
        }
    }

    /// Instantiates and looks the exports up.
    pub(super) async fn instantiate(&mut self, module: &Module) -> Result<Instance, ExitStatus> {
        let state = self.store.data_mut();
        let mut counted = state.add_code(module.code_bytes());
        if state.role == IsolateRole::Worker {
            counted = counted.and_then(|()| state.hold_own_module(module));
        }
        if let Err(reason) = counted {
            return Err(self.failed_start(code::LINK, LimitExceeded::memory(reason).0));
        }
        let instance = module
            .pre()
            .instantiate_async(&mut *self.store)
            .await
            .map_err(|error| {
                if self.is_trap(&error) {
                    return self.failed_start(code::BOOTSTRAP, trap::error_record(&error));
                }
                let record = match error.downcast_ref::<LimitExceeded>() {
                    Some(limit) => (*limit.0).clone(),
                    None => ErrorRecord::new(
                        ErrorCode::WorkerInitFailed,
                        format!("Worker initialization failure: {}", error.root_cause()),
                    ),
                };
                self.failed_start(code::LINK, record)
            })?;
        let store = &mut *self.store;
        let exports = Exports {
            instance: Some(instance),
            memory: instance.get_memory(&mut *store, "memory"),
            stack_pointer: instance.get_global(&mut *store, hooks::STACK_POINTER),
            function_table: instance.get_table(&mut *store, hooks::FUNCTION_TABLE),
            hook_buffer: instance.get_func(&mut *store, hooks::HOOK_BUFFER),
            uncaught: instance.get_func(&mut *store, hooks::UNCAUGHT),
            resume: instance.get_func(&mut *store, hooks::RESUME),
            exit: instance.get_func(&mut *store, hooks::EXIT),
        };
        store.data_mut().exports = exports;
        self.find_heap_figures(instance).await;
        Ok(instance)
    }

    /// Asks the guest where its allocator counts. One that cannot say goes without.
    async fn find_heap_figures(&mut self, instance: Instance) {
        let Ok(function) = instance.get_typed_func::<(), u32>(&mut *self.store, hooks::HEAP) else {
            return;
        };
        match function.call_async(&mut *self.store, ()).await {
            Ok(address) => {
                let figures = HeapFigures::at(&self.store.as_context_mut(), address);
                self.store.data_mut().diagnostics.set_figures(figures);
            }
            Err(error) => tracing::debug!(%error, "nodule_heap failed"),
        }
    }

    fn is_trap(&self, error: &wasmtime::Error) -> bool {
        error
            .downcast_ref::<Trap>()
            .is_some_and(|trap| *trap != Trap::OutOfFuel)
    }

    fn classify(&mut self, result: wasmtime::Result<()>) -> Ended {
        let Err(error) = result else { return Ended::Returned };
        if let Some(ExitRequest(code)) = error.downcast_ref() {
            return Ended::Exit(*code);
        }
        if let Some(request) = error.downcast_ref::<AbortRequest>() {
            abort::dump_and_abort(self.store, &error, *request);
        }
        if let Some(LimitExceeded(record)) = error.downcast_ref() {
            return Ended::Limit(record.clone());
        }
        if matches!(error.downcast_ref(), Some(Trap::OutOfFuel)) {
            return Ended::Limit(LimitExceeded::fuel().0);
        }
        let panic = self.store.data_mut().panic.take();
        let (mut record, origin) = match error.downcast_ref::<UncaughtError>() {
            Some(raised) => ((*raised.record).clone(), raised.origin),
            None => (
                panic.unwrap_or_else(|| trap::error_record(&error)),
                Origin::UncaughtException,
            ),
        };
        if record.stack.is_none() {
            record.stack = trap::backtrace(&error);
        }
        Ended::Uncaught {
            record: Box::new(record),
            origin,
        }
    }

    fn stack_pointer(&mut self) -> Option<Val> {
        let global = self.store.data().exports.stack_pointer?;
        Some(global.get(&mut *self.store))
    }

    /// Gives the guest back the stack it had before the call that trapped.
    fn restore_stack_pointer(&mut self, value: Option<Val>) {
        if let (Some(global), Some(value)) = (self.store.data().exports.stack_pointer, value)
            && let Err(error) = global.set(&mut *self.store, value)
        {
            tracing::warn!(%error, "__stack_pointer cannot be restored");
        }
    }

    async fn call<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        function: Func,
        arguments: P,
    ) -> Option<wasmtime::Result<R>> {
        let function = function.typed::<P, R>(&mut *self.store).ok()?;
        Some(function.call_async(&mut *self.store, arguments).await)
    }

    /// Hands an uncaught error to the guest.
    async fn uncaught_hook(&mut self, record: &ErrorRecord, origin: Origin) -> Verdict {
        let Exports {
            hook_buffer,
            uncaught,
            resume,
            memory,
            ..
        } = self.store.data().exports;
        let Some(uncaught) = uncaught else {
            return Verdict::NotHandled;
        };
        let (Some(hook_buffer), Some(_), Some(memory)) = (hook_buffer, resume, memory) else {
            return Verdict::Invalid;
        };
        let address = match self.call::<(), i32>(hook_buffer, ()).await {
            None => return Verdict::Invalid,
            Some(Err(error)) => return Verdict::Ended(self.classify(Err(error))),
            Some(Ok(address)) => address.cast_unsigned() as usize,
        };
        let bytes = encode_bounded(record);
        let fits = address
            .checked_add(HOOK_BUFFER_BYTES)
            .is_some_and(|end| end <= memory.data_size(&*self.store));
        if !fits || guest_memory::copy_in(self.store, memory, address, &bytes).is_err() {
            return Verdict::Invalid;
        }
        let len = i32::try_from(bytes.len()).unwrap_or(0);
        match self
            .call::<(i32, i32), i32>(uncaught, (len, (origin as u32).cast_signed()))
            .await
        {
            None => Verdict::Invalid,
            Some(Ok(0)) => Verdict::NotHandled,
            Some(Ok(_)) => Verdict::Handled,
            Some(Err(error)) => Verdict::Ended(self.classify(Err(error))),
        }
    }

    /// Lets the guest's loop go on.
    async fn resume_hook(&mut self) -> Ended {
        let Some(resume) = self.store.data().exports.resume else {
            return Ended::Returned;
        };
        match self.call::<(), ()>(resume, ()).await {
            Some(result) => self.classify(result),
            None => Ended::Returned,
        }
    }

    fn limit_exceeded(&self, record: Box<ErrorRecord>) -> ExitStatus {
        process::reports::on_fatal_error(self.store.data(), &record);
        ExitStatus::failed(code::UNCAUGHT, record)
    }

    async fn uncaught(&mut self, record: Box<ErrorRecord>) -> ExitStatus {
        let state = self.store.data_mut();
        state.process.exit_code.set_code(code::UNCAUGHT);
        process::reports::on_uncaught_exception(state, &record);
        self.print_uncaught(&record).await;
        self.exit(Some(record)).await
    }

    async fn print_uncaught(&mut self, record: &ErrorRecord) {
        if self.store.data().role == IsolateRole::Main {
            let stderr = self.store.data().stdio.stderr.clone();
            print_error(&stderr, record).await;
        }
    }

    /// Runs the exit hook, once, and gives the final status.
    async fn exit(&mut self, error: Option<Box<ErrorRecord>>) -> ExitStatus {
        if self.exit_hook == ExitHook::Pending {
            self.exit_hook = ExitHook::Ran;
            let code = self.store.data().process.exit_code.get().unwrap_or(0);
            if let Some(hook) = self.store.data().exports.exit
                && let Some(result) = self.call::<i64, ()>(hook, code).await
            {
                match self.classify(result) {
                    Ended::Returned => {}
                    Ended::Exit(code) => self.store.data_mut().process.exit_code.set_code(code),
                    Ended::Limit(record) => return self.limit_exceeded(record),
                    Ended::Uncaught { record, .. } => {
                        self.print_uncaught(&record).await;
                        let code = self.store.data().process.exit_code.get().filter(|code| *code != 0);
                        return ExitStatus {
                            code: code.unwrap_or(code::UNCAUGHT),
                            error: Some(record).filter(|_| error.is_none()).or(error),
                        };
                    }
                }
            }
        }
        ExitStatus {
            code: self.store.data().process.exit_code.get().unwrap_or(0),
            error,
        }
    }
}

/// Encodes a record so that it fits the guest's buffer: what is too long is cut.
fn encode_bounded(record: &ErrorRecord) -> Vec<u8> {
    let encode = |record: &ErrorRecord| nodule_abi::value::to_vec(record).unwrap_or_default();
    let bytes = encode(record);
    if bytes.len() <= ERROR_RECORD_BYTES_MAX as usize {
        return bytes;
    }
    let mut short = ErrorRecord {
        stack: None,
        info: None,
        path: None,
        dest: None,
        resource: None,
        reason: None,
        ..record.clone()
    };
    let mut cut = short.message.len().min(ERROR_RECORD_BYTES_MAX as usize / 2);
    while !short.message.is_char_boundary(cut) {
        cut -= 1;
    }
    short.message.truncate(cut);
    encode(&short)
}

fn no_entry(module: &Module, entry: &str) -> ErrorRecord {
    let functions: Vec<_> = module
        .wasm()
        .exports()
        .filter(|export| {
            export
                .ty()
                .func()
                .is_some_and(|ty| ty.params().len() == 0 && ty.results().len() == 0)
        })
        .map(|export| export.name().to_string())
        .take(5)
        .collect();
    let hint = if functions.is_empty() {
        "build it as a command, or embed it as a plugin".to_string()
    } else {
        format!(
            "choose another with --entry; functions without parameters: {}",
            functions.join(", ")
        )
    };
    ErrorRecord::new(
        ErrorCode::WorkerInitFailed,
        format!(
            "{} exports no function \"{entry}\" without parameters and results (hint: {hint})",
            module.name()
        ),
    )
}

/// Prints what ended a main isolate, unless it was printed when it happened.
pub(super) async fn print_end(role: IsolateRole, stderr: &Output, status: &ExitStatus) {
    if role != IsolateRole::Main {
        return;
    }
    let Some(error) = &status.error else { return };
    let is_limit = matches!(
        error.error_code(),
        Some(ErrorCode::WorkerOutOfMemory | ErrorCode::CpuLimit | ErrorCode::Deadline | ErrorCode::OutOfFuel)
    );
    let is_late = matches!(
        status.code,
        code::LINK | code::HOOK_INVALID | code::HOOK_FAILED | code::BOOTSTRAP
    ) || is_limit;
    if is_late {
        print_error(stderr, error).await;
    }
}

async fn print_error(stderr: &Output, record: &ErrorRecord) {
    let mut text = format!("Uncaught {record}\n");
    if let Some(info) = &record.info {
        text.push_str(&format!("    at {info}\n"));
    }
    if let Some(stack) = &record.stack {
        text.push_str(stack);
        text.push('\n');
    }
    if let Err(error) = stderr.write_all(text.as_bytes()).await {
        tracing::debug!(%error, "an uncaught error could not be printed");
    }
}
