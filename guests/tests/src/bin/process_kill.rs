//! `process.kill`: what is refused and why.

use nodule_sdk::process::{self, Signal};

fn show<'a>(what: &str, pid: i32, signal: impl Into<Signal<'a>>) {
    match process::kill(pid, signal) {
        Ok(sent) => println!("{what}: {sent}"),
        Err(error) => {
            let record = error.record();
            println!(
                "{what}: {} {:?} {:?}",
                error.code().unwrap_or_default(),
                record.errno,
                record.syscall.as_deref()
            );
        }
    }
}

#[nodule_sdk::main]
fn main() {
    let own = i32::try_from(process::pid()).unwrap_or(0);
    show("exists", own, 0);
    show("unknown name", own, "SIGNONE");
    show("bad number", own, 1000);
    show("no process", 0x3fff_ffff, 0);
    show("init", 1, 0);
}
