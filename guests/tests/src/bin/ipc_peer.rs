//! The child of any parent that has a channel, such as Node: it sends every message back, as `{echo}`, and does what an object
//! with the member `do` says. At the end of the channel it prints a line and ends.

use std::rc::Rc;
use std::time::Duration;

use nodule_guest_tests::children::{Counter, fields};
use nodule_sdk::process::{SendHandle, SendOptions};
use nodule_sdk::value::Object;
use nodule_sdk::{Error, Result, Value, process, timers};

fn reply(members: impl IntoIterator<Item = (&'static str, Value)>) {
    if let Err(error) = process::send(&Value::object(members)) {
        println!("send failed {}", fields(&error));
    }
}

/// The number under a key; 0 when there is none.
fn number(command: &Object, key: &str) -> u32 {
    command.get(key).and_then(Value::as_u32).unwrap_or_default()
}

fn run(action: &str, command: &Object) -> Result<()> {
    match action {
        "exit" => process::exit(i64::from(number(command, "code"))),
        "panic" => panic!("as the parent wanted"),
        "kill" => {
            let signal = command.get("signal").and_then(Value::as_str).unwrap_or("SIGTERM");
            process::kill(i32::try_from(process::pid())?, signal)?;
        }
        "disconnect" => {
            process::disconnect()?;
            println!("connected {:?}", process::connected()?);
        }
        "ref" | "unref" => {
            if let Some(channel) = process::channel()? {
                if action == "ref" {
                    channel.ref_()
                } else {
                    channel.unref()
                }
                reply([("hasRef", channel.has_ref().into())]);
            }
        }
        "count" => (0..number(command, "n")).for_each(|index| reply([("index", index.into())])),
        "count_and_exit" => {
            (0..number(command, "n")).for_each(|index| reply([("index", index.into())]));
            process::exit(0);
        }
        "text" => {
            let text = "ä".repeat(number(command, "n") as usize);
            reply([("text", text.into())]);
        }
        "env" => {
            let names = ["NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"];
            let values = names.map(|name| std::env::var(name).map_or(Value::Null, Value::from));
            reply([("env", Value::array(values))]);
        }
        "callback" => {
            let options = SendOptions::new().callback(|result| reply([("written", result.is_ok().into())]));
            process::send_with("with a callback", options)?;
        }
        other => reply([("unknown", other.into())]),
    }
    Ok(())
}

/// Sends a handle back; twice where the message has the member `keep`, and says what becomes of it.
fn return_handle(value: Value, handle: &SendHandle) -> Result<()> {
    let kind = handle.kind()?;
    let is_kept = value.get("keep").is_some();
    let message = Value::object([("echo", value), ("kind", kind.into())]);
    if is_kept {
        process::send_with(&message, SendOptions::new().handle(handle).keep_open(true))?;
        println!("kept {}", handle.kind()?);
    }
    process::send_with(&message, SendOptions::new().handle(handle))?;
    if is_kept {
        let closed = handle.kind().err();
        println!("given away {}", closed.as_ref().and_then(Error::code).unwrap_or("-"));
    }
    Ok(())
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    let received = Rc::new(Counter::default());
    let total = Rc::clone(&received);
    process::on_message_with_handle(move |value: Value, handle: Option<SendHandle>| {
        received.next();
        if let Some(handle) = handle {
            return_handle(value, &handle).unwrap();
            return;
        }
        let action = value.get("do").and_then(Value::as_str).map(str::to_owned);
        match (action, value.as_object()) {
            (Some(action), Some(command)) => run(&action, command).unwrap(),
            _ => reply([("echo", value)]),
        }
    });
    process::on_error(|error| println!("error {}", fields(error)));
    process::on_disconnect(move || println!("disconnect after {}", total.get()));
    process::on_exit(|code| println!("exit {code}"));
    if process::argv().get(2).is_some_and(|word| word == "hold") {
        // Goes on without the channel.
        timers::set_timeout(|| println!("held"), Duration::from_secs(1));
    }
    reply([("ready", true.into())]);
    Ok(())
}
