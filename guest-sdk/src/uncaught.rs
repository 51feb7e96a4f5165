//! Uncaught errors: what happens between a trap and the loop going on.

use std::rc::Rc;

use nodule_abi::error::ErrorCode;
use nodule_abi::hooks::Origin;

use crate::error::{Error, Result};
use crate::process::events;
use crate::sys::{self, IsolateCell};
use crate::worker_threads::thread_messages;
use crate::{task, timers};

type Capture = Rc<IsolateCell<dyn FnMut(&Error) -> bool>>;

struct Captures {
    /// Those of `addUncaughtExceptionCaptureCallback`, oldest first.
    added: Vec<Capture>,
    /// The one of `setUncaughtExceptionCaptureCallback`.
    set: Option<Capture>,
}

thread_local! {
    static CAPTURES: IsolateCell<Captures> = const { IsolateCell::new(Captures { added: Vec::new(), set: None }) };
}

fn captures<R>(use_captures: impl FnOnce(&mut Captures) -> R) -> R {
    CAPTURES.with(|captures| captures.with(use_captures))
}

/// Raises `error` as uncaught. The frames of the caller vanish: whatever it holds open must be put away before.
pub(crate) fn raise(error: &Error, origin: Origin) -> ! {
    sys::flush_stdout();
    sys::process::uncaught(error.record(), origin)
}

/// Hands an uncaught error to monitors, captures and listeners, in Node's order. Gives whether it is handled.
pub(crate) fn handle(error: Error, origin: Origin) -> bool {
    task::fail_current(&error);
    timers::after_callback();
    if thread_messages::failed() {
        return true;
    }
    let arguments = (error, origin);
    events(|events| events.uncaught_exception_monitor.emit(&arguments));
    let added = captures(|captures| captures.added.clone());
    if added.iter().rev().any(|capture| call(capture, &arguments.0)) {
        return true;
    }
    if let Some(capture) = captures(|captures| captures.set.clone()) {
        return call(&capture, &arguments.0);
    }
    events(|events| events.uncaught_exception.emit(&arguments))
}

/// A callback that is running already failed inside itself; the host does not ask again then.
fn call(capture: &Capture, error: &Error) -> bool {
    capture.try_with(|capture| capture(error)).unwrap_or(false)
}

/// The one callback of `setUncaughtExceptionCaptureCallback`.
pub(crate) fn set_capture(mut callback: impl FnMut(&Error) + 'static) -> Result<()> {
    let capture: Capture = Rc::new(IsolateCell::new(move |error: &Error| {
        callback(error);
        true
    }));
    captures(|captures| {
        if captures.set.is_some() {
            return Err(Error::with_code(
                ErrorCode::CaptureAlreadySet,
                "A callback was set with set_uncaught_exception_capture_callback before; clear it first",
            ));
        }
        captures.set = Some(capture);
        Ok(())
    })
}

pub(crate) fn clear_capture() {
    let old = captures(|captures| captures.set.take());
    drop(old);
}

pub(crate) fn has_capture() -> bool {
    captures(|captures| captures.set.is_some())
}

pub(crate) fn add_capture(callback: impl FnMut(&Error) -> bool + 'static) {
    let capture: Capture = Rc::new(IsolateCell::new(callback));
    captures(|captures| captures.added.push(capture));
}
