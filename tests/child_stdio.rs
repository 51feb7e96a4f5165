//! Descriptors of child processes: what they are, how much they hold, when they end.

use std::path::Path;

use crate::children::{check_order, ordered, with};
use crate::guests::tests;
use crate::support::{Cmd, Run, guest_with};

fn scenario(line: &[&str]) -> Cmd {
    let directory = tests::CHILD_STDIO.path();
    let read = format!("--dir={}:ro", directory.parent().unwrap().display());
    guest_with(&["--allow-run", "--allow-child", &read, "--dir=."], tests::CHILD_STDIO).args(line)
}

/// A scenario, and what is promised of the order of its trace.
#[track_caller]
fn traced(line: &[&str], expected: &str) -> Run {
    let run = scenario(line).run().code(0);
    check_order(&run);
    let shown = ordered(&run.stdout);
    run.check(shown == expected, &format!("{expected}expected, there is\n{shown}"));
    run
}

const ENDED: &str = "spawn\nexit 0 null code=Some(0) signal=None\nclose 0 null\n";

// proves: child_process.stdio.pipe, child_process.stdio.overlapped, child_process.stdio.extra_fd, ChildProcess.stdio
#[test]
fn any_descriptor_can_be_a_pipe() {
    traced(
        &["extra"],
        &format!(
            "{ENDED}fd 1 data\nfd 1 end bytes \"out\\n\"\nfd 3 end bytes \"\"\n\
             fd 4 data\nfd 4 end bytes \"got a line\\n\"\n"
        ),
    )
    .stderr("");
}

// proves: child_process.stdio.extra_fd, child_process.stdio.fd
#[test]
fn a_module_has_the_descriptors_it_was_given() {
    traced(
        &["module"],
        &format!(
            "{ENDED}fd 1 data\nfd 1 end bytes \"ended Some(0)\\nfd 0: EBADF\\nfd 4: EBADF\\n\"\n\
             fd 3 data\nfd 3 end bytes \"got a line\\nfrom below\\n\"\n"
        ),
    )
    .stderr("");
}

// proves: child_process.stdio.inherit, child_process.stdio.ignore, child_process.stdio.fd
#[test]
fn a_descriptor_can_be_nothing_or_one_of_the_parents() {
    // The child writes past its parent, at once.
    let run = scenario(&["inherit"]).run().code(0).stderr("error\n");
    run.check(
        run.stdout
            .lines()
            .filter(|line| *line != "from the child")
            .eq(ENDED.lines())
            && run.stdout.contains("from the child\n"),
        "the child writes to the output of its parent",
    );
    traced(&["ignore"], ENDED).stderr("");
    let run = scenario(&["fds"]).run().code(0).stderr("out\n");
    run.stdout_has("err\n").stdout_has("exit 0 null");
}

// proves: child_process.stdio.inherit
#[test]
fn what_a_parent_does_not_read_is_there_for_its_child() {
    let command = guest_with(&["--allow-run"], tests::CHILD_SPAWN).stdin("for the child\n");
    let run = command.args(["stdio=[inherit,pipe,pipe]", "--", "cat"]).run().success();
    run.stdout_has("fd 1 end bytes \"for the child\\n\"\n");
}

