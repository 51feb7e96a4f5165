//! Tasks: futures the event loop runs, and their join handles.
//!
//! A task is polled when something woke it, after the tick queue is empty and before the next event. A task that returns
//! `Err`, is a *rejected promise* in Node's words: see [`crate::process::on_unhandled_rejection`] for what happens when
//! nobody awaits it. A task that traps or panics is an uncaught exception, and its handle gives that error as well.
//!
//! ```no_run
//! # #[nodule_sdk::main]
//! # async fn main() -> nodule_sdk::Result<()> {
//! use nodule_sdk::task;
//!
//! let answer = task::spawn_named("adder", async { Ok::<_, nodule_sdk::Error>(40 + 2) });
//! assert_eq!(answer.await?, 42);
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::error::Error;
use crate::sys::IsolateCell;

mod join;
mod outcome;
mod owned;

pub(crate) use join::Join;
pub use join::JoinHandle;
pub use outcome::Outcome;
pub(crate) use owned::OwnedHandle;

/// Number of a task; also what stands for the promise in `unhandledRejection` and `rejectionHandled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The future of a task; it puts its result where the join handle finds it.
type Body = Pin<Box<dyn Future<Output = ()>>>;

/// How the executor tells a task that it will never complete.
pub(crate) trait Control {
    /// The task ended with this error.
    fn fail(&self, error: Error);
}

thread_local! {
    static TASKS: IsolateCell<Tasks> = const { IsolateCell::new(Tasks::new()) };
}

/// Place of a task; `generation` tells tasks apart that had the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: usize,
    generation: u32,
}

struct Slot {
    generation: u32,
    /// In the ready queue.
    queued: bool,
    task: Option<Task>,
}

struct Task {
    id: TaskId,
    name: Option<Rc<str>>,
    control: Rc<dyn Control>,
    waker: Waker,
    /// Absent while it is polled: a trap then takes it along with the frames.
    future: Option<Body>,
}

struct Tasks {
    slots: Vec<Slot>,
    free: Vec<usize>,
    ready: VecDeque<Key>,
    /// The task that is being polled.
    current: Option<Key>,
    next_id: u64,
}

impl Tasks {
    const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            current: None,
            next_id: 1,
        }
    }

    fn next_id(&mut self) -> TaskId {
        let id = TaskId(self.next_id);
        self.next_id += 1;
        id
    }

    fn insert(&mut self, make: impl FnOnce(Key) -> Task) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                queued: false,
                task: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        let key = Key {
            index,
            generation: slot.generation,
        };
        slot.task = Some(make(key));
        slot.queued = true;
        self.ready.push_back(key);
        key
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots
            .get_mut(key.index)
            .filter(|slot| slot.generation == key.generation)
    }

    fn schedule(&mut self, key: Key) {
        let Some(slot) = self.slot(key) else { return };
        if !std::mem::replace(&mut slot.queued, true) {
            self.ready.push_back(key);
        }
    }

    /// Takes a task out for good.
    fn remove(&mut self, key: Key) -> Option<Task> {
        let slot = self.slot(key)?;
        let task = slot.task.take();
        slot.generation = slot.generation.wrapping_add(1);
        slot.queued = false;
        self.free.push(key.index);
        task
    }

    /// The next ready task, marked as the current one.
    fn start_next(&mut self) -> Option<(Key, Body, Waker)> {
        while let Some(key) = self.ready.pop_front() {
            let Some(slot) = self.slot(key) else { continue };
            slot.queued = false;
            let Some(task) = &mut slot.task else { continue };
            if let Some(future) = task.future.take() {
                let waker = task.waker.clone();
                self.current = Some(key);
                return Some((key, future, waker));
            }
        }
        None
    }
}

struct TaskWaker(Key);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        TASKS.with(|tasks| tasks.with(|tasks| tasks.schedule(self.0)));
    }
}

/// Runs `future` beside the others. It starts in this turn, after the pending ticks.
pub fn spawn<F>(future: F) -> JoinHandle<<F::Output as Outcome>::Value>
where
    F: Future + 'static,
    F::Output: Outcome,
{
    spawn_as(None, future)
}

/// As [`spawn`], under a name that messages about the task use.
pub fn spawn_named<F>(name: impl Into<Rc<str>>, future: F) -> JoinHandle<<F::Output as Outcome>::Value>
where
    F: Future + 'static,
    F::Output: Outcome,
{
    spawn_as(Some(name.into()), future)
}

fn spawn_as<F>(name: Option<Rc<str>>, future: F) -> JoinHandle<<F::Output as Outcome>::Value>
where
    F: Future + 'static,
    F::Output: Outcome,
{
    let id = TASKS.with(|tasks| tasks.with(Tasks::next_id));
    let join = Rc::new(Join::new(id, name.clone()));
    let settle = Rc::clone(&join);
    let body = async move {
        let outcome = future.await.into_result();
        settle.settle(outcome);
    };
    let key = start(id, name, Rc::clone(&join) as Rc<dyn Control>, body);
    JoinHandle::new(join, key)
}

