//! Handles beside messages: order, answers, what gets lost on the way.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nodule_abi::event::EventKind;

use super::super::internal::HandleMessage;
use super::super::native_handle::{HandleType, NativeHandle};
use super::super::outbox::Backlog;
use super::super::socket::Socket;
use super::super::state::{Incoming, Notify};
use super::super::wire::Serialization;
use super::{Side, against, closed, encoded, pair, sockets};

pub(super) fn native(fd: impl Into<OwnedFd>) -> NativeHandle {
    let about = HandleMessage {
        kind: "net.Socket".to_owned(),
        key: Some("4:0.0.0.0:1".to_owned()),
        ..HandleMessage::default()
    };
    NativeHandle::received(fd.into(), about).unwrap()
}

/// A stream over the descriptor of what was received.
fn stream(message: &Incoming) -> UnixStream {
    let fd = message.handle.as_ref().unwrap().descriptor();
    UnixStream::from(fd.as_fd().try_clone_to_owned().unwrap())
}

#[tokio::test]
async fn a_handle_moves_with_its_message() {
    for serialization in [Serialization::Json, Serialization::Advanced] {
        let (mut left, mut right) = pair(serialization);
        let (mine, mut other_end) = sockets();
        let message: &[u8] = if serialization == Serialization::Json {
            b"{\"a\":1}"
        } else {
            &[0xa0]
        };
        let handle = native(mine);
        left.send_with(message, Some(&handle), Notify::Yes).unwrap();
        drop(handle);
        left.send([b'2']).unwrap();
        let got = right.incoming().await;
        assert_eq!(&got.payload[..], message);
        assert_eq!(got.handle.as_ref().unwrap().kind(), HandleType::Socket);
        assert_eq!(right.incoming().await.payload[..], [b'2']);
        left.event(EventKind::IpcSent).await;
        stream(&got).write_all(b"through").unwrap();
        drop(got);
        // All copies are closed.
        let mut bytes = Vec::new();
        other_end.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"through");
    }
}

