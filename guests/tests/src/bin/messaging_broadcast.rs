//! Broadcast channels: one order for all, what close does, what keeps the isolate alive, what is lost when full.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::value::Bytes;
use nodule_sdk::worker_threads::{
    BroadcastChannel, MessageChannel, MessageEvent, receive_message_on_port, receive_message_on_port_timeout,
};
use nodule_sdk::{Value, process, timers};

type Trace = Rc<RefCell<Vec<String>>>;

async fn order(trace: &Trace) {
    let names = ["c1", "c2", "c3"];
    let channels = names.map(|_| BroadcastChannel::new("order"));
    for (name, channel) in names.into_iter().zip(&channels) {
        let trace = Rc::clone(trace);
        channel.set_onmessage(move |event: MessageEvent<u32>| {
            trace.borrow_mut().push(format!("{name}:{}", event.data));
            let trace = Rc::clone(&trace);
            process::next_tick(move || trace.borrow_mut().push("tick".into()));
        });
    }
    channels[0].post_message(&1).unwrap();
    channels[0].post_message(&2).unwrap();
    channels[1].post_message(&3).unwrap();
    timers::sleep(Duration::from_millis(3)).await;
    println!("{}", trace.take().join(" "));
    // Closing within a handler: what is queued for that channel is not delivered any more.
    let closing = channels[1].clone();
    channels[1].set_onmessage(move |_: MessageEvent<u32>| closing.close());
    let log = Rc::clone(trace);
    let left = channels[2].clone();
    channels[2].set_onmessage(move |event: MessageEvent<u32>| {
        log.borrow_mut().push(format!("c3:{}", event.data));
        if event.data == 6 {
            left.close();
        }
    });
    for number in 4..=6 {
        channels[0].post_message(&number).unwrap();
    }
    timers::sleep(Duration::from_millis(3)).await;
    println!("{}", trace.take().join(" "));
    channels[0].close();
    channels[0].close();
    let error = channels[0].post_message(&7).unwrap_err();
    println!("{} {:?} {}", error.name(), error.code(), error.message());
}

fn synchronous() {
    let (a, b) = (BroadcastChannel::new("sync"), BroadcastChannel::new("sync"));
    let other = BroadcastChannel::new("another name");
    println!(
        "name {}, null {}",
        other.name(),
        BroadcastChannel::new("null").unref().name()
    );
    a.post_message(&1).unwrap();
    b.post_message(&2).unwrap();
    let read = |channel| receive_message_on_port::<u32>(channel).unwrap();
    println!("{:?} {:?} {:?} {:?}", read(&a), read(&b), read(&a), read(&other));
    let wait = |channel, ms| receive_message_on_port_timeout::<u32>(channel, Duration::from_millis(ms)).unwrap();
    a.post_message(&3).unwrap();
    println!("{:?} {:?}", wait(&b, 60_000), wait(&b, 5));
    let port = MessageChannel::new().port1;
    println!("port: {}", a.post_message(&port).unwrap_err().code().unwrap());
    [a, b, other].iter().for_each(BroadcastChannel::close);
}

/// A receiver that does not keep up loses messages, and hears of it once.
async fn full() {
    let (sender, slow, fast) = (
        BroadcastChannel::new("full"),
        BroadcastChannel::new("full"),
        BroadcastChannel::new("full"),
    );
    let block = Bytes(vec![0; 1 << 20]);
    let mut fast_count = 0;
    for _ in 0..300 {
        sender.post_message(&block).unwrap();
        fast_count += u32::from(receive_message_on_port::<Value>(&fast).unwrap().is_some());
    }
    let (count, lost) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let counted = Rc::clone(&count);
    slow.on_message(move |_: Bytes| counted.set(counted.get() + 1));
    let log = Rc::clone(&lost);
    slow.set_onmessageerror(move |error| {
        log.borrow_mut()
            .push(format!("{} {}", error.code().unwrap(), error.message()))
    });
    timers::sleep(Duration::from_millis(50)).await;
    while count.get() + lost.borrow().len() < 10 {
        timers::immediate().await;
    }
    sender.post_message(&block).unwrap();
    timers::sleep(Duration::from_millis(5)).await;
    println!("fast {fast_count}, slow {}, lost {:?}", count.get(), lost.borrow());
    [sender, slow, fast].iter().for_each(BroadcastChannel::close);
}

/// The same order for all receivers, whichever way they read.
async fn one_order() {
    let senders = [BroadcastChannel::new("many"), BroadcastChannel::new("many")];
    let receivers = [
        BroadcastChannel::new("many"),
        BroadcastChannel::new("many"),
        BroadcastChannel::new("many"),
    ];
    let seen = [(); 3].map(|()| Rc::new(RefCell::new(Vec::new())));
    for (receiver, seen) in receivers.iter().zip(&seen) {
        let seen = Rc::clone(seen);
        receiver.on_message(move |number: u32| seen.borrow_mut().push(number));
    }
    for number in 0..10_000_u32 {
        senders[number as usize % 7 % 2].post_message(&number).unwrap();
        if number % 100 == 0 {
            timers::immediate().await;
        }
        if number % 30 == 0
            && let Some(message) = receive_message_on_port::<u32>(&receivers[0]).unwrap()
        {
            seen[0].borrow_mut().push(message);
        }
    }
    while seen[2].borrow().len() < 10_000 {
        timers::immediate().await;
    }
    let all: Vec<u32> = (0..10_000).collect();
    println!("one order: {}", seen.iter().all(|seen| *seen.borrow() == all));
    receivers.iter().chain(&senders).for_each(BroadcastChannel::close);
}

#[nodule_sdk::main]
async fn main() {
    order(&Rc::default()).await;
    synchronous();
    one_order().await;
    full().await;
    // Open, but it does not keep the isolate alive.
    let unref = BroadcastChannel::new("unref");
    unref.ref_().unref();
    // Keeps it alive until it is closed by its handler.
    let (last, speaker) = (BroadcastChannel::new("last"), BroadcastChannel::new("last"));
    let closing = last.clone();
    last.on_messageerror(move |error| {
        println!("messageerror {}", error.code().unwrap());
        closing.close();
    });
    last.on_message(|_: u32| unreachable!());
    timers::set_timeout(
        move || {
            speaker.post_message("no number").unwrap();
            speaker.close();
        },
        Duration::from_millis(5),
    )
    .unref();
}
