//! After the end of a worker nothing of it has an effect: `worker_silence <rounds> <seed>`.
//!
//! Each round's worker counts in shared memory, in one kind of code; it is terminated at a random moment, and the counter
//! must stand still from then on, that of its own workers too.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nodule_guest_tests::workers::{Random, argument, role};
use nodule_sdk::shared_memory::{Atomics, SharedBuffer};
use nodule_sdk::worker_threads::{self, MessageChannel, Source, Worker, WorkerOptions};
use nodule_sdk::{Result, process, task, timers};

const KINDS: [&str; 7] = ["loop", "immediates", "ticks", "tasks", "messages", "waits", "nested"];

fn count(buffer: &SharedBuffer) {
    buffer.as_i32()[0].fetch_add(1, Ordering::SeqCst);
}

fn start(kind: &str, buffer: &SharedBuffer) -> Result<Worker> {
    Worker::new(Source::Current, WorkerOptions::new().argv([kind]).worker_data(buffer))
}

fn immediates(buffer: SharedBuffer) {
    timers::set_immediate(move || {
        count(&buffer);
        immediates(buffer.clone());
    });
}

fn ticks(buffer: SharedBuffer) {
    process::next_tick(move || {
        count(&buffer);
        ticks(buffer);
    });
}

async fn worker(kind: &str) -> Result<()> {
    let buffer: SharedBuffer = worker_threads::worker_data()?;
    let at_exit = buffer.clone();
    process::on_exit(move |_| count(&at_exit));
    match kind {
        "immediates" => immediates(buffer),
        "ticks" => ticks(buffer),
        "tasks" => loop {
            count(&buffer);
            task::yield_now().await;
        },
        "messages" => {
            let MessageChannel { port1, port2 } = MessageChannel::new();
            port1.post_message(&1)?;
            port2.on_message(move |number: u32| {
                count(&buffer);
                port1.post_message(&number).unwrap();
            });
        }
        "waits" => loop {
            count(&buffer);
            Atomics::wait(buffer.as_i32(), 1, 0, Some(Duration::from_micros(10)))?;
        },
        "nested" => {
            start("loop", &buffer)?;
            start("nested-below", &buffer)?;
        }
        "nested-below" => {
            start("immediates", &buffer)?;
        }
        _ => loop {
            count(&buffer);
        },
    }
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role()).await;
    }
    let rounds: u64 = argument(0).parse()?;
    let mut random = Random(argument(1).parse()?);
    let mut moved = 0;
    for round in 0..rounds {
        let kind = KINDS[random.below(KINDS.len() as u64) as usize];
        let buffer = SharedBuffer::new(8)?;
        let worker = start(kind, &buffer)?;
        match random.below(3) {
            0 => {}
            1 => timers::immediate().await,
            _ => timers::sleep(Duration::from_millis(1)).await,
        }
        worker.terminate().await;
        let counted = buffer.as_i32()[0].load(Ordering::SeqCst);
        moved += u64::from(counted > 0);
        let until = process::hrtime() + 20_000;
        while process::hrtime() < until {}
        if round % 64 == 0 {
            timers::sleep(Duration::from_millis(2)).await;
        }
        let now = buffer.as_i32()[0].load(Ordering::SeqCst);
        assert_eq!(counted, now, "round {round}: {kind} goes on after its end");
    }
    assert!(moved > rounds / 10, "workers must have counted: {moved}");
    println!("{rounds} rounds");
    Ok(())
}
