//! Wait and notify on cells that another process has too.

use std::time::{Duration, Instant};

use super::super::futex;
use super::*;

const FOR_EVER: f64 = f64::NAN;
const WOKEN: u32 = 0;
const NOT_EQUAL: u32 = 1;
const TIMED_OUT: u32 = 2;

fn at(address: u32) -> i32 {
    address.cast_signed()
}

fn shared_elsewhere() -> Arc<SharedBuffer> {
    let shared = buffer(64);
    shared.share_elsewhere().unwrap();
    shared
}

/// Notifies as another process does, which knows nothing of the table here.
fn notify_from_elsewhere(shared: &SharedBuffer, offset: u64, count: u32) -> u32 {
    futex::wake(shared, offset, count)
}

/// As above, until so many were woken.
async fn wake_from_elsewhere(shared: &SharedBuffer, offset: u64, count: u32) {
    let mut woken = 0;
    while woken < count {
        woken += notify_from_elsewhere(shared, offset, count - woken);
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

#[tokio::test]
async fn waits_end_as_in_one_process() {
    let host = host();
    let shared = shared_elsewhere();
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    guest.poke(window, 5).await;
    let wait = |bits: i32, expected: i64, timeout: f64| (at(window), bits, expected, timeout, 8);
    for bits in [32, 64] {
        assert_eq!(guest.call("wait", wait(bits, 6, FOR_EVER)).await.unwrap().0, NOT_EQUAL);
        assert_eq!(guest.call("wait", wait(bits, 5, -1.0)).await.unwrap().0, TIMED_OUT);
        assert_eq!(guest.call("wait", wait(bits, 5, 1.5)).await.unwrap().0, TIMED_OUT);
    }
    // The upper half counts.
    assert_eq!(
        guest.call("wait", wait(64, (1 << 32) + 5, FOR_EVER)).await.unwrap().0,
        NOT_EQUAL
    );
    let owned = (at(window), 5, 77, FOR_EVER, 8);
    assert_eq!(guest.call("wait_owned", owned).await.unwrap_err(), "Error ENOTSUP");
}

#[tokio::test]
async fn waiters_are_counted_once_wherever_they_are_woken_from() {
    let host = host();
    let shared = shared_elsewhere();
    let mut waiting = tokio::task::JoinSet::new();
    for bits in [32, 64, 32, 64] {
        let mut guest = Guest::new(&host).await;
        let window = guest.give_mapped(&shared).await;
        waiting.spawn(async move { guest.call("wait", (at(window) + 8, bits, 0_i64, FOR_EVER, 8)).await });
    }
    wake_from_elsewhere(&shared, 8, 1).await;
    assert_eq!(waiting.join_next().await.unwrap().unwrap().unwrap().0, WOKEN);
    assert_eq!(shared.notify(0, u32::MAX), 0, "another cell");
    let mut woken = 0;
    while woken < 3 {
        woken += shared.notify(8, 3 - woken);
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    assert_eq!((woken, shared.notify(8, u32::MAX)), (3, 0));
    while let Some(ended) = waiting.join_next().await {
        assert_eq!(ended.unwrap().unwrap().0, WOKEN);
    }
}

#[tokio::test]
async fn who_waited_before_the_buffer_was_shared_is_woken_too() {
    let host = host();
    let shared = buffer(64);
    let mut guests = Vec::new();
    for _ in 0..2 {
        let mut guest = Guest::new(&host).await;
        let window = guest.give_mapped(&shared).await;
        guests.push(tokio::spawn(async move {
            guest
                .call("wait", (at(window), 32, 0_i64, FOR_EVER, 8))
                .await
                .unwrap()
                .0
        }));
    }
    while shared.waiters().len() < 2 {
        tokio::task::yield_now().await;
    }
    shared.share_elsewhere().unwrap();
    wake_from_elsewhere(&shared, 0, 1).await;
    assert_eq!(shared.notify(0, 1), 1);
    for guest in guests {
        assert_eq!(guest.await.unwrap(), WOKEN);
    }
    assert_eq!(shared.waiters().len(), 0);
}

#[tokio::test]
async fn a_terminated_waiter_leaves_at_once_and_passes_its_notification_on() {
    let host = host();
    let shared = shared_elsewhere();
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    let terminate = guest.0.terminator();
    let waiting = tokio::spawn(async move { guest.call("wait", (at(window), 32, 0_i64, FOR_EVER, 8)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let started = Instant::now();
    terminate.cancel();
    assert!(waiting.await.unwrap().unwrap_err().contains("terminated"));
    while Arc::strong_count(&shared) > 1 {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(notify_from_elsewhere(&shared, 0, u32::MAX), 0, "it waits no more");
}

#[tokio::test]
async fn asynchronous_waits_end_by_events_from_elsewhere() {
    let host = host();
    let shared = shared_elsewhere();
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    let mut ended = Vec::new();
    for timeout in [FOR_EVER, 5.0] {
        let handle = guest
            .call("wait_async", (at(window), 32, 0_i64, timeout, 8, 16))
            .await
            .unwrap()
            .1;
        if timeout.is_nan() {
            wake_from_elsewhere(&shared, 0, 1).await;
        }
        let events = &guest.0.state().shared.events;
        let arrived = tokio::time::timeout(Duration::from_secs(10), events.arrived());
        arrived.await.unwrap();
        let record = events.take_vec(1)[0];
        assert_eq!(record.handle, handle);
        ended.push(record.args[0]);
    }
    assert_eq!(ended, [u64::from(WOKEN), u64::from(TIMED_OUT)]);
    // Closed, it waits no more.
    let handle = guest
        .call("wait_async", (at(window), 32, 0_i64, FOR_EVER, 8, 16))
        .await
        .unwrap()
        .1;
    guest.call("close", at(handle)).await.unwrap();
    drop(guest);
    while Arc::strong_count(&shared) > 1 {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}

#[tokio::test]
async fn buffers_of_this_process_alone_need_no_thread() {
    let host = host();
    let shared = buffer(64);
    let mut guest = Guest::new(&host).await;
    let window = guest.give_mapped(&shared).await;
    assert_eq!(
        guest.call("wait", (at(window), 32, 0_i64, 1.0, 8)).await.unwrap().0,
        TIMED_OUT
    );
    assert!(!shared.waiters().is_elsewhere());
}
