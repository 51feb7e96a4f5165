//! Child processes and their messages: `bench_children <work> <count>...` prints one sample a line, in ns. The same works as
//! `children.cjs` for JavaScript runtimes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use nodule_sdk::child_process::{self, ChildProcess, ForkOptions, Serialization, SpawnOptions, SpawnSyncOptions};
use nodule_sdk::promise;
use nodule_sdk::{Error, Result, process};

/// Round trips that are timed together: asking for the time is not what is measured.
const BATCH: u32 = 500;
/// Does nothing.
const TRUE: &str = "/bin/true";
/// Stands before the part of a child.
const CHILD: &str = "child";

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| arguments.get(at).map_or("", String::as_str);
    let number = |at: usize| word(at).parse::<u32>().unwrap_or(1);
    match word(0) {
        CHILD => as_child(word(1)),
        "sync" => (0..number(1)).try_for_each(|_| spawn_sync()),
        "spawn" => repeat(number(1), spawn).await,
        "exit" => repeat(number(1), fork_to_exit).await,
        "message" => repeat(number(1), fork_to_message).await,
        "ping" => ping_pong(number(1), word(2)).await,
        "big" => big(number(1), number(2), word(3)).await,
        work => Err(Error::new(format!("no such work: {work}"))),
    }
}

/// What a child does.
fn as_child(part: &str) -> Result<()> {
    match part {
        "hello" => process::send("hello").map(drop),
        "echo" => {
            process::on_message(|text: String| {
                // The parent that is gone asks for nothing.
                let _ = process::send(&text);
            });
            process::send("ready").map(drop)
        }
        "measure" => {
            process::on_message(|text: String| {
                let _ = process::send(&text.len().to_string());
            });
            process::send("ready").map(drop)
        }
        _ => Ok(()),
    }
}

fn print_since(start: Instant) {
    println!("{}", start.elapsed().as_nanos());
}

async fn repeat(count: u32, work: impl AsyncFn() -> Result<()>) -> Result<()> {
    for _ in 0..count {
        let start = Instant::now();
        work().await?;
        print_since(start);
    }
    Ok(())
}

fn spawn_sync() -> Result<()> {
    let start = Instant::now();
    let result = child_process::spawn_sync(TRUE, &[], SpawnSyncOptions::new())?;
    print_since(start);
    match result.status {
        Some(0) => Ok(()),
        _ => Err(Error::new("it failed")),
    }
}

async fn spawn() -> Result<()> {
    exited(&child_process::spawn(TRUE, &[], SpawnOptions::new())?).await
}

async fn exited(child: &ChildProcess) -> Result<()> {
    let (resolver, exited) = promise::deferred();
    child.on_exit(move |_, _| resolver.resolve(()));
    exited.await
}

fn fork(part: &str, options: ForkOptions) -> Result<ChildProcess> {
    let module = process::argv().get(1).cloned().unwrap_or_default();
    child_process::fork(&module, &[CHILD, part], options)
}

async fn fork_to_exit() -> Result<()> {
    exited(&fork("exit", ForkOptions::new())?).await
}

async fn fork_to_message() -> Result<()> {
    let child = fork("hello", ForkOptions::new())?;
    message(&child).await.map(drop)
}

async fn message(child: &ChildProcess) -> Result<String> {
    let (resolver, received) = promise::deferred();
    child.once_message(move |text: String| resolver.resolve(text));
    received.await
}

fn serialization(name: &str) -> ForkOptions {
    ForkOptions::new().serialization(match name {
        "advanced" => Serialization::Advanced,
        _ => Serialization::Json,
    })
}

async fn ping_pong(batches: u32, mode: &str) -> Result<()> {
    let child = fork("echo", serialization(mode))?;
    message(&child).await?;
    let text = "x".repeat(32);
    for _ in 0..batches {
        let left = Rc::new(Cell::new(BATCH));
        let (resolver, done) = promise::deferred();
        let (peer, answer) = (child.clone(), text.clone());
        let start = Instant::now();
        let listener = child.on_message(move |_: String| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                resolver.resolve(());
            } else {
                peer.send(&answer).unwrap();
            }
        });
        child.send(&text)?;
        done.await?;
        println!("{}", start.elapsed().as_nanos() / u128::from(BATCH));
        listener.remove();
    }
    child.disconnect()
}

async fn big(count: u32, bytes: u32, mode: &str) -> Result<()> {
    let child = fork("measure", serialization(mode))?;
    message(&child).await?;
    let text = "x".repeat(bytes as usize);
    for _ in 0..count {
        let start = Instant::now();
        child.send(&text)?;
        let measured = message(&child).await?;
        print_since(start);
        if measured != bytes.to_string() {
            return Err(Error::new("something is missing"));
        }
    }
    child.disconnect()
}
