//! Properties of channels over many rounds of random input: first in, first out, whoever reads (`fifo`); `close` last
//! and once (`close`); transfers all or nothing (`transfer`); a failing listener loses nothing (`failing`).
//! Prints the rounds that held.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use nodule_sdk::timers::immediate;
use nodule_sdk::value::Bytes;
use nodule_sdk::worker_threads::{
    ArrayBuffer, MessageChannel, MessagePort, Transferable, clone_error, mark_as_untransferable,
    receive_message_on_port,
};
use nodule_sdk::{Error, Value, process};
use serde::{Serialize, Serializer};

const ROUNDS: u32 = 10_000;

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap()
    }
}

/// One channel whose receiver changes between listener, handler, synchronous receiving and moving to another place.
async fn fifo(random: &mut Random) {
    let next = Rc::new(Cell::new(0_u32));
    let check = {
        let next = Rc::clone(&next);
        move |(number, _): (u32, Bytes)| assert_eq!(next.replace(number + 1), number)
    };
    let MessageChannel { port1, mut port2 } = MessageChannel::new();
    let mut sent = 0;
    while sent < ROUNDS {
        for _ in 0..random.below(20) {
            let size = [0, 1, 300, 5000][random.below(4) as usize];
            port1.post_message(&(sent, Bytes(vec![1; size]))).unwrap();
            sent += 1;
        }
        match random.below(4) {
            0 => {
                let listener = port2.on_message(check.clone());
                immediate().await;
                listener.remove();
            }
            1 => {
                let check = check.clone();
                port2.set_onmessage(move |event: nodule_sdk::worker_threads::MessageEvent<(u32, Bytes)>| {
                    check(event.data);
                });
                immediate().await;
                port2.clear_onmessage();
            }
            2 => {
                for _ in 0..random.below(30) {
                    let Some(message) = receive_message_on_port(&port2).unwrap() else {
                        break;
                    };
                    check(message);
                }
            }
            _ => {
                let carrier = MessageChannel::new();
                carrier.port1.post_message_with(&port2, &[&port2]).unwrap();
                port2 = receive_message_on_port(&carrier.port2).unwrap().unwrap();
            }
        }
    }
    while let Some(message) = receive_message_on_port(&port2).unwrap() {
        check(message);
    }
    println!("fifo: {} of {sent} messages in order", next.get());
}

/// Posts and closes by either end, outside or within a handler; counts what comes after which.
async fn close(random: &mut Random) {
    let held = Rc::new(Cell::new(0));
    let mut closes = 0;
    for _ in 0..ROUNDS {
        let MessageChannel { port1, port2 } = MessageChannel::new();
        let count = random.below(4);
        let (by_receiver, in_handler) = (random.below(2) == 0, random.below(2) == 0 && count > 0);
        let received = Rc::new(Cell::new(0));
        let closed = Rc::new(Cell::new([0; 2]));
        let seen = Rc::clone(&received);
        let closing = if by_receiver { port2.clone() } else { port1.clone() };
        port2.on_message(move |number: u32| {
            assert_eq!(seen.replace(number + 1), number);
            if in_handler {
                closing.close();
            }
        });
        for (index, port) in [&port1, &port2].into_iter().enumerate() {
            let (closed, received) = (Rc::clone(&closed), Rc::clone(&received));
            port.on_close(move || {
                let mut counts = closed.get();
                counts[index] += 1;
                closed.set(counts);
                assert!(index == 0 || received.get() == count, "all messages before close");
            });
        }
        for number in 0..count {
            port1.post_message(&number).unwrap();
        }
        if !in_handler {
            let closer = if by_receiver { &port2 } else { &port1 };
            closer.close();
            port1.post_message(&99).unwrap();
        }
        for _ in 0..4 {
            immediate().await;
        }
        assert_eq!((received.get(), closed.get()), (count, [1, 1]));
        assert!(port1.post_message(&1).unwrap() && port2.post_message(&1).unwrap());
        closes += 2;
        held.set(held.get() + 1);
    }
    println!("close: {} rounds, {closes} closes", held.get());
}

/// A value that fails to encode.
struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(clone_error(Error::new("mine").coded("MINE")))
    }
}

/// What is to be transferred, with what keeps it observable.
struct Items {
    ports: Vec<(MessagePort, MessagePort)>,
    buffers: Vec<ArrayBuffer>,
}

impl Items {
    fn new(random: &mut Random) -> Self {
        let port = |_| {
            let MessageChannel { port1, port2 } = MessageChannel::new();
            port2.post_message(&7).unwrap();
            (port1, port2)
        };
        Self {
            ports: (0..random.below(4)).map(port).collect(),
            buffers: (0..random.below(4))
                .map(|number| ArrayBuffer::from(vec![1; number as usize + 1]))
                .collect(),
        }
    }

