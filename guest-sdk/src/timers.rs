//! Timers and immediates (Node: `timers` and `timers/promises`).
//!
//! Callbacks come first and the time second, as in Node. A delay below 1 ms or above 2147483647 ms is 1 ms.
//! The values returned identify the timer; dropping them leaves it running.
//!
//! ```no_run
//! # #[nodule_sdk::main]
//! # async fn main() {
//! use std::time::Duration;
//! use nodule_sdk::timers;
//!
//! let beat = timers::set_interval(|| println!("tick"), Duration::from_millis(100));
//! timers::sleep(Duration::from_secs(1)).await;
//! beat.clear();
//! # }
//! ```

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nodule_abi::event::EventRecord;
use nodule_abi::hooks::Origin;

use crate::error::Error;
use crate::event_loop::{self, Sink};
use crate::sys::{self, IsolateCell};
use crate::uncaught;

pub(crate) mod immediates;

pub use immediates::{Immediate, immediate, set_immediate};

thread_local! {
    /// The timer whose callback runs; an interval goes on from here, also after a trap.
    static RUNNING: Cell<Option<Rc<Timer>>> = const { Cell::new(None) };
}

type Callback = Box<dyn FnMut()>;

struct Timer {
    /// The host's handle while it runs, 0 when it does not.
    handle: Cell<u32>,
    delay: Duration,
    repeats: bool,
    is_cleared: Cell<bool>,
    is_ref: Cell<bool>,
    /// Dropped when the timer is cleared: it may hold the timer itself.
    callback: IsolateCell<Option<Callback>>,
}

impl Timer {
    fn start(self: &Rc<Self>) {
        let started = sys::timer_set(self.delay.as_secs_f64() * 1000.0).and_then(|handle| {
            self.handle.set(handle);
            event_loop::register(handle, Rc::clone(self) as Rc<dyn Sink>);
            if self.is_ref.get() {
                Ok(())
            } else {
                sys::unref_handle(handle)
            }
        });
        // Too many handles. Node's functions cannot fail, so neither do these: the error is uncaught.
        if let Err(error) = started {
            uncaught::raise(&error, Origin::UncaughtException);
        }
    }

    /// Nothing when the callback is running; then this happens after it.
    fn drop_callback(&self) {
        let callback = self.callback.try_with(Option::take);
        drop(callback);
    }

    fn stop(&self) {
        let handle = self.handle.replace(0);
        if handle != 0 {
            event_loop::unregister(handle);
            // Closed by the host already when it is due and its event waits in the queue.
            let _ = sys::close(handle);
        }
    }
}

impl Sink for Timer {
    fn dispatch(self: Rc<Self>, _record: EventRecord) {
        event_loop::unregister(self.handle.replace(0));
        RUNNING.set(Some(Rc::clone(&self)));
        self.callback.try_with(|callback| {
            if let Some(callback) = callback {
                callback();
            }
        });
        after_callback();
    }
}

/// Starts an interval again whose callback has ended, normally or not.
pub(crate) fn after_callback() {
    let Some(timer) = RUNNING.take() else { return };
    if timer.is_cleared.get() {
        timer.drop_callback();
    } else if timer.repeats && timer.handle.get() == 0 {
        timer.start();
    }
}

/// A timer of [`set_timeout`] or [`set_interval`] (Node: class `Timeout`).
#[derive(Clone)]
pub struct Timeout {
    timer: Rc<Timer>,
}

/// Calls `callback` once, `delay` from now (Node: `setTimeout`).
pub fn set_timeout(callback: impl FnMut() + 'static, delay: Duration) -> Timeout {
    Timeout::start(callback, delay, false)
}

/// Calls `callback` again and again; the time to the next call starts when one has returned (Node: `setInterval`).
pub fn set_interval(callback: impl FnMut() + 'static, delay: Duration) -> Timeout {
    Timeout::start(callback, delay, true)
}

impl Timeout {
    fn start(callback: impl FnMut() + 'static, delay: Duration, repeats: bool) -> Self {
        let timer = Rc::new(Timer {
            handle: Cell::new(0),
            delay,
            repeats,
            is_cleared: Cell::new(false),
            is_ref: Cell::new(true),
            callback: IsolateCell::new(Some(Box::new(callback))),
        });
        timer.start();
        Self { timer }
    }

