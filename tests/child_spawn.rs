//! Starting child processes: events and their order, what does not start, options, modules.

use crate::children::{check_order, in_node, ordered, run, same_as_node, same_as_node_with, with};
use crate::guests::{Guest, tests};
use crate::support::{Run, guest_with};

fn spawn(line: &[&str]) -> Run {
    let run = run(tests::CHILD_SPAWN, line).code(0);
    check_order(&run);
    run
}

/// The events of a child, and what it wrote, each in order.
#[track_caller]
fn events(line: &[&str], expected: &str) {
    let run = spawn(line).stderr("");
    let shown = ordered(&run.stdout);
    run.check(
        shown == format!("called\n{expected}"),
        &format!("{expected}expected, there is\n{shown}"),
    );
}

// proves: child_process.spawn, ChildProcess, ChildProcess.event.spawn, ChildProcess.event.exit, ChildProcess.event.close
// proves: ChildProcess.event.error, ChildProcess.exitCode, ChildProcess.signalCode, ChildProcess.stdin
// proves: ChildProcess.stdout, ChildProcess.stderr, child_process.stdio.pipe
#[test]
fn children_live_as_in_node() {
    same_as_node(
        tests::CHILD_SPAWN,
        &[
            &["facts", "--", "sh", "-c", "echo out; echo err >&2; exit 3"],
            &["--", "sh", "-c", "kill -9 $$"],
            &["noread", "--", "sh", "-c", "kill -SEGV $$"],
            &["echo", "--", "cat"],
            &["end", "--", "cat"],
            &["facts", "--", "/nope", "a", "b"],
            &["noread", "--", "/nope", "a", "b"],
            &["facts", "--", "nope-nowhere", "a", "b"],
            &["--", "/etc/passwd"],
            &["--", "/etc"],
            &["cwd=/nope", "--", "true"],
            &["cwd=/usr", "--", "pwd"],
            &["cwd=file:///usr", "--", "pwd"],
            &["env={A=1;B=undefined;C=5;D=null;PATH=/usr/bin:/bin}", "--", "env"],
            &["env={A=1;PATH=/nope}", "--", "env"],
            &["env={A=1}", "--", "env"],
            &["env={}", "--", "env"],
            &["argv0=zero", "facts", "--", "cat", "/proc/self/cmdline"],
            &["shell=true", "facts", "--", "echo a  b; echo c"],
            &["shell=/bin/sh", "argv0=zero", "facts", "--", "echo a  b"],
            &["shell=/nope", "facts", "--", "echo a"],
            &["shell=false", "facts", "--", "echo", "a  b"],
            &["stdio=ignore", "facts", "--", "sh", "-c", "cat; echo out"],
            // It lives longer than the loop that does not wait for it.
            &["stdio=inherit", "unref", "--", "sleep", "1"],
            &["stdio=overlapped", "facts", "end", "--", "sh", "-c", "cat; echo out"],
            &["stdio=[pipe,ignore,ignore]", "facts", "end", "--", "cat"],
            &[
                "stdio=[null,undefined,pipe,null,pipe]",
                "facts",
                "end",
                "--",
                "sh",
                "-c",
                "echo a >&4; echo b",
            ],
            &["stdio=[ignore]", "facts", "--", "sh", "-c", "echo a; echo b >&2"],
            &["stdio=[]", "facts", "end", "--", "sh", "-c", "cat; echo a; echo b >&2"],
            &["timeout=50", "stdio=ignore", "--", "sleep", "60"],
            &["timeout=50", "killSignal=SIGKILL", "stdio=ignore", "--", "sleep", "60"],
            &["timeout=50", "killSignal=2", "stdio=ignore", "--", "sleep", "60"],
            &["timeout=0", "stdio=ignore", "--", "sleep", "0.2"],
            &["timeout=50000", "stdio=ignore", "--", "true"],
            &[
                "windowsHide=true",
                "windowsVerbatimArguments=true",
                "end",
                "--",
                "echo",
                "\"a\"",
            ],
            &["serialization=advanced", "end", "--", "true"],
        ],
    );
}

