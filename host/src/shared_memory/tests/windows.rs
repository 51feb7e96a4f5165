//! Where windows go, what they show, what is left of them.

use nodule_abi::limits::WINDOWS_MAX;

use super::*;
use crate::permissions::{Capability, Permissions};

const PAGE: u32 = 65_536;
const NEVER: i64 = -1;

#[tokio::test]
async fn isolates_see_each_others_bytes() {
    let host = host();
    let (mut one, mut other) = (Guest::new(&host).await, Guest::new(&host).await);
    let buffer = buffer(100);
    let (a, b) = (one.give_mapped(&buffer).await, other.give_mapped(&buffer).await);
    one.poke(a + 96, 7).await;
    assert_eq!(other.peek(b + 96).await, 7);
    drop(one);
    other.poke(b, 8).await;
    let mut third = Guest::new(&host).await;
    let c = third.give_mapped(&buffer).await;
    assert_eq!((third.peek(c).await, third.peek(c + 96).await), (8, 7));
}

#[tokio::test]
async fn a_buffer_has_one_window_until_its_last_handle_lets_go() {
    let host = host();
    let mut guest = Guest::new(&host).await;
    let buffer = buffer(100);
    let (first, second) = (guest.give(&buffer), guest.give(&buffer));
    let address = guest.call("map", (first, 8)).await.unwrap().0;
    for handle in [first, second, second] {
        assert_eq!(guest.call("map", (handle, 8)).await.unwrap().0, address);
    }
    guest.poke(address, 5).await;
    guest.call("unmap", first).await.unwrap();
    guest.call("unmap", first).await.unwrap();
    assert_eq!(guest.peek(address).await, 5);
    guest.call("close", second).await.unwrap();
    assert_eq!(guest.peek(address).await, 0, "zeros, and no hole");
    guest.poke(address, 6).await;
    assert_eq!(guest.call("map", (first, 8)).await.unwrap().0, address);
    assert_eq!(guest.peek(address).await, 5, "not what was written to the free range");
    assert!(
        guest
            .call("map", (second, 8))
            .await
            .unwrap_err()
            .contains("ERR_HANDLE_CLOSED")
    );
}

#[tokio::test]
async fn windows_and_memory_of_the_guest_never_overlap() {
    let host = host();
    let mut guest = Guest::new(&host).await;
    let grow = |pages: i32| pages;
    assert_eq!(guest.0.call::<_, i32>("grow_memory", grow(3)).await.unwrap(), 2);
    let first = guest.give_mapped(&buffer(u64::from(2 * PAGE))).await;
    assert_eq!(first, 5 * PAGE);
    assert_eq!(guest.0.call::<_, i32>("grow_memory", grow(1)).await.unwrap(), 7);
    let second = guest.give_mapped(&buffer(1)).await;
    assert_eq!(second, 8 * PAGE);
    assert_eq!(guest.0.call::<_, i32>("grow_memory", grow(1)).await.unwrap(), 9);
    for (address, value) in [
        (4 * PAGE, 1),
        (first, 2),
        (first + PAGE, 3),
        (7 * PAGE, 4),
        (second, 5),
        (9 * PAGE, 6),
    ] {
        guest.poke(address, value).await;
    }
    for (address, value) in [
        (4 * PAGE, 1),
        (first, 2),
        (first + PAGE, 3),
        (7 * PAGE, 4),
        (second, 5),
        (9 * PAGE, 6),
    ] {
        assert_eq!(guest.peek(address).await, value, "{address}");
    }
}

#[tokio::test]
async fn free_ranges_are_joined_split_and_used_first() {
    let host = host();
    let mut guest = Guest::new(&host).await;
    let mut handles = Vec::new();
    for _ in 0..4 {
        let handle = guest.give(&buffer(1));
        guest.call("map", (handle, 8)).await.unwrap();
        handles.push(handle);
    }
    // 2 and 3 are windows of their own, 1 and 2 become free, then 0 as well.
    for (handle, free) in [(handles[1], 1), (handles[2], 2), (handles[0], 3)] {
        guest.call("close", handle).await.unwrap();
        assert_eq!(
            guest.0.state().shared_memory.windows.free_ranges(),
            [(2, free)].map(|(start, count)| { (if count == 3 { start } else { start + 1 }, count) })
        );
    }
    let small = guest.give_mapped(&buffer(1)).await;
    assert_eq!(small, 2 * PAGE);
    let pair = guest.give_mapped(&buffer(u64::from(2 * PAGE))).await;
    assert_eq!(pair, 3 * PAGE);
    assert_eq!(
        guest.0.state().memory_bytes(),
        6 * PAGE as usize,
        "nothing was grown for these"
    );
    // The free range at the end is taken together with new pages.
    guest.call("close", handles[3]).await.unwrap();
    assert_eq!(guest.give_mapped(&buffer(u64::from(3 * PAGE))).await, 5 * PAGE);
    assert_eq!(guest.0.state().memory_bytes(), 8 * PAGE as usize);
}

