//! What children may do: at most what their parent may, whatever a guest starts them with.

use std::os::unix::fs::PermissionsExt as _;

use crate::guests::{Guest, tests};
use crate::support::{Cmd, Run, guest_with, nodule};

/// The directory of the test programs, to read.
fn modules() -> String {
    let directory = tests::CHILD_GRANTS.path();
    format!("--dir={}:ro", directory.parent().unwrap().display())
}

/// The program that starts itself and tells what it may do, with the grant to do so and these flags.
fn grants_with(flags: &[&str]) -> Cmd {
    guest_with(&[&["--allow-child", &modules()], flags].concat(), tests::CHILD_GRANTS)
}

fn grants(flags: &[&str], line: &[&str]) -> Run {
    grants_with(flags).args(line).run().success()
}

fn path(guest: Guest) -> String {
    guest.path().display().to_string()
}

/// What nobody grants here.
const PROBES: [&str; 9] = [
    "fs",
    "fs.read@/etc/passwd",
    "run",
    "run@/bin/sh",
    "net",
    "net@127.0.0.1:80",
    "env@HOME",
    "sys",
    "signal",
];

fn nothing() -> String {
    PROBES.map(|probe| format!("{probe}: false\n")).concat()
}

// proves: child_process.spawn, child_process.fork
#[test]
fn nothing_is_started_without_a_grant() {
    let denied = |what: &str, flag: &str, permission: &str, resource: &str| {
        format!(
            "refused Error ERR_ACCESS_DENIED Access to this API has been restricted: {what}; allow it with {flag} \
             permission={permission} resource={resource}\n"
        )
    };
    let module = path(tests::CHILD_GRANTS);
    let no_child = denied(
        &format!("start a nodule child ({module})"),
        "--allow-child",
        "ChildProcess",
        &module,
    );
    for form in ["spawn", "sync", "fork"] {
        let run = |flags: &[&str], line: &[&str]| guest_with(flags, tests::CHILD_GRANTS).args(line).run().success();
        // The grant to start programs is none to start modules, and the other way round.
        run(&["--allow-run", &modules()], &[form, "--", "probe"]).stdout(&no_child);
        if form != "fork" {
            let no_run = |file: &str| denied(&format!("start {file}"), &format!("--allow-run={file}"), "Run", file);
            run(&["--allow-child"], &[form, "module=/bin/true", "--"]).stdout(&no_run("/bin/true"));
            run(&["--allow-child"], &[form, "module=true", "--"]).stdout(&no_run("true"));
            run(&["--allow-child"], &[form, "module=true", "shell=true", "--"]).stdout(&no_run("/bin/sh"));
        }
        // A module must be one that the guest may read.
        let other = path(tests::PROCESS_EXIT_VALUE);
        run(&["--allow-child"], &[form, &format!("module={other}"), "--"])
            .stdout_has("ERR_ACCESS_DENIED Access to this API has been restricted: read ");
    }
    let run = guest_with(&["--allow-child"], tests::CHILD_GRANTS)
        .args(["fork", "execPath=/bin/sh", "--"])
        .run();
    run.success()
        .stdout(&denied("start /bin/sh", "--allow-run=/bin/sh", "Run", "/bin/sh"));
}

// proves: child_process.spawn, child_process.spawnSync
#[test]
fn a_granted_program_is_the_only_one() {
    let line = [
        "probe",
        "exec@true",
        "exec@/bin/true",
        "exec@sh",
        "exec@/bin/sh",
        "exec@/nope",
        "exec@nope",
        "exec@./true",
    ];
    let run = guest_with(&["--allow-run=/bin/true"], tests::CHILD_GRANTS)
        .args(line)
        .run()
        .success();
    let denied = ["sh", "/bin/sh", "/nope", "nope", "./true"].map(|file| format!("exec@{file}: ERR_ACCESS_DENIED\n"));
    run.stdout(&format!("exec@true: ok\nexec@/bin/true: ok\n{}", denied.concat()));
    // Neither by another name for another file, nor by another place to look for it.
    let command = guest_with(&["--allow-run=/bin/true", "--dir=."], tests::CHILD_GRANTS);
    let directory = command.directory().to_path_buf();
    std::os::unix::fs::symlink("/bin/sh", directory.join("true")).unwrap();
    let env = format!("env={{PATH={}}}", directory.display());
    let run = command
        .args(["spawn", "module=true", &env, "--", "-c", "echo run"])
        .run()
        .success();
    run.stdout_has("refused Error ERR_ACCESS_DENIED");
}

