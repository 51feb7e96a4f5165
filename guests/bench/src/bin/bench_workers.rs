//! Workers and their messages: `bench_workers <work> <count>...` prints one sample a line: times in ns, rates in
//! things a second, sizes in bytes. The same works as `workers.cjs` for JavaScript runtimes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nodule_sdk::promise::{self, Promise, Resolver};
use nodule_sdk::shared_memory::{Atomics, SharedBuffer};
use nodule_sdk::worker_threads::{
    self, ArrayBuffer, BroadcastChannel, MessagePort, Source, Worker, WorkerOptions, on_thread_message,
    post_message_to_thread,
};
use nodule_sdk::{Result, process, timers};
use serde::{Deserialize, Serialize};

/// Round trips that are timed together: asking for the time is not what is measured.
const BATCH: u32 = 500;
/// Long enough for a worker to be in its loop or in its wait.
const SETTLE: Duration = Duration::from_millis(5);
const TICK: Duration = Duration::from_millis(1);

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if let Some(parent) = worker_threads::parent_port() {
        return as_worker(&worker_threads::worker_data::<String>()?, &parent);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    match arguments.first().map_or("", String::as_str) {
        "exit" => spawn_to_exit(number(1)).await,
        "first" => spawn_to_message(number(1)).await,
        "live" => {
            live(
                number(1),
                Duration::from_millis(arguments.get(2).map_or(0, |_| number(2).into())),
            )
            .await
        }
        "ping" => ping_pong(number(1), &[7_u8; 32].map(char::from).iter().collect::<String>()).await,
        "value" => ping_pong(number(1), &Order::example()).await,
        "flood" => flood(number(1), number(2)).await,
        "broadcast" => broadcast(number(1), number(2)).await,
        "terminate-busy" => terminate("busy", number(1)).await,
        "terminate-parked" => terminate("parked", number(1)).await,
        "drift" => drift(number(1)).await,
        "thread" => thread_messages(number(1)).await,
        "transfer" => transfer(number(1), number(2)).await,
        "wake" => wake(number(1), false).await,
        "wake-busy" => wake(number(1), true).await,
        "counter" => counter(number(1), number(2)).await,
        work => Err(nodule_sdk::Error::new(format!("no such work: {work}"))),
    }
}

/// What a worker does.
fn as_worker(work: &str, parent: &MessagePort) -> Result<()> {
    let port = parent.clone();
    let post = move |value: u32| port.post_message(&value).map(drop);
    match work {
        "empty" => {}
        "hello" => post(1)?,
        "live" => {
            parent.on_message(|_: u32| {});
            post(1)?;
        }
        "text" => {
            let port = parent.clone();
            parent.on_message(move |text: String| drop(port.post_message(&text)));
        }
        "order" => {
            let port = parent.clone();
            parent.on_message(move |order: Order| drop(port.post_message(&order)));
        }
        // Counts until a 0 comes.
        "count" => {
            let count = Cell::new(0);
            parent.on_message(move |number: u32| match number {
                0 => drop(post(count.replace(0))),
                _ => count.set(count.get() + 1),
            });
        }
        "join" => {
            let channel = BroadcastChannel::new("bench");
            let answer = post.clone();
            channel.on_message(move |number: u32| drop(answer(number)));
            post(0)?;
        }
        "busy" => {
            post(1)?;
            loop {
                std::hint::spin_loop();
            }
        }
        "parked" => {
            parent.on_message(|_: u32| {});
            post(1)?;
        }
        "listen" => {
            on_thread_message(|_: u32, _| {});
            parent.on_message(|_: u32| {});
            post(1)?;
        }
        "buffer" => {
            let port = parent.clone();
            parent.on_message(move |buffer: ArrayBuffer| drop(port.post_message_with(&buffer, &[&buffer])));
        }
        "wake" => {
            let port = parent.clone();
            parent.once_message(move |buffer: SharedBuffer| drop(answer_wakes(&buffer, &port)));
        }
        "add" => {
            parent.once_message(|(buffer, additions): (SharedBuffer, u32)| drop(add(&buffer, additions)));
        }
        _ => return Err(nodule_sdk::Error::new("no such work")),
    }
    Ok(())
}

