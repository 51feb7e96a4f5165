//! Ports between processes: `ipc_ports <scenario>` forks itself. The child's part is `ipc_ports child <scenario>`.

use std::time::Duration;

use nodule_guest_tests::children::{Counter, Request, fields, myself};
use nodule_sdk::child_process::{self, ChildProcess, ForkOptions, SendOptions, Serialization};
use nodule_sdk::shared_memory::SharedBuffer;
use nodule_sdk::worker_threads::{self, ArrayBuffer, MessageChannel, MessagePort, Source, Worker, WorkerOptions};
use nodule_sdk::{Result, Value, process, timers};
use serde::{Deserialize, Serialize};

/// Messages of the scenarios with many.
const MANY: u64 = 2000;
const FILLER: usize = 20_000;

/// A port and what else comes with it.
#[derive(Default, Serialize, Deserialize)]
struct Parcel {
    text: String,
    port: Option<MessagePort>,
    arrays: Vec<ArrayBuffer>,
    buffers: Vec<SharedBuffer>,
}

fn parcel(text: &str, port: Option<&MessagePort>) -> Parcel {
    Parcel {
        text: text.to_owned(),
        port: port.cloned(),
        ..Parcel::default()
    }
}

fn fork(scenario: &str) -> Result<ChildProcess> {
    let options = ForkOptions::new().serialization(Serialization::Advanced);
    child_process::fork(&myself(), &["child", scenario], options)
}

/// Sends a port to a child.
fn give(child: &ChildProcess, port: &MessagePort) -> Result<()> {
    let options = SendOptions::new();
    child
        .send_with(&parcel("port", Some(port)), options.transfer_list(&[port]))
        .map(drop)
}

/// Answers every text, and says when the port is closed.
fn answer(who: &'static str, port: &MessagePort) {
    let replies = port.clone();
    port.on_message(move |text: String| {
        replies.post_message(&format!("{who} heard {text}")).unwrap();
    });
    port.on_close(move || println!("{who}: closed"));
}

fn child_got(scenario: &str, got: Parcel) -> Result<()> {
    let Some(port) = got.port else { return Ok(()) };
    match scenario {
        "talk" | "forever" => answer("child", &port),
        "nested" => {
            let replies = port.clone();
            port.on_message(move |inner: Parcel| {
                let sum: usize = inner.arrays.iter().map(ArrayBuffer::byte_length).sum();
                inner.buffers[0].as_u8()[0].store(9, std::sync::atomic::Ordering::SeqCst);
                let port = inner.port.unwrap();
                port.post_message(&format!("{} {sum}", inner.text)).unwrap();
                port.on_message(move |text: String| println!("child: {text} over the inner port"));
                replies.post_message("got it").unwrap();
            });
            port.on_close(|| println!("child: closed"));
        }
        "onward" => {
            // To a child of its own.
            let below = fork("talk")?;
            give(&below, &port)?;
            port_is_gone(&port);
            below.on_exit(|code, _| println!("child: its child ended {code:?}"));
            hang_up_after(&below);
        }
        "worker" => {
            let worker = Worker::new(Source::Current, WorkerOptions::new())?;
            worker.post_message_with(&parcel("port", Some(&port)), &[&port])?;
            worker.on_exit(|code| println!("child: its worker ended {code}"));
        }
        "back" => {
            process::send_with(&parcel("back", Some(&port)), SendOptions::new().transfer_list(&[&port]))?;
            // It stays: the port goes through here.
            process::on_message(|_: Value| ());
        }
        "death" => {
            port.post_message("one")?;
            port.post_message("two")?;
            port.on_message(|_: String| {
                process::kill(i32::try_from(process::pid()).unwrap(), "SIGKILL").unwrap();
            });
        }
        "pressure" => {
            let counter = Counter::default();
            // The parent's queues fill meanwhile.
            timers::set_timeout(
                move || {
                    let seen = counter.clone();
                    port.on_message(move |(number, _): (u64, String)| {
                        if number != seen.next() {
                            println!("child: out of order {number}");
                        }
                    });
                    let counter = counter.clone();
                    port.on_close(move || println!("child: {} messages", counter.get()));
                },
                Duration::from_millis(300),
            );
        }
        "kinds" => {
            port.on_messageerror(|error| println!("child: {}", error.name()));
            port.on_message(|value: Value| println!("child: {value:?}"));
            port.on_close(|| println!("child: closed"));
        }
        "last_words" => {
            let counter = Counter::default();
            let seen = counter.clone();
            port.on_message(move |_: (u64, String)| {
                seen.next();
            });
            port.on_close(move || println!("child: {} messages", counter.get()));
        }
        other => println!("unknown part {other}"),
    }
    Ok(())
}

fn port_is_gone(port: &MessagePort) {
    // It moved: what is posted now goes nowhere, as in one process.
    println!("child: moved {}", port.post_message("lost").is_ok());
}

/// Ends a child that has the port and nothing else to do, once its own channel is of no use.
fn hang_up_after(child: &ChildProcess) {
    child.disconnect().unwrap();
}

fn child(scenario: &str) -> Result<()> {
    let scenario = scenario.to_owned();
    process::once_message(move |got: Parcel| child_got(&scenario, got).unwrap());
    Ok(())
}

