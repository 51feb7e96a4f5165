//! What holds for child processes however things fall out, over 10,000 rounds of each property.

use std::time::Duration;

use crate::guests::tests;
use crate::support::guest_with;

fn rounds(property: &str, seed: &str) {
    guest_with(&["--allow-child", "--allow-run"], tests::CHILD_ROUNDS)
        .args([property, "10000", seed])
        .time_limit(Duration::from_secs(600))
        .run()
        .code(0)
        .stdout("ok\n");
}

// proves: ChildProcess.event.spawn, ChildProcess.event.error, ChildProcess.event.close
#[test]
fn spawn_is_the_first_event_of_what_starts_and_none_of_what_does_not() {
    rounds("first_event", "1");
}

// proves: child_process.ipc.flush_at_exit, ChildProcess.event.message, ChildProcess.event.disconnect, ChildProcess.event.exit
#[test]
fn all_messages_come_before_the_end() {
    rounds("last_words", "2");
}

// proves: ChildProcess.event.exit, ChildProcess.event.close, ChildProcess.kill, child_process.options.timeout
#[test]
fn the_end_comes_once() {
    rounds("end_once", "3");
}
