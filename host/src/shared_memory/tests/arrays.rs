//! ArrayBuffers that move from isolate to isolate.

use super::*;
use crate::shared_memory::imports::take_array_buffer;
use crate::shared_memory::mapping::refusal;

/// Gives it what another one gave away.
fn give(guest: &mut Guest, array: ArrayPages) -> i32 {
    let handle = guest
        .0
        .state_mut()
        .handles
        .insert(Resource::ArrayBuffer(array), false)
        .unwrap();
    handle.number().cast_signed()
}

#[tokio::test]
async fn an_array_buffer_moves_with_its_bytes() {
    let host = host();
    let (mut sender, mut receiver) = (Guest::new(&host).await, Guest::new(&host).await);
    let (handle, address) = sender.call("array_buffer_create", (100_000_i64, 8, 16)).await.unwrap();
    sender.poke(address + 99_996, 7).await;
    // It is nobody else's, so there is nothing to wait for.
    let error = sender
        .call("wait", (address.cast_signed(), 32, 0_i64, 0.0, 8))
        .await
        .unwrap_err();
    assert_eq!(error, "TypeError -");

    let array = take_array_buffer(sender.0.state_mut(), Handle::from_guest(handle)).unwrap();
    assert_eq!(sender.peek(address + 99_996).await, 0);
    assert!(
        sender
            .call("array_buffer_map", (handle.cast_signed(), 8))
            .await
            .unwrap_err()
            .contains("ERR_HANDLE_CLOSED")
    );
    sender.poke(address + 99_996, 8).await;

    let handle = give(&mut receiver, array);
    let address = receiver.call("array_buffer_map", (handle, 8)).await.unwrap().0;
    assert_eq!(
        receiver.call("array_buffer_byte_length", (handle, 8)).await.unwrap().0,
        100_000
    );
    assert_eq!(receiver.peek(address + 99_996).await, 7);
    assert_eq!(
        sender.0.state().shared_memory.account().bytes(),
        2 * PAGE_BYTES,
        "who made it is charged"
    );
    receiver.call("close", handle).await.unwrap();
    assert_eq!(receiver.peek(address + 99_996).await, 0);
    assert_eq!(sender.0.state().shared_memory.account().bytes(), 0);

    let shared = sender.give(&buffer(1));
    let shared = Handle::from_guest(shared.cast_unsigned());
    assert!(take_array_buffer(sender.0.state_mut(), shared).is_err());
    assert!(sender.0.state().handles.get(shared).is_ok());
}

/// Without the way back the first one shows zeros, and the second the pages of a buffer that is gone.
#[tokio::test]
async fn r_array_buffers_move_all_or_nothing() {
    let host = host();
    let mut sender = Guest::new(&host).await;
    let mut arrays = Vec::new();
    for number in 0..3 {
        let made = sender.call("array_buffer_create", (100_000_i64, 8, 16)).await.unwrap();
        sender.poke(made.1 + 99_996, 7 + number).await;
        sender.poke(32 + 4 * number.cast_unsigned(), made.0.cast_signed()).await;
        arrays.push(made);
    }
    let before = sender.0.state().shared_memory.windows.free_ranges();
    // To nobody: all that is transferred is lost.
    let post = (0, 0, 1, 32, 2, 32, 3, 0, 16);
    for after in 0..3 {
        refusal::AFTER.set(Some(after));
        let refused = sender.call("post", post).await.unwrap_err();
        assert!(refused.ends_with("ENOMEM"), "{refused}");
        for ((handle, address), number) in arrays.iter().zip(7..) {
            assert_eq!(sender.peek(address + 99_996).await, number);
            let mapped = sender.call("array_buffer_map", (handle.cast_signed(), 8)).await;
            assert_eq!(mapped.unwrap().0, *address);
        }
        assert_eq!(sender.0.state().shared_memory.windows.free_ranges(), before);
    }
    sender.call("post", post).await.unwrap();
    for (handle, address) in arrays {
        assert_eq!(sender.peek(address + 99_996).await, 0);
        assert!(
            sender
                .call("array_buffer_map", (handle.cast_signed(), 8))
                .await
                .is_err()
        );
    }
    assert_eq!(sender.0.state().shared_memory.windows.count(), 0);
}

/// Measures a move of 64 MiB whose pages are all in use; run with `--nocapture`.
#[tokio::test]
async fn moving_64_mib_costs_microseconds() {
    const BYTES: u32 = 64 << 20;
    let host = host();
    let (mut sender, mut receiver) = (Guest::new(&host).await, Guest::new(&host).await);
    let mut times = Vec::new();
    for _ in 0..5 {
        let (handle, address) = sender
            .call("array_buffer_create", (i64::from(BYTES), 8, 16))
            .await
            .unwrap();
        sender
            .0
            .call::<_, ()>("fill", (address.cast_signed(), 1, BYTES.cast_signed()))
            .await
            .unwrap();
        let start = std::time::Instant::now();
        let array = take_array_buffer(sender.0.state_mut(), Handle::from_guest(handle)).unwrap();
        let detached = start.elapsed();
        let handle = give(&mut receiver, array);
        let address = receiver.call("array_buffer_map", (handle, 8)).await.unwrap().0;
        times.push((start.elapsed(), detached));
        let touch = std::time::Instant::now();
        receiver
            .0
            .call::<_, ()>("fill", (address.cast_signed(), 2, BYTES.cast_signed()))
            .await
            .unwrap();
        println!(
            "moved in {:?}, detached after {detached:?}; written whole in {:?}",
            times.last().unwrap().0,
            touch.elapsed()
        );
        receiver.call("close", handle).await.unwrap();
    }
    times.sort();
    assert!(times[0].0.as_millis() < 5, "{times:?}");
}
