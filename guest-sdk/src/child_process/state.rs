//! The life of a child, as its parent sees it.

use std::cell::Cell;
use std::rc::Rc;

use nodule_abi::event::{EventKind, EventRecord};
use serde::Deserialize;

use super::options::Options;
use super::signal;
use super::stdio::{self, Stdio, StdioStream};
use crate::Value;
use crate::abort::{self, AbortSignal};
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::ipc::{End, KeepAlive};
use crate::promise::Resolver;
use crate::stream::Readable;
use crate::sys::{self, IsolateCell, child_process as host};

/// How a process ended: by a code or by a signal (the arguments of Node's `'exit'` and `'close'`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// Its exit code; for a process that did not start the negative error number.
    pub code: Option<i32>,
    /// The name of the signal that ended it.
    pub signal: Option<&'static str>,
}

/// How far a child is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// `'exit'` was emitted, or `'error'` because it did not start.
    Ended,
    /// `'close'` was emitted.
    Closed,
}

/// What a child was started as.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    pub spawnfile: String,
    pub spawnargs: Vec<String>,
}

/// A child, as the clones of its `ChildProcess` share it.
pub(super) struct State {
    /// 0 after the end, and when it did not start.
    handle: Cell<u32>,
    pub pid: Option<u32>,
    pub facts: Facts,
    pub end: End,
    pub stdio: Vec<Option<StdioStream>>,
    pub status: Cell<Option<ExitStatus>>,
    pub killed: Cell<bool>,
    phase: Cell<Phase>,
    /// How many streams of it may still give something.
    unread: Cell<usize>,
    kill_signal: i32,
    is_tree_killed: bool,
    /// On the signal of the options, until the end.
    abort: Cell<Option<Listener>>,
    pub spawn: Emitter<()>,
    pub exit: Emitter<ExitStatus>,
    pub close: Emitter<ExitStatus>,
    pub error: Rc<Emitter<Error>>,
    /// Whoever waits for `'close'`.
    pub waiting: IsolateCell<Vec<Resolver<ExitStatus>>>,
}

impl State {
    /// Starts a child. What becomes of it is told from the next tick on.
    pub fn start(options: Options, is_fork: bool) -> Result<Rc<Self>> {
        let pipes = stdio::pipes(&options.fields, is_fork);
        let fields = Value::Object(options.fields);
        let spawned = host::spawn(&fields, pipes.len())?;
        options.stdio.iter().for_each(Stdio::hand_over);
        let facts = host::start_facts(spawned.child)?;
        let failure = match spawned.pid {
            0 => Some(host::start_error(spawned.child).map_or_else(|error| error, Error::from)),
            _ => None,
        };
        let error = Rc::<Emitter<Error>>::default();
        let state = Rc::new(Self {
            handle: Cell::new(spawned.child),
            pid: (spawned.pid != 0).then_some(spawned.pid),
            facts,
            end: End::open(spawned.channel, KeepAlive::Open, Rc::clone(&error))?,
            stdio: streams(&spawned.stdio, &pipes, failure.as_ref()),
            status: Cell::new(None),
            killed: Cell::new(false),
            phase: Cell::new(Phase::Running),
            unread: Cell::new(0),
            kill_signal: signal::of_value(fields.get("killSignal")),
            is_tree_killed: fields.get("killTree").and_then(Value::as_bool).unwrap_or(false),
            abort: Cell::new(None),
            spawn: Emitter::new(),
            exit: Emitter::new(),
            close: Emitter::new(),
            error,
            waiting: IsolateCell::new(Vec::new()),
        });
        state.watch_streams();
        state.begin(failure, options.signal);
        Ok(state)
    }

    fn begin(self: &Rc<Self>, failure: Option<Error>, signal: Option<AbortSignal>) {
        let state = Rc::clone(self);
        if let Some(error) = failure {
            self.release_handle();
            event_loop::next_tick(move || state.not_started(&error));
            return;
        }
        event_loop::register(self.handle.get(), Rc::clone(self) as Rc<dyn Sink>);
        event_loop::next_tick(move || {
            state.release_streams();
            state.spawn.emit(&());
        });
        if let Some(signal) = signal {
            self.watch_abort(&signal);
        }
    }

    /// The streams to read from.
    fn readables(&self) -> impl Iterator<Item = &Readable> {
        self.stdio.iter().flatten().filter_map(StdioStream::readable)
    }

    fn watch_streams(self: &Rc<Self>) {
        for stream in self.readables() {
            self.unread.set(self.unread.get() + 1);
            let state = Rc::clone(self);
            stream.watch_close(move || {
                state.unread.set(state.unread.get() - 1);
                state.close_if_done();
            });
        }
    }

    fn release_streams(&self) {
        self.readables().for_each(Readable::release);
    }

    fn watch_abort(self: &Rc<Self>, signal: &AbortSignal) {
        let state = Rc::clone(self);
        if let Some(reason) = signal.reason() {
            event_loop::next_tick(move || state.aborted(&reason));
        } else {
            let listener = signal.on_abort(move |reason| state.aborted(reason));
            self.abort.set(Some(listener));
        }
    }

    /// Emits `'error'` on the next tick.
    fn report(&self, error: Error) {
        let emitter = Rc::clone(&self.error);
        event_loop::next_tick(move || emitter.emit_error(&error));
    }

