//! The functions of `Atomics`.

use std::cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nodule_abi::atomic::{self, AtomicOperation};
use nodule_abi::event::EventRecord;

use super::cell::{Cell, WaitCell};
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::sys;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitResult {
    /// It was notified.
    Ok,
    /// The cell did not hold the expected value.
    NotEqual,
    /// The time is over.
    TimedOut,
}

impl WaitResult {
    /// JavaScript's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotEqual => "not-equal",
            Self::TimedOut => "timed-out",
        }
    }

    fn of(result: atomic::WaitResult) -> Self {
        match result {
            atomic::WaitResult::Woken => Self::Ok,
            atomic::WaitResult::TimedOut => Self::TimedOut,
            // The last two are not given for these waits.
            atomic::WaitResult::NotEqual | atomic::WaitResult::Pending | atomic::WaitResult::OwnerDead => {
                Self::NotEqual
            }
        }
    }
}

/// Accesses of cells as in JavaScript's `Atomics`: sequentially consistent, with a check of the index. They work on any
/// memory; waiting works on that of a [`super::SharedBuffer`] only.
#[derive(Debug)]
pub enum Atomics {}

fn at<C>(view: &[C], index: usize) -> Result<&C> {
    view.get(index)
        .ok_or_else(|| Error::new("Invalid atomic access index").named("RangeError"))
}

/// A time as the host takes it; NaN is for ever.
pub(super) fn milliseconds(timeout: Option<Duration>) -> f64 {
    timeout.map_or(f64::NAN, |timeout| timeout.as_secs_f64() * 1000.0)
}

macro_rules! operations {
    ($($name:ident, $operation:ident, $what:literal;)*) => {
        $(
            #[doc = concat!($what, " Gives the old value (Node: `Atomics.", stringify!($name), "`).")]
            ///
            /// # Errors
            /// `RangeError` for an index behind the end.
            pub fn $name<C: Cell>(view: &[C], index: usize, value: C::Value) -> Result<C::Value> {
                Ok(at(view, index)?.modify(AtomicOperation::$operation, value))
            }
        )*
    };
}

impl Atomics {
    /// The count of [`Self::notify`] that wakes all.
    pub const ALL: u32 = atomic::NOTIFY_ALL;

    /// Reads a cell (Node: `Atomics.load`).
    ///
    /// # Errors
    /// `RangeError` for an index behind the end.
    pub fn load<C: Cell>(view: &[C], index: usize) -> Result<C::Value> {
        Ok(at(view, index)?.get())
    }

    /// Writes a cell; gives the value (Node: `Atomics.store`).
    ///
    /// # Errors
    /// `RangeError` for an index behind the end.
    pub fn store<C: Cell>(view: &[C], index: usize, value: C::Value) -> Result<C::Value> {
        at(view, index)?.set(value);
        Ok(value)
    }

    operations! {
        add, Add, "Adds, wrapping around.";
        sub, Sub, "Subtracts, wrapping around.";
        and, And, "Keeps the bits that both have.";
        or, Or, "Sets bits.";
        xor, Xor, "Flips bits.";
        exchange, Exchange, "Replaces the value.";
    }

    /// Replaces the value of a cell if it is `expected`; gives the old one (Node: `Atomics.compareExchange`).
    ///
    /// # Errors
    /// `RangeError` for an index behind the end.
    pub fn compare_exchange<C: Cell>(
        view: &[C],
        index: usize,
        expected: C::Value,
        replacement: C::Value,
    ) -> Result<C::Value> {
        Ok(at(view, index)?.replace(expected, replacement))
    }

    /// Whether cells of `size_bytes` are accessed without locks (Node: `Atomics.isLockFree`): of 1, 2, 4, 8.
    pub const fn is_lock_free(size_bytes: usize) -> bool {
        matches!(size_bytes, 1 | 2 | 4 | 8)
    }

    /// Tells the processor that this is a loop that waits (Node: `Atomics.pause`).
    pub fn pause() {
        std::hint::spin_loop();
    }

    /// Waits until the cell is notified, if it holds `expected` (Node: `Atomics.wait`). This isolate does nothing else
    /// meanwhile: no timers, no messages. Without a time it waits for ever; it can be terminated.
    ///
    /// # Errors
    /// `RangeError` for an index behind the end, `TypeError` when the memory is not shared.
    pub fn wait<C: WaitCell>(
        view: &[C],
        index: usize,
        expected: C::Value,
        timeout: Option<Duration>,
    ) -> Result<WaitResult> {
        let cell = at(view, index)?;
        sys::atomic_wait(cell, C::bits(expected), milliseconds(timeout)).map(WaitResult::of)
    }

    /// As [`Self::wait`], as a future; it waits from this call on (Node: `Atomics.waitAsync`). Without a time it does not keep
    /// the isolate alive. Dropping it ends the wait.
    ///
    /// # Errors
    /// As of [`Self::wait`]; `EMFILE` when the isolate has too many handles.
    pub fn wait_async<C: WaitCell>(
        view: &[C],
        index: usize,
        expected: C::Value,
        timeout: Option<Duration>,
    ) -> Result<WaitAsync> {
        let cell = at(view, index)?;
        let (result, handle) = sys::atomic_wait_async(cell, C::bits(expected), milliseconds(timeout))?;
        Ok(match result {
            atomic::WaitResult::Pending => WaitAsync::pending(handle),
            result => WaitAsync {
                result: Some(WaitResult::of(result)),
                wait: None,
            },
        })
    }

    /// Wakes up to `count` that wait on a cell, those first that waited longest; gives how many (Node: `Atomics.notify`). On
    /// memory that is not shared there are none.
    ///
    /// # Errors
    /// `RangeError` for an index behind the end.
    pub fn notify<C: WaitCell>(view: &[C], index: usize, count: u32) -> Result<u32> {
        sys::atomic_notify(at(view, index)?, count)
    }
}

/// The future of [`Atomics::wait_async`].
pub struct WaitAsync {
    result: Option<WaitResult>,
    wait: Option<Rc<Wait>>,
}

struct Wait {
    handle: u32,
    result: cell::Cell<Option<WaitResult>>,
    waker: cell::Cell<Option<Waker>>,
}

impl Sink for Wait {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        let number = u32::try_from(record.args[0]).unwrap_or(0);
        let result = atomic::WaitResult::from_number(number).map_or(WaitResult::Ok, WaitResult::of);
        self.result.set(Some(result));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl WaitAsync {
    fn pending(handle: u32) -> Self {
        let wait = Rc::new(Wait {
            handle,
            result: cell::Cell::new(None),
            waker: cell::Cell::new(None),
        });
        event_loop::register(handle, Rc::clone(&wait) as Rc<dyn Sink>);
        Self {
            result: None,
            wait: Some(wait),
        }
    }

    /// Whether the result was known at once (Node: `async: false`).
    pub fn is_ready(&self) -> bool {
        self.result.is_some()
    }

    fn end(&mut self) {
        if let Some(wait) = self.wait.take() {
            event_loop::unregister(wait.handle);
            // It is open until here.
            let _ = sys::close(wait.handle);
        }
    }
}

impl Future for WaitAsync {
    type Output = WaitResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WaitResult> {
        let known = self
            .result
            .or_else(|| self.wait.as_ref().and_then(|wait| wait.result.get()));
        match (known, &self.wait) {
            (Some(result), _) => {
                self.result = Some(result);
                self.end();
                Poll::Ready(result)
            }
            (None, wait) => {
                if let Some(wait) = wait {
                    wait.waker.set(Some(context.waker().clone()));
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for WaitAsync {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for WaitAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAsync")
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}
