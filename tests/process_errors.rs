//! Traps, panics and failed tasks: who sees them, in which order, and what happens next.

use crate::guests::tests;
use crate::support::{guest, guest_with, node};

/// Kinds of failure, the error's name and code.
const KINDS: [(&str, &str, &str); 10] = [
    ("panic", "PanicError", "ERR_GUEST_PANIC"),
    ("unwrap", "PanicError", "ERR_GUEST_PANIC"),
    ("unreachable", "RuntimeError", "ERR_WASM_UNREACHABLE"),
    ("out-of-bounds", "RuntimeError", "ERR_WASM_OUT_OF_BOUNDS"),
    ("indirect-null", "RuntimeError", "ERR_WASM_INDIRECT_CALL"),
    ("indirect-type", "RuntimeError", "ERR_WASM_INDIRECT_CALL"),
    ("division", "RuntimeError", "ERR_WASM_ARITHMETIC"),
    ("overflow", "RuntimeError", "ERR_WASM_ARITHMETIC"),
    ("stack", "RangeError", "ERR_WASM_STACK_OVERFLOW"),
    ("atomic", "RuntimeError", "ERR_WASM_ATOMIC"),
];

// proves: process.exit_code.1, process.event.SIGFPE, process.event.SIGSEGV, process.event.SIGILL, process.event.SIGBUS
#[test]
fn every_trap_ends_the_process_with_its_name_and_code() {
    for (kind, name, code) in KINDS {
        let run = guest(tests::PROCESS_TRAP)
            .arg(kind)
            .run()
            .code(1)
            .stdout("")
            .stderr_has(code);
        run.check(
            run.stderr.starts_with(&format!("Uncaught {name}")),
            "the error comes first",
        );
        run.check(
            run.stderr.contains("process_trap"),
            "a backtrace names the guest's functions",
        );
    }
    guest(tests::PROCESS_TRAP)
        .arg("error")
        .run()
        .code(1)
        .stderr_has("CustomError")
        .stderr_has("main gave an error");
    guest(tests::PROCESS_TRAP)
        .arg("panic")
        .run()
        .stderr_has("a panic with 2 arguments")
        .stderr_has("process_trap.rs:");
}

// proves: process.event.uncaughtException
#[test]
fn every_trap_reaches_the_listener_on_the_same_instance() {
    for (kind, name, code) in KINDS {
        guest(tests::PROCESS_TRAP)
            .args([kind, "handled"])
            .run()
            .code(0)
            .stdout_has(&format!("{name} {code} "))
            .stdout_has("stack true");
    }
    guest(tests::PROCESS_TRAP)
        .args(["error", "handled"])
        .run()
        .code(0)
        .stdout_has("CustomError E_CUSTOM main gave an error\n");
}

// proves: process.event.uncaughtExceptionMonitor, process.event.uncaughtException
// proves: process.addUncaughtExceptionCaptureCallback, process.hasUncaughtExceptionCaptureCallback
#[test]
fn monitors_come_first_then_captures_then_listeners() {
    guest(tests::PROCESS_UNCAUGHT).arg("order").run().success().stdout(
        "has false\n\
         monitor: PanicError boom uncaughtException\n\
         capture 2: boom\n\
         capture 1: boom\n\
         listener 1: PanicError boom uncaughtException\n\
         listener 2: PanicError boom uncaughtException\n\
         exit 0 exitCode None\n",
    );
}

// proves: process.setUncaughtExceptionCaptureCallback, process.hasUncaughtExceptionCaptureCallback
#[test]
fn a_capture_takes_the_error_and_the_loop_goes_on() {
    guest(tests::PROCESS_UNCAUGHT).arg("capture").run().success().stdout(
        "has true\n\
         second: ERR_UNCAUGHT_EXCEPTION_CAPTURE_ALREADY_SET\n\
         captured boom\n\
         cleared, has false\n\
         exit 0 exitCode None\n",
    );
}

