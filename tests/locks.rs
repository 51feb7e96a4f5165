//! Web Locks and abort signals.

use std::io::Write as _;

use crate::guests::tests;
use crate::support::{Cmd, guest, node};

const ORDER: &str = "a granted x exclusive\n\
    held x exclusive; pending x shared, x shared, x exclusive, x shared\n\
    one client true\n\
    a ends\n\
    b granted x shared\nc granted x shared\nc ends\nb ends\n\
    d granted x exclusive\nd ends\n\
    e granted x shared\ne ends\n\
    left true\n";

const INVALID: &str = "NotSupportedError Some(\"9\") Lock name may not start with hyphen\n\
    NotSupportedError Some(\"9\") Lock name may not start with hyphen\n\
    NotSupportedError Some(\"9\") ifAvailable and steal are mutually exclusive\n\
    NotSupportedError Some(\"9\") ifAvailable and steal are mutually exclusive\n\
    NotSupportedError Some(\"9\") mode: \"shared\" and steal are mutually exclusive\n\
    NotSupportedError Some(\"9\") signal cannot be used with steal or ifAvailable\n\
    NotSupportedError Some(\"9\") signal cannot be used with steal or ifAvailable\n";

fn request(case: &str) -> Cmd {
    guest(tests::LOCKS_REQUEST).arg(case)
}

// proves: worker_threads.locks.request, worker_threads.locks.query, Lock.name, Lock.mode
#[test]
fn requests_are_granted_in_order_and_shared_ones_together_until_an_exclusive_one_waits() {
    request("order").run().success().stdout(ORDER);
}

// proves: worker_threads.locks.request
#[test]
fn a_request_that_does_not_wait_gets_the_lock_or_none() {
    request("if_available").run().success().stdout(
        "free Some(Exclusive)\nheld None\nother Some(Shared)\nshared Some(Shared)\nbehind None\n\
         w granted x exclusive\nw ends\n",
    );
}

// proves: worker_threads.locks.request
#[test]
fn a_stolen_lock_fails_its_request_and_those_that_wait_stay_behind() {
    request("steal").run().success().stdout(
        "thief true\nholder dropped\nthief ends\nresult loot\n\
         AbortError Some(\"ABORT_ERR\") The operation was aborted\nwaiter granted x exclusive\nwaiter ends\n",
    );
}

// proves: worker_threads.locks.request
#[test]
fn bad_names_and_options_are_refused_with_nodes_words() {
    let others = "Error None reason\nErr(Some(\"ERR_OUT_OF_RANGE\"))\nOk(0)\n";
    request("invalid").run().success().stdout(&format!("{INVALID}{others}"));
}

// proves: worker_threads.locks.request
#[test]
fn a_lock_is_released_however_its_callback_ends() {
    request("release").run().code(0).stdout(
        "Ok(5)\nvalue: free Ok(true)\nErr(\"failed\")\nerror: free Ok(true)\nuncaught boom\ntrue\n\
         after the trap granted x exclusive\nafter the trap ends\ntrap: free Ok(true)\nheld: free Ok(false)\n\
         abort: free Ok(true)\ndropped: free Ok(true)\n",
    );
    request("borrow").run().success().stdout("[\"first\", \"second\"]\n");
    request("many").run().success().stdout("1000\n");
}

// proves: worker_threads.locks.request
#[test]
fn waiting_for_ones_own_lock_ends_the_program_as_nothing_can_happen() {
    request("deadlock")
        .run()
        .code(13)
        .stdout("")
        .stderr_has("unsettled main");
}

// proves: worker_threads.locks.request
#[test]
fn a_signal_gives_up_what_waits_and_nothing_else() {
    let run = |case: &str| guest(tests::LOCKS_SIGNAL).arg(case).run().success();
    run("pending").stdout(
        "pending 1\nAbortError Some(\"ABORT_ERR\") This operation was aborted\npending 0\n\
         TimeoutError Some(\"23\") The operation was aborted due to timeout\nat once true\n",
    );
    run("granted").stdout("true\nError None own reason\nat once true\n");
    run("signals").stdout("own enough\nany enough\naborted true\nwaited for enough\nat once true\n");
}

