//! The creator's side of a worker.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use nodule_abi::event::{EventKind, EventRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::options::{ResourceLimits, Source, WorkerOptions};
use crate::Value;
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::messaging::{MessagePort, TransferList, transfer};
use crate::process::{self, events};
use crate::promise::{self, Promise, Resolver};
use crate::stream::{Readable, Writable};
use crate::sys::{self, IsolateCell, worker_threads as host};

/// How far the end of a worker is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It runs, or its messages and output are still being delivered.
    Running,
    /// Its error was emitted.
    ErrorTold,
    /// `'exit'` was emitted.
    Told,
}

/// A worker (Node: class `Worker`). Clones are the same worker; dropping them leaves it running.
#[derive(Clone)]
pub struct Worker(Rc<State>);

struct State {
    /// 0 after the end.
    handle: Cell<u32>,
    thread_id: Cell<i64>,
    name: RefCell<Option<String>>,
    limits: RefCell<ResourceLimits>,
    port: MessagePort,
    stdin: Option<Writable>,
    stdout: Readable,
    stderr: Readable,
    end: Cell<End>,
    exit_code: Cell<Option<i64>>,
    online: Emitter<()>,
    error: Emitter<Error>,
    exit: Emitter<i64>,
    /// Whoever waits for the end.
    waiting: IsolateCell<Vec<Resolver<i64>>>,
}

impl Worker {
    /// Starts a worker (Node: `new Worker(filename, options)`). What can be checked is checked now, and `worker_data` is
    /// cloned now; what goes wrong later comes as `'error'` and `'exit'` 1.
    ///
    /// # Errors
    /// `ERR_WORKER_PATH`, `ERR_INVALID_URL_SCHEME`, `ERR_WORKER_INVALID_EXEC_ARGV`, `ERR_INVALID_ARG_VALUE`,
    /// `ERR_OUT_OF_RANGE`, `ERR_ACCESS_DENIED` (`WorkerThreads`), `EAGAIN` when there are too many workers, and those of
    /// [`MessagePort::post_message`] for `worker_data`. Nothing is started then.
    pub fn new(source: impl Into<Source>, options: WorkerOptions<'_>) -> Result<Self> {
        let mut fields = options.fields;
        let mut code = Vec::new();
        // Held until the host has taken its handle.
        let _module = source.into().put_into(&mut fields, &mut code);
        let spawned = match options.data {
            Some(encode) => encode(options.transfer)?.send(|message| host::spawn(&fields, &code, Some(message)))?,
            None if options.transfer.is_empty() => host::spawn(&fields, &code, None)?,
            None => transfer::encode(0, &Value::Null, options.transfer)?
                .send(|message| host::spawn(&fields, &code, Some(message)))?,
        };
        let worker = Self::of(spawned, fields.thread_name(), fields.resource_limits);
        process::next_tick(move || {
            events(|events| events.worker.emit(&spawned.thread));
        });
        Ok(worker)
    }

    pub(super) fn of(spawned: host::Spawned, name: String, limits: ResourceLimits) -> Self {
        let port = MessagePort::of_handle(spawned.port);
        // The worker itself keeps this thread alive.
        port.never_ref();
        let [stdin, stdout, stderr] = spawned.stdio;
        let readable = |handle: u32| match handle {
            0 => Readable::ended(),
            handle => Readable::from_handle(handle),
        };
        let state = Rc::new(State {
            handle: Cell::new(spawned.worker),
            thread_id: Cell::new(i64::from(spawned.thread)),
            name: RefCell::new(Some(name)),
            limits: RefCell::new(limits),
            port,
            // As in Node, what is written to a worker that has ended vanishes.
            stdin: (stdin != 0).then(|| Writable::from_handle(stdin).lenient()),
            stdout: readable(stdout),
            stderr: readable(stderr),
            end: Cell::new(End::Running),
            exit_code: Cell::new(None),
            online: Emitter::new(),
            error: Emitter::new(),
            exit: Emitter::new(),
            waiting: IsolateCell::new(Vec::new()),
        });
        event_loop::register(spawned.worker, Rc::clone(&state) as Rc<dyn Sink>);
        Self(state)
    }

