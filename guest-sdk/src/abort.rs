//! Giving operations up from outside (Node: `AbortController`, `AbortSignal`).
//!
//! ```no_run
//! use nodule_sdk::abort::AbortController;
//!
//! let controller = AbortController::new();
//! let signal = controller.signal();
//! signal.on_abort(|reason| println!("given up: {reason}"));
//! controller.abort();
//! assert!(signal.aborted());
//! ```

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nodule_abi::error::ErrorCode;

use crate::error::{Error, Result};
use crate::events::{Emitter, Listener};
use crate::sys::IsolateCell;
use crate::timers;

/// The code of a `TimeoutError`, that of the `DOMException`.
const TIMEOUT_CODE: &str = "23";

struct State {
    reason: IsolateCell<Option<Error>>,
    waiters: IsolateCell<Vec<Waker>>,
    /// Signals that are aborted with this one.
    dependents: IsolateCell<Vec<AbortSignal>>,
    abort: Emitter<Error>,
}

/// Aborts its signal (Node: `AbortController`).
#[derive(Clone, Debug)]
pub struct AbortController {
    signal: AbortSignal,
}

/// Tells operations that they are given up (Node: `AbortSignal`). Clones are the same signal.
#[derive(Clone)]
pub struct AbortSignal {
    state: Rc<State>,
}

/// The error of an operation that was given up (Node: `AbortError`).
pub(crate) fn abort_error() -> Error {
    Error::with_code(ErrorCode::Abort, "The operation was aborted")
}

/// The reason of [`AbortController::abort`].
fn default_reason() -> Error {
    Error::with_code(ErrorCode::Abort, "This operation was aborted")
}

impl AbortController {
    /// A controller with a signal of its own.
    pub fn new() -> Self {
        Self {
            signal: AbortSignal::new(),
        }
    }

    /// The signal (Node: `controller.signal`).
    pub fn signal(&self) -> AbortSignal {
        self.signal.clone()
    }

    /// Aborts the signal with an `AbortError` as the reason. Repeating has no effect.
    pub fn abort(&self) {
        self.abort_with(default_reason());
    }

    /// Aborts the signal with this reason (Node: `controller.abort(reason)`). Repeating has no effect.
    pub fn abort_with(&self, reason: impl Into<Error>) {
        self.signal.raise(&reason.into());
    }
}

impl Default for AbortController {
    fn default() -> Self {
        Self::new()
    }
}

impl AbortSignal {
    fn new() -> Self {
        let state = State {
            reason: IsolateCell::new(None),
            waiters: IsolateCell::new(Vec::new()),
            dependents: IsolateCell::new(Vec::new()),
            abort: Emitter::new(),
        };
        Self { state: Rc::new(state) }
    }

    /// A signal that is aborted with this reason already (Node: `AbortSignal.abort`).
    pub fn abort_with(reason: impl Into<Error>) -> Self {
        let signal = Self::new();
        signal.raise(&reason.into());
        signal
    }

    /// A signal that is aborted with a `TimeoutError` after `delay` (Node: `AbortSignal.timeout`). It does not keep the
    /// isolate alive.
    pub fn timeout(delay: Duration) -> Self {
        let signal = Self::new();
        let raised = signal.clone();
        let expire = move || {
            let reason = Error::new("The operation was aborted due to timeout");
            raised.raise(&reason.named("TimeoutError").coded(TIMEOUT_CODE));
        };
        timers::set_timeout(expire, delay).unref();
        signal
    }