// proves: child_process.options.env
#[test]
fn the_loader_of_a_program_is_not_told_what_to_load() {
    let denied = "refused Error ERR_ACCESS_DENIED Access to this API has been restricted: start ";
    for variable in [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
    ] {
        let env = format!("env={{A=1;{variable}=x}}");
        let line = |form: &'static str| [form, "module=/bin/true", &env, "--"].map(str::to_owned);
        for form in ["spawn", "sync"] {
            let one = guest_with(&["--allow-run=/bin/true"], tests::CHILD_GRANTS);
            one.args(line(form))
                .run()
                .success()
                .stdout_has(denied)
                .stdout_has(variable);
        }
        // Those who may start everything may do that, too; what it means is not looked at.
        let all = guest_with(&["--allow-run"], tests::CHILD_GRANTS);
        let run = all.args(line("spawn")).run().code(0);
        run.check(!run.stdout.contains("ERR_ACCESS_DENIED"), "it is granted");
    }
    // Also where it stands in the environment of the guest.
    let line = ["spawn", "set@LD_PRELOAD", "module=/bin/true", "--"];
    let run = guest_with(&["--allow-run=/bin/true"], tests::CHILD_GRANTS)
        .args(line)
        .run()
        .success();
    run.stdout_has("set@LD_PRELOAD: ok\nrefused Error ERR_ACCESS_DENIED");
}

// proves: child_process.fork, child_process.options.execArgv
#[test]
fn a_child_has_no_more_than_its_parent_however_it_asks() {
    let probe = [&["--", "probe"], &PROBES[..]].concat();
    let same = format!("{}ended Some(0) None\n", nothing());
    for settings in [
        &["spawn"][..],
        &["sync"],
        &["fork"],
        &["spawn", "permissions=[-A]"],
        &["sync", "permissions=[--allow-all]"],
        &[
            "spawn",
            "permissions=[--allow-run,--allow-net,--allow-env,--allow-sys,--allow-signal]",
        ],
        &["fork", "permissions=[--allow-run=/bin/sh,--allow-net=127.0.0.1:80]"],
        &["fork", "execArgv=[-A]"],
        &["fork", "execArgv=[--,-A]"],
        &[
            "fork",
            "execArgv=[--allow-run,--allow-net,--allow-env,--allow-sys,--allow-signal,--allow-child]",
        ],
        &["fork", "execArgv=[--no-warnings,-A]", "permissions=[-A]"],
        &["spawn", "argv0=-A"],
        &["spawn", "argv0=--allow-net"],
    ] {
        grants(&[], &[settings, &probe].concat()).stdout(&same);
        // And so has a child of the child.
        let below = [&["--", "fork", "execArgv=[-A]"], &probe[..]].concat();
        let run = grants(&[], &[settings, &below].concat());
        let refused = run.stdout.starts_with("refused Error ERR_ACCESS_DENIED");
        run.check(
            refused || run.stdout == format!("{same}ended Some(0) None\n"),
            "a child of the child has no more either",
        );
    }
    for directory in ["/etc", "/", "..", "/proc/self/root"] {
        for settings in [
            ["fork".to_owned(), format!("execArgv=[--dir={directory}]")],
            ["fork".to_owned(), format!("execArgv=[--dir,{directory}]")],
            ["spawn".to_owned(), format!("permissions=[--dir={directory}::/x]")],
        ] {
            let line: Vec<&str> = settings
                .iter()
                .map(String::as_str)
                .chain(probe.iter().copied())
                .collect();
            grants(&[], &line).stdout_has("refused Error ERR_ACCESS_DENIED");
        }
    }
}