// proves: ChildProcess.event.spawn, ChildProcess.event.exit, ChildProcess.event.close, ChildProcess.exitCode
// proves: ChildProcess.signalCode
#[test]
fn events_come_in_their_order() {
    events(
        &["end", "--", "sh", "-c", "cat; exit 3"],
        "spawn\nexit 3 null code=Some(3) signal=None\nclose 3 null\nfd 1 end bytes \"\"\nfd 2 end bytes \"\"\n",
    );
    events(
        &["--", "sh", "-c", "echo x; kill -TERM $$"],
        "spawn\nexit null SIGTERM code=None signal=Some(\"SIGTERM\")\nclose null SIGTERM\n\
         fd 1 data\nfd 1 end bytes \"x\\n\"\nfd 2 end bytes \"\"\n",
    );
    // Nobody reads what it wrote: that is discarded.
    events(
        &["noread", "--", "sh", "-c", "echo x; exit 255"],
        "spawn\nexit 255 null code=Some(255) signal=None\nclose 255 null\n",
    );
}

// proves: ChildProcess.event.error, ChildProcess.event.close, ChildProcess.pid, child_process.options.cwd
// proves: ChildProcess.exitCode
#[test]
fn what_does_not_start_gives_an_error_and_then_close() {
    let failed = |file: &str, code: &str, errno: i32, arguments: &str| {
        format!(
            "error Error {code} spawn {file} {code} errno={errno} syscall=spawn {file} path={file} spawnargs={arguments}\n\
             close {errno} null\nfd 1 end bytes \"\"\nfd 2 end bytes \"\"\n"
        )
    };
    events(
        &["--", "/nope", "a", "b"],
        &failed("/nope", "ENOENT", -2, "[\"a\", \"b\"]"),
    );
    events(&["--", "nope-nowhere"], &failed("nope-nowhere", "ENOENT", -2, "[]"));
    events(&["--", "/etc/passwd"], &failed("/etc/passwd", "EACCES", -13, "[]"));
    events(&["--", "/etc"], &failed("/etc", "EACCES", -13, "[]"));
    // A directory that is missing is told as a missing command.
    events(&["cwd=/nope", "--", "true"], &failed("true", "ENOENT", -2, "[]"));
    events(
        &["cwd=file:///nope", "--", "true", "a"],
        &failed("true", "ENOENT", -2, "[\"a\"]"),
    );
    spawn(&["facts", "--", "/nope"])
        .stdout_has("pid false\n")
        .stdout_has("exitCode None signalCode None killed false\nstdio [\"writable\", \"readable\", \"readable\"]\n");
}

// proves: ChildProcess.pid, ChildProcess.spawnfile, ChildProcess.spawnargs, ChildProcess.connected
// proves: ChildProcess.channel, ChildProcess.killed, ChildProcess.stdio
#[test]
fn a_child_knows_what_it_was_started_as() {
    spawn(&["facts", "argv0=zero", "stdio=[ignore,pipe,null,pipe]", "--", "sh", "-c", "true"])
        .stderr("")
        .stdout_has(
            "pid true\nspawnfile sh\nspawnargs [\"zero\", \"-c\", \"true\"]\nconnected false channel false\n\
             exitCode None signalCode None killed false\nstdio [\"null\", \"readable\", \"readable\", \"duplex\"]\ncalled\nspawn\n",
        );
    spawn(&["facts", "shell=true", "--", "true"])
        .stdout_has("spawnfile /bin/sh\nspawnargs [\"/bin/sh\", \"-c\", \"true\"]\n");
}

// proves: child_process.options.env
#[test]
fn a_command_is_looked_up_in_the_path_of_its_own_environment() {
    let script = "#!/bin/sh\necho \"found by $A\"\n";
    let command = guest_with(&["--allow-run"], tests::CHILD_SPAWN).file("only-here", script);
    let directory = command.directory().to_path_buf();
    let path = directory.join("only-here");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let env = format!("env={{A=the path;PATH=/nope:{}}}", directory.display());
    let run = command.args([&env, "--", "only-here"]).run().success();
    run.stdout_has("fd 1 end bytes \"found by the path\\n\"\n");
    // Not in the caller's, which has it.
    let command = guest_with(&["--allow-run", "--allow-env"], tests::CHILD_SPAWN)
        .env("PATH", &directory)
        .args(["env={A=1}", "--", "only-here"]);
    command
        .run()
        .success()
        .stdout_has("error Error ENOENT spawn only-here ENOENT ");
}

