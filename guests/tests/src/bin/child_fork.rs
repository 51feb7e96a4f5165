//! Forks itself, or the setting `module`: `child_fork <scenario> [settings…]`. The child's part is chosen by the words
//! `child <part> [arguments…]`.

use std::time::Duration;

use nodule_guest_tests::children::{Configure, Counter, Request, fields, myself, trace, trace_events};
use nodule_guest_tests::workers::Random;
use nodule_sdk::child_process::{self, ChildProcess, ForkOptions, SendOptions};
use nodule_sdk::value::{BigInt, Date};
use nodule_sdk::{Error, Result, Value, process, timers};

fn fork(part: &[&str], request: &Request) -> Result<ChildProcess> {
    let arguments = [&["child"], part].concat();
    let named = request.settings.iter().find(|(name, _)| name == "module");
    let module = named.map_or_else(myself, |(_, module)| module.clone());
    let settings = request.settings().filter(|(name, _)| *name != "module");
    let options = settings.fold(ForkOptions::new(), |options, (name, value)| options.set(name, value));
    child_process::fork(&module, &arguments, options)
}

/// Sends numbered messages, each of at most so many bytes and with its length.
fn send_all(count: u64, bytes: u64) -> Result<()> {
    let mut random = Random(count * 31 + bytes + 1);
    (0..count).try_for_each(|number| {
        let len = random.below(bytes + 1);
        let filler = "x".repeat(usize::try_from(len)?);
        process::send(&(number, len, filler)).map(drop)
    })
}

/// The child.
async fn child(request: &Request) -> Result<()> {
    let number = |index| request.word(index).parse::<u64>().unwrap_or_default();
    match request.word(1) {
        "echo" => {
            process::on_message(|value: Value| {
                process::send(&value).unwrap();
            });
            process::on_disconnect(|| println!("child disconnect {:?}", process::connected()));
        }
        "count" => {
            let counter = Counter::default();
            process::on_message(move |_: Value| {
                process::send(&counter.next()).unwrap();
            });
            process::on_disconnect(|| println!("child disconnect {:?}", process::connected()));
        }
        "last_words" => {
            send_all(number(3), number(4))?;
            match request.word(2) {
                "exit" => process::exit(7),
                "trap" => panic!("at the end"),
                "disconnect" => process::disconnect()?,
                _ => {}
            }
        }
        "late" => {
            timers::sleep(Duration::from_millis(number(2))).await;
            process::on_message(|value: Value| {
                process::send(&value).unwrap();
            });
        }
        "failing" => {
            process::on_uncaught_exception(|_, _| ());
            process::on_message(|value: u64| {
                assert!(value % 3 != 0, "one of three");
                process::send(&value).unwrap();
            });
        }
        "async" => {
            let filler = "x".repeat(usize::try_from(number(3))?);
            for index in 0..number(2) {
                process::send_async(&(index, number(3), &filler)).await?;
            }
        }
        "signal" => {
            process::kill(i32::try_from(process::pid())?, request.word(2))?;
        }
        "listen" => {
            process::on_message(|_: Value| ());
            match process::channel()? {
                Some(channel) if request.word(2) == "unref" => channel.unref(),
                _ => {}
            }
        }
        other => println!("unknown part {other}"),
    }
    Ok(())
}

/// Counts numbered messages and prints at the end whether all came in order.
fn expect_in_order(child: &ChildProcess) {
    let counter = Counter::default();
    let seen = counter.clone();
    child.on_message(move |(number, len, text): (u64, u64, String)| {
        if number != seen.next() || len != text.len() as u64 {
            println!("out of order {number}");
        }
    });
    child.on_disconnect(move || println!("messages {}", counter.get()));
}

