//! Signals to child processes: `kill`, `killTree`, abort, timeouts, disposing.

use std::path::Path;

use crate::children::{ends, run, same_as_node};
use crate::guests::tests;
use crate::support::{Run, guest_with};

fn kill(line: &[&str]) -> Run {
    run(tests::CHILD_KILL, line).code(0)
}

/// The events of a child that a signal ended.
fn ended(signal: &str) -> String {
    format!("exit null {signal} code=None signal=Some(\"{signal}\")\nclose null {signal}\n")
}

// proves: ChildProcess.kill, ChildProcess.killed, ChildProcess.signalCode, ChildProcess.dispose
// proves: child_process.options.signal, child_process.options.killSignal, child_process.options.timeout
// proves: ChildProcess.event.error
#[test]
fn signals_are_sent_as_in_node() {
    same_as_node(
        tests::CHILD_KILL,
        &[
            &["kill", "SIGTERM", "--", "sleep", "60"],
            &["kill", "SIGKILL", "--", "sleep", "60"],
            &["kill", "sigint", "--", "sleep", "60"],
            &["kill", "2", "--", "sleep", "60"],
            &["kill", "0", "--", "sleep", "60"],
            &["kill", "SIGNOT", "--", "sleep", "60"],
            &["kill", "1000", "--", "sleep", "60"],
            &["kill", "-1", "--", "sleep", "60"],
            &["after", "--", "true"],
            &["after", "--", "/nope"],
            &["dispose", "--", "sleep", "60"],
            &["abort", "--", "sleep", "60"],
            &["abort", "killSignal=SIGKILL", "--", "sleep", "60"],
            &["abort", "--", "/nope"],
            &["abort_before", "--", "sleep", "60"],
            &["abort_before", "--", "/nope"],
            &["abort_late", "--", "true"],
        ],
    );
}

// proves: ChildProcess.kill, ChildProcess.killed, ChildProcess.exitCode, ChildProcess.signalCode
#[test]
fn a_signal_is_sent_by_name_or_number() {
    for (signal, name) in [("SIGTERM", "SIGTERM"), ("sigint", "SIGINT"), ("9", "SIGKILL")] {
        kill(&["kill", signal, "--", "sleep", "60"])
            .stderr("")
            .stdout(&format!("kill true killed true\nspawn\n{}", ended(name)));
    }
    // 0 tests, and counts as sent.
    kill(&["kill", "0", "--", "sleep", "60"]).stdout(&format!(
        "kill true killed true\nkill true\nspawn\n{}",
        ended("SIGKILL")
    ));
    for signal in ["SIGNOT", "1000", "-1"] {
        kill(&["kill", signal, "--", "sleep", "60"]).stdout(&format!(
            "kill TypeError ERR_UNKNOWN_SIGNAL Unknown signal: {signal} killed false\nkill true\nspawn\n{}",
            ended("SIGKILL")
        ));
    }
    kill(&["after", "--", "true"])
        .stdout("spawn\nexit 0 null code=Some(0) signal=None\nclose 0 null\nkill false killed false\n");
}

// proves: ChildProcess.dispose
#[test]
fn disposing_ends_a_child_once() {
    kill(&["dispose", "--", "sleep", "60"]).stdout(&format!("killed true\nspawn\n{}", ended("SIGTERM")));
    kill(&["drop", "--", "sleep", "60"])
        .stderr("")
        .stdout("exit Some(\"SIGTERM\")\n");
}

// proves: child_process.options.signal, ChildProcess.event.error
#[test]
fn an_aborted_child_gives_an_error_before_its_end() {
    let error = "error AbortError ABORT_ERR The operation was aborted cause=the reason\n";
    kill(&["abort", "--", "sleep", "60"]).stdout(&format!("spawn\n{error}{}", ended("SIGTERM")));
    // It is started all the same.
    kill(&["abort_before", "killSignal=SIGKILL", "--", "sleep", "60"])
        .stdout(&format!("called\nspawn\n{error}{}", ended("SIGKILL")));
    kill(&["abort_late", "--", "true"]).stdout("spawn\nexit 0 null code=Some(0) signal=None\nclose 0 null\n");
    let command = guest_with(&["--allow-run"], tests::CHILD_KILL).args(["abort_unheard", "--", "sh"]);
    let run = command.args(["-c", "echo $$ >pid; exec sleep 60"]).run().code(1);
    run.check(
        run.stderr.contains("Uncaught AbortError"),
        "an error that nobody hears is uncaught",
    );
    if let Ok(pid) = std::fs::read_to_string(run.directory().join("pid")) {
        run.check(pid.trim().is_empty() || ends(&pid), "the child was ended");
    }
}

