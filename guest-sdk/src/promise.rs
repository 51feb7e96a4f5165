//! Promises that are settled from outside (Node: `Promise.withResolvers()`).
//!
//! ```no_run
//! # #[nodule_sdk::main]
//! # async fn main() -> nodule_sdk::Result<()> {
//! let (resolver, promise) = nodule_sdk::promise::deferred();
//! nodule_sdk::process::next_tick(move || resolver.resolve("now"));
//! assert_eq!(promise.await?, "now");
//! # Ok(())
//! # }
//! ```

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::Error;
use crate::event_loop;
use crate::process::events;
use crate::sys::IsolateCell;

thread_local! {
    static NEXT_ID: Cell<u64> = const { Cell::new(1) };
}

struct State<T> {
    is_settled: bool,
    outcome: Option<Result<T, Error>>,
    waiter: Option<Waker>,
}

struct Shared<T> {
    id: u64,
    state: IsolateCell<State<T>>,
}

/// Settles a [`Promise`]: the first time counts, later ones are reported by
/// [`crate::process::on_multiple_resolves`].
pub struct Resolver<T>(Rc<Shared<T>>);

/// A future that a [`Resolver`] settles. It stays pending when that never happens.
pub struct Promise<T>(Rc<Shared<T>>);

/// A promise and what settles it.
pub fn deferred<T>() -> (Resolver<T>, Promise<T>) {
    let id = NEXT_ID.get();
    NEXT_ID.set(id + 1);
    let state = IsolateCell::new(State {
        is_settled: false,
        outcome: None,
        waiter: None,
    });
    let shared = Rc::new(Shared { id, state });
    (Resolver(Rc::clone(&shared)), Promise(shared))
}

/// How a promise was settled once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleKind {
    /// With a value.
    Resolve,
    /// With an error.
    Reject,
}

impl SettleKind {
    /// Node's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Reject => "reject",
        }
    }
}

/// What `multipleResolves` tells: a settled promise was settled again.
pub struct MultipleResolve {
    /// How.
    pub kind: SettleKind,
    /// Id of the promise ([`Promise::id`]).
    pub promise: u64,
    /// The value, or the [`Error`], that came too late.
    pub value: Box<dyn Any>,
}

impl<T: 'static> Resolver<T> {
    /// Settles the promise with a value.
    pub fn resolve(&self, value: T) {
        self.settle(Ok(value));
    }

    /// Settles the promise with an error.
    pub fn reject(&self, error: impl Into<Error>) {
        self.settle(Err(error.into()));
    }

    /// Id of the promise.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    fn settle(&self, outcome: Result<T, Error>) {
        let mut outcome = Some(outcome);
        let waiter = self.0.state.with(|state| {
            if state.is_settled {
                return None;
            }
            state.is_settled = true;
            state.outcome = outcome.take();
            state.waiter.take()
        });
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        if let Some(late) = outcome {
            report(self.0.id, late);
        }
    }
}

fn report<T: 'static>(promise: u64, late: Result<T, Error>) {
    let (kind, value): (_, Box<dyn Any>) = match late {
        Ok(value) => (SettleKind::Resolve, Box::new(value)),
        Err(error) => (SettleKind::Reject, Box::new(error)),
    };
    let late = MultipleResolve { kind, promise, value };
    event_loop::next_tick(move || {
        events(|events| events.multiple_resolves.emit(&late));
    });
}

impl<T> Clone for Resolver<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Promise<T> {
    /// Id of the promise.
    pub fn id(&self) -> u64 {
        self.0.id
    }
}

/// # Panics
/// When polled again after it gave the result.
impl<T> Future for Promise<T> {
    type Output = Result<T, Error>;

    #[allow(clippy::panic, reason = "a mistake of the caller, as with async functions")]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let (outcome, is_settled, old_waker) = self.0.state.with(|state| {
            let old_waker = if state.is_settled {
                Some(waker)
            } else {
                state.waiter.replace(waker)
            };
            (state.outcome.take(), state.is_settled, old_waker)
        });
        drop(old_waker);
        match outcome {
            Some(outcome) => Poll::Ready(outcome),
            None if is_settled => panic!("Promise polled after it completed"),
            None => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resolver").field(&self.0.id).finish()
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Promise").field(&self.0.id).finish()
    }
}

impl fmt::Debug for MultipleResolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultipleResolve")
            .field("kind", &self.kind)
            .field("promise", &self.promise)
            .finish_non_exhaustive()
    }
}
