//! Defects that were found and fixed, each with the program that showed it.

use crate::children;
use crate::guests::tests;
use crate::support::{guest_with, wat_with};

/// The imports that the guests below use; `$check` traps with an error number that is not the wanted one. A worker runs
/// the export `w`; 9 bytes at 100 are its options.
const IMPORTS: &str = r#"
    (import "nodule:messaging/1" "channel" (func $channel (param i32) (result i32)))
    (import "nodule:messaging/1" "post" (func $post (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:messaging/1" "broadcast_open" (func $open (param i32 i32 i32) (result i32)))
    (import "nodule:worker_threads/1" "module_current" (func $module (param i32) (result i32)))
    (import "nodule:worker_threads/1" "module_compile" (func $compile (param i32 i32 i32) (result i32)))
    (import "nodule:worker_threads/1" "set_environment_data"
        (func $set_data (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:worker_threads/1" "post_to_thread"
        (func $post_to (param i32 i32 i32 i32 i32 i32 i32 f64 i32) (result i32)))
    (import "nodule:worker_threads/1" "thread_messages_listen" (func $listen (param i32) (result i32)))
    (import "nodule:worker_threads/1" "spawn"
        (func $spawn (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:locks/1" "request" (func $lock (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "wait" (func $wait (param i32 i32 i64 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "close" (func $close (param i32) (result i32)))
    (data (i32.const 100) "\a1\65entry\61w")
    (func $check (param $answer i32) (param $wanted i32)
        (if (i32.ne (local.get $answer) (local.get $wanted)) (then unreachable)))
    ;; Starts a worker with this workerData; its numbers lie at 32.
    (func $start (param $data i32) (param $len i32) (result i32)
        (call $spawn (i32.const 100) (i32.const 9) (i32.const 0) (i32.const 0) (local.get $data) (local.get $len)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)))
    ;; Waits for an event of this kind; its record lies at 1024.
    (func $event (param $kind i32)
        (loop $next
            (call $check (call $wait (i32.const 1024) (i32.const 1) (i64.const -1) (i32.const 1) (i32.const 20))
                (i32.const 0))
            (br_if $next (i32.ne (i32.load (i32.const 1024)) (local.get $kind)))))
    (func $simple (param $port i32) (param $len i32) (result i32)
        (call $post (local.get $port) (i32.const 65536) (local.get $len) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 16)))
"#;

const E2BIG: u32 = 7;
const ENOMEM: u32 = 12;
const QUEUE_FULL: u32 = 2012;

/// Runs a guest with so many pages of memory and these functions beside the ones above.
fn run(flags: &[&str], pages: u32, functions: &str) {
    let text = format!(r#"(module {IMPORTS} (memory (export "memory") {pages}) {functions})"#);
    wat_with(flags, &text).run().success().stdout("");
}

#[test]
fn r_environment_data_counts_resources() {
    run(
        &["--max-handles=100"],
        6,
        &format!(
            r#"(func (export "_start") (local $i i32)
                (call $check (call $module (i32.const 0)) (i32.const 0))
                (loop $fill
                    (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 2))) (i32.load (i32.const 0)))
                    (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
                (call $check (call $set_data (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 65536)
                    (i32.const 65536)) (i32.const {E2BIG}))
                (call $check (call $set_data (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 65536)
                    (i32.const 1000)) (i32.const 0)))"#
        ),
    );
}

#[test]
fn r_worker_data_is_bounded() {
    let functions = |refused: u32| {
        format!(
            r#"(func (export "w"))
            (func (export "_start")
                (call $check (call $start (i32.const 65536) (i32.const 2000000)) (i32.const {refused}))
                (call $check (call $start (i32.const 65536) (i32.const 900000)) (i32.const 0))
                (call $event (i32.const 21)))"#
        )
    };
    run(&["--max-queue=1000000"], 40, &functions(QUEUE_FULL));
    run(&[], 40, &functions(0));
    // Of all workers together: what is not taken yet counts against the queues of the process.
    run(
        &[],
        3200,
        &format!(
            r#"(func (export "w") (call $event (i32.const 99)))
            (func (export "_start") (local $i i32)
                (loop $next
                    (call $check (call $start (i32.const 65536) (i32.const 200000000)) (i32.const 0))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5))))
                (call $check (call $start (i32.const 65536) (i32.const 200000000)) (i32.const {QUEUE_FULL})))"#
        ),
    );
}

#[test]
fn r_thread_messages_honour_the_queue_limit() {
    const MESSAGING_FAILED: &str = "(i64.ne (i64.load (i32.const 1040)) (i64.const 0))";
    run(
        &["--max-queue=100000"],
        4,
        &format!(
            r#"(func (export "w")
                (call $check (call $listen (i32.const 1)) (i32.const 0))
                ;; Tells that it listens, then never looks.
                (call $check (call $post_to (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (f64.const -1) (i32.const 0)) (i32.const 0))
                (loop $for_ever (br $for_ever)))
            (func (export "_start") (local $i i32)
                (call $check (call $listen (i32.const 1)) (i32.const 0))
                (call $check (call $start (i32.const 0) (i32.const 0)) (i32.const 0))
                (call $event (i32.const 14))
                (loop $next
                    (call $check (call $post_to (i32.load (i32.const 40)) (i32.const 0) (i32.const 30000) (i32.const 0)
                        (i32.const 0) (i32.const 0) (i32.const 0) (f64.const -1) (i32.const 0)) (i32.const 0))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
                ;; The fourth is too much.
                (call $event (i32.const 15))
                (call $check {MESSAGING_FAILED} (i32.const 1))
                (call $check (i32.load (i32.const 1028)) (i32.load (i32.const 0))))"#
        ),
    );
}

/// A module with a custom section of 64 MiB.
const LARGE: &str = r#"(data (i32.const 65536) "\00\61\73\6d\01\00\00\00\00\82\80\80\20\01\78")"#;

#[test]
fn r_compiled_modules_are_counted() {
    let compile = "(call $compile (i32.const 65536) (i32.const 67108879) (i32.const 0))";
    // The same one again and again is kept once.
    run(
        &[],
        1030,
        &format!(
            r#"{LARGE} (func (export "_start") (local $i i32)
                (loop $next
                    (call $check {compile} (i32.const 0))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20)))))"#
        ),
    );
    // Different ones add up, and closing gives back.
    run(
        &["--max-code=150000000"],
        1030,
        &format!(
            r#"{LARGE} (func (export "_start") (local $first i32)
                (call $check {compile} (i32.const 0))
                (local.set $first (i32.load (i32.const 0)))
                (i32.store (i32.const 65552) (i32.const 1))
                (call $check {compile} (i32.const 0))
                (i32.store (i32.const 65552) (i32.const 2))
                (call $check {compile} (i32.const {ENOMEM}))
                (call $check (call $close (local.get $first)) (i32.const 0))
                (call $check {compile} (i32.const 0)))"#
        ),
    );
}

