//! Isolates that wake each other take turns on one OS thread without the executor in between.
//!
//! The executor lets tasks that wake each other run in a row three times; then it queues the woken one and wakes another
//! thread, which takes it away. For two isolates that talk that is a system call and a cold cache every few messages:
//! twice the time of a round trip. So an isolate that is woken by one that is running on this thread waits in a slot of
//! the thread, and runs when the other one parks. Only one waits there; only for a short time isolates follow each other
//! so, and never one that computed for longer: others of the executor get their turn, and other threads their work.
//!
//! The task of an isolate (a [`HandOver`]) owns it all the time; what runs elsewhere is a poll of its body.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// How long isolates follow each other on a thread before the executor has its turn.
const RUN_MAX: Duration = Duration::from_micros(100);

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
}

thread_local! {
    static SLOT: RefCell<Slot> = RefCell::default();
}

/// A body, whatever it gives.
trait Passenger: Send + Sync {
    /// Polls it if it was woken.
    fn run(self: Arc<Self>);
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
    inner: Mutex<Inner<T>>,
    task: Mutex<Option<Waker>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> Passenger for Body<T> {
    fn run(self: Arc<Self>) {
        let begins = self
            .state
            .compare_exchange(WOKEN, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        if begins.is_err() {
            // Its task was faster, or it has ended.
            return;
        }
        let waker = Waker::from(Arc::clone(&self));
        let mut inner = lock(&self.inner);
        let Inner::Running(future) = &mut *inner else { return };
        let future = future.as_mut();
        // A panic is that of this isolate's task, not of the one that polls it.
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(&mut Context::from_waker(&waker))));
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
            return;
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
        let is_in_slot = SLOT.try_with(|slot| {
            let mut slot = slot.borrow_mut();
            let is_free = slot.is_open && slot.next.is_none();
            if is_free {
                slot.next = Some(Arc::<Self>::clone(self));
            }
            is_free
        });
        if is_in_slot != Ok(true) {
            self.wake_task();
        }
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
                Arc::clone(body).run();
                while start.elapsed() < RUN_MAX && tokio::task::coop::has_budget_remaining() {
                    let Some(next) = slot.take() else { break };
                    next.run();
                }
            }
            None => Arc::clone(body).run(),
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
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread::ThreadId;

    use super::*;

    /// Two tasks and whose turn it is.
    #[derive(Default)]
    struct Table {
        ball: AtomicUsize,
        wakers: [Mutex<Option<Waker>>; 2],
        threads: Mutex<Vec<ThreadId>>,
    }

    /// Plays until the ball went `rounds` times over the net; the other one is woken at each stroke.
    fn player(table: Arc<Table>, me: usize, rounds: usize) -> impl Future<Output = usize> {
        std::future::poll_fn(move |context| {
            *lock(&table.wakers[me]) = Some(context.waker().clone());
            let ball = table.ball.load(Ordering::SeqCst);
            if ball % 2 != me && ball < rounds {
                return Poll::Pending;
            }
            table.ball.store(ball + 1, Ordering::SeqCst);
            lock(&table.threads).push(std::thread::current().id());
            if let Some(other) = lock(&table.wakers[1 - me]).take() {
                other.wake();
            }
            if ball >= rounds { Poll::Ready(me) } else { Poll::Pending }
        })
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn two_that_wake_each_other_end_and_mostly_stay_on_a_thread() {
        const ROUNDS: usize = 100_000;
        let table = Arc::new(Table::default());
        let ended = runtime().block_on(async {
            let players = [0, 1].map(|me| tokio::spawn(HandOver::new(player(Arc::clone(&table), me, ROUNDS))));
            let [first, second] = players;
            [first.await.unwrap(), second.await.unwrap()]
        });
        assert_eq!(ended, [0, 1]);
        let threads = lock(&table.threads);
        let changes = threads.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes < ROUNDS / 10, "{changes} changes of the thread");
    }

    #[test]
    fn a_panic_is_that_of_its_own_task() {
        let wakers = Arc::new(Mutex::new(None::<Waker>));
        let [set, used] = [(); 2].map(|()| Arc::clone(&wakers));
        runtime().block_on(async move {
            let mut polls = 0;
            let failing = tokio::spawn(HandOver::new(std::future::poll_fn(move |context| {
                polls += 1;
                assert!(polls < 2, "on purpose");
                *lock(&set) = Some(context.waker().clone());
                Poll::<()>::Pending
            })));
            // Wakes the other one from inside of its own turn.
            let waking = tokio::spawn(HandOver::new(async move {
                loop {
                    let waker = lock(&used).take();
                    if let Some(waker) = waker {
                        waker.wake();
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                7
            }));
            assert_eq!(waking.await.unwrap(), 7);
            assert!(failing.await.unwrap_err().is_panic());
        });
    }

    #[test]
    fn what_is_aborted_is_dropped() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        runtime().block_on(async move {
            let task = tokio::spawn(HandOver::new(async move {
                std::future::pending::<()>().await;
                drop(inside);
            }));
            tokio::task::yield_now().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(Arc::strong_count(&held), 1);
        });
    }

    #[test]
    fn random_wakes_are_never_lost() {
        const TASKS: usize = 8;
        const TURNS: usize = 2_000;
        struct Crowd {
            tokens: [AtomicUsize; TASKS],
            wakers: [Mutex<Option<Waker>>; TASKS],
        }
        let crowd = Arc::new(Crowd {
            tokens: [const { AtomicUsize::new(0) }; TASKS],
            wakers: [const { Mutex::new(None) }; TASKS],
        });
        crowd.tokens[0].store(1, Ordering::SeqCst);
        // A token wanders; who holds it wakes the next one. A wake that is lost ends the walk.
        let walk = |me: usize| {
            let crowd = Arc::clone(&crowd);
            let mut turns = 0;
            std::future::poll_fn(move |context| {
                *lock(&crowd.wakers[me]) = Some(context.waker().clone());
                while crowd.tokens[me].swap(0, Ordering::SeqCst) == 1 {
                    turns += 1;
                    let next = if turns % 3 == 0 {
                        (me + 1) % TASKS
                    } else {
                        (me + TASKS / 2 + 1) % TASKS
                    };
                    crowd.tokens[next].store(1, Ordering::SeqCst);
                    if let Some(waker) = lock(&crowd.wakers[next]).as_ref() {
                        waker.wake_by_ref();
                    }
                    if turns == TURNS {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending
            })
        };
        runtime().block_on(async {
            let tasks: Vec<_> = (0..TASKS).map(|me| tokio::spawn(HandOver::new(walk(me)))).collect();
            // The first that is done breaks the ring; that it is done is what counts.
            let all = futures_first(tasks);
            tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
        });
    }

    /// Waits until one of the tasks is done, and aborts the others.
    async fn futures_first(mut tasks: Vec<tokio::task::JoinHandle<()>>) {
        std::future::poll_fn(|context| {
            let mut done = tasks.iter_mut().map(|task| Pin::new(task).poll(context).is_ready());
            if done.any(|is_done| is_done) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