fn start(work: &str) -> Result<Worker> {
    Worker::new(Source::Current, WorkerOptions::new().worker_data(work))
}

/// Starts a worker and waits for its first message.
async fn started(work: &str) -> Result<Worker> {
    let worker = start(work)?;
    let (resolver, ready) = promise::deferred::<u32>();
    worker.once_message(move |number: u32| resolver.resolve(number));
    ready.await?;
    Ok(worker)
}

fn print_ns(time: Duration) {
    println!("{}", time.as_nanos());
}

async fn spawn_to_exit(count: u32) -> Result<()> {
    for _ in 0..count {
        let start_time = Instant::now();
        let code = start("empty")?.join().await;
        let time = start_time.elapsed();
        assert_eq!(code, 0);
        print_ns(time);
    }
    Ok(())
}

async fn spawn_to_message(count: u32) -> Result<()> {
    for _ in 0..count {
        let start_time = Instant::now();
        let worker = started("hello").await?;
        let time = start_time.elapsed();
        worker.join().await;
        print_ns(time);
    }
    Ok(())
}

/// Counts calls, and is done with the last one.
fn countdown(count: u32) -> (impl Fn() + Clone + 'static, Promise<()>) {
    let (resolver, done) = promise::deferred();
    let left = Rc::new(Cell::new(count));
    let call = move || {
        left.set(left.get() - 1);
        if left.get() == 0 {
            resolver.resolve(());
        }
    };
    (call, done)
}

/// Prints the time until all live, and the bytes each has resident; then they stay for a while, for whoever looks at
/// the process from outside.
async fn live(count: u32, stay: Duration) -> Result<()> {
    started("live").await?.terminate().await;
    let before = process::rss();
    let start_time = Instant::now();
    let (arrived, all) = countdown(count);
    let mut workers = Vec::new();
    for _ in 0..count {
        let worker = start("live")?;
        let arrived = arrived.clone();
        worker.on_message(move |_: u32| arrived());
        workers.push(worker);
    }
    all.await?;
    print_ns(start_time.elapsed());
    println!("{}", process::rss().saturating_sub(before) / u64::from(count));
    timers::sleep(stay).await;
    process::exit(0)
}

/// A value of about 1 KiB as programs send them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    is_paid: bool,
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    count: u32,
    price: f64,
}

impl Order {
    fn example() -> Self {
        let item = |number: u32| Item {
            name: format!("a thing of kind {number:04}"),
            count: number,
            price: f64::from(number) * 1.25,
        };
        Self {
            id: 1 << 40,
            customer: "somebody with a name of usual length".into(),
            is_paid: true,
            items: (0..18).map(item).collect(),
        }
    }
}

trait Work {
    const WORK: &'static str;
}

impl Work for String {
    const WORK: &'static str = "text";
}

impl Work for Order {
    const WORK: &'static str = "order";
}

/// Prints the mean round trip of each batch.
async fn ping_pong<T>(batches: u32, value: &T) -> Result<()>
where
    T: Work + Clone + PartialEq + Serialize + serde::de::DeserializeOwned + 'static,
{
    let worker = start(T::WORK)?;
    for batch in 0..=batches {
        let (resolver, done): (Resolver<()>, _) = promise::deferred();
        let left = Cell::new(BATCH);
        let port = worker.clone();
        let listener = worker.on_message(move |value: T| {
            left.set(left.get() - 1);
            match left.get() {
                0 => resolver.resolve(()),
                _ => drop(port.post_message(&value)),
            }
        });
        let start_time = Instant::now();
        worker.post_message(value)?;
        done.await?;
        let time = start_time.elapsed() / BATCH;
        listener.remove();
        if batch > 0 {
            print_ns(time);
        }
    }
    worker.terminate().await;
    Ok(())
}

