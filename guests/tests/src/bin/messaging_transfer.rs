//! Transfers: what is listed moves, a failure moves nothing, queues go along.

use std::time::Duration;

use nodule_sdk::worker_threads::{
    ArrayBuffer, MessageChannel, MessageEvent, MessagePort, Transferable, clone_error, is_marked_as_untransferable,
    mark_as_uncloneable, mark_as_untransferable, receive_message_on_port, structured_clone_with,
};
use nodule_sdk::{Error, Value, process, timers};
use serde::{Deserialize, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
struct Both {
    port: MessagePort,
    buffer: ArrayBuffer,
}

fn shown(what: &str, result: Result<bool, Error>) {
    match result {
        Ok(_) => println!("{what}: posted"),
        Err(error) => println!("{what}: {} {:?} {}", error.name(), error.code(), error.message()),
    }
}

/// A value that cannot be encoded, and detaches a buffer while it is tried.
struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(clone_error(
            Error::new("getter failed").coded("MINE").named("RangeError"),
        ))
    }
}

/// A value whose encoding moves a buffer elsewhere.
struct Moving<'a>(&'a MessagePort, &'a ArrayBuffer);

impl Serialize for Moving<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.post_message_with(&(), &[self.1]).map_err(clone_error)?;
        serializer.serialize_unit()
    }
}

fn refusals() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let other = MessageChannel::new();
    let buffer = ArrayBuffer::from(vec![1, 2, 3]);
    let items: [(&str, &[&dyn Transferable]); 6] = [
        ("duplicate buffer", &[&buffer, &other.port1, &buffer]),
        ("duplicate port", &[&buffer, &other.port1, &other.port1]),
        ("source port", &[&buffer, &port1]),
        ("detached buffer", &[&other.port1, &ArrayBuffer::from(vec![1])]),
        ("marked buffer", &[&other.port1, &ArrayBuffer::from(vec![1])]),
        ("marked port", &[&buffer, &other.port1]),
    ];
    for (what, list) in items {
        if what == "detached buffer" {
            let detached = ArrayBuffer::from(vec![1]);
            structured_clone_with::<_, ()>(&(), &[&detached]).unwrap();
            shown(what, port1.post_message_with(&(), &[&other.port1, &detached]));
        } else if what == "marked buffer" {
            let marked = ArrayBuffer::from(vec![1]);
            mark_as_untransferable(&marked);
            mark_as_untransferable(&marked);
            println!(
                "marked {}, length {}",
                is_marked_as_untransferable(&marked),
                marked.byte_length()
            );
            shown(what, port1.post_message_with(&(), &[&other.port1, &marked]));
            shown("marked buffer by clone", port1.post_message(&marked));
            receive_message_on_port::<Value>(&port2).unwrap();
        } else {
            if what == "marked port" {
                println!("marked {}", is_marked_as_untransferable(&other.port1));
                mark_as_untransferable(&other.port1);
                println!("marked {}", is_marked_as_untransferable(&other.port1));
            }
            shown(what, port1.post_message_with(&(), list));
        }
    }
    let closed = MessageChannel::new();
    closed.port1.close();
    shown("closed port", port1.post_message_with(&(), &[&buffer, &closed.port1]));
    let uncloneable = MessageChannel::new();
    mark_as_uncloneable(&uncloneable.port1);
    shown(
        "uncloneable port",
        port1.post_message_with(&(), &[&buffer, &uncloneable.port1]),
    );
    shown("failing getter", port1.post_message_with(&Failing, &[&buffer]));
    let kept = ArrayBuffer::from(vec![1, 2]);
    let elsewhere = MessageChannel::new();
    shown(
        "moved meanwhile",
        port1.post_message_with(&Moving(&elsewhere.port1, &kept), &[&kept, &buffer]),
    );
    println!(
        "unchanged: {}, nothing arrived: {}",
        buffer.byte_length(),
        receive_message_on_port::<Value>(&port2).unwrap().is_none()
    );
}

