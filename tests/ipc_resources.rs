//! Buffers that go to another process beside messages: the program forks itself.

use crate::guests::tests;
use crate::support::{Cmd, guest_with};

const GRANTS: [&str; 2] = ["--allow-child", "--allow-shared-memory"];

fn ports(words: &[&str]) -> Cmd {
    guest_with(&GRANTS, tests::IPC_PORTS).args(words)
}

fn shared(flags: &[&str], words: &[&str]) -> Cmd {
    guest_with(&[&GRANTS[..], flags].concat(), tests::IPC_SHARED).args(words)
}

// proves: SharedArrayBuffer.cross_process, child_process.handle.shared_buffer
#[test]
fn two_processes_lose_no_addition() {
    shared(&[], &["add"])
        .run()
        .success()
        .stdout("done 2000000\nexit Some(0) None\n");
}

// proves: SharedArrayBuffer.cross_process, Atomics.wait, Atomics.notify
#[test]
fn processes_wake_each_other() {
    shared(&[], &["wait"]).run().success().stdout(
        "child: waiting\n\
         woke 1 then 0\n\
         parent: ok\n\
         parent: timed-out\n\
         parent: not-equal\n\
         child: ok and woke 1\n\
         exit Some(0) None\n",
    );
}

// proves: SharedArrayBuffer.cross_process
#[test]
fn a_buffer_outlives_the_process_that_made_it() {
    shared(&[], &["outlive"])
        .run()
        .success()
        .stdout("take it\nexit Some(0) None\nafter Some(0) Some((100, 7))\n");
}

// proves: child_process.handle.shared_buffer
#[test]
fn a_buffer_that_comes_back_is_the_same() {
    shared(&[], &["back"])
        .run()
        .success()
        .stdout("both the same true, came back true 11\nexit Some(0) None\n");
}

// proves: child_process.handle.shared_buffer, child_process.ipc.advanced
#[test]
fn pages_of_array_buffers_move_to_the_other_process() {
    let mut run = shared(&[], &["move"]).run().success();
    for line in [
        "refused true, still 1048576\ndetached true true\n",
        "child got 1048576 100 sum 1048576\n",
        "child detached true\n",
        "back 1048576 true\n",
        "exit Some(0) None\n",
    ] {
        run = run.stdout_has(line);
    }
}

// proves: child_process.handle.shared_buffer
#[test]
fn what_cannot_be_sent_says_so() {
    shared(&[], &["refused"]).run().success().stdout(
        "DataCloneError 25 A growable SharedArrayBuffer cannot be sent to another process: its length is known in this one only.\n\
         DataCloneError 25 64 resources in one message to another process; there can be 63.\n\
         sent\n\
         exit Some(0) None\n",
    );
    shared(&[], &["add", "json"]).run().stderr_has("DataCloneError");
}

// proves: child_process.handle.shared_buffer
#[test]
fn buffers_above_the_limit_are_an_error_of_the_channel() {
    shared(&["--max-shared-buffers=2"], &["limit"]).run().success().stdout(
        "another 1\n\
         error Error ENOMEM more than 2 shared buffers (raise it with --max-shared-buffers) errno=-12\n\
         no more 0\n\
         own 1\n\
         exit Some(0) None\n",
    );
}

// proves: child_process.handle.shared_buffer
#[test]
fn a_thousand_messages_with_buffers_leave_nothing_behind() {
    // Buffers and descriptors that stayed would be above these bounds.
    let run = shared(&["--max-shared-buffers=8"], &["many"]);
    run.through_shell("ulimit -n 64; exec \"$0\" \"$@\"")
        .run()
        .success()
        .stdout("a thousand\nexit Some(0) None\n");
}

/// Runs a scenario and looks for lines, of both processes, whose order among each other is that of neither.
fn lines(scenario: &str, expected: &[&str]) {
    let mut run = ports(&[scenario]).run().success();
    for line in expected {
        run = run.stdout_has(line);
    }
}

// proves: child_process.handle.shared_buffer
#[test]
fn a_port_moves_to_another_process_with_what_is_queued() {
    lines(
        "talk",
        &[
            "child heard first\nchild heard second\n",
            "parent: closed\n",
            "child: closed\n",
            "exit Some(0) None\n",
        ],
    );
}

// proves: child_process.handle.shared_buffer
#[test]
fn ports_and_buffers_in_queued_messages_move_along() {
    lines(
        "nested",
        &[
            "inner 100000, byte 9\n",
            "child: queued over the inner port\n",
            "got it\n",
            "child: closed\n",
            "exit Some(0) None\n",
        ],
    );
}

// proves: child_process.handle.shared_buffer
#[test]
fn a_port_moves_on_to_a_third_process_to_a_worker_and_back() {
    let heard = "child heard first\nchild heard second\n";
    lines(
        "onward",
        &[heard, "child: closed\n", "child: its child ended Some(0)\n"],
    );
    let heard = "worker heard first\nworker heard second\n";
    lines("worker", &[heard, "worker: closed\n", "child: its worker ended 0\n"]);
    lines(
        "back",
        &["back\nparent heard first\nparent heard second\n", "exit Some(0) None\n"],
    );
}

// proves: child_process.handle.shared_buffer
#[test]
fn the_death_of_the_other_process_closes_a_port_behind_what_came() {
    lines("death", &["one\ntwo\nclosed\n", "exit None Some(\"SIGKILL\")\n"]);
}

// proves: child_process.handle.shared_buffer
#[test]
fn who_posts_to_another_process_hears_of_full_queues() {
    lines(
        "pressure",
        &[
            "told to wait true\n",
            "drain\n",
            "child: 2000 messages\n",
            "exit Some(0) None\n",
        ],
    );
}

// proves: child_process.handle.shared_buffer
#[test]
fn what_a_port_cannot_carry_is_an_error_of_the_receiver() {
    lines(
        "kinds",
        &[
            "child: DataCloneError\nchild: Object(Object([(\"cmd\", String(\"NODE_HANDLE_ACK\"))]))\nchild: String(\"last\")\nchild: closed\n",
        ],
    );
}

// proves: child_process.handle.shared_buffer
#[test]
fn what_was_posted_arrives_although_the_process_ends_at_once() {
    lines("last_words", &["child: 2000 messages\n"]);
}

// proves: child_process.handle.shared_buffer
#[test]
fn ports_that_are_closed_leave_nothing_behind() {
    // Descriptors that stayed would be above this bound.
    let run = ports(&["many"]).through_shell("ulimit -n 64; exec \"$0\" \"$@\"");
    run.run().success().stdout("all\nexit Some(0) None\n");
}
