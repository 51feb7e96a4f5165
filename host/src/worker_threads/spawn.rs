//! From a creator's state to a worker that runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::WORKERS_MAX;
use wasmtime::Store;

use super::exec_argv;
use super::limits::Granted;
use super::options::{WorkerOptions, check_path};
use super::source::{self, Source};
use super::thread_state::ThreadState;
use super::worker::{Worker, WorkerLink};
use crate::handles::{Handle, Resource};
use crate::messaging::{self, Charged, PortEnd, Transferred};
use crate::permissions::Permissions;
use crate::process::env::EnvStore;
use crate::process::{ProcessOptions, directory};
use crate::runtime::room::Place;
use crate::runtime::{
    CodeCharge, EngineOptions, ExitStatus, Host, IsolateBuilder, IsolateRole, IsolateShared, IsolateState, run_context,
    run_isolate,
};
use crate::spawn_tied::Tied;
use crate::stdio::{self, Input, Output, Pipes, StdioOptions};

/// A worker whose options are sound. Nothing was changed for it yet.
#[derive(Debug)]
pub struct Prepared {
    source: Source,
    /// The creator's grants, with which the module is read.
    reader: Permissions,
    entry: String,
    process: ProcessOptions,
    permissions: Permissions,
    /// Its limits.
    pub granted: Granted,
    engine: EngineOptions,
    stdio: StdioOptions,
    name: String,
    cwd: PathBuf,
    has_own_cwd: bool,
    source_charge: Option<CodeCharge>,
    /// Its place among the workers that may run, from here on to its end.
    pub(super) place: Option<Place>,
}

/// What the creator is told of a new worker.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The worker.
    pub worker: Handle,
    /// The port to its `parentPort`.
    pub port: Handle,
    /// Its thread id.
    pub thread: u32,
    /// Its streams, where they were asked for.
    pub stdio: [Option<u32>; 3],
}

/// Checks everything that can be checked before anything is started.
pub fn prepare(state: &IsolateState, options: &WorkerOptions, code: Option<Vec<u8>>) -> Result<Prepared> {
    let _may = state
        .permissions
        .check_worker(options.path.as_deref().unwrap_or_default())?;
    let place = check_room(state)?;
    let source_charge = code.as_ref().map(|code| state.reserve_source(code.len())).transpose()?;
    let creator_cwd = state.process.cwd(&state.permissions)?;
    let source = source_of(state, options, code, &creator_cwd)?;
    let permissions = match &options.permissions {
        Some(flags) => state.permissions.narrow_by_flags(flags, &[], &creator_cwd)?,
        None => state.permissions.clone(),
    };
    let cwd = match &options.cwd {
        Some(path) => directory::resolve(&permissions, path, &creator_cwd)?,
        None => creator_cwd,
    };
    let granted = options
        .resource_limits
        .narrow(&state.limits, state.host.options().max_stack_bytes)?;
    let engine = engine_options(state.host.options(), &granted);
    let mut process = inherited(state);
    if let Some(arguments) = &options.exec_argv {
        process = ProcessOptions {
            report: process.report,
            ..ProcessOptions::default()
        };
        exec_argv::apply(arguments, &mut process)?;
    }
    process.args.clone_from(&options.argv);
    process.env_store = Some(options.env_store(&state.process.env)?);
    let inherit = |wanted: bool, output: &Output| if wanted { Output::pipe() } else { output.clone() };
    Ok(Prepared {
        source,
        reader: state.permissions.clone(),
        entry: options.entry.clone().unwrap_or_else(|| "_start".into()),
        process,
        permissions,
        granted,
        engine,
        stdio: StdioOptions {
            stdin: if options.stdin { Input::pipe() } else { Input::null() },
            stdout: inherit(options.stdout, &state.stdio.stdout),
            stderr: inherit(options.stderr, &state.stdio.stderr),
        },
        name: options.thread_name(),
        cwd,
        has_own_cwd: options.cwd.is_some() || state.threads.has_own_cwd,
        source_charge,
        place: Some(place),
    })
}