// proves: child_process.options.timeout, child_process.options.killSignal
#[test]
fn a_child_whose_time_is_over_gets_its_signal_and_no_error() {
    let waited = |signal: &str| format!("waited ExitStatus {{ code: None, signal: Some({signal:?}) }}\n");
    for (signal, name) in [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGINT"), ("9", "SIGKILL")] {
        let line = [
            "wait",
            "timeout=50",
            &format!("killSignal={signal}"),
            "--",
            "sleep",
            "60",
        ];
        kill(&line)
            .stderr("")
            .stdout(&format!("spawn\n{}{}", ended(name), waited(name)));
    }
    // One that minds is not killed for it.
    let script = "trap 'exit 5' TERM; while :; do sleep 0.02; done";
    kill(&["wait", "timeout=1500", "--", "sh", "-c", script])
        .stdout_has("exit 5 null code=Some(5) signal=None\nclose 5 null\n");
}

/// A shell that has started two processes and waits for them; the numbers of all are in a file.
const TREE: &str = "echo $$ >pids; for name in a b; do sh -c 'echo $$ >>pids; exec sleep 60' & done; \
                    until [ $(wc -l <pids) = 3 ]; do :; done; echo ready; wait";

/// Runs a scenario on a script that writes the numbers of its processes to `pids`, and is to end all of them.
fn tree(line: &[&str], script: &str) -> Run {
    let command = guest_with(&["--allow-run"], tests::CHILD_KILL);
    let run = command
        .args(line)
        .args(["--", "sh", "-c", script])
        .run()
        .code(0)
        .stderr("");
    let pids = std::fs::read_to_string(run.directory().join("pids")).unwrap();
    for pid in pids.lines() {
        run.check(ends(pid), &format!("{pid} lives, of {pids:?}"));
    }
    run
}

// proves: ChildProcess.killTree, child_process.options.killTree
#[test]
fn a_tree_is_ended_whole() {
    let ready = "spawn\nsaid Some(\"ready\")\n";
    tree(&["tree"], TREE).stdout(&format!("{ready}killed 3\n{}", ended("SIGTERM")));
    let error = "error AbortError ABORT_ERR The operation was aborted cause=the reason\n";
    tree(&["abort_tree", "killTree=true"], TREE).stdout(&format!("{ready}{error}{}", ended("SIGTERM")));
}

// proves: ChildProcess.killTree
#[test]
fn who_does_not_mind_is_killed_after_the_grace() {
    // The shell is the last one to go, and does not end by itself before that.
    let script = format!("trap '' TERM; {TREE}; while :; do :; done");
    let stdout = format!("spawn\nsaid Some(\"ready\")\nkilled 3\n{}", ended("SIGKILL"));
    tree(&["tree", "100"], &script).stdout(&stdout);
}

// proves: ChildProcess.killTree
#[test]
fn what_is_started_during_the_grace_is_killed_after_it() {
    // A shell that minds no signal, and starts anew what does; what it says of that is of no interest.
    let script = "exec 2>/dev/null; trap '' TERM; echo $$ >pids; \
                  (until [ $(wc -l <pids) = 2 ]; do :; done; echo ready) & \
                  while :; do env --default-signal=TERM sh -c 'echo $$ >>pids; exec sleep 60'; done";
    let run = tree(&["tree", "500"], script);
    run.check(run.stdout.ends_with(&ended("SIGKILL")), "it is killed after the grace");
}

// proves: ChildProcess.kill
#[test]
fn a_signal_is_for_the_child_alone() {
    let command = guest_with(&["--allow-run"], tests::CHILD_KILL).args(["wait", "timeout=2000", "--", "sh", "-c"]);
    let script = "cat <&9 & echo $! >below; wait";
    // What is below ends with the input of the test, and says so.
    let (read, write) = std::io::pipe().unwrap();
    let run = command
        .arg(format!("exec 9<{}; {script}", fd_path(&read)))
        .run()
        .code(0);
    run.check(run.stdout.contains("exit null SIGTERM"), "the child was ended");
    let below = std::fs::read_to_string(run.directory().join("below")).unwrap();
    run.check(
        Path::new(&format!("/proc/{}", below.trim())).exists(),
        "what is below it lives",
    );
    drop((read, write));
    run.check(ends(&below), "until its input ends");
}

/// A path by which others open a pipe of this process.
fn fd_path(fd: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd())
}
