//! `setEnvironmentData`: which workers see which values.

use nodule_guest_tests::workers::{next, role, shown, start};
use nodule_sdk::worker_threads::{
    MessageChannel, MessagePort, Uncloneable, get_environment_data as get, parent_port, set_environment_data as set,
};
use nodule_sdk::{Result, Value};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match role().as_str() {
        "" => creator().await,
        "nested" => {
            set("own", "of the worker")?;
            let inner = start("read")?;
            let below: String = next(&inner).await?;
            parent_port()
                .ok_or("a worker has a port")?
                .post_message(&format!("{} | {below}", read()?))?;
            Ok(())
        }
        "read" => {
            parent_port().ok_or("a worker has a port")?.post_message(&read()?)?;
            Ok(())
        }
        _ => {
            let port: MessagePort = parent_port().ok_or("a worker has a port")?;
            let before = read()?;
            port.post_message("online")?;
            let answer = port.clone();
            port.on_message(move |_: Value| {
                let _ = answer.post_message(&format!("{before} then {}", read().unwrap_or_default()));
            });
            Ok(())
        }
    }
}

/// Every value by its key.
fn read() -> Result<String> {
    let keys: [Value; 5] = ["text".into(), 1.into(), "1".into(), "own".into(), Value::Bool(true)];
    let values: Result<Vec<String>> = keys
        .into_iter()
        .map(|key| Ok(get::<Value>(key)?.map_or("-".to_owned(), |value| value.describe())))
        .collect();
    Ok(values?.join(" "))
}

async fn creator() -> Result<()> {
    println!("nothing: {}", read()?);
    set("text", "a value")?;
    set(1, &1.5)?;
    set("1", &[1, 2])?;
    set(Value::Bool(true), &())?;
    println!("here: {}", read()?);

    let early = start("later")?;
    let _: String = next(&early).await?;
    set("text", &Value::Undefined)?;
    set(1, "changed")?;
    println!("changed: {}", read()?);
    early.post_message(&())?;
    println!("worker from before: {}", next::<String>(&early).await?);
    early.terminate().await;

    let nested = start("nested")?;
    println!("nested: {}", next::<String>(&nested).await?);
    nested.join().await;
    println!("not from below: {}", read()?);

    println!(
        "uncloneable: {}",
        set("text", &Uncloneable(1)).map_or_else(|error| shown(&error), |()| "set".into())
    );
    let MessageChannel { port1, .. } = MessageChannel::new();
    println!(
        "port: {}",
        set("text", &port1).map_or_else(|error| shown(&error), |()| "set".into())
    );
    println!("unchanged: {}", read()?);
    Ok(())
}