    fn aborted(&self, reason: &Error) {
        let killed = if self.is_tree_killed {
            self.kill_tree(self.kill_signal, -1.0).map(|count| count > 0)
        } else {
            self.kill(self.kill_signal)
        };
        match killed {
            Ok(true) => self.report(abort::abort_error().caused_by(reason.clone())),
            Ok(false) => {}
            Err(error) => self.report(error),
        }
    }

    /// Sends a signal; gives whether it was delivered.
    pub fn kill(&self, signal: i32) -> Result<bool> {
        let handle = self.handle.get();
        if handle == 0 {
            return Ok(false);
        }
        match host::kill(handle, signal) {
            Ok(is_delivered) => {
                self.killed.set(self.killed.get() || is_delivered);
                Ok(is_delivered)
            }
            Err(error) if error.is_code("EPERM") => {
                self.report(error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a signal to the child and all below it; gives how many got it.
    pub fn kill_tree(&self, signal: i32, grace_ms: f64) -> Result<u32> {
        let handle = self.handle.get();
        if handle == 0 {
            return Ok(0);
        }
        let count = host::kill_tree(handle, signal, grace_ms)?;
        self.killed.set(self.killed.get() || count > 0);
        Ok(count)
    }

    pub fn set_ref(&self, is_ref: bool) {
        let handle = self.handle.get();
        if handle != 0 {
            let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
            // It is open as long as the child has not ended.
            let _ = set(handle);
        }
    }

    pub fn is_closed(&self) -> bool {
        self.phase.get() == Phase::Closed
    }

    fn release_handle(&self) {
        let handle = self.handle.replace(0);
        event_loop::unregister(handle);
        // The host keeps it until it is closed here.
        let _ = sys::close(handle);
    }

    /// One step towards `'exit'`, each in a turn of its own: what the child sent comes first, then `'disconnect'`.
    fn step_to_exit(self: &Rc<Self>, record: EventRecord) {
        // The step that follows is queued before listeners run, which may not return.
        event_loop::continue_with(record);
        if self.end.deliver_next() || self.end.finish() {
            return;
        }
        self.release_handle();
        let status = status_of(record);
        self.ended(status);
        self.exit.emit(&status);
    }

    fn not_started(self: &Rc<Self>, error: &Error) {
        let status = ExitStatus {
            code: error.record().errno.or(Some(-1)),
            signal: None,
        };
        self.ended(status);
        self.release_streams();
        self.error.emit_error(error);
    }

    /// It has ended; `'close'` follows when nothing more can come from it.
    fn ended(self: &Rc<Self>, status: ExitStatus) {
        self.status.set(Some(status));
        self.phase.set(Phase::Ended);
        if let Some(listener) = self.abort.take() {
            listener.remove();
        }
        let stdin = self.stdio.first().and_then(Option::as_ref);
        if let Some(stdin) = stdin.and_then(StdioStream::writable) {
            stdin.destroy();
        }
        let state = Rc::clone(self);
        event_loop::next_tick(move || {
            let unused = state.readables().filter(|stream| !stream.is_used());
            unused.for_each(Readable::resume);
            state.end.finish();
            state.close_if_done();
        });
    }

    fn close_if_done(self: &Rc<Self>) {
        let status = self.status.get();
        if let (Phase::Ended, 0, Some(status)) = (self.phase.get(), self.unread.get(), status) {
            self.phase.set(Phase::Closed);
            let waiting = self.waiting.with(std::mem::take);
            waiting.iter().for_each(|resolver| resolver.resolve(status));
            let state = Rc::clone(self);
            event_loop::next_tick(move || state.forget_listeners());
            self.close.emit(&status);
        }
    }

    /// No event of it comes any more, but for errors of late calls: what its listeners hold, often the child itself, is
    /// given up.
    fn forget_listeners(&self) {
        self.spawn.remove_all();
        self.end.messages().remove_all();
        self.end.disconnects().remove_all();
        self.exit.remove_all();
        self.close.remove_all();
    }
}

impl Sink for State {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        if EventKind::from_number(record.kind) == Some(EventKind::ChildExit) {
            self.step_to_exit(record);
        }
    }
}

/// The streams of a child. Those of one that did not start have ended, unless there were no descriptors for them.
fn streams(handles: &[[u32; 2]], pipes: &[bool], failure: Option<&Error>) -> Vec<Option<StdioStream>> {
    if failure.is_some_and(|error| error.is_code("EMFILE") || error.is_code("ENFILE")) {
        return Vec::new();
    }
    let entries = handles.iter().zip(pipes).enumerate();
    entries
        .map(|(fd, (handles, is_pipe))| {
            let is_missing = *is_pipe && failure.is_some();
            StdioStream::of(*handles).or_else(|| is_missing.then(|| StdioStream::ended(fd)))
        })
        .collect()
}

/// How the host says that a child ended.
fn status_of(record: EventRecord) -> ExitStatus {
    let code = i64::from_ne_bytes(record.args[0].to_ne_bytes());
    match i32::try_from(record.args[1]) {
        Ok(0) => ExitStatus {
            code: Some(i32::try_from(code).unwrap_or(i32::MAX)),
            signal: None,
        },
        number => ExitStatus {
            code: None,
            signal: Some(signal::name(number.unwrap_or_default())),
        },
    }
}