// proves: child_process.stdio.fd
#[test]
fn a_file_is_opened_within_the_grants() {
    traced(
        &["file", "text"],
        &format!(
            "w Some(0)\na Some(0)\nwx Error EEXIST EEXIST: file already exists, open 'text' errno=-17 syscall=open path=text\n\
             \"one\\ntwo\\n\"\n{ENDED}fd 1 data\nfd 1 end bytes \"one\\ntwo\\n\"\nfd 2 end bytes \"\"\n"
        ),
    )
    .stderr("");
    let run = scenario(&["file", "/etc/text"]).run().code(1);
    let refused = "Error ERR_ACCESS_DENIED Access to this API has been restricted: write /etc/text";
    for flags in ["w", "a", "wx"] {
        run.check(
            run.stdout.contains(&format!("{flags} {refused}")),
            "no file is made elsewhere",
        );
    }
    run.check(!Path::new("/etc/text").exists(), "no file is made elsewhere");
    // To read needs a grant to read.
    let line = ["stdio=[{file=/etc/passwd}]", "end", "--", "cat"];
    with(&["--allow-run", "--dir=."], tests::CHILD_SPAWN, &line)
        .code(1)
        .stdout("")
        .stderr_has("ERR_ACCESS_DENIED");
    let line = ["stdio=[ignore,{file=new;flags=w}]", "end", "--", "echo", "x"];
    with(&["--allow-run", "--dir=.:ro"], tests::CHILD_SPAWN, &line)
        .code(1)
        .stdout("")
        .stderr_has("ERR_ACCESS_DENIED");
}

// proves: child_process.stdio.fd
#[test]
fn the_output_of_one_child_is_the_input_of_another() {
    traced(&["stream"], &format!("{ENDED}fd 1 data\nfd 1 end bytes \"a\\nb\\n\"\n")).stderr("");
}

// proves: child_process.options.stdio
#[test]
fn a_list_that_is_short_is_filled_up() {
    traced(
        &["padded"],
        &format!("entries 3\n{ENDED}fd 1 data\nfd 1 end bytes \"out\\n\"\nfd 2 end bytes \"\"\n"),
    )
    .stderr("");
}

// proves: ChildProcess.event.close, ChildProcess.stdout
#[test]
fn close_waits_for_whoever_reads() {
    scenario(&["discard"]).run().success().stdout(ENDED);
    scenario(&["slow_reader"])
        .run()
        .success()
        .stdout("spawn\nexit 0 null code=Some(0) signal=None\nline one\nline two\nclose 0 null\n");
}

// proves: ChildProcess.stdin
#[test]
fn the_input_of_a_child_that_ended_is_a_broken_pipe() {
    scenario(&["stdin_late"])
        .run()
        .success()
        .stdout("write false\nwrite_all EPIPE\nevent EPIPE\n");
}

// proves: child_process.default_pipes
#[test]
fn pipes_are_finite_both_ways() {
    scenario(&["pressure"])
        .run()
        .success()
        .stdout("asked to stop, waiting true\nall came back true\nended ExitStatus { code: Some(0), signal: None }\n");
    scenario(&["unread"])
        .run()
        .success()
        .stdout("the child waits true\nread 10000000\nthen Some(\"done\")\n");
}

// proves: child_process.default_pipes
#[test]
fn what_nobody_reads_stays_with_the_child() {
    // The parent holds what fits into the pipe, and no more: it would not have room for all of it.
    let line = [
        "noread",
        "timeout=1000",
        "killSignal=SIGKILL",
        "--",
        "sh",
        "-c",
        "exec cat /dev/zero",
    ];
    let flags = ["--allow-run", "--max-memory=16MiB"];
    with(&flags, tests::CHILD_SPAWN, &line)
        .success()
        .stdout("called\nspawn\nexit null SIGKILL code=None signal=Some(\"SIGKILL\")\nclose null SIGKILL\n");
}

// proves: child_process.options.stdio
#[test]
fn a_child_has_no_other_descriptors() {
    // The host has some that it was started with, and many of its own.
    let command = guest_with(&["--allow-run"], tests::CHILD_SPAWN);
    let script = "exec 7</dev/null 8</dev/null; exec \"$0\" \"$@\"";
    let line = [
        "end",
        "--",
        "sh",
        "-c",
        "for fd in /proc/$$/fd/*; do printf '%s ' ${fd##*/}; done",
    ];
    let run = command.args(line).through_shell(script).run().success();
    let fds = run
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("fd 1 end bytes "))
        .unwrap_or_default();
    // One of them may be the shell's own, on the list.
    run.check(
        matches!(fds, "\"0 1 2 \"" | "\"0 1 2 3 \""),
        "nothing but the standard streams",
    );
}