// proves: child_process.options.permissions, child_process.options.execArgv
#[test]
fn grants_can_be_narrowed_and_stay_so() {
    let flags = ["--allow-run=/bin/true", "--allow-net", "--dir=."];
    let probes = [
        "child",
        "run@/bin/true",
        "net",
        "net@127.0.0.1:80",
        "fs.write@.",
        "worker",
    ];
    let told = |values: [bool; 6]| {
        let lines = probes
            .iter()
            .zip(values)
            .map(|(probe, value)| format!("{probe}: {value}\n"));
        lines.collect::<String>()
    };
    let module = modules();
    let run = |line: &[&str]| grants(&flags, line);
    let probe = [&["--", "probe"], &probes[..]].concat();
    run(&[&["spawn"], &probe[..]].concat()).stdout(&format!("{}ended Some(0) None\n", told([true; 6])));
    let none = told([false, false, false, false, false, true]);
    run(&[&["spawn", "permissions=[]"], &probe[..]].concat()).stdout(&format!("{none}ended Some(0) None\n"));
    let denied = told([false; 6]);
    run(&[&["spawn", "permissions=[--deny-worker]"], &probe[..]].concat())
        .stdout(&format!("{denied}ended Some(0) None\n"));
    let some = told([true, false, false, true, false, true]);
    let settings = format!("[--allow-child,--allow-net=127.0.0.1,{module}]");
    for setting in ["permissions", "execArgv"] {
        let setting = format!("{setting}={settings}");
        run(&[&["fork", &setting], &probe[..]].concat()).stdout(&format!("{some}ended Some(0) None\n"));
        // What was given up does not come back below.
        let below = ["--", "fork", "execArgv=[-A]", "permissions=[-A]"];
        run(&[&["fork", &setting], &below[..], &probe[..]].concat())
            .stdout(&format!("{some}ended Some(0) None\nended Some(0) None\n"));
    }
    // Nor does what was dropped.
    run(&[&["spawn", "drop@net", "drop@run", "permissions=[-A]"], &probe[..]].concat()).stdout_has(&format!(
        "{}ended Some(0) None\n",
        told([true, false, false, false, true, true])
    ));
    run(&["spawn", "permissions=[--no-such-flag]", "--", "probe"])
        .stdout_has("refused TypeError ERR_INVALID_ARG_VALUE");
}

// proves: child_process.options.permissions
#[test]
fn children_of_a_thread_have_what_the_thread_has() {
    let module = path(tests::PROCESS_PERMISSION);
    let directory = tests::CHILD_WORKER.path().parent().unwrap().display().to_string();
    let flags = ["--allow-child", "--allow-run", "--allow-net", &modules()];
    let run = guest_with(&flags, tests::CHILD_WORKER)
        .args(["grants", &module, &directory])
        .run()
        .success();
    let native = "native Error ERR_ACCESS_DENIED Access to this API has been restricted: start /bin/sh; \
                  allow it with --allow-run=/bin/sh permission=Run resource=/bin/sh\n";
    run.stdout(&format!(
        "{native}module Error ERR_ACCESS_DENIED Access to this API has been restricted: start a nodule child ({module}); \
         allow it with --allow-child permission=ChildProcess resource={module}\n\
         {native}has child -: true\nhas run -: false\nhas net -: false\nhas fs.read {directory}: true\nmodule started\n"
    ));
}

