//! Isolates: settings, handle, start and end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodule_abi::error::{ErrorRecord, Result};
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline};

use super::activity::Activity;
use super::control::serve_requests;
use super::handover::HandOver;
use super::host::Host;
use super::lifecycle;
use super::limits::{LimitExceeded, Limits, MemoryLimiter};
use super::metered::CpuUsage;
use super::module::Module;
use super::plugin::Plugin;
use super::state::{Exports, Extensions, IsolateShared, IsolateState};
use super::task;
use crate::diagnostics::{
    self, CpuProfile, CpuProfileOptions, Diagnostics, HeapProfile, HeapProfileOptions, HeapSnapshot, HeapStatistics,
    SnapshotOptions,
};
use crate::handles::Handles;
use crate::ipc;
use crate::locks::LockClient;
use crate::messaging::{self, MessagingState, PortEnd};
use crate::permissions::Permissions;
use crate::process::{ProcessOptions, ProcessState};
use crate::shared_memory::SharedMemory;
use crate::stdio::{Input, Output, PipeReader, PipeWriter, StdioOptions};
use crate::timers::Timers;
use crate::wasi;
use crate::worker_threads::ThreadState;

/// Identifies an isolate within the host process. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct IsolateId(u64);

impl IsolateId {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for IsolateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "isolate {}", self.0)
    }
}

/// What an isolate may do to the process it runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolateRole {
    /// It is the process: it may change directory, ids, title and mask, receives signals and `abort()`s it,
    /// and its uncaught error is printed. What `nodule run` starts.
    Main,
    /// It is a guest in somebody's process: those calls fail with `ERR_WORKER_UNSUPPORTED_OPERATION`.
    #[default]
    Embedded,
    /// A thread that another isolate started; as `Embedded`, and its creator hears of its end.
    Worker,
}

/// How an isolate ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ExitStatus {
    /// The exit code, not cut to 8 bits. See the exit code table of the documentation.
    pub code: i64,
    /// The uncaught error, the exceeded limit or the failed start, if one ended it.
    pub error: Option<Box<ErrorRecord>>,
}

impl ExitStatus {
    /// An end by an error.
    pub(crate) fn failed(code: i64, error: impl Into<Box<ErrorRecord>>) -> Self {
        Self {
            code,
            error: Some(error.into()),
        }
    }

    /// Whether it ended with 0 and without an error.
    pub fn success(&self) -> bool {
        self.code == 0 && self.error.is_none()
    }

    /// The code as the operating system keeps it: the low 8 bits.
    pub fn os_code(&self) -> u8 {
        u8::try_from(self.code & 0xff).unwrap_or(u8::MAX)
    }
}

/// Settings of a new isolate.
pub struct IsolateBuilder {
    host: Host,
    module: Module,
    pub(crate) process: ProcessOptions,
    permissions: Permissions,
    limits: Limits,
    stdio: StdioOptions,
    role: IsolateRole,
    entry: String,
    extensions: Extensions,
    thread: ThreadState,
    parent_port: Option<PortEnd>,
}

impl IsolateBuilder {
    pub(super) fn new(host: Host, module: Module) -> Self {
        Self {
            host,
            module,
            process: ProcessOptions::default(),
            permissions: Permissions::none(),
            limits: Limits::default(),
            stdio: StdioOptions::default(),
            role: IsolateRole::default(),
            entry: "_start".into(),
            extensions: Extensions::default(),
            thread: ThreadState::default(),
            parent_port: None,
        }
    }

    /// A worker of an isolate: its process and streams come from its creator.
    pub(crate) fn for_worker(host: Host, module: Module, process: ProcessOptions, stdio: StdioOptions) -> Self {
        Self {
            process,
            stdio,
            role: IsolateRole::Worker,
            ..Self::new(host, module)
        }
    }

    /// What a worker knows of itself, and the port to its creator.
    #[must_use]
    pub(crate) fn thread(mut self, thread: ThreadState, parent_port: PortEnd) -> Self {
        self.thread = thread;
        self.parent_port = Some(parent_port);
        self
    }

