//! Isolates that wake each other take turns on one OS thread without the executor in between.
//!
//! The executor lets tasks that wake each other run in a row three times; then it queues the woken one and wakes another
//! thread, which takes it away. For two isolates that talk that is a system call and a cold cache every few messages:
//! twice the time of a round trip. So an isolate that is woken by one that is running on this thread waits in a slot of
//! the thread, and runs when the other one parks. Only one waits there, and only for a short time isolates follow each
//! other so: others of the executor get their turn.
//!
//! One that computes on after it woke another must not keep it waiting while a processor is idle. Whether it will cannot be
//! known, so it is taken for what it did last: after a long turn, the isolates that it wakes go to other threads at once.
//! The first that it wakes so waits until the next tick.
//!
//! The task of an isolate (a [`HandOver`]) owns it all the time; what runs elsewhere is a poll of its body.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::spawn_tied::Tied;

/// How long isolates follow each other on a thread before the executor has its turn.
const RUN_MAX: Duration = Duration::from_micros(100);

/// Turns that are longer are those of an isolate that computes.
const TALK_MAX: Duration = Duration::from_micros(200);

/// Waits for somebody to wake it.
const IDLE: u8 = 0;
/// Was woken: its task is, or it lies in the slot of a thread.
const WOKEN: u8 = 1;
/// A thread polls it.
const RUNNING: u8 = 2;
/// A thread polls it, and it was woken meanwhile.
const RUNNING_WOKEN: u8 = 3;

/// The slot of a thread.
#[derive(Default)]
struct Slot {
    /// Whether a task polls bodies on this thread, and so looks into the slot afterwards.
    is_open: bool,
    next: Option<Arc<dyn Passenger>>,
    /// Whether the body that is polled computes.
    computes: bool,
    /// Whether it woke another one.
    has_woken: bool,
}

thread_local! {
    static SLOT: RefCell<Slot> = RefCell::default();
}

/// A body, whatever it gives.
trait Passenger: Send + Sync {
    /// Polls it if it was woken; gives when the turn ended that began at `start`.
    fn run(self: Arc<Self>, start: Instant) -> Instant;
    /// Lets its own task poll it.
    fn wake_task(&self);
}

enum Inner<T> {
    Running(Pin<Box<dyn Future<Output = T> + Send>>),
    Done(T),
    Panicked(Box<dyn Any + Send>),
    Gone,
}

struct Body<T> {
    state: AtomicU8,
    /// Its last turn in which it woke another one was a long one.
    computes: AtomicBool,
    inner: Mutex<Inner<T>>,
    task: Mutex<Option<Waker>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> Passenger for Body<T> {
    fn run(self: Arc<Self>, start: Instant) -> Instant {
        let begins = self
            .state
            .compare_exchange(WOKEN, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        if begins.is_err() {
            // Its task was faster, or it has ended.
            return start;
        }
        SLOT.with_borrow_mut(|slot| {
            slot.computes = self.computes.load(Ordering::Relaxed);
            slot.has_woken = false;
        });
        let waker = Waker::from(Arc::clone(&self));
        let mut inner = lock(&self.inner);
        let Inner::Running(future) = &mut *inner else {
            return start;
        };
        let future = future.as_mut();
        // A panic is that of this isolate's task, not of the one that polls it.
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(&mut Context::from_waker(&waker))));
        let end = Instant::now();
        if SLOT.with_borrow(|slot| slot.has_woken) {
            self.computes.store(end - start > TALK_MAX, Ordering::Relaxed);
        }
        let ended = match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(output)) => Some(Inner::Done(output)),
            Err(panic) => Some(Inner::Panicked(panic)),
        };
        if let Some(ended) = ended {
            let future = std::mem::replace(&mut *inner, ended);
            drop(inner);
            drop(future);
            self.wake_task();
            return end;
        }
        drop(inner);
        let parks = self
            .state
            .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if parks.is_err() {
            self.state.store(WOKEN, Ordering::Release);
            // It has more to do: behind the others.
            self.wake_task();
        }
        end
    }

    fn wake_task(&self) {
        let task = lock(&self.task).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<T: Send + 'static> Wake for Body<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                IDLE => Some(WOKEN),
                RUNNING => Some(RUNNING_WOKEN),
                _ => None,
            });
        if woken != Ok(IDLE) {
            return;
        }
        // Not there while a thread ends.
        let place = SLOT.try_with(|slot| {
            let mut slot = slot.borrow_mut();
            slot.has_woken = true;
            if !slot.is_open {
                return Place::Executor;
            }
            if slot.computes {
                return Place::OtherThread;
            }
            if slot.next.is_some() {
                return Place::Executor;
            }
            slot.next = Some(Arc::<Self>::clone(self));
            Place::Slot
        });
        match place {
            Ok(Place::Slot) => {}
            Ok(Place::Executor) | Err(_) => self.wake_task(),
            Ok(Place::OtherThread) => {
                self.wake_task();
                let_others_take();
            }
        }
    }
}

