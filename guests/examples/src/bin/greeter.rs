//! Greets, waits a little and leaves with a code of its own.

use nodule_sdk::{process, timers};
use std::time::Duration;

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    process::on_exit(|code| println!("leaving with {code}"));
    println!("hello, {}", process::argv().get(2).map_or("world", String::as_str));
    timers::sleep(Duration::from_millis(10)).await;
    process::set_exit_code(3);
    Ok(())
}
