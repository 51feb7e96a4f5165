//! Attributes, environment, figures, identity, directory, grants, resources.

use std::path::Path;

use nodule_abi::error::ErrorCode;

use crate::guests::tests;
use crate::support::{Run, binary, guest, guest_with, node, nodule, wat_with};

/// The value that a program printed behind `name `.
fn value<'a>(run: &'a Run, name: &str) -> &'a str {
    let line = run
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    run.check(line.is_some(), &format!("a line {name:?} expected"));
    line.unwrap_or_default()
}

// proves: process.arch, process.platform, process.guestArch, process.release, process.version, process.versions
// proves: process.config, process.features
#[test]
fn the_build_says_what_it_is() {
    let run = guest(tests::PROCESS_ATTRIBUTES).run().success();
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    for (name, expected) in [
        ("arch", arch),
        ("platform", std::env::consts::OS),
        ("guestArch", "wasm32"),
        ("release", "nodule"),
        ("version", concat!("v", env!("CARGO_PKG_VERSION"))),
        ("config", "true"),
    ] {
        run.check(value(&run, name) == expected, &format!("{name} {expected} expected"));
    }
    for key in ["node", "nodule", "wasmtime", "wasi", "cranelift", "tokio", "modules"] {
        run.check(
            value(&run, "versions").contains(&format!("\"{key}\"")),
            &format!("versions with {key} expected"),
        );
    }
    for key in [
        "inspector",
        "debug",
        "uv",
        "ipv6",
        "tls",
        "threads",
        "shared_buffer",
        "handle_passing",
    ] {
        run.check(
            value(&run, "features").contains(key),
            &format!("features with {key} expected"),
        );
    }
}

// proves: process.version, process.config, process.versions
#[test]
fn what_is_read_only_stays_as_it_is() {
    let run = guest(tests::PROCESS_ATTRIBUTES).run().success();
    for name in ["version", "config", "versions"] {
        run.check(
            !matches!(value(&run, &format!("set {name}:")), "" | "-"),
            &format!("setting {name} must fail with a code"),
        );
    }
    run.stdout_has("set nothing: ENOENT\n");
}