// proves: child_process.options.env
#[test]
fn a_child_has_the_environment_of_its_parent_or_the_one_it_is_given() {
    let env = |line: &[&str]| {
        let command = guest_with(&["--allow-run", "--allow-env=KNOWN,PATH"], tests::CHILD_SPAWN);
        command
            .env("KNOWN", "yes")
            .env("SECRET", "yes")
            .args(line)
            .run()
            .success()
    };
    let inherited = env(&["--", "sh", "-c", "echo $KNOWN; env | grep -c SECRET"]);
    inherited.stdout_has("fd 1 end bytes \"yes\\n0\\n\"\n");
    let replaced = env(&["env={OWN=1}", "--", "/bin/sh", "-c", "echo $OWN $KNOWN $SECRET"]);
    replaced.stdout_has("fd 1 end bytes \"1\\n\"\n");
}

// proves: child_process.options.detached
#[test]
fn a_detached_child_leads_a_session() {
    let script = "read -r stat </proc/$$/stat; set -- $stat; \
                  [ $5 = $$ ] && [ $6 = $$ ] && echo leads || { [ $5 = $PPID ] && echo belongs; }";
    let line = |setting| [setting, "end", "--", "sh", "-c", script];
    events(
        &line("detached=true"),
        "spawn\nexit 0 null code=Some(0) signal=None\nclose 0 null\n\
         fd 1 data\nfd 1 end bytes \"leads\\n\"\nfd 2 end bytes \"\"\n",
    );
    spawn(&line("detached=false")).stdout_has("fd 1 end bytes \"belongs\\n\"");
}

// proves: child_process.options.uid, child_process.options.gid
#[test]
fn a_child_gets_another_user_and_group_where_the_system_allows_it() {
    let flags = ["--allow-run", "--allow-sys"];
    let script = "id -u; id -g; id -G";
    let line = ["uid=65534", "gid=65533", "end", "--", "sh", "-c", script];
    if rustix::process::geteuid().is_root() {
        same_as_node_with(&flags, tests::CHILD_SPAWN, &[&line]);
        let run = with(&flags, tests::CHILD_SPAWN, &line).success();
        // No group of its parent is left.
        run.stdout_has("fd 1 end bytes \"65534\\n65533\\n65533\\n\"\n");
        return;
    }
    for id in ["uid", "gid"] {
        let line = ["message", id, "0"];
        same_as_node_with(&flags, tests::CHILD_ERRORS, &[&line]);
        with(&flags, tests::CHILD_ERRORS, &line)
            .success()
            .stdout("Error EPERM spawn EPERM errno=-1 syscall=spawn\n");
    }
}

// proves: child_process.options.shell
#[test]
fn arguments_for_a_shell_are_joined_and_warned_of() {
    let run = spawn(&["shell=true", "facts", "--", "echo", "a  b", "$((1+1))"]);
    run.check(
        run.stderr
            .contains("[DEP0190] DeprecationWarning: Passing args to a child process with shell option true"),
        "a warning is printed",
    );
    run.stdout_has("spawnargs [\"/bin/sh\", \"-c\", \"echo a  b $((1+1))\"]\n")
        .stdout_has("fd 1 end bytes \"a b 2\\n\"\n");
    // Not without arguments, and not when nobody wants to know.
    spawn(&["shell=true", "--", "echo a"]).stderr("");
    let flags = ["--allow-run", "--no-deprecation"];
    with(&flags, tests::CHILD_SPAWN, &["shell=true", "--", "echo", "a"]).success();
}

/// Every option that is refused: form, option, code.
const REFUSED: &str = "\
    cwd=5: ERR_INVALID_ARG_TYPE
    cwd=http://example.org/: ERR_INVALID_URL_SCHEME
    env=5: ERR_INVALID_ARG_TYPE
    env={A=nul}: ERR_INVALID_ARG_VALUE
    argv0=5: ERR_INVALID_ARG_TYPE
    argv0=nul: ERR_INVALID_ARG_VALUE
    uid=1.5: ERR_INVALID_ARG_TYPE
    uid='text': ERR_INVALID_ARG_TYPE
    gid=4294967296: ERR_INVALID_ARG_TYPE
    shell=5: ERR_INVALID_ARG_TYPE
    timeout='text': ERR_INVALID_ARG_TYPE
    timeout=-1: ERR_OUT_OF_RANGE
    timeout=1.5: ERR_OUT_OF_RANGE
    killSignal=SIGNOT: ERR_UNKNOWN_SIGNAL
    killSignal=1000: ERR_UNKNOWN_SIGNAL
    killSignal=true: ERR_INVALID_ARG_TYPE
    windowsHide=5: ERR_INVALID_ARG_TYPE
    windowsVerbatimArguments='text': ERR_INVALID_ARG_TYPE
    permissions=5: ERR_INVALID_ARG_TYPE
    permissions=[--no-such-flag]: accepted
    killTree=5: ERR_INVALID_ARG_TYPE
    killOnParentDeath='text': ERR_INVALID_ARG_TYPE
