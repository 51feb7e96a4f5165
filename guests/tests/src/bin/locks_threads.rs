//! Web Locks of several threads: `locks_threads <case>`.

use std::time::Duration;

use nodule_sdk::abort::AbortController;
use nodule_sdk::task::yield_now;
use nodule_sdk::worker_threads::locks::{self, Options};
use nodule_sdk::worker_threads::{Source, Worker, WorkerOptions, is_main_thread, thread_id, worker_data};
use nodule_sdk::{Result, process, spawn, timers};

fn start(role: &str) -> Result<Worker> {
    Worker::new(Source::Current, WorkerOptions::new().worker_data(role))
}

/// Starts a thread that holds the lock when this returns.
async fn holder(role: &str) -> Result<Worker> {
    let worker = start(role)?;
    worker.on_error(|error| println!("failed: {}", error.message()));
    let (resolver, held) = nodule_sdk::promise::deferred();
    worker.once_message(move |_: String| resolver.resolve(()));
    held.await?;
    Ok(worker)
}

/// Whether the lock is free now.
async fn is_free() -> Result<bool> {
    let options = Options {
        if_available: true,
        ..Options::default()
    };
    locks::request_with("x", options, async |lock| lock.is_some()).await
}

async fn worker() -> Result<()> {
    let role: String = worker_data()?;
    let tell = || nodule_sdk::worker_threads::parent_port().map_or(Ok(true), |port| port.post_message("held"));
    match role.as_str() {
        // In turns with others.
        "turns" => {
            for _ in 0..50 {
                locks::request("x", async |_| {
                    println!("{} enters", thread_id());
                    yield_now().await;
                    println!("{} leaves", thread_id());
                })
                .await?;
            }
            Ok(())
        }
        ending => {
            locks::request("x", async |_| {
                tell()?;
                match ending {
                    "exit" => process::exit(3),
                    "trap" => panic!("with the lock"),
                    "loop" => loop {
                        std::hint::spin_loop();
                    },
                    // Until the lock is stolen; a lock alone keeps no thread.
                    _ => {
                        timers::sleep(Duration::from_secs(100)).await;
                        Ok::<_, nodule_sdk::Error>(())
                    }
                }
            })
            .await
        }
    }
}

/// A request that waits for a thread is granted when that ends, in whatever way.
async fn endings() -> Result<()> {
    for ending in ["exit", "trap", "loop"] {
        let worker = holder(ending).await?;
        let waiting = spawn(locks::request("x", async |_| ()));
        yield_now().await;
        if ending == "loop" {
            let all = locks::query().await?;
            println!("clients differ {}", all.held[0].client_id != all.pending[0].client_id);
            println!("terminated {:?}", worker.terminate().await);
        } else {
            println!("{ending} {}", worker.join().await);
        }
        // Released before the thread's `exit` came.
        println!("pending {}", locks::query().await?.pending.len());
        waiting.await?;
    }
    println!("free {}", is_free().await?);
    Ok(())
}

async fn steal() -> Result<()> {
    let worker = holder("wait").await?;
    println!("free {}", is_free().await?);
    let thief = Options {
        steal: true,
        ..Options::default()
    };
    // The thread's request fails, which is an uncaught error there.
    let code = locks::request_with("x", thief, async |lock| (lock.is_some(), worker.join().await).1).await?;
    println!("code {code}, free {}", is_free().await?);
    Ok(())
}

/// A request that is given up does not get the lock later.
async fn given_up() -> Result<()> {
    let worker = holder("loop").await?;
    let controller = AbortController::new();
    let options = Options {
        signal: Some(controller.signal()),
        ..Options::default()
    };
    let waiting = spawn(async move { locks::request_with("x", options, async |_| println!("called")).await });
    yield_now().await;
    controller.abort();
    println!("{}", waiting.await.is_err());
    worker.terminate().await;
    println!("free {}", is_free().await?);
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !is_main_thread() {
        return worker().await;
    }
    match process::argv().pop().unwrap_or_default().as_str() {
        "turns" => {
            let workers = (0..4).map(|_| start("turns")).collect::<Result<Vec<_>>>()?;
            for worker in &workers {
                worker.join().await;
            }
        }
        "endings" => endings().await?,
        "steal" => steal().await?,
        "given_up" => given_up().await?,
        other => println!("no case {other:?}"),
    }
    Ok(())
}