// proves: child_process.options.execArgv
#[test]
fn options_that_name_files_of_the_host_are_the_operators() {
    for words in [
        "--cache-dir=x",
        "--cache-dir,x",
        "--allow-precompiled",
        "--redirect-warnings=x",
        "--redirect-warnings,x",
        "--title,--redirect-warnings=x",
        "--report-directory=.",
        "--report-filename=x",
        "--env-file=/etc/passwd",
        "--env-file-if-exists=x",
        "--env=HOME",
        "--env,HOME",
        "--cwd=/",
    ] {
        let run = grants(&[], &["fork", &format!("execArgv=[{words}]"), "--", "probe"]);
        run.stdout_has("refused TypeError ERR_INVALID_ARG_VALUE The property 'options.execArgv' ");
    }
    // Other ways to write them are none.
    for words in [
        "--redirect-warn=x",
        "--redirect_warnings=x",
        "--cache-d=x",
        "-redirect-warnings=x",
    ] {
        let run = grants_with(&[])
            .args(["fork", &format!("execArgv=[{words}]"), "--", "probe"])
            .run()
            .code(0);
        let run = run.stdout("ended Some(9) None\n");
        run.check(!run.directory().join("x").exists(), "no file was made");
    }
    // Those that the operator gave are passed on, and only as he gave them.
    let flags = ["--redirect-warnings=warnings", "--no-deprecation"];
    grants(&flags, &["fork", "--", "probe", "argv"])
        .stdout_has("\"--redirect-warnings=warnings\", \"--no-deprecation\"]\n");
    grants(
        &flags,
        &["fork", "execArgv=[--redirect-warnings=warnings]", "--", "probe"],
    )
    .stdout("ended Some(0) None\n");
    grants(&flags, &["fork", "execArgv=[--redirect-warnings=other]", "--", "probe"]).stdout_has("refused TypeError");
}

// proves: child_process.options.env
#[test]
fn variables_do_not_steer_the_host_of_a_child() {
    let variables = [
        ("LD_PRELOAD", "x"),
        ("NODE_OPTIONS", "-A"),
        ("NODE_REDIRECT_WARNINGS", "warnings"),
        ("NODULE_CACHE_DIR", "cache"),
        ("NODULE_LOG", "trace"),
        ("NODULE_OPTIONS", "-A"),
        ("NODULE_START_FD", "0"),
        ("RUST_BACKTRACE", "1"),
    ];
    let env = variables.map(|(name, value)| format!("{name}={value}")).join(";");
    for form in ["spawn", "sync", "fork"] {
        let line = [form, &format!("env={{{env}}}"), "--", "probe", "variables", "net"];
        let run = grants(&[], &line);
        let run = run.stdout(&format!("variables: {variables:?}\nnet: false\nended Some(0) None\n"));
        for name in ["warnings", "cache"] {
            run.check(!run.directory().join(name).exists(), "nothing was made");
        }
    }
    // As variables of the parent they are as harmless, and what tells of channels is for nobody.
    let line = [
        "spawn",
        "set@NODULE_START_FD",
        "set@NODE_CHANNEL_FD",
        "--",
        "probe",
        "variables",
    ];
    grants(&[], &line)
        .stdout_has("(\"NODULE_START_FD\", \"x\")")
        .stdout_has("ended Some(0) None\n");
    // What the host itself has is not for the guest's child.
    let command = grants_with(&[])
        .env("SECRET", "1")
        .env("NODULE_OPTIONS", "--no-warnings");
    let run = command.args(["spawn", "--", "probe", "variables"]).run().success();
    run.stdout("variables: []\nended Some(0) None\n");
}

// proves: child_process.spawn, child_process.fork
#[test]
fn a_module_may_be_called_like_an_option() {
    for name in [
        "--help.wasm",
        "-A.wasm",
        "--allow-net.wasm",
        "--dir=x.wasm",
        "--version",
    ] {
        for form in ["spawn", "fork"] {
            // The one without the ending of a module is one only for a fork.
            if form == "spawn" && !name.ends_with(".wasm") {
                continue;
            }
            let command = grants_with(&["--dir=."]);
            std::fs::copy(tests::CHILD_GRANTS.path(), command.directory().join(name)).unwrap();
            let line = [
                form,
                &format!("module={name}"),
                "--",
                "probe",
                "net",
                "fs.read@/etc/passwd",
            ];
            // A setting has its first `=` where it belongs.
            command
                .args(line)
                .run()
                .success()
                .stdout("net: false\nfs.read@/etc/passwd: false\nended Some(0) None\n");
        }
    }
    for name in ["--allow-net", "-A", "--", "-", "run"] {
        let run = grants_with(&["--dir=."])
            .args(["fork", &format!("module={name}"), "--", "probe"])
            .run()
            .code(0);
        run.stdout("ended Some(1) None\n")
            .stderr(&format!("nodule: cannot find the module {name}\n"));
    }
}

