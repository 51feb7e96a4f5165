//! Failed tasks: `process_rejection <case>`, with `--unhandled-rejections` as the caller chose.

use std::time::Duration;

use nodule_sdk::{Error, Value, process, task, timers};

async fn failing() -> nodule_sdk::Result<()> {
    Err(Error::new("rejected"))
}

#[nodule_sdk::main]
async fn main() {
    process::on_exit(|code| println!("exit {code}"));
    let listen = || {
        process::on_unhandled_rejection(|error, _| match error.reason() {
            Some(reason) => println!("unhandledRejection {reason:?}"),
            None => println!("unhandledRejection {}", error.message()),
        });
        process::on_rejection_handled(|_| println!("rejectionHandled"));
    };
    let uncaught = || {
        process::on_uncaught_exception(|error, origin| {
            println!(
                "uncaught {} {} {}",
                origin.name(),
                error.code().unwrap_or("-"),
                error.message()
            );
        });
    };
    match process::argv().pop().unwrap_or_default().as_str() {
        // Nobody listens.
        "detached" => drop(task::spawn(failing())),
        "uncaught" => {
            uncaught();
            drop(task::spawn(failing()));
        }
        "reason" => {
            uncaught();
            drop(task::spawn(async { Err::<(), _>(Error::from_reason("no error")) }));
        }
        "reason-listened" => {
            listen();
            drop(task::spawn(async { Err::<(), _>(Error::from_reason(Value::from(5))) }));
        }
        "listened" => {
            listen();
            drop(task::spawn(failing()));
        }
        // The handle is held and awaited later.
        "held" => {
            let handle = task::spawn(failing());
            timers::sleep(Duration::from_millis(2)).await;
            println!("awaited {}", handle.await.is_err());
        }
        "held-listened" => {
            listen();
            let handle = task::spawn(failing());
            timers::sleep(Duration::from_millis(2)).await;
            println!("awaited {}", handle.await.is_err());
            timers::sleep(Duration::from_millis(2)).await;
        }
        "dropped-later" => {
            uncaught();
            let handle = task::spawn(failing());
            timers::sleep(Duration::from_millis(2)).await;
            println!("dropping");
            drop(handle);
            println!("dropped");
        }
        "awaited" => {
            listen();
            println!("awaited {}", task::spawn(failing()).await.is_err());
        }
        "both" => {
            listen();
            uncaught();
            drop(task::spawn(failing()));
        }
        other => println!("no case {other}"),
    }
    timers::set_timeout(|| println!("timer"), Duration::from_millis(5));
}
