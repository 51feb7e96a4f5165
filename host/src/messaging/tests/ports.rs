//! Queues, ends, events and bounds of channels.

use std::sync::Arc;

use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::limits::{QUEUE_BYTES_MAX, QUEUE_HIGH_MESSAGES, QUEUES_TOTAL_BYTES_MAX};

use super::{events, message, owner, pair, receive, with_port};
use crate::messaging::broadcast::{Member, Received};
use crate::messaging::channel::{Posted, Refusal};
use crate::messaging::entangle;
use crate::runtime::IsolateShared;

const MESSAGE: u32 = EventKind::Message as u32;
const CLOSE: u32 = EventKind::PortClose as u32;
const DRAIN: u32 = EventKind::PortDrain as u32;

#[test]
fn one_event_tells_of_any_number_of_messages() {
    let mut pair = pair();
    pair.ends[1].start();
    for number in 0..10 {
        pair.ends[0].post(false, message([number])).unwrap();
    }
    assert_eq!(events(&pair.shared[1]), [(MESSAGE, 2)]);
    for number in 0..10 {
        assert_eq!(receive(&mut pair.ends[1]), Some(vec![number]));
    }
    pair.ends[0].post(false, message([10])).unwrap();
    assert!(events(&pair.shared[1]).is_empty(), "the queue was not seen empty");
    assert_eq!(receive(&mut pair.ends[1]), Some(vec![10]));
    assert_eq!(receive(&mut pair.ends[1]), None);
    pair.ends[1].delivered(&mut EventRecord::new(EventKind::Message, 2, [0; 3]));
    pair.ends[0].post(false, message([11])).unwrap();
    assert_eq!(events(&pair.shared[1]), [(MESSAGE, 2)]);
}

#[test]
fn starting_again_and_again_gives_one_event() {
    let pair = pair();
    pair.ends[0].post(false, message([1])).unwrap();
    for _ in 0..1000 {
        pair.ends[1].start();
        pair.ends[1].stop();
    }
    pair.ends[1].start();
    assert_eq!(events(&pair.shared[1]), [(MESSAGE, 2)]);
    pair.ends[1].delivered(&mut EventRecord::new(EventKind::Message, 2, [0; 3]));
    pair.ends[1].start();
    assert_eq!(events(&pair.shared[1]), [(MESSAGE, 2)], "asked for by the receiver");
}

#[test]
fn close_follows_what_is_queued_and_comes_once() {
    let mut pair = pair();
    for number in 0..300_u32 {
        pair.ends[0].post(false, message(number.to_le_bytes())).unwrap();
    }
    pair.ends[0].close();
    pair.ends[0].close();
    pair.ends[1].close();
    assert_eq!(events(&pair.shared[0]), [(CLOSE, 1)]);
    // The second end closed itself and is not started: it is not made to wait for its own queue.
    assert_eq!(events(&pair.shared[1]), [(CLOSE, 2)]);
    assert!(receive(&mut pair.ends[1]).is_some(), "still readable");

    let mut pair = super::pair();
    pair.ends[1].start();
    for number in 0..300_u32 {
        pair.ends[0].post(false, message(number.to_le_bytes())).unwrap();
    }
    pair.ends[0].close();
    pair.ends[0].post(false, message([0])).unwrap();
    for number in 0..300_u32 {
        assert!(
            !events(&pair.shared[1]).contains(&(CLOSE, 2)),
            "before message {number}"
        );
        assert_eq!(receive(&mut pair.ends[1]), Some(number.to_le_bytes().to_vec()));
    }
    assert_eq!(events(&pair.shared[1]), [(CLOSE, 2)]);
}

#[test]
fn the_end_of_an_isolate_closes_its_ports() {
    let pair = pair();
    pair.ends[1].start();
    pair.ends[0].post(false, message([1])).unwrap();
    let [gone, mut left] = pair.ends;
    drop(gone);
    assert_eq!(receive(&mut left), Some(vec![1]));
    assert_eq!(events(&pair.shared[1]), [(MESSAGE, 2), (CLOSE, 2)]);
    assert_eq!(left.post(false, message([2])), Ok(Posted::Room), "dropped silently");
}

#[test]
fn a_queue_moves_with_its_port() {
    let pair = pair();
    let [mut sender, mut moving] = pair.ends;
    for number in 0..600_u32 {
        sender.post(false, message(number.to_le_bytes())).unwrap();
    }
    assert!(receive(&mut moving).is_some());
    moving.detach();
    sender.post(false, message(600_u32.to_le_bytes())).unwrap();
    let place = IsolateShared::worker(&pair.shared[0]);
    moving.attach(owner(&place, 7));
    moving.start();
    assert_eq!(events(&place), [(MESSAGE, 7)]);
    for number in 1..=600_u32 {
        assert_eq!(receive(&mut moving), Some(number.to_le_bytes().to_vec()));
    }
    moving.close();
    assert_eq!(events(&place), [(CLOSE, 7)]);
    assert_eq!(receive(&mut sender), None);
}