#[tokio::test]
async fn a_window_beyond_the_memory_limit_is_refused_and_the_guest_lives() {
    let host = host();
    let limits = Limits {
        max_memory_bytes: 4 * PAGE as usize,
        ..Limits::default()
    };
    let mut guest = Guest::with(&host, |builder| builder.limits(limits)).await;
    let handle = guest.give(&buffer(u64::from(3 * PAGE)));
    assert_eq!(guest.call("map", (handle, 8)).await.unwrap_err(), "Error ENOMEM");
    let fits = guest.give_mapped(&buffer(u64::from(2 * PAGE))).await;
    guest.poke(fits, 1).await;
    assert_eq!(guest.peek(fits).await, 1);
    assert_eq!(
        guest.call("array_buffer_create", (1_i64, 8, 16)).await.unwrap_err(),
        "Error ENOMEM"
    );
    assert_eq!(guest.0.state().handles.len(), 2, "the failed one left no handle");
}

#[tokio::test]
async fn windows_of_an_isolate_are_bounded() {
    let host = host();
    let mut guest = Guest::new(&host).await;
    let account = account();
    let mut handles = Vec::new();
    for _ in 0..WINDOWS_MAX {
        let buffer = SharedBuffer::new(1, u64::MAX, &account).unwrap();
        let handle = guest.give(&buffer);
        guest.call("map", (handle, 8)).await.unwrap();
        handles.push(handle);
    }
    let one_more = guest.give(&buffer(1));
    assert_eq!(guest.call("map", (one_more, 8)).await.unwrap_err(), "Error ENOMEM");
    guest.call("close", handles[500]).await.unwrap();
    assert!(guest.call("map", (one_more, 8)).await.is_ok());
}

#[tokio::test]
async fn creating_is_bounded_and_needs_the_grant() {
    let host = host();
    let limits = Limits {
        max_shared_buffers: 2,
        max_shared_bytes: 3 * PAGE as usize,
        ..Limits::default()
    };
    let mut guest = Guest::with(&host, |builder| builder.limits(limits)).await;
    let first = guest.call("create", (10_i64, 100_000_i64, 8)).await.unwrap().0;
    assert_eq!(
        guest.call("create", (131_073_i64, NEVER, 8)).await.unwrap_err(),
        "Error ENOMEM"
    );
    assert_eq!(guest.call("byte_length", (first.cast_signed(), 8)).await.unwrap().0, 10);
    assert_eq!(
        guest.call("max_byte_length", (first.cast_signed(), 8)).await.unwrap().0,
        100_000
    );
    assert_eq!(guest.call("is_growable", (first.cast_signed(), 8)).await.unwrap().0, 1);
    guest.call("grow", (first.cast_signed(), 100_i64)).await.unwrap();
    assert_eq!(
        guest.call("grow", (first.cast_signed(), 99_i64)).await.unwrap_err(),
        "RangeError -"
    );
    assert_eq!(
        guest.call("byte_length", (first.cast_signed(), 8)).await.unwrap().0,
        100
    );
    guest.call("create", (1_i64, NEVER, 8)).await.unwrap();
    guest.call("close", first.cast_signed()).await.unwrap();
    guest.call("create", (1_i64, NEVER, 8)).await.unwrap();
    assert_eq!(
        guest.call("create", (1_i64, NEVER, 8)).await.unwrap_err(),
        "Error ENOMEM"
    );
    assert_eq!(
        guest.call("create", (5_i64 << 30, NEVER, 8)).await.unwrap_err(),
        "RangeError -"
    );

    let denied = Permissions::none().deny(Capability::SharedMemory);
    let mut guest = Guest::with(&host, |builder| builder.permissions(denied)).await;
    let refused = guest.call("create", (1_i64, NEVER, 8)).await.unwrap_err();
    assert_eq!(refused, "Error ERR_ACCESS_DENIED");
    let handle = guest.give(&buffer(1));
    let refused = guest.call("map", (handle, 8)).await.unwrap_err();
    assert_eq!(refused, "Error ERR_ACCESS_DENIED");
}
