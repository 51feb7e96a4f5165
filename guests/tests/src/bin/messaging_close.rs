//! The end of a channel: what is queued comes first, then `close` on both ends, once.

use std::cell::Cell;
use std::rc::Rc;

use nodule_sdk::timers::set_immediate;
use nodule_sdk::worker_threads::{MessageChannel, receive_message_on_port};

fn posts_then_close(next: impl FnOnce() + 'static) {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port2.on_message(|number: u32| println!("message {number}"));
    port1.on_close(|| println!("closer: close"));
    let next = Cell::new(Some(next));
    port2.on_close(move || {
        println!("peer: close");
        if let Some(next) = next.take() {
            set_immediate(next);
        }
    });
    port1.post_message(&1).unwrap();
    port1.post_message(&2).unwrap();
    port1.close_with(|| println!("closer: callback"));
    println!("close returned");
    // Dropped silently.
    assert!(port1.post_message(&3).unwrap());
    assert!(port2.post_message(&4).unwrap());
}

fn close_in_a_handler(next: impl FnOnce() + 'static) {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let closing = port2.clone();
    port2.on_message(move |number: u32| {
        println!("in handler: message {number}");
        closing.close();
        closing.close();
    });
    let next = Cell::new(Some(next));
    port2.on_close(move || {
        println!("in handler: own close");
        if let Some(next) = next.take() {
            set_immediate(next);
        }
    });
    for number in 1..=3 {
        port1.post_message(&number).unwrap();
    }
}

fn readable_after_close() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port1.post_message("still here").unwrap();
    port1.close();
    let read = receive_message_on_port::<String>(&port2).unwrap().unwrap();
    let nothing = receive_message_on_port::<String>(&port2).unwrap();
    println!("after close: {read} {}", nothing.unwrap_or("undefined".into()));
    println!("has_ref {}", port1.has_ref());
}

fn dropped_end() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    port1.on_message(move |_: u32| counted.set(counted.get() + 1));
    port1.on_close(move || println!("dropped end: close after {} messages", count.get()));
    port2.post_message(&1).unwrap();
    port2.post_message(&2).unwrap();
    drop(port2);
}

#[nodule_sdk::main]
fn main() {
    posts_then_close(|| {
        close_in_a_handler(|| {
            readable_after_close();
            dropped_end();
        });
    });
}
