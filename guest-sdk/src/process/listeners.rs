//! The events of `process`, without those of the channel to the parent.

use nodule_abi::hooks::Origin;

use super::{channel, warnings};
use crate::Value;
use crate::error::Error;
use crate::events::{Emitter, Listener};
use crate::promise::MultipleResolve;
use crate::task::TaskId;

macro_rules! process_events {
    ($(
        $(#[doc = $doc:literal])*
        $field:ident, $name:literal: $payload:ty =>
        $on:ident, $once:ident($($argument:ty),*) = |$event:ident| ($($pass:expr),*);
    )*) => {
        /// One emitter an event.
        pub(crate) struct ProcessEvents {
            $(pub(crate) $field: Emitter<$payload>,)*
        }

        thread_local! {
            static EVENTS: ProcessEvents = const { ProcessEvents { $($field: Emitter::new(),)* } };
        }

        $(
            $(#[doc = $doc])*
            #[doc = ""]
            #[doc = concat!("(Node: `process.on('", $name, "')`)")]
            pub fn $on(mut listener: impl FnMut($($argument),*) + 'static) -> Listener {
                added($name);
                events(|events| events.$field.on(move |$event| listener($($pass),*)))
            }

            #[doc = concat!("As [`", stringify!($on), "`], for the next time only.")]
            pub fn $once(listener: impl FnOnce($($argument),*) + 'static) -> Listener {
                added($name);
                events(|events| events.$field.once(move |$event| listener($($pass),*)))
            }
        )*

        /// How many listeners the event with Node's name `event` has, signals excluded
        /// (Node: `process.listenerCount`).
        pub fn listener_count(event: &str) -> usize {
            match event {
                $($name => events(|events| events.$field.listener_count()),)*
                _ => channel::count_channel_listeners(event),
            }
        }

        /// Removes the listeners of the event with Node's name `event`, signals excluded
        /// (Node: `process.removeAllListeners`).
        pub fn remove_all_listeners(event: &str) {
            match event {
                $($name => events(|events| events.$field.remove_all()),)*
                _ => channel::remove_channel_listeners(event),
            }
        }
    };
}

process_events! {
    /// The loop is empty. Work that the listener starts goes on, after which this comes again. The argument is the exit
    /// code so far. Not after [`super::exit`] or an uncaught error.
    before_exit, "beforeExit": i64 => on_before_exit, once_before_exit(i64) = |code| (*code);
    /// The isolate ends with this code; the last event, once. What a listener starts never runs, but it may change the
    /// exit code.
    exit, "exit": i64 => on_exit, once_exit(i64) = |code| (*code);
    /// [`super::emit_warning`] was called; `info` of the error's record is the warning's detail.
    warning, "warning": Error => on_warning, once_warning(&Error) = |warning| (warning);
    /// A worker with this thread id was constructed.
    worker, "worker": u32 => on_worker, once_worker(u32) = |id| (*id);
    /// A trap, a panic or an error of `main`, or a failed task that nobody awaits. With a listener the interrupted turn is
    /// abandoned and the loop goes on; without one the isolate ends with code 1.
    uncaught_exception, "uncaughtException": (Error, Origin) =>
        on_uncaught_exception, once_uncaught_exception(&Error, Origin) = |event| (&event.0, event.1);
    /// As [`on_uncaught_exception`], before anything else and without changing the outcome.
    uncaught_exception_monitor, "uncaughtExceptionMonitor": (Error, Origin) =>
        on_uncaught_exception_monitor, once_uncaught_exception_monitor(&Error, Origin) = |event| (&event.0, event.1);
    /// A [`crate::promise::Promise`] was settled again (deprecated in Node).
    multiple_resolves, "multipleResolves": MultipleResolve =>
        on_multiple_resolves, once_multiple_resolves(&MultipleResolve) = |event| (event);
    /// A failure that was reported as unhandled is awaited now.
    rejection_handled, "rejectionHandled": TaskId =>
        on_rejection_handled, once_rejection_handled(TaskId) = |id| (*id);
    /// A task failed, and when the turn ended nobody awaited its handle.
    unhandled_rejection, "unhandledRejection": (Error, TaskId) =>
        on_unhandled_rejection, once_unhandled_rejection(&Error, TaskId) = |event| (&event.0, event.1);
    /// A value another thread posted to this one, and that thread's id.
    worker_message, "workerMessage": (Value, u32) =>
        on_worker_message, once_worker_message(&Value, u32) = |event| (&event.0, event.1);
}

/// Uses the emitters. Nothing is locked: listeners may run in here.
pub(crate) fn events<R>(use_events: impl FnOnce(&ProcessEvents) -> R) -> R {
    EVENTS.with(use_events)
}

fn added(event: &str) {
    if event == "multipleResolves" {
        warnings::deprecate_multiple_resolves();
    }
    if event == "workerMessage" {
        crate::worker_threads::thread_messages::listen();
    }
}
