//! Commands whose output is collected: `exec`, `execFile` and the synchronous forms.

use crate::children::{run, same_as_node};
use crate::guests::tests;
use crate::support::{Run, guest_with};

fn exec(line: &[&str]) -> Run {
    run(tests::CHILD_EXEC, line).success()
}

fn sync(line: &[&str]) -> Run {
    run(tests::CHILD_SYNC, line).code(0)
}

// proves: child_process.exec, child_process.execFile, child_process.exec.promise, child_process.execFile.promise
// proves: child_process.options.maxBuffer, child_process.options.shell, child_process.options.signal
// proves: ExecError.code, ExecError.killed, ExecError.signal, ExecError.cmd
#[test]
fn commands_are_collected_as_in_node() {
    same_as_node(
        tests::CHILD_EXEC,
        &[
            &["exec", "--", "echo a; echo b >&2"],
            &["exec", "--", "echo a; echo b >&2; exit 3"],
            &["exec", "--", "exit 3"],
            &["exec", "--", "nope-nowhere"],
            &["exec", "--", "kill -9 $$"],
            &["exec", "cwd=/usr", "--", "pwd"],
            &["exec", "cwd=/nope", "--", "pwd"],
            &["exec", "env={A=5}", "--", "echo $A"],
            &["exec", "shell=/nope", "--", "echo a"],
            &["exec", "timeout=50", "--", "exec sleep 60"],
            &["exec", "timeout=50", "killSignal=SIGKILL", "--", "exec sleep 60"],
            &["exec", "timeout=50000", "--", "echo a"],
            &["exec", "abort", "--", "exec sleep 60"],
            &["exec", "maxBuffer=3", "--", "printf aaa"],
            &["exec", "maxBuffer=3", "--", "printf aaaa; exec sleep 60"],
            &["exec", "maxBuffer=3", "--", "printf aaaa >&2; exec sleep 60"],
            &[
                "exec",
                "maxBuffer=3",
                "encoding=buffer",
                "--",
                "printf aaaa; exec sleep 60",
            ],
            &["exec", "maxBuffer=0", "--", "true"],
            &["exec", "maxBuffer=0", "--", "printf a"],
            &["exec", "maxBuffer=10", "--", "printf 中文测试"],
            &["exec", "maxBuffer=12", "--", "printf 中文测试"],
            &["exec", "maxBuffer=3", "--", "printf 中文测试"],
            &[
                "exec",
                "maxBuffer=Infinity",
                "--",
                "head -c 3000000 /dev/zero | tr '\\000' a",
            ],
            &["exec", "--", "head -c 1048576 /dev/zero | tr '\\000' a"],
            &["exec", "--", "head -c 1048577 /dev/zero | tr '\\000' a"],
            &["exec", "encoding=buffer", "--", "head -c 1048576 /dev/zero"],
            &["exec", "encoding=buffer", "--", "head -c 1048577 /dev/zero"],
            &["exec", "encoding=nope", "--", "echo a"],
            &["exec", "encoding=UTF-8", "--", "echo ä"],
            &["callback", "--", "echo a"],
            &["callback", "--", "exit 4"],
            &["callback_file", "--", "echo", "a"],
            &["callback_file", "--", "nope-nowhere", "a"],
            &["exec_file", "--", "echo", "a", "b  c"],
            &["exec_file", "--", "false", "a"],
            &["exec_file", "--", "nope-nowhere", "a"],
            &["exec_file", "--", "/etc/passwd", "a"],
            &["exec_file", "shell=true", "--", "echo $0"],
        ],
    );
}

