//! Runs a command and prints its events: `child_spawn [words…] [settings…] -- command arguments…`. Words: `unref`, `noread`,
//! `facts`, `end` (of its input), `echo` (gives it a line).

use nodule_guest_tests::children::{Request, trace, trace_events};
use nodule_sdk::{Result, child_process};

#[nodule_sdk::main]
fn main() -> Result<()> {
    let request = Request::read();
    let child = child_process::spawn(request.file(), &request.arguments(), request.options())?;
    if request.has("facts") {
        println!("pid {}", child.pid().is_some());
        println!("spawnfile {}", child.spawnfile());
        println!("spawnargs {:?}", child.spawnargs());
        println!("connected {} channel {}", child.connected(), child.channel().is_some());
        println!(
            "exitCode {:?} signalCode {:?} killed {}",
            child.exit_code(),
            child.signal_code(),
            child.killed()
        );
        let kinds = child.stdio().iter().map(|stream| match stream {
            None => "null",
            Some(stream) if stream.readable().is_none() => "writable",
            Some(stream) if stream.writable().is_none() => "readable",
            Some(_) => "duplex",
        });
        println!("stdio {:?}", kinds.collect::<Vec<_>>());
    }
    if request.has("noread") {
        trace_events(&child);
    } else {
        trace(&child);
    }
    if let Some(stdin) = child.stdin() {
        stdin.on_error(|error| println!("stdin error {}", error.code().unwrap_or("-")));
        if request.has("echo") {
            stdin.write("a line\n");
        }
        if request.has("echo") || request.has("end") {
            stdin.end();
        }
    }
    if request.has("unref") {
        child.unref();
    }
    println!("called");
    Ok(())
}
