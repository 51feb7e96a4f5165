//! How channels end: nothing that was accepted is lost, and both sides hear of it.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventKind;

use super::super::finish_sends;
use super::super::state::Notify;
use super::super::wire::Serialization;
use super::{Side, against, pair, sockets};

#[tokio::test]
async fn disconnecting_delivers_what_was_sent_and_is_told_to_both_sides_later() {
    let (mut left, mut right) = pair(Serialization::Json);
    let large = "x".repeat(3 << 20);
    for _ in 0..3 {
        left.send(&large).unwrap();
    }
    left.channel.disconnect().unwrap();
    assert!(!left.channel.is_connected());
    assert!(left.shared.events.is_empty(), "nothing is told inside the call");
    assert_eq!(left.channel.disconnect(), Err(ErrorCode::IpcDisconnected));
    assert_eq!(left.send("1"), Err(ErrorCode::IpcChannelClosed));
    for _ in 0..3 {
        assert!(right.text().await == large);
    }
    right.event(EventKind::IpcDisconnect).await;
    left.event(EventKind::IpcDisconnect).await;
    assert!(!right.channel.is_connected());
    assert_eq!(right.channel.disconnect(), Err(ErrorCode::IpcDisconnected));
    for side in [&mut left, &mut right] {
        side.take_events();
        assert!(side.told(EventKind::IpcDisconnect).is_none(), "told once");
        assert!(side.told(EventKind::IpcError).is_none());
    }
}

#[tokio::test]
async fn a_message_that_is_half_received_is_completed_first() {
    let (mut side, mut other) = against(Serialization::Json);
    other.write_all(b"\"half").unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    side.channel.disconnect().unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    side.take_events();
    assert!(side.told(EventKind::IpcDisconnect).is_none());
    other.write_all(b" done\"\n").unwrap();
    assert_eq!(side.text().await, "\"half done\"");
    side.event(EventKind::IpcDisconnect).await;
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 0);
}

#[tokio::test]
async fn messages_stay_when_the_other_side_is_gone() {
    let (left, mut right) = pair(Serialization::Advanced);
    for number in 0..200_u8 {
        left.send([number]).unwrap();
    }
    drop(left);
    right.event(EventKind::IpcDisconnect).await;
    right.take_events();
    // Told before, since it is not told behind the end.
    assert!(right.told(EventKind::IpcMessage).is_some());
    for number in 0..200_u8 {
        assert_eq!(right.try_receive().unwrap().payload[..], [number]);
    }
    assert!(right.try_receive().is_none());
    assert_eq!(right.send([1]), Err(ErrorCode::IpcChannelClosed));
}

#[tokio::test]
async fn half_a_message_at_the_end_is_none() {
    for (serialization, half) in [
        (Serialization::Json, &b"1\n\"ha"[..]),
        (Serialization::Advanced, &[0, 0, 0, 4, 0xd9, 0xd9, 0xf7, 1, 0, 0, 0][..]),
    ] {
        let (mut side, mut other) = against(serialization);
        other.write_all(half).unwrap();
        drop(other);
        side.event(EventKind::IpcDisconnect).await;
        assert!(side.try_receive().is_some());
        assert!(side.try_receive().is_none());
        side.take_events();
        assert!(side.told(EventKind::IpcError).is_none());
    }
}

#[tokio::test]
async fn what_was_sent_before_the_other_side_ended_is_read_also_when_writing_fails() {
    let (mut side, mut other) = against(Serialization::Json);
    other.write_all("1\n".repeat(1000).as_bytes()).unwrap();
    drop(other);
    // The end was not read yet, but a write finds it.
    side.send_with("2", None, Notify::Yes).unwrap();
    assert!(!side.channel.is_connected());
    let event = side.event(EventKind::IpcSent).await;
    assert_eq!(event.args, [1, u64::from(ErrorCode::Epipe.number()), 0]);
    side.event(EventKind::IpcDisconnect).await;
    let received = std::iter::from_fn(|| side.try_receive()).count();
    assert_eq!(received, 1000);
}

#[tokio::test]
async fn unread_bytes_do_not_hide_the_end() {
    // The kernel says that the connection was reset.
    let (mut side, other) = against(Serialization::Json);
    side.send("1").unwrap();
    drop(other);
    side.event(EventKind::IpcDisconnect).await;
    side.take_events();
    assert!(side.told(EventKind::IpcError).is_none());
}

