//! Two isolates that run side by side and talk.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmtime::Caller;

use crate::messaging::port::PortEnd;
use crate::messaging::{entangle, transfer};
use crate::runtime::{Host, IsolateGroup, IsolateState, Module};

const IMPORTS: &str = r#"
    (import "test" "port" (func $port (result i32)))
    (import "nodule:event_loop/1" "wait" (func $wait (param i32 i32 i64 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "close" (func $drop (param i32) (result i32)))
    (import "nodule:messaging/1" "start" (func $start (param i32) (result i32)))
    (import "nodule:messaging/1" "receive_wait" (func $receive_wait (param i32 i64) (result i32)))
    (import "nodule:messaging/1" "receive" (func $receive (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:messaging/1" "post" (func $post (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $handle (mut i32) (i32.const 0))
    (func $send (result i32)
        (call $post (global.get $handle) (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 1) (i32.const 512)))
    (func $take (result i32)
        (call $receive (global.get $handle) (i32.const 64) (i32.const 64) (i32.const 516) (i32.const 0) (i32.const 0)
            (i32.const 520)))
    (func $events (drop (call $wait (i32.const 1024) (i32.const 16) (i64.const -1) (i32.const 1) (i32.const 524))))
"#;

/// Sends numbers as fast as there is room.
fn sender(count: u32) -> String {
    format!(
        r#"(module {IMPORTS} (func (export "_start") (local $next i32)
            (global.set $handle (call $port))
            (loop $again
                (i32.store (i32.const 0) (local.get $next))
                (if (i32.eqz (call $send))
                    (then (local.set $next (i32.add (local.get $next) (i32.const 1))))
                    (else (call $events)))
                (br_if $again (i32.lt_u (local.get $next) (i32.const {count})))))
        )"#
    )
}

/// Takes numbers by events; traps when one is out of order.
fn receiver(count: u32) -> String {
    format!(
        r#"(module {IMPORTS} (func (export "_start") (local $next i32)
            (global.set $handle (call $port))
            (drop (call $start (global.get $handle)))
            (loop $wake
                (call $events)
                (block $empty
                    (loop $more
                        (br_if $empty (call $take))
                        (if (i32.ne (i32.load (i32.const 64)) (local.get $next)) (then unreachable))
                        (local.set $next (i32.add (local.get $next) (i32.const 1)))
                        (br $more)))
                (br_if $wake (i32.lt_u (local.get $next) (i32.const {count})))))
        )"#
    )
}

/// Sends a number, waits for its answer, and so on; the other one begins by waiting.
fn player(count: u32, begins: bool) -> String {
    let serve = "(i32.store (i32.const 0) (local.get $next)) (if (call $send) (then unreachable))";
    let await_answer = r#"
        (if (call $receive_wait (global.get $handle) (i64.const -1)) (then unreachable))
        (if (call $take) (then unreachable))
        (if (i32.ne (i32.load (i32.const 64)) (local.get $next)) (then unreachable))"#;
    let round = match begins {
        true => format!("{serve}{await_answer}"),
        false => format!("{await_answer}{serve}"),
    };
    format!(
        r#"(module {IMPORTS} (func (export "_start") (local $next i32)
            (global.set $handle (call $port))
            (loop $again {round}
                (local.set $next (i32.add (local.get $next) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $next) (i32.const {count})))))
        )"#
    )
}

/// Runs two modules, each with one end of a channel; gives the time both took.
fn run(first: &str, second: &str) -> Duration {
    let group = Arc::new(IsolateGroup::default());
    let ends: Arc<Mutex<Vec<PortEnd>>> = Arc::new(Mutex::new(entangle(&group).into()));
    let give = move |linker: &mut wasmtime::Linker<IsolateState>| {
        let ends = Arc::clone(&ends);
        linker.func_wrap("test", "port", move |mut caller: Caller<'_, IsolateState>| {
            let end = ends.lock().unwrap().pop().unwrap();
            transfer::own_port(caller.data_mut(), end).unwrap().number()
        })?;
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Host::builder().no_cache().linker(give).build().unwrap();
        let modules = [first, second].map(|text| Module::from_bytes(&host, "player", text.as_bytes()).unwrap());
        let start = Instant::now();
        let isolates = modules.map(|module| host.isolate(&module).spawn().unwrap());
        for isolate in isolates {
            let status = tokio::time::timeout(Duration::from_secs(60), isolate.join())
                .await
                .unwrap();
            assert!(status.success(), "{status:?}");
        }
        start.elapsed()
    })
}

#[test]
fn a_flood_arrives_in_order() {
    let count = 1_000_000;
    let time = run(&receiver(count), &sender(count));
    eprintln!("one way: {:.0} messages/s", f64::from(count) / time.as_secs_f64());
}

#[test]
fn answers_follow_questions() {
    let count = 200_000;
    let time = run(&player(count, true), &player(count, false));
    eprintln!("round trip: {:.2} µs", time.as_secs_f64() * 1e6 / f64::from(count));
}