// proves: process.argv, process.argv0, process.execArgv, process.execPath, process.mainModule, process.pid, process.ppid
#[test]
fn the_process_knows_how_it_was_started() {
    let command =
        guest_with(&["--no-deprecation", "--title", "given"], tests::PROCESS_ATTRIBUTES).args(["one", "two words"]);
    let running = command.start();
    let pid = running.pid();
    let run = running.wait().success();
    let (program, module) = (binary().canonicalize().unwrap(), tests::PROCESS_ATTRIBUTES.path());
    let argv = format!(
        "{:?}",
        [program.to_str().unwrap(), module.to_str().unwrap(), "one", "two words"]
    );
    let std = format!("{:?}", [module.to_str().unwrap(), "one", "two words"]);
    for (name, expected) in [
        ("argv", argv.as_str()),
        ("std", &std),
        ("execPath", program.to_str().unwrap()),
        ("argv0", binary().to_str().unwrap()),
        ("execArgv", r#"["--no-deprecation", "--title", "given"]"#),
        ("pid", &pid.to_string()),
        ("ppid", &std::process::id().to_string()),
        ("title", "given"),
        ("debugPort", "9229"),
        ("exitCode", "None"),
    ] {
        run.check(value(&run, name) == expected, &format!("{name} {expected} expected"));
    }
    run.check(
        value(&run, "mainModule").contains(module.to_str().unwrap()),
        "the path of the module expected",
    );
}

// proves: process.execPath
#[test]
fn links_to_the_binary_are_resolved() {
    let command = nodule::<&str>([]);
    let link = command.directory().join("link");
    std::os::unix::fs::symlink(binary(), &link).unwrap();
    let run = crate::support::Cmd::new(&link)
        .arg("run")
        .arg(tests::PROCESS_ATTRIBUTES.path())
        .run()
        .success();
    run.check(
        Path::new(value(&run, "execPath")) == binary().canonicalize().unwrap(),
        "the resolved path expected",
    );
    run.check(
        Path::new(value(&run, "argv0")) == link,
        "argv0 as it was typed expected",
    );
}

// proves: process.title, process.option.title
#[test]
fn the_title_is_what_ps_shows() {
    guest(tests::PROCESS_ATTRIBUTES)
        .run()
        .success()
        .stdout_has("\ntitle renamed\n");
    let running = guest_with(&["--title", "shown"], tests::PROCESS_SIGNAL)
        .arg("none")
        .start();
    running.wait_for_stdout("ready\n");
    let command_line = std::fs::read(format!("/proc/{}/cmdline", running.pid())).unwrap();
    assert!(
        command_line.starts_with(b"shown\0"),
        "{:?}",
        String::from_utf8_lossy(&command_line)
    );
    let thread_name = std::fs::read_to_string(format!("/proc/{}/comm", running.pid())).unwrap();
    assert_eq!(thread_name, "shown\n");
}

// proves: process.debugPort
#[test]
fn the_debug_port_is_checked() {
    let run = guest_with(&["--debug-port", "4000"], tests::PROCESS_ATTRIBUTES)
        .run()
        .success();
    run.check(value(&run, "debugPort") == "4000", "debugPort 4000 expected");
    for (port, outcome) in [
        ("0", "ok"),
        ("1", "ERR_OUT_OF_RANGE"),
        ("1023", "ERR_OUT_OF_RANGE"),
        ("1024", "ok"),
        ("65535", "ok"),
        ("65536", "ERR_OUT_OF_RANGE"),
    ] {
        run.check(
            value(&run, &format!("debugPort {port}:")) == outcome,
            &format!("debugPort {port}: {outcome} expected"),
        );
    }
}

// proves: process.allowedNodeEnvironmentFlags
#[test]
fn flags_allowed_in_the_environment_are_found_in_any_spelling() {
    guest(tests::PROCESS_ATTRIBUTES)
        .run()
        .success()
        .stdout_has("flags true true false\n");
    let run = guest(tests::PROCESS_ATTRIBUTES)
        .env("NODULE_OPTIONS", "--title 'from options'")
        .run()
        .success();
    run.check(
        value(&run, "title") == "from options",
        "the title of NODULE_OPTIONS expected",
    );
    guest(tests::PROCESS_ATTRIBUTES)
        .env("NODULE_OPTIONS", "--allow-all")
        .run()
        .code(9)
        .stdout("");
}

// proves: process.sourceMapsEnabled, process.setSourceMapsEnabled
#[test]
fn source_lines_in_backtraces_can_be_turned_off() {
    let run = guest_with(&["--no-source-maps"], tests::PROCESS_ATTRIBUTES)
        .run()
        .success();
    run.check(
        value(&run, "sourceMapsEnabled") == "false",
        "sourceMapsEnabled false expected",
    );
    let run = guest_with(&["--enable-source-maps"], tests::PROCESS_ATTRIBUTES)
        .run()
        .success();
    run.check(
        value(&run, "sourceMapsEnabled") == "true",
        "sourceMapsEnabled true expected",
    );
}

// proves: process.env
#[test]
fn the_environment_is_filtered_live_and_checked() {
    let common = "missing None\n\
         \"A\" Some(\"text\") std Some(\"text\")\n\
         \"B\" Some(\"5\") std Some(\"5\")\n\
         \"C\" Some(\"true\") std Some(\"true\")\n\
         \"D\" Some(\"null\") std Some(\"null\")\n\
         \"E\" Some(\"undefined\") std Some(\"undefined\")\n\
         \"\" None std None\n\
         removed None\n\
         a None\n\
         key with = ERR_INVALID_ARG_VALUE\n\
         key with NUL ERR_INVALID_ARG_VALUE\n\
         value with NUL ERR_INVALID_ARG_VALUE\n\
         all has B true\n";
    let run = |flags: &[&str]| {
        guest_with(flags, tests::PROCESS_ENV)
            .env("NODULE_TEST_INHERITED", "from outside")
            .run()
            .success()
    };
    run(&[]).stdout(&format!("inherited None\n{common}"));
    for flags in [
        &["--allow-env"][..],
        &["--allow-env=NODULE_*"],
        &["--allow-env=X,NODULE_TEST_INHERITED"],
        &["--env", "NODULE_TEST_INHERITED"],
    ] {
        run(flags).stdout(&format!("inherited Some(\"from outside\")\n{common}"));
    }
    run(&["--allow-env=OTHER"]).stdout(&format!("inherited None\n{common}"));
    run(&["--env", "NODULE_TEST_INHERITED=given"]).stdout(&format!("inherited Some(\"given\")\n{common}"));
}

// proves: process.option.env-file, process.loadEnvFile
#[test]
fn env_files_set_what_nothing_else_sets() {
    let run = |flags: &[&str]| {
        guest_with(flags, tests::PROCESS_ENV)
            .file("vars", "# comment\nexport NODULE_TEST_INHERITED = 'from file' # more\n")
            .run()
    };
    run(&["--env-file", "vars"])
        .success()
        .stdout_has("inherited Some(\"from file\")\n");
    run(&["--env", "NODULE_TEST_INHERITED=given", "--env-file", "vars"])
        .success()
        .stdout_has("inherited Some(\"given\")\n");
    run(&["--env-file-if-exists", "missing"])
        .success()
        .stdout_has("inherited None\n");
    let refused = run(&["--env-file", "missing"]);
    refused.check(refused.code == Some(9), "a missing env file is a wrong command line");
}

fn directory(flags: &[&str], arguments: &[&str]) -> Run {
    let command = guest_with(flags, tests::PROCESS_DIRECTORY)
        .file(".env", "FROM_FILE=default\n")
        .file("other.env", "FROM_FILE=\"a\\nb\"\n");
    std::fs::create_dir(command.directory().join("inner")).unwrap();
    command.args(arguments).run().success()
}

// proves: process.cwd, process.chdir
#[test]
fn the_working_directory_is_real_and_changes() {
    let run = directory(&["--dir", "."], &["inner"]);
    let cwd = run.directory().canonicalize().unwrap();
    let old = cwd.to_str().unwrap();
    run.check(
        run.stdout.starts_with(&format!(
            "cwd {old}\n\
             chdir missing: ENOENT Some(\"chdir\") \"ENOENT: no such file or directory, chdir '{old}' -> '/definitely/missing'\"\n\
             chdir: ok\n\
             cwd {old}/inner\n"
        )) || run.stdout.starts_with(&format!("cwd {old}\nchdir missing: ERR_ACCESS_DENIED")),
        "the working directory and its errors expected",
    );
    run.stdout_has(&format!("cwd {old}/inner\n"));
    directory(&[], &["inner"])
        .stdout_has("chdir: ERR_ACCESS_DENIED")
        .stdout_has("--dir");
}

// proves: process.chdir
#[test]
fn a_missing_directory_is_nodes_error() {
    let run = directory(&["--dir", "/"], &["inner"]);
    let cwd = run.directory().canonicalize().unwrap();
    let old = cwd.to_str().unwrap();
    run.stdout_has(&format!(
        "chdir missing: ENOENT Some(\"chdir\") \"ENOENT: no such file or directory, chdir '{old}' -> '/definitely/missing'\"\n"
    ));
}

// proves: process.umask
#[test]
fn the_mask_is_read_set_and_checked() {
    directory(&[], &[]).stdout_has("umask 77 was a mask\nrestored true\nbad mask ERR_INVALID_ARG_VALUE\n");
}

// proves: process.loadEnvFile
#[test]
fn env_files_are_loaded_by_the_guest() {
    directory(&["--dir", "."], &["."]).stdout_has("env file: ok\nFROM_FILE Some(\"default\") std Some(\"default\")\n");
    directory(&["--dir", "."], &[".", "other.env"]).stdout_has("FROM_FILE Some(\"a\\nb\")");
    directory(&["--dir", "."], &[".", "missing.env"]).stdout_has("env file: ENOENT Some(\"open\")");
    directory(&[], &["."]).stdout_has("env file: ERR_ACCESS_DENIED");
}

/// Opening a pipe that nobody writes to would keep a thread of the host for ever.
// proves: process.loadEnvFile
#[test]
fn r_an_env_file_that_is_a_pipe_holds_nobody_up() {
    let command = guest_with(&["--dir", "."], tests::PROCESS_DIRECTORY).args([".", "pipe.env"]);
    let pipe = command.directory().join("pipe.env");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    command.run().success().stdout_has("env file: EINVAL Some(\"open\")");
}

// proves: process.hrtime, process.hrtime.bigint, process.uptime, process.cpuUsage, process.threadCpuUsage
// proves: process.memoryUsage, process.memoryUsage.rss, process.availableMemory, process.resourceUsage
// proves: os.cpus, os.availableParallelism
#[test]
fn figures_of_time_memory_and_machine_make_sense() {
    guest(tests::PROCESS_USAGE).run().success().stdout(
        "hrtime grows true\n\
         tuple true\n\
         uptime true\n\
         cpuUsage true\n\
         threadCpuUsage true\n\
         negative ERR_INVALID_ARG_VALUE\n\
         heapUsed counts true\n\
         heapTotal true\n\
         heapUsed falls true\n\
         rss true external true\n\
         rss alone true\n\
         available true\n\
         maxRSS true\n\
         cpus true parallelism true\n",
    );
}

// proves: process.setuid, process.seteuid, process.setgid, process.setegid
#[test]
fn setting_ids_checks_type_range_and_name() {
    // A value in the memory, the call, its error number; 0 for success. Own ids can always be set.
    let own = |id: u32| nodule_abi::value::to_vec(&id).unwrap();
    let text = |text: &str| nodule_abi::value::to_vec(&text).unwrap();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    for (name, id) in [("setuid", uid), ("seteuid", uid), ("setgid", gid), ("setegid", gid)] {
        for (value, code) in [
            (own(id), None),
            (text("no-such-name"), Some(ErrorCode::UnknownCredential)),
            (
                nodule_abi::value::to_vec(&true).unwrap(),
                Some(ErrorCode::InvalidArgType),
            ),
            (nodule_abi::value::to_vec(&-1).unwrap(), Some(ErrorCode::OutOfRange)),
            (
                nodule_abi::value::to_vec(&4_294_967_296_u64).unwrap(),
                Some(ErrorCode::OutOfRange),
            ),
            (nodule_abi::value::to_vec(&1.5).unwrap(), Some(ErrorCode::OutOfRange)),
        ] {
            let call = format!("(call $f (i32.const 0) (i32.const {}))", value.len());
            let bytes: String = value.iter().map(|byte| format!("\\{byte:02x}")).collect();
            let module = |expected: u32| {
                format!(
                    r#"(module (import "nodule:process/1" "{name}" (func $f (param i32 i32) (result i32)))
                    (memory (export "memory") 1) (data (i32.const 0) "{bytes}")
                    (func (export "_start") (if (i32.ne {call} (i32.const {expected})) (then unreachable))))"#
                )
            };
            let expected = code.map_or(0, |code| u32::from(code.number()));
            wat_with(&["--allow-sys"], &module(expected)).run().success();
            let denied = u32::from(ErrorCode::AccessDenied.number());
            wat_with(&[], &module(denied)).run().success();
        }
    }
}