#[tokio::test]
async fn requests_that_were_not_written_fail_at_the_end() {
    let (mut side, other) = against(Serialization::Json);
    side.send("x".repeat(4 << 20)).unwrap();
    let sent = side.send_with("1", None, Notify::Yes).unwrap();
    drop(other);
    let event = side.event(EventKind::IpcSent).await;
    assert_eq!(event.args[0], u64::from(sent.request));
    let codes = [ErrorCode::IpcChannelClosed, ErrorCode::Epipe].map(|code| u64::from(code.number()));
    assert!(codes.contains(&event.args[1]));
    side.event(EventKind::IpcDisconnect).await;
}

#[tokio::test]
async fn a_channel_that_nobody_holds_is_sent_out() {
    let (left, mut right) = pair(Serialization::Json);
    let large = "x".repeat(1 << 20);
    for _ in 0..8 {
        left.send(&large).unwrap();
    }
    drop(left);
    let reading = async {
        for _ in 0..8 {
            // Slower than the limit altogether, but never without progress.
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(right.text().await == large);
        }
        right.event(EventKind::IpcDisconnect).await;
    };
    tokio::join!(reading, finish_sends());
}

#[tokio::test]
async fn nobody_waits_long_for_a_reader_that_reads_nothing() {
    let (side, other) = against(Serialization::Json);
    side.send("x".repeat(4 << 20)).unwrap();
    let begun = Instant::now();
    drop(side);
    finish_sends().await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    drop(other);
}

#[tokio::test]
async fn a_channel_with_nothing_to_send_closes_at_once() {
    let (side, mut other) = against(Serialization::Json);
    other.write_all(b"1\n\"half").unwrap();
    side.send("2").unwrap();
    drop(side);
    let mut bytes = Vec::new();
    // The system says that what was written was not read, behind all that this side sent.
    let _ = other.read_to_end(&mut bytes);
    assert_eq!(bytes, b"2\n");
}

#[tokio::test]
async fn what_an_ended_process_left_is_read_however_full_the_inbox_is() {
    let (mut side, mut other) = against(Serialization::Json);
    let message = [&b"x".repeat(9_999)[..], b"\n"].concat();
    let mut written = 0;
    other.set_nonblocking(true).unwrap();
    // Until the inbox and the socket are full, at the end of a message.
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match other.write(&message) {
            Ok(len) => {
                written += 1;
                if len < message.len() {
                    other.set_nonblocking(false).unwrap();
                    let rest = message[len..].to_vec();
                    let mut copy = other.try_clone().unwrap();
                    tokio::task::spawn_blocking(move || {
                        let _ = copy.write_all(&rest);
                    });
                    written -= 1;
                    break;
                }
            }
            Err(_) => break,
        }
    }
    drop(other);
    tokio::time::sleep(Duration::from_millis(50)).await;
    side.take_events();
    assert!(side.told(EventKind::IpcDisconnect).is_none(), "the inbox is full");
    side.channel.watch().drained(Duration::from_secs(5)).await;
    side.event(EventKind::IpcDisconnect).await;
    let received = std::iter::from_fn(|| side.try_receive()).count();
    assert!((written..=written + 1).contains(&received), "{received} of {written}");
}

#[tokio::test]
async fn a_process_that_inherited_the_socket_is_not_waited_for() {
    let (left, right) = sockets();
    let mut side = Side::started(left, Serialization::Json);
    let mut kept = right.try_clone().unwrap();
    drop(right);
    kept.write_all(b"1\n").unwrap();
    let watch = side.channel.watch();
    let begun = Instant::now();
    watch.drained(Duration::from_millis(100)).await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    side.event(EventKind::IpcDisconnect).await;
    assert_eq!(side.text().await, "1");
    watch.drained(Duration::from_secs(60)).await;
    // It sees that the channel is closed.
    assert_eq!(kept.read(&mut [0; 1]).unwrap(), 0);
}

#[tokio::test]
async fn watching_a_channel_that_nobody_holds_ends() {
    let (side, _other) = against(Serialization::Json);
    let watch = side.channel.watch();
    drop(side);
    watch.drained(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn events_from_before_it_has_an_owner_are_told_to_it() {
    let (left, right) = sockets();
    let channel = super::super::channel::IpcChannel::open(left.into(), Serialization::Json).unwrap();
    let mut right = right;
    right.write_all(b"1\n").unwrap();
    drop(right);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let shared = crate::runtime::IsolateShared::root();
    let owner = crate::messaging::Owner {
        shared: std::sync::Arc::clone(&shared),
        handle: crate::handles::Handle::from_guest(1),
        queue_bytes_max: None,
    };
    channel.start();
    channel.attach(owner);
    let kinds: Vec<_> = shared.events.take_vec(9).iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [EventKind::IpcMessage as u32, EventKind::IpcDisconnect as u32]);
}
