//! The options of a worker: sources, arguments, environment, flags, grants, directory.

use crate::guests::tests;
use crate::support::{Cmd, Run, guest_with};

fn options(flags: &[&str], case: &str) -> Run {
    guest_with(flags, tests::WORKER_OPTIONS).arg(case).run().success()
}

// proves: Worker.options.argv
#[test]
fn arguments_are_text_behind_the_module() {
    options(&[], "argv").stdout("[\"null\", \"1.5\", \"true\"] \"null\"\n[] \"\"\n");
}

// proves: Worker.options.env, worker_threads.SHARE_ENV
#[test]
fn the_environment_is_copied_shared_or_its_own() {
    options(&[], "env").stdout(
        "copy: Some(\"creator\") Some(\"worker\")\n\
         here: Some(\"creator\")\n\
         share: Some(\"creator\") Some(\"worker\")\n\
         here: Some(\"worker\")\n\
         later: Some(\"set later\")\n\
         own: {\"C\": \"own\"}\n\
         none: {}\n\
         bad key: ERR_INVALID_ARG_VALUE\n",
    );
}

// proves: Worker.options.execArgv
#[test]
fn flags_of_a_thread_take_effect_and_others_are_refused() {
    let refused = "Error ERR_WORKER_INVALID_EXEC_ARGV Initiated Worker with invalid execArgv flags:";
    options(&["--no-deprecation"], "exec-argv").stdout(&format!(
        "inherited: [\"--no-deprecation\"]\n\
         own: [\"--unhandled-rejections=warn\", \"--no-warnings\"]\n\
         throw: Error - rejected, exit 1\n\
         strict: Error - rejected, exit 1\n\
         warn: no error, exit 0\n\
         none: no error, exit 0\n\
         warn-with-error-code: no error, exit 1\n\
         {refused} --title=x\n\
         {refused} --no-such-flag\n\
         {refused} --max-memory=1, --allow-all\n\
         {refused} --redirect-warnings needs the command line\n",
    ));
}

// proves: Worker.options.permissions
#[test]
fn grants_narrow_and_never_widen() {
    options(&["--allow-signal"], "permissions").stdout(
        "creator: worker signal shared_memory\n\
         inherited: worker signal shared_memory\n\
         none: worker shared_memory\n\
         signal: worker signal shared_memory\n\
         wider: worker signal shared_memory\n\
         all: worker signal shared_memory\n\
         deny: signal shared_memory\n\
         by env: worker signal shared_memory\n\
         unknown: ERR_INVALID_ARG_VALUE\n",
    );
}

// proves: Worker, Worker.options.permissions
#[test]
fn who_may_not_start_workers_starts_none() {
    let denied = "Error ERR_ACCESS_DENIED Access to this API has been restricted: create a worker; allow it with --allow-worker Some(\"WorkerThreads\")\n";
    options(&["--deny-worker"], "denied").stdout(denied);
    options(&[], "dropped").stdout(&format!("before: true\n{denied}"));
}

/// In a directory with these in it.
fn in_directory(flags: &[&str], case: &str) -> Run {
    let command = guest_with(flags, tests::WORKER_OPTIONS)
        .arg(case)
        .file("file.txt", "text");
    std::fs::create_dir_all(command.directory().join("inner/deeper")).unwrap();
    command.run().success()
}

// proves: Worker.options.cwd
#[test]
fn a_directory_of_its_own_may_be_changed() {
    in_directory(&["--dir", "."], "cwd").stdout(
        "follows: true\n\
         own: <cwd>/inner changed <cwd>/inner/deeper\n\
         unchanged here: true\n\
         missing: ENOENT\n",
    );
}

// proves: Worker.options.entry
#[test]
fn another_export_can_be_the_entry() {
    options(&[], "entry").stdout(
        "no error, exit 1\n\
         no error, exit 2\n\
         Error ERR_WORKER_INIT_FAILED [worker eval] exports no function \"third\" without parameters and results (hint: choose another with --entry; functions without parameters: _start, second), exit 1\n",
    );
}

// proves: Worker.options.trackUnmanagedFds
#[test]
fn files_a_worker_leaves_open_are_no_concern_of_its_creator() {
    in_directory(&["--dir", "."], "fds").stdout("open 0\nopen 0\n");
}

