//! Guests that use the imports.

use std::os::unix::net::UnixStream;

use nodule_abi::event::EventKind;

use super::super::inherited::ChannelSeed;
use super::super::wire::Serialization;
use super::{Side, closed, encoded, handles, sockets};
use crate::{Host, IsolateBuilder, IsolateRole, Limits, Module};

/// Functions of the guests: `channel` gives the handle of the channel to the parent and starts it; `receive` gives 0 for
/// a message, which then lies at 65536, its length at 136 and the handle that came with it at 144.
const PRELUDE: &str = r#"
    (import "nodule:process/1" "get" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:process/1" "exit" (func $exit (param i64) (result i32)))
    (import "nodule:ipc/1" "start" (func $start (param i32) (result i32)))
    (import "nodule:ipc/1" "stop" (func $stop (param i32) (result i32)))
    (import "nodule:ipc/1" "state" (func $state (param i32 i32) (result i32)))
    (import "nodule:ipc/1" "disconnect" (func $disconnect (param i32) (result i32)))
    (import "nodule:ipc/1" "handle_type" (func $handle_type (param i32 i32 i32 i32) (result i32)))
    (import "nodule:ipc/1" "receive" (func $receive_ (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:ipc/1" "send" (func $send_ (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "wait" (func $wait_ (param i32 i32 i64 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "ref_handle" (func $ref (param i32) (result i32)))
    (import "nodule:event_loop/1" "close" (func $close (param i32) (result i32)))
    (memory (export "memory") 128)
    (data (i32.const 0) "channel")
    (data (i32.const 16) "connected")
    (data (i32.const 32) "\"hello\"a\nb\ff")
    (global $c (mut i32) (i32.const 0))
    (func $open (result i32)
        (drop (call $get (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 64) (i32.const 128)))
        (global.set $c (i32.load8_u (i32.const 64)))
        (drop (call $start (global.get $c)))
        (call $ref (global.get $c)))
    (func $wait (result i32)
        (drop (call $wait_ (i32.const 1024) (i32.const 16) (i64.const -1) (i32.const 0) (i32.const 132)))
        (i32.load (i32.const 132)))
    (func $receive (result i32)
        (call $receive_ (global.get $c) (i32.const 65536) (i32.const 4194304) (i32.const 136)
            (i32.const 0) (i32.const 0) (i32.const 140) (i32.const 144)))
    (func $send (param $from i32) (param $len i32) (param $handle i32) (param $flags i32) (result i32)
        (call $send_ (global.get $c) (local.get $from) (local.get $len) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (local.get $handle) (local.get $flags) (i32.const 148)))
    (func $assert (param $holds i32) (param $code i64)
        (if (i32.eqz (local.get $holds)) (then (drop (call $exit (local.get $code))))))
"#;

/// Sends back whatever comes, with its handle, until the channel is closed.
const ECHO: &str = r"
    (drop (call $open))
    (loop $turns
        (if (call $wait) (then
            (loop $messages
                (if (i32.eqz (call $receive)) (then
                    (drop (call $send (i32.const 65536) (i32.load (i32.const 136)) (i32.load (i32.const 144)) (i32.const 0)))
                    (br $messages))))
            (br $turns))))";

fn guest(host: &Host, body: &str) -> IsolateBuilder {
    let text = format!("(module {PRELUDE} (func (export \"_start\") {body}))");
    let module = Module::from_bytes(host, "guest", text.as_bytes()).unwrap();
    host.isolate(&module).role(IsolateRole::Embedded)
}

fn with_channel(builder: IsolateBuilder, fd: UnixStream, serialization: Serialization) -> IsolateBuilder {
    builder.process_options(|process| process.channel = Some(ChannelSeed::new(fd.into(), serialization)))
}

/// Runs a guest with a channel to the test; gives its exit code and the test's side.
async fn run(body: &str, serialization: Serialization) -> (i64, Side) {
    let host = Host::builder().no_cache().build().unwrap();
    let (parent, child) = sockets();
    let side = Side::started(parent, serialization);
    let isolate = with_channel(guest(&host, body), child, serialization).spawn().unwrap();
    (isolate.join().await.code, side)
}

#[tokio::test]
async fn a_guest_answers_until_its_parent_disconnects() {
    for serialization in [Serialization::Json, Serialization::Advanced] {
        let host = Host::builder().no_cache().build().unwrap();
        let (parent, child) = sockets();
        let mut side = Side::started(parent, serialization);
        let isolate = with_channel(guest(&host, ECHO), child, serialization).spawn().unwrap();
        let text = |number: usize| encoded(serialization, &"ä".repeat(number * 7919 % 40_000));
        for number in 0..50 {
            side.send(text(number)).unwrap();
        }
        let (mine, mut end) = sockets();
        side.send_with(text(1), Some(&handles::native(mine)), super::Notify::No)
            .unwrap();
        for number in 0..50 {
            assert!(side.incoming().await.payload[..] == text(number));
        }
        let got = side.incoming().await;
        assert!(got.handle.is_some() && got.payload[..] == text(1));
        side.channel.disconnect().unwrap();
        side.event(EventKind::IpcDisconnect).await;
        assert_eq!(isolate.join().await.code, 0);
        drop(got);
        closed(&mut end).await;
    }
}

#[tokio::test]
async fn what_a_guest_sent_arrives_although_it_ends_at_once() {
    // 300 times 64 KiB, which the socket does not hold.
    let body = r#"
        (local $count i32)
        (drop (call $open))
        (memory.fill (i32.const 65536) (i32.const 0x31) (i32.const 65536))
        (loop $again
            (call $assert (i32.eqz (call $send (i32.const 65536) (i32.const 50000) (i32.const 0) (i32.const 0))) (i64.const 1))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $count) (i32.const 300))))
        (drop (call $exit (i64.const 7)))"#;
    let (code, mut side) = run(body, Serialization::Json).await;
    assert_eq!(code, 7);
    for _ in 0..300 {
        assert_eq!(side.incoming().await.payload.len(), 50_000);
    }
    side.event(EventKind::IpcDisconnect).await;
}

#[tokio::test]
async fn the_channel_keeps_a_guest_alive_only_when_it_wants() {
    let (code, _side) = run("(drop (call $wait))", Serialization::Json).await;
    assert_eq!(code, 0);
    let body = r#"
        (drop (call $open))
        (call $assert (i32.eqz (call $disconnect (global.get $c))) (i64.const 1))
        (call $assert (call $wait) (i64.const 2))
        (call $assert (i32.eq (i32.load (i32.const 1024)) (i32.const 52)) (i64.const 3))
        (call $assert (i32.eq (i32.load (i32.const 1028)) (global.get $c)) (i64.const 4))
        (call $assert (i32.eqz (call $wait)) (i64.const 5))
        (call $assert (i32.eq (call $disconnect (global.get $c)) (i32.const 1021)) (i64.const 6))
        (call $assert (i32.eq (call $send (i32.const 32) (i32.const 7) (i32.const 0) (i32.const 0)) (i32.const 1020)) (i64.const 7))
        (call $assert (i32.eqz (call $state (global.get $c) (i32.const 200))) (i64.const 8))
        (call $assert (i32.eqz (i32.load (i32.const 200))) (i64.const 9))
        (drop (call $exit (i64.const 99)))"#;
    let (code, mut side) = run(body, Serialization::Json).await;
    assert_eq!(code, 99);
    side.event(EventKind::IpcDisconnect).await;
}

#[tokio::test]
async fn mistakes_of_a_guest_are_told_and_nothing_is_sent() {
    let checks = [
        // Not one line of UTF-8, empty, outside of the memory, longer than the memory.
        (
            "(call $send (i32.const 39) (i32.const 3) (i32.const 0) (i32.const 0))",
            1001,
        ),
        (
            "(call $send (i32.const 39) (i32.const 5) (i32.const 0) (i32.const 0))",
            84,
        ),
        (
            "(call $send (i32.const 39) (i32.const 0) (i32.const 0) (i32.const 0))",
            1001,
        ),
        (
            "(call $send (i32.const 8388607) (i32.const 2) (i32.const 0) (i32.const 0))",
            14,
        ),
        (
            "(call $send (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0))",
            14,
        ),
        // Unknown flags, no handle, a handle of another kind.
        (
            "(call $send (i32.const 32) (i32.const 7) (i32.const 0) (i32.const 4))",
            1001,
        ),
        (
            "(call $send (i32.const 32) (i32.const 7) (i32.const 77) (i32.const 0))",
            2001,
        ),
        (
            "(call $send (i32.const 32) (i32.const 7) (global.get $c) (i32.const 0))",
            1056,
        ),
        // Resources in JSON; the outcome outside of the memory.
        (
            "(call $send_ (global.get $c) (i32.const 32) (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 148))",
            1025,
        ),
        (
            "(call $send_ (global.get $c) (i32.const 32) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8388602))",
            14,
        ),
        // Nothing there; what is no channel, and no native handle.
        ("(call $receive)", 11),
        ("(call $start (i32.const 77))", 2001),
        ("(call $stop (i32.const 77))", 2001),
        (
            "(call $handle_type (global.get $c) (i32.const 0) (i32.const 0) (i32.const 200))",
            22,
        ),
    ];
    let asserts = checks.iter().enumerate().map(|(at, (call, code))| {
        format!(
            "(call $assert (i32.eq {call} (i32.const {})) (i64.const {}))\n",
            code,
            at + 1
        )
    });
    let body = format!(
        "(drop (call $open)) {} (drop (call $send (i32.const 32) (i32.const 7) (i32.const 0) (i32.const 0)))
        (drop (call $exit (i64.const 99)))",
        asserts.collect::<String>()
    );
    let (code, mut side) = run(&body, Serialization::Json).await;
    assert_eq!(code, 99);
    assert_eq!(side.text().await, "\"hello\"");
}

#[tokio::test]
async fn a_message_that_does_not_fit_stays() {
    let body = r#"
        (drop (call $open))
        (drop (call $wait))
        (call $assert (i32.eq (call $receive_ (global.get $c) (i32.const 65536) (i32.const 3) (i32.const 136)
            (i32.const 0) (i32.const 0) (i32.const 140) (i32.const 144)) (i32.const 34)) (i64.const 1))
        (call $assert (i32.eq (i32.load (i32.const 136)) (i32.const 5)) (i64.const 2))
        (call $assert (i32.eqz (call $receive)) (i64.const 3))
        (call $assert (i32.eqz (call $handle_type (i32.load (i32.const 144)) (i32.const 300) (i32.const 64) (i32.const 200))) (i64.const 4))
        (call $assert (i32.eq (i32.load (i32.const 200)) (i32.const 10)) (i64.const 5))
        (call $assert (i32.eq (i32.load (i32.const 300)) (i32.const 0x2e74656e)) (i64.const 6))
        (call $assert (i32.eqz (call $close (i32.load (i32.const 144)))) (i64.const 7))
        (drop (call $exit (i64.const 99)))"#;
    let host = Host::builder().no_cache().build().unwrap();
    let (parent, child) = sockets();
    let side = Side::started(parent, Serialization::Json);
    let (mine, mut end) = sockets();
    side.send_with("12345", Some(&handles::native(mine)), super::Notify::No)
        .unwrap();
    let isolate = with_channel(guest(&host, body), child, Serialization::Json)
        .spawn()
        .unwrap();
    assert_eq!(isolate.join().await.code, 99);
    closed(&mut end).await;
}

#[tokio::test]
async fn without_room_for_a_handle_the_message_waits() {
    let body = r#"
        (drop (call $open))
        (drop (call $wait))
        (call $assert (i32.eq (call $receive) (i32.const 24)) (i64.const 1))
        (drop (call $exit (i64.const 99)))"#;
    let host = Host::builder().no_cache().build().unwrap();
    let (parent, child) = sockets();
    let side = Side::started(parent, Serialization::Json);
    side.send_with("1", Some(&handles::native(sockets().0)), super::Notify::No)
        .unwrap();
    let limits = Limits {
        max_handles: 1,
        ..Limits::default()
    };
    let isolate = with_channel(guest(&host, body), child, Serialization::Json)
        .limits(limits)
        .spawn()
        .unwrap();
    assert_eq!(isolate.join().await.code, 99);
}

#[tokio::test]
async fn attributes_tell_of_the_channel() {
    // CBOR: true and false are f5 and f4, undefined f7, null f6.
    let connected = "(drop (call $get (i32.const 16) (i32.const 9) (i32.const 64) (i32.const 64) (i32.const 128)))";
    let byte = |value: &str, code: u32| {
        format!("(call $assert (i32.eq (i32.load8_u (i32.const 64)) (i32.const {value})) (i64.const {code}))")
    };
    let body = [
        "(drop (call $open))".to_owned(),
        format!("{connected} {}", byte("0xf5", 1)),
        format!(
            "(drop (call $disconnect (global.get $c))) {connected} {}",
            byte("0xf4", 2)
        ),
        format!("(drop (call $close (global.get $c))) {connected} {}", byte("0xf4", 3)),
        format!(
            "(drop (call $get (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 64) (i32.const 128))) {}",
            byte("0xf6", 4)
        ),
        "(drop (call $exit (i64.const 99)))".to_owned(),
    ];
    let (code, _side) = run(&body.concat(), Serialization::Json).await;
    assert_eq!(code, 99);
    let host = Host::builder().no_cache().build().unwrap();
    let body = format!("{connected} {} (drop (call $exit (i64.const 99)))", byte("0xf7", 1));
    let isolate = guest(&host, &body).spawn().unwrap();
    assert_eq!(isolate.join().await.code, 99);
}