// proves: child_process.spawn
#[test]
fn code_that_somebody_compiled_is_not_run() {
    let directory = tempfile::TempDir::new().unwrap();
    let compiled = |name: &str| directory.path().join(name).display().to_string();
    for (guest, name) in [
        (tests::CHILD_GRANTS, "own.cwasm"),
        (tests::PROCESS_PERMISSION, "other.cwasm"),
    ] {
        nodule(["compile", "-o", &compiled(name)])
            .arg(guest.path())
            .run()
            .code(0);
    }
    std::fs::copy(compiled("other.cwasm"), compiled("other.wasm")).unwrap();
    let read = format!("--dir={}", directory.path().display());
    let flags = ["run", "--allow-precompiled", "--allow-child", &read];
    // The operator trusts the one that he runs; that runs again.
    let run = |line: &[&str]| nodule(flags).arg(compiled("own.cwasm")).args(line).run().code(0);
    run(&["fork", "--", "probe", "child"]).stdout("child: true\nended Some(0) None\n");
    for name in ["other.cwasm", "other.wasm"] {
        let module = format!("module={}", compiled(name));
        run(&["fork", &module, "--", "has", "net"])
            .stdout("ended Some(3) None\n")
            .stderr_has("is precompiled code");
        run(&["spawn", &module.replace("cwasm", "wasm"), "--", "has", "net"]).stdout("ended Some(3) None\n");
    }
}

