//! Signals: listeners, defaults, `process.kill`.

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use crate::guests::tests;
use crate::support::{guest, guest_with};

// proves: process.event.signal, process.event.SIGINT, process.event.SIGTERM, process.event.SIGHUP, process.event.SIGQUIT
// proves: process.event.SIGUSR1, process.event.SIGUSR2, process.event.SIGPIPE, process.event.SIGCHLD
// proves: process.event.SIGWINCH, process.event.SIGCONT, process.event.SIGTSTP, process.event.SIGBUS
// proves: process.event.SIGFPE, process.event.SIGSEGV, process.event.SIGILL
#[test]
fn every_signal_reaches_its_listener_with_name_and_number() {
    let signals = [
        "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCHLD", "SIGWINCH", "SIGCONT",
        "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGALRM", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGILL",
    ];
    let mut expected = String::new();
    for name in signals {
        let number = nodule_abi::signal::number(name).unwrap();
        expected.push_str(&format!("{name} {number}\n"));
    }
    expected.push_str("exit 0\n");
    guest(tests::PROCESS_SIGNAL)
        .arg("own")
        .args(signals)
        .run()
        .success()
        .stdout(&expected);
}

// proves: process.event.signal, process.event.SIGINT, process.event.SIGTERM, process.event.SIGHUP
#[test]
fn signals_from_outside_arrive_while_the_guest_waits() {
    let running = guest(tests::PROCESS_SIGNAL).arg("wait").start();
    running.wait_for_stdout("ready\n");
    for (signal, line) in [
        (Signal::INT, "SIGINT 2\n"),
        (Signal::HUP, "SIGHUP 1\n"),
        (Signal::USR2, "SIGUSR2 12\n"),
        (Signal::WINCH, "SIGWINCH 28\n"),
    ] {
        running.signal(signal);
        running.wait_for_stdout(line);
    }
    running.signal(Signal::TERM);
    running
        .wait()
        .success()
        .stdout("ready\nSIGINT 2\nSIGHUP 1\nSIGUSR2 12\nSIGWINCH 28\nSIGTERM 15\nexit 0\n");
}

// proves: process.event.signal
#[test]
fn signals_that_arrive_at_once_are_delivered_one_by_one() {
    let running = guest(tests::PROCESS_SIGNAL).arg("wait").start();
    running.wait_for_stdout("ready\n");
    running.signal(Signal::STOP);
    waitid(WaitId::Pid(running.pid()), WaitIdOptions::STOPPED).unwrap();
    // All are pending when it goes on; nested handlers would overflow the stack that signals have.
    for signal in [Signal::WINCH, Signal::USR2, Signal::INT, Signal::HUP] {
        running.signal(signal);
    }
    running.signal(Signal::CONT);
    for line in ["SIGHUP 1\n", "SIGINT 2\n", "SIGUSR2 12\n", "SIGWINCH 28\n"] {
        running.wait_for_stdout(line);
    }
    running.signal(Signal::TERM);
    running.wait().success();
}

// proves: process.exit_code.gt128, process.event.SIGINT, process.event.SIGTERM, process.event.SIGHUP
// proves: process.event.SIGUSR2, process.event.SIGQUIT
#[test]
fn without_a_listener_the_process_dies_by_the_signal() {
    for signal in [
        Signal::INT,
        Signal::TERM,
        Signal::HUP,
        Signal::USR2,
        Signal::QUIT,
        Signal::ALARM,
    ] {
        let running = guest_with(&["--dir", "."], tests::PROCESS_SIGNAL).arg("none").start();
        running.wait_for_stdout("ready\n");
        running.signal(signal);
        // Without `exit`: no listener runs.
        let run = running.wait().signal(signal).stdout("ready\n");
        if signal == Signal::QUIT {
            let mut files = std::fs::read_dir(run.directory()).unwrap();
            run.check(
                files.any(|file| file.unwrap().path().extension() == Some("wasm".as_ref())),
                "SIGQUIT leaves a core dump",
            );
        }
    }
}

// proves: process.event.SIGPIPE, process.event.SIGWINCH, process.event.SIGCHLD, process.event.SIGCONT
#[test]
fn signals_that_are_ignored_by_default_change_nothing() {
    let running = guest(tests::PROCESS_SIGNAL).arg("none").start();
    running.wait_for_stdout("ready\n");
    for signal in [Signal::PIPE, Signal::WINCH, Signal::CHILD, Signal::CONT] {
        running.signal(signal);
    }
    running.signal(Signal::TERM);
    running.wait().signal(Signal::TERM);
}

// proves: process.event.SIGTSTP, process.event.SIGCONT
#[test]
fn the_process_stops_and_continues() {
    let running = guest(tests::PROCESS_SIGNAL).arg("none").start();
    running.wait_for_stdout("ready\n");
    running.signal(Signal::TSTP);
    let stopped = waitid(WaitId::Pid(running.pid()), WaitIdOptions::STOPPED)
        .unwrap()
        .unwrap();
    assert!(stopped.stopped(), "{stopped:?}");
    running.signal(Signal::CONT);
    let continued = waitid(WaitId::Pid(running.pid()), WaitIdOptions::CONTINUED)
        .unwrap()
        .unwrap();
    assert!(continued.continued(), "{continued:?}");
    running.signal(Signal::TERM);
    running.wait().signal(Signal::TERM);
}

// proves: process.event.signal, process.event.SIGTERM
#[test]
fn removing_the_last_listener_restores_the_default() {
    guest(tests::PROCESS_SIGNAL)
        .arg("default")
        .run()
        .signal(Signal::TERM)
        .stdout("first\nsecond\nsecond\nremoved\n");
}

// proves: process.event.SIGKILL, process.event.SIGSTOP, process.event.SIGBREAK
#[test]
fn signals_that_cannot_be_listened_for_are_refused() {
    guest(tests::PROCESS_SIGNAL).arg("refused").run().success().stdout(
        "SIGKILL EINVAL Some(\"signal\")\nSIGSTOP EINVAL Some(\"signal\")\nSIGNONE ERR_UNKNOWN_SIGNAL None\nSIGBREAK true\nexit 0\n",
    );
}

// proves: process.event.signal
#[test]
fn a_listener_does_not_keep_the_process() {
    guest(tests::PROCESS_SIGNAL)
        .arg("idle")
        .run()
        .success()
        .stdout("exit 0\n");
}

// proves: process.kill
#[test]
fn kill_says_what_is_wrong() {
    let own = "exists: true\n\
               unknown name: ERR_UNKNOWN_SIGNAL None None\n\
               bad number: EINVAL Some(-22) Some(\"kill\")\n";
    let run = guest(tests::PROCESS_KILL).run().success();
    run.check(
        run.stdout.starts_with(own),
        &format!("stdout starting with {own} expected"),
    );
    // Others need a grant, whether they exist or not.
    run.stdout_has("no process: ERR_ACCESS_DENIED")
        .stdout_has("init: ERR_ACCESS_DENIED");
    let run = guest_with(&["--allow-signal"], tests::PROCESS_KILL).run().success();
    run.check(
        run.stdout.starts_with(own),
        &format!("stdout starting with {own} expected"),
    );
    let run = run.stdout_has("no process: ESRCH Some(-3) Some(\"kill\")\n");
    let root = rustix::process::geteuid().is_root();
    run.stdout_has(if root {
        "init: true\n"
    } else {
        "init: EPERM Some(-1) Some(\"kill\")\n"
    });
}