    /// A signal that is aborted with the first of these (Node: `AbortSignal.any`).
    pub fn any<'a>(signals: impl IntoIterator<Item = &'a Self>) -> Self {
        let any = Self::new();
        for signal in signals {
            if let Some(reason) = signal.reason() {
                any.raise(&reason);
                break;
            }
            signal.state.dependents.with(|dependents| dependents.push(any.clone()));
        }
        any
    }

    /// Whether it was aborted (Node: `signal.aborted`).
    pub fn aborted(&self) -> bool {
        self.state.reason.with(|reason| reason.is_some())
    }

    /// Why it was aborted (Node: `signal.reason`).
    pub fn reason(&self) -> Option<Error> {
        self.state.reason.with(|reason| reason.clone())
    }

    /// Fails when it was aborted (Node: `signal.throwIfAborted`).
    ///
    /// # Errors
    /// The reason.
    pub fn throw_if_aborted(&self) -> Result<()> {
        self.reason().map_or(Ok(()), Err)
    }

    /// Calls `listener` once, with the reason, when it is aborted (Node: `'abort'`). Never, if it was aborted before.
    pub fn on_abort(&self, listener: impl FnOnce(&Error) + 'static) -> Listener {
        self.state.abort.once(listener)
    }

    /// Waits until it is aborted and gives the reason.
    pub async fn wait(&self) -> Error {
        poll_fn(|context| self.poll_aborted(context)).await
    }

    pub(crate) fn poll_aborted(&self, context: &mut Context<'_>) -> Poll<Error> {
        if let Some(reason) = self.reason() {
            return Poll::Ready(reason);
        }
        let waker = context.waker().clone();
        self.state.waiters.with(|waiters| {
            if !waiters.iter().any(|known| known.will_wake(&waker)) {
                waiters.push(waker);
            }
        });
        Poll::Pending
    }

    /// Aborts it and those that depend on it; listeners come after all of them know.
    fn raise(&self, reason: &Error) {
        let mut aborted = vec![self.clone()];
        let mut next = 0;
        while let Some(signal) = aborted.get(next).cloned() {
            let is_first = signal
                .state
                .reason
                .with(|known| known.is_none().then(|| *known = Some(reason.clone())))
                .is_some();
            if is_first {
                aborted.extend(signal.state.dependents.with(std::mem::take));
                next += 1;
            } else {
                aborted.remove(next);
            }
        }
        for signal in &aborted {
            let waiters = signal.state.waiters.with(std::mem::take);
            waiters.into_iter().for_each(Waker::wake);
        }
        for signal in &aborted {
            signal.state.abort.emit(reason);
        }
    }
}

impl fmt::Debug for AbortSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortSignal")
            .field("aborted", &self.aborted())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_first_reason_counts_and_is_told_once() {
        let controller = AbortController::new();
        let signal = controller.signal();
        let trace: Rc<RefCell<Vec<String>>> = Rc::default();
        let told = Rc::clone(&trace);
        signal.on_abort(move |reason| told.borrow_mut().push(reason.message().to_owned()));
        assert!(signal.throw_if_aborted().is_ok());
        controller.abort_with("first");
        controller.abort();
        assert_eq!(*trace.borrow(), ["first"]);
        assert!(signal.throw_if_aborted().is_err_and(|error| error.message() == "first"));
        assert!(signal.on_abort(|_| ()).remove(), "not called any more");
    }

    #[test]
    fn any_follows_the_first_and_all_know_before_listeners_run() {
        let controllers = [AbortController::new(), AbortController::new()];
        let signals = controllers.each_ref().map(AbortController::signal);
        let any = AbortSignal::any(&signals);
        let outer = AbortSignal::any([&any]);
        let seen = Rc::new(RefCell::new(None));
        let (copy, checked) = (Rc::clone(&seen), outer.clone());
        signals[1].on_abort(move |_| *copy.borrow_mut() = Some(checked.aborted()));
        controllers[1].abort();
        controllers[0].abort_with("late");
        assert_eq!(*seen.borrow(), Some(true));
        let reason = outer.reason().unwrap();
        assert_eq!(
            (reason.name(), reason.message()),
            ("AbortError", "This operation was aborted")
        );
        assert!(AbortSignal::any([&outer]).aborted(), "aborted at once");
    }
}
