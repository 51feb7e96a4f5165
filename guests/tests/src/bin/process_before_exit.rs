//! `beforeExit` comes again after each round of work it started: `process_before_exit <rounds> <kind of work>`.

use std::cell::Cell;
use std::time::Duration;

use nodule_sdk::{process, task, timers};

#[nodule_sdk::main]
fn main() {
    let arguments = process::argv();
    let rounds: u32 = arguments[2].parse().unwrap_or(0);
    let kind = arguments.get(3).cloned().unwrap_or_default();
    let round = Cell::new(0);
    process::set_exit_code(7);
    process::on_before_exit(move |code| {
        let number = round.replace(round.get() + 1);
        println!("beforeExit {number} code {code}");
        if number >= rounds {
            return;
        }
        match kind.as_str() {
            "immediate" => drop(timers::set_immediate(move || println!("work {number}"))),
            "task" => drop(task::spawn(async move {
                timers::sleep(Duration::from_millis(1)).await;
                println!("work {number}");
            })),
            // Neither keeps the loop alive, so there is no further round.
            "tick" => process::next_tick(move || println!("work {number}")),
            "unref" => timers::set_timeout(|| println!("never"), Duration::from_secs(60)).unref(),
            "panic" => panic!("in beforeExit"),
            "exit" => process::exit(4),
            _ => drop(timers::set_timeout(
                move || println!("work {number}"),
                Duration::from_millis(1),
            )),
        }
    });
    if arguments.get(4).map(String::as_str) == Some("handled") {
        process::on_uncaught_exception(|error, _| println!("uncaught {}", error.message()));
    }
    process::on_exit(|code| println!("exit {code}"));
}