";
const REFUSED_SPAWN: &str = "\
    detached=5: ERR_INVALID_ARG_TYPE
    serialization=xml: ERR_INVALID_ARG_VALUE
    serialization=5: ERR_INVALID_ARG_VALUE
    stdio=nothing: ERR_INVALID_ARG_VALUE
    stdio=5: ERR_INVALID_ARG_VALUE
    stdio=[pipe,pipe,pipe,nothing]: ERR_INVALID_SYNC_FORK_INPUT
    stdio=[ipc,ipc]: ERR_IPC_ONE_PIPE
    stdio=[-1]: ERR_INVALID_ARG_VALUE
    stdio=[999]: EBADF
    stdio=[{}]: ERR_INVALID_ARG_VALUE
    stdio=[{handle=999}]: ERR_HANDLE_CLOSED
    stdio=[true]: ERR_INVALID_ARG_VALUE
    command=empty: ERR_INVALID_ARG_VALUE
    command=nul: ERR_INVALID_ARG_VALUE
    command=arg nul: ERR_INVALID_ARG_VALUE
";
const REFUSED_FORK: &str = "\
    stdio=[pipe,pipe,pipe]: ERR_CHILD_PROCESS_IPC_REQUIRED
    execPath=5: ERR_INVALID_ARG_TYPE
    execPath=nul: ERR_INVALID_ARG_VALUE
    execArgv=5: ERR_INVALID_ARG_TYPE
    execArgv=[nul]: ERR_INVALID_ARG_VALUE
";
const REFUSED_BUFFERS: &str = "\
    maxBuffer=-1: ERR_OUT_OF_RANGE
    maxBuffer=NaN: ERR_OUT_OF_RANGE
    maxBuffer='text': ERR_OUT_OF_RANGE
";

fn form(name: &str, lists: &[&str]) -> String {
    let lines = lists.iter().flat_map(|list| list.lines());
    lines.map(|line| format!("{name} {}\n", line.trim_start())).collect()
}

// proves: child_process.options.cwd, child_process.options.env, child_process.options.argv0, child_process.options.uid
// proves: child_process.options.gid, child_process.options.shell, child_process.options.timeout
// proves: child_process.options.killSignal, child_process.options.windowsHide
// proves: child_process.options.windowsVerbatimArguments, child_process.options.detached
// proves: child_process.options.serialization, child_process.options.stdio, child_process.options.maxBuffer
// proves: child_process.stdio.ipc
#[test]
fn bad_options_are_refused_and_nothing_is_started() {
    let errors = |form: &str| run(tests::CHILD_ERRORS, &[form]).success();
    errors("spawn").stdout(&form("spawn", &[REFUSED, REFUSED_SPAWN]));
    errors("fork").stdout(&form("fork", &[REFUSED_FORK]));
    // A shell that is none is the usual one there: as in Node.
    let exec = form("exec", &[REFUSED, REFUSED_BUFFERS]).replace("shell=5: ERR_INVALID_ARG_TYPE", "shell=5: accepted");
    errors("exec").stdout(&exec);
    let sync = "stdio=[pipe,pipe,pipe,ipc]: ERR_IPC_SYNC_FORK\n";
    errors("sync").stdout(&form("spawn_sync", &[REFUSED, sync, REFUSED_BUFFERS]));
}

// proves: child_process.options.cwd, child_process.options.shell, child_process.options.timeout
// proves: child_process.options.killSignal, child_process.options.stdio, child_process.options.serialization
#[test]
fn bad_options_are_refused_in_the_words_of_node() {
    let lines: Vec<[&str; 3]> = [
        ("cwd", "5"),
        ("cwd", "http://example.org/"),
        ("cwd", "nul"),
        ("cwd", "/etc/passwd"),
        ("argv0", "5"),
        ("argv0", "nul"),
        ("uid", "1.5"),
        ("gid", "4294967296"),
        ("shell", "5"),
        ("shell", "nul"),
        ("timeout", "-1"),
        ("timeout", "1.5"),
        ("timeout", "Infinity"),
        ("killSignal", "SIGNOT"),
        ("killSignal", "1000"),
        ("killSignal", "0"),
        ("killSignal", "true"),
        ("windowsHide", "5"),
        ("detached", "5"),
        ("serialization", "xml"),
        ("stdio", "nothing"),
        ("stdio", "5"),
        ("stdio", "[pipe,pipe,pipe,nothing]"),
        ("stdio", "[ipc,ipc]"),
        ("stdio", "[999]"),
        ("stdio", "[true]"),
    ]
    .map(|(name, value)| ["message", name, value])
    .into();
    let lines: Vec<&[&str]> = lines.iter().map(<[&str; 3]>::as_slice).collect();
    same_as_node(tests::CHILD_ERRORS, &lines);
}

