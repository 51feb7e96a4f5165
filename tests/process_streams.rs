//! Standard streams: nothing is lost, nothing is interleaved, a reader or writer that is gone is no disaster.

use std::io::{Read as _, Write as _};

use crate::guests::tests;
use crate::support::guest;

// proves: process.stdout, process.exit
#[test]
fn output_keeps_its_order_and_survives_exit() {
    guest(tests::PROCESS_STDOUT)
        .arg("order")
        .run()
        .success()
        .stdout("std sdk std sdk 1\nheld back");
}

// proves: process.stdout, process.exit
#[test]
fn eight_megabytes_arrive_although_the_program_exits_at_once() {
    let run = guest(tests::PROCESS_STDOUT).arg("large").run().code(0);
    let line = "x".repeat(1023);
    assert_eq!(run.stdout.len(), 8 << 20);
    assert!(run.stdout.lines().all(|found| found == line), "a line was torn");
}

// proves: process.stdout
#[test]
fn a_slow_reader_gets_everything() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let running = guest(tests::PROCESS_STDOUT).arg("large").stdout_to(writer).start();
    let mut total = 0;
    let mut buffer = [0; 777];
    loop {
        let len = reader.read(&mut buffer).unwrap();
        if len == 0 {
            break;
        }
        total += len;
    }
    assert_eq!(total, 8 << 20);
    running.wait().code(0);
}

// proves: process.stdout, process.stderr, process.event.SIGPIPE
#[test]
fn a_reader_that_is_gone_is_an_error_not_a_death() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    guest(tests::PROCESS_STDOUT)
        .arg("closed")
        .stdout_to(writer)
        .start()
        .wait()
        .code(0)
        .stderr("EPIPE");
}

// proves: process.stdout.fd, process.stderr.fd
#[test]
fn streams_know_what_they_are() {
    guest(tests::PROCESS_STDOUT)
        .arg("attributes")
        .run()
        .success()
        .stdout("Some(1) false None None\nSome(2)\n");
}

// proves: process.stdin
#[test]
fn input_arrives_by_listeners_reads_and_lines() {
    let run = |case: &str, input: &[u8]| guest(tests::PROCESS_STDIN).arg(case).stdin(input).run();
    run("flow", b"some text\nmore")
        .success()
        .stdout("some text\nmoreend\nexit 0\n");
    run("flow", b"").success().stdout("end\nexit 0\n");
    run("lines", b"one\ntwo\r\n\nlast")
        .success()
        .stdout_has("one")
        .stdout_has("two")
        .stdout_has("last");
    let large = vec![3; 5 << 20];
    run("read", &large)
        .success()
        .stdout(&format!("{} bytes, sum {}\nexit 0\n", large.len(), large.len() * 3));
}

// proves: process.stdin, process.stdin.fd
#[test]
fn input_that_nobody_reads_does_not_keep_the_program() {
    for (case, stdout) in [
        ("unread", "fd Some(0) tty false\nexit 0\n"),
        ("paused", "paused true\nexit 0\n"),
        ("unref", "exit 0\n"),
        ("cancelled", "given up true\nexit 0\n"),
    ] {
        // The writer stays open until the program has ended.
        let mut running = guest(tests::PROCESS_STDIN).arg(case).start();
        let writer = running.stdin.take();
        running.wait().success().stdout(stdout);
        drop(writer);
    }
}

// proves: process.stdin
#[test]
fn input_comes_when_it_is_written() {
    let mut running = guest(tests::PROCESS_STDIN).arg("lines").start();
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(b"first\n").unwrap();
    running.wait_for_stdout("first");
    stdin.write_all(b"second\n").unwrap();
    running.wait_for_stdout("second");
    drop(stdin);
    running.wait().success();
}
