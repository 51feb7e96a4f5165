//! Other sides that break the rules.

use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventKind;
use nodule_abi::limits::IPC_DESCRIPTORS_MAX;

use super::super::finish_sends;
use super::super::socket::Socket;
use super::super::state::Notify;
use super::super::wire::Serialization;
use super::{Side, against, closed, pair, sockets};

#[tokio::test]
async fn garbage_is_an_error_behind_what_was_fine() {
    let cases: [(Serialization, &[u8], ErrorCode); 4] = [
        (Serialization::Json, b"1\n\xff\n2\n", ErrorCode::IpcCodecMismatch),
        (
            Serialization::Advanced,
            &[0, 0, 0, 4, 0xd9, 0xd9, 0xf7, 1, 0, 0, 0, 2, 0xff, 0x0f],
            ErrorCode::IpcCodecMismatch,
        ),
        (
            Serialization::Advanced,
            &[0, 0, 0, 4, 0xd9, 0xd9, 0xf7, 1, 0xff, 0xff, 0xff, 0xff],
            ErrorCode::IpcMessageTooLarge,
        ),
        (
            Serialization::Advanced,
            b"\0\0\0\x04\xd9\xd9\xf7\x01{\"a\":1}\n",
            ErrorCode::IpcMessageTooLarge,
        ),
    ];
    for (serialization, bytes, code) in cases {
        let (mut side, mut other) = against(serialization);
        other.write_all(bytes).unwrap();
        let error = side.event(EventKind::IpcError).await;
        assert_eq!(error.args[0], u64::from(code.number()));
        side.event(EventKind::IpcDisconnect).await;
        assert!(!side.channel.is_connected());
        assert!(side.try_receive().is_some() && side.try_receive().is_none());
        let _ = other.read_to_end(&mut Vec::new());
    }
}

#[tokio::test]
async fn answers_that_nobody_asked_for_change_nothing() {
    let (mut side, mut other) = against(Serialization::Json);
    let answers = "{\"cmd\":\"NODE_HANDLE_ACK\"}\n{\"cmd\":\"NODE_HANDLE_NACK\"}\n{\"cmd\":\"NODE_UNHEARD\"}\n";
    other.write_all(answers.repeat(1000).as_bytes()).unwrap();
    other.write_all(b"1\n").unwrap();
    assert_eq!(side.text().await, "1");
    side.send("2").unwrap();
    let mut bytes = [0; 2];
    other.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"2\n");
}

#[tokio::test]
async fn a_handle_that_is_never_acknowledged_holds_up_nothing_but_sends() {
    let (mut side, mut other) = against(Serialization::Json);
    let (mine, mut end) = sockets();
    let handle = super::handles::native(mine);
    side.send_with("1", Some(&handle), Notify::No).unwrap();
    drop(handle);
    while side.send("x".repeat(1 << 20)).is_ok() {}
    other.write_all(b"2\n").unwrap();
    assert_eq!(side.text().await, "2");
    side.channel.disconnect().unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    side.take_events();
    assert!(side.told(EventKind::IpcDisconnect).is_none());
    drop(other);
    side.event(EventKind::IpcDisconnect).await;
    // Pending copies are closed at the end; the one on its way went with the other side.
    closed(&mut end).await;
}

#[tokio::test]
async fn a_handle_that_is_never_acknowledged_is_not_waited_for_long_at_the_end() {
    let (side, other) = against(Serialization::Json);
    side.send_with("1", Some(&super::handles::native(sockets().0)), Notify::No)
        .unwrap();
    drop(side);
    finish_sends().await;
    drop(other);
}

#[tokio::test]
async fn descriptors_that_belong_to_no_message_are_closed() {
    let (mut side, other) = against(Serialization::Json);
    let socket = Socket::new(other.into()).unwrap();
    let mut ends = Vec::new();
    for _ in 0..100 {
        let (mine, end) = sockets();
        ends.push(end);
        socket.send(&[IoSlice::new(b"1\n")], &[mine.as_fd()]).unwrap();
    }
    for _ in 0..100 {
        assert!(side.incoming().await.handle.is_none());
    }
    let last = ends.pop().unwrap();
    for mut end in ends {
        closed(&mut end).await;
    }
    drop(side);
    let mut last = last;
    closed(&mut last).await;
}

#[tokio::test]
async fn handles_that_nobody_takes_are_bounded() {
    let (mut side, other) = against(Serialization::Json);
    let socket = Socket::new(other.into()).unwrap();
    let text = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":1}\n";
    let mut sent = 0;
    let mut quiet = 0;
    // As fast as it answers, and faster.
    while quiet < 20 && sent < 10_000 {
        let fd = sockets().0;
        match socket.send(&[IoSlice::new(text)], &[fd.as_fd()]) {
            Ok(_) => (sent, quiet) = (sent + 1, 0),
            Err(_) => {
                quiet += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    assert!(sent < 10_000);
    let waiting = std::iter::from_fn(|| side.try_receive()).count();
    assert!(waiting <= IPC_DESCRIPTORS_MAX + 16, "{waiting}");
    // The rest follows.
    let mut received = waiting;
    while received < sent {
        side.incoming().await;
        received += 1;
        let _ = socket.receive(&mut [0; 4096]);
    }
}

#[tokio::test]
async fn questions_are_not_read_while_answers_are_not_taken() {
    let (mut side, mut other) = against(Serialization::Json);
    other.set_nonblocking(true).unwrap();
    let questions = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":1}\n".repeat(100);
    let mut quiet = 0;
    let mut written = 0_usize;
    while quiet < 20 {
        match other.write(questions.as_bytes()) {
            Ok(len) => (written, quiet) = (written + len, 0),
            Err(_) => {
                quiet += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    assert!(written < 64 << 20, "{written}");
    side.channel.disconnect().unwrap();
    drop(other);
    side.event(EventKind::IpcDisconnect).await;
}

#[tokio::test]
async fn a_side_that_only_stops_reading_breaks_sending_alone() {
    let (mut side, mut other) = against(Serialization::Json);
    other.shutdown(std::net::Shutdown::Read).unwrap();
    let sent = side.send_with("1", None, Notify::Yes).unwrap();
    let event = side.event(EventKind::IpcSent).await;
    assert_eq!(
        event.args,
        [u64::from(sent.request), u64::from(ErrorCode::Epipe.number()), 0]
    );
    assert_eq!(side.send("2"), Err(ErrorCode::IpcChannelClosed));
    other.write_all(b"3\n").unwrap();
    assert_eq!(side.text().await, "3");
    drop(other);
    side.event(EventKind::IpcDisconnect).await;
}

#[tokio::test]
async fn a_runtime_that_ends_takes_its_channels_along() {
    let (left, right) = sockets();
    let kept = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let side = runtime.block_on(async {
            let side = Side::started(left, Serialization::Json);
            side.send("x".repeat(4 << 20)).unwrap();
            side
        });
        drop(runtime);
        side
    });
    let mut side = kept.await.unwrap();
    side.take_events();
    assert!(side.told(EventKind::IpcDisconnect).is_some());
    drop(side);
    finish_sends().await;
    drop(right);
}

#[tokio::test]
async fn closing_while_the_other_side_closes_is_harmless() {
    for _ in 0..200 {
        let (left, right) = pair(Serialization::Json);
        left.send("1").unwrap();
        right.send("2").unwrap();
        left.channel.disconnect().unwrap();
        let _ = right.channel.disconnect();
        let (mut left, mut right) = (left, right);
        tokio::join!(
            left.event(EventKind::IpcDisconnect),
            right.event(EventKind::IpcDisconnect)
        );
    }
}