#[test]
fn r_port_cycles_end_with_their_isolate() {
    // Each worker leaves 400 MB in queues of ports that lie in each other's queues.
    let post_port = |port: u32, moved: u32| {
        format!(
            "(i32.store (i32.const 60) (i32.load (i32.const {moved})))
            (call $check (call $post (i32.load (i32.const {port})) (i32.const 0) (i32.const 1) (i32.const 60)
                (i32.const 1) (i32.const 60) (i32.const 1) (i32.const 0) (i32.const 16)) (i32.const 0))"
        )
    };
    let lose = format!(
        "(call $check (call $channel (i32.const 64)) (i32.const 0))
        (call $check (call $channel (i32.const 72)) (i32.const 0))
        (call $check (call $simple (i32.load (i32.const 68)) (i32.const 200000000)) (i32.const 0))
        {} {}",
        post_port(68, 72),
        post_port(76, 64)
    );
    run(
        &[],
        3100,
        &format!(
            r#"(func (export "w") {lose} {lose})
            (func (export "_start") (local $i i32)
                (loop $next
                    (call $check (call $start (i32.const 0) (i32.const 0)) (i32.const 0))
                    (call $event (i32.const 21))
                    (call $check (i32.load (i32.const 1040)) (i32.const 0))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
                (call $check (call $channel (i32.const 64)) (i32.const 0))
                (call $check (call $simple (i32.load (i32.const 64)) (i32.const 200000000)) (i32.const 0)))"#
        ),
    );
}

#[test]
fn r_start_errors_that_are_thrown_name_no_file() {
    // As in Node; those that are told later do.
    children::run(tests::CHILD_ERRORS, &["message", "cwd", "/etc/passwd"])
        .success()
        .stdout("Error ENOTDIR spawn ENOTDIR errno=-20 syscall=spawn\n");
}

#[test]
fn r_kill_signal_of_a_child_is_not_zero() {
    children::run(tests::CHILD_ERRORS, &["message", "killSignal", "0"])
        .success()
        .stdout("TypeError ERR_UNKNOWN_SIGNAL Unknown signal: 0\n");
}

#[test]
fn r_exec_message_ends_its_line_without_error_output() {
    children::run(tests::CHILD_EXEC, &["exec", "--", "exit 3"])
        .success()
        .stdout_has("error Error - Command failed: exit 3\n\ncode Some(\"3\")");
}

#[test]
fn r_input_is_for_a_pipe_only() {
    let line = ["spawn_sync", "input=abc", "stdio=[ignore,pipe,ignore]", "--", "cat"];
    children::run(tests::CHILD_SYNC, &line)
        .success()
        .stdout_has("stdout bytes \"\" stderr null\n");
}

#[test]
fn r_descriptors_that_run_out_are_an_error_event() {
    let pipes = format!("stdio=[{}]", ["pipe"; 15].join(","));
    // At every number of descriptors: before the pipes, between them, for the streams at this end, in the child.
    let mut outcomes = [0; 2];
    for count in (16..72).step_by(2) {
        let command = guest_with(&["--allow-run"], tests::CHILD_SPAWN).args(["noread", &pipes, "--", "true"]);
        let run = command
            .through_shell(&format!("ulimit -n {count}; exec \"$0\" \"$@\""))
            .run();
        let run = run.success();
        let started = "called\nspawn\nexit 0 null code=Some(0) signal=None\nclose 0 null\n";
        let refused = "called\nerror Error EMFILE spawn true EMFILE errno=-24 syscall=spawn true path=true spawnargs=[]\n\
                       close -24 null\n";
        let outcome = [refused, started].iter().position(|known| run.stdout == *known);
        let what = format!("with {count} descriptors it starts, or says that it did not");
        run.check(outcome.is_some(), &what);
        outcomes[outcome.unwrap()] += 1;
    }
    assert!(outcomes.iter().all(|times| *times > 0), "{outcomes:?}");
}

#[test]
fn r_stream_that_a_child_was_given_is_left_to_it() {
    // The first child ends while the second one has not read yet.
    let run = guest_with(&["--allow-run"], tests::CHILD_STDIO)
        .arg("stream")
        .run()
        .success();
    run.stdout_has("fd 1 end bytes \"a\\nb\\n\"\n");
}

#[test]
fn r_execve_takes_the_name_of_a_module_for_no_option() {
    let module = tests::PROCESS_PERMISSION.path().display().to_string();
    let read = format!(
        "--dir={}:ro",
        tests::PROCESS_PERMISSION.path().parent().unwrap().display()
    );
    let name = "--dir=/etc::/x.wasm";
    let line = [name, &module, "has", "fs.read", "/x.wasm/passwd"];
    let execve = |flags: &[&str]| guest_with(&[&["--allow-child", &read], flags].concat(), tests::PROCESS_EXECVE);
    execve(&[])
        .args(line)
        .run()
        .success()
        .stdout_has("before ERR_ACCESS_DENIED");
    // Where there is a module of that name it is run.
    let command = execve(&["--dir=."]);
    let path = command.directory().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(&module, path).unwrap();
    let run = command.args([name, "has", "fs.read", "/x.wasm/passwd"]).run().success();
    run.stdout("before has fs.read /x.wasm/passwd: false\n");
}

#[test]
fn r_execve_runs_only_what_the_guest_may_read() {
    let command = guest_with(&["--allow-child", "--dir=."], tests::PROCESS_EXECVE);
    // What is wrong with a text is shown, of a file that is not the guest's.
    std::os::unix::fs::symlink("/etc/passwd", command.directory().join("link.wat")).unwrap();
    let run = command.args(["link.wat", "link.wat"]).run().success();
    run.stdout_has("before ERR_ACCESS_DENIED");
}

#[test]
fn r_start_tells_nobody_which_directories_there_are() {
    // Those who may start nothing, and those who may start something else.
    for flags in [&[][..], &["--allow-run=/bin/true"]] {
        let told = |directory: &str| {
            let line = ["spawn", &format!("cwd={directory}"), "module=sh", "--"];
            guest_with(flags, tests::CHILD_GRANTS).args(line).run().success().stdout
        };
        let outcomes = ["/nope", "/etc", "/etc/passwd", "/root"].map(told);
        let denied = outcomes[0].starts_with("refused Error ERR_ACCESS_DENIED");
        assert!(
            denied && outcomes.iter().all(|outcome| *outcome == outcomes[0]),
            "{outcomes:?}"
        );
    }
    // The path of the own module, by way of another directory.
    let own = tests::CHILD_GRANTS.path().display().to_string();
    for directory in ["/nope", "/etc"] {
        let line = ["spawn", &format!("module={directory}/..{own}"), "--", "probe"];
        guest_with(&["--allow-child"], tests::CHILD_GRANTS)
            .args(line)
            .run()
            .success()
            .stdout("ended Some(0) None\n");
    }
}

#[test]
fn r_process_that_is_waited_for_ends_with_a_thread_that_is_ended_meanwhile() {
    for seed in 1..4 {
        let mark = children::mark("sync");
        let command = guest_with(&["--allow-run", "--dir=."], tests::CHILD_WORKER);
        let mut running = command.args(["terminate-often", &mark, &seed.to_string()]).start();
        running.wait_for_stdout("all terminated\n");
        // Its process was started, and ended: also when it was not its own yet.
        let left = children::marked(&mark);
        let alive: Vec<_> = left.iter().filter(|pid| !children::ends(pid)).collect();
        assert!(alive.is_empty(), "{alive:?} live");
        drop(running.stdin.take());
        running.wait().success();
    }
}
