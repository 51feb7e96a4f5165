//! Collects what a command writes: `child_exec exec|exec_file|callback|callback_file [settings…] -- command arguments…`. The
//! word `abort` aborts at once, `drop` gives the future up.

use nodule_guest_tests::children::{Request, fields, shown};
use nodule_sdk::abort::AbortController;
use nodule_sdk::child_process::{self, ExecError, ExecOptions, Output};
use nodule_sdk::{Result, process};

fn print(outcome: Result<Output, ExecError>) {
    match outcome {
        Ok(output) => println!("ok stdout {} stderr {}", shown(&output.stdout), shown(&output.stderr)),
        Err(error) => {
            println!("error {}", fields(error.error()));
            let code = error.code().map(|code| code.to_string());
            println!("code {code:?} killed {} signal {:?}", error.killed(), error.signal());
            println!("cmd {}", error.cmd());
            println!("stdout {} stderr {}", shown(error.stdout()), shown(error.stderr()));
        }
    }
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let request = Request::read();
    let (file, arguments) = (request.file(), request.arguments());
    let controller = AbortController::new();
    let options = request.options::<ExecOptions>().signal(&controller.signal());
    let running = match request.word(0) {
        "exec" => child_process::exec(file, options),
        "exec_file" => child_process::exec_file(file, &arguments, options),
        "callback" => {
            let child = child_process::exec_with(file, options, print)?;
            println!("spawnargs {:?}", child.spawnargs());
            return Ok(());
        }
        "callback_file" => {
            child_process::exec_file_with(file, &arguments, options, print)?;
            return Ok(());
        }
        other => {
            println!("unknown {other}");
            process::exit(9);
        }
    };
    println!("child {}", running.child().is_some_and(|child| child.pid().is_some()));
    if request.has("abort") {
        controller.abort_with("enough");
    }
    if request.has("drop") {
        drop(running);
        return Ok(());
    }
    print(running.await);
    Ok(())
}