/// Values of all kinds, and what becomes of them on the way there and back.
fn kinds(child: &ChildProcess) -> Result<()> {
    child.on_message(|value: Value| println!("message {value:?}"));
    let object = Value::object([
        ("u", Value::Undefined),
        ("n", f64::NAN.into()),
        ("z", Value::Number(-0.0)),
    ]);
    let values = [
        Value::Null,
        true.into(),
        1.5.into(),
        "äöü\n🦀".into(),
        object,
        Value::array([Value::Undefined, Value::Null]),
        Value::Date(Date::from_ms(0)),
        vec![1u8, 2].into(),
        Value::Map(vec![("k".into(), 1.into())]),
        Value::Set(vec![1.into()]),
    ];
    for value in &values {
        child.send(value)?;
    }
    let refused = [
        Value::Undefined,
        Value::BigInt(BigInt::from(1u64)),
        Value::array([Value::BigInt(BigInt::from(1u64))]),
        Value::Shared(0, Box::new(Value::array([Value::Ref(0)]))),
    ];
    for value in &refused {
        match child.send(value) {
            Ok(_) => println!("sent {value:?}"),
            Err(error) => println!("refused {}", fields(&error)),
        }
    }
    child.send("last")?;
    let hang_up = child.clone();
    child.on_message(move |value: Value| {
        if value == Value::from("last") {
            hang_up.disconnect().unwrap();
        }
    });
    Ok(())
}

/// What a channel says after its end.
fn closed(child: &ChildProcess) -> Result<()> {
    child.disconnect()?;
    println!("connected {} channel {}", child.connected(), child.channel().is_some());
    println!("send {:?}", child.send("late").map_err(|error| fields(&error)));
    let callback = |result: Result<()>| println!("callback {}", result.err().as_ref().map_or("ok".into(), fields));
    let options = SendOptions::new().callback(callback);
    println!(
        "send_with {:?}",
        child.send_with("late", options).map_err(|error| fields(&error))
    );
    println!("again {:?}", child.disconnect().map_err(|error| fields(&error)));
    println!("called");
    Ok(())
}

async fn big(child: &ChildProcess, bytes: usize) -> Result<()> {
    let hang_up = child.clone();
    child.on_message(move |text: String| {
        println!("message of {} units", text.encode_utf16().count());
        hang_up.disconnect().unwrap();
    });
    // Two bytes in UTF-8 each: pieces end within letters.
    child.send_async(&"ä".repeat(bytes)).await
}

async fn pressure(child: &ChildProcess) -> Result<()> {
    let filler = "x".repeat(1 << 20);
    let (mut sent, mut asked_to_stop) = (0, false);
    let refusal = loop {
        match child.send(&filler) {
            Ok(has_room) => asked_to_stop |= !has_room,
            Err(error) => break error,
        }
        sent += 1;
    };
    println!("asked to stop {asked_to_stop}, sent some {}", sent > 0);
    println!("refused {}", refusal.code().unwrap_or("-"));
    let (counter, hang_up) = (Counter::default(), child.clone());
    child.on_message(move |number: u64| {
        if number != counter.next() {
            println!("out of order {number}");
        }
        if number == sent {
            println!("all came back");
            hang_up.disconnect().unwrap();
        }
    });
    child.send_async(&filler).await?;
    println!("sent after waiting");
    Ok(())
}

/// Answers of a child: the first `count` numbers are sent to it, and it is left after `last`.
fn numbers(child: &ChildProcess, count: u64, last: u64) -> Result<()> {
    let hang_up = child.clone();
    child.on_message(move |number: u64| {
        println!("message {number}");
        if number == last {
            hang_up.disconnect().unwrap();
        }
    });
    (0..count).try_for_each(|number| child.send(&number).map(drop))
}

fn echo(child: &ChildProcess) -> Result<()> {
    trace(child);
    let hang_up = child.clone();
    child.on_message(move |text: String| {
        println!("message {text}");
        if text == "two" {
            hang_up.disconnect().unwrap();
            println!("disconnected connected={}", hang_up.connected());
        }
    });
    println!("send {:?} {:?}", child.send("one")?, child.send("two")?);
    Ok(())
}

/// The listener fails on every other message.
fn failing(child: &ChildProcess) -> Result<()> {
    process::on_uncaught_exception(|error, _| println!("caught {}", error.message()));
    let hang_up = child.clone();
    child.on_message(move |number: u32| {
        process::next_tick(move || println!("tick after {number}"));
        if number == 5 {
            hang_up.disconnect().unwrap();
        }
        assert!(number % 2 == 0, "odd {number}");
        println!("message {number}");
    });
    (0..6).try_for_each(|number: u32| child.send(&number).map(drop))
}

