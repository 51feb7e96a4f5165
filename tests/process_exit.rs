//! How a process ends: exit codes, `exit` and `beforeExit`, finalizers, abort, an unfinished main.

use std::ffi::OsStr;

use rustix::process::Signal;

use crate::guests::tests;
use crate::support::{Run, guest, guest_with, node, nodule, wat_with};

fn case(number: &str) -> Run {
    guest(tests::PROCESS_EXIT_CASE).arg(number).run()
}

// proves: process.exitCode, process.exit, process.event.exit, process.event.uncaughtException, process.exit_code.1
#[test]
fn the_eleven_cases_give_their_codes() {
    for (number, code, stdout, uncaught) in [
        ("1", 42, "exit 42 exitCode Some(42)\n", ""),
        ("2", 42, "exit 42 exitCode Some(42)\n", ""),
        ("3", 0, "exit 0 exitCode Some(0)\n", ""),
        ("4", 1, "exit 1 exitCode Some(1)\n", "Uncaught PanicError"),
        ("5", 99, "exit 95 exitCode Some(95)\n", ""),
        ("6", 0, "uncaught ok\nexit 0 exitCode None\n", ""),
        ("7", 97, "exit 97 exitCode Some(97)\n", ""),
        ("8", 98, "exit 1 exitCode Some(1)\n", "Uncaught PanicError"),
        ("9", 0, "exit 1 exitCode Some(1)\n", "Uncaught PanicError"),
    ] {
        let run = case(number).code(code).stdout(stdout);
        run.check(
            run.stderr.starts_with(uncaught),
            &format!("stderr with {uncaught:?} expected"),
        );
        run.check(
            uncaught.is_empty() == run.stderr.is_empty(),
            "an error is printed when it is not handled",
        );
    }
    // The second error is the one that counts.
    case("10").code(7).stderr_has("second");
}

/// The first ten cases as a script of Node.
const CASES_IN_NODE: &str = r#"
    const show = (code) => console.log(`exit ${code} exitCode ${process.exitCode === undefined ? 'None' : `Some(${process.exitCode})`}`);
    process.on('exit', show);
    const cases = {
        1() { process.exitCode = 42; },
        2() { process.exitCode = 99; process.exit(42); },
        3() { process.exitCode = 99; process.exit(0); },
        4() { process.exitCode = 99; throw new Error('ok'); },
        5() { process.on('exit', () => { process.exitCode = 99; }); process.exitCode = 95; },
        6() { process.on('uncaughtException', (error) => console.log(`uncaught ${error.message}`)); throw new Error('ok'); },
        7() { process.on('uncaughtException', () => { process.exitCode = 97; }); throw new Error('ok'); },
        8() { process.on('exit', () => { process.exitCode = 98; }); throw new Error('ok'); },
        9() { process.on('exit', () => { process.exitCode = 0; }); throw new Error('ok'); },
        10() { process.on('uncaughtException', () => { throw new Error('second'); }); throw new Error('first'); },
    };
    cases[process.argv[1]]();
"#;

// proves: process.exitCode, process.exit, process.event.exit, process.event.uncaughtException
#[test]
fn the_cases_end_as_in_node() {
    for number in 1..=10 {
        let number = number.to_string();
        let Some(node) = node(&["-e", CASES_IN_NODE, &number]) else {
            return;
        };
        let node = node.run();
        let run = case(&number);
        run.check(
            run.code == node.code,
            &format!("case {number}: Node ends with {:?}", node.code),
        );
        run.stdout(&node.stdout);
    }
}

