//! Tests ask the Node binary of the machine what Node does.

use std::process::{Command, Stdio};

/// The standard output of a Node script, or nothing, with a note on stderr, where there is no Node.
pub fn run(script: &str, arguments: &[&str]) -> Option<String> {
    let node = start(&["-e", script], arguments)?;
    let output = node.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "node: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The process id of a Node process and what it wrote to stderr; as [`run`].
pub fn stderr_of(options: &[&str], arguments: &[&str]) -> Option<(u32, String)> {
    let node = start(options, arguments)?;
    let pid = node.id();
    let output = node.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "node: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some((pid, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn start(options: &[&str], arguments: &[&str]) -> Option<std::process::Child> {
    let mut command = Command::new("node");
    command
        .args(options)
        .arg("--")
        .args(arguments)
        .env_remove("NODE_OPTIONS");
    match command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(node) => Some(node),
        Err(error) => {
            eprintln!("SKIPPED comparison with Node: {error}");
            None
        }
    }
}