#[tokio::test]
async fn the_wire_of_a_handle_is_that_of_node() {
    let (mut side, other) = against(Serialization::Json);
    let (mine, _end) = sockets();
    side.send_with("5", Some(&native(mine)), Notify::No).unwrap();
    assert_eq!(side.send("6").unwrap().backlog, Backlog::Short);
    assert_eq!(side.send("7").unwrap().backlog, Backlog::Long);
    let socket = Socket::new(other.into()).unwrap();
    let mut bytes = [0; 1000];
    let received = socket.receive(&mut bytes).unwrap();
    let text = std::str::from_utf8(&bytes[..received.bytes]).unwrap();
    let expected = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":5,\"key\":\"4:0.0.0.0:1\"}\n";
    assert_eq!((text, received.descriptors.len()), (expected, 1));
    assert!(socket.receive(&mut bytes).is_err(), "the rest waits");
    // The other side sends one at the same time; its answer does not wait.
    let theirs = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":\"m\"}\n";
    let fd = OwnedFd::from(sockets().0);
    socket.send(&[std::io::IoSlice::new(theirs)], &[fd.as_fd()]).unwrap();
    let got = side.incoming().await;
    assert_eq!(
        (&got.payload[..], got.handle.unwrap().kind().name()),
        (&b"\"m\""[..], "net.Native")
    );
    let received = socket.receive(&mut bytes).unwrap();
    assert_eq!(&bytes[..received.bytes], b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n");
    socket
        .send(&[std::io::IoSlice::new(b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n8\n")], &[])
        .unwrap();
    assert_eq!(side.text().await, "8");
    let received = socket.receive(&mut bytes).unwrap();
    assert_eq!(&bytes[..received.bytes], b"6\n7\n");
}

#[tokio::test]
async fn a_message_whose_handle_is_missing_is_asked_for_again() {
    let (mut side, mut other) = against(Serialization::Json);
    other
        .write_all(b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\",\"msg\":1}\n2\n")
        .unwrap();
    assert_eq!(side.text().await, "2");
    let mut bytes = [0; 27];
    other.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"{\"cmd\":\"NODE_HANDLE_NACK\"}\n");
}

#[tokio::test]
async fn a_handle_of_an_unknown_type_is_closed_and_its_message_arrives() {
    let (mut side, other) = against(Serialization::Json);
    let (mine, mut end) = sockets();
    let socket = Socket::new(other.into()).unwrap();
    let text = b"{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Unheard\"}\n";
    socket.send(&[std::io::IoSlice::new(text)], &[mine.as_fd()]).unwrap();
    drop(mine);
    let got = side.incoming().await;
    assert!(got.handle.is_none());
    assert_eq!(&got.payload[..], b"null");
    closed(&mut end).await;
}

/// Passes bytes and descriptors on, and loses the descriptors of some messages on the way, as a process does that may
/// have no more.
async fn lossy(from: &Socket, to: &Socket, lost: impl Fn(usize) -> bool) {
    let mut count = 0;
    let mut bytes = vec![0; 50_000];
    loop {
        let received = match from.receive(&mut bytes) {
            Ok(received) if received.bytes == 0 => return to.shut_down(),
            Ok(received) => received,
            Err(_) => {
                tokio::time::sleep(Duration::from_micros(200)).await;
                continue;
            }
        };
        let mut descriptors = received.descriptors;
        if !descriptors.is_empty() {
            count += 1;
            if lost(count) {
                descriptors.clear();
            }
        }
        let mut rest = &bytes[..received.bytes];
        while !rest.is_empty() {
            let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            match to.send(&[std::io::IoSlice::new(rest)], &borrowed) {
                Ok(len) => {
                    rest = &rest[len..];
                    descriptors.clear();
                }
                Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_micros(200)).await,
                Err(_) => return,
            }
        }
    }
}

async fn send_and_receive(mut side: Side, rounds: usize) -> Side {
    let carries = |number: usize| number.is_multiple_of(3) || number % 7 == 2;
    let serialization = side.channel.serialization();
    let message = |number: usize| {
        let text = format!("{number}{}", "x".repeat(number * 7919 % 20_000));
        encoded(serialization, &text)
    };
    for number in 0..rounds {
        let handle = carries(number).then(|| native(sockets().0));
        side.send_with(message(number), handle.as_ref(), Notify::No).unwrap();
        if number.is_multiple_of(4) {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..rounds {
        let got = side.incoming().await;
        assert!(got.payload[..] == message(number), "{number}");
        assert_eq!(got.handle.is_some(), carries(number), "{number}");
    }
    side
}

#[tokio::test]
async fn handles_do_not_overtake_and_both_sides_may_send_them() {
    for serialization in [Serialization::Json, Serialization::Advanced] {
        let (left, right) = pair(serialization);
        tokio::join!(send_and_receive(left, 300), send_and_receive(right, 300));
    }
}

#[tokio::test]
async fn handles_that_get_lost_on_the_way_arrive_all_the_same_and_in_order() {
    let (left, left_end) = sockets();
    let (right_end, right) = sockets();
    let (left, right) = (
        Side::started(left, Serialization::Json),
        Side::started(right, Serialization::Json),
    );
    let (left_end, right_end) = (
        Socket::new(left_end.into()).unwrap(),
        Socket::new(right_end.into()).unwrap(),
    );
    // Never more than three in a row.
    let there = lossy(&left_end, &right_end, |count| !count.is_multiple_of(4));
    let back = lossy(&right_end, &left_end, |count| count.is_multiple_of(2));
    let ends = async {
        let sides = tokio::join!(send_and_receive(left, 150), send_and_receive(right, 150));
        drop(sides);
    };
    tokio::join!(there, back, ends);
}

#[tokio::test]
async fn a_handle_that_never_arrives_is_given_up_with_its_message() {
    let (left, left_end) = sockets();
    let (right_end, right) = sockets();
    let (left, mut right) = (
        Side::started(left, Serialization::Json),
        Side::started(right, Serialization::Json),
    );
    let (left_end, right_end) = (
        Socket::new(left_end.into()).unwrap(),
        Socket::new(right_end.into()).unwrap(),
    );
    let (mine, mut end) = sockets();
    left.send_with("1", Some(&native(mine)), Notify::No).unwrap();
    left.send("2").unwrap();
    let test = async {
        assert_eq!(right.text().await, "2");
        closed(&mut end).await;
        drop((left, right));
    };
    tokio::join!(
        lossy(&left_end, &right_end, |_| true),
        lossy(&right_end, &left_end, |_| false),
        test
    );
}

#[tokio::test]
async fn a_handle_under_way_is_answered_for_when_its_sender_is_gone() {
    let (left, mut right) = pair(Serialization::Json);
    let (mine, mut end) = sockets();
    left.send_with("1", Some(&native(mine)), Notify::No).unwrap();
    left.send("2").unwrap();
    drop(left);
    let got = right.incoming().await;
    assert_eq!(right.text().await, "2");
    right.event(EventKind::IpcDisconnect).await;
    drop(got);
    closed(&mut end).await;
}

#[tokio::test]
async fn disconnecting_waits_for_the_handle_and_what_follows_it() {
    let (mut left, mut right) = pair(Serialization::Json);
    let (mine, _end) = sockets();
    left.send_with("1", Some(&native(mine)), Notify::No).unwrap();
    left.send("2").unwrap();
    left.channel.disconnect().unwrap();
    assert!(right.incoming().await.handle.is_some());
    assert_eq!(right.text().await, "2");
    right.event(EventKind::IpcDisconnect).await;
    left.event(EventKind::IpcDisconnect).await;
}
