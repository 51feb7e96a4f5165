//! Ending workers in every state: `worker_terminate <case>`.

use std::time::Duration;

use nodule_guest_tests::workers::{next, online, park, role, spin, start, start_with, trace};
use nodule_sdk::worker_threads::{
    self, MessageChannel, MessagePort, Source, Worker, WorkerOptions, parent_port, receive_message_on_port,
};
use nodule_sdk::{Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role()).await;
    }
    match role().as_str() {
        "states" => states().await,
        "compiling" => compiling().await,
        "twice" => twice().await,
        "output" => output().await,
        "flood" => flood().await,
        "from-worker" => {
            let worker = start("terminator")?;
            println!("{} {}", next::<String>(&worker).await?, worker.join().await);
            Ok(())
        }
        other => Err(format!("no case {other}").into()),
    }
}

/// Each state, and before the worker is online.
async fn states() -> Result<()> {
    for state in [
        "spin",
        "ticks",
        "immediates",
        "wait",
        "park",
        "sleep",
        "stdin",
        "pending",
        "grow",
    ] {
        let worker = start(state)?;
        let up: String = next(&worker).await?;
        timers::sleep(Duration::from_millis(5)).await;
        println!("{state}: {up} {:?} {}", worker.terminate().await, worker.thread_id());
    }
    // It may be online already when this thread computed long before: then another one runs it at once.
    let worker = start("spin")?;
    println!("at once: {:?}", worker.terminate().await);
    // The worker is over before the module it was to run could be.
    Ok(())
}

/// A module with so many functions that compiling them takes a while.
async fn compiling() -> Result<()> {
    let mut text = String::from("(module (memory (export \"memory\") 1)");
    for number in 0..4000 {
        let body: String = (0..60)
            .map(|step| format!("(i32.add (i32.mul (local.get 0) (i32.const {})) ", number * 64 + step))
            .collect();
        text.push_str(&format!(
            "(func (param i32) (result i32) {body} (local.get 0) {})",
            ")".repeat(60)
        ));
    }
    text.push_str("(func (export \"_start\")))");
    let start = process::hrtime();
    let worker = Worker::new(Source::Bytes(text.into_bytes()), WorkerOptions::new())?;
    trace("", &worker);
    timers::sleep(Duration::from_millis(20)).await;
    println!("{:?}", worker.terminate().await);
    let took_ms = (process::hrtime() - start) / 1_000_000;
    eprintln!("took {took_ms} ms");
    Ok(())
}

async fn twice() -> Result<()> {
    let worker = start("wait")?;
    online(&worker).await?;
    let (first, second) = (worker.terminate(), worker.terminate());
    println!("{:?} {:?}", first.await, second.await);
    println!("{:?}", worker.terminate().await);
    Ok(())
}

/// What it posted and wrote before comes before its end.
async fn output() -> Result<()> {
    let worker = start_with(&["writer"], WorkerOptions::new().stdout(true))?;
    worker.on_message(|value: Value| println!("message {}", value.as_f64().unwrap_or(-1.0)));
    worker
        .stdout()
        .on_data(|bytes| println!("stdout {}", String::from_utf8_lossy(bytes).trim_end()));
    worker.on_exit(|code| println!("exit {code}"));
    online(&worker).await?;
    timers::sleep(Duration::from_millis(50)).await;
    println!("terminate");
    println!("{:?}", worker.terminate().await);
    Ok(())
}

/// A counter that it posts without end: it stands still when the promise resolved.
async fn flood() -> Result<()> {
    for round in 0..20_u64 {
        let MessageChannel { port1, port2 } = MessageChannel::new();
        let list: [&dyn worker_threads::Transferable; 1] = [&port2];
        let worker = start_with(
            &["counter"],
            WorkerOptions::new().worker_data(&port2).transfer_list(&list),
        )?;
        online(&worker).await?;
        timers::sleep(Duration::from_millis(round % 5)).await;
        worker.terminate().await;
        let mut count = 0_u64;
        while let Some(number) = receive_message_on_port::<u64>(&port1)? {
            assert_eq!(number, count, "none is lost or comes twice");
            count += 1;
        }
        timers::sleep(Duration::from_millis(5)).await;
        assert_eq!(receive_message_on_port::<u64>(&port1)?, None, "it still counts");
    }
    println!("stands still");
    Ok(())
}

fn forever() {
    process::next_tick(forever);
}

fn immediately() {
    timers::set_immediate(immediately);
}

async fn worker(role: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    if role != "terminator" {
        process::on_exit(|_| println!("the exit listener of a terminated worker ran"));
    }
    if !matches!(role, "counter" | "writer" | "terminator") {
        parent.post_message("up")?;
    }
    match role {
        "spin" => spin(),
        "ticks" => forever(),
        "immediates" => immediately(),
        "wait" => drop(parent.on_message(|_: Value| ())),
        "park" => park(),
        "sleep" => std::thread::sleep(Duration::from_secs(1000)),
        "stdin" => {
            let mut text = String::new();
            let _ = std::io::Read::read_to_string(&mut std::io::stdin(), &mut text);
            parent.on_message(|_: Value| ());
        }
        "pending" => timers::sleep(Duration::from_secs(1000)).await,
        "grow" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                if kept.len() == 32 {
                    kept.clear();
                }
            }
        }
        "counter" => {
            let port: MessagePort = worker_threads::worker_data()?;
            let mut count = 0_u64;
            loop {
                port.post_message(&count)?;
                count += 1;
            }
        }
        "writer" => {
            for number in 0..3 {
                parent.post_message(&number)?;
                process::stdout().write_all(format!("line {number}\n").as_bytes())?;
            }
            spin();
        }
        "terminator" => {
            let nested = start("spin")?;
            let up: String = next(&nested).await?;
            parent.post_message(&format!("{up} {:?}", nested.terminate().await))?;
        }
        _ => {}
    }
    Ok(())
}
