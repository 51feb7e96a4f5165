//! Tests ask the Node binary of the machine what Node does.

use std::process::Command;

/// The standard output of a Node script, or nothing, with a note on stderr, where there is no Node.
pub fn run(script: &str, arguments: &[&str]) -> Option<String> {
    let output = match Command::new("node").args(["-e", script]).args(arguments).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED comparison with Node: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "node: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
