//! Modules that lie, hoard, loop and flood: each ends as documented, and the host with it in good order.

use std::io::PipeReader;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use crate::support::{nodule, wat_with};

/// A module with a memory of one page and these fields.
fn module(fields: &str) -> String {
    format!(r#"(module {fields} (memory (export "memory") 1))"#)
}

/// Imports, abbreviated.
const EXIT: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
const WRITE: &str =
    r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;
const TIMER: &str = r#"(import "nodule:timers/1" "set" (func $timer (param f64 i32 i32) (result i32)))"#;
const UNCAUGHT: &str = r#"(import "nodule:process/1" "uncaught" (func $uncaught (param i32 i32 i32) (result i32)))"#;

/// Hooks as the SDK has them: the error is handled, the loop goes on with nothing.
const HANDLING_HOOKS: &str = r#"
    (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))
    (func (export "nodule_uncaught") (param i32 i32) (result i32) (i32.const 1))
    (func (export "nodule_resume"))"#;

#[test]
fn an_endless_loop_ends_at_each_kind_of_limit() {
    let text = module(r#"(func (export "_start") (loop $again (br $again)))"#);
    for (flags, code) in [
        (["--timeout-ms", "150"], "ERR_WORKER_DEADLINE"),
        (["--max-cpu-ms", "100"], "ERR_WORKER_CPU_LIMIT"),
        (["--fuel", "100000"], "ERR_WORKER_OUT_OF_FUEL"),
    ] {
        wat_with(&flags, &text).run().code(1).stderr_has(code);
    }
}

#[test]
fn endless_loops_in_places_other_than_main_end_too() {
    let endless = "(loop $again (br $again))";
    let exit_hook = format!(r#"(func (export "_start")) (func (export "nodule_exit") (param i64) {endless})"#);
    let uncaught_hook = format!(
        r#"(memory (export "memory") 2) (func (export "_start") unreachable)
        (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))
        (func (export "nodule_uncaught") (param i32 i32) (result i32) {endless} (i32.const 0))
        (func (export "nodule_resume"))"#
    );
    let start = format!(r#"(func $init {endless}) (start $init) (func (export "_start"))"#);
    for text in [exit_hook, uncaught_hook, start] {
        wat_with(&["--timeout-ms", "150"], &format!("(module {text})"))
            .run()
            .code(1)
            .stderr_has("ERR_WORKER_DEADLINE");
    }
}

#[test]
fn an_error_that_is_handled_again_and_again_ends_at_the_limit() {
    let text = r#"(module (memory (export "memory") 2) (func (export "_start") unreachable)
        (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))
        (func (export "nodule_uncaught") (param i32 i32) (result i32) (i32.const 1))
        (func (export "nodule_resume") unreachable))"#;
    wat_with(&["--timeout-ms", "200"], text)
        .run()
        .code(1)
        .stderr_has("ERR_WORKER_DEADLINE");
    wat_with(&["--max-cpu-ms", "100"], text)
        .run()
        .code(1)
        .stderr_has("ERR_WORKER_CPU_LIMIT");
}

#[test]
fn an_endless_loop_dies_by_a_signal() {
    let text = module(&format!(
        r#"{WRITE} (data (i32.const 0) "\08\00\00\00\05\00\00\00on\0a--")
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
            (loop $again (br $again)))"#
    ));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let running = wat_with(&[], &text).start();
        running.wait_for_stdout("on\n");
        running.signal(signal);
        running.wait().signal(signal);
    }
}

#[test]
fn deep_recursion_is_an_error_of_the_guest() {
    let text = module(
        r#"(func $deeper (param i64) (result i64) (i64.add (call $deeper (local.get 0)) (i64.const 1)))
        (func (export "_start") (drop (call $deeper (i64.const 0))))"#,
    );
    for flags in [vec![], vec!["--max-stack", "64KiB"], vec!["--max-stack", "16MiB"]] {
        wat_with(&flags, &text)
            .run()
            .code(1)
            .stderr_has("RangeError")
            .stderr_has("ERR_WASM_STACK_OVERFLOW")
            .stderr_has("Maximum call stack size exceeded");
    }
}

