//! Options that are refused, and what they are refused with.

use nodule_guest_tests::children::{fields, myself, value};
use nodule_sdk::child_process::{self, ExecOptions, ForkOptions, SpawnOptions, SpawnSyncOptions};
use nodule_sdk::{Error, Result, Value, process};

/// Names and values of options that every form checks.
const COMMON: &[(&str, &str)] = &[
    ("cwd", "5"),
    ("cwd", "http://example.org/"),
    ("env", "5"),
    ("env", "{A=nul}"),
    ("argv0", "5"),
    ("argv0", "nul"),
    ("uid", "1.5"),
    ("uid", "'text'"),
    ("gid", "4294967296"),
    ("shell", "5"),
    ("timeout", "'text'"),
    ("timeout", "-1"),
    ("timeout", "1.5"),
    ("killSignal", "SIGNOT"),
    ("killSignal", "1000"),
    ("killSignal", "true"),
    ("windowsHide", "5"),
    ("windowsVerbatimArguments", "'text'"),
    ("permissions", "5"),
    ("permissions", "[--no-such-flag]"),
    ("killTree", "5"),
    ("killOnParentDeath", "'text'"),
];
const SPAWN: &[(&str, &str)] = &[
    ("detached", "5"),
    ("serialization", "xml"),
    ("serialization", "5"),
    ("stdio", "nothing"),
    ("stdio", "5"),
    ("stdio", "[pipe,pipe,pipe,nothing]"),
    ("stdio", "[ipc,ipc]"),
    ("stdio", "[-1]"),
    ("stdio", "[999]"),
    ("stdio", "[{}]"),
    ("stdio", "[{handle=999}]"),
    ("stdio", "[true]"),
];
const FORK: &[(&str, &str)] = &[
    ("stdio", "[pipe,pipe,pipe]"),
    ("execPath", "5"),
    ("execPath", "nul"),
    ("execArgv", "5"),
    ("execArgv", "[nul]"),
];
const EXEC: &[(&str, &str)] = &[("maxBuffer", "-1"), ("maxBuffer", "NaN"), ("maxBuffer", "'text'")];
const SYNC: &[(&str, &str)] = &[
    ("stdio", "[pipe,pipe,pipe,ipc]"),
    ("maxBuffer", "-1"),
    ("maxBuffer", "NaN"),
    ("maxBuffer", "'text'"),
];

/// The value of an option; `nul` stands for a text with one.
fn option(text: &str) -> Value {
    match text {
        "nul" => "a\0b".into(),
        "[nul]" => Value::array(["a\0b"]),
        "{A=nul}" => Value::object([("A", "a\0b")]),
        other => value(other),
    }
}

fn print(form: &str, name: &str, text: &str, error: Option<&Error>) {
    println!(
        "{form} {name}={text}: {}",
        error.and_then(Error::code).unwrap_or("accepted")
    );
}

fn try_spawn() {
    for (name, text) in COMMON.iter().chain(SPAWN) {
        let options = SpawnOptions::new().option(name, option(text));
        print(
            "spawn",
            name,
            text,
            child_process::spawn("true", &[], options).err().as_ref(),
        );
    }
    for (name, command, arguments) in [
        ("empty", "", vec![]),
        ("nul", "a\0b", vec![]),
        ("arg nul", "true", vec!["a\0b"]),
    ] {
        let refused = child_process::spawn(command, &arguments, SpawnOptions::new()).err();
        print("spawn", "command", name, refused.as_ref());
    }
}

fn try_fork() {
    for (name, text) in FORK {
        let options = ForkOptions::new().option(name, option(text));
        print(
            "fork",
            name,
            text,
            child_process::fork(&myself(), &["child"], options).err().as_ref(),
        );
    }
}

async fn try_exec() {
    for (name, text) in COMMON.iter().chain(EXEC) {
        let options = ExecOptions::new().option(name, option(text));
        let outcome = child_process::exec("true", options).await;
        print(
            "exec",
            name,
            text,
            outcome.err().as_ref().map(child_process::ExecError::error),
        );
    }
}

fn try_sync() {
    for (name, text) in COMMON.iter().chain(SYNC) {
        let options = SpawnSyncOptions::new().option(name, option(text));
        print(
            "spawn_sync",
            name,
            text,
            child_process::spawn_sync("true", &[], options).err().as_ref(),
        );
    }
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match process::argv().get(2).map_or("", String::as_str) {
        "spawn" => try_spawn(),
        "fork" => try_fork(),
        "exec" => try_exec().await,
        "sync" => try_sync(),
        // One of them whole: `message <name> <value>`.
        "message" => {
            let [name, text] = [3, 4].map(|index| process::argv().get(index).cloned().unwrap_or_default());
            let options = SpawnOptions::new().option(&name, option(&text));
            match child_process::spawn("true", &[], options) {
                Ok(_) => println!("accepted"),
                Err(error) => println!("{}", fields(&error)),
            }
        }
        "child" => {}
        other => println!("unknown {other}"),
    }
    Ok(())
}
