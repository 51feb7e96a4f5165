//! Users and groups, read and set (to what they are).

use nodule_sdk::{Result, process};

fn show<T: std::fmt::Debug>(what: &str, result: Result<T>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: {} {}", error.code().unwrap_or("-"), error.message()),
    }
}

#[nodule_sdk::main]
fn main() {
    show("uid", process::getuid());
    show("euid", process::geteuid());
    show("gid", process::getgid());
    show("egid", process::getegid());
    show("groups", process::getgroups());
    show("unknown user", process::setuid("no-such-user"));
    show("unknown group", process::setgid("no-such-group"));
    show("unknown member", process::setgroups(["no-such-group"]));
    show("unknown both", process::initgroups("no-such-user", "no-such-group"));
    if let Ok(uid) = process::getuid() {
        show("set own", process::setuid(uid));
    }
}