// proves: process.constrainedMemory, process.availableMemory
#[test]
fn memory_bounds_are_those_node_sees() {
    let figure = |name: &str| {
        let text = format!(
            r#"(module (import "nodule:process/1" "{name}" (func $figure (result i64)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (data (i32.const 0) "\10\00\00\00\08\00\00\00")
            (func $digits (param $value i64) (param $at i32)
                (loop $again
                    (i32.store8 (local.get $at)
                        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10)))))
                    (local.set $value (i64.div_u (local.get $value) (i64.const 10)))
                    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                    (br_if $again (i32.ge_u (local.get $at) (i32.const 16)))))
            (func (export "_start")
                (call $digits (call $figure) (i32.const 39))
                (i32.store (i32.const 4) (i32.const 24))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
        );
        wat_with(&[], &text).run().success().stdout.parse::<u64>().unwrap()
    };
    let (constrained, available) = (figure("constrained_memory"), figure("available_memory"));
    let script = "console.log(process.constrainedMemory(), process.availableMemory())";
    let Some(node) = node(&["-e", script]) else { return };
    let node = node.run().code(0);
    let mut figures = node
        .stdout
        .split_whitespace()
        .map(|figure| figure.parse::<f64>().unwrap());
    let (node_constrained, node_available) = (figures.next().unwrap(), figures.next().unwrap());
    // Without a bound Node says 0 or what the kernel has for "no bound".
    let is_bound = |bytes: f64| bytes > 0.0 && bytes < 1e18;
    let same = is_bound(constrained as f64) == is_bound(node_constrained);
    assert!(same, "nodule {constrained}, Node {node_constrained}");
    let equal = constrained as f64 == node_constrained;
    assert!(
        !is_bound(node_constrained) || equal,
        "nodule {constrained}, Node {node_constrained}"
    );
    let ratio = available as f64 / node_available;
    assert!((0.5..2.0).contains(&ratio), "nodule {available}, Node {node_available}");
}

