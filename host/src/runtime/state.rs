//! What the host keeps for one isolate.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use nodule_abi::error::ErrorRecord;
use nodule_abi::event::EventRecord;
use tokio_util::sync::CancellationToken;
use wasmtime::{Func, Global, Instance, Memory, Table};

use super::activity::Activity;
use super::children::Children;
use super::control::Control;
use super::group::{IsolateGroup, ThreadId};
use super::host::Host;
use super::isolate::{IsolateId, IsolateRole};
use super::limits::{Limits, MemoryLimiter};
use super::metered::CpuUsage;
use super::module::Module;
use crate::diagnostics::Diagnostics;
use crate::event_loop::EventQueue;
use crate::handles::{Handle, Handles};
use crate::host_error::LastError;
use crate::locks::LockClient;
use crate::messaging::{Account, MessagingState};
use crate::permissions::Permissions;
use crate::process::ProcessState;
use crate::shared_memory::SharedMemory;
use crate::stdio::IsolateStdio;
use crate::timers::Timers;
use crate::wasi::WasiState;
use crate::worker_threads::{ThreadMessages, ThreadState};

/// The part of an isolate that others may reach while it runs.
#[derive(Debug)]
pub struct IsolateShared {
    /// Its id.
    pub id: IsolateId,
    /// Its number within the process.
    pub thread: ThreadId,
    /// The process it belongs to.
    pub group: Arc<IsolateGroup>,
    /// Its event queue.
    pub events: EventQueue,
    /// Requests from outside.
    pub control: Control,
    /// CPU time it used.
    pub cpu: Arc<CpuUsage>,
    /// What it does: loop utilization, size of its memory.
    pub activity: Arc<Activity>,
    /// Ends it when cancelled.
    pub terminate: CancellationToken,
    /// Cancelled when its state is dropped: it does not run any more.
    pub gone: CancellationToken,
    /// Its workers.
    pub children: Children,
    /// What other threads posted to it.
    pub thread_messages: ThreadMessages,
    /// What it has queued for others.
    pub queued: Arc<Account>,
}

impl IsolateShared {
    /// Of an isolate that nobody's worker is.
    pub(crate) fn root() -> Arc<Self> {
        let group = Arc::new(IsolateGroup::default());
        let queued = Account::root(&group.queues);
        Self::new(ThreadId::MAIN, group, queued)
    }

    /// Of a new worker.
    pub(crate) fn worker(creator: &Self) -> Arc<Self> {
        let group = &creator.group;
        Self::new(group.next_thread(), Arc::clone(group), creator.queued.below())
    }

    /// Of an instance that is part of a thread.
    pub(crate) fn context(thread: &Self) -> Arc<Self> {
        Self::new(thread.thread, Arc::clone(&thread.group), thread.queued.below())
    }

    fn new(thread: ThreadId, group: Arc<IsolateGroup>, queued: Arc<Account>) -> Arc<Self> {
        Arc::new(Self {
            id: IsolateId::next(),
            thread,
            group,
            events: EventQueue::default(),
            control: Control::default(),
            cpu: Arc::new(CpuUsage::default()),
            activity: Arc::new(Activity::default()),
            terminate: CancellationToken::new(),
            gone: CancellationToken::new(),
            children: Children::default(),
            thread_messages: ThreadMessages::default(),
            queued,
        })
    }
}

/// What the guest exports for the host; known once it is instantiated.
#[derive(Clone, Copy, Default)]
pub struct Exports {
    /// The instance itself.
    pub instance: Option<Instance>,
    /// `memory`.
    pub memory: Option<Memory>,
    /// `__stack_pointer`.
    pub stack_pointer: Option<Global>,
    /// `__indirect_function_table`.
    pub function_table: Option<Table>,
    /// `nodule_hook_buffer`, of any type.
    pub hook_buffer: Option<Func>,
    /// `nodule_uncaught`, of any type.
    pub uncaught: Option<Func>,
    /// `nodule_resume`, of any type.
    pub resume: Option<Func>,
    /// `nodule_exit`, of any type.
    pub exit: Option<Func>,
}

/// Values of the embedder, one a type, reachable from its host functions.
#[derive(Default)]
pub struct Extensions(HashMap<TypeId, Box<dyn Any + Send>>);

impl Extensions {
    /// Keeps a value; replaces one of the same type.
    pub fn insert<T: Send + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of this type, to change it.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }
}

/// The data of an isolate's store. Embedder-defined host functions get it through `Caller::data`.
pub struct IsolateState {
    /// Values of the embedder.
    pub extensions: Extensions,
    pub(crate) host: Host,
    pub(crate) shared: Arc<IsolateShared>,
    pub(crate) role: IsolateRole,
    pub(crate) module: Module,
    pub(crate) exports: Exports,
    pub(crate) limits: Limits,
    pub(crate) limiter: MemoryLimiter,
    /// Machine code of its module and its side modules.
    pub(crate) code_bytes: usize,
    pub(crate) permissions: Permissions,
    pub(crate) wasi: WasiState,
    pub(crate) stdio: IsolateStdio,
    pub(crate) handles: Handles,
    pub(crate) timers: Timers,
    pub(crate) messaging: MessagingState,
    pub(crate) locks: LockClient,
    pub(crate) shared_memory: SharedMemory,
    pub(crate) process: ProcessState,
    pub(crate) threads: ThreadState,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) last_error: Option<LastError>,
    /// Room for the records of a wait, used again and again.
    pub(crate) event_records: Vec<EventRecord>,
    /// A panic the guest announced; belongs to the trap that follows.
    pub(crate) panic: Option<ErrorRecord>,
}

impl IsolateState {
    /// The isolate's id.
    pub fn id(&self) -> IsolateId {
        self.shared.id
    }

    /// Drops queued events of handles that are closed when there are very many: a guest can open and close without
    /// ever taking its events.
    pub(crate) fn forget_stale_events(&self) {
        let handles = &self.handles;
        let is_open = |number| handles.get(Handle::from_guest(number)).is_ok();
        self.shared.events.forget_stale(handles.max(), is_open);
    }

    /// What it is granted.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Counts machine code that is about to be loaded. Tells the reason when it is more than allowed.
    pub(crate) fn add_code(&mut self, bytes: usize) -> Result<(), String> {
        let wanted = self.code_bytes.saturating_add(bytes);
        let compiled = self.threads.compiled.bytes();
        if let Some(allowed) = self
            .limits
            .max_code_bytes
            .filter(|allowed| wanted.saturating_add(compiled) > *allowed)
        {
            return Err(format!(
                "{wanted} bytes of machine code wanted, {allowed} allowed (raise it with --max-code)"
            ));
        }
        self.code_bytes = wanted;
        Ok(())
    }

    /// Bytes the host holds for it beside its memory: its state and the table entries of its handles.
    pub(crate) fn host_bytes(&self) -> usize {
        size_of::<Self>() + self.handles_bytes()
    }

    /// Bytes of the table entries of its handles.
    pub(crate) fn handles_bytes(&self) -> usize {
        const HANDLE_BYTES: usize = 128;
        self.handles.len() * HANDLE_BYTES
    }

    /// Bytes of its linear memories.
    pub fn memory_bytes(&self) -> usize {
        self.limiter.memory_bytes()
    }
}