// proves: child_process.exec, child_process.exec.promise, child_process.execFile, child_process.execFile.promise
// proves: ExecError.code, ExecError.killed, ExecError.signal, ExecError.cmd
#[test]
fn a_failed_command_says_how_it_failed() {
    for (line, expected) in [
        (
            &["exec", "--", "echo a; echo b >&2"][..],
            "child true\nok stdout text \"a\\n\" stderr text \"b\\n\"\n",
        ),
        (
            &["exec", "--", "echo a; echo b >&2; exit 3"],
            "child true\nerror Error - Command failed: echo a; echo b >&2; exit 3\nb\n\n\
             code Some(\"3\") killed false signal None\ncmd echo a; echo b >&2; exit 3\n\
             stdout text \"a\\n\" stderr text \"b\\n\"\n",
        ),
        (
            &["exec", "--", "kill -9 $$"],
            "child true\nerror Error - Command failed: kill -9 $$\n\n\
             code None killed false signal Some(\"SIGKILL\")\ncmd kill -9 $$\nstdout text \"\" stderr text \"\"\n",
        ),
        (
            &["exec_file", "--", "nope-nowhere", "x"],
            "child false\nerror Error ENOENT spawn nope-nowhere ENOENT errno=-2 syscall=spawn nope-nowhere \
             path=nope-nowhere spawnargs=[\"x\"]\ncode Some(\"ENOENT\") killed false signal None\n\
             cmd nope-nowhere x\nstdout text \"\" stderr text \"\"\n",
        ),
        (
            &["exec", "timeout=300", "killSignal=SIGINT", "--", "exec sleep 60"],
            "child true\nerror Error - Command failed: exec sleep 60\n\n\
             code None killed true signal Some(\"SIGINT\")\ncmd exec sleep 60\nstdout text \"\" stderr text \"\"\n",
        ),
        (
            &["exec", "abort", "--", "exec sleep 60"],
            "child true\nerror AbortError ABORT_ERR The operation was aborted cause=enough\n\
             code Some(\"ABORT_ERR\") killed false signal None\ncmd exec sleep 60\nstdout text \"\" stderr text \"\"\n",
        ),
        (
            &["exec", "maxBuffer=3", "--", "printf aaaaa >&2; exec sleep 60"],
            "child true\nerror RangeError ERR_CHILD_PROCESS_STDIO_MAXBUFFER stderr maxBuffer length exceeded\n\
             code Some(\"ERR_CHILD_PROCESS_STDIO_MAXBUFFER\") killed false signal None\n\
             cmd printf aaaaa >&2; exec sleep 60\nstdout text \"\" stderr text \"aaa\"\n",
        ),
    ] {
        exec(line).stdout(expected);
    }
}

// proves: child_process.options.maxBuffer
#[test]
fn exactly_the_largest_output_passes() {
    let output = |bytes: u32| format!("head -c {bytes} /dev/zero | tr '\\000' a");
    let passed = |bytes: u32| format!("child true\nok stdout text of {bytes} bytes, {bytes} units stderr text \"\"\n");
    exec(&["exec", "--", &output(1_048_576)]).stdout(&passed(1_048_576));
    exec(&["exec", "--", &output(1_048_577)])
        .stdout_has("ERR_CHILD_PROCESS_STDIO_MAXBUFFER stdout maxBuffer length exceeded\n")
        .stdout_has("stdout text of 1048576 bytes, 1048576 units stderr text \"\"\n");
    exec(&["exec", "maxBuffer=1048577", "--", &output(1_048_577)]).stdout(&passed(1_048_577));
    exec(&["exec", "maxBuffer=Infinity", "--", &output(5_000_000)]).stdout(&passed(5_000_000));
    // Each stream has its own limit.
    exec(&["exec", "maxBuffer=3", "--", "printf aaa; printf bbb >&2"])
        .stdout("child true\nok stdout text \"aaa\" stderr text \"bbb\"\n");
    // Bytes of a text are counted, units of it are kept.
    for (max, kept) in [(10, "中文测试"), (3, "中文测"), (1, "中")] {
        exec(&[
            "exec",
            &format!("maxBuffer={max}"),
            "--",
            "printf 中文测试; exec sleep 60",
        ])
        .stdout_has("stdout maxBuffer length exceeded\n")
        .stdout_has(&format!("stdout text \"{kept}\" stderr text \"\"\n"));
    }
}

// proves: child_process.exec.promise
#[test]
fn a_command_goes_on_when_nobody_waits_for_it() {
    let command = guest_with(&["--allow-run"], tests::CHILD_EXEC);
    let run = command.args(["exec", "drop", "--", "echo done >file"]).run().success();
    run.check(
        std::fs::read_to_string(run.directory().join("file")).is_ok_and(|text| text == "done\n"),
        "the command ran to its end",
    );
}

// proves: child_process.exec, child_process.options.killTree
#[test]
fn a_command_that_is_late_takes_what_is_below_it_along() {
    // The shell does not end before what it waits for does.
    let script = "trap '' TERM; echo up; sh -c 'echo $$ >below; exec sleep 60'; echo end";
    let command = guest_with(&["--allow-run"], tests::CHILD_EXEC);
    let line = [
        "exec",
        "timeout=1500",
        "killSignal=SIGKILL",
        "killTree=true",
        "--",
        script,
    ];
    let run = command.args(line).run().success();
    run.check(
        run.stdout.contains("killed true signal Some(\"SIGKILL\")"),
        "the shell was killed",
    );
    if let Ok(below) = std::fs::read_to_string(run.directory().join("below")) {
        run.check(crate::children::ends(&below), "and what it had started");
    }
}