// proves: process.getuid, process.geteuid, process.getgid, process.getegid, process.getgroups
// proves: process.setuid, process.setgid, process.setgroups, process.initgroups
#[test]
fn identity_needs_a_grant_and_says_what_is_unknown() {
    let denied = guest(tests::PROCESS_IDENTITY).run().success();
    denied.check(
        denied.stdout.lines().all(|line| line.contains("ERR_ACCESS_DENIED")),
        "nothing without the grant",
    );
    denied.check(
        denied.stdout.lines().all(|line| line.contains("--allow-sys")),
        "every refusal names the flag",
    );
    let run = guest_with(&["--allow-sys"], tests::PROCESS_IDENTITY).run().success();
    for (name, id) in [
        ("uid:", rustix::process::getuid().as_raw()),
        ("euid:", rustix::process::geteuid().as_raw()),
        ("gid:", rustix::process::getgid().as_raw()),
        ("egid:", rustix::process::getegid().as_raw()),
    ] {
        run.check(value(&run, name) == id.to_string(), &format!("{name} {id} expected"));
    }
    let own = rustix::process::getegid().as_raw().to_string();
    let groups = value(&run, "groups:").trim_matches(['[', ']']);
    run.check(
        groups.split(", ").any(|group| group == own),
        "the groups contain the effective one",
    );
    run.stdout_has("unknown user: ERR_UNKNOWN_CREDENTIAL User identifier does not exist: no-such-user\n")
        .stdout_has("unknown group: ERR_UNKNOWN_CREDENTIAL Group identifier does not exist: no-such-group\n")
        .stdout_has("unknown member: ERR_UNKNOWN_CREDENTIAL Group identifier does not exist: no-such-group\n")
        .stdout_has("unknown both: ERR_UNKNOWN_CREDENTIAL Group identifier does not exist: no-such-group\n")
        .stdout_has("set own: ()\n");
}

