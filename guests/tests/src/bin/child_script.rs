//! Forks a script of another runtime: `child_script <scenario> [settings…] -- file arguments…`, with the setting `execPath`.

use nodule_guest_tests::children::{Request, trace_events};
use nodule_sdk::{Result, Value, child_process};

/// A message, or how long it is.
fn print(value: &Value) {
    match value.as_str() {
        Some(text) if text.len() > 100 => println!("message of {} units", text.encode_utf16().count()),
        _ => println!("message {value:?}"),
    }
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    let request = Request::read();
    let child = child_process::fork(request.file(), &request.arguments(), request.options())?;
    trace_events(&child);
    let peer = child.clone();
    let hangs_up = request.has("hang_up");
    child.on_message(move |value: Value| {
        print(&value);
        if hangs_up && value.as_str() == Some("last") {
            peer.disconnect().unwrap();
        }
    });
    child.send("text äöü")?;
    child.send(&Value::object([("list", Value::array([1.into(), Value::Null]))]))?;
    if request.has("large") {
        child.send(&"ä".repeat(400_000))?;
    }
    child.send("last").map(drop)
}