// proves: process.event.uncaughtExceptionMonitor, process.exit_code.7
#[test]
fn a_monitor_changes_nothing_and_a_failing_hook_is_code_7() {
    guest(tests::PROCESS_UNCAUGHT)
        .arg("monitor")
        .run()
        .code(1)
        .stdout("monitor: PanicError boom uncaughtException\nexit 1 exitCode Some(1)\n")
        .stderr_has("boom");
    guest(tests::PROCESS_UNCAUGHT)
        .arg("monitor-panics")
        .run()
        .code(7)
        .stderr_has("in the monitor");
    guest(tests::PROCESS_UNCAUGHT)
        .arg("capture-panics")
        .run()
        .code(7)
        .stderr_has("in the capture");
}

// proves: process.event.uncaughtException
#[test]
fn errors_of_main_and_of_tasks_reach_the_listener() {
    guest(tests::PROCESS_UNCAUGHT)
        .arg("main-error")
        .run()
        .success()
        .stdout_has("listener: Error main failed uncaughtException\n");
    let run = guest(tests::PROCESS_UNCAUGHT).arg("task").run().success();
    run.check(
        run.stdout.starts_with("listener: PanicError index out of bounds"),
        "the listener comes first",
    );
    run.stdout_has("handle: ERR_GUEST_PANIC\nthe other task is done\nexit 0 exitCode None\n");
    guest(tests::PROCESS_UNCAUGHT)
        .run()
        .code(1)
        .stdout("exit 1 exitCode Some(1)\n")
        .stderr_has("boom");
}

// proves: process.event.uncaughtException
#[test]
fn what_was_queued_behind_an_error_still_runs() {
    let run = guest(tests::PROCESS_UNCAUGHT).arg("queues").run().success();
    let lines: Vec<_> = run.stdout.lines().collect();
    let position = |text: &str| {
        let found = lines.iter().position(|line| line.contains(text));
        run.check(found.is_some(), &format!("stdout with {text:?} expected"));
        found.unwrap()
    };
    let in_order = [
        "listener: PanicError boom",
        "tick behind main",
        "task behind main",
        "interval 1",
        "interval 2",
        "interval 3",
        "exit 0",
    ];
    run.check(
        in_order.windows(2).all(|pair| position(pair[0]) < position(pair[1])),
        &format!("{in_order:?} expected"),
    );
    run.check(
        position("in an immediate") < position("the next immediate"),
        "immediates in order",
    );
    run.check(position("in a timer") < position("the next timer"), "timers in order");
    run.check(
        run.stdout.matches("in an interval").count() == 2,
        "the interval fails twice, then exits",
    );
}

// proves: process.event.uncaughtException
#[test]
fn a_failing_listener_loses_no_message() {
    guest(tests::PROCESS_FAILING_LISTENER)
        .run()
        .success()
        .stdout("messages 200 ticks 200 failures 67 code 0\n");
}

// proves: process.event.multipleResolves
#[test]
fn the_first_settlement_counts() {
    guest(tests::PROCESS_MULTIPLE_RESOLVES)
        .run()
        .code(0)
        .stdout_has("settled\n")
        .stdout_has("value 1\n")
        .stdout_has("multipleResolves");
}

fn rejection(flags: &[&str], case: &str) -> crate::support::Run {
    guest_with(flags, tests::PROCESS_REJECTION).arg(case).run()
}