/// Where a body goes that was woken.
enum Place {
    Slot,
    Executor,
    OtherThread,
}

/// Makes the executor offer what this thread woke last to other threads. It keeps that for itself until something else is
/// woken here, so this is something else.
fn let_others_take() {
    drop(Tied::spawn(std::future::ready(())));
}

/// An isolate was started on this thread: when the one that did it computes, another thread runs it.
pub fn has_started() {
    // Not there while a thread ends.
    let computes = SLOT.try_with(|slot| {
        let mut slot = slot.borrow_mut();
        slot.has_woken = true;
        slot.is_open && slot.computes
    });
    if computes == Ok(true) {
        let_others_take();
    }
}

/// The slot of this thread, open until this is dropped.
struct OpenSlot(());

impl OpenSlot {
    /// `None` when it is open already: a task polled inside of another one.
    fn open() -> Option<Self> {
        SLOT.with(|slot| !std::mem::replace(&mut slot.borrow_mut().is_open, true))
            .then_some(Self(()))
    }

    fn take(&self) -> Option<Arc<dyn Passenger>> {
        SLOT.with(|slot| slot.borrow_mut().next.take())
    }
}

impl Drop for OpenSlot {
    fn drop(&mut self) {
        let next = SLOT.with(|slot| {
            let mut slot = slot.borrow_mut();
            slot.is_open = false;
            slot.next.take()
        });
        if let Some(next) = next {
            next.wake_task();
        }
    }
}

/// The task of an isolate.
pub struct HandOver<T: Send + 'static>(Arc<Body<T>>);

impl<T: Send + 'static> HandOver<T> {
    /// A task that runs `future`.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Arc::new(Body {
            state: AtomicU8::new(WOKEN),
            computes: AtomicBool::new(false),
            inner: Mutex::new(Inner::Running(Box::pin(future))),
            task: Mutex::new(None),
        }))
    }
}

impl<T: Send + 'static> Future for HandOver<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let body = &self.0;
        {
            let mut task = lock(&body.task);
            if !task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
                *task = Some(context.waker().clone());
            }
        }
        match OpenSlot::open() {
            Some(slot) => {
                let start = Instant::now();
                let mut now = Arc::clone(body).run(start);
                while now - start < RUN_MAX && tokio::task::coop::has_budget_remaining() {
                    let Some(next) = slot.take() else { break };
                    now = next.run(now);
                }
            }
            None => {
                Arc::clone(body).run(Instant::now());
            }
        }
        // Polled elsewhere it is not over, or wakes this task when it is.
        let Ok(mut inner) = body.inner.try_lock() else {
            return Poll::Pending;
        };
        match std::mem::replace(&mut *inner, Inner::Gone) {
            Inner::Done(output) => Poll::Ready(output),
            Inner::Panicked(panic) => {
                drop(inner);
                resume_unwind(panic)
            }
            running @ (Inner::Running(_) | Inner::Gone) => {
                *inner = running;
                Poll::Pending
            }
        }
    }
}

/// What is left of the isolate goes with its task; a poll elsewhere ends first.
impl<T: Send + 'static> Drop for HandOver<T> {
    fn drop(&mut self) {
        let inner = std::mem::replace(&mut *lock(&self.0.inner), Inner::Gone);
        drop(inner);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