/// Posts two texts, then closes the port when both are answered.
fn talk(child: &ChildProcess, scenario: &str) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    // Queued before it moves, and after.
    port1.post_message("first")?;
    give(child, &port2)?;
    port1.post_message("second")?;
    let (counter, end) = (Counter::default(), port1.clone());
    port1.on_message(move |text: String| {
        println!("{text}");
        if counter.next() == 1 {
            end.close();
        }
    });
    port1.on_close(|| println!("parent: closed"));
    if scenario != "onward" {
        child.disconnect()?;
    }
    Ok(())
}

fn nested(child: &ChildProcess) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let inner = MessageChannel::new();
    let (array, buffer) = (ArrayBuffer::new(100_000), SharedBuffer::new(8)?);
    inner.port1.post_message("queued")?;
    let message = Parcel {
        arrays: vec![array.clone()],
        buffers: vec![buffer.clone()],
        ..parcel("inner", Some(&inner.port2))
    };
    port1.post_message_with(&message, &[&inner.port2, &array])?;
    give(child, &port2)?;
    let answers = inner.port1.clone();
    inner.port1.on_message(move |text: String| {
        println!(
            "{text}, byte {}",
            buffer.as_u8()[0].load(std::sync::atomic::Ordering::SeqCst)
        )
    });
    let end = port1.clone();
    port1.on_message(move |text: String| {
        println!("{text}");
        timers::set_timeout(
            {
                let (end, answers) = (end.clone(), answers.clone());
                move || {
                    answers.close();
                    end.close();
                }
            },
            Duration::from_millis(50),
        );
    });
    child.disconnect()
}

/// The port comes back and is used within this process again; it goes through the child, which has to live meanwhile.
fn back(child: &ChildProcess) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port1.post_message("first")?;
    give(child, &port2)?;
    child.on_message(move |got: Parcel| {
        println!("{}", got.text);
        answer("parent", &got.port.unwrap());
    });
    port1.post_message("second")?;
    let hang_up = child.clone();
    port1.on_close(move || hang_up.disconnect().unwrap());
    let (counter, end) = (Counter::default(), port1.clone());
    port1.on_message(move |text: String| {
        println!("{text}");
        if counter.next() == 1 {
            end.close();
        }
    });
    Ok(())
}

fn death(child: &ChildProcess) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    give(child, &port2)?;
    let (counter, replies) = (Counter::default(), port1.clone());
    port1.on_message(move |text: String| {
        println!("{text}");
        if counter.next() == 1 {
            replies.post_message("die").unwrap();
        }
    });
    port1.on_close(|| println!("closed"));
    Ok(())
}

fn pressure(child: &ChildProcess) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    give(child, &port2)?;
    let filler = "x".repeat(FILLER);
    let mut is_told_to_wait = false;
    for number in 0..MANY {
        is_told_to_wait |= !port1.post_message(&(number, &filler))?;
    }
    println!("told to wait {is_told_to_wait}");
    let end = port1.clone();
    port1.on_drain(move || {
        println!("drain");
        end.close();
    });
    port1.ref_();
    child.disconnect()
}

/// What is no message for another process, and what looks as if it were for the host.
fn kinds(child: &ChildProcess) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    give(child, &port2)?;
    port1.post_message(&SharedBuffer::growable(1, 2)?)?;
    port1.post_message(&Value::object([("cmd", Value::from("NODE_HANDLE_ACK"))]))?;
    port1.post_message("last")?;
    port1.close();
    child.disconnect()
}

/// The process ends with messages queued.
fn last_words(child: &ChildProcess) -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    give(child, &port2)?;
    let filler = "x".repeat(FILLER);
    for number in 0..MANY {
        port1.post_message(&(number, &filler))?;
    }
    process::exit(0)
}

/// Ports by the hundred, one after the other.
fn many(child: &ChildProcess) -> Result<()> {
    let rounds = Counter::default();
    next_port(child.clone(), rounds)
}

fn next_port(child: ChildProcess, rounds: Counter) -> Result<()> {
    if rounds.next() == 500 {
        println!("all");
        return child.disconnect();
    }
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port1.post_message("hello")?;
    give(&child, &port2)?;
    let end = port1.clone();
    port1.on_message(move |_: String| end.close());
    port1.on_close(move || next_port(child.clone(), rounds.clone()).unwrap());
    Ok(())
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        if let Some(parent) = worker_threads::parent_port() {
            parent.once_message(|got: Parcel| answer("worker", &got.port.unwrap()));
        }
        return Ok(());
    }
    let request = Request::read();
    if request.word(0) == "child" {
        if request.word(1) == "many" {
            process::on_message(|got: Parcel| {
                let port = got.port.unwrap();
                let replies = port.clone();
                port.on_message(move |text: String| drop(replies.post_message(&text)));
            });
            return Ok(());
        }
        return child(request.word(1));
    }
    let scenario = request.word(0);
    let forked = fork(scenario)?;
    forked.on_error(|error| println!("error {}", fields(error)));
    forked.on_exit(|code, signal| println!("exit {code:?} {signal:?}"));
    timers::set_timeout(|| process::exit(99), Duration::from_secs(40)).unref();
    match scenario {
        "talk" | "onward" | "worker" => talk(&forked, scenario),
        "nested" => nested(&forked),
        "back" => back(&forked),
        "death" => death(&forked),
        "pressure" => pressure(&forked),
        "kinds" => kinds(&forked),
        "last_words" => last_words(&forked),
        "many" => many(&forked),
        other => {
            println!("unknown scenario {other}");
            Ok(())
        }
    }
}
