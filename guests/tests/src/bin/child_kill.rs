//! Signals to a command: `child_kill <scenario> [arguments…] [settings…] -- command arguments…`.

use std::time::Duration;

use nodule_guest_tests::children::{Request, fields, trace_events};
use nodule_sdk::abort::AbortController;
use nodule_sdk::child_process::{self, ChildProcess, SpawnOptions, Stdio};
use nodule_sdk::process::Signal;
use nodule_sdk::{Error, Result};

/// A signal as it stands on the command line.
fn signal(text: &str) -> Signal<'_> {
    text.parse().map_or(Signal::Name(text), Signal::Number)
}

fn start(request: &Request, configure: impl FnOnce(SpawnOptions) -> SpawnOptions) -> Result<ChildProcess> {
    let options = configure(request.options::<SpawnOptions>().stdio(Stdio::Ignore));
    let child = child_process::spawn(request.file(), &request.arguments(), options)?;
    trace_events(&child);
    Ok(child)
}

fn outcome<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => fields(&error),
    }
}

/// Starts a command and waits until it says that all below it run, too.
async fn start_tree(request: &Request, configure: impl FnOnce(SpawnOptions) -> SpawnOptions) -> Result<ChildProcess> {
    let pipes = [Stdio::Ignore, Stdio::Pipe, Stdio::Inherit];
    let child = start(request, |options| configure(options).stdio(pipes))?;
    if let Some(stdout) = child.stdout() {
        println!("said {:?}", stdout.read_line().await?);
        stdout.resume();
    }
    Ok(child)
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let request = Request::read();
    let controller = AbortController::new();
    let aborted = controller.signal();
    match request.word(0) {
        "kill" => {
            let child = start(&request, |options| options)?;
            let result = outcome(child.kill(signal(request.word(1))));
            println!("kill {result} killed {}", child.killed());
            if result != "true" || request.word(1) == "0" {
                println!("kill {}", outcome(child.kill("SIGKILL")));
            }
        }
        "after" => {
            let child = start(&request, |options| options)?;
            let ended = child.clone();
            child.on_close(move |_, _| println!("kill {} killed {}", outcome(ended.kill(())), ended.killed()));
        }
        "tree" => {
            let child = start_tree(&request, |options| options).await?;
            let grace = request.word(1).parse().ok().map(Duration::from_millis);
            println!("killed {}", outcome(child.kill_tree((), grace)));
        }
        "abort_tree" => {
            start_tree(&request, |options| options.signal(&aborted)).await?;
            controller.abort_with("the reason");
        }
        "dispose" => {
            let child = start(&request, |options| options)?;
            child.dispose();
            child.dispose();
            println!("killed {}", child.killed());
        }
        "drop" => {
            let child = child_process::spawn(
                request.file(),
                &request.arguments(),
                request.options::<SpawnOptions>().stdio(Stdio::Ignore),
            )?;
            child.on_exit(|_, signal| println!("exit {signal:?}"));
            child.kill_on_drop(true);
        }
        "abort" => {
            let child = start(&request, |options| options.signal(&aborted))?;
            child.on_spawn(move || controller.abort_with("the reason"));
        }
        "abort_before" => {
            controller.abort_with("the reason");
            start(&request, |options| options.signal(&aborted))?;
            println!("called");
        }
        "abort_late" => {
            let child = start(&request, |options| options.signal(&aborted))?;
            child.on_exit(move |_, _| controller.abort());
        }
        "abort_unheard" => {
            let options = request.options::<SpawnOptions>().stdio(Stdio::Ignore).signal(&aborted);
            child_process::spawn(request.file(), &request.arguments(), options)?;
            controller.abort_with(Error::new("the reason"));
        }
        // With a setting `timeout`.
        "wait" => {
            let status = start(&request, |options| options)?.wait().await?;
            println!("waited {status:?}");
        }
        other => println!("unknown {other}"),
    }
    Ok(())
}