    /// Arguments after the module's path. Default: none.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.process.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an environment variable. Default: an empty environment, plus what the `env` grants let through.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.process.env.push((key.into(), value.into()));
        self
    }

    /// Everything else of Node's `process`: title, flags, reports. Default: [`ProcessOptions::default`].
    #[must_use]
    pub fn process_options(mut self, change: impl FnOnce(&mut ProcessOptions)) -> Self {
        change(&mut self.process);
        self
    }

    /// What it may do. Default: [`Permissions::none`].
    #[must_use]
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = permissions;
        self
    }

    /// What it may use. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where its input comes from. Default: empty.
    #[must_use]
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdio.stdin = input;
        self
    }

    /// Where its output goes. Default: nowhere.
    #[must_use]
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdio.stdout = output;
        self
    }

    /// Where its error output goes. Default: nowhere.
    #[must_use]
    pub fn stderr(mut self, output: Output) -> Self {
        self.stdio.stderr = output;
        self
    }

    /// Whether it is the process. Default: [`IsolateRole::Embedded`].
    #[must_use]
    pub fn role(mut self, role: IsolateRole) -> Self {
        self.role = role;
        self
    }

    /// The export to call. Default: `_start`.
    #[must_use]
    pub fn entry(mut self, name: impl Into<String>) -> Self {
        self.entry = name.into();
        self
    }

    /// A value for the embedder's host functions, found by its type with `caller.data().extensions.get()`.
    #[must_use]
    pub fn extension<T: Send + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Starts it on the current tokio runtime, which must have time and I/O enabled.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` or `E2BIG` for environment variables that break the rules. Everything else that
    /// goes wrong is told by [`Isolate::join`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(mut self) -> Result<Isolate> {
        let pipes = self.stdio.take_pipes();
        let entry = std::mem::take(&mut self.entry);
        let shared = IsolateShared::root();
        let (store, host) = self.into_store(&shared)?;
        let task = tokio::spawn(HandOver::new(task::run_isolate(
            store,
            Arc::clone(&shared),
            host,
            entry,
        )));
        Ok(Isolate {
            shared,
            task: Some(task),
            stdin: pipes.stdin,
            stdout: pipes.stdout,
            stderr: pipes.stderr,
        })
    }

    /// Instantiates it for calls of its exports; a reactor's `_initialize` runs first.
    pub async fn plugin(self) -> std::result::Result<Plugin, ExitStatus> {
        let shared = IsolateShared::root();
        let (store, host) = self
            .into_store(&shared)
            .map_err(|error| ExitStatus::failed(lifecycle::code::UNCAUGHT, error))?;
        Plugin::start(store, shared, host).await
    }

    pub(super) fn module_name(&self) -> &str {
        self.module.name()
    }

    pub(crate) fn into_store(self, shared: &Arc<IsolateShared>) -> Result<(Store<IsolateState>, Host)> {
        let channel = self.process.channel.clone();
        let process = ProcessState::new(self.process, &self.module, &self.permissions, self.role)?;
        let wasi = wasi::context(&self.permissions, &process);
        let mut state = IsolateState {
            extensions: self.extensions,
            host: self.host.clone(),
            shared: Arc::clone(shared),
            role: self.role,
            module: self.module,
            exports: Exports::default(),
            limits: self.limits,
            limiter: MemoryLimiter::new(self.limits, Arc::clone(&shared.activity)),
            code_bytes: 0,
            permissions: self.permissions,
            wasi,
            stdio: self.stdio.open(),
            handles: Handles::new(self.limits.max_handles).ports_max(self.limits.max_ports),
            timers: Timers::default(),
            messaging: MessagingState {
                queue_bytes_max: self.limits.max_queue_bytes,
                ..MessagingState::default()
            },
            locks: LockClient::default(),
            shared_memory: SharedMemory::new(&self.limits, shared.gone.clone()),
            process,
            threads: self.thread,
            diagnostics: Diagnostics::new(shared),
            last_error: None,
            event_records: Vec::new(),
            panic: None,
        };
        if let Some(port) = self.parent_port {
            // Given by its creator, so it is there however few it may have.
            state.threads.parent_port = Some(messaging::own_port(&mut state, port)?);
        }
        if let Some(channel) = channel {
            ipc::open_parent_channel(&mut state, &channel)?;
        }
        let mut store = Store::new(self.host.engine(), state);
        store.limiter(|state| &mut state.limiter);
        if self.host.options().fuel {
            // Cannot fail: the engine counts fuel.
            let _ = store.set_fuel(self.limits.fuel.unwrap_or(u64::MAX));
        }
        yield_at_ticks(&mut store);
        Ok((store, self.host))
    }
}

/// Makes the guest give way at every tick, and ends it when its CPU time is used up.
fn yield_at_ticks(store: &mut Store<IsolateState>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| {
        let state = context.data();
        state.shared.cpu.count_running_turn();
        if let Some(limit) = state.limits.max_cpu_time
            && state.shared.cpu.total() > limit
        {
            return Err(LimitExceeded::cpu_time(limit).into());
        }
        serve_requests(&mut context)?;
        let cpu = Arc::clone(&context.data().shared.cpu);
        let woken = cpu.take_woken();
        diagnostics::on_tick(&mut context, woken);
        // The ticks of the time it waited are not its own: who was just woken is not sent behind those that compute.
        if woken {
            return Ok(UpdateDeadline::Continue(1));
        }
        // The plain `Yield` wakes itself before others of the executor had a turn.
        let give_way = async move {
            tokio::task::yield_now().await;
            cpu.take_woken();
        };
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(give_way)))
    });
}

/// A running isolate. Dropping it terminates it.
#[derive(Debug)]
pub struct Isolate {
    shared: Arc<IsolateShared>,
    task: Option<tokio::task::JoinHandle<ExitStatus>>,
    /// Its input, when [`Input::pipe`] was chosen.
    pub stdin: Option<PipeWriter>,
    /// Its output, when [`Output::pipe`] was chosen. An unread pipe makes the guest wait.
    pub stdout: Option<PipeReader>,
    /// Its error output, when [`Output::pipe`] was chosen.
    pub stderr: Option<PipeReader>,
}

impl Isolate {
    /// Its id.
    pub fn id(&self) -> IsolateId {
        self.shared.id
    }

    /// CPU time it used so far.
    pub fn cpu_usage(&self) -> &CpuUsage {
        &self.shared.cpu
    }

    /// Its state as a wasm core dump of the tool conventions, at its next tick or wait, also in an endless loop. It
    /// stands still for one pass over what is not zero in its memory.
    ///
    /// # Errors
    /// See [`diagnostics::heap_snapshot`].
    ///
    /// ```
    /// use nodule::{Host, Module, diagnostics::SnapshotOptions};
    ///
    /// # #[tokio::main] async fn main() -> anyhow::Result<()> {
    /// let host = Host::new()?;
    /// let text = br#"(module (memory (export "memory") 1) (data (i32.const 8) "treasure")
    ///     (func (export "_start") (loop $again (br $again))))"#;
    /// let isolate = host.isolate(&Module::from_bytes(&host, "endless", text)?).spawn()?;
    /// let dump = isolate.heap_snapshot(SnapshotOptions::default()).await?.into_bytes();
    /// assert!(dump.windows(8).any(|bytes| bytes == b"treasure"));
    /// # Ok(()) }
    /// ```
    pub async fn heap_snapshot(&self, options: SnapshotOptions) -> Result<HeapSnapshot> {
        diagnostics::heap_snapshot(&self.shared, options).await
    }

    /// Figures about its memory.
    ///
    /// # Errors
    /// See [`diagnostics::heap_statistics`].
    pub async fn heap_statistics(&self) -> Result<HeapStatistics> {
        diagnostics::heap_statistics(&self.shared).await
    }

    /// Starts to record where it spends its time.
    ///
    /// # Errors
    /// See [`diagnostics::start_cpu_profile`].
    ///
    /// ```
    /// use nodule::{Host, Module, diagnostics::CpuProfileOptions};
    ///
    /// # #[tokio::main] async fn main() -> anyhow::Result<()> {
    /// let host = Host::new()?;
    /// let text = br#"(module (func $spin (loop $again (br $again))) (func (export "_start") (call $spin)))"#;
    /// let isolate = host.isolate(&Module::from_bytes(&host, "endless", text)?).spawn()?;
    /// let profile = isolate.start_cpu_profile(CpuProfileOptions::default()).await?;
    /// tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    /// // For https://profiler.firefox.com.
    /// let json = profile.stop().await?;
    /// assert!(json.contains("spin"));
    /// # Ok(()) }
    /// ```
    pub async fn start_cpu_profile(&self, options: CpuProfileOptions) -> Result<CpuProfile> {
        diagnostics::start_cpu_profile(&self.shared, options).await
    }

    /// Starts to record where it allocates; one at a time.
    ///
    /// # Errors
    /// See [`diagnostics::start_heap_profile`].
    pub async fn start_heap_profile(&self, options: HeapProfileOptions) -> Result<HeapProfile> {
        diagnostics::start_heap_profile(&self.shared, options).await
    }

    /// What it does: loop utilization, size of its memory.
    pub fn activity(&self) -> &Activity {
        &self.shared.activity
    }

    /// Ends it, in whatever state it is; [`Isolate::join`] then gives code 1. Repeating has no effect.
    /// When `join` returned, not one instruction of it runs any more.
    pub fn terminate(&self) {
        self.shared.terminate.cancel();
    }

    /// What ends it when cancelled, as [`Isolate::terminate`].
    pub(crate) fn terminator(&self) -> CancellationToken {
        self.shared.terminate.clone()
    }

    /// Waits for its end.
    pub async fn join(mut self) -> ExitStatus {
        let Some(task) = self.task.take() else {
            return ExitStatus { code: 1, error: None };
        };
        match task.await {
            Ok(status) => status,
            Err(error) => {
                tracing::error!(%error, "the task of an isolate failed");
                let record = ErrorRecord::new(
                    nodule_abi::error::ErrorCode::Internal,
                    "internal error of the host; see its log",
                );
                ExitStatus::failed(5, record)
            }
        }
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        self.shared.terminate.cancel();
    }
}