fn permission(flags: &[&str], steps: &str) -> String {
    guest_with(flags, tests::PROCESS_PERMISSION)
        .args(steps.split(' '))
        .run()
        .success()
        .stdout
}

// proves: process.permission.has, process.permission.scopes, process.option.permission-flags
#[test]
fn nothing_is_granted_by_default_but_workers_and_shared_memory() {
    let scopes = [
        "fs",
        "fs.read",
        "fs.write",
        "child",
        "run",
        "net",
        "inspector",
        "wasi",
        "addon",
        "ffi",
        "env",
        "sys",
        "signal",
    ];
    let steps = scopes.map(|scope| format!("has {scope}")).join(" , ");
    let expected: String = scopes.iter().map(|scope| format!("has {scope} -: false\n")).collect();
    assert_eq!(permission(&[], &steps), expected);
    assert_eq!(
        permission(&[], "has worker , has shared_memory , has nonsense"),
        "has worker -: true\nhas shared_memory -: true\nhas nonsense -: false\n"
    );
    assert_eq!(
        permission(&["--deny-shared-memory"], "has shared_memory"),
        "has shared_memory -: false\n"
    );
    assert_eq!(permission(&["--deny-worker"], "has worker"), "has worker -: false\n");
    for (flag, scope) in [
        ("--allow-child", "child"),
        ("--allow-run", "run"),
        ("--allow-net", "net"),
        ("--allow-dlopen", "addon"),
        ("--allow-env", "env"),
        ("--allow-sys", "sys"),
        ("--allow-signal", "signal"),
    ] {
        assert_eq!(
            permission(&[flag], &format!("has {scope}")),
            format!("has {scope} -: true\n"),
            "{flag}"
        );
        assert_eq!(
            permission(&["-A"], &format!("has {scope}")),
            format!("has {scope} -: true\n"),
            "-A"
        );
    }
}

