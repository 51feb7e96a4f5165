//! Bounds and fairness: marks of queues, `drain`, refusals, a port that feeds itself, ports within ports.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::value::Bytes;
use nodule_sdk::worker_threads::{MessageChannel, MessagePort, receive_message_on_port};
use nodule_sdk::{Value, process, spawn, timers};

/// The mark by number of messages, and the event when there is room again.
async fn drain() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let drains = Rc::new(Cell::new(0));
    let counted = Rc::clone(&drains);
    port1.on_drain(move || counted.set(counted.get() + 1));
    let mut posted = 1;
    while port1.post_message(&posted).unwrap() {
        posted += 1;
    }
    println!("above the mark after {posted} messages");
    assert!(!port1.post_message(&0).unwrap());
    timers::sleep(Duration::from_millis(3)).await;
    println!("drains {} while nobody reads", drains.get());
    while receive_message_on_port::<Value>(&port2).unwrap().is_some() {}
    timers::sleep(Duration::from_millis(3)).await;
    println!(
        "drains {} when it was read, room {}",
        drains.get(),
        port1.post_message(&0).unwrap()
    );
}

/// Asynchronous posts wait for room and keep the isolate alive; large messages count by bytes.
async fn waiting() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let trace: Rc<RefCell<Vec<u32>>> = Rc::default();
    let sent = Rc::clone(&trace);
    let sender = spawn(async move {
        for number in 0..20 {
            port1.post_message_async(&(number, Bytes(vec![0; 4 << 20]))).await?;
            sent.borrow_mut().push(number);
        }
        port1.close();
        Ok::<_, nodule_sdk::Error>(())
    });
    timers::sleep(Duration::from_millis(3)).await;
    println!("sent without a reader: {}", trace.borrow().len());
    let received = Rc::new(Cell::new(0));
    let counted = Rc::clone(&received);
    port2.on_message(move |(number, _): (u32, Bytes)| assert_eq!(counted.replace(number + 1), number));
    sender.await.unwrap();
    timers::sleep(Duration::from_millis(3)).await;
    println!("sent {}, received {}", trace.borrow().len(), received.get());
}

/// A sender that never waits is refused; the memory of the host stays within the bound.
fn flood() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let message = Bytes(vec![0; 1000]);
    let (mut posted, mut refused) = (0_u32, 0_u32);
    for _ in 0..1_000_000 {
        match port1.post_message(&message) {
            Ok(_) => posted += 1,
            Err(error) => {
                assert_eq!(error.code(), Some("ERR_WORKER_QUEUE_FULL"));
                refused += 1;
            }
        }
    }
    let bytes = u64::from(posted) * 1000;
    println!("posted within the bound: {}", bytes > 200 << 20 && bytes < 256 << 20);
    println!("refused {}", posted + refused == 1_000_000);
    println!(
        "memory within the bound: {}",
        process::memory_usage().unwrap().rss < 450 << 20
    );
    while receive_message_on_port::<Value>(&port2).unwrap().is_some() {}
    println!("accepted again: {:?}", port1.post_message(&message));
    let error = port1.post_message(&Bytes(vec![0; 256 << 20])).unwrap_err();
    println!("a message beyond the bound: {:?}", error.code());
}

/// A port that posts to itself does not keep timers and other ports from their turns.
async fn fairness() {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let count = Rc::new(Cell::new(0_u32));
    let stopped = Rc::new(Cell::new(false));
    let (counted, ended, again) = (Rc::clone(&count), Rc::clone(&stopped), port1.clone());
    port2.on_message(move |(): ()| {
        counted.set(counted.get() + 1);
        if !ended.get() {
            again.post_message(&()).unwrap();
        }
    });
    let other = MessageChannel::new();
    let heard = Rc::new(Cell::new(0));
    let (at, counted) = (Rc::clone(&heard), Rc::clone(&count));
    other.port2.on_message(move |(): ()| at.set(counted.get()));
    other.port1.post_message(&()).unwrap();
    port1.post_message(&()).unwrap();
    let start = count.get();
    timers::sleep(Duration::ZERO).await;
    println!("other port after at most 1000: {}", heard.get() <= 1000);
    println!("timer fired although the port went on: {}", count.get() > start);
    stopped.set(true);
    timers::sleep(Duration::from_millis(1)).await;
    port1.close();
    other.port1.close();
}

/// Ports in the queues of ports, very deep; dropping the outermost closes the innermost.
async fn depth() {
    let innermost = MessageChannel::new();
    let closed = Rc::new(Cell::new(false));
    let seen = Rc::clone(&closed);
    innermost.port1.on_close(move || seen.set(true));
    let mut outer: MessagePort = innermost.port2;
    for _ in 0..100_000 {
        let next = MessageChannel::new();
        next.port1.post_message_with(&(), &[&outer]).unwrap();
        outer = next.port2;
    }
    drop(outer);
    timers::sleep(Duration::from_millis(3)).await;
    println!("innermost closed: {}", closed.get());
}

/// Ports that hold each other are nobody's; they go with the process.
fn cycle() {
    for _ in 0..1000 {
        let (a, b) = (MessageChannel::new(), MessageChannel::new());
        a.port1.post_message_with(&(), &[&b.port2]).unwrap();
        b.port1.post_message_with(&(), &[&a.port2]).unwrap();
    }
}

/// Handles that are opened and closed without ever taking an event leave nothing behind.
fn stale_events() {
    let before = process::memory_usage().unwrap().rss;
    for _ in 0..1_000_000 {
        let MessageChannel { port1, port2 } = MessageChannel::new();
        port2.start();
        port1.post_message(&()).unwrap();
    }
    println!(
        "stale events are bounded: {}",
        process::memory_usage().unwrap().rss < before + (48 << 20)
    );
}

#[nodule_sdk::main]
async fn main() {
    drain().await;
    waiting().await;
    fairness().await;
    depth().await;
    cycle();
    stale_events();
    flood();
}