#[test]
fn senders_hear_of_room() {
    let mut pair = pair();
    for number in 1..QUEUE_HIGH_MESSAGES {
        assert_eq!(pair.ends[0].post(false, message([])), Ok(Posted::Room), "{number}");
    }
    assert_eq!(pair.ends[0].post(true, message([])), Ok(Posted::AboveMark));
    assert_eq!(pair.ends[0].post(true, message([])), Err(Refusal::NoRoom));
    assert_eq!(pair.ends[0].post(false, message([])), Ok(Posted::AboveMark));
    let mut received = 0;
    while receive(&mut pair.ends[1]).is_some() {
        received += 1;
    }
    assert_eq!(received, QUEUE_HIGH_MESSAGES + 1);
    assert_eq!(events(&pair.shared[0]), [(DRAIN, 1)]);
}

#[test]
fn bounds_are_hard_and_given_back() {
    let mut pair = pair();
    let budget = Arc::clone(&pair.shared[0].group.queues);
    let block = message(vec![0; 1 << 20]);
    let mut posted = 0;
    let mut outcome = Ok(Posted::Room);
    while outcome.is_ok() {
        let copy = super::Message {
            bytes: block.bytes.clone(),
            resources: Vec::new(),
        };
        outcome = pair.ends[0].post(false, copy);
        posted += usize::from(outcome.is_ok());
    }
    assert_eq!(outcome, Err(Refusal::ReceiverFull));
    assert_eq!(posted, (QUEUE_BYTES_MAX >> 20) - 1);
    assert!(receive(&mut pair.ends[1]).is_some());
    assert!(pair.ends[0].post(false, message([])).is_ok());
    // The sum of all queues is bounded as well.
    assert!(budget.charge(QUEUES_TOTAL_BYTES_MAX - budget.bytes()));
    assert_eq!(pair.ends[0].post(false, message([])), Err(Refusal::ProcessFull));
    let before = budget.bytes();
    drop(pair.ends);
    // One of them was received, and an empty one came after it.
    assert_eq!(before - budget.bytes(), posted_bytes(posted - 1));
}

/// What is counted for blocks of 1 MiB and one empty message.
fn posted_bytes(blocks: usize) -> usize {
    blocks * message(vec![0; 1 << 20]).cost() + message([]).cost()
}

#[test]
fn a_place_that_is_not_filled_is_given_back() {
    let pair = pair();
    let budget = Arc::clone(&pair.shared[0].group.queues);
    let place = pair.ends[0].reserve(false, 500).unwrap();
    assert_eq!(budget.bytes(), 500);
    drop(place);
    assert_eq!(budget.bytes(), 0);
    let place = pair.ends[0].reserve(false, message([1]).cost()).unwrap();
    pair.ends[1].close();
    assert_eq!(place.fill(message([1])), Posted::Room);
    assert_eq!(budget.bytes(), 0, "the channel was closed meanwhile");
}

#[test]
fn ports_within_ports_are_closed_without_recursion() {
    let shared = IsolateShared::root();
    let [mut innermost, mut outer] = entangle(&shared.group);
    innermost.attach(owner(&shared, 1));
    for _ in 0..300_000 {
        let [sender, next] = entangle(&shared.group);
        sender.post(false, with_port(outer)).unwrap();
        outer = next;
    }
    drop(outer);
    assert_eq!(events(&shared), [(CLOSE, 1)]);
    assert_eq!(shared.group.queues.bytes(), 0);
}

#[test]
fn ports_that_hold_each_other_go_with_their_process() {
    let shared = IsolateShared::root();
    let budget = Arc::clone(&shared.group.queues);
    let [a1, a2] = entangle(&shared.group);
    let [b1, b2] = entangle(&shared.group);
    a1.post(false, with_port(b2)).unwrap();
    b1.post(false, with_port(a2)).unwrap();
    drop((a1, b1));
    assert!(budget.bytes() > 0, "nobody can reach them");
    drop(shared);
    assert_eq!(budget.bytes(), 0);
}

