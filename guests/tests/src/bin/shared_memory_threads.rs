//! Threads that share a buffer: sums, locks, queues, ends of holders. The argument names the case.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use nodule_sdk::shared_memory::{
    Atomics, Condvar, Locked, MpmcRing, Mutex, OnceCell, RobustMutex, Semaphore, SharedBuffer, SpscRing,
};
use nodule_sdk::worker_threads::{self, Source, Worker, WorkerOptions};
use nodule_sdk::{Result, task, timers};
use serde::{Deserialize, Serialize};

const THREADS: u32 = 4;
const ROUNDS: u32 = 20_000;
/// Where the locks of a case lie, and words that they protect.
const LOCK: usize = 0;
const COUNTER: usize = 64;
const RING: usize = 128;
const RING_CAPACITY: u32 = 64;

#[derive(Serialize, Deserialize)]
struct Task {
    case: String,
    number: u32,
    buffer: SharedBuffer,
}

fn counter(buffer: &SharedBuffer, at: usize) -> &std::sync::atomic::AtomicU32 {
    &buffer.as_u32()[COUNTER / 4 + at]
}

/// Adds without an atomic addition: others must be kept out.
fn bump(buffer: &SharedBuffer) {
    let cell = counter(buffer, 0);
    cell.store(cell.load(SeqCst) + 1, SeqCst);
}

fn mutex(buffer: &SharedBuffer) -> Result<()> {
    let lock = Mutex::at(buffer, LOCK)?;
    for _ in 0..ROUNDS {
        let _guard = lock.lock()?;
        bump(buffer);
    }
    Ok(())
}

fn robust(buffer: &SharedBuffer) -> Result<()> {
    let lock = RobustMutex::at(buffer, LOCK)?;
    for _ in 0..ROUNDS {
        let _guard = lock.lock()?.into_result()?;
        bump(buffer);
    }
    Ok(())
}

fn semaphore(buffer: &SharedBuffer) -> Result<()> {
    let permits = Semaphore::at(buffer, LOCK)?;
    for _ in 0..ROUNDS / 10 {
        permits.acquire()?;
        let inside = Atomics::add(buffer.as_u32(), COUNTER / 4 + 1, 1)? + 1;
        if inside > 2 {
            counter(buffer, 2).store(inside, SeqCst);
        }
        Atomics::add(buffer.as_u32(), COUNTER / 4, 1)?;
        Atomics::sub(buffer.as_u32(), COUNTER / 4 + 1, 1)?;
        permits.release(1);
    }
    Ok(())
}

/// Threads take turns.
fn condvar(buffer: &SharedBuffer, number: u32) -> Result<()> {
    let (lock, changed) = (Mutex::at(buffer, LOCK)?, Condvar::at(buffer, LOCK + 4)?);
    for round in 0..100 {
        let mut guard = lock.lock()?;
        while counter(buffer, 0).load(SeqCst) != round * THREADS + number {
            guard = changed.wait(guard)?;
        }
        bump(buffer);
        changed.notify_all();
        drop(guard);
    }
    Ok(())
}

fn once(buffer: &SharedBuffer) -> Result<()> {
    let cell = OnceCell::at(buffer, LOCK)?;
    let value = cell.get_or_try_init(|| {
        bump(buffer);
        Ok(42)
    })?;
    assert_eq!(value, 42);
    Ok(())
}

/// Even threads add records, odd ones take them.
fn mpmc(buffer: &SharedBuffer, number: u32) -> Result<()> {
    let ring = MpmcRing::at(buffer, RING, 8, RING_CAPACITY)?;
    for round in 0..u64::from(ROUNDS) {
        let mut record = round.to_le_bytes();
        if number % 2 == 0 {
            ring.push(&record, None)?;
        } else {
            ring.pop(&mut record, None)?;
            Atomics::add(buffer.as_u64(), COUNTER / 8, u64::from_le_bytes(record))?;
        }
    }
    Ok(())
}

fn spsc(buffer: &SharedBuffer, number: u32) -> Result<()> {
    let ring = SpscRing::at(buffer, RING + 4096 * (number as usize / 2), 8, RING_CAPACITY)?;
    for round in 0..u64::from(ROUNDS) {
        let mut record = round.to_le_bytes();
        if number % 2 == 0 {
            ring.push(&record, None)?;
        } else {
            ring.pop(&mut record, None)?;
            assert_eq!(u64::from_le_bytes(record), round, "in order");
            Atomics::add(buffer.as_u64(), COUNTER / 8, round)?;
        }
    }
    Ok(())
}

