//! Ending workers in every state, and what holds whatever the moment.

use std::time::Duration;

use crate::guests::tests;
use crate::support::{Run, guest};

fn terminate(case: &str) -> Run {
    guest(tests::WORKER_TERMINATE).arg(case).run().code(0)
}

// proves: Worker.terminate
#[test]
fn a_worker_ends_in_every_state() {
    let states = [
        "spin",
        "ticks",
        "immediates",
        "wait",
        "park",
        "sleep",
        "stdin",
        "pending",
        "grow",
    ];
    let expected: String = states.map(|state| format!("{state}: up Some(1) -1\n")).concat();
    terminate("states").stdout(&format!("{expected}at once: Some(1)\n"));
}

// proves: Worker.terminate, Worker.event.online
#[test]
fn a_worker_ends_while_its_module_is_compiled() {
    let run = terminate("compiling");
    let took_ms: u64 = run.stderr.split(' ').nth(1).unwrap().parse().unwrap();
    // Compiling it takes seconds.
    run.check(took_ms < 1000, "it ends at once");
    run.stdout("exit 1\nSome(1)\n");
}

// proves: Worker.terminate
#[test]
fn terminating_again_changes_nothing() {
    terminate("twice").stdout("Some(1) Some(1)\nNone\n");
    terminate("from-worker").stdout("up Some(1) 0\n");
}

// proves: Worker.terminate, Worker.stdout, Worker.event.message
#[test]
fn what_was_sent_and_written_comes_before_the_end() {
    let run = terminate("output");
    run.check(run.stdout.ends_with("exit 1\nSome(1)\n"), "the exit is last");
    for part in ["message 0\nmessage 1\nmessage 2\n", "line 0\n", "line 1\n", "line 2\n"] {
        run.check(run.stdout.contains(part), &format!("{part:?} expected"));
    }
}

// proves: Worker.terminate
#[test]
fn nothing_runs_after_the_promise_resolved() {
    terminate("flood").stdout("stands still\n");
}

/// A new seed, which a failure shows.
fn seed() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    (u64::try_from(now).unwrap() | 1).to_string()
}

/// Runs a property for so many rounds.
fn rounds(property: &str, count: u64) -> Run {
    guest(tests::WORKER_ROUNDS)
        .args([property, &count.to_string(), &seed()])
        .time_limit(Duration::from_secs(300))
        .run()
        .code(0)
        .stdout_has(&format!("{count} rounds\n"))
}

// proves: Worker.terminate
#[test]
fn nothing_of_a_worker_has_an_effect_after_its_end() {
    guest(tests::WORKER_SILENCE)
        .args(["10000", &seed()])
        .time_limit(Duration::from_secs(300))
        .run()
        .success()
        .stdout("10000 rounds\n");
}

// proves: Worker.event.message, Worker.event.exit
#[test]
fn no_message_is_lost_however_a_worker_ends() {
    rounds("o2", 10_000);
}

// proves: Worker.event.online, Worker.event.message, Worker.event.error, Worker.event.exit, Worker.terminate
#[test]
fn the_order_of_events_holds_whenever_a_worker_is_ended() {
    rounds("o4", 10_000);
}

// proves: Worker.terminate
#[test]
fn a_tree_ends_with_its_root() {
    rounds("o9", 10_000);
}

// proves: Worker.event.message, process.event.uncaughtException
#[test]
fn a_listener_that_fails_loses_no_message() {
    rounds("o16", 10_000);
}

// proves: Worker.event.exit
#[test]
fn ten_thousand_workers_one_after_the_other() {
    rounds("quick", 10_000);
}

// proves: Worker.terminate
#[test]
fn workers_leave_no_memory_behind() {
    let run = guest(tests::WORKER_ROUNDS)
        .args(["memory", "10000", "1"])
        .time_limit(Duration::from_secs(300))
        .run()
        .success();
    let figures: Vec<f64> = run
        .stdout
        .split_whitespace()
        .map(|figure| figure.parse().unwrap())
        .collect();
    let [before, after] = figures[..] else {
        panic!("two figures expected: {}", run.stdout);
    };
    run.check(after < before * 1.01, "resident memory grew");
}

// proves: Worker
#[test]
fn workers_that_never_give_way_hold_up_nobody() {
    let run = guest(tests::WORKER_FAIRNESS)
        .time_limit(Duration::from_secs(120))
        .run()
        .success();
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    let figure = |index: usize| words[index].parse::<u64>().unwrap();
    println!("{}", run.stdout.trim_end());
    // Eight of them on two processors, beside whatever else this machine does. A queue in which each computes as long as
    // it likes would take for ever.
    run.check(figure(1) < 30_000, "half of the 10 ms timers are less than 30 ms late");
    run.check(figure(4) < 30_000, "half of the messages are back within 30 ms");
    run.check(figure(7) < 5_000_000, "all end");
}
