//! Join handles, and which failures of tasks count as unhandled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Control, Key, TaskId, abort};
use crate::error::Error;
use crate::rejections::{self, Rejected, Rejection};
use crate::sys::IsolateCell;

/// What a task and its handle share.
pub(crate) struct Join<T> {
    id: TaskId,
    name: Option<Rc<str>>,
    state: IsolateCell<State<T>>,
}

struct State<T> {
    outcome: Option<Result<T, Error>>,
    is_settled: bool,
    /// Whoever awaits the handle.
    waiter: Option<Waker>,
    /// The handle was dropped.
    is_detached: bool,
    rejection: Rejection,
}

impl<T: 'static> Join<T> {
    pub(super) fn new(id: TaskId, name: Option<Rc<str>>) -> Self {
        let state = State {
            outcome: None,
            is_settled: false,
            waiter: None,
            is_detached: false,
            rejection: Rejection::None,
        };
        Self {
            id,
            name,
            state: IsolateCell::new(state),
        }
    }

    /// The task returned. A failure nobody awaits becomes a candidate for `unhandledRejection`.
    pub(super) fn settle(self: &Rc<Self>, outcome: Result<T, Error>) {
        let is_err = outcome.is_err();
        let mut outcome = Some(outcome);
        let (waiter, is_candidate) = self.state.with(|state| {
            // A task can abort itself and then return.
            if state.is_settled {
                return (None, false);
            }
            state.outcome = outcome.take();
            state.is_settled = true;
            let is_candidate = is_err && state.waiter.is_none();
            if is_candidate {
                state.rejection = Rejection::Pending;
            } else if is_err {
                state.rejection = Rejection::Handled;
            }
            (state.waiter.take(), is_candidate)
        });
        if is_candidate {
            rejections::add(Rc::clone(self) as Rc<dyn Rejected>);
        }
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T: 'static> Control for Join<T> {
    /// The task trapped or was aborted: known already, so not a candidate.
    fn fail(&self, error: Error) {
        let waiter = self.state.with(|state| {
            if !state.is_settled {
                state.outcome = Some(Err(error));
                state.is_settled = true;
                state.rejection = Rejection::Handled;
            }
            state.waiter.take()
        });
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T: 'static> Rejected for Join<T> {
    fn id(&self) -> TaskId {
        self.id
    }

    fn rejection(&self) -> Rejection {
        self.state.with(|state| state.rejection)
    }

    fn set_rejection(&self, rejection: Rejection) {
        self.state.with(|state| state.rejection = rejection);
    }

    fn is_detached(&self) -> bool {
        self.state.with(|state| state.is_detached)
    }

    fn error(&self) -> Option<Error> {
        self.state.with(|state| {
            state
                .outcome
                .as_ref()
                .and_then(|outcome| outcome.as_ref().err().cloned())
        })
    }
}

/// A spawned task's result: a future, and the way to abort the task. Dropping it detaches the task, which goes on.
pub struct JoinHandle<T: 'static> {
    join: Rc<Join<T>>,
    key: Key,
}

impl<T: 'static> JoinHandle<T> {
    pub(super) fn new(join: Rc<Join<T>>, key: Key) -> Self {
        Self { join, key }
    }

    /// Number of the task.
    pub fn id(&self) -> TaskId {
        self.join.id
    }

    /// The name it was spawned under.
    pub fn name(&self) -> Option<&str> {
        self.join.name.as_deref()
    }

    /// Whether the task returned, failed or was aborted.
    pub fn is_finished(&self) -> bool {
        self.join.state.with(|state| state.is_settled)
    }

    /// Drops the task's future. The handle then gives an error with the code `ABORT_ERR`; a finished task keeps its
    /// result.
    pub fn abort(&self) {
        abort(self.key);
    }
}

/// # Panics
/// When polled again after it gave the result.
impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, Error>;

    #[allow(clippy::panic, reason = "a mistake of the caller, as with async functions")]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let join = &self.join;
        let (outcome, old_waker, was_reported) = join.state.with(|state| {
            if !state.is_settled {
                return (None, state.waiter.replace(waker), false);
            }
            let was_reported = state.rejection == Rejection::Reported;
            state.rejection = Rejection::Handled;
            (state.outcome.take(), None, was_reported)
        });
        drop(old_waker);
        if was_reported {
            rejections::handled_late(join.id);
        }
        match outcome {
            Some(outcome) => Poll::Ready(outcome),
            None if self.is_finished() => panic!("JoinHandle polled after it completed"),
            None => Poll::Pending,
        }
    }
}

impl<T: 'static> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let (is_unread_failure, waiter) = self.join.state.with(|state| {
            state.is_detached = true;
            let is_waiting = state.rejection == Rejection::Waiting;
            if is_waiting {
                state.rejection = Rejection::Pending;
            }
            // Whoever awaited the handle has given it up.
            (is_waiting, state.waiter.take())
        });
        drop(waiter);
        if is_unread_failure {
            rejections::add(Rc::clone(&self.join) as Rc<dyn Rejected>);
        }
    }
}

impl<T: 'static> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
