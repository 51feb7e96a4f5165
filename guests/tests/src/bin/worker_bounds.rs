//! What is bounded or refused about workers: `worker_bounds <case>`.

use std::cell::Cell;
use std::rc::Rc;

use nodule_guest_tests::workers::{argument, code_of, online, role, shown, start};
use nodule_sdk::worker_threads::{
    self, HeapSnapshotOptions, Worker, WorkerOptions, on_thread_message, post_message_to_thread,
};
use nodule_sdk::{Result, process};

/// Heap snapshots that are held are as large as the memory they show.
async fn snapshots() -> Result<()> {
    let worker = start("waits")?;
    online(&worker).await?;
    let first = worker.get_heap_snapshot(HeapSnapshotOptions::default()).await?;
    let _second = worker.get_heap_snapshot(HeapSnapshotOptions::default()).await?;
    let third = worker.get_heap_snapshot(HeapSnapshotOptions::default()).await;
    println!("third {}", code_of(&third));
    drop(first);
    let again = worker.get_heap_snapshot(HeapSnapshotOptions::default()).await;
    println!("again {}", code_of(&again));
    worker.terminate().await;
    Ok(())
}

/// More messages of a thread than are delivered at once all come.
async fn thread_messages() -> Result<()> {
    let received = Rc::new(Cell::new(0));
    let counted = Rc::clone(&received);
    on_thread_message(move |number: u32, _| {
        assert_eq!(number, counted.get());
        counted.set(number + 1);
    });
    let worker = start("posts")?;
    // They pile up.
    let until = process::hrtime() + 50_000_000;
    while process::hrtime() < until {}
    println!("exit {} received {}", worker.join().await, received.get());
    Ok(())
}

/// A module's path that leads to a pipe nobody writes to.
async fn pipe() -> Result<()> {
    let worker = Worker::new("./modules/pipe.wasm", WorkerOptions::new())?;
    worker.on_error(|error| println!("error {}", shown(error)));
    println!("exit {}", worker.join().await);
    Ok(())
}

async fn worker() -> Result<()> {
    match role().as_str() {
        "posts" => {
            // Requests keep nobody alive.
            let alive = worker_threads::parent_port().map(|port| port.on_message(|(): ()| ()));
            let posts: Vec<_> = (0..3000_u32)
                .map(|number| post_message_to_thread(0, &number, &[], None))
                .collect();
            for post in posts {
                post.await?;
            }
            process::exit(if alive.is_some() { 0 } else { 1 });
        }
        _ => drop(worker_threads::parent_port().map(|port| port.on_message(|(): ()| ()))),
    }
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker().await;
    }
    match argument(0).as_str() {
        "snapshots" => snapshots().await,
        "thread-messages" => thread_messages().await,
        "pipe" => pipe().await,
        other => Err(format!("no case {other}").into()),
    }
}
