//! Who sees an uncaught error, in which order, and what happens next: `process_uncaught <case>`.

use std::cell::Cell;
use std::time::Duration;

use nodule_sdk::{Error, Origin, process, task, timers};

fn show(who: &'static str) -> impl FnMut(&Error, Origin) {
    move |error, origin| println!("{who}: {} {} {}", error.name(), error.message(), origin.name())
}

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    process::on_exit(|code| println!("exit {code} exitCode {:?}", process::exit_code()));
    match process::argv().pop().unwrap_or_default().as_str() {
        "order" => order(),
        "capture" => capture()?,
        "monitor" => drop(process::on_uncaught_exception_monitor(show("monitor"))),
        "monitor-panics" => drop(process::on_uncaught_exception_monitor(|_, _| panic!("in the monitor"))),
        "capture-panics" => process::set_uncaught_exception_capture_callback(|_| panic!("in the capture"))?,
        "main-error" => {
            process::on_uncaught_exception(show("listener"));
            return Err("main failed".into());
        }
        "task" => return task_fails().await,
        "queues" => queues(),
        _ => {}
    }
    panic!("boom")
}

fn order() {
    process::on_uncaught_exception_monitor(show("monitor"));
    process::on_uncaught_exception(show("listener 1"));
    process::on_uncaught_exception(show("listener 2"));
    process::add_uncaught_exception_capture_callback(|error| {
        println!("capture 1: {}", error.message());
        false
    });
    process::add_uncaught_exception_capture_callback(|error| {
        println!("capture 2: {}", error.message());
        false
    });
    println!("has {}", process::has_uncaught_exception_capture_callback());
}

fn capture() -> nodule_sdk::Result<()> {
    process::on_uncaught_exception(|_, _| println!("a listener ran beside a capture"));
    process::set_uncaught_exception_capture_callback(|error| {
        println!("captured {}", error.message());
        timers::set_timeout(
            || {
                process::clear_uncaught_exception_capture_callback();
                println!("cleared, has {}", process::has_uncaught_exception_capture_callback());
            },
            Duration::from_millis(1),
        );
    })?;
    println!("has {}", process::has_uncaught_exception_capture_callback());
    let second = process::set_uncaught_exception_capture_callback(|_| {});
    println!(
        "second: {}",
        second
            .err()
            .and_then(|error| error.code().map(str::to_owned))
            .unwrap_or_default()
    );
    Ok(())
}

/// The task that trapped has failed and its handle says so; other tasks go on.
async fn task_fails() -> nodule_sdk::Result<()> {
    process::on_uncaught_exception(show("listener"));
    let other = task::spawn(async {
        timers::sleep(Duration::from_millis(2)).await;
        println!("the other task is done");
    });
    let failing = task::spawn_named("failing", async {
        timers::sleep(Duration::from_millis(1)).await;
        let list: Vec<u32> = Vec::new();
        println!("{}", list[process::argv().len()]);
    });
    let error = failing.await.expect_err("it panics");
    println!("handle: {}", error.code().unwrap_or_default());
    other.await
}

/// What was queued behind the failing callback still runs, in order, and an interval goes on.
fn queues() {
    process::on_uncaught_exception(show("listener"));
    process::next_tick(|| println!("tick behind main"));
    task::spawn(async { println!("task behind main") });
    timers::set_immediate(|| panic!("in an immediate"));
    timers::set_immediate(|| println!("the next immediate"));
    timers::set_timeout(|| panic!("in a timer"), Duration::from_millis(1));
    timers::set_timeout(|| println!("the next timer"), Duration::from_millis(1));
    let count = Cell::new(0);
    timers::set_interval(
        move || {
            count.set(count.get() + 1);
            println!("interval {}", count.get());
            if count.get() == 3 {
                process::exit(None);
            }
            panic!("in an interval");
        },
        Duration::from_millis(20),
    );
}
