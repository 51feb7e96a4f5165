//! `exit` and `exitCode` with values of every kind: what is refused, what it becomes.

use nodule_sdk::{Value, process};

fn set(value: impl Into<Value>) {
    let value = value.into();
    match process::set_exit_code_value(value.clone()) {
        Ok(()) => println!("{value:?} -> {:?}", process::exit_code()),
        Err(error) => println!("{value:?} -> {} {}", error.name(), error.code().unwrap_or_default()),
    }
}

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    match process::argv().pop().as_deref() {
        Some("undefined") => {
            process::set_exit_code(3);
            process::exit_value(Value::Undefined)?;
        }
        Some("none") => {
            process::set_exit_code(3);
            process::exit(None);
        }
        Some("bad") => {
            process::exit_value("seven")?;
        }
        Some("negative") => process::exit(-1),
        Some("large") => process::exit(300),
        _ => {
            set(2);
            set("2");
            set("0x10");
            set("");
            set("two");
            set(true);
            set(1.5);
            set(f64::NAN);
            set(f64::INFINITY);
            set(Value::object([("a", 1)]));
            set(Value::Null);
            set(Value::Undefined);
        }
    }
    Ok(())
}