// proves: process.exitCode, process.exit
#[test]
fn exit_codes_of_every_type_are_checked() {
    guest(tests::PROCESS_EXIT_VALUE).run().success().stdout(
        "Number(2.0) -> Some(2)\n\
         String(\"2\") -> Some(2)\n\
         String(\"0x10\") -> Some(16)\n\
         String(\"\") -> TypeError ERR_INVALID_ARG_TYPE\n\
         String(\"two\") -> TypeError ERR_INVALID_ARG_TYPE\n\
         Bool(true) -> TypeError ERR_INVALID_ARG_TYPE\n\
         Number(1.5) -> RangeError ERR_OUT_OF_RANGE\n\
         Number(NaN) -> RangeError ERR_OUT_OF_RANGE\n\
         Number(inf) -> RangeError ERR_OUT_OF_RANGE\n\
         Object(Object([(\"a\", Number(1.0))])) -> TypeError ERR_INVALID_ARG_TYPE\n\
         Null -> None\n\
         Undefined -> None\n",
    );
    for (argument, code) in [("undefined", 0), ("none", 3), ("negative", 255), ("large", 44)] {
        guest(tests::PROCESS_EXIT_VALUE)
            .arg(argument)
            .run()
            .code(code)
            .stderr("");
    }
    guest(tests::PROCESS_EXIT_VALUE)
        .arg("bad")
        .run()
        .code(1)
        .stderr_has("ERR_INVALID_ARG_TYPE");
}

// proves: process.event.exit, process.exit
#[test]
fn exit_listeners_run_once_in_order_and_nothing_after_them() {
    guest(tests::PROCESS_EXIT_ORDER)
        .run()
        .code(5)
        .stderr("")
        .stdout("partial finalizer kept exit\nfirst 5\nsecond\nthird\n");
    guest(tests::PROCESS_EXIT_ORDER)
        .arg("nested")
        .run()
        .code(9)
        .stdout("partial finalizer kept exit\nfirst 5\n");
    guest(tests::PROCESS_EXIT_ORDER)
        .arg("panic")
        .run()
        .code(5)
        .stdout("partial finalizer kept exit\nfirst 5\n")
        .stderr_has("in the exit listener");
    guest(tests::PROCESS_EXIT_ORDER)
        .arg("natural")
        .run()
        .success()
        .stdout("pending tick\nbeforeExit 0\nfinalizer kept exit\nfirst 0\nsecond\nthird\n");
}

// proves: process.event.beforeExit
#[test]
fn before_exit_comes_again_after_every_round_of_work() {
    for kind in ["timeout", "immediate", "task"] {
        for rounds in 0..=5 {
            let mut expected = String::new();
            for round in 0..rounds {
                expected.push_str(&format!("beforeExit {round} code 7\nwork {round}\n"));
            }
            expected.push_str(&format!("beforeExit {rounds} code 7\nexit 7\n"));
            guest(tests::PROCESS_BEFORE_EXIT)
                .args([rounds.to_string().as_str(), kind])
                .run()
                .code(7)
                .stdout(&expected);
        }
    }
}

// proves: process.event.beforeExit
#[test]
fn before_exit_does_not_come_again_without_work_or_after_an_end() {
    let run = |kind: &str| guest(tests::PROCESS_BEFORE_EXIT).args(["1", kind]).run();
    run("tick").code(7).stdout("beforeExit 0 code 7\nwork 0\nexit 7\n");
    run("unref").code(7).stdout("beforeExit 0 code 7\nexit 7\n");
    run("exit").code(4).stdout("beforeExit 0 code 7\nexit 4\n");
    run("panic")
        .code(1)
        .stdout("beforeExit 0 code 7\nexit 1\n")
        .stderr_has("in beforeExit");
}

// proves: process.exit_code.13
#[test]
fn a_main_that_can_never_go_on_is_code_13() {
    guest(tests::PROCESS_PENDING_MAIN)
        .run()
        .code(13)
        .stdout("beforeExit 0\nexit 13 exitCode Some(13)\n")
        .stderr_has("reader");
    guest(tests::PROCESS_PENDING_MAIN)
        .arg("explicit")
        .run()
        .code(3)
        .stdout("beforeExit 3\nexit 3 exitCode Some(3)\n");
}

