//! Locks of several isolates of one process.

use super::*;
use crate::runtime::IsolateGroup;

/// An isolate without a guest.
struct Isolate {
    shared: Arc<IsolateShared>,
    handles: Handles,
    client: LockClient,
}

impl Isolate {
    fn new(creator: &IsolateShared) -> Self {
        Self {
            shared: IsolateShared::worker(creator),
            handles: Handles::new(4),
            client: LockClient::default(),
        }
    }

    fn request(&mut self, name: &str, mode: Mode, when_busy: WhenBusy) -> Outcome {
        self.client
            .request(&self.shared, &mut self.handles, name, mode, when_busy)
            .unwrap()
    }

    fn wait_for(&mut self, name: &str, mode: Mode) -> Outcome {
        self.request(name, mode, WhenBusy::Wait)
    }

    fn events(&self) -> Vec<(u32, u32)> {
        let records = self.shared.events.take_vec(100);
        records.iter().map(|record| (record.kind, record.handle)).collect()
    }

    fn waits(&self) -> bool {
        self.client.waits_for_others(&self.shared)
    }
}

fn granted(outcome: Outcome) -> Handle {
    match outcome {
        Outcome::Granted(handle) => handle,
        Outcome::Pending(_) | Outcome::Refused => panic!("{outcome:?}"),
    }
}

fn pending(outcome: Outcome) -> Handle {
    match outcome {
        Outcome::Pending(handle) => handle,
        Outcome::Granted(_) | Outcome::Refused => panic!("{outcome:?}"),
    }
}

const GRANTED: u32 = EventKind::LockGranted as u32;
const STOLEN: u32 = EventKind::LockStolen as u32;

fn three() -> (Arc<IsolateGroup>, Isolate, Isolate, Isolate) {
    let root = IsolateShared::root();
    let [a, b, c] = [(); 3].map(|()| Isolate::new(&root));
    (Arc::clone(&root.group), a, b, c)
}

#[test]
fn closing_a_handle_passes_the_lock_on_in_order() {
    let (_group, mut a, mut b, mut c) = three();
    let held = granted(a.wait_for("x", Mode::Exclusive));
    let second = pending(b.wait_for("x", Mode::Shared));
    let third = pending(c.wait_for("x", Mode::Shared));
    let last = pending(a.wait_for("x", Mode::Exclusive));
    granted(c.wait_for("y", Mode::Exclusive));
    assert!(b.waits() && c.waits());
    a.handles.remove(held).unwrap();
    assert_eq!(b.events(), [(GRANTED, second.number())]);
    assert_eq!(c.events(), [(GRANTED, third.number())]);
    assert!(a.events().is_empty());
    assert!(!b.waits() && !c.waits() && a.waits());
    b.handles.remove(second).unwrap();
    assert!(a.events().is_empty());
    c.handles.remove(third).unwrap();
    assert_eq!(a.events(), [(GRANTED, last.number())]);
}

#[test]
fn an_isolate_that_ends_releases_what_it_holds_and_gives_up_what_it_waits_for() {
    let (group, mut a, mut b, mut c) = three();
    granted(a.wait_for("x", Mode::Exclusive));
    pending(b.wait_for("x", Mode::Exclusive));
    let last = pending(c.wait_for("x", Mode::Shared));
    drop(b);
    assert!(c.events().is_empty());
    drop(a);
    assert_eq!(c.events(), [(GRANTED, last.number())]);
    drop(c);
    let left = group.locks.query();
    assert!(left.held.is_empty() && left.pending.is_empty());
}

#[test]
fn a_stolen_lock_is_told_and_closing_it_changes_nothing() {
    let (_group, mut a, mut b, mut c) = three();
    let (first, second) = (
        granted(a.wait_for("x", Mode::Shared)),
        granted(b.wait_for("x", Mode::Shared)),
    );
    let waiting = pending(b.wait_for("x", Mode::Exclusive));
    let thief = granted(c.request("x", Mode::Exclusive, WhenBusy::Steal));
    assert_eq!(a.events(), [(STOLEN, first.number())]);
    assert_eq!(b.events(), [(STOLEN, second.number())]);
    a.handles.remove(first).unwrap();
    b.handles.remove(second).unwrap();
    assert!(b.events().is_empty(), "the thief holds it");
    assert_eq!(a.request("x", Mode::Shared, WhenBusy::Refuse), Outcome::Refused);
    assert_eq!(a.handles.len(), 0, "a refused request leaves no handle");
    c.handles.remove(thief).unwrap();
    assert_eq!(b.events(), [(GRANTED, waiting.number())]);
}

#[test]
fn waiting_for_a_lock_of_ones_own_keeps_nothing_alive() {
    let (_group, mut a, mut b, _) = three();
    let held = granted(a.wait_for("x", Mode::Exclusive));
    pending(a.wait_for("x", Mode::Exclusive));
    assert!(!a.waits());
    pending(b.wait_for("x", Mode::Exclusive));
    pending(a.wait_for("x", Mode::Exclusive));
    assert!(a.waits(), "behind the request of another");
    a.handles.remove(held).unwrap();
    assert!(b.waits());
}

#[test]
fn requests_are_bounded_by_the_handles_of_their_isolate() {
    let (group, mut a, ..) = three();
    for _ in 0..4 {
        a.wait_for("x", Mode::Exclusive);
    }
    let refused = a
        .client
        .request(&a.shared, &mut a.handles, "x", Mode::Exclusive, WhenBusy::Wait);
    assert!(refused.unwrap_err().is_code("EMFILE"));
    let all = group.locks.query();
    assert_eq!((all.held.len(), all.pending.len()), (1, 3));
    let id = format!("nodule-{}-{}", std::process::id(), a.shared.thread);
    assert!(
        all.pending
            .iter()
            .all(|lock| lock.client_id == id && lock.mode == "exclusive" && &*lock.name == "x")
    );
}

#[test]
fn groups_do_not_share_locks() {
    let (_group, mut a, ..) = three();
    let (_other, mut b, ..) = three();
    granted(a.wait_for("x", Mode::Exclusive));
    granted(b.wait_for("x", Mode::Exclusive));
}

#[tokio::test]
async fn a_full_event_queue_delays_the_grant_but_does_not_lose_it() {
    let (_group, mut a, mut b, mut c) = three();
    let held = granted(a.wait_for("x", Mode::Exclusive));
    let second = pending(b.wait_for("x", Mode::Exclusive));
    let filler = EventRecord::new(EventKind::Signal, 0, [0; 3]);
    while b.shared.events.push(filler) {}
    a.handles.remove(held).unwrap();
    granted(c.request("x", Mode::Exclusive, WhenBusy::Steal));
    assert!(
        b.shared
            .events
            .take_vec(usize::MAX)
            .iter()
            .all(|record| *record == filler)
    );
    let mut got = Vec::new();
    while got.len() < 2 {
        b.shared.events.arrived().await;
        got.extend(b.events());
    }
    assert_eq!(got, [(GRANTED, second.number()), (STOLEN, second.number())]);
}
