//! Ports: what is sent arrives, who listens keeps the isolate alive, `onmessage`, synchronous receiving.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::worker_threads::{
    MessageChannel, MessageEvent, MessagePort, receive_message_on_port, receive_message_on_port_timeout,
};
use nodule_sdk::{Value, timers};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Debug)]
struct Hello {
    text: String,
    numbers: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct WithPort {
    port: MessagePort,
    text: String,
}

fn references() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    println!("new: has_ref {}", port1.has_ref());
    let listener = port1.on_message(|_: Value| {});
    println!("listening: has_ref {}", port1.has_ref());
    port1.unref();
    println!("unref'd: has_ref {}", port1.has_ref());
    port1.ref_();
    port1.ref_();
    println!("ref'd: has_ref {}", port1.has_ref());
    println!("removed {}, has_ref {}", listener.remove(), port1.has_ref());
    port2.post_message(&1).unwrap();
    println!("queued {:?}", receive_message_on_port::<u32>(&port1).unwrap());
    println!("empty {:?}", receive_message_on_port::<u32>(&port1).unwrap());
    port2.post_message(&Value::Undefined).unwrap();
    println!("undefined {:?}", receive_message_on_port::<Value>(&port1).unwrap());
    port1.set_onmessage(|_: MessageEvent<Value>| {});
    println!("onmessage: has_ref {}", port1.has_ref());
    port1.clear_onmessage();
    println!("cleared: has_ref {}", port1.has_ref());
}

fn typed(trace: &Rc<RefCell<Vec<String>>>) {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let log = |name: &'static str| {
        let trace = Rc::clone(trace);
        move |text: String| trace.borrow_mut().push(format!("{name}: {text}"))
    };
    let (first, second, errors, once) = (log("typed"), log("value"), log("messageerror"), log("once"));
    port2.once_message(move |hello: Value| once(format!("{:?}", hello.get("text").and_then(Value::as_str))));
    port2.on_message(move |hello: Hello| first(format!("{} {:?}", hello.text, hello.numbers)));
    port2.on_message(move |hello: Value| second(format!("{:?}", hello.get("text").and_then(Value::as_str))));
    port2.on_messageerror(move |error| errors(format!("{} {:?}", error.name(), error.code())));
    let hello = |text: &str| Hello {
        text: text.into(),
        numbers: vec![1.0, -0.0],
    };
    port1.post_message(&hello("one")).unwrap();
    port1.post_message(&Value::object([("text", "no numbers")])).unwrap();
    port1.post_message(&hello("two")).unwrap();
    port1.close();
}

/// A port that is started without a listener drops what it gets; a handler of errors hears of what does not fit.
async fn handlers() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port2.start();
    port1.post_message(&1).unwrap();
    // Lets the isolate live: a started port alone does not.
    timers::sleep(Duration::from_millis(3)).await;
    println!("started: {:?}", receive_message_on_port::<u32>(&port2).unwrap());
    port2.set_onmessageerror(|_| println!("replaced"));
    port2.set_onmessageerror(|error| println!("onmessageerror: {}", error.name()));
    port2.set_onmessage(|_: MessageEvent<u32>| println!("replaced"));
    port2.set_onmessage(|event: MessageEvent<u32>| println!("onmessage: {} {}", event.data, event.ports.len()));
    port1.post_message("no number").unwrap();
    port1.post_message(&2).unwrap();
    timers::sleep(Duration::from_millis(3)).await;
    port2.clear_onmessageerror();
    port1.post_message("heard by nobody").unwrap();
    timers::sleep(Duration::from_millis(3)).await;
    port2.clear_onmessage();
    port1.post_message(&3).unwrap();
    timers::sleep(Duration::from_millis(3)).await;
    println!("stopped: {:?}", receive_message_on_port::<u32>(&port2).unwrap());
}

/// A port in a message answers its sender; the event lists it.
fn ports_in_messages(trace: &Rc<RefCell<Vec<String>>>) {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let log = Rc::clone(trace);
    let handled = port2.clone();
    port2.set_onmessage(move |event: MessageEvent<WithPort>| {
        log.borrow_mut().push(format!(
            "with {} port(s), the same: {}",
            event.ports.len(),
            event.ports[0] == event.data.port
        ));
        event
            .data
            .port
            .post_message(&format!("answer to {}", event.data.text))
            .unwrap();
        handled.close();
    });
    let reply = MessageChannel::new();
    let log = Rc::clone(trace);
    reply.port1.on_message(move |text: String| log.borrow_mut().push(text));
    let message = WithPort {
        port: reply.port2,
        text: "question".into(),
    };
    let missing = port1.post_message(&message).unwrap_err();
    println!(
        "unlisted: {missing}, {}",
        missing.is_code("ERR_MISSING_MESSAGE_PORT_IN_TRANSFER_LIST")
    );
    port1.post_message_with(&message, &[&message.port]).unwrap();
    println!("moved: {:?}", message.port);
}

#[nodule_sdk::main]
async fn main() {
    references();
    handlers().await;
    let trace = Rc::default();
    typed(&trace);
    ports_in_messages(&trace);
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let wait =
        |port: &MessagePort, ms| receive_message_on_port_timeout::<u32>(port, Duration::from_millis(ms)).unwrap();
    println!("waited {:?}", wait(&port2, 20));
    port1.post_message(&5).unwrap();
    println!("there {:?}", wait(&port2, 60_000));
    port1.close();
    println!("closed {:?}", wait(&port2, 60_000));
    timers::sleep(Duration::from_millis(5)).await;
    for line in trace.borrow().iter() {
        println!("{line}");
    }
}
