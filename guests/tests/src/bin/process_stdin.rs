//! Standard input: `process_stdin <case>`.

use std::time::Duration;

use nodule_sdk::{Result, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let stdin = process::stdin();
    process::on_exit(|code| println!("exit {code}"));
    match process::argv().pop().unwrap_or_default().as_str() {
        // Listeners; the data comes back.
        "flow" => {
            stdin.on_data(|data| {
                // A reader that is gone is not this program's concern.
                let _ = process::stdout().write_all(data);
            });
            stdin.on_end(|| println!("end"));
        }
        "read" => {
            let all = stdin.read_to_end().await?;
            println!(
                "{} bytes, sum {}",
                all.len(),
                all.iter().map(|byte| u64::from(*byte)).sum::<u64>()
            );
        }
        "lines" => {
            while let Some(line) = stdin.read_line().await? {
                println!("line {line:?}");
            }
        }
        // Nobody reads: the program ends although the other end is open.
        "unread" => println!("fd {:?} tty {}", stdin.fd(), stdin.is_tty()),
        "paused" => {
            stdin.on_data(|data| println!("data {}", data.len()));
            stdin.pause();
            println!("paused {}", stdin.is_paused());
        }
        "unref" => {
            stdin.on_data(|data| println!("data {}", data.len()));
            stdin.unref();
        }
        // A read that is given up does not keep the program.
        "cancelled" => {
            let read = timers::timeout(Duration::from_millis(20), stdin.read_to_end()).await;
            println!("given up {}", read.is_err());
        }
        other => println!("no case {other}"),
    }
    Ok(())
}