    /// Runs `body` and terminates the worker when it is done (Node: `worker[Symbol.asyncDispose]`).
    pub async fn scoped<R>(self, body: impl AsyncFnOnce(&Self) -> R) -> R {
        let result = body(&self).await;
        // Whatever code it ended with, it has ended.
        let _ = self.terminate().await;
        result
    }

    /// Its thread id; -1 after the end (Node: `worker.threadId`).
    pub fn thread_id(&self) -> i64 {
        self.0.thread_id.get()
    }

    /// Its name; `None` after the end (Node: `worker.threadName`).
    pub fn thread_name(&self) -> Option<String> {
        self.0.name.borrow().clone()
    }

    /// The limits it was given; empty after the end (Node: `worker.resourceLimits`).
    pub fn resource_limits(&self) -> ResourceLimits {
        self.0.limits.borrow().clone()
    }

    /// Its input, with [`WorkerOptions::stdin`] (Node: `worker.stdin`).
    pub fn stdin(&self) -> Option<&Writable> {
        self.0.stdin.as_ref()
    }

    /// Its output, with [`WorkerOptions::stdout`]; else a stream that has ended, because the host sends the output
    /// straight to where this thread's goes (Node: `worker.stdout`).
    pub fn stdout(&self) -> &Readable {
        &self.0.stdout
    }

    /// As [`Self::stdout`] (Node: `worker.stderr`).
    pub fn stderr(&self) -> &Readable {
        &self.0.stderr
    }

    /// The port to the worker's `parentPort`, for everything a [`MessagePort`] can.
    pub fn port(&self) -> &MessagePort {
        &self.0.port
    }

    /// Sends a message to the worker's `parentPort`; after its end it does nothing (Node: `worker.postMessage`). Gives
    /// `false` when much is queued there: `'drain'` of [`Self::port`] follows.
    ///
    /// # Errors
    /// As [`MessagePort::post_message`].
    pub fn post_message(&self, value: &(impl Serialize + ?Sized)) -> Result<bool> {
        self.0.port.post_message(value)
    }

    /// As [`Self::post_message`], moving what is in `transfer`.
    ///
    /// # Errors
    /// As [`MessagePort::post_message_with`].
    pub fn post_message_with(&self, value: &(impl Serialize + ?Sized), transfer: TransferList<'_>) -> Result<bool> {
        self.0.port.post_message_with(value, transfer)
    }