/// Puts a task into the executor.
fn start(id: TaskId, name: Option<Rc<str>>, control: Rc<dyn Control>, body: impl Future<Output = ()> + 'static) -> Key {
    let future: Body = Box::pin(body);
    TASKS.with(|tasks| {
        tasks.with(|tasks| {
            tasks.insert(|key| Task {
                id,
                name,
                control,
                waker: Waker::from(Arc::new(TaskWaker(key))),
                future: Some(future),
            })
        })
    })
}

/// Starts the task of the program's `main`.
pub(crate) fn start_main(control: Rc<dyn Control>, body: impl Future<Output = ()> + 'static) {
    let id = TASKS.with(|tasks| tasks.with(Tasks::next_id));
    start(id, Some(Rc::from("main")), control, body);
}

/// Polls the next ready task and gives whether there was one.
pub(crate) fn poll_next() -> bool {
    let Some((key, mut future, waker)) = TASKS.with(|tasks| tasks.with(Tasks::start_next)) else {
        return false;
    };
    let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
    let mut future = Some(future);
    let finished = TASKS.with(|tasks| {
        tasks.with(|tasks| {
            tasks.current = None;
            if poll.is_ready() {
                return tasks.remove(key);
            }
            // Not there any more when it was aborted meanwhile.
            if let Some(task) = tasks.slot(key).and_then(|slot| slot.task.as_mut()) {
                task.future = future.take();
            }
            None
        })
    });
    // Both run code of the guest's author, outside the use of the executor.
    drop(future);
    drop(finished);
    true
}

/// Marks the task that was running when its frames vanished as failed.
pub(crate) fn fail_current(error: &Error) {
    let failed = TASKS.with(|tasks| {
        tasks.with(|tasks| {
            let key = tasks.current.take()?;
            Some((key, tasks.remove(key)))
        })
    });
    let Some((key, task)) = failed else { return };
    owned::abandon(key);
    if let Some(task) = task {
        task.control.fail(error.clone());
    }
}

/// Drops a task; its handle gives an `AbortError`.
fn abort(key: Key) {
    let aborted = TASKS.with(|tasks| tasks.with(|tasks| tasks.remove(key)));
    if let Some(task) = aborted {
        let Task { control, future, .. } = task;
        drop(future);
        control.fail(crate::abort::abort_error());
    }
}

/// Names of the tasks that are not finished.
pub(crate) fn pending_names() -> Vec<String> {
    TASKS.with(|tasks| {
        tasks.with(|tasks| {
            let pending = tasks.slots.iter().filter_map(|slot| slot.task.as_ref());
            pending
                .map(|task| {
                    task.name
                        .as_ref()
                        .map_or_else(|| format!("task {}", task.id), ToString::to_string)
                })
                .collect()
        })
    })
}

/// Lets other tasks and events have a turn: completes in the check phase of the loop, where immediates run.
pub async fn yield_now() {
    crate::timers::immediate().await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::task::Poll;

    use super::*;

    /// A future that is pending once after having woken its task.
    struct WakeOnce(bool);

    impl Future for WakeOnce {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }

    fn run() {
        while poll_next() {}
    }

    #[test]
    fn ready_tasks_run_in_the_order_they_were_woken() {
        let trace: Rc<RefCell<Vec<String>>> = Rc::default();
        for name in ["a", "b"] {
            let trace = Rc::clone(&trace);
            spawn(async move {
                trace.borrow_mut().push(format!("{name}1"));
                WakeOnce(false).await;
                trace.borrow_mut().push(format!("{name}2"));
            });
        }
        run();
        assert_eq!(*trace.borrow(), ["a1", "b1", "a2", "b2"]);
        assert!(pending_names().is_empty());
    }

    #[test]
    fn an_aborted_task_gives_an_abort_error() {
        let stuck = spawn_named("stuck", std::future::pending::<()>());
        run();
        assert_eq!(pending_names(), ["stuck"]);
        stuck.abort();
        let seen: Rc<RefCell<Option<Error>>> = Rc::default();
        let copy = Rc::clone(&seen);
        spawn(async move { *copy.borrow_mut() = stuck.await.err() });
        run();
        assert!(seen.borrow().as_ref().is_some_and(|error| error.is_code("ABORT_ERR")));
    }

    #[test]
    fn a_task_that_vanished_fails_and_its_place_is_used_again() {
        let seen: Rc<RefCell<Option<Error>>> = Rc::default();
        let copy = Rc::clone(&seen);
        let task = spawn(async {
            // As in a trap: the hook runs while the task is current, its frames never return.
            fail_current(&Error::new("boom"));
        });
        spawn(async move { *copy.borrow_mut() = task.await.err() });
        run();
        assert_eq!(seen.borrow().as_ref().map(Error::message), Some("boom"));
    }
}