// proves: child_process.options.permissions, child_process.spawn
#[test]
fn a_link_leads_a_child_nowhere_else() {
    let script = "#!/bin/sh\nmv sub old; ln -s /etc sub\n";
    let command = |flags: &[&str]| {
        let command = grants_with(&[&["--allow-run=./swap"], flags].concat()).file("swap", script);
        let swap = command.directory().join("swap");
        std::fs::set_permissions(&swap, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(command.directory().join("sub")).unwrap();
        command
    };
    let probes = ["probe", "read@sub/passwd", "fs.read@/etc/passwd"];
    let refused = |run: Run| {
        let run = run
            .code(0)
            .stdout_has("ended Some(5) None\n")
            .stderr_has("the path leads through a symbolic link");
        run.check(!run.stdout.contains("passwd"), "no child runs with it");
    };
    // Between a child and its own child, and between a grant and a child.
    let narrow = format!("permissions=[--allow-child,--allow-run,{},--dir=sub]", modules());
    let line = ["spawn", &narrow, "--", "spawn", "exec@./swap", "--"];
    refused(command(&["--dir=."]).args(line).args(probes).run());
    refused(
        command(&["--dir=sub"])
            .args(["spawn", "exec@./swap", "--"])
            .args(probes)
            .run(),
    );
    // Names that would mean something else in a flag.
    for name in ["..::x", "..:ro", "..::x:rw,nofollow"] {
        let command = grants_with(&["--dir=."]);
        std::fs::create_dir(command.directory().join(name)).unwrap();
        let narrow = format!("permissions=[{},--dir={name}::/g]", modules());
        let run = command
            .args(["spawn", &narrow, "--", "probe", "fs@..", "fs@/g/.."])
            .run()
            .code(0);
        run.check(!run.stdout.contains("true"), "nothing outside is granted");
    }
    // A module that is a link to elsewhere.
    let command = grants_with(&["--dir=."]);
    std::os::unix::fs::symlink("/etc/passwd", command.directory().join("link.wat")).unwrap();
    let run = command.args(["spawn", "module=link.wat", "--"]).run().success();
    run.stdout_has("refused Error ERR_ACCESS_DENIED");
}

// proves: child_process.options.uid, child_process.options.gid, child_process.options.cwd, child_process.options.stdio
#[test]
fn other_options_give_nothing_away() {
    let refused =
        |line: &[&str]| grants(&["--allow-run=/bin/true"], line).stdout_has("refused Error ERR_ACCESS_DENIED");
    refused(&["spawn", "uid=0", "--", "probe"]).stdout_has("--allow-sys permission=Sys");
    refused(&["sync", "gid=0", "--", "probe"]).stdout_has("--allow-sys permission=Sys");
    refused(&["spawn", "cwd=/etc", "--", "probe"]);
    refused(&["fork", "cwd=/", "--", "probe"]);
    refused(&["spawn", "stdio=[{file=/etc/passwd}]", "module=/bin/true", "--"]);
    refused(&[
        "spawn",
        "stdio=[ignore,{file=/tmp/x;flags=w}]",
        "module=/bin/true",
        "--",
    ]);
    // The descriptors of the host of a child are not for the child.
    for fd in 3..8 {
        let line = [
            "fork",
            "--",
            "spawn",
            &format!("stdio=[ignore,inherit,inherit,{fd}]"),
            "module=/bin/true",
            "--",
        ];
        grants(&["--allow-run=/bin/true"], &line).stdout_has("refused Error EBADF spawn EBADF");
    }
}

// proves: child_process.fork, child_process.options.execArgv
#[test]
fn limits_are_inherited() {
    let wat = |name: &str, text: &str, flags: &[&str], line: &[&str]| {
        let flags = [flags, &["--dir=."]].concat();
        let command = grants_with(&flags).file(name, text);
        command
            .args(["fork", &format!("module={name}")])
            .args(line)
            .arg("--")
            .run()
            .code(0)
    };
    let spin = r#"(module (func (export "_start") (loop $again (br $again))))"#;
    for line in [&[][..], &["execArgv=[--max-cpu-ms=1000000]"]] {
        let run = wat("spin.wat", spin, &["--max-cpu-ms=500"], line);
        run.stdout("ended Some(1) None\n").stderr_has("ERR_WORKER_CPU_LIMIT");
    }
    let large = r#"(module (memory 2000) (func (export "_start")))"#;
    for line in [&[][..], &["execArgv=[--max-memory=4GiB]"]] {
        let run = wat("large.wat", large, &["--max-memory=32MiB"], line);
        run.check(!run.stdout.contains("Some(0)"), "the memory is bounded");
    }
    let deep = r#"(module (func $r (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
            (else (i32.add (i32.const 1) (call $r (i32.sub (local.get 0) (i32.const 1)))))))
        (func (export "_start") (drop (call $r (i32.const 100000)))))"#;
    for line in [&[][..], &["execArgv=[--max-stack=512MiB]"]] {
        let run = wat("deep.wat", deep, &["--max-stack=64KiB"], line);
        run.stdout("ended Some(1) None\n").stderr_has("ERR_WASM_STACK_OVERFLOW");
    }
    // Without a limit it is the child's to choose.
    wat("deep.wat", deep, &[], &["execArgv=[--max-stack=512MiB]"]).stdout("ended Some(0) None\n");
    // Children are counted in each process.
    let hold = format!("module={}", path(tests::CHILD_STDIO));
    let flags = ["--max-children=2", "--allow-run"];
    for line in [&["fork", &hold][..], &["fork", &hold, "execArgv=[--max-children=100]"]] {
        grants_with(&flags)
            .args(line)
            .args(["--", "hold", "2"])
            .run()
            .success()
            .stdout_has("held 2\nerror Error EAGAIN spawn /bin/sh EAGAIN: 2 child processes run, 2 are allowed")
            .stdout_has("room true\nended Some(0) None\n");
    }
}