// proves: process.permission.has, process.permission.drop
#[test]
fn dropping_is_exact_and_for_good() {
    assert_eq!(
        permission(
            &["--allow-net=127.0.0.1:80,example.com", "--allow-sys"],
            "has net 127.0.0.1:80 , has net example.com , drop net example.com , has net example.com , has net 127.0.0.1:80 , drop net , has net 127.0.0.1:80 , has sys"
        ),
        "has net 127.0.0.1:80: true\n\
         has net example.com: true\n\
         drop net example.com: dropped\n\
         has net example.com: false\n\
         has net 127.0.0.1:80: true\n\
         drop net -: dropped\n\
         has net 127.0.0.1:80: false\n\
         has sys -: true\n"
    );
    // A wildcard can only be dropped whole.
    let out = permission(
        &["--allow-env"],
        "drop env HOME , has env HOME , drop env , has env HOME",
    );
    assert!(out.contains("has env HOME: true\n"), "{out}");
    assert!(out.ends_with("drop env -: dropped\nhas env HOME: false\n"), "{out}");
}

// proves: process.getActiveResourcesInfo, process.ref, process.unref, process.getBuiltinModule
#[test]
fn active_resources_are_those_that_keep_the_process() {
    guest(tests::PROCESS_RESOURCES).run().success().stdout(
        "idle []\n\
         both [\"Timeout\", \"Immediate\"]\n\
         unref [\"Immediate\"]\n\
         cleared [\"Timeout\"]\n\
         none []\n\
         process Some((\"process\", 1, true))\n\
         node:process Some((\"process\", 1, true))\n\
         nothing None\n",
    );
}

// proves: process.channel, process.connected, process.send, process.disconnect, process.channel.ref
// proves: process.channel.unref, process.event.message, process.event.disconnect, process.event.worker
// proves: process.event.workerMessage
#[test]
fn without_a_parent_and_workers_their_events_are_registered_and_never_fire() {
    guest(tests::PROCESS_CHANNEL).run().success().stdout(
        "channel false connected None\nsend ERR_IPC_CHANNEL_CLOSED\ndisconnect ERR_IPC_DISCONNECTED\nlisteners 1 1 1 1\n",
    );
}
