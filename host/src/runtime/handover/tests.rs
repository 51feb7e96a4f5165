//! Tasks that wake each other.

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
fn one_that_computes_on_does_not_keep_whom_it_woke() {
    const ROUNDS: usize = 100;
    if std::thread::available_parallelism().is_ok_and(|threads| threads.get() < 2) {
        // There is nobody else to run it.
        return;
    }
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let [seen, set] = [Arc::clone(&asked), Arc::clone(&answered)];
    let own = Arc::clone(&waker);
    let answering = std::future::poll_fn(move |context| {
        *lock(&own) = Some(context.waker().clone());
        set.store(seen.load(Ordering::SeqCst), Ordering::SeqCst);
        Poll::<()>::Pending
    });
    let asking = async move {
        let mut in_turn = 0;
        for round in 1..=ROUNDS {
            asked.store(round, Ordering::SeqCst);
            if let Some(waker) = lock(&waker).clone() {
                waker.wake();
            }
            // As a guest that computes: it gives way only at a tick, here a late one.
            let tick = Instant::now() + Duration::from_millis(20);
            while answered.load(Ordering::SeqCst) != round && Instant::now() < tick {
                std::hint::spin_loop();
            }
            in_turn += usize::from(answered.load(Ordering::SeqCst) == round);
            while answered.load(Ordering::SeqCst) != round {
                tokio::task::yield_now().await;
            }
        }
        in_turn
    };
    let in_turn = runtime().block_on(async {
        let answering = tokio::spawn(HandOver::new(answering));
        let in_turn = tokio::spawn(HandOver::new(asking)).await.unwrap();
        answering.abort();
        in_turn
    });
    assert!(in_turn > ROUNDS / 2, "{in_turn}");
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