// proves: worker_threads.locks.request
#[test]
fn threads_hold_a_lock_one_after_the_other() {
    let run = guest(tests::LOCKS_THREADS).arg("turns").run().success();
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 4 * 50 * 2);
    for pair in lines.chunks(2) {
        let thread = pair[0].strip_suffix(" enters");
        assert!(
            thread.is_some() && thread == pair[1].strip_suffix(" leaves"),
            "{pair:?}"
        );
    }
}

// proves: worker_threads.locks.request, worker_threads.locks.query
#[test]
fn a_thread_that_ends_releases_its_locks_before_its_exit() {
    guest(tests::LOCKS_THREADS).arg("endings").run().code(0).stdout(
        "exit 3\npending 0\nfailed: with the lock\ntrap 1\npending 0\n\
         clients differ true\nterminated Some(1)\npending 0\nfree true\n",
    );
}

// proves: worker_threads.locks.request
#[test]
fn a_lock_is_stolen_from_another_thread_and_a_request_that_is_given_up_gets_none() {
    let run = |case: &str| guest(tests::LOCKS_THREADS).arg(case).run().code(0);
    run("steal").stdout("free false\nfailed: The operation was aborted\ncode 1, free true\n");
    run("given_up").stdout("true\nfree true\n");
}

/// The cases `order` and `invalid` of the guest, as a script.
const SCRIPT: &str = r#"
const { locks } = require('node:worker_threads');
const turn = () => new Promise(setImmediate);
const hold = (label, mode, turns) => locks.request('x', { mode }, async (lock) => {
    console.log(`${label} granted ${lock.name} ${lock.mode}`);
    for (let i = 0; i < turns; i++) await turn();
    console.log(`${label} ends`);
});
const show = (list) => list.map((lock) => `${lock.name} ${lock.mode}`).join(', ');
const order = async () => {
    const tasks = [hold('a', 'exclusive', 2), hold('b', 'shared', 3), hold('c', 'shared', 1),
        hold('d', 'exclusive', 1), hold('e', 'shared', 1)];
    await turn();
    const { held, pending } = await locks.query();
    console.log(`held ${show(held)}; pending ${show(pending)}`);
    console.log(`one client ${[...held, ...pending].every((lock) => lock.clientId === held[0].clientId)}`);
    await Promise.all(tasks);
    const left = await locks.query();
    console.log(`left ${left.held.length + left.pending.length === 0}`);
};
const invalid = async () => {
    const { signal } = new AbortController();
    for (const [name, options] of [
        ['-x', {}], ['-', { ifAvailable: true, steal: true }], ['x', { ifAvailable: true, steal: true }],
        ['x', { mode: 'shared', ifAvailable: true, steal: true }], ['x', { mode: 'shared', steal: true }],
        ['x', { steal: true, signal }], ['x', { ifAvailable: true, signal }],
    ]) {
        await locks.request(name, options, () => console.log('called'))
            .catch((error) => console.log(`${error.name} Some("${error.code}") ${error.message}`));
    }
};
({ order, invalid })[process.argv[1]]();
"#;

// proves: worker_threads.locks.request, worker_threads.locks.query
#[test]
fn node_says_the_same() {
    let Some(probe) = node(&["-p", "typeof require('node:worker_threads').locks"]) else {
        return;
    };
    if probe.run().code(0).stdout.trim() != "object" {
        // Past the harness, which hides what passing tests print.
        let _ = std::io::stderr().write_all(b"SKIPPED: a comparison of locks with Node, because this node has none\n");
        return;
    }
    for (case, expected) in [("order", ORDER), ("invalid", INVALID)] {
        if let Some(node) = node(&["-e", SCRIPT, case]) {
            node.run().code(0).stdout(expected);
        }
    }
}
