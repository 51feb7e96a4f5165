//! The event loop: turns, the order within a turn, `beforeExit` and `exit`.
//!
//! One event record is one turn: its listeners, then all ticks, then all ready tasks, these two again until both are
//! empty, then failed tasks nobody awaits; then the next record. When the records of a wait are used up the immediates
//! of that moment run, each with the same end of turn. The loop ends when nothing that is ref'd is left.
//!
//! All state is in statics, and what is about to run is taken out of its queue first: a trap takes only the callback
//! along that was running, and the loop can be entered again.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::rc::Rc;

use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::hooks::Origin;

use crate::error::Error;
use crate::process::{self, events, finalization, signals};
use crate::sys::{self, IsolateCell};
use crate::task::{self, Control, Outcome};
use crate::timers::immediates;
use crate::worker_threads::thread_messages;
use crate::{rejections, uncaught};

/// Receives the events of a handle.
pub(crate) trait Sink {
    /// Called in a turn of its own.
    fn dispatch(self: Rc<Self>, record: EventRecord);
}

type Tick = Box<dyn FnOnce()>;

struct Queues {
    ticks: VecDeque<Tick>,
    /// Records the host gave and that were not dispatched yet.
    records: VecDeque<EventRecord>,
    sinks: BTreeMap<u32, Rc<dyn Sink>>,
}

/// Where in a round the loop is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Records are dispatched, then more are waited for.
    Records,
    /// A wait is over: when its records are used up, the immediates are next.
    RecordsThenCheck,
    /// The immediates run.
    Check,
}

/// How far the program's `main` is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MainState {
    Absent,
    Pending,
    Ended,
}

thread_local! {
    static QUEUES: IsolateCell<Queues> = const {
        IsolateCell::new(Queues { ticks: VecDeque::new(), records: VecDeque::new(), sinks: BTreeMap::new() })
    };
    static PHASE: Cell<Phase> = const { Cell::new(Phase::Records) };
    static MAIN: Cell<MainState> = const { Cell::new(MainState::Absent) };
    /// `beforeExit` was emitted and nothing happened since.
    static BEFORE_EXIT_DONE: Cell<bool> = const { Cell::new(false) };
    static EXIT_DONE: Cell<bool> = const { Cell::new(false) };
}

fn queues<R>(use_queues: impl FnOnce(&mut Queues) -> R) -> R {
    QUEUES.with(|queues| queues.with(use_queues))
}

struct MainTask;

impl Control for MainTask {
    fn fail(&self, _error: Error) {
        MAIN.set(MainState::Ended);
    }
}

/// Runs `main` and then the event loop until nothing is left that could happen; what `#[nodule_sdk::main]` calls.
/// An error that `main` gives is uncaught.
pub fn run<F>(main: F)
where
    F: Future + 'static,
    F::Output: Outcome<Value = ()>,
{
    sys::install_panic_hook();
    MAIN.set(MainState::Pending);
    task::start_main(Rc::new(MainTask), async move {
        let outcome = main.await.into_result();
        MAIN.set(MainState::Ended);
        if let Err(error) = outcome {
            uncaught::raise(&error, Origin::UncaughtException);
        }
    });
    // The first turn is main's alone: its ticks come before the tasks it spawned.
    task::poll_next();
    run_to_end();
}

/// Goes on until the loop is empty, `beforeExit` included.
pub(crate) fn run_to_end() {
    loop {
        run_turns();
        if BEFORE_EXIT_DONE.replace(true) {
            break;
        }
        let code = process::exit_code().unwrap_or(0);
        finalization::run(finalization::Event::BeforeExit);
        events(|events| events.before_exit.emit(&code));
    }
    if MAIN.get() == MainState::Pending {
        end_with_pending_main();
    }
}

/// Exit code 13: `main` awaits something that cannot happen any more.
fn end_with_pending_main() {
    if process::exit_code().is_none() {
        process::set_exit_code(13);
    }
    let tasks = task::pending_names().join(", ");
    eprintln!("Warning: Detected unsettled main: nothing is left that could wake the pending tasks: {tasks}");
}

/// Runs finalizers and listeners of `'exit'`, once.
pub(crate) fn exit(code: i64) {
    if EXIT_DONE.replace(true) {
        return;
    }
    finalization::run(finalization::Event::Exit);
    events(|events| events.exit.emit(&code));
    sys::flush_stdout();
}

/// Turns until nothing is queued and nothing ref'd is left.
fn run_turns() {
    loop {
        end_turn();
        if let Some(record) = queues(|queues| queues.records.pop_front()) {
            BEFORE_EXIT_DONE.set(false);
            dispatch(record);
            continue;
        }
        match PHASE.get() {
            Phase::RecordsThenCheck => {
                immediates::begin_check();
                PHASE.set(Phase::Check);
            }
            Phase::Check => {
                if let Some(run) = immediates::next() {
                    BEFORE_EXIT_DONE.set(false);
                    run();
                } else {
                    PHASE.set(Phase::Records);
                }
            }
            Phase::Records => {
                let is_polling = immediates::has_ref();
                let has_records = wait(if is_polling { 0 } else { -1 });
                if !has_records && !is_polling {
                    return;
                }
                PHASE.set(Phase::RecordsThenCheck);
            }
        }
    }
}

/// Takes what the host has; gives whether there was anything.
fn wait(timeout_ns: i64) -> bool {
    if let Err(error) = sys::wait(timeout_ns, |record| queues(|queues| queues.records.push_back(record))) {
        uncaught::raise(&error, Origin::UncaughtException);
    }
    queues(|queues| !queues.records.is_empty())
}

/// Ticks, then ready tasks, again until both are empty; then failed tasks.
fn end_turn() {
    loop {
        while let Some(tick) = queues(|queues| queues.ticks.pop_front()) {
            tick();
        }
        let mut has_polled = false;
        while task::poll_next() {
            has_polled = true;
        }
        if !has_polled && !rejections::process() {
            return;
        }
    }
}

fn dispatch(record: EventRecord) {
    match EventKind::from_number(record.kind) {
        Some(EventKind::Signal) => {
            if let Ok(number) = i32::try_from(record.args[0]) {
                signals::dispatch(number);
            }
        }
        Some(EventKind::ThreadMessage) => thread_messages::dispatch(record),
        // Events of other kinds belong to a handle. One that was closed meanwhile has no sink any more.
        _ => {
            if let Some(sink) = queues(|queues| queues.sinks.get(&record.handle).cloned()) {
                sink.dispatch(record);
            }
        }
    }
}

/// Sends the events of `handle` to `sink`.
pub(crate) fn register(handle: u32, sink: Rc<dyn Sink>) {
    queues(|queues| queues.sinks.insert(handle, sink));
}

/// Makes `record` the next turn: for a sink that has more to do, each part in a turn of its own. It is queued before
/// that part runs, so that a trap does not lose the rest.
pub(crate) fn continue_with(record: EventRecord) {
    queues(|queues| queues.records.push_front(record));
}

/// Drops the events of `handle`, those included that are queued.
pub(crate) fn unregister(handle: u32) {
    let sink = queues(|queues| queues.sinks.remove(&handle));
    drop(sink);
}

/// Runs `tick` after what is running now, before tasks and events.
pub(crate) fn next_tick(tick: impl FnOnce() + 'static) {
    queues(|queues| queues.ticks.push_back(Box::new(tick)));
}