/// Of a thousand messages some are too much for the listener.
fn failing_often(child: &ChildProcess) -> Result<()> {
    let [caught, seen, ticks] = [0; 3].map(|_| Counter::default());
    let count = caught.clone();
    process::on_uncaught_exception(move |_, _| {
        count.next();
    });
    let (hang_up, total, after) = (child.clone(), seen.clone(), ticks.clone());
    child.on_message(move |number: u64| {
        if number != total.next() {
            println!("out of order {number}");
        }
        let after = after.clone();
        process::next_tick(move || {
            after.next();
        });
        if number == 999 {
            hang_up.disconnect().unwrap();
        }
        assert!(number * number % 7 != 2, "one that fails");
    });
    child.on_disconnect(move || println!("caught {} seen {} ticks {}", caught.get(), seen.get(), ticks.get()));
    (0..1000u64).try_for_each(|number| child.send(&number).map(drop))
}

fn mismatch(child: &ChildProcess) -> Result<()> {
    child.on_error(|error| println!("error {} {}", error.name(), error.code().unwrap_or("-")));
    let hang_up = child.clone();
    child.on_message(move |number: u32| {
        println!("message {number}");
        hang_up.disconnect().unwrap();
    });
    child.send("no number")?;
    child.send(&5)?;
    Ok(())
}

fn callback(child: &ChildProcess) -> Result<()> {
    let hang_up = child.clone();
    let options = SendOptions::new().callback(move |result| {
        println!("written {}", result.is_ok());
        hang_up.disconnect().unwrap();
    });
    child.send_with("a message", options)?;
    println!("called");
    Ok(())
}

/// The scenarios whose child has another part than to send everything back.
fn with_part(request: &Request) -> Result<()> {
    let words: Vec<&str> = request.words.iter().map(String::as_str).collect();
    match words[..] {
        ["last_words" | "async", ..] => {
            let child = fork(&words, request)?;
            expect_in_order(&child);
            trace(&child);
        }
        ["unheard", ..] => trace(&fork(&["last_words", "return", "5", "10"], request)?),
        ["late", ..] => {
            let child = fork(&words, request)?;
            trace_events(&child);
            numbers(&child, 3, 2)?;
        }
        ["failing_child", ..] => numbers(&fork(&["failing"], request)?, 9, 8)?,
        ["signal" | "listen", ..] => trace_events(&fork(&words, request)?),
        _ => println!("unknown scenario {words:?}"),
    }
    Ok(())
}

async fn parent(request: &Request) -> Result<()> {
    let echo_child = || fork(&["echo"], request);
    match request.word(0) {
        "echo" => echo(&echo_child()?),
        "failing" => failing(&echo_child()?),
        "failing_often" => failing_often(&echo_child()?),
        // Whatever comes from a child that is another program.
        "watch" => {
            let child = echo_child()?;
            trace_events(&child);
            child.on_message(|value: Value| println!("message {value:?}"));
            Ok(())
        }
        "mismatch" => mismatch(&echo_child()?),
        "kinds" => kinds(&echo_child()?),
        "callback" => callback(&echo_child()?),
        "closed" => {
            let child = echo_child()?;
            trace_events(&child);
            closed(&child)
        }
        "closed_unheard" => {
            let child = echo_child()?;
            child.disconnect()?;
            println!(
                "again {}",
                child.disconnect().err().as_ref().and_then(Error::code).unwrap_or("ok")
            );
            Ok(())
        }
        "big" => big(&echo_child()?, request.word(1).parse()?).await,
        "pressure" => pressure(&fork(&["count"], request)?).await,
        "unref" => {
            let child = echo_child()?;
            child.unref();
            if let Some(channel) = child.channel() {
                channel.unref();
                println!("has_ref {}", channel.has_ref());
            }
            Ok(())
        }
        _ => with_part(request),
    }
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let request = Request::read();
    if request.word(0) == "child" {
        child(&request).await
    } else {
        parent(&request).await
    }
}