#[test]
fn recursion_through_the_host_is_bounded() {
    // Every uncaught hook raises the next error.
    let text = format!(
        r#"(module {UNCAUGHT} (memory (export "memory") 2)
        (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))
        (func (export "nodule_uncaught") (param i32 i32) (result i32)
            (call $uncaught (i32.const 65536) (local.get 0) (i32.const 0)))
        (func (export "nodule_resume"))
        (func (export "_start") unreachable))"#
    );
    wat_with(&[], &text).run().code(7).stderr_has("ERR_WASM_UNREACHABLE");
}

#[test]
fn memory_grows_to_its_limit_and_no_further() {
    // Grows by a page until refused, then ends with the number of pages.
    let text = format!(
        r#"(module {EXIT} (memory (export "memory") 1)
        (func (export "_start")
            (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (call $exit (memory.size))))"#
    );
    wat_with(&["--max-memory", "4MiB"], &text)
        .run()
        .code(1)
        .stderr_has("ERR_WORKER_OUT_OF_MEMORY")
        .stderr_has("--max-memory");
    let declared = r#"(module (memory (export "memory") 1 20)
        (func (export "_start") (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))"#;
    wat_with(&["--max-memory", "4MiB"], declared).run().success();
}

// proves: process.exit_code.4
#[test]
fn a_module_that_declares_more_than_it_may_have_is_refused() {
    let text = r#"(module (memory (export "memory") 1024) (func (export "_start") unreachable))"#;
    wat_with(&["--max-memory", "1MiB"], text)
        .run()
        .code(4)
        .stderr_has("--max-memory");
    let table = r#"(module (table 5000 funcref) (func (export "_start") unreachable))"#;
    wat_with(&["--max-table-elements", "100"], table).run().code(4);
}

#[test]
fn tables_grow_to_their_limit_and_no_further() {
    let text = format!(
        r#"(module {EXIT} (memory (export "memory") 1) (table $table 1 funcref)
        (func (export "_start")
            (loop $again (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 10)) (i32.const -1))))
            (call $exit (table.size $table))))"#
    );
    wat_with(&["--max-table-elements", "99"], &text).run().code(91);
}

#[test]
fn handles_end_at_their_limit_and_the_guest_goes_on() {
    // Sets timers until refused; ends with their number.
    let text = format!(
        r#"(module {EXIT} {TIMER} (memory (export "memory") 1)
        (func (export "_start") (local $count i32)
            (loop $again
                (if (i32.eqz (call $timer (f64.const 1e9) (i32.const 0) (i32.const 0)))
                    (then (local.set $count (i32.add (local.get $count) (i32.const 1))) (br $again))))
            (call $exit (local.get $count))))"#
    );
    wat_with(&["--max-handles", "50"], &text).run().code(50);
    // The default bound holds as well: 65,536 cut to eight bits.
    wat_with(&[], &text).run().code(0);
}

/// Opens `f` again and again until refused; ends with 33 when the refusal is `EMFILE` or `ENFILE`.
const OPEN_UNTIL_REFUSED: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "f")
    (func (export "_start") (local $error i32)
        (loop $again
            (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
            (br_if $again (i32.eqz (local.get $error))))
        (call $exit (local.get $error))))"#;

#[test]
fn open_files_end_at_a_limit() {
    let run = |flags: &[&str], limit: &str| {
        let flags = [&["--dir", "."], flags].concat();
        let shell = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        wat_with(&flags, OPEN_UNTIL_REFUSED)
            .file("f", "x")
            .through_shell(&shell)
            .run()
    };
    run(&["--max-handles", "100"], "4096").code(33);
    // Where the system's bound is lower, its refusal is an error of the guest too: 33, or 29 (EIO) by way of the library.
    for limit in ["64", "256"] {
        let run = run(&[], limit);
        run.check(
            matches!(run.code, Some(29 | 33)),
            "an error number of the guest expected",
        );
    }
}

/// Writes 4 KiB to stdout for ever.
fn flood() -> String {
    format!(
        r#"(module {WRITE} (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\00\10\00\00")
        (func (export "_start")
            (loop $again (br_if $again (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))))"#
    )
}

fn wait_until_readable(pipe: &PipeReader) {
    let limit = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "the guest wrote nothing");
}

#[test]
fn a_flood_that_nobody_reads_waits_and_can_be_ended() {
    let (reader, writer) = std::io::pipe().unwrap();
    let running = wat_with(&[], &flood()).stdout_to(writer).start();
    wait_until_readable(&reader);
    running.signal(Signal::TERM);
    running.wait().signal(Signal::TERM);
}

