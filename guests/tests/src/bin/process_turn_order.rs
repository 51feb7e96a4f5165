//! Order within and between turns: listeners, ticks, tasks, immediates, timers.

use std::time::Duration;

use nodule_sdk::{process, promise, task, timers};

#[nodule_sdk::main]
async fn main() {
    timers::set_timeout(
        || {
            println!("timer 1");
            process::next_tick(|| println!("tick of timer 1"));
            task::spawn(async { println!("task of timer 1") });
        },
        Duration::from_millis(1),
    );
    timers::set_timeout(|| println!("timer 2"), Duration::from_millis(1));
    timers::set_immediate(|| {
        println!("immediate 1");
        process::next_tick(|| println!("tick of immediate 1"));
        timers::set_immediate(|| println!("immediate of immediate 1"));
    });
    timers::set_immediate(|| println!("immediate 2"));
    let (resolver, promise) = promise::deferred();
    task::spawn(async move {
        println!("task a");
        process::next_tick(move || {
            println!("tick of task a");
            resolver.resolve(());
        });
        task::spawn(async { println!("task of task a") });
    });
    task::spawn(async move {
        let _ = promise.await;
        println!("task b, resolved by a tick");
    });
    process::next_tick(|| {
        println!("tick 1");
        process::next_tick(|| println!("tick of tick 1"));
    });
    process::next_tick(|| println!("tick 2"));
    // Due while main still runs: both timers have their own turn all the same.
    let start = process::hrtime();
    while process::hrtime() - start < 5_000_000 {}
    println!("main");
}