// proves: child_process.options.encoding
#[test]
fn output_is_text_or_bytes() {
    for (line, kind) in [(&["exec"][..], "text"), (&["exec", "encoding=buffer"], "bytes")] {
        exec(&[line, &["--", "printf a"]].concat())
            .stdout(&format!("child true\nok stdout {kind} \"a\" stderr {kind} \"\"\n"));
    }
    sync(&["exec_sync", "--", "printf a"]).stdout("ok bytes \"a\"\n");
    sync(&["exec_sync", "encoding=utf8", "--", "printf ä"]).stdout("ok text \"ä\"\n");
    // What is no text is marked; letters that come in pieces are not.
    exec(&["exec", "--", "printf '\\377a\\303'; sleep 0.1; printf '\\244'"])
        .stdout("child true\nok stdout text \"\u{fffd}aä\" stderr text \"\"\n");
}

// proves: child_process.spawnSync, child_process.execSync, child_process.execFileSync, child_process.options.input
// proves: child_process.options.encoding, child_process.options.maxBuffer, child_process.options.killSignal
// proves: SpawnSyncResult.pid, SpawnSyncResult.output, SpawnSyncResult.stdout, SpawnSyncResult.stderr
// proves: SpawnSyncResult.status, SpawnSyncResult.signal, SpawnSyncResult.error
#[test]
fn processes_are_waited_for_as_in_node() {
    same_as_node(
        tests::CHILD_SYNC,
        &[
            &["spawn_sync", "--", "sh", "-c", "echo a; echo b >&2; exit 3"],
            &["spawn_sync", "--", "nope-nowhere", "x"],
            &["spawn_sync", "--", "/etc/passwd", "x"],
            &["spawn_sync", "--", "sh", "-c", "kill -9 $$"],
            &["spawn_sync", "cwd=/nope", "--", "true"],
            &["spawn_sync", "cwd=/etc/passwd", "--", "true"],
            &["spawn_sync", "env={A=1}", "--", "env"],
            &["spawn_sync", "stdio=[999]", "--", "true"],
            &["spawn_sync", "input=abc", "--", "cat"],
            &["spawn_sync", "input=", "--", "cat"],
            &["spawn_sync", "input=abc", "stdio=inherit", "--", "cat"],
            &["spawn_sync", "input=abc", "stdio=[ignore,pipe,pipe]", "--", "cat"],
            &["spawn_sync", "--", "cat"],
            &["spawn_sync", "encoding=utf8", "--", "echo", "ä"],
            &["spawn_sync", "stdio=ignore", "--", "echo", "a"],
            &["spawn_sync", "stdio=inherit", "--", "true"],
            &[
                "spawn_sync",
                "stdio=[pipe,pipe,inherit]",
                "--",
                "sh",
                "-c",
                "echo a; echo b >&2",
            ],
            &[
                "spawn_sync",
                "stdio=[pipe,pipe,pipe,pipe]",
                "--",
                "sh",
                "-c",
                "echo a; echo b >&3",
            ],
            &["spawn_sync", "timeout=50", "--", "sleep", "60"],
            &["spawn_sync", "timeout=50", "killSignal=SIGKILL", "--", "sleep", "60"],
            &["spawn_sync", "timeout=0", "--", "true"],
            &["spawn_sync", "maxBuffer=3", "--", "printf", "aaa"],
            &[
                "spawn_sync",
                "maxBuffer=3",
                "--",
                "sh",
                "-c",
                "printf aaaa; exec sleep 60",
            ],
            &[
                "spawn_sync",
                "maxBuffer=3",
                "killSignal=SIGINT",
                "--",
                "sh",
                "-c",
                "printf aaaa; exec sleep 60",
            ],
            &["spawn_sync", "--", "head", "-c", "1048576", "/dev/zero"],
            &[
                "spawn_sync",
                "maxBuffer=Infinity",
                "--",
                "head",
                "-c",
                "2000000",
                "/dev/zero",
            ],
            &["exec_sync", "--", "echo a; echo b >&2; exit 3"],
            &["exec_sync", "--", "echo a; echo b >&2"],
            &["exec_sync", "stdio=pipe", "--", "echo a; echo b >&2"],
            &["exec_sync", "--", "exit 3"],
            &["exec_sync", "--", "kill -9 $$"],
            &["exec_sync", "timeout=50", "--", "exec sleep 60"],
            &["exec_sync", "input=abc", "--", "cat"],
            &["exec_sync", "maxBuffer=3", "--", "printf aaaa; exec sleep 60"],
            &["exec_file_sync", "--", "echo", "a", "b  c"],
            &["exec_file_sync", "--", "false"],
            &["exec_file_sync", "--", "nope-nowhere", "b"],
            &["exec_file_sync", "argv0=zero", "--", "false", "a"],
        ],
    );
}

