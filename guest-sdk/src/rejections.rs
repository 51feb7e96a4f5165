//! Failed tasks that nobody awaits: `unhandledRejection`, `rejectionHandled` and the modes of
//! `--unhandled-rejections`.
//!
//! They are looked at when a turn ends, after ticks and ready tasks. Whatever may run the guest's code, or not
//! come back at all, happens after the queues are in order.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::rc::Rc;

use nodule_abi::hooks::Origin;

use crate::error::Error;
use crate::process::{self, WarningOptions, events};
use crate::sys::{self, IsolateCell};
use crate::task::TaskId;
use crate::uncaught;

/// How far the failure of a task has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Did not fail (yet).
    None,
    /// Will be looked at when the turn ends.
    Pending,
    /// Nobody listens and its handle is held: looked at again when that is dropped.
    Waiting,
    /// `unhandledRejection` was emitted, or the error raised.
    Reported,
    /// Awaited, or known in another way.
    Handled,
}

/// A failed task.
pub(crate) trait Rejected {
    fn id(&self) -> TaskId;
    fn rejection(&self) -> Rejection;
    fn set_rejection(&self, rejection: Rejection);
    /// Whether its handle was dropped.
    fn is_detached(&self) -> bool;
    /// What it failed with, unless somebody took it.
    fn error(&self) -> Option<Error>;
}

/// Value of `--unhandled-rejections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Throw,
    Strict,
    Warn,
    None,
    WarnWithErrorCode,
}

struct Candidate {
    task: Rc<dyn Rejected>,
    /// In mode `strict` the error was raised and handled; the event is still to come.
    was_raised: bool,
}

struct Queues {
    candidates: VecDeque<Candidate>,
    handled_late: VecDeque<TaskId>,
}

thread_local! {
    static QUEUES: IsolateCell<Queues> =
        const { IsolateCell::new(Queues { candidates: VecDeque::new(), handled_late: VecDeque::new() }) };
    static MODE: OnceCell<Mode> = const { OnceCell::new() };
}

fn queues<R>(use_queues: impl FnOnce(&mut Queues) -> R) -> R {
    QUEUES.with(|queues| queues.with(use_queues))
}

/// Remembers a failure for the end of the turn.
pub(crate) fn add(task: Rc<dyn Rejected>) {
    queues(|queues| {
        queues.candidates.push_back(Candidate {
            task,
            was_raised: false,
        })
    });
}

/// A failure that was reported is awaited now.
pub(crate) fn handled_late(id: TaskId) {
    queues(|queues| queues.handled_late.push_back(id));
}

/// Deals with what came up in this turn; gives whether anything ran.
pub(crate) fn process() -> bool {
    let mut has_run = false;
    while let Some(id) = queues(|queues| queues.handled_late.pop_front()) {
        has_run = true;
        report_handled(id);
    }
    while let Some(candidate) = queues(|queues| queues.candidates.pop_front()) {
        if candidate.was_raised {
            has_run = true;
            emit_or_warn(&candidate.task);
        } else if candidate.task.rejection() == Rejection::Pending {
            has_run = true;
            report(candidate.task);
        }
    }
    has_run
}

fn report_handled(id: TaskId) {
    if !events(|events| events.rejection_handled.emit(&id)) {
        warn(
            "PromiseRejectionHandledWarning",
            format!("The failure of task {id} was handled after it had been reported"),
        );
    }
}

fn report(task: Rc<dyn Rejected>) {
    let Some(error) = task.error() else { return };
    let has_listener = events(|events| events.unhandled_rejection.listener_count() > 0);
    match mode() {
        Mode::Throw if has_listener => emit(&task, error),
        Mode::Throw if task.is_detached() => {
            task.set_rejection(Rejection::Reported);
            uncaught::raise(&error, Origin::UnhandledRejection);
        }
        Mode::Throw => task.set_rejection(Rejection::Waiting),
        Mode::Strict => {
            queues(|queues| queues.candidates.push_front(Candidate { task, was_raised: true }));
            uncaught::raise(&error, Origin::UnhandledRejection);
        }
        Mode::Warn => {
            warn_unhandled(&task, &error);
            emit(&task, error);
        }
        Mode::None => emit(&task, error),
        Mode::WarnWithErrorCode if has_listener => emit(&task, error),
        Mode::WarnWithErrorCode => {
            task.set_rejection(Rejection::Reported);
            warn_unhandled(&task, &error);
            process::set_exit_code(1);
        }
    }
}

/// The second half of mode `strict`.
fn emit_or_warn(task: &Rc<dyn Rejected>) {
    let Some(error) = task.error() else { return };
    if events(|events| events.unhandled_rejection.listener_count() > 0) {
        emit(task, error);
    } else {
        task.set_rejection(Rejection::Reported);
        warn_unhandled(task, &error);
    }
}

fn emit(task: &Rc<dyn Rejected>, error: Error) {
    task.set_rejection(Rejection::Reported);
    let arguments = (error, task.id());
    events(|events| events.unhandled_rejection.emit(&arguments));
}

fn warn_unhandled(task: &Rc<dyn Rejected>, error: &Error) {
    warn(
        "UnhandledPromiseRejectionWarning",
        format!("Task {} failed and nobody awaits it: {error}", task.id()),
    );
}

fn warn(name: &'static str, text: String) {
    // The arguments are of the right types, so this cannot fail.
    let _ = process::emit_warning(
        text,
        WarningOptions {
            name: Some(name.into()),
            ..WarningOptions::default()
        },
    );
}

fn mode() -> Mode {
    MODE.with(|mode| *mode.get_or_init(read_mode))
}

fn read_mode() -> Mode {
    match sys::process::get::<Option<String>>("unhandledRejections")
        .ok()
        .flatten()
        .flatten()
        .as_deref()
    {
        Some("strict") => Mode::Strict,
        Some("warn") => Mode::Warn,
        Some("none") => Mode::None,
        Some("warn-with-error-code") => Mode::WarnWithErrorCode,
        _ => Mode::Throw,
    }
}