/// Messages sent before, during and after the move arrive in order at the port's new place.
fn queue_moves() {
    let moving = MessageChannel::new();
    let carrier = MessageChannel::new();
    for number in 0..3 {
        moving.port1.post_message(&number).unwrap();
    }
    assert_eq!(receive_message_on_port::<u32>(&moving.port2).unwrap(), Some(0));
    carrier
        .port1
        .post_message_with(&moving.port2, &[&moving.port2])
        .unwrap();
    moving.port1.post_message(&3).unwrap();
    println!(
        "old: {:?} {:?}",
        moving.port2,
        receive_message_on_port::<u32>(&moving.port2).unwrap()
    );
    println!(
        "post on the moved port is dropped: {:?}",
        moving.port2.post_message(&9).is_ok()
    );
    let port: MessagePort = receive_message_on_port(&carrier.port2).unwrap().unwrap();
    moving.port1.post_message(&4).unwrap();
    moving.port1.close();
    port.on_message(|number: u32| println!("moved queue: {number}"));
    port.on_close(|| println!("moved queue: close"));
}

/// A buffer and a port in one typed message; the sender's are gone.
fn both() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let reply = MessageChannel::new();
    let message = Both {
        port: reply.port2.clone(),
        buffer: ArrayBuffer::from(vec![7, 8, 9]),
    };
    port1
        .post_message_with(&message, &[&message.buffer, &message.port])
        .unwrap();
    println!(
        "sender: length {}, {}",
        message.buffer.byte_length(),
        message.buffer.to_vec().unwrap_err()
    );
    shown("again", port1.post_message(&message.buffer));
    let got: Both = receive_message_on_port(&port2).unwrap().unwrap();
    got.port.post_message(&got.buffer.to_vec().unwrap()).unwrap();
    println!(
        "receiver: {:?}",
        receive_message_on_port::<Vec<u8>>(&reply.port1).unwrap()
    );
}

/// `ports` of an event lists all ports of the transfer list, and a `Value` names them by place.
fn listed_ports() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let (a, b) = (MessageChannel::new(), MessageChannel::new());
    let value = Value::object([("second", Value::Resource(1))]);
    port1.post_message_with(&value, &[&a.port1, &b.port1]).unwrap();
    let handled = port2.clone();
    port2.set_onmessage(move |event: MessageEvent<Value>| {
        println!("event: {:?} with {} ports", event.data, event.ports.len());
        handled.close();
    });
    // Not taken by anybody: it closes.
    let lost = MessageChannel::new();
    let carrier = MessageChannel::new();
    lost.port1.on_message(|_: ()| {});
    lost.port1.on_close(|| println!("unclaimed: closed"));
    carrier.port1.post_message_with(&5, &[&lost.port2]).unwrap();
    println!(
        "unclaimed: {:?}",
        receive_message_on_port::<u32>(&carrier.port2).unwrap()
    );
    // Sent to nobody: it closes as well.
    let lost = MessageChannel::new();
    lost.port1.on_message(|_: ()| {});
    lost.port1.on_close(|| println!("to a closed channel: closed"));
    drop(carrier.port2);
    carrier.port1.post_message_with(&5, &[&lost.port2]).unwrap();
    println!("to a closed channel: {:?}", lost.port2);
}

fn target_to_itself() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let buffer = ArrayBuffer::from(vec![1]);
    process::on_warning(|warning| println!("warning: {}", warning.message()));
    shown("target", port1.post_message_with(&(), &[&port2, &buffer]));
    println!("target: {:?}, buffer {}", port2, buffer.byte_length());
    port1.on_close(|| println!("target: closed"));
}

fn clones() {
    let buffer = ArrayBuffer::resizable(2, 4).unwrap();
    let clone: ArrayBuffer = structured_clone_with(&buffer, &[]).unwrap();
    clone.write(|bytes| bytes[0] = 5).unwrap();
    clone.resize(4).unwrap();
    let moved: ArrayBuffer = structured_clone_with(&buffer, &[&buffer]).unwrap();
    println!(
        "clone {:?}, moved {:?}, source {}",
        clone.to_vec().unwrap(),
        moved.to_vec().unwrap(),
        buffer.byte_length()
    );
    let port = MessageChannel::new();
    port.port2.post_message("queued").unwrap();
    let moved: MessagePort = structured_clone_with(&port.port1, &[&port.port1]).unwrap();
    println!("moved port: {:?}", receive_message_on_port::<String>(&moved).unwrap());
}

#[nodule_sdk::main]
async fn main() {
    refusals();
    both();
    clones();
    queue_moves();
    timers::sleep(Duration::from_millis(5)).await;
    listed_ports();
    timers::sleep(Duration::from_millis(5)).await;
    target_to_itself();
}
