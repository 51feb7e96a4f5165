//! Errors that end a worker, and exit codes: the same as those of a process, but for what the specification excepts.

use crate::guests::tests;
use crate::support::{Run, guest, guest_with};

fn errors(case: &str) -> Run {
    guest(tests::WORKER_ERRORS).arg(case).run()
}

// proves: Worker.event.error, Worker.event.exit
#[test]
fn every_error_reaches_the_creator() {
    errors("kinds").success().stdout(
        "panic: PanicError ERR_GUEST_PANIC a panic, exit 1\n\
         trap: RuntimeError ERR_WASM_UNREACHABLE wasm `unreachable` instruction executed, exit 1\n\
         index: PanicError ERR_GUEST_PANIC index out of bounds: the len is 2 but the index is 2, exit 1\n\
         overflow: RangeError ERR_WASM_STACK_OVERFLOW Maximum call stack size exceeded, exit 1\n\
         err: Error - from main, exit 1\n\
         own-code: TypeError E_OWN with a code, exit 1\n\
         task: Error - from a task, exit 1\n\
         reason: reason Number(5.0), exit 1\n\
         null: reason Null, exit 1\n\
         undefined: reason Undefined, exit 1\n\
         deep: Error ERR_WORKER_UNSERIALIZABLE_ERROR Serializing an uncaught exception failed, exit 1\n\
         large: Error ERR_WORKER_UNSERIALIZABLE_ERROR Serializing an uncaught exception failed, exit 1\n\
         exit-in-uncaught: no error, exit 12\n\
         second: PanicError ERR_GUEST_PANIC second, exit 1\n",
    );
}

// proves: Worker.event.error
#[test]
fn an_error_arrives_with_its_members() {
    errors("members").success().stdout(
        "RangeError Some(\"ENOENT\") no such thing\n\
         Some(\"open\") Some(\"/a\") Some(\"/b\")\n\
         stack true\n",
    );
}

// proves: Worker.event.error, process.event.uncaughtException
#[test]
fn an_error_nobody_listens_for_climbs_to_the_main_thread() {
    for depth in ["0", "1", "3"] {
        let run = guest(tests::WORKER_ERRORS)
            .args(["climb", depth])
            .run()
            .code(1)
            .stdout("main exits with 1\n")
            .stderr_has("Uncaught PanicError [ERR_GUEST_PANIC]: deep below");
        run.check(run.stderr.matches("deep below").count() == 1, "it is printed once");
    }
    errors("caught-in-creator")
        .success()
        .stdout("uncaught a panic\nexit 1\n");
}

// proves: process.event.uncaughtException
#[test]
fn a_worker_survives_what_it_handles() {
    errors("survives")
        .success()
        .stdout("online\nmessage in a timer\nmessage alive\nexit 0\n");
}

// proves: Worker.event.exit, process.exitCode, process.exit, process.event.exit
#[test]
fn the_eleven_cases_end_as_those_of_a_process() {
    let program = tests::PROCESS_EXIT_CASE.path();
    let directory = program.parent().unwrap().to_str().unwrap();
    for number in 1..=10 {
        let number = number.to_string();
        let process = guest(tests::PROCESS_EXIT_CASE).arg(&number).run();
        let worker = guest_with(&["--dir", directory], tests::WORKER_RUN)
            .arg(&program)
            .arg(&number)
            .run()
            .success();
        let mut expected = String::from("online\n");
        if let Some(error) = process.stderr.strip_prefix("Uncaught PanicError [ERR_GUEST_PANIC]: ") {
            let message = error.lines().next().unwrap();
            expected.push_str(&format!("error PanicError ERR_GUEST_PANIC {message}\n"));
        }
        // A thread has no code for a failing handler.
        let code = if number == "10" { Some(1) } else { process.code };
        expected.push_str(&format!(
            "exit {}\nstdout {:?}\nstderr \"\"\n",
            code.unwrap(),
            process.stdout
        ));
        worker.stdout(&expected);
    }
    // The last: a hook that is none.
    guest(tests::WORKER_RUN)
        .arg(INVALID_HOOK)
        .run()
        .success()
        .stdout("online\nexit 6\nstdout \"\"\nstderr \"\"\n");
}

/// A module whose uncaught hook has the wrong type.
const INVALID_HOOK: &str = r#"text:(module (memory (export "memory") 2)
    (func (export "nodule_hook_buffer") (result i32) (i32.const 0))
    (func (export "nodule_resume"))
    (func (export "nodule_uncaught"))
    (func (export "_start") unreachable))"#;
