//! Runs any module as a worker and prints what comes of it: `worker_run <source> <arguments…>`. A source is a path, a
//! URL, or `text:` and a module in text form. What it writes is printed behind the other events.

use nodule_guest_tests::workers::{argument, shown, trace};
use nodule_sdk::worker_threads::{Source, Worker, WorkerOptions};
use nodule_sdk::{Result, process};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let source = argument(0);
    let source = match source.strip_prefix("text:") {
        Some(text) => Source::Bytes(text.as_bytes().to_vec()),
        None => Source::Path(source),
    };
    let arguments = process::argv().into_iter().skip(3);
    let mut options = WorkerOptions::new().argv(arguments).stdout(true).stderr(true);
    if let Some(entry) = process::env::get("ENTRY") {
        options = options.entry(entry);
    }
    let worker = match Worker::new(source, options) {
        Ok(worker) => worker,
        Err(error) => {
            println!("refused {}", shown(&error));
            return Ok(());
        }
    };
    trace("", &worker);
    let stdout = worker.stdout().read_to_string().await?;
    let stderr = worker.stderr().read_to_string().await?;
    worker.join().await;
    println!("stdout {stdout:?}\nstderr {stderr:?}");
    Ok(())
}
