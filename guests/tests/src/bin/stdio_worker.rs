//! The streams of worker threads: `stdio_worker <case>`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use nodule_sdk::worker_threads::{Source, Worker, WorkerOptions, is_main_thread, worker_data};
use nodule_sdk::{Result, process, spawn};

const TOTAL: usize = 1 << 20;

fn pattern() -> Vec<u8> {
    (0..TOTAL)
        .map(|index| u8::try_from(index % 251).unwrap_or_default())
        .collect()
}

fn start(role: &str, stdin: bool) -> Result<Worker> {
    let options = WorkerOptions::new()
        .worker_data(role)
        .stdin(stdin)
        .stdout(true)
        .stderr(true);
    Worker::new(Source::Current, options)
}

async fn worker() -> Result<()> {
    let role: String = worker_data()?;
    match role.as_str() {
        "echo" => {
            let stdin = process::stdin();
            let mut chunk = vec![0; 50_000];
            loop {
                let len = stdin.read(&mut chunk).await?;
                if len == 0 {
                    process::stderr().write_all(b"echoed")?;
                    return Ok(());
                }
                process::stdout().write_all(&chunk[..len])?;
            }
        }
        // More than its pipe holds, then an end of each kind.
        "exit" | "trap" => {
            process::stdout().write_all(&pattern())?;
            assert!(role == "exit", "after the output");
            process::exit(7)
        }
        "empty" => {
            let read = process::stdin().read_to_end().await?;
            process::stdout().write_all(format!("{} {:?}", read.len(), process::stdin().fd()).as_bytes())
        }
        _ => Ok(()),
    }
}

async fn echo() -> Result<()> {
    let worker = start("echo", true)?;
    let Some(stdin) = worker.stdin().cloned() else {
        return Ok(());
    };
    let writing = spawn(async move {
        stdin.write_all(pattern()).await?;
        stdin.end();
        Ok::<_, nodule_sdk::Error>(())
    });
    let echoed = worker.stdout().read_to_end().await?;
    println!("unchanged {}", echoed == pattern());
    println!("{}", worker.stderr().read_to_string().await?);
    writing.await?;
    println!("code {}", worker.join().await);
    Ok(())
}

/// Nobody reads before the thread has ended, or cannot go on.
async fn complete() -> Result<()> {
    for role in ["exit", "trap"] {
        let worker = start(role, false)?;
        worker.on_error(|error| println!("error {}", error.message()));
        let (got, ended) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
        let (copy, flag) = (Rc::clone(&got), Rc::clone(&ended));
        worker
            .stdout()
            .on_data(move |data| copy.borrow_mut().extend_from_slice(data));
        worker.stdout().on_end(move || flag.set(true));
        let code = worker.join().await;
        let rest = worker.stdout().read_to_end().await?;
        got.borrow_mut().extend_from_slice(&rest);
        println!("{role} {code} complete {}", *got.borrow() == pattern());
    }
    let worker = start("empty", false)?;
    println!("stdin {}", worker.stdin().is_none());
    println!("{}", worker.stdout().read_to_string().await?);
    worker.join().await;
    Ok(())
}

/// What is written to a thread that has ended vanishes.
async fn gone() -> Result<()> {
    let worker = start("return", true)?;
    println!("code {}", worker.join().await);
    let Some(stdin) = worker.stdin() else { return Ok(()) };
    println!("{:?} {}", stdin.write_all(pattern()).await, stdin.write(b"x"));
    println!("{:?}", worker.stdout().read_to_end().await?);
    // One that waits in a write to a full pipe can be terminated.
    let stuck = start("exit", false)?;
    let mut some = [0; 100];
    let len = stuck.stdout().read(&mut some).await?;
    println!("read {} terminated {:?}", len > 0, stuck.terminate().await);
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !is_main_thread() {
        return worker().await;
    }
    match process::argv().pop().unwrap_or_default().as_str() {
        "echo" => echo().await?,
        "complete" => complete().await?,
        "gone" => gone().await?,
        other => println!("no case {other:?}"),
    }
    Ok(())
}
