//! Messages both ways: order, bounds, events.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventKind;
use nodule_abi::limits::{IPC_INBOX_BYTES, IPC_QUEUE_BYTES_MAX};

use super::super::outbox::Backlog;
use super::super::state::Notify;
use super::super::wire::Serialization;
use super::{against, pair};

/// A reader that is as fast as the writer lets one write take more than the share of a call.
#[tokio::test]
async fn a_message_that_was_written_at_once_does_not_hold_up_the_next() {
    let (side, mut other) = against(Serialization::Advanced);
    let message = vec![0x58; 3 << 20];
    let total = 200 * (message.len() + 7);
    let reader = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; 1 << 20];
        let mut read = 0;
        while read < total {
            match other.read(&mut bytes) {
                Ok(0) | Err(_) => break,
                Ok(count) => read += count,
            }
        }
        read
    });
    for _ in 0..200 {
        while side.send(&message).is_err() {
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    }
    assert_eq!(reader.await.unwrap(), total);
}

#[tokio::test]
async fn messages_arrive_in_order_in_both_serializations() {
    for serialization in [Serialization::Json, Serialization::Advanced] {
        let (left, mut right) = pair(serialization);
        let text = |number: usize| format!("\"{number}{}\"", "x".repeat(number * 7919 % 3000));
        for number in 0..2000 {
            left.send(text(number)).unwrap();
        }
        for number in 0..2000 {
            assert_eq!(right.text().await, text(number));
        }
        right.send("1").unwrap();
        let mut left = left;
        assert_eq!(left.text().await, "1");
    }
}

#[tokio::test]
async fn the_wire_is_that_of_node() {
    let (mut side, mut other) = against(Serialization::Json);
    side.send("{\"a\":\"ä\"}").unwrap();
    side.send("2").unwrap();
    let mut bytes = [0; 13];
    other.read_exact(&mut bytes).unwrap();
    assert_eq!(std::str::from_utf8(&bytes).unwrap(), "{\"a\":\"ä\"}\n2\n");
    other.write_all("\"ö\"\n\n".as_bytes()).unwrap();
    assert_eq!(side.text().await, "\"ö\"");

    let (mut side, mut other) = against(Serialization::Advanced);
    side.send([0x01]).unwrap();
    let mut bytes = [0; 8];
    other.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, [0, 0, 0, 4, 0xd9, 0xd9, 0xf7, 0x01]);
    other.write_all(&[0, 0, 0, 5, 0xd9, 0xd9, 0xf7, 0x61, b'x']).unwrap();
    assert_eq!(side.incoming().await.payload[..], [0x61, b'x']);
}

#[tokio::test]
async fn large_messages_go_both_ways_at_once() {
    for serialization in [Serialization::Json, Serialization::Advanced] {
        let (mut left, mut right) = pair(serialization);
        let large = "ä".repeat(20 << 20);
        assert_eq!(left.send(&large).unwrap().backlog, Backlog::Long);
        assert_eq!(right.send(&large).unwrap().backlog, Backlog::Long);
        let (there, back) = tokio::join!(right.text(), left.text());
        assert!(there == large && back == large);
    }
}

#[tokio::test]
async fn one_event_comes_for_any_number_of_messages() {
    let (left, mut right) = pair(Serialization::Json);
    for number in 0..100 {
        left.send(number.to_string()).unwrap();
    }
    right.event(EventKind::IpcMessage).await;
    let mut received = 0;
    while received < 100 {
        match right.try_receive() {
            Some(_) => received += 1,
            None => drop(right.event(EventKind::IpcMessage).await),
        }
    }
    assert!(right.try_receive().is_none());
    right.take_events();
    assert!(right.told(EventKind::IpcMessage).is_none());
    left.send("1").unwrap();
    right.event(EventKind::IpcMessage).await;
}

#[tokio::test]
async fn events_of_messages_come_only_while_started() {
    let (left, mut right) = pair(Serialization::Json);
    right.channel.stop();
    left.send("1").unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    right.take_events();
    assert!(right.told(EventKind::IpcMessage).is_none());
    right.channel.start();
    right.event(EventKind::IpcMessage).await;
    assert_eq!(right.text().await, "1");
}

#[tokio::test]
async fn a_full_inbox_makes_the_sender_wait_and_loses_nothing() {
    let (left, mut right) = pair(Serialization::Json);
    let text = |number: usize| format!("\"{number}{}\"", "x".repeat(50_000));
    let mut sent = 0;
    // Until the sender's own queue is full, which is told.
    loop {
        tokio::task::yield_now().await;
        match left.send(text(sent)) {
            Ok(_) => sent += 1,
            Err(error) => {
                assert_eq!(error, ErrorCode::IpcBackpressure);
                break;
            }
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let bytes = sent * 50_000;
    let held = IPC_QUEUE_BYTES_MAX + IPC_INBOX_BYTES + (2 << 20);
    assert!((IPC_QUEUE_BYTES_MAX..held).contains(&bytes), "{bytes}");
    let mut left = left;
    assert!(left.told(EventKind::IpcDrain).is_none());
    for number in 0..sent {
        assert_eq!(right.text().await, text(number));
    }
    left.event(EventKind::IpcDrain).await;
    left.send("1").unwrap();
    assert_eq!(right.text().await, "1");
}

#[tokio::test]
async fn one_message_larger_than_the_inbox_arrives() {
    let (left, mut right) = pair(Serialization::Advanced);
    let large = vec![0x41; 5 * IPC_INBOX_BYTES];
    left.send(&large).unwrap();
    left.send([1]).unwrap();
    assert!(right.incoming().await.payload[..] == large);
    assert_eq!(right.incoming().await.payload[..], [1]);
}

#[tokio::test]
async fn requests_are_told_written() {
    let (mut left, mut right) = pair(Serialization::Json);
    for number in 1..=1000 {
        let sent = left.send_with(number.to_string(), None, Notify::Yes).unwrap();
        assert_eq!(sent.request, number);
    }
    left.send("0").unwrap();
    for number in 1..=1000 {
        let event = left.event(EventKind::IpcSent).await;
        assert_eq!(event.args, [number, 0, 0]);
        assert_eq!(right.text().await, number.to_string());
    }
}

#[tokio::test]
async fn few_events_are_under_way_however_many_requests_there_are() {
    let (mut left, _right) = pair(Serialization::Json);
    for _ in 0..5000 {
        left.send_with("1", None, Notify::Yes).unwrap();
    }
    assert!(left.shared.events.len() <= 64);
    let mut told = 0;
    while told < 5000 {
        told += 1;
        assert_eq!(left.event(EventKind::IpcSent).await.args[0], told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_with_two_threads() {
    let (left, mut right) = pair(Serialization::Json);
    let sending = tokio::spawn(async move {
        let mut left = left;
        for number in 0..50_000 {
            while let Err(error) = left.send(number.to_string()) {
                assert_eq!(error, ErrorCode::IpcBackpressure);
                left.event(EventKind::IpcDrain).await;
            }
        }
        left
    });
    for number in 0..50_000 {
        assert_eq!(right.text().await, number.to_string());
    }
    drop(sending.await.unwrap());
    right.event(EventKind::IpcDisconnect).await;
}
