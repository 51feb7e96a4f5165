//! `execve`: the process is replaced, or goes on with an error.

use crate::guests::{examples, tests};
use crate::support::{guest, guest_with};

// proves: process.execve
#[test]
fn the_process_is_replaced() {
    let command = guest_with(&["--allow-run=/bin/sh,/usr/bin/sh"], tests::PROCESS_EXECVE);
    let running = command
        .args([
            "/bin/sh",
            "-c",
            "echo pid $$ $REPLACED; env | grep -c .; ls /proc/self/fd | wc -l",
        ])
        .start();
    let pid = running.pid();
    let run = running.wait().code(0).stderr("");
    // Without `exit 0`: no listener runs. What was printed before is not lost.
    run.check(
        run.stdout.starts_with(&format!("before pid {pid} 1\n")),
        "the same process, with one variable",
    );
    // 0, 1, 2 and the directory that ls reads.
    run.check(run.stdout.ends_with("\n4\n"), "no descriptor of the host passes");
}

// proves: process.execve
#[test]
fn without_the_grant_the_process_goes_on() {
    guest(tests::PROCESS_EXECVE)
        .args(["/bin/sh", "-c", "echo replaced"])
        .run()
        .success()
        .stdout_has("before ERR_ACCESS_DENIED")
        .stdout_has("exit 0\n");
    guest_with(&["--allow-run=/bin/ls"], tests::PROCESS_EXECVE)
        .args(["/bin/sh"])
        .run()
        .success()
        .stdout_has("before ERR_ACCESS_DENIED");
}

// proves: process.execve
#[test]
fn a_failed_replacement_is_an_error_with_its_path() {
    guest_with(&["--allow-run"], tests::PROCESS_EXECVE)
        .arg("/no/such/program")
        .run()
        .success()
        .stdout("before ENOENT Some(\"execve\") Some(\"/no/such/program\")\nexit 0\n");
}

// proves: process.execve
#[test]
fn a_module_replaces_a_module() {
    let hello = examples::HELLO.path();
    let path = hello.to_str().unwrap();
    guest_with(&["--allow-child", "--dir", "/"], tests::PROCESS_EXECVE)
        .args([path, path, "argument"])
        .run()
        .success()
        .stdout_has("before hello, world\n");
    guest_with(&["--dir", "/"], tests::PROCESS_EXECVE)
        .args([path, path])
        .run()
        .stdout_has("ERR_ACCESS_DENIED");
}

/// Opening a pipe that nobody writes to would keep a thread of the host for ever.
// proves: process.execve
#[test]
fn r_execve_waits_for_no_pipe() {
    let command = guest_with(&["--dir", "."], tests::PROCESS_EXECVE).arg("pipe");
    let pipe = command.directory().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    command.run().success().stdout_has("before ERR_ACCESS_DENIED");
}
