//! What the programs about workers share. A worker is the same program again; its first argument says what it does.

use std::future::Future;
use std::time::Duration;

use nodule_sdk::worker_threads::{Source, Worker, WorkerOptions};
use nodule_sdk::{Error, Result, Value, process, promise};
use serde::de::DeserializeOwned;

/// The argument with this index; empty when there is none.
pub fn argument(index: usize) -> String {
    process::argv().get(index + 2).cloned().unwrap_or_default()
}

/// What this thread is to do: the first argument.
pub fn role() -> String {
    argument(0)
}

/// Starts this program as a worker with a role.
///
/// # Errors
/// Those of [`Worker::new`].
pub fn start(role: &str) -> Result<Worker> {
    start_with(&[role], WorkerOptions::new())
}

/// As [`start`], with more arguments and options.
///
/// # Errors
/// Those of [`Worker::new`].
pub fn start_with(arguments: &[&str], options: WorkerOptions<'_>) -> Result<Worker> {
    Worker::new(Source::Current, options.argv(arguments))
}

/// An error in one line.
pub fn shown(error: &Error) -> String {
    match error.reason() {
        Some(reason) => format!("reason {reason:?}"),
        None => format!("{} {} {}", error.name(), error.code().unwrap_or("-"), error.message()),
    }
}

/// The code of a failure, `ok` of a success.
pub fn code_of<T>(result: &Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().unwrap_or(error.name()).to_owned(),
    }
}

/// Prints every event of a worker.
pub fn trace(name: &str, worker: &Worker) {
    let label = name.to_owned();
    worker.on_online(move || println!("{label}online"));
    let label = name.to_owned();
    worker.on_message(move |value: Value| println!("{label}message {}", text(&value)));
    trace_end(name, worker);
}

/// Prints `'error'` and `'exit'` of a worker.
pub fn trace_end(name: &str, worker: &Worker) {
    let label = name.to_owned();
    worker.on_error(move |error| println!("{label}error {}", shown(error)));
    let label = name.to_owned();
    worker.on_exit(move |code| println!("{label}exit {code}"));
}

/// Numbers and strings without their types.
pub fn text(value: &Value) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) => number.to_string(),
        (None, None) => format!("{value:?}"),
    }
}

/// The next message of a worker.
///
/// # Errors
/// None: a worker that sends nothing leaves `main` pending.
pub async fn next<T: DeserializeOwned + 'static>(worker: &Worker) -> Result<T> {
    let (resolver, promise) = promise::deferred();
    worker.once_message(move |value: T| resolver.resolve(value));
    promise.await
}

/// Waits until a worker is online. Made in the turn that the worker is.
pub fn online(worker: &Worker) -> impl Future<Output = Result<()>> + use<> {
    let (resolver, promise) = promise::deferred();
    worker.on_online(move || resolver.resolve(()));
    promise
}

/// The error of a worker, as text, and its exit code.
pub async fn outcome(worker: &Worker) -> String {
    let (resolver, promise) = promise::deferred();
    worker.on_error(move |error| resolver.resolve(shown(error)));
    let code = worker.join().await;
    let error = nodule_sdk::timers::timeout(Duration::ZERO, promise).await;
    match error {
        Ok(Ok(error)) => format!("{error}, exit {code}"),
        Ok(Err(_)) | Err(_) => format!("no error, exit {code}"),
    }
}

/// Never gives way.
pub fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Parks this thread for good.
pub fn park() -> ! {
    let channel = nodule_sdk::worker_threads::MessageChannel::new();
    loop {
        let _ = nodule_sdk::worker_threads::receive_message_on_port_timeout::<Value>(&channel.port1, Duration::MAX);
    }
}

/// Pseudo-random numbers (xorshift) from a seed that is not 0.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