/// A guest with the grant to start modules and to read those of the tests.
fn module(line: &[&str]) -> Run {
    let directory = tests::CHILD_SPAWN.path();
    let read = format!("--dir={}:ro", directory.parent().unwrap().display());
    let run = with(&["--allow-child", &read, "--dir=."], tests::CHILD_SPAWN, line).code(0);
    check_order(&run);
    run.stderr("")
}

fn path(guest: Guest) -> String {
    guest.path().display().to_string()
}

// proves: child_process.spawn, ChildProcess.spawnfile, ChildProcess.spawnargs, child_process.options.argv0
#[test]
fn a_module_is_started_like_a_program() {
    let target = path(tests::PROCESS_EXIT_VALUE);
    let run = module(&["facts", "end", "--", &target, "large"]);
    let facts = format!("pid true\nspawnfile {target}\nspawnargs [\"{target}\", \"large\"]\n");
    // 300 is 44 for the system.
    run.stdout_has(&facts)
        .stdout_has("exit 44 null code=Some(44) signal=None\nclose 44 null\n");
    // It reads, writes, and sees what is given to it.
    module(&["echo", "--", &path(tests::PROCESS_STDIN), "flow"]).stdout_has("a line\\n");
    let attributes = path(tests::PROCESS_ENV);
    module(&["env={GIVEN=1}", "end", "--", &attributes]).stdout_has("exit 0 null code=Some(0) signal=None\n");
    // A trap ends it as it ends any guest.
    module(&["end", "noread", "--", &path(tests::PROCESS_TRAP), "unreachable"]).stdout_has("exit 1 null");
}

// proves: child_process.spawn, ChildProcess.event.exit
#[test]
fn a_module_that_cannot_run_starts_and_ends() {
    let broken = |content: &[u8], name: &str, line: &[&str]| {
        let directory = tests::CHILD_SPAWN.path();
        let read = format!("--dir={}:ro", directory.parent().unwrap().display());
        let command = guest_with(&["--allow-child", &read, "--dir=."], tests::CHILD_SPAWN).file(name, content);
        let run = command.args(line).args(["end", "--", name]).run().success();
        check_order(&run);
        run
    };
    let ends = |run: Run, code: i32, what: &str| {
        run.stdout_has("called\nspawn\n")
            .stdout_has(&format!("exit {code} null code=Some({code}) signal=None\n"))
            .stdout_has(&format!("close {code} null\n"))
            .stdout_has(what);
    };
    ends(broken(b"nonsense", "./no.wasm", &[]), 3, "is not a wasm module");
    // What it is decides, not its name.
    ends(
        broken(b"\0asm\x01\0\0\0nonsense", "./module", &[]),
        3,
        "is not a valid wasm module",
    );
    let imports = wat::parse_str(r#"(module (import "elsewhere" "f" (func)) (func (export "_start")))"#).unwrap();
    ends(broken(&imports, "./imports.wasm", &[]), 4, "elsewhere");
    let run = module(&["end", "--", "./missing.wasm"]);
    ends(run, 1, "cannot find the module ./missing.wasm");
}

// proves: ChildProcess.ref, ChildProcess.unref
#[test]
fn an_unrefd_child_keeps_nobody() {
    let line = ["unref", "noread", "stdio=[pipe,ignore,ignore]", "--", "cat"];
    // It ends with its input, which ends with its parent.
    let run = spawn(&line).stdout("called\nspawn\n");
    if let Some(node) = in_node("child_spawn", &line) {
        let node = node.run();
        run.check(node.code == Some(0) && node.stdout == run.stdout, &node.stdout);
    }
    // A stream that is read keeps it alive by itself.
    spawn(&["unref", "end", "--", "sh", "-c", "cat; echo late"]).stdout_has("fd 1 end bytes \"late\\n\"\n");
}
