//! Errors that end a worker, as its creator sees them: `worker_errors <case>`.

use nodule_guest_tests::workers::{argument, outcome, role, start, start_with, trace};
use nodule_sdk::worker_threads::{self, WorkerOptions, parent_port};
use nodule_sdk::{Error, Result, Value, process, promise, task, timers};
use std::time::Duration;

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role()).await;
    }
    match role().as_str() {
        "kinds" => kinds().await,
        "members" => members().await,
        // Nobody listens: it is uncaught here.
        "climb" => {
            process::on_exit(|code| println!("main exits with {code}"));
            start_with(&["nested", &argument(1)], WorkerOptions::new())?.on_exit(|_| println!("not seen"));
            Ok(())
        }
        "caught-in-creator" => {
            process::on_uncaught_exception(|error, _| println!("uncaught {}", error.message()));
            start("panic")?.on_exit(|code| println!("exit {code}"));
            Ok(())
        }
        "survives" => {
            let worker = start("survives")?;
            trace("", &worker);
            Ok(())
        }
        other => Err(format!("no case {other}").into()),
    }
}

async fn kinds() -> Result<()> {
    for role in [
        "panic",
        "trap",
        "index",
        "overflow",
        "err",
        "own-code",
        "task",
        "reason",
        "null",
        "undefined",
        "deep",
        "large",
        "exit-in-uncaught",
        "second",
    ] {
        println!("{role}: {}", outcome(&start(role)?).await);
    }
    Ok(())
}

/// The whole record arrives.
async fn members() -> Result<()> {
    let worker = start("members")?;
    let (resolver, promise) = promise::deferred();
    worker.on_error(move |error| resolver.resolve(error.clone()));
    let error = promise.await?;
    let record = error.record();
    println!("{} {:?} {}", record.name, record.code, record.message);
    println!("{:?} {:?} {:?}", record.syscall, record.path, record.dest);
    println!(
        "stack {}",
        record.stack.as_deref().is_some_and(|stack| !stack.is_empty())
    );
    Ok(())
}

#[allow(
    unconditional_recursion,
    clippy::only_used_in_recursion,
    reason = "that is the error"
)]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(depth + 1)) + 1
}

fn nested_value(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]))
}

async fn worker(role: &str) -> Result<()> {
    let zero = std::hint::black_box(0_i32);
    match role {
        "panic" => panic!("a panic"),
        "trap" => core::arch::wasm32::unreachable(),
        "index" => println!("{}", [1, 2][usize::try_from(zero).unwrap_or(0) + 2]),
        "overflow" => println!("{}", recurse(0)),
        "err" => return Err(Error::new("from main")),
        "own-code" => return Err(Error::new("with a code").named("TypeError").coded("E_OWN")),
        "task" => drop(task::spawn(async { Err::<(), _>(Error::new("from a task")) })),
        "reason" => return Err(Error::from_reason(5)),
        "null" => return Err(Error::from_reason(Value::Null)),
        "undefined" => return Err(Error::from_reason(Value::Undefined)),
        "deep" => return Err(Error::from_reason(nested_value(2000))),
        "large" => return Err(Error::from_reason("x".repeat(4 << 20))),
        "exit-in-uncaught" => {
            process::on_uncaught_exception(|_, _| process::exit(12));
            panic!("never seen");
        }
        "second" => {
            process::on_uncaught_exception(|_, _| panic!("second"));
            panic!("first");
        }
        "members" => {
            let mut error = Error::new("no such thing")
                .named("RangeError")
                .coded("ENOENT")
                .with_stack();
            let record = error.record_mut();
            record.syscall = Some("open".into());
            record.path = Some("/a".into());
            record.dest = Some("/b".into());
            return Err(error);
        }
        "nested" => {
            let depth: u32 = argument(1).parse()?;
            if depth == 0 {
                panic!("deep below");
            }
            process::on_exit(|code| {
                let _ = parent_port().map(|port| port.post_message(&code));
            });
            start_with(&["nested", &(depth - 1).to_string()], WorkerOptions::new())?;
        }
        "survives" => {
            let parent = parent_port().ok_or("a worker has a port")?;
            let port = parent.clone();
            process::on_uncaught_exception(move |error, _| drop(port.post_message(error.message())));
            timers::set_timeout(|| panic!("in a timer"), Duration::from_millis(1));
            timers::set_timeout(move || drop(parent.post_message("alive")), Duration::from_millis(5));
        }
        _ => {}
    }
    Ok(())
}