#[test]
fn broadcasts_reach_channels_in_order_of_creation() {
    let shared = [IsolateShared::root()];
    let worker = IsolateShared::worker(&shared[0]);
    let members = [1, 2, 3].map(|handle| Member::join("name", owner(&shared[0], handle)));
    let remote = Member::join("name", owner(&worker, 9));
    remote.post(message([1]));
    members[0].post(message([2]));
    let event = EventKind::Broadcast as u32;
    assert_eq!(events(&shared[0]), [(event, 1)]);
    assert_eq!(events(&worker), [(event, 9)]);
    let mut order = Vec::new();
    while let Ok(Some((handle, Received::Message(message)))) = members[2].receive(false, |_| Ok::<_, ()>(())) {
        order.push((handle.number(), message.bytes[0]));
    }
    assert_eq!(order, [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2)]);
    // The event's channel goes: another one is named.
    remote.post(message([3]));
    members[0].delivered();
    members[0].rearm();
    let [first, second, third] = members;
    drop(first);
    let told = events(&shared[0]);
    assert_eq!(told.last(), Some(&(event, 2)));
    drop((second, third, remote));
    assert_eq!(shared[0].group.queues.bytes(), 0);
}

/// Two channels that nobody can reach: one end of each lies in the queue of the other, and their other ends are gone.
fn lose_a_cycle(shared: &Arc<IsolateShared>) {
    let [a1, mut a2] = entangle(&shared.group);
    let [b1, mut b2] = entangle(&shared.group);
    a2.attach(owner(shared, 1));
    b2.attach(owner(shared, 2));
    a2.post(false, message([0; 1000])).unwrap();
    a2.post(false, with_port(b1)).unwrap();
    b2.post(false, with_port(a1)).unwrap();
}

#[test]
fn r_port_cycles_are_collected() {
    let pair = pair();
    let budget = Arc::clone(&pair.shared[0].group.queues);
    lose_a_cycle(&pair.shared[1]);
    let lost = budget.bytes();
    assert!(lost > 1000, "nobody looked yet");
    // What can be reached stays: through an owner, through queues of such, and from outside of all queues.
    let [near, far] = entangle(&pair.shared[0].group);
    near.post(false, message([7])).unwrap();
    let [sender, carrier] = entangle(&pair.shared[0].group);
    sender.post(false, with_port(far)).unwrap();
    pair.ends[0].post(false, with_port(carrier)).unwrap();
    let kept = budget.bytes() - lost;
    assert!(budget.collect());
    assert_eq!(budget.bytes(), kept);
    assert!(!budget.collect(), "not again at once");
    let [_, mut receiver] = pair.ends;
    let mut next = || {
        receiver.peek();
        match receiver.take()?.resources.pop()? {
            super::Transferred::Port(end) => Some(end),
            _ => None,
        }
    };
    let mut carrier = next().unwrap();
    carrier.peek();
    let Some(super::Transferred::Port(mut far)) = carrier.take().unwrap().resources.pop() else {
        panic!("no port");
    };
    assert_eq!(receive(&mut far), Some(vec![7]));
    drop((near, far, carrier, sender, receiver, pair.shared));
    assert_eq!(budget.bytes(), 0);
    assert!(!budget.has_carriers());
}

#[test]
fn r_a_full_process_forgets_port_cycles() {
    let pair = pair();
    let budget = Arc::clone(&pair.shared[0].group.queues);
    lose_a_cycle(&pair.shared[1]);
    let rest = pair.shared[0]
        .queued
        .hold(QUEUES_TOTAL_BYTES_MAX - budget.bytes())
        .unwrap();
    assert_eq!(pair.ends[0].post(false, message([0; 900])), Ok(Posted::Room));
    assert_eq!(pair.ends[0].post(false, message([0; 900])), Err(Refusal::ProcessFull));
    drop(rest);
}

#[test]
fn r_a_worker_cannot_fill_all_queues() {
    let pair = pair();
    let [main, worker] = &pair.shared;
    let half = worker.queued.hold(QUEUES_TOTAL_BYTES_MAX / 2).unwrap();
    let child = IsolateShared::worker(worker);
    assert!(child.queued.hold(1).is_none(), "its workers have no share of their own");
    assert_eq!(pair.ends[1].post(false, message([1])), Err(Refusal::ProcessFull));
    assert_eq!(pair.ends[0].post(false, message([1])), Ok(Posted::Room));
    assert!(main.queued.hold(QUEUES_TOTAL_BYTES_MAX / 2 - 1000).is_some());
    drop(half);
    assert_eq!(pair.ends[1].post(false, message([1])), Ok(Posted::Room));
}

#[test]
fn who_posted_pays_until_it_is_received() {
    let mut pair = pair();
    let [main, worker] = pair.shared.clone();
    let cost = message([1]).cost();
    pair.ends[0].post(false, message([1])).unwrap();
    pair.ends[0].post(false, message([2])).unwrap();
    pair.ends[0].detach();
    pair.ends[0].attach(owner(&worker, 3));
    pair.ends[0].post(false, message([3])).unwrap();
    assert_eq!([main.queued.bytes(), worker.queued.bytes()], [2 * cost, cost]);
    while receive(&mut pair.ends[1]).is_some() {}
    assert_eq!([main.queued.bytes(), worker.queued.bytes()], [0, 0]);
    assert_eq!(main.group.queues.bytes(), 0);
}
