//! Running the guest programs about child processes, and the same command lines in Node.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::guests::Guest;
use crate::support::{Cmd, Run, first_difference, guest_with, node};

/// The guest programs as one script of Node.
pub const IN_NODE: &str = include_str!("scripts/child_process.cjs");

/// A program with the grant to start programs of the system.
pub fn run(program: Guest, line: &[&str]) -> Run {
    with(&["--allow-run"], program, line)
}

/// A program with these flags.
pub fn with(flags: &[&str], program: Guest, line: &[&str]) -> Run {
    guest_with(flags, program).args(line).run()
}

/// The same command line in Node; `None` where there is no Node.
pub fn in_node(program: &str, line: &[&str]) -> Option<Cmd> {
    let command = node(&["child_process.cjs", program])?;
    Some(command.args(line).file("child_process.cjs", IN_NODE))
}

/// A trace without the order between streams and events, and between streams, which is open: the events in their order,
/// then each stream in its order.
pub fn ordered(trace: &str) -> String {
    let mut lines: Vec<&str> = trace.lines().collect();
    // Stable: what belongs together keeps its order.
    lines.sort_by_key(|line| line.strip_prefix("fd ").map(|rest| rest.split(' ').next()));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Fails unless events and streams came in an order that is promised: `spawn` first, `close` last.
#[track_caller]
pub fn check_order(run: &Run) {
    let place = |wanted: &str| {
        run.stdout
            .lines()
            .position(|line| line.split(' ').next() == Some(wanted))
    };
    let (first, last) = {
        let streams = || {
            let lines = run.stdout.lines().enumerate();
            lines.filter_map(|(at, line)| line.starts_with("fd ").then_some(at))
        };
        (streams().min(), streams().max())
    };
    if let (Some(spawn), Some(first)) = (place("spawn"), first) {
        run.check(spawn < first, "'spawn' comes before all data");
    }
    if let (Some(close), Some(last)) = (place("close"), last) {
        run.check(last < close, "'close' comes after the ends of all streams");
    }
    let ends = [place("spawn").or(place("error")), place("exit"), place("close")];
    let ends: Vec<_> = ends.into_iter().flatten().collect();
    run.check(ends.is_sorted(), "'spawn' or 'error', then 'exit', then 'close'");
}

/// Fails unless a command line gives the same trace and exit code here as in Node. With flags other than the grant to start
/// programs, see [`same_as_node_with`].
#[track_caller]
pub fn same_as_node(program: Guest, lines: &[&[&str]]) {
    same_as_node_with(&["--allow-run"], program, lines);
}

/// As [`same_as_node`], with these flags for the guest.
#[track_caller]
pub fn same_as_node_with(flags: &[&str], program: Guest, lines: &[&[&str]]) {
    for line in lines {
        let Some(expected) = in_node(program.name, line) else {
            return;
        };
        let expected = expected.run();
        let run = with(flags, program, line);
        check_order(&run);
        let difference = first_difference(&ordered(&expected.stdout), &ordered(&run.stdout));
        run.check(
            difference.is_none(),
            &format!("not as in Node:\n{}", difference.unwrap_or_default()),
        );
        run.check(
            run.code == expected.code,
            &format!("Node ends with {:?}", expected.code),
        );
    }
}

/// A value for the variable `MARK` of processes that are looked for with [`marked`].
pub fn mark(name: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

/// The processes that have this `MARK` in their environment and have not ended.
pub fn marked(mark: &str) -> Vec<String> {
    let variable = format!("MARK={mark}");
    let is_marked = |pid: &String| {
        // Of one that has ended nothing can be read.
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == variable.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter(is_marked).collect()
}

/// How long a process may take to end that was sent a signal. Generous: machines that run tests are busy.
const END_LIMIT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Waits for the end of a process that need not be a child; gives whether it came.
pub fn ends(pid: &str) -> bool {
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.expect("a process id");
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(error) => error == rustix::io::Errno::SRCH,
        Ok(pidfd) => poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&END_LIMIT)) == Ok(1),
    }
}
