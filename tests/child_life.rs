//! The life of many children, and of those who are left: nothing leaks, nobody is left who should not be.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::children::{ends, mark, marked};
use crate::guests::{Guest, tests};
use crate::support::{Cmd, Running, guest_with};

/// The directory of the test programs, to read.
fn modules() -> String {
    let directory = tests::CHILD_SPAWN.path();
    format!("--dir={}:ro", directory.parent().unwrap().display())
}

/// Descriptors of a process.
fn descriptors(pid: Pid) -> usize {
    let path = format!("/proc/{}/fd", pid.as_raw_nonzero());
    std::fs::read_dir(path).unwrap().count()
}

/// Its children, those included that have ended and nobody asked for. None when it has ended itself.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    // A thread may end meanwhile.
    let lists = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let words = |list: String| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    lists
        .flat_map(words)
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// Waits for what no event tells of.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that is no child of this one.
struct Other(OwnedFd);

impl Other {
    fn of(pid: Pid) -> Self {
        Self(pidfd_open(pid, PidfdFlags::empty()).unwrap())
    }

    /// Whether it ends within this time.
    fn ends_within(&self, seconds: i64, nanoseconds: i64) -> bool {
        let timeout = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) == Ok(1)
    }
}

/// Nobody stays behind, however a test ends.
impl Drop for Other {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

/// Starts so many children more and waits for their ends; each count only once.
fn more(running: &mut Running, count: u32) {
    writeln!(running.stdin.as_mut().unwrap(), "{count}").unwrap();
    running.wait_for_stdout(&format!("started {count} bad 0\n"));
}

// proves: ChildProcess.event.spawn, ChildProcess.event.exit, ChildProcess.event.close, ChildProcess.event.error
// proves: ChildProcess.kill, child_process.options.signal, child_process.options.timeout
#[test]
fn nothing_is_left_of_a_thousand_children() {
    for seed in ["1", "77"] {
        let flags = ["--allow-run", "--allow-child", &modules()];
        let command = guest_with(&flags, tests::CHILD_MANY).time_limit(Duration::from_secs(240));
        let mut running = command.arg(seed).start();
        let pid = running.pid();
        running.wait_for_stdout("started 32 bad 0\n");
        eventually("children of the first round are left", || children(pid).is_empty());
        more(&mut running, 100);
        eventually("children of the second round are left", || children(pid).is_empty());
        let before = descriptors(pid);
        more(&mut running, 500);
        more(&mut running, 501);
        eventually("children are left", || children(pid).is_empty());
        eventually("descriptors are left", || descriptors(pid) <= before);
        drop(running.stdin.take());
        running.wait().success();
    }
}

// proves: child_process.spawn, ChildProcess.event.close
#[test]
fn thousands_of_quick_children_are_no_problem() {
    let command = guest_with(&["--allow-run"], tests::CHILD_STDIO).time_limit(Duration::from_secs(240));
    command.args(["many", "4000"]).run().success().stdout("finished 4000\n");
}

// proves: child_process.spawn, ChildProcess.event.error, SpawnSyncResult.error
#[test]
fn there_are_no_more_children_than_allowed() {
    let why = |call: &str, file: &str| {
        format!(
            "{call} {file} EAGAIN: 3 child processes run, 3 are allowed (raise it with --max-children) errno=-11 \
             syscall={call} {file} path={file}"
        )
    };
    guest_with(&["--allow-run", "--max-children=3"], tests::CHILD_STDIO)
        .args(["hold", "3"])
        .run()
        .success()
        .stdout(&format!(
            "held 3\nerror Error EAGAIN {} spawnargs=[\"-c\", \"cat\"]\nfd 2 end bytes \"\"\nclose -11 null\n\
             sync Some(\"Error EAGAIN {} spawnargs=[]\")\nroom true\n",
            why("spawn", "/bin/sh"),
            why("spawnSync", "true")
        ));
    guest_with(&["--allow-run", "--max-children=0"], tests::CHILD_SPAWN)
        .args(["noread", "--", "true"])
        .run()
        .success()
        .stdout_has("error Error EAGAIN spawn true EAGAIN: 0 child processes run, 0 are allowed");
}

// proves: ChildProcess.stdio, ChildProcess.event.error
#[test]
fn without_descriptors_a_child_has_no_streams() {
    let command = guest_with(&["--allow-run"], tests::CHILD_SPAWN).args(["facts", "--", "true"]);
    let run = command
        .through_shell("ulimit -n 16; exec \"$0\" \"$@\"")
        .run()
        .success();
    run.stdout_has("pid false\n").stdout_has("stdio []\ncalled\n").stdout_has(
        "error Error EMFILE spawn true EMFILE errno=-24 syscall=spawn true path=true spawnargs=[]\nclose -24 null\n",
    );
}

fn worker(line: &[&str]) -> Cmd {
    guest_with(&["--allow-run", "--dir=."], tests::CHILD_WORKER).args(line)
}

// proves: child_process.spawnSync
#[test]
fn a_thread_that_waits_for_a_process_holds_nobody_up() {
    worker(&["sync"])
        .run()
        .success()
        .stdout("worker ticks\nmain ticks\nsync Some(0) None\n");
}

// proves: child_process.spawnSync
#[test]
fn a_process_that_is_waited_for_ends_with_its_thread() {
    let mark = mark("terminate");
    let running = worker(&["terminate", &mark]).start();
    let output = running.wait_for_stdout("terminated Some(1)\n");
    assert_eq!(output, "terminated Some(1)\n");
    for pid in marked(&mark) {
        assert!(ends(&pid), "{pid} lives");
    }
    running.wait().success();
}

// proves: child_process.stdio.inherit
#[test]
fn a_child_of_a_thread_has_the_streams_of_the_thread() {
    worker(&["inherit"])
        .run()
        .success()
        .stdout("stdout \"from the creator\\nended Some(0)\\n\"\nstderr \"error\\n\"\nexit 0\n");
}

// proves: ChildProcess
#[test]
fn a_child_outlives_the_thread_that_started_it_and_is_not_left_ended() {
    let command = worker(&["leave"]);
    let go = command.directory().join("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut running = command.start();
    running.wait_for_stdout("exit 0\n");
    // It waits for this.
    std::fs::write(&go, "go\n").unwrap();
    running.wait_for_file(|path| path.ends_with("done"));
    let pid = running.pid();
    eventually("an ended child is left", || children(pid).is_empty());
    drop(running.stdin.take());
    running.wait().success();
}

/// Starts a guest that starts a child; gives it and its child.
fn with_child(flags: &[&str], guest: Guest, line: &[&str], files: &[(&str, &str)]) -> (Running, Other, Pid) {
    let mut command = guest_with(flags, guest);
    for (name, content) in files {
        command = command.file(name, content);
    }
    let running = command.args(line).start();
    running.wait_for_stdout("spawn\n");
    let pid = running.pid();
    let child = children(pid)[0];
    (running, Other::of(child), child)
}

/// Ends a guest in a way that it cannot do anything about. Dropping it would end all of its group.
fn kill(running: &Running) {
    running.signal(Signal::KILL);
    assert!(Other::of(running.pid()).ends_within(30, 0));
}

// proves: child_process.options.killOnParentDeath, child_process.options.detached
#[test]
fn a_program_ends_with_its_killed_parent_only_where_that_is_wanted() {
    let start = |flags: &[&str], settings: &[&str]| {
        let line = [&["noread", "stdio=ignore"], settings, &["--", "sleep", "60"]].concat();
        let (running, child, _) = with_child(&[&["--allow-run"], flags].concat(), tests::CHILD_SPAWN, &line, &[]);
        kill(&running);
        (running, child)
    };
    for (flags, settings) in [
        (&[][..], &["killOnParentDeath=true"][..]),
        (&["--kill-orphans"], &[]),
        (&["--kill-orphans"], &["killOnParentDeath=true", "detached=true"]),
    ] {
        let (_running, child) = start(flags, settings);
        assert!(child.ends_within(30, 0), "{flags:?} {settings:?}: an orphan is left");
    }
    for (flags, settings) in [
        (&[][..], &[][..]),
        (&[], &["detached=true"]),
        (&["--kill-orphans"], &["detached=true"]),
        (&["--kill-orphans"], &["killOnParentDeath=false"]),
    ] {
        let (_running, child) = start(flags, settings);
        assert!(
            !child.ends_within(0, 300_000_000),
            "{flags:?} {settings:?}: it was ended"
        );
    }
}

// proves: child_process.options.killOnParentDeath
#[test]
fn a_module_ends_some_time_after_its_killed_parent() {
    let spin = r#"(module (func (export "_start") (loop $again (br $again))))"#;
    let files = [("spin.wat", spin)];
    let flags = ["--allow-child", "--allow-run", "--dir=.", &modules()];
    let watched = ["--kill-orphans"];
    let mut left = Vec::new();
    // One that computes, asked for it or not.
    for (more, setting) in [(&[][..], "killOnParentDeath=true"), (&watched, "noread")] {
        let line = ["noread", "stdio=ignore", setting, "--", "./spin.wat"];
        let (running, child, _) = with_child(&[&flags, more].concat(), tests::CHILD_SPAWN, &line, &files);
        kill(&running);
        left.push((running, child));
    }
    // One that waits for a program of its own, which goes with it.
    let module = tests::CHILD_SPAWN.path().display().to_string();
    let line = [
        "noread",
        "stdio=ignore",
        "--",
        &module,
        "noread",
        "stdio=ignore",
        "--",
        "sleep",
        "60",
    ];
    let (running, child, pid) = with_child(&[&flags[..], &watched].concat(), tests::CHILD_SPAWN, &line, &[]);
    eventually("the child starts no program", || !children(pid).is_empty());
    let below = Other::of(children(pid)[0]);
    kill(&running);
    left.push((running, child));
    for child in left.iter().map(|(_, child)| child).chain([&below]) {
        assert!(child.ends_within(30, 0), "an orphan is left");
    }
}

// proves: child_process.options.detached, ChildProcess.unref
#[test]
fn a_detached_child_goes_on_after_its_parent() {
    let command = guest_with(&["--allow-run", "--kill-orphans"], tests::CHILD_SPAWN);
    let go = command.directory().join("go");
    rustix::fs::mkfifoat(rustix::fs::CWD, &go, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let script = "read line <go; echo $line >done";
    let line = [
        "unref",
        "noread",
        "detached=true",
        "stdio=ignore",
        "--",
        "sh",
        "-c",
        script,
    ];
    let run = command.args(line).run().success().stdout("called\nspawn\n");
    // Its parent has ended; it waits for this.
    std::fs::write(&go, "after\n").unwrap();
    let done = run.directory().join("done");
    eventually("it did nothing any more", || {
        std::fs::read_to_string(&done).is_ok_and(|text| text == "after\n")
    });
}