/// A place for one more. `EAGAIN` when the creator, or the process, has as many workers as it may have.
fn check_room(state: &IsolateState) -> Result<Place> {
    if state.shared.group.live_threads() >= WORKERS_MAX {
        let message = format!("a process has at most {WORKERS_MAX} workers");
        return Err(ErrorRecord::new(ErrorCode::Eagain, message).into());
    }
    state.handles.check_ports(1)?;
    // The worker, its port and three streams.
    state.handles.check_room(5)?;
    state.threads.room.take(state.limits.max_workers).map_err(|running| {
        let max = state.limits.max_workers;
        let message = format!("{running} workers run, {max} are allowed (raise it with --max-workers)");
        ErrorRecord::new(ErrorCode::Eagain, message).into()
    })
}

fn source_of(state: &IsolateState, options: &WorkerOptions, code: Option<Vec<u8>>, cwd: &Path) -> Result<Source> {
    if let Some(bytes) = code {
        return Ok(Source::Bytes(bytes));
    }
    if let Some(handle) = options.module {
        return match state.handles.get(Handle::from_guest(handle))? {
            Resource::Module(module) => Ok(Source::Module(module.clone())),
            _ => Err(ErrorRecord::new(ErrorCode::Einval, format!("handle {handle} is no module")).into()),
        };
    }
    match &options.path {
        Some(path) => {
            check_path(path)?;
            Source::from_path(path, cwd, &state.module)
        }
        None => Ok(Source::Module(state.module.clone())),
    }
}

/// Only the stack class and counting of fuel ask for an engine of their own.
fn engine_options(creator: EngineOptions, granted: &Granted) -> EngineOptions {
    let mut options = creator;
    if let Some(bytes) = granted.stack_bytes {
        options.max_stack_bytes = bytes;
    }
    options.fuel |= granted.limits.fuel.is_some();
    options
}

/// What a thread takes over from its creator.
fn inherited(state: &IsolateState) -> ProcessOptions {
    let process = &state.process;
    ProcessOptions {
        exec_argv: process.exec_argv.clone(),
        warnings: process.warnings.options().clone(),
        deprecation: process.deprecation,
        unhandled_rejections: process.unhandled_rejections,
        report: process.report.clone(),
        debug_port: Some(process.debug_port),
        source_maps: Some(process.source_maps),
        ..ProcessOptions::default()
    }
}

impl Prepared {
    /// As few grants as these, and an empty environment.
    pub fn give_nothing(&mut self, permissions: &Permissions) {
        self.permissions = self.permissions.narrow(permissions);
        self.process.env_store = Some(EnvStore::new());
    }

    /// Starts the worker. Its message has left the creator already, so nothing may fail any more but the handle table,
    /// whose room was checked.
    pub fn start(mut self, state: &mut IsolateState, data: Option<Charged>) -> Result<Started> {
        let room = self.place.take();
        let shared = IsolateShared::worker(&state.shared);
        let [creator_end, worker_end] = messaging::entangle(&state.shared.group);
        let (port, _) = messaging::admit(state, Transferred::Port(creator_end))?;
        let pipes = self.stdio.take_pipes();
        let stdio = insert_streams(state, pipes)?;
        let worker = state.handles.insert_with(true, |handle| {
            let link = Arc::new(WorkerLink::new(Arc::clone(&state.shared), handle));
            Resource::Worker(Worker::new(Arc::clone(&shared), link))
        })?;
        let link = match state.handles.get(worker)? {
            Resource::Worker(worker) => worker.link(),
            _ => return Err(ErrorRecord::of(ErrorCode::Internal).into()),
        };
        let start = self.into_start(state, &shared, worker_end, data, Arc::clone(&link));
        let creator = Arc::clone(&state.shared);
        let (thread, terminate) = (shared.thread, shared.terminate.clone());
        let run = start.run();
        state.shared.children.add(thread, terminate, || {
            Tied::spawn_isolate(async move {
                let status = run.await;
                // Before the creator hears of it: it may start another one at once.
                creator.children.remove(thread);
                drop(room);
                link.end(status);
            })
        });
        Ok(Started {
            worker,
            port,
            thread: thread.number(),
            stdio,
        })
    }

