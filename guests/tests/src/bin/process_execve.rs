//! Replacing the process: `process_execve <file> [arguments…]`, with `REPLACED=1` as its only variable.

use std::collections::BTreeMap;

use nodule_sdk::process;

#[nodule_sdk::main]
fn main() {
    let arguments = process::argv();
    process::on_exit(|code| println!("exit {code}"));
    let args: Vec<&str> = arguments[2..].iter().map(String::as_str).collect();
    let env = BTreeMap::from([("REPLACED".to_owned(), "1".to_owned())]);
    print!("before ");
    let Err(error) = process::execve(args[0], &args, Some(&env));
    let record = error.record();
    println!(
        "{} {:?} {:?}",
        error.code().unwrap_or("-"),
        record.syscall.as_deref(),
        record.path
    );
}
