//! Wait and notify of real isolates.

use std::time::Duration;

use nodule_abi::event::{EventKind, EventRecord};

use super::*;

const FOR_EVER: f64 = f64::NAN;
const WOKEN: u32 = 0;
const NOT_EQUAL: u32 = 1;
const TIMED_OUT: u32 = 2;
const PENDING: u32 = 3;
const OWNER_DEAD: u32 = 4;

fn at(address: u32) -> i32 {
    address.cast_signed()
}

/// Until so many wait.
async fn until_waiting(shared: &SharedBuffer, count: usize) {
    while shared.waiters().len() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn waits_end_as_in_javascript() {
    let host = host();
    let shared = buffer(64);
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    guest.poke(window, 5).await;
    let wait = |expected: i64, timeout: f64| (at(window), 32, expected, timeout, 8);
    assert_eq!(guest.call("wait", wait(6, FOR_EVER)).await.unwrap().0, NOT_EQUAL);
    assert_eq!(guest.call("wait", wait(5, -1.0)).await.unwrap().0, TIMED_OUT);
    assert_eq!(guest.call("wait", wait(5, 1.5)).await.unwrap().0, TIMED_OUT);
    // Only the low bits count.
    assert_eq!(guest.call("wait", wait(-1, 0.0)).await.unwrap().0, NOT_EQUAL);
    assert_eq!(guest.call("wait", wait((1 << 32) + 5, 0.0)).await.unwrap().0, TIMED_OUT);
    assert_eq!(
        guest
            .call("wait", (at(window), 64, (1_i64 << 32) + 5, 0.0, 8))
            .await
            .unwrap()
            .0,
        NOT_EQUAL
    );
    assert_eq!(shared.waiters().len(), 0);
    for (address, bits, expected) in [
        (at(window) + 64, 32, "RangeError -"),
        (at(window) + 60, 64, "Trap"),
        (0, 32, "TypeError -"),
        (at(window) + 65_536, 32, "Error EFAULT"),
        (at(window), 16, "TypeError ERR_INVALID_ARG_VALUE"),
    ] {
        let error = guest.call("wait", (address, bits, 0_i64, 0.0, 8)).await.unwrap_err();
        let is_trap = error.contains("ERR_WASM_ATOMIC");
        assert!(
            error == expected || (expected == "Trap" && is_trap),
            "{address} {bits}: {error}"
        );
    }
    assert_eq!(guest.call("notify", (0, -1, 8)).await.unwrap().0, 0);
    assert!(
        guest
            .call("notify", (at(window) + 2, -1, 8))
            .await
            .unwrap_err()
            .contains("ERR_WASM_ATOMIC")
    );
}

#[tokio::test]
async fn parked_isolates_are_woken_in_order() {
    let host = host();
    let shared = buffer(64);
    let mut order = tokio::task::JoinSet::new();
    for number in 0..3 {
        let mut guest = Guest::new(&host).await;
        let window = guest.give_mapped(&shared).await;
        let count = shared.waiters().len();
        order.spawn(async move {
            let result = guest
                .call("wait", (at(window) + 8, 64, 0_i64, FOR_EVER, 8))
                .await
                .unwrap()
                .0;
            (number, result)
        });
        until_waiting(&shared, count + 1).await;
    }
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    assert_eq!(
        guest.call("notify", (at(window), -1, 8)).await.unwrap().0,
        0,
        "another cell"
    );
    for number in 0..2 {
        assert_eq!(guest.call("notify", (at(window) + 8, 1, 8)).await.unwrap().0, 1);
        assert_eq!(order.join_next().await.unwrap().unwrap(), (number, WOKEN));
    }
    assert_eq!(guest.call("notify", (at(window) + 8, -1, 8)).await.unwrap().0, 1);
    assert_eq!(guest.call("notify", (at(window) + 8, -1, 8)).await.unwrap().0, 0);
    assert_eq!(order.join_next().await.unwrap().unwrap(), (2, WOKEN));
}

#[tokio::test]
async fn a_terminated_waiter_is_not_counted() {
    let host = host();
    let shared = buffer(64);
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    let terminate = guest.0.terminator();
    let waiting = tokio::spawn(async move { guest.call("wait", (at(window), 32, 0_i64, FOR_EVER, 8)).await });
    until_waiting(&shared, 1).await;
    terminate.cancel();
    assert!(waiting.await.unwrap().unwrap_err().contains("terminated"));
    assert_eq!(shared.notify(0, u32::MAX), 0);
    assert_eq!(Arc::strong_count(&shared), 1, "the isolate let go of it");
}

fn events(guest: &Guest) -> Vec<EventRecord> {
    guest.0.state().shared.events.take_vec(100)
}

#[tokio::test]
async fn asynchronous_waits_end_by_events() {
    let host = host();
    let shared = buffer(64);
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    let start = |expected: i64, timeout: f64| (at(window), 32, expected, timeout, 8, 16);
    assert_eq!(guest.call("wait_async", start(1, FOR_EVER)).await.unwrap().0, NOT_EQUAL);
    assert_eq!(guest.call("wait_async", start(0, 0.0)).await.unwrap().0, TIMED_OUT);
    let (pending, first) = guest.call("wait_async", start(0, FOR_EVER)).await.unwrap();
    assert_eq!(pending, PENDING);
    assert!(!guest.0.state().handles.keep_alive(), "it has no end of its own");
    let second = guest.call("wait_async", start(0, 5.0)).await.unwrap().1;
    assert!(guest.0.state().handles.keep_alive());
    assert_eq!(shared.waiters().len(), 2);
    tokio::time::timeout(Duration::from_secs(10), guest.0.state().shared.events.arrived())
        .await
        .unwrap();
    let done = |handle, result| EventRecord::new(EventKind::WaitDone, handle, [u64::from(result), 0, 0]);
    assert_eq!(events(&guest), [done(second, TIMED_OUT)]);
    assert_eq!(guest.call("notify", (at(window), -1, 8)).await.unwrap().0, 1);
    assert_eq!(events(&guest), [done(first, WOKEN)]);
    let third = guest.call("wait_async", start(0, FOR_EVER)).await.unwrap().1;
    guest.call("close", third.cast_signed()).await.unwrap();
    assert_eq!(shared.waiters().len(), 0);
    guest.call("wait_async", start(0, 1e9)).await.unwrap();
    drop(guest);
    assert_eq!(shared.notify(0, 1), 0);
}

#[tokio::test]
async fn a_wait_for_a_lock_ends_when_its_thread_is_gone() {
    let host = host();
    let shared = buffer(64);
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    let group = Arc::clone(&guest.0.state().shared.group);
    // No such thread.
    let wait = move |owner: u32| (at(window), 0, owner.cast_signed(), FOR_EVER, 8);
    assert_eq!(guest.call("wait_owned", wait(77)).await.unwrap().0, OWNER_DEAD);
    assert_eq!(
        guest
            .call("wait_owned", (at(window), 3, 77, FOR_EVER, 8))
            .await
            .unwrap()
            .0,
        NOT_EQUAL
    );
    // The owner is an isolate that waits for its end.
    let owner = Guest::new(&host).await;
    group.enter(&owner.0.state().shared);
    let number = owner.0.state().shared.thread.number();
    let limited = (at(window), 0, number.cast_signed(), 1.0, 8);
    assert_eq!(guest.call("wait_owned", limited).await.unwrap().0, TIMED_OUT);
    let waiting = tokio::spawn(async move {
        let result = guest.call("wait_owned", wait(number)).await.unwrap().0;
        (guest, result)
    });
    until_waiting(&shared, 1).await;
    drop(owner);
    let (_guest, result) = waiting.await.unwrap();
    assert_eq!(result, OWNER_DEAD);
    assert_eq!(shared.waiters().len(), 0);
}

#[tokio::test]
async fn cells_are_changed_by_imports_as_by_instructions() {
    let host = host();
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&buffer(64)).await;
    let cell = at(window) + 8;
    for (bits, all) in [(8, 0xff_u32), (16, 0xffff), (32, u32::MAX)] {
        guest.call("store", (cell, bits, -1_i64)).await.unwrap();
        assert_eq!(guest.call("load", (cell, bits, 8)).await.unwrap().0, all);
        // Add, sub, and, or, xor, exchange: the old values.
        for (operation, operand, old) in [
            (0, 1_i64, all),
            (1, 2, 0),
            (2, 7, all - 1),
            (3, 1, 6),
            (4, 5, 7),
            (5, 9, 2),
        ] {
            let (value, _) = guest.call("rmw", (cell, bits, operation, operand, 8)).await.unwrap();
            assert_eq!(value, old, "{bits} {operation}");
        }
        assert_eq!(
            guest
                .call("compare_exchange", (cell, bits, 8_i64, 3_i64, 8))
                .await
                .unwrap()
                .0,
            9
        );
        assert_eq!(
            guest
                .call("compare_exchange", (cell, bits, 9_i64, 3_i64, 8))
                .await
                .unwrap()
                .0,
            9
        );
        assert_eq!(guest.peek(window + 8).await, 3);
        guest.poke(window + 8, 0).await;
    }
    guest.call("store", (cell, 64, -2_i64)).await.unwrap();
    assert_eq!((guest.peek(window + 8).await, guest.peek(window + 12).await), (-2, -1));
    assert!(
        guest
            .call("load", (cell + 4, 64, 8))
            .await
            .unwrap_err()
            .contains("ERR_WASM_ATOMIC")
    );
    assert_eq!(
        guest.call("load", (cell, 24, 8)).await.unwrap_err(),
        "TypeError ERR_INVALID_ARG_VALUE"
    );
    assert_eq!(
        guest.call("rmw", (cell, 8, 6, 0_i64, 8)).await.unwrap_err(),
        "TypeError ERR_INVALID_ARG_VALUE"
    );
    assert_eq!(
        guest.call("load", (0x7fff_fff8, 64, 8)).await.unwrap_err(),
        "Error EFAULT"
    );
    // Memory of the guest's own has cells as well.
    guest.call("store", (64, 32, 6_i64)).await.unwrap();
    assert_eq!(guest.peek(64).await, 6);
}
