//! The streams of a worker: `worker_stdio <case>`.

use nodule_guest_tests::workers::{argument, role, start_with, trace_end};
use nodule_sdk::worker_threads::{self, Worker, WorkerOptions};
use nodule_sdk::{Result, process};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match role().as_str() {
        "echo" => echo().await,
        "captured" => captured().await,
        "forwarded" => {
            let worker = start_with(&["writer", "1"], WorkerOptions::new())?;
            worker.join().await;
            println!("ended: {} {}", worker.stdout().has_ended(), worker.stdin().is_none());
            Ok(())
        }
        "lines" => lines().await,
        "empty" => {
            trace_end("", &start_with(&["reader"], WorkerOptions::new())?);
            Ok(())
        }
        _ => worker().await,
    }
}

/// A megabyte goes in and comes out.
async fn echo() -> Result<()> {
    let worker = start_with(&["cat"], WorkerOptions::new().stdin(true).stdout(true))?;
    let sent: Vec<u8> = (0..1_u32 << 20)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let stdin = worker.stdin().ok_or("stdin was asked for")?;
    stdin.write(&sent);
    stdin.end();
    let received = worker.stdout().read_to_end().await?;
    println!("same: {} {}", received.len(), received == sent);
    println!("exit {}", worker.join().await);
    Ok(())
}

/// All of it is there before `'exit'`.
async fn captured() -> Result<()> {
    for ending in ["1", "exit", "panic"] {
        let worker = start_with(&["writer", ending], WorkerOptions::new().stdout(true).stderr(true))?;
        worker.on_error(|error| println!("error {}", error.message()));
        let (out, err) = collect(&worker);
        worker.on_exit(move |code| println!("exit {code} after {} and {}", out.get(), err.get()));
        worker.join().await;
    }
    Ok(())
}

type Count = std::rc::Rc<std::cell::Cell<usize>>;

fn collect(worker: &Worker) -> (Count, Count) {
    let counts = (Count::default(), Count::default());
    let (out, err) = (counts.0.clone(), counts.1.clone());
    worker.stdout().on_data(move |bytes| out.set(out.get() + bytes.len()));
    worker.stderr().on_data(move |bytes| err.set(err.get() + bytes.len()));
    counts
}

/// Eight writers into one stream, ended in every way; this thread is busy meanwhile.
async fn lines() -> Result<()> {
    let workers: Result<Vec<Worker>> = (0..8)
        .map(|writer: u32| start_with(&["numbered", &writer.to_string()], WorkerOptions::new()))
        .collect();
    let workers = workers?;
    for worker in &workers {
        worker.on_error(|_| ());
    }
    let until = process::hrtime() + 50_000_000;
    while process::hrtime() < until {}
    for worker in workers {
        worker.join().await;
        println!("exit {}", argument(1));
    }
    Ok(())
}

async fn worker() -> Result<()> {
    match role().as_str() {
        "cat" => loop {
            let mut buf = vec![0; 64 * 1024];
            let len = process::stdin().read(&mut buf).await?;
            if len == 0 {
                return Ok(());
            }
            process::stdout().write_all(&buf[..len])?;
        },
        "writer" => {
            for number in 0..1000 {
                process::stdout().write_all(format!("out {number}\n").as_bytes())?;
                process::stderr().write_all(format!("err {number}\n").as_bytes())?;
            }
            match argument(1).as_str() {
                "exit" => process::exit(3),
                "panic" => panic!("at the end"),
                _ => Ok(()),
            }
        }
        "numbered" => {
            let writer: usize = argument(1).parse()?;
            for number in 0..1000_usize {
                let dots = ".".repeat(number * 7 % 500);
                process::stdout().write_all(format!("{writer} {number} {dots}\n").as_bytes())?;
            }
            match writer % 3 {
                0 => process::exit(3),
                1 => panic!("at the end"),
                _ => Ok(()),
            }
        }
        "reader" => {
            let text = process::stdin().read_to_string().await?;
            println!(
                "read {text:?} fd {:?} thread {}",
                process::stdin().fd(),
                worker_threads::thread_id()
            );
            Ok(())
        }
        other => Err(format!("no role {other}").into()),
    }
}