/// A module that ends with a code.
fn text(code: u32) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

/// Runs a source as a worker.
fn source(flags: &[&str], source: &str) -> Cmd {
    guest_with(flags, tests::WORKER_RUN)
        .arg(source)
        .file("module.wat", text(7))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            text.push(if is_padding {
                '='
            } else {
                DIGITS[bits >> (18 - 6 * digit) & 63].into()
            });
        }
    }
    text
}

const ENDED_WITH_7: &str = "online\nexit 7\nstdout \"\"\nstderr \"\"\n";

// proves: Worker, Worker.options.eval
#[test]
fn a_module_comes_from_a_file_a_url_or_bytes() {
    for path in [
        "./module.wat",
        "././inner/../module.wat",
        "file:<cwd>/module.wat",
        "file://<cwd>/module.wat",
        "<cwd>/module.wat",
    ] {
        let command = guest_with(&["--dir", "."], tests::WORKER_RUN).file("module.wat", text(7));
        std::fs::create_dir(command.directory().join("inner")).unwrap();
        let directory = command.directory().canonicalize().unwrap();
        let path = path.replace("<cwd>", directory.to_str().unwrap());
        command.arg(path).run().success().stdout(ENDED_WITH_7);
    }
    let module = wat::parse_str(text(7)).unwrap();
    source(&[], &format!("data:application/wasm;base64,{}", base64(&module)))
        .run()
        .success()
        .stdout(ENDED_WITH_7);
    source(&[], &format!("text:{}", text(7)))
        .run()
        .success()
        .stdout(ENDED_WITH_7);
}

// proves: Worker
#[test]
fn a_file_needs_a_grant() {
    let run = source(&[], "./module.wat").run().success();
    run.check(run.stdout.contains("ERR_ACCESS_DENIED"), "a refusal expected");
    run.check(!run.stdout.contains("online"), "nothing runs");
}

// proves: Worker
#[test]
fn bad_paths_and_urls_are_refused_at_once() {
    for (path, refusal) in [
        ("module.wat", "TypeError ERR_WORKER_PATH"),
        ("", "TypeError ERR_WORKER_PATH"),
        (
            "https://example.org/a.wasm",
            "TypeError ERR_INVALID_URL_SCHEME The URL must be of scheme file",
        ),
        ("file:relative.wasm", "TypeError ERR_INVALID_ARG_VALUE"),
        ("file://elsewhere/a.wasm", "TypeError ERR_INVALID_ARG_VALUE"),
        ("data:text/plain,x", "TypeError ERR_INVALID_ARG_VALUE"),
        ("data:application/wasm;base64,*", "TypeError ERR_INVALID_ARG_VALUE"),
    ] {
        let run = source(&["--dir", "."], path).run().success();
        run.check(
            run.stdout.starts_with(&format!("refused {refusal}")),
            &format!("{refusal} expected"),
        );
    }
}

// proves: Worker, Worker.event.error, Worker.event.exit
#[test]
fn what_cannot_be_run_is_an_error_and_an_exit_and_never_online() {
    let unlinkable = r#"text:(module (import "no" "such" (func)) (func (export "_start")))"#;
    for (path, error) in [
        (
            "./missing.wasm",
            "error Error ERR_MODULE_NOT_FOUND Cannot find module './missing.wasm'",
        ),
        (
            "text:(module",
            "error Error ERR_WORKER_INIT_FAILED Worker initialization failure: ",
        ),
        (
            unlinkable,
            "error Error ERR_WORKER_INIT_FAILED Worker initialization failure: ",
        ),
        ("text:(module)", "error Error ERR_WORKER_INIT_FAILED "),
        (
            "text:(module (start 0) (func unreachable) (func (export \"_start\")))",
            "error RuntimeError ERR_WASM_UNREACHABLE",
        ),
    ] {
        let run = source(&["--dir", "."], path).run().success();
        run.check(run.stdout.starts_with(error), &format!("{error} expected"));
        run.check(run.stdout.contains("\nexit 1\n"), "exit 1 expected");
        run.check(!run.stdout.contains("online"), "it never ran");
    }
}