fn work(task: &Task) -> Result<()> {
    let buffer = &task.buffer;
    match task.case.as_str() {
        "atomics" => {
            for _ in 0..5 * ROUNDS {
                Atomics::add(buffer.as_u32(), COUNTER / 4, 1)?;
            }
            Ok(())
        }
        "mutex" => mutex(buffer),
        "robust" => robust(buffer),
        "semaphore" => semaphore(buffer),
        "condvar" => condvar(buffer, task.number),
        "once" => once(buffer),
        "mpmc" => mpmc(buffer, task.number),
        "spsc" => spsc(buffer, task.number),
        "hold" | "panic" => {
            let locked = RobustMutex::at(buffer, LOCK)?;
            let _guard = locked.lock()?;
            let in_once = || {
                counter(buffer, 0).store(1, SeqCst);
                Atomics::notify(buffer.as_u32(), COUNTER / 4, 1)?;
                if task.case == "panic" {
                    panic!("while holding");
                }
                Atomics::wait(buffer.as_u32(), COUNTER / 4 + 8, 0, None)?;
                Ok(1)
            };
            OnceCell::at(buffer, LOCK + 16)?.get_or_try_init(in_once).map(drop)
        }
        _ => Atomics::wait(buffer.as_u32(), COUNTER / 4, 0, None).map(|result| println!("{}", result.name())),
    }
}

fn start(case: &str, number: u32, buffer: &SharedBuffer) -> Result<Worker> {
    let task = Task {
        case: case.to_owned(),
        number,
        buffer: buffer.clone(),
    };
    Worker::new(Source::Current, WorkerOptions::new().worker_data(&task))
}

/// Takes over what a thread held that ended.
async fn holder_ends(case: &str, buffer: &SharedBuffer) -> Result<()> {
    let holder = start(case, 0, buffer)?;
    holder.on_error(|error| println!("error {}", error.name()));
    Atomics::wait_async(buffer.as_u32(), COUNTER / 4, 0, Some(Duration::from_secs(30)))?.await;
    if case == "hold" {
        let terminated = holder.clone();
        task::spawn(async move { terminated.terminate().await });
    }
    holder.join().await;
    let lock = RobustMutex::at(buffer, LOCK)?;
    match lock.lock()? {
        Locked::Clean(_) => println!("clean"),
        Locked::OwnerDead(guard) => {
            println!("owner dead");
            guard.make_consistent();
        }
    }
    println!("clean again {}", lock.lock()?.into_result().is_ok());
    println!("made {}", OnceCell::at(buffer, LOCK + 16)?.get_or_try_init(|| Ok(7))?);
    Ok(())
}

async fn waiters_end(buffer: &SharedBuffer) -> Result<()> {
    let workers: Vec<_> = (0..3).map(|n| start("wait", n, buffer)).collect::<Result<_>>()?;
    // Parked by then, whatever the machine does; the notifications say how many are.
    timers::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    println!("code {:?}", workers[0].terminate().await);
    println!("fast {}", begin.elapsed() < Duration::from_secs(1));
    let woken = Atomics::notify(buffer.as_u32(), COUNTER / 4, Atomics::ALL)?;
    let codes = (workers[1].join().await, workers[2].join().await);
    println!("woken {woken}");
    println!("codes {} {}", codes.0, codes.1);
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return work(&worker_threads::worker_data()?);
    }
    let case = std::env::args().nth(1).unwrap_or_default();
    let buffer = SharedBuffer::new(16 * 1024)?;
    match case.as_str() {
        "hold" | "panic" => return holder_ends(&case, &buffer).await,
        "wait" => return waiters_end(&buffer).await,
        "semaphore" => Semaphore::at(&buffer, LOCK)?.release(2),
        _ => {}
    }
    let workers: Vec<_> = (0..THREADS).map(|n| start(&case, n, &buffer)).collect::<Result<_>>()?;
    for worker in &workers {
        let code = worker.join().await;
        if code != 0 {
            println!("code {code}");
        }
    }
    println!(
        "{case} {} {}",
        buffer.as_u64()[COUNTER / 8].load(SeqCst),
        counter(&buffer, 2).load(SeqCst)
    );
    Ok(())
}

const _: () = assert!(RING + 2 * 4096 <= 16 * 1024 && SpscRing::bytes(8, RING_CAPACITY) <= 4096);
const _: () = assert!(MpmcRing::bytes(8, RING_CAPACITY) <= 4096);
