//! What a guest with workers cannot do to the host: grow it, hold it up, get more than it was given.

use crate::guests::tests;
use crate::support::{guest, guest_with, wat_with};

// proves: Worker.getHeapSnapshot
#[test]
fn r_snapshots_that_are_held_are_few() {
    guest(tests::WORKER_BOUNDS)
        .arg("snapshots")
        .run()
        .success()
        .stdout("third EAGAIN\nagain ok\n");
}

// proves: worker_threads.postMessageToThread
#[test]
fn r_messages_of_threads_beyond_one_turn_come() {
    guest(tests::WORKER_BOUNDS)
        .arg("thread-messages")
        .run()
        .success()
        .stdout("exit 0 received 3000\n");
}

#[test]
fn r_a_module_that_is_a_pipe_holds_nobody_up() {
    let command = guest_with(&["--dir=modules"], tests::WORKER_BOUNDS).arg("pipe");
    let modules = command.directory().join("modules");
    std::fs::create_dir(&modules).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(modules.join("pipe.wasm"))
        .status();
    assert!(made.unwrap().success(), "mkfifo");
    command.run().success().stdout(
        "error Error ERR_WORKER_INIT_FAILED Worker initialization failure: cannot read ./modules/pipe.wasm: \
             it is no regular file\nexit 1\n",
    );
}

/// Posts to a thread that is not there and closes the request, again and again; then says how many events it was given.
const CLOSED_REQUESTS: &str = r#"(module
    (import "nodule:worker_threads/1" "post_to_thread"
        (func $post (param i32 i32 i32 i32 i32 i32 i32 f64 i32) (result i32)))
    (import "nodule:event_loop/1" "close" (func $close (param i32) (result i32)))
    (import "nodule:process/1" "rss" (func $rss (result i64)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\f6")
    (func (export "_start") (local $left i32) (local $before i64)
        (local.set $before (call $rss))
        (local.set $left (i32.const 500000))
        (loop $again
            (if (call $post (i32.const 77) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (f64.const -1) (i32.const 16))
                (then unreachable))
            (if (call $close (i32.load (i32.const 16))) (then unreachable))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (if (i64.gt_u (i64.sub (call $rss) (local.get $before)) (i64.const 10000000)) (then unreachable))))"#;

#[test]
fn r_events_of_closed_requests_are_forgotten() {
    wat_with(&["--max-handles=100"], CLOSED_REQUESTS).run().success();
}
