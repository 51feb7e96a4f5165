//! Waits for a command: `child_sync spawn_sync|exec_sync|exec_file_sync [settings…] -- command arguments…`. The setting
//! `input` is what it reads.

use nodule_guest_tests::children::{Request, fields, shown};
use nodule_sdk::Result;
use nodule_sdk::child_process::{self, Data, ExecSyncError, SpawnSyncOptions, SpawnSyncResult};

fn shown_or_null(data: Option<&Data>) -> String {
    data.map_or("null".to_owned(), shown)
}

fn print_result(result: &SpawnSyncResult) {
    let output = result.output.as_ref().map(|output| {
        let entries = output.iter().map(|data| shown_or_null(data.as_ref()));
        entries.collect::<Vec<_>>()
    });
    println!(
        "pid {} status {:?} signal {:?}",
        result.pid > 0,
        result.status,
        result.signal
    );
    println!("output {output:?}");
    println!(
        "stdout {} stderr {}",
        shown_or_null(result.stdout()),
        shown_or_null(result.stderr())
    );
    if let Some(error) = &result.error {
        println!("error {}", fields(error));
    }
}

fn print(outcome: Result<Data, ExecSyncError>) {
    match outcome {
        Ok(stdout) => println!("ok {}", shown(&stdout)),
        Err(error) => {
            println!("failed {}", fields(error.error()));
            if let Some(result) = error.result() {
                print_result(result);
            }
        }
    }
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    let mut request = Request::read();
    let input = request.settings.iter().position(|(name, _)| name == "input");
    let input = input.map(|index| request.settings.remove(index).1);
    let mut options: SpawnSyncOptions = request.options();
    if let Some(input) = input {
        options = options.input(input);
    }
    let (file, arguments) = (request.file(), request.arguments());
    match request.word(0) {
        "spawn_sync" => print_result(&child_process::spawn_sync(file, &arguments, options)?),
        "exec_sync" => print(child_process::exec_sync(file, options)),
        "exec_file_sync" => print(child_process::exec_file_sync(file, &arguments, options)),
        other => println!("unknown {other}"),
    }
    Ok(())
}