    /// Calls `listener` with each message of the worker (Node: `'message'`). All come before `'exit'`.
    pub fn on_message<T: DeserializeOwned + 'static>(&self, listener: impl FnMut(T) + 'static) -> Listener {
        self.0.port.on_message(listener)
    }

    /// As [`Self::on_message`], for the next one only.
    pub fn once_message<T: DeserializeOwned + 'static>(&self, listener: impl FnOnce(T) + 'static) -> Listener {
        self.0.port.once_message(listener)
    }

    /// Calls `listener` when a message cannot be decoded (Node: `'messageerror'`).
    pub fn on_messageerror(&self, listener: impl FnMut(&Error) + 'static) -> Listener {
        self.0.port.on_messageerror(listener)
    }

    /// Calls `listener` when the worker's first instruction is about to run, once (Node: `'online'`).
    pub fn on_online(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.0.online.on(move |()| listener())
    }

    /// Calls `listener` with the uncaught error that ended the worker, or the limit it reached. Without a listener the
    /// error is uncaught here (Node: `'error'`). A value that is no error is its [`Error::reason`].
    pub fn on_error(&self, mut listener: impl FnMut(&Error) + 'static) -> Listener {
        self.0.error.on(move |error| listener(error))
    }

    /// Calls `listener` with the exit code, not cut to 8 bits: the last event, once (Node: `'exit'`).
    pub fn on_exit(&self, mut listener: impl FnMut(i64) + 'static) -> Listener {
        self.0.exit.on(move |code| listener(*code))
    }

    /// Lets the worker keep this thread alive, as it does at first (Node: `worker.ref`).
    pub fn ref_(&self) {
        self.0.set_ref(true);
    }

    /// Lets this thread end although the worker runs; the worker ends with it, unseen (Node: `worker.unref`).
    pub fn unref(&self) {
        self.0.set_ref(false);
    }

    /// Ends the worker, in whatever state it is, from this call on; no instruction of it runs once the future gives the
    /// exit code. `None` when it had ended before. Repeating is harmless (Node: `worker.terminate`).
    pub fn terminate(&self) -> impl Future<Output = Option<i64>> + use<> {
        let handle = self.0.handle.get();
        let exited = (handle != 0).then(|| {
            self.ref_();
            // It is open as long as the worker has not ended.
            let _ = host::terminate(handle);
            self.0.wait_for_exit()
        });
        async move {
            match exited {
                Some(exited) => exited.await.ok(),
                None => None,
            }
        }
    }

    /// Waits for the end and gives the exit code (nodule only).
    pub fn join(&self) -> impl Future<Output = i64> + use<> {
        let known = self.0.exit_code.get().filter(|_| self.0.end.get() == End::Told);
        let exited = known.is_none().then(|| self.0.wait_for_exit());
        async move {
            match (known, exited) {
                (Some(code), _) => code,
                (None, Some(exited)) => exited.await.unwrap_or(1),
                (None, None) => 1,
            }
        }
    }

    pub(super) fn handle(&self) -> Result<u32> {
        match self.0.handle.get() {
            0 => Err(super::diagnostics::not_running()),
            handle => Ok(handle),
        }
    }

    /// Its figures of performance (Node: `worker.performance`).
    pub fn performance(&self) -> super::Performance {
        super::Performance::of(self.0.handle.get())
    }
}

impl State {
    fn set_ref(&self, is_ref: bool) {
        let handle = self.handle.get();
        if handle != 0 {
            let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
            // It is open as long as the worker has not ended.
            let _ = set(handle);
        }
    }

    fn wait_for_exit(&self) -> Promise<i64> {
        let (resolver, promise) = promise::deferred();
        self.waiting.with(|waiting| waiting.push(resolver));
        promise
    }

    /// One step towards `'exit'`, each in a turn of its own: what the worker sent and wrote comes first.
    fn step_to_exit(self: &Rc<Self>, record: EventRecord) {
        // The step that follows is queued before listeners run, which may not return.
        event_loop::continue_with(record);
        if self.port.deliver_next() || self.stdout.deliver_next() || self.stderr.deliver_next() {
            return;
        }
        let is_failed = record.args[1] != 0;
        if is_failed && self.end.get() == End::Running {
            self.end.set(End::ErrorTold);
            let error = host::exit_error(self.handle.get()).map_or_else(|error| error, Error::from);
            self.error.emit_error(&error);
            return;
        }
        self.finish(i64::from_ne_bytes(record.args[0].to_ne_bytes()));
    }

    fn finish(&self, code: i64) {
        self.end.set(End::Told);
        self.exit_code.set(Some(code));
        let handle = self.handle.replace(0);
        event_loop::unregister(handle);
        // The host keeps it until it is closed here.
        let _ = sys::close(handle);
        self.thread_id.set(-1);
        self.name.replace(None);
        self.limits.replace(ResourceLimits::default());
        let waiting = self.waiting.with(std::mem::take);
        waiting.iter().for_each(|resolver| resolver.resolve(code));
        self.exit.emit(&code);
    }
}

impl Sink for State {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        match EventKind::from_number(record.kind) {
            Some(EventKind::WorkerOnline) => {
                self.online.emit(&());
            }
            Some(EventKind::WorkerExit) => self.step_to_exit(record),
            _ => {}
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("thread_id", &self.thread_id())
            .field("thread_name", &self.thread_name())
            .finish_non_exhaustive()
    }
}