// proves: process.abort, process.exit_code.gt128
#[test]
fn abort_dies_by_a_signal_and_leaves_a_core_dump() {
    let run = guest_with(&["--dir", "."], tests::PROCESS_ABORT)
        .run()
        .signal(Signal::ABORT)
        .stdout("before\n");
    let dumps: Vec<_> = std::fs::read_dir(run.directory())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.file_name().unwrap().to_str().unwrap().starts_with("core.")
                && path.extension() == Some("wasm".as_ref())
        })
        .collect();
    run.check(
        dumps.len() == 1,
        &format!("one core.<pid>.<n>.wasm expected, not {dumps:?}"),
    );
    let dump = std::fs::read(&dumps[0]).unwrap();
    assert_eq!(&dump[..4], b"\0asm", "a core dump is a wasm module");
    assert!(
        dump.windows(4).any(|part| part == b"core"),
        "a core dump has a section \"core\""
    );
}

// proves: process.finalization.register, process.finalization.registerBeforeExit, process.finalization.unregister
#[test]
fn finalizers_run_for_what_is_still_alive() {
    guest(tests::PROCESS_FINALIZATION).run().success().stdout(
        "finalizer alive beforeExit\nbeforeExit 1\nwork\nbeforeExit 2\nfinalizer alive exit\nfinalizer arc exit\nexit\n",
    );
}

// proves: process.exit_code.2, process.exit_code.8
#[test]
fn codes_2_and_8_are_the_guests_own() {
    for code in ["2", "8"] {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        wat_with(&[], &text).run().code(code.parse().unwrap()).stderr("");
    }
    // Whatever goes wrong in the host has another code.
    for (flags, text) in [
        (vec!["--no-such-option"], "(module)"),
        (vec![], "(module"),
        (vec![], "(module)"),
        (vec!["--debug-port", "80"], "(module (func (export \"_start\")))"),
        (vec!["--env-file", "missing"], "(module (func (export \"_start\")))"),
        (vec!["--dir", "missing"], "(module (func (export \"_start\")))"),
        (vec!["--cwd", "missing"], "(module (func (export \"_start\")))"),
    ] {
        let run = wat_with(&flags, text).run();
        run.check(
            !matches!(run.code, None | Some(0 | 2 | 8)),
            "a failure with a code of its own expected",
        );
        run.check(!run.stderr.is_empty(), "a failure says what is wrong");
    }
}

// proves: process.exit_code.9, process.exit_code.12
#[test]
fn a_wrong_command_line_is_code_9_and_a_wrong_debug_port_12() {
    let text = r#"(module (func (export "_start")))"#;
    for flags in [
        &["--no-such-option"][..],
        &["--timeout-ms"],
        &["--timeout-ms", "soon"],
        &["--max-memory", "lots"],
    ] {
        wat_with(flags, text).run().code(9).stdout("");
    }
    for port in ["80", "65536", "-1", "x"] {
        wat_with(&[&format!("--debug-port={port}")], text).run().code(12);
    }
}

// proves: process.exit_code.14
#[test]
fn a_snapshot_that_fails_is_code_14_and_one_that_works_starts_where_it_was_taken() {
    let module = |start: &str| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (global $count (mut i32) (i32.const 1))
            (func (export "wizer.initialize") {start})
            (func (export "_start") (call $exit (i32.add (global.get $count) (i32.load (i32.const 0))))))"#
        )
    };
    let compile = |text: &str| {
        nodule(["compile", "--snapshot", "module.wat", "-o", "taken.wasm"])
            .file("module.wat", text)
            .run()
    };
    compile(&module("unreachable")).code(14).stderr_has("unreachable");
    compile("(module)").code(14).stderr_has("wizer.initialize");
    let taken = compile(&module(
        "(global.set $count (i32.const 7)) (i32.store (i32.const 0) (i32.const 35))",
    ))
    .success();
    let snapshot = taken.directory().join("taken.wasm");
    nodule([OsStr::new("run"), snapshot.as_os_str()]).run().code(42);
}

// proves: process.exit_code.5
#[test]
fn a_failure_of_the_host_is_code_5() {
    let command = wat_with(&[], r#"(module (func (export "_start")))"#);
    // Not enough descriptors for an event loop.
    let run = command
        .through_shell("ulimit -n 5; exec \"$0\" \"$@\"")
        .run()
        .code(5)
        .stdout("");
    run.check(
        run.stderr.starts_with("FATAL ERROR"),
        "a line that starts with FATAL ERROR expected",
    );
}