// proves: SpawnSyncResult.pid, SpawnSyncResult.output, SpawnSyncResult.stdout, SpawnSyncResult.stderr
// proves: SpawnSyncResult.status, SpawnSyncResult.signal, SpawnSyncResult.error, child_process.spawnSync
#[test]
fn a_result_has_all_that_became_of_the_process() {
    for (line, expected) in [
        (
            &["spawn_sync", "--", "sh", "-c", "echo a; echo b >&2; exit 3"][..],
            "pid true status Some(3) signal None\noutput Some([\"null\", \"bytes \\\"a\\\\n\\\"\", \"bytes \\\"b\\\\n\\\"\"])\n\
             stdout bytes \"a\\n\" stderr bytes \"b\\n\"\n",
        ),
        (
            &["spawn_sync", "--", "nope-nowhere", "x"],
            "pid false status None signal None\noutput None\nstdout null stderr null\n\
             error Error ENOENT spawnSync nope-nowhere ENOENT errno=-2 syscall=spawnSync nope-nowhere \
             path=nope-nowhere spawnargs=[\"x\"]\n",
        ),
        (
            &[
                "spawn_sync",
                "timeout=300",
                "killSignal=SIGKILL",
                "stdio=ignore",
                "--",
                "sleep",
                "60",
            ],
            "pid true status None signal Some(\"SIGKILL\")\noutput Some([\"null\", \"null\", \"null\"])\n\
             stdout null stderr null\nerror Error ETIMEDOUT spawnSync sleep ETIMEDOUT errno=-110 \
             syscall=spawnSync sleep path=sleep spawnargs=[\"60\"]\n",
        ),
        (
            &[
                "spawn_sync",
                "stdio=[ignore,pipe,ignore,pipe]",
                "--",
                "sh",
                "-c",
                "printf b >&3",
            ],
            "pid true status Some(0) signal None\n\
             output Some([\"null\", \"bytes \\\"\\\"\", \"null\", \"bytes \\\"b\\\"\"])\nstdout bytes \"\" stderr null\n",
        ),
    ] {
        sync(line).stderr("").stdout(expected);
    }
}

// proves: child_process.spawnSync, child_process.options.timeout, child_process.options.maxBuffer
#[test]
fn a_process_that_does_not_mind_a_signal_is_waited_for_to_its_end() {
    // It ends by itself, some time after it was told to.
    let script = "trap 'sleep 0.3; echo late >file; exit 5' TERM; while :; do sleep 0.02; done";
    let command = guest_with(&["--allow-run"], tests::CHILD_SYNC);
    let line = ["spawn_sync", "timeout=1500", "stdio=ignore", "--", "sh", "-c", script];
    let run = command.args(line).run().success();
    let run = run
        .stdout_has("pid true status Some(5) signal None\n")
        .stdout_has("ETIMEDOUT");
    run.check(run.directory().join("file").is_file(), "it had its time");
    // The piece that crosses the limit is kept whole.
    let run = sync(&["spawn_sync", "--", "head", "-c", "5000000", "/dev/zero"]);
    let kept: Option<usize> = run.stdout.lines().find_map(|line| {
        let rest = line.strip_prefix("stdout bytes of ")?;
        rest.split(' ').next()?.parse().ok()
    });
    run.check(
        kept.is_some_and(|kept| kept > 1 << 20 && kept <= (1 << 20) + (64 << 10)),
        "one piece more than the limit",
    );
    run.stdout_has("error Error ENOBUFS spawnSync head ENOBUFS errno=-105 ");
}

// proves: child_process.execSync, child_process.execFileSync
#[test]
fn errors_of_a_command_are_passed_on_unless_its_streams_are_chosen() {
    let run = sync(&["exec_sync", "--", "echo a; echo b >&2; exit 3"]).stderr("b\n");
    run.stdout_has("failed Error - Command failed: echo a; echo b >&2; exit 3\nb\n\n")
        .stdout_has("pid true status Some(3) signal None\n");
    sync(&["exec_file_sync", "--", "sh", "-c", "echo b >&2"])
        .stderr("b\n")
        .stdout("ok bytes \"\"\n");
    sync(&["exec_sync", "stdio=pipe", "--", "echo b >&2"])
        .stderr("")
        .stdout("ok bytes \"\"\n");
    sync(&["exec_sync", "--", "exit 3"]).stdout_has("failed Error - Command failed: exit 3\npid true");
}

// proves: child_process.spawnSync
#[test]
fn a_module_can_be_waited_for() {
    let module = tests::PROCESS_STDIN.path();
    let read = format!("--dir={}:ro", module.parent().unwrap().display());
    let module = module.display().to_string();
    let line = ["spawn_sync", "input=three words here", "--", &module, "flow"];
    crate::children::with(&["--allow-child", &read], tests::CHILD_SYNC, &line)
        .success()
        .stdout_has("pid true status Some(0) signal None\n")
        .stdout_has("three words here");
}