/// Prints the messages a second of each round, from the first post to the answer to the last message.
async fn flood(rounds: u32, messages: u32) -> Result<()> {
    let worker = start("count")?;
    for round in 0..=rounds {
        let (resolver, done) = promise::deferred::<u32>();
        worker.once_message(move |count: u32| resolver.resolve(count));
        let start_time = Instant::now();
        for number in 1..=messages {
            if !worker.post_message(&number)? {
                // As a program that minds back-pressure.
                worker.port().post_message_async(&number).await?;
            }
        }
        worker.post_message(&0_u32)?;
        let count = done.await?;
        let time = start_time.elapsed();
        assert!(count >= messages);
        if round > 0 {
            println!("{:.0}", f64::from(count) / time.as_secs_f64());
        }
    }
    worker.terminate().await;
    Ok(())
}

/// Prints the time from a post to the last of the answers of all.
async fn broadcast(rounds: u32, members: u32) -> Result<()> {
    let mut workers = Vec::new();
    for _ in 0..members {
        workers.push(started("join").await?);
    }
    let channel = BroadcastChannel::new("bench");
    for round in 0..=rounds {
        let (arrived, all) = countdown(members);
        let listen = |worker: &Worker| {
            let arrived = arrived.clone();
            worker.once_message(move |_: u32| arrived());
        };
        workers.iter().for_each(listen);
        let start_time = Instant::now();
        channel.post_message(&round)?;
        all.await?;
        if round > 0 {
            print_ns(start_time.elapsed());
        }
    }
    process::exit(0)
}

async fn terminate(work: &str, count: u32) -> Result<()> {
    for run in 0..count {
        let worker = started(work).await?;
        timers::sleep(SETTLE).await;
        // At every distance from a tick.
        let settled = Instant::now();
        while settled.elapsed() < TICK.mul_f64(f64::from(run) / f64::from(count)) {}
        let start_time = Instant::now();
        let code = worker.terminate().await;
        let time = start_time.elapsed();
        assert_eq!(code, Some(1));
        print_ns(time);
    }
    Ok(())
}

/// Prints the bytes that are resident after a tenth of the workers, and after all.
async fn drift(count: u32) -> Result<()> {
    for run in 1..=count {
        started("parked").await?.terminate().await;
        if run == count / 10 || run == count {
            println!("{}", process::rss());
        }
    }
    Ok(())
}

/// Prints the time of each message to another thread until its listener has run.
async fn thread_messages(batches: u32) -> Result<()> {
    let worker = started("listen").await?;
    let thread = u32::try_from(worker.thread_id()).unwrap_or(0);
    for batch in 0..=batches {
        let start_time = Instant::now();
        for number in 0..BATCH {
            post_message_to_thread(thread, &number, &[], None).await?;
        }
        if batch > 0 {
            print_ns(start_time.elapsed() / BATCH);
        }
    }
    worker.terminate().await;
    Ok(())
}

/// Prints the mean time of a transfer of a buffer there or back, of each batch.
async fn transfer(batches: u32, len_bytes: u32) -> Result<()> {
    const TRANSFERS: u32 = 100;
    let worker = start("buffer")?;
    for batch in 0..=batches {
        let mut buffer = ArrayBuffer::new(usize::try_from(len_bytes).unwrap_or(0));
        buffer.write(|bytes| bytes[bytes.len() - 1] = 7)?;
        let start_time = Instant::now();
        for _ in 0..TRANSFERS / 2 {
            let (resolver, back) = promise::deferred::<Option<ArrayBuffer>>();
            let resolver = Cell::new(Some(resolver));
            worker.once_message(move |buffer: ArrayBuffer| {
                if let Some(resolver) = resolver.take() {
                    resolver.resolve(Some(buffer));
                }
            });
            worker.post_message_with(&buffer, &[&buffer])?;
            buffer = back
                .await?
                .ok_or_else(|| nodule_sdk::Error::new("no buffer came back"))?;
        }
        let time = start_time.elapsed() / TRANSFERS;
        assert_eq!(buffer.read(|bytes| bytes[bytes.len() - 1])?, 7);
        if batch > 0 {
            print_ns(time);
        }
    }
    worker.terminate().await;
    Ok(())
}

