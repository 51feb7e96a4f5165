//! Without a parent that opened a channel.

use nodule_sdk::{Error, Result, Value, process};

#[nodule_sdk::main]
fn main() -> Result<()> {
    println!(
        "channel {} connected {:?}",
        process::channel()?.is_some(),
        process::connected()?
    );
    println!(
        "send {}",
        process::send("hello")
            .err()
            .as_ref()
            .and_then(Error::code)
            .unwrap_or("sent")
    );
    println!(
        "disconnect {}",
        process::disconnect()
            .err()
            .as_ref()
            .and_then(Error::code)
            .unwrap_or("done")
    );
    process::on_message(|_: Value| println!("message"));
    process::on_disconnect(|| println!("disconnect"));
    process::on_worker(|_| println!("worker"));
    process::on_worker_message(|_, _| println!("workerMessage"));
    println!(
        "listeners {} {} {} {}",
        process::listener_count("message"),
        process::listener_count("disconnect"),
        process::listener_count("worker"),
        process::listener_count("workerMessage")
    );
    Ok(())
}