    pub fn into_start(
        self,
        state: &IsolateState,
        shared: &Arc<IsolateShared>,
        port: PortEnd,
        data: Option<Charged>,
        link: Arc<WorkerLink>,
    ) -> Start {
        let mut process = self.process;
        process.title = Some(format!("[worker {}] {}", shared.thread, self.name));
        process.own_cwd = Some(self.cwd.clone()).filter(|_| self.has_own_cwd);
        Start {
            host: state.host.clone(),
            source: self.source,
            reader: self.reader,
            cwd: self.cwd,
            engine: self.engine,
            entry: self.entry,
            process,
            permissions: self.permissions,
            granted: self.granted.clone(),
            stdio: self.stdio,
            shared: Arc::clone(shared),
            port,
            thread: ThreadState {
                name: Some(self.name),
                resource_limits: Some(self.granted.reported),
                worker_data: data,
                environment_data: state.threads.environment_data.clone(),
                link: Some(link),
                has_own_cwd: self.has_own_cwd,
                source_charge: self.source_charge,
                room: state.threads.room.below(state.limits.max_workers),
                processes: state.threads.processes.below(state.limits.max_children),
                ..ThreadState::default()
            },
        }
    }
}

/// Puts the creator's ends of the pipes into its handle table.
fn insert_streams(state: &mut IsolateState, pipes: Pipes) -> Result<[Option<u32>; 3]> {
    let stdin = pipes.stdin.map(|pipe| stdio::insert_writer(state, pipe)).transpose()?;
    let stdout = pipes.stdout.map(|pipe| stdio::insert_reader(state, pipe)).transpose()?;
    let stderr = pipes.stderr.map(|pipe| stdio::insert_reader(state, pipe)).transpose()?;
    Ok([stdin, stdout, stderr])
}

/// Everything a worker's task needs.
pub struct Start {
    host: Host,
    source: Source,
    reader: Permissions,
    cwd: PathBuf,
    engine: EngineOptions,
    entry: String,
    process: ProcessOptions,
    permissions: Permissions,
    granted: Granted,
    stdio: StdioOptions,
    shared: Arc<IsolateShared>,
    port: PortEnd,
    thread: ThreadState,
}

impl Start {
    /// From loading the module to the end. When this returns, nothing of the worker is left.
    fn run(self) -> impl Future<Output = ExitStatus> + Send {
        let (shared, entry) = (Arc::clone(&self.shared), self.entry.clone());
        // In a box of its own: it is large, and gone once the worker runs.
        let loaded = Box::pin(self.loaded());
        async move {
            let status = match loaded.await {
                Ok((store, host)) => run_isolate(store, Arc::clone(&shared), host, entry).await,
                Err(status) => status,
            };
            // A worker that was terminated before it ran has no store whose end would do this.
            shared.thread_messages.close();
            status
        }
    }

    /// As [`Start::run`], in the task of the isolate that made it.
    pub async fn run_as_context(self) -> ExitStatus {
        let (shared, entry) = (Arc::clone(&self.shared), self.entry.clone());
        match self.loaded().await {
            Ok((store, host)) => run_context(store, shared, host, entry).await,
            Err(status) => status,
        }
    }

    /// The isolate, ready to run. Only this is given up when the worker is terminated: a run ends by itself then, and
    /// what it leaves behind is put away.
    async fn loaded(self) -> std::result::Result<(Store<IsolateState>, Host), ExitStatus> {
        let shared = Arc::clone(&self.shared);
        let loaded = tokio::select! {
            biased;
            () = shared.terminate.cancelled() => return Err(ExitStatus { code: 1, error: None }),
            loaded = self.load() => loaded,
        };
        loaded
            .and_then(|builder| builder.into_store(&shared))
            .map_err(|record| ExitStatus::failed(1, record))
    }

    async fn load(self) -> Result<IsolateBuilder> {
        let host = self
            .host
            .sibling(self.engine)
            .map_err(|error| source::init_failed(&format!("{error:#}")))?;
        let module = self.source.load(&host, &self.reader, &self.cwd).await?;
        Ok(IsolateBuilder::for_worker(host, module, self.process, self.stdio)
            .role(IsolateRole::Worker)
            .permissions(self.permissions)
            .limits(self.granted.limits)
            .thread(self.thread, self.port))
    }
}