/// Cells of the shared buffer: whose turn it is, or how many are ready, have begun and have ended.
const TURN: usize = 0;
const BEGIN: usize = 16;
const ENDED: usize = 32;
const SHARED_BYTES: usize = 4096;

/// Waits until the cell is `value`.
fn await_value(buffer: &SharedBuffer, cell: usize, value: i32) -> Result<()> {
    loop {
        let now = Atomics::load(buffer.as_i32(), cell)?;
        if now == value {
            return Ok(());
        }
        Atomics::wait(buffer.as_i32(), cell, now, None)?;
    }
}

fn set_value(buffer: &SharedBuffer, cell: usize, value: i32) -> Result<()> {
    Atomics::store(buffer.as_i32(), cell, value)?;
    Atomics::notify(buffer.as_i32(), cell, 1).map(drop)
}

fn answer_wakes(buffer: &SharedBuffer, port: &MessagePort) -> Result<()> {
    port.post_message(&1_u32)?;
    loop {
        await_value(buffer, TURN, 1)?;
        set_value(buffer, TURN, 0)?;
    }
}

/// Two threads that wake each other by turns: prints the mean time from a notification until the other one runs; of a
/// thread that computes until it is answered, from a notification to the answer.
async fn wake(batches: u32, is_busy: bool) -> Result<()> {
    let buffer = SharedBuffer::new(SHARED_BYTES)?;
    let worker = start("wake")?;
    let (resolver, ready) = promise::deferred::<u32>();
    worker.once_message(move |number: u32| resolver.resolve(number));
    worker.post_message(&buffer)?;
    ready.await?;
    for batch in 0..=batches {
        let start_time = Instant::now();
        for _ in 0..BATCH {
            set_value(&buffer, TURN, 1)?;
            while is_busy && Atomics::load(buffer.as_i32(), TURN)? == 1 {
                Atomics::pause();
            }
            await_value(&buffer, TURN, 0)?;
        }
        if batch > 0 {
            print_ns(start_time.elapsed() / if is_busy { BATCH } else { 2 * BATCH });
        }
    }
    worker.terminate().await;
    Ok(())
}

/// Adds to the one counter that all add to, once all are ready.
fn add(buffer: &SharedBuffer, additions: u32) -> Result<()> {
    let cells = buffer.as_i32();
    Atomics::add(cells, TURN, 1)?;
    Atomics::notify(cells, TURN, 1)?;
    await_value(buffer, BEGIN, 1)?;
    let counter = &cells[2 * ENDED];
    for _ in 0..additions {
        counter.fetch_add(1, Ordering::SeqCst);
    }
    Atomics::add(cells, ENDED, 1)?;
    Atomics::notify(cells, ENDED, 1).map(drop)
}

/// Two threads add to one counter: prints the time an addition takes each of them, contention included.
async fn counter(rounds: u32, additions: u32) -> Result<()> {
    const THREADS: i32 = 2;
    for round in 0..=rounds {
        let buffer = SharedBuffer::new(SHARED_BYTES)?;
        let mut workers = Vec::new();
        for _ in 0..THREADS {
            let worker = start("add")?;
            worker.post_message(&(&buffer, additions))?;
            workers.push(worker);
        }
        await_value(&buffer, TURN, THREADS)?;
        let start_time = Instant::now();
        Atomics::store(buffer.as_i32(), BEGIN, 1)?;
        Atomics::notify(buffer.as_i32(), BEGIN, Atomics::ALL)?;
        await_value(&buffer, ENDED, THREADS)?;
        let time = start_time.elapsed();
        assert_eq!(
            i64::from(Atomics::load(buffer.as_i32(), 2 * ENDED)?),
            i64::from(additions) * i64::from(THREADS)
        );
        if round > 0 {
            println!("{:.3}", time.as_secs_f64() * 1e9 / f64::from(additions));
        }
        for worker in workers {
            worker.join().await;
        }
    }
    Ok(())
}