#[test]
fn a_flood_whose_reader_goes_away_sees_an_error_not_a_signal() {
    let (reader, writer) = std::io::pipe().unwrap();
    let running = wat_with(&[], &flood()).stdout_to(writer).start();
    wait_until_readable(&reader);
    drop(reader);
    // The guest's loop ends when a write fails.
    running.wait().code(0);
}

#[test]
fn a_flood_on_a_full_device_is_an_error_of_the_guest() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    wat_with(&[], &flood()).stdout_to(full).start().wait().code(0);
}

// proves: process.exit_code.6
#[test]
fn hooks_of_the_wrong_shape_are_code_6() {
    let trap = r#"(func (export "_start") unreachable)"#;
    let buffer = r#"(func (export "nodule_hook_buffer") (result i32) (i32.const 65536))"#;
    let resume = r#"(func (export "nodule_resume"))"#;
    let good = r#"(func (export "nodule_uncaught") (param i32 i32) (result i32) (i32.const 1))"#;
    for hooks in [
        format!(r#"(func (export "nodule_uncaught")) {buffer} {resume}"#),
        format!(r#"(func (export "nodule_uncaught") (param i64 i64) (result i32) (i32.const 1)) {buffer} {resume}"#),
        format!(r#"{good} {resume}"#),
        format!(r#"{good} {buffer}"#),
        format!(r#"{good} {resume} (func (export "nodule_hook_buffer") (result i64) (i64.const 8))"#),
        // Buffers that do not lie in the memory.
        format!(r#"{good} {resume} (func (export "nodule_hook_buffer") (result i32) (i32.const 65537))"#),
        format!(r#"{good} {resume} (func (export "nodule_hook_buffer") (result i32) (i32.const -1))"#),
    ] {
        wat_with(&[], &format!(r#"(module (memory (export "memory") 2) {hooks} {trap})"#))
            .run()
            .code(6);
    }
    wat_with(
        &[],
        &format!(r#"(module (memory (export "memory") 2) {HANDLING_HOOKS} {trap})"#),
    )
    .run()
    .success();
}

// proves: process.exit_code.7
#[test]
fn hooks_that_fail_are_code_7() {
    let trap = r#"(func (export "_start") unreachable)"#;
    for hooks in [
        r#"(func (export "nodule_uncaught") (param i32 i32) (result i32) unreachable)
           (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))"#,
        r#"(func (export "nodule_uncaught") (param i32 i32) (result i32) (i32.const 1))
           (func (export "nodule_hook_buffer") (result i32) unreachable)"#,
        r#"(func $deep (export "nodule_uncaught") (param i32 i32) (result i32)
               (call $deep (local.get 0) (local.get 1)) (i32.const 1) i32.add)
           (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))"#,
    ] {
        let text = format!(r#"(module (memory (export "memory") 2) {hooks} (func (export "nodule_resume")) {trap})"#);
        wat_with(&[], &text).run().code(7);
    }
}

// proves: process.exit_code.10
#[test]
fn a_trap_before_user_code_is_code_10() {
    let text = r#"(module (func $init unreachable) (start $init) (func (export "_start")))"#;
    wat_with(&[], text).run().code(10);
}

// proves: process.exit_code.1
#[test]
fn every_kind_of_trap_has_its_name_and_code() {
    for (body, name, code) in [
        ("unreachable", "RuntimeError", "ERR_WASM_UNREACHABLE"),
        (
            "(drop (i32.load (i32.const 65536)))",
            "RuntimeError",
            "ERR_WASM_OUT_OF_BOUNDS",
        ),
        (
            "(i64.store (i32.const -1) (i64.const 1))",
            "RuntimeError",
            "ERR_WASM_OUT_OF_BOUNDS",
        ),
        (
            "(drop (table.get $table (i32.const 7)))",
            "RuntimeError",
            "ERR_WASM_OUT_OF_BOUNDS",
        ),
        (
            "(call_indirect (i32.const 0))",
            "RuntimeError",
            "ERR_WASM_INDIRECT_CALL",
        ),
        (
            "(drop (call_indirect (result i32) (i32.const 1)))",
            "RuntimeError",
            "ERR_WASM_INDIRECT_CALL",
        ),
        (
            "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
            "RuntimeError",
            "ERR_WASM_ARITHMETIC",
        ),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
            "RuntimeError",
            "ERR_WASM_ARITHMETIC",
        ),
        (
            "(drop (i32.trunc_f64_s (f64.const nan)))",
            "RuntimeError",
            "ERR_WASM_ARITHMETIC",
        ),
        (
            "(drop (i32.atomic.load (i32.const 1)))",
            "RuntimeError",
            "ERR_WASM_ATOMIC",
        ),
        (
            "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
            "RuntimeError",
            "ERR_WASM_ATOMIC",
        ),
    ] {
        let text = module(&format!(
            r#"(table $table 2 funcref) (elem (i32.const 1) $nothing) (func $nothing) (func (export "_start") {body})"#
        ));
        let run = wat_with(&[], &text).run().code(1).stdout("");
        run.check(
            run.stderr.starts_with(&format!("Uncaught {name}")),
            "the error comes first",
        );
        run.check(run.stderr.contains(code), &format!("{code} expected"));
    }
}

#[test]
fn pointers_without_a_memory_are_an_error_of_the_guest() {
    for text in [
        format!(
            r#"(module {TIMER} (func (export "_start") (drop (call $timer (f64.const 1) (i32.const 0) (i32.const 0)))))"#
        ),
        format!(
            r#"(module {WRITE} (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))))"#
        ),
        // Something else under that name.
        format!(
            r#"(module {TIMER} (global (export "memory") i32 (i32.const 0))
            (func (export "_start") (drop (call $timer (f64.const 1) (i32.const 0) (i32.const 0)))))"#
        ),
    ] {
        wat_with(&[], &text).run().code(1).stderr_has("memory");
    }
}

#[test]
fn a_stack_pointer_of_another_kind_is_no_problem() {
    for global in [
        "i64 (i64.const 9)",
        "i32 (i32.const 9)",
        "(mut f32) (f32.const 9)",
        "(mut funcref) (ref.null func)",
    ] {
        let text = format!(
            r#"(module (memory (export "memory") 2) (global (export "__stack_pointer") {global}) {HANDLING_HOOKS}
            (func (export "_start") unreachable))"#
        );
        wat_with(&[], &text).run().code(0);
    }
}

// proves: process.exit_code.3
#[test]
fn bytes_that_are_no_module_are_code_3() {
    let component = b"\0asm\x0d\0\x01\0".as_slice();
    let oversized_section = b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f".as_slice();
    let huge_count = b"\0asm\x01\0\0\0\x03\x05\xff\xff\xff\xff\x0f".as_slice();
    for bytes in [
        b"".as_slice(),
        b"\0asm",
        b"\0asm\x02\0\0\0",
        component,
        oversized_section,
        huge_count,
        b"\x7fELF",
        &[0xff; 4096],
    ] {
        nodule(["run", "bad.wasm"])
            .file("bad.wasm", bytes)
            .run()
            .code(3)
            .stdout("");
    }
    wat_with(&[], "(module (func (export \"_start\") i32.const)")
        .run()
        .code(3);
}

#[test]
fn modules_with_flipped_bytes_never_harm_the_host() {
    let text = module(&format!(
        r#"{WRITE} {EXIT} (data (i32.const 0) "\08\00\00\00\05\00\00\00hallo")
        (table 4 funcref) (elem (i32.const 0) $f $g) (global $count (mut i32) (i32.const 3))
        (func $f (param i32) (result i32) (i32.add (local.get 0) (global.get $count)))
        (func $g (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))))
        (func (export "_start") (call $g) (drop (call_indirect (param i32) (result i32) (i32.const 4) (i32.const 0))))"#
    ));
    let original = wat::parse_str(&text).unwrap();
    let mut random = Random(20);
    for round in 0..150 {
        let mut bytes = original.clone();
        for _ in 0..=round % 4 {
            let at = random.below(bytes.len() - 8) + 8;
            bytes[at] ^= 1 << random.below(8);
        }
        let run = nodule([
            "run",
            "--no-cache",
            "--timeout-ms",
            "500",
            "--max-memory",
            "64MiB",
            "m.wasm",
        ])
        .file("m.wasm", &bytes)
        .run();
        run.check(
            run.signal.is_none() && run.code != Some(5),
            &format!("round {round}: the host was harmed by {bytes:02x?}"),
        );
    }
}

/// Numbers that look random and are the same in every run (xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}
