//! Workers of workers: `worker_nested <case>`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use nodule_guest_tests::workers::{argument, next, role, spin, start_with, trace};
use nodule_sdk::worker_threads::{BroadcastChannel, Worker, WorkerOptions, parent_port, thread_id};
use nodule_sdk::{Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match role().as_str() {
        "ids" => ids().await,
        "subtree" => subtree().await,
        "exits" => {
            let worker = start_with(&["middle", &argument(1)], WorkerOptions::new())?;
            trace("", &worker);
            Ok(())
        }
        "unref-below" => {
            let worker = start_with(&["unref-middle"], WorkerOptions::new())?;
            trace("", &worker);
            Ok(())
        }
        "level" => level().await,
        "counter" => counter(),
        "middle" => middle().await,
        "unref-middle" => {
            let inner = start_with(&["counter"], WorkerOptions::new())?;
            inner.on_exit(|_| println!("not seen"));
            inner.unref();
            Ok(())
        }
        other => Err(format!("no case {other}").into()),
    }
}

/// Each level sends the ids from its own down.
async fn ids() -> Result<()> {
    let worker = start_with(&["level", "3"], WorkerOptions::new())?;
    let mut ids: Vec<u32> = next(&worker).await?;
    worker.join().await;
    ids.insert(0, thread_id());
    println!("{ids:?}");
    Ok(())
}

async fn level() -> Result<()> {
    let depth: u32 = argument(1).parse()?;
    let mut ids = vec![thread_id()];
    if depth > 1 {
        let below = start_with(&["level", &(depth - 1).to_string()], WorkerOptions::new())?;
        let deeper: Vec<u32> = next(&below).await?;
        ids.extend(deeper);
    }
    parent_port().ok_or("a worker has a port")?.post_message(&ids)?;
    Ok(())
}

/// Tells on a channel that it runs, without end.
fn counter() -> Result<()> {
    let channel = BroadcastChannel::new("counts");
    channel.unref();
    loop {
        channel.post_message(&thread_id())?;
        let until = process::hrtime() + 200_000;
        while process::hrtime() < until {}
    }
}

/// Starts two counters and ends as it is told, or not at all.
async fn middle() -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    for _ in 0..2 {
        let counter = start_with(&["counter"], WorkerOptions::new())?;
        let port = parent.clone();
        counter.on_exit(move |_| drop(port.post_message("a grandchild's exit")));
    }
    parent.post_message("running")?;
    match argument(1).as_str() {
        "exit" => {
            timers::sleep(Duration::from_millis(5)).await;
            process::exit(4)
        }
        "panic" => panic!("in the middle"),
        "spin" => spin(),
        _ => drop(parent.on_message(|_: Value| ())),
    }
    Ok(())
}

/// The threads that count now.
async fn counting(seen: &RefCell<BTreeSet<u32>>) -> usize {
    // What was sent before this may still be on its way here.
    timers::sleep(Duration::from_millis(30)).await;
    seen.borrow_mut().clear();
    timers::sleep(Duration::from_millis(60)).await;
    seen.borrow().len()
}

/// Two subtrees; one of them ends, in each way.
async fn subtree() -> Result<()> {
    let channel = BroadcastChannel::new("counts");
    channel.unref();
    let seen = Rc::new(RefCell::new(BTreeSet::new()));
    let counts = Rc::clone(&seen);
    channel.on_message(move |id: u32| {
        counts.borrow_mut().insert(id);
    });
    for ending in ["wait", "spin", "exit", "panic"] {
        let other = start_with(&["middle", "wait"], WorkerOptions::new())?;
        let ended = start_with(&["middle", ending], WorkerOptions::new())?;
        let errors = ended.on_error(|_| ());
        let _: String = next(&other).await?;
        let _: String = next(&ended).await?;
        let code = end(&ended, ending).await;
        errors.remove();
        let left = counting(&seen).await;
        other.terminate().await;
        println!(
            "{ending}: exit {code}, {left} of the other go on, then {}",
            counting(&seen).await
        );
    }
    Ok(())
}

async fn end(worker: &Worker, ending: &str) -> i64 {
    match ending {
        "wait" | "spin" => worker.terminate().await.unwrap_or(-1),
        _ => worker.join().await,
    }
}