    /// Stops the timer (Node: `clearTimeout`, `clearInterval`). Repeating has no effect.
    pub fn clear(&self) {
        self.timer.is_cleared.set(true);
        self.timer.stop();
        self.timer.drop_callback();
    }

    /// Starts the time anew; a timeout that ran already will run again (Node: `timeout.refresh`). A cleared timer stays
    /// cleared.
    pub fn refresh(&self) {
        let timer = &self.timer;
        if timer.is_cleared.get() {
            return;
        }
        let handle = timer.handle.get();
        if handle == 0 || sys::timer_refresh(handle).is_err() {
            timer.stop();
            timer.start();
        }
    }

    /// Lets the timer keep the isolate alive, as it does at first (Node: `timeout.ref`).
    pub fn ref_(&self) {
        self.set_ref(true);
    }

    /// Lets the isolate end although the timer runs (Node: `timeout.unref`).
    pub fn unref(&self) {
        self.set_ref(false);
    }

    /// Whether the timer keeps the isolate alive while it runs (Node: `timeout.hasRef`).
    pub fn has_ref(&self) -> bool {
        self.timer.is_ref.get()
    }

    fn set_ref(&self, is_ref: bool) {
        self.timer.is_ref.set(is_ref);
        let handle = self.timer.handle.get();
        if handle != 0 {
            let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
            // A due timer is closed; the flag counts when it is started again.
            let _ = set(handle);
        }
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("delay", &self.timer.delay)
            .field("repeats", &self.timer.repeats)
            .finish()
    }
}

/// Waits for `duration` (Node: `timers/promises` `setTimeout`). The time starts with the first poll.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, state: None }
}

/// The future of [`sleep`]. Dropping it stops the timer.
#[derive(Debug)]
pub struct Sleep {
    duration: Duration,
    state: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    timeout: Timeout,
    signal: Rc<Signal>,
}

/// Counts what a timer's callback reports, for a future that takes it.
#[derive(Default)]
struct Signal {
    count: Cell<u64>,
    waker: Cell<Option<Waker>>,
}

impl Signal {
    fn raise(&self) {
        self.count.set(self.count.get() + 1);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let count = self.count.get();
        if count > 0 {
            self.count.set(count - 1);
            return Poll::Ready(());
        }
        self.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal")
            .field("count", &self.count.get())
            .finish_non_exhaustive()
    }
}

impl Waiting {
    fn new(start: fn(Callback, Duration) -> Timeout, duration: Duration) -> Self {
        let signal = Rc::<Signal>::default();
        let raised = Rc::clone(&signal);
        Self {
            timeout: start(Box::new(move || raised.raise()), duration),
            signal,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.timeout.clear();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let duration = self.duration;
        let waiting = self.state.get_or_insert_with(|| Waiting::new(set_timeout, duration));
        waiting.signal.poll(context)
    }
}

/// Gives a tick every `period` (Node: `timers/promises` `setInterval`). Ticks that nobody takes are counted and given
/// later.
pub fn interval(period: Duration) -> Interval {
    Interval {
        waiting: Waiting::new(set_interval, period),
    }
}

/// The stream of [`interval`]. Dropping it stops the timer.
#[derive(Debug)]
pub struct Interval {
    waiting: Waiting,
}

impl Interval {
    /// Waits for the next tick.
    pub async fn tick(&mut self) {
        std::future::poll_fn(|context| self.waiting.signal.poll(context)).await;
    }

    /// Lets the isolate end although the interval runs.
    pub fn unref(&self) {
        self.waiting.timeout.unref();
    }

    /// Lets the interval keep the isolate alive, as it does at first.
    pub fn ref_(&self) {
        self.waiting.timeout.ref_();
    }
}

/// Runs `future` for at most `duration`.
///
/// # Errors
/// `ETIMEDOUT` when it takes longer; the future is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Error> {
    let mut future = std::pin::pin!(future);
    let mut sleep = std::pin::pin!(sleep(duration));
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let over = sleep.as_mut().poll(context);
        over.map(|()| {
            Err(Error::with_code(
                nodule_abi::error::ErrorCode::Etimedout,
                "the operation timed out",
            ))
        })
    })
    .await
}