// proves: process.event.unhandledRejection, process.event.rejectionHandled
#[test]
fn a_failed_task_that_nobody_awaits_is_uncaught() {
    rejection(&[], "detached")
        .code(1)
        .stdout("exit 1\n")
        .stderr_has("rejected");
    rejection(&[], "uncaught")
        .success()
        .stdout("uncaught unhandledRejection - rejected\ntimer\nexit 0\n");
    rejection(&[], "reason")
        .success()
        .stdout_has("uncaught unhandledRejection ERR_UNHANDLED_REJECTION ")
        .stdout_has("no error")
        .stdout_has("timer\nexit 0\n");
    rejection(&[], "reason-listened")
        .success()
        .stdout_has("unhandledRejection Number(5.0)\n");
    rejection(&[], "listened")
        .success()
        .stdout("unhandledRejection rejected\ntimer\nexit 0\n");
    rejection(&[], "both")
        .success()
        .stdout("unhandledRejection rejected\ntimer\nexit 0\n");
    rejection(&[], "awaited")
        .success()
        .stdout("awaited true\ntimer\nexit 0\n");
    rejection(&[], "held").success().stdout("awaited true\ntimer\nexit 0\n");
    rejection(&[], "held-listened")
        .success()
        .stdout("unhandledRejection rejected\nawaited true\nrejectionHandled\ntimer\nexit 0\n");
    rejection(&[], "dropped-later")
        .success()
        .stdout("dropping\ndropped\nuncaught unhandledRejection - rejected\ntimer\nexit 0\n");
}

// proves: process.option.unhandled-rejections, process.event.unhandledRejection
#[test]
fn the_mode_of_rejections_decides() {
    let mode = |mode: &str, case: &str| rejection(&["--unhandled-rejections", mode], case);
    mode("throw", "detached").code(1).stdout("exit 1\n");
    mode("strict", "detached")
        .code(1)
        .stdout("exit 1\n")
        .stderr_has("rejected");
    mode("strict", "both")
        .code(0)
        .stdout("uncaught unhandledRejection - rejected\nunhandledRejection rejected\ntimer\nexit 0\n");
    mode("none", "detached").success().stdout("timer\nexit 0\n");
    mode("none", "listened")
        .success()
        .stdout("unhandledRejection rejected\ntimer\nexit 0\n");
    mode("warn", "detached")
        .code(0)
        .stdout("timer\nexit 0\n")
        .stderr_has("UnhandledPromiseRejectionWarning");
    mode("warn-with-error-code", "detached")
        .code(1)
        .stdout("timer\nexit 1\n")
        .stderr_has("UnhandledPromiseRejectionWarning");
    mode("warn-with-error-code", "listened")
        .code(0)
        .stdout("unhandledRejection rejected\ntimer\nexit 0\n")
        .stderr("");
    guest_with(&["--unhandled-rejections", "maybe"], tests::PROCESS_REJECTION)
        .arg("detached")
        .run()
        .code(9);
}

/// The cases of failed tasks as a script of Node.
const REJECTIONS_IN_NODE: &str = r#"
    process.on('exit', (code) => console.log(`exit ${code}`));
    const failing = async () => { throw new Error('rejected'); };
    const listen = () => {
        process.on('unhandledRejection', (error) => console.log(`unhandledRejection ${error.message}`));
        process.on('rejectionHandled', () => console.log('rejectionHandled'));
    };
    const uncaught = () => process.on('uncaughtException', (error, origin) => console.log(`uncaught ${origin} ${error.code ?? '-'} ${error.message}`));
    const cases = {
        detached() { failing(); },
        uncaught() { uncaught(); failing(); },
        listened() { listen(); failing(); },
        both() { listen(); uncaught(); failing(); },
    };
    cases[process.argv[1]]();
    setTimeout(() => console.log('timer'), 5);
"#;

// proves: process.option.unhandled-rejections
#[test]
fn the_modes_are_those_of_node() {
    for mode in ["throw", "strict", "warn", "none", "warn-with-error-code"] {
        for case in ["detached", "uncaught", "listened", "both"] {
            let flag = format!("--unhandled-rejections={mode}");
            let Some(node) = node(&[&flag, "-e", REJECTIONS_IN_NODE, case]) else {
                return;
            };
            let node = node.run();
            let run = rejection(&[&flag], case);
            run.check(
                run.code == node.code,
                &format!("mode {mode}, case {case}: Node ends with {:?}", node.code),
            );
            run.check(
                run.stdout == node.stdout,
                &format!("mode {mode}, case {case}: Node prints\n{}", node.stdout),
            );
        }
    }
}