    fn list(&self) -> VecDeque<&dyn Transferable> {
        let ports = self.ports.iter().map(|(port, _)| port as &dyn Transferable);
        ports
            .chain(self.buffers.iter().map(|buffer| buffer as &dyn Transferable))
            .collect()
    }

    fn are_unchanged(&self) -> bool {
        let ports = self.ports.iter().all(|(port, other)| {
            other.post_message(&8).unwrap();
            receive_message_on_port::<u32>(port).unwrap() == Some(7)
                && receive_message_on_port(port).unwrap() == Some(8)
        });
        ports
            && self
                .buffers
                .iter()
                .zip(1..)
                .all(|(buffer, length)| buffer.byte_length() == length)
    }

    fn are_gone(&self) -> bool {
        let ports = self
            .ports
            .iter()
            .all(|(port, _)| receive_message_on_port::<Value>(port).unwrap().is_none());
        ports && self.buffers.iter().all(ArrayBuffer::is_detached)
    }
}

/// Lists with at most one bad item at a random place.
fn transfer(random: &mut Random) {
    let (mut moved, mut refused) = (0, 0);
    let moved_away = MessageChannel::new();
    let detached = moved_away.port1.clone();
    MessageChannel::new()
        .port1
        .post_message_with(&(), &[&detached])
        .unwrap();
    let gone = ArrayBuffer::from(vec![1]);
    MessageChannel::new().port1.post_message_with(&(), &[&gone]).unwrap();
    let marked = ArrayBuffer::from(vec![1]);
    mark_as_untransferable(&marked);
    let closed = MessageChannel::new();
    closed.port1.close();
    for _ in 0..ROUNDS {
        let MessageChannel { port1, port2 } = MessageChannel::new();
        let items = Items::new(random);
        let mut list = items.list();
        let bad = random.below(8);
        let place = random.below(u32::try_from(list.len() + 1).unwrap()) as usize;
        match bad {
            0 => list.insert(place, &port1),
            1 => list.insert(place, &detached),
            2 => list.insert(place, &gone),
            3 => list.insert(place, &marked),
            4 => list.insert(place, &closed.port1),
            5 if !list.is_empty() => {
                let again = list[random.below(u32::try_from(list.len()).unwrap()) as usize];
                list.insert(place, again);
            }
            _ => {}
        }
        let is_bad = bad < 5 || list.len() > items.ports.len() + items.buffers.len();
        let list: Vec<_> = list.into();
        let result = if bad == 6 {
            port1.post_message_with(&Failing, &list)
        } else {
            port1.post_message_with(&5, &list)
        };
        if is_bad || bad == 6 {
            assert!(result.is_err() && items.are_unchanged(), "{bad}: {result:?}");
            assert_eq!(receive_message_on_port::<u32>(&port2).unwrap(), None);
            refused += 1;
        } else {
            assert!(result.is_ok() && items.are_gone(), "{bad}: {result:?}");
            assert_eq!(receive_message_on_port(&port2).unwrap(), Some(5));
            moved += 1;
        }
    }
    println!(
        "transfer: {} rounds, both outcomes often: {}",
        moved + refused,
        moved > 1000 && refused > 1000
    );
}

/// Every message once, in order, in a turn of its own, though some listeners fail.
async fn failing(random: &mut Random) {
    let failures = Rc::new(Cell::new(0));
    let counted = Rc::clone(&failures);
    process::on_uncaught_exception(move |_, _| counted.set(counted.get() + 1));
    let bad: Rc<RefCell<Vec<bool>>> = Rc::new(RefCell::new((0..ROUNDS).map(|_| random.below(3) == 0).collect()));
    let expected = bad.borrow().iter().filter(|bad| **bad).count();
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let (next, ticks) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (seen, ticked) = (Rc::clone(&next), Rc::clone(&ticks));
    port2.on_message(move |number: u32| {
        assert_eq!(seen.replace(number + 1), number, "order");
        assert_eq!(ticked.get(), number, "the ticks of the messages before have run");
        let ticked = Rc::clone(&ticked);
        process::next_tick(move || ticked.set(ticked.get() + 1));
        assert!(!bad.borrow()[number as usize], "this one fails");
    });
    for number in 0..ROUNDS {
        port1.post_message(&number).unwrap();
    }
    port1.close();
    let done = Rc::new(Cell::new(false));
    let ended = Rc::clone(&done);
    port2.on_close(move || ended.set(true));
    while !done.get() {
        immediate().await;
    }
    println!(
        "failing: {} messages, {} ticks, {}",
        next.get(),
        ticks.get(),
        failures.get() == expected
    );
}

#[nodule_sdk::main]
async fn main() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for property in process::argv().iter().skip(2) {
        match property.as_str() {
            "fifo" => fifo(&mut random).await,
            "close" => close(&mut random).await,
            "transfer" => transfer(&mut random),
            _ => failing(&mut random).await,
        }
    }
}
