//! Runs a test in a process of its own, for tests that change the process.

use std::process::Command;

const MARK: &str = "NODULE_TEST_OWN_PROCESS";

/// Whether this is the process [`run`] started. A test run with `--ignored` is not.
pub fn is_own() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs the ignored test `name` (its path in the crate) in a new process, fails if it fails, and gives its standard
/// output.
pub fn run(name: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.into_owned()
}
