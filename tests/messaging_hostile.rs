//! Message channels against guests that lie: forged handles, lists, counts and pointers.

use crate::support::wat_with;

/// The imports that hostile guests below use; `$check` traps with an error number that is not the wanted one.
const IMPORTS: &str = r#"
    (import "nodule:messaging/1" "channel" (func $channel (param i32) (result i32)))
    (import "nodule:messaging/1" "post" (func $post (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:messaging/1" "receive" (func $receive (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:messaging/1" "receive_wait" (func $receive_wait (param i32 i64) (result i32)))
    (import "nodule:messaging/1" "start" (func $start (param i32) (result i32)))
    (import "nodule:messaging/1" "mark" (func $mark (param i32 i32) (result i32)))
    (import "nodule:messaging/1" "broadcast_open" (func $open (param i32 i32 i32) (result i32)))
    (import "nodule:messaging/1" "broadcast_post" (func $broadcast (param i32 i32 i32 i32 i32) (result i32)))
    (import "nodule:event_loop/1" "close" (func $close (param i32) (result i32)))
    (import "nodule:timers/1" "set" (func $timer (param f64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $check (param $answer i32) (param $wanted i32)
        (if (i32.ne (local.get $answer) (local.get $wanted)) (then unreachable)))
    (func $simple (param $port i32) (param $message i32) (param $len i32) (result i32)
        (call $post (local.get $port) (local.get $message) (local.get $len) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 100)))
    (func $listed (param $port i32) (param $resources i32) (param $count i32) (param $list i32) (param $list_count i32)
        (result i32)
        (call $post (local.get $port) (i32.const 0) (i32.const 4) (local.get $resources) (local.get $count)
            (local.get $list) (local.get $list_count) (i32.const 0) (i32.const 100)))
"#;

/// A guest that makes a channel (handles at 8 and 12) and a timer (handle at 16), then runs `body`.
fn hostile(body: &str) {
    let text = format!(
        r#"(module {IMPORTS} (func (export "_start")
            (call $check (call $channel (i32.const 8)) (i32.const 0))
            (call $check (call $timer (f64.const 1e9) (i32.const 0) (i32.const 16)) (i32.const 0))
            {body}
            (drop (call $close (i32.load (i32.const 16))))))"#
    );
    wat_with(&[], &text).run().success().stdout("");
}

/// One call and the number it must answer.
fn check(call: &str, wanted: u32) -> String {
    format!("(call $check (call {call}) (i32.const {wanted}))")
}

const EINVAL: u32 = 22;
const EFAULT: u32 = 14;
const ERANGE: u32 = 34;
const EAGAIN: u32 = 11;
const ETIMEDOUT: u32 = 110;
const OUT_OF_RANGE: u32 = 1002;
const DATA_CLONE: u32 = 1025;
const INVALID_STATE: u32 = 1026;
const MISSING: u32 = 1032;
const INVALID_TRANSFER: u32 = 1033;
const HANDLE_CLOSED: u32 = 2001;
const QUEUE_FULL: u32 = 2012;

const FIRST: &str = "(i32.load (i32.const 8))";
const TIMER: &str = "(i32.load (i32.const 16))";

#[test]
fn forged_handles_are_refused() {
    for (handle, number) in [
        ("(i32.const 999)", HANDLE_CLOSED),
        ("(i32.const -1)", HANDLE_CLOSED),
        (TIMER, EINVAL),
    ] {
        hostile(
            &[
                check(&format!("$simple {handle} (i32.const 0) (i32.const 4)"), number),
                check(&format!("$start {handle}"), number),
                check(&format!("$receive_wait {handle} (i64.const 0)"), number),
                check(&format!("$mark {handle} (i32.const 1)"), number),
                check(
                    &format!(
                        "$receive {handle} (i32.const 200) (i32.const 64) (i32.const 104) (i32.const 0) (i32.const 0) \
                         (i32.const 108)"
                    ),
                    number,
                ),
                check(
                    &format!("$broadcast {handle} (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0)"),
                    if number == EINVAL { EINVAL } else { INVALID_STATE },
                ),
            ]
            .concat(),
        );
    }
}

#[test]
fn lists_of_handles_are_checked_before_anything_moves() {
    let timer_at = 16;
    hostile(
        &[
            // A timer does not move; nor is it a resource.
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 0) (i32.const {timer_at}) (i32.const 1)"),
                INVALID_TRANSFER,
            ),
            check(
                &format!("$listed {FIRST} (i32.const {timer_at}) (i32.const 1) (i32.const 0) (i32.const 0)"),
                DATA_CLONE,
            ),
            // The other end is no resource that clones; listed twice; the source itself; nothing at all.
            check(
                &format!("$listed {FIRST} (i32.const 12) (i32.const 1) (i32.const 0) (i32.const 0)"),
                MISSING,
            ),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1)"),
                DATA_CLONE,
            ),
            "(i32.store (i32.const 20) (i32.const 12345)) (i64.store (i32.const 24) (i64.mul \
             (i64.load32_u (i32.const 12)) (i64.const 0x100000001)))"
                .into(),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 0) (i32.const 20) (i32.const 1)"),
                DATA_CLONE,
            ),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 0) (i32.const 24) (i32.const 2)"),
                DATA_CLONE,
            ),
            check(
                &format!("$listed {FIRST} (i32.const 20) (i32.const 1) (i32.const 0) (i32.const 0)"),
                HANDLE_CLOSED,
            ),
            // Both ports are as they were.
            check(&format!("$simple {FIRST} (i32.const 0) (i32.const 4)"), 0),
            check("$receive_wait (i32.load (i32.const 12)) (i64.const -1)", 0),
        ]
        .concat(),
    );
}

#[test]
fn counts_and_pointers_out_of_range_are_refused() {
    let receive = |port: &str, arguments: &str| format!("$receive {port} {arguments}");
    let second = "(i32.load (i32.const 12))";
    hostile(
        &[
            check(&format!("$simple {FIRST} (i32.const 65535) (i32.const 2)"), EFAULT),
            check(&format!("$simple {FIRST} (i32.const -1) (i32.const 1)"), EFAULT),
            check(&format!("$simple {FIRST} (i32.const 0) (i32.const 0x0fffffff)"), EFAULT),
            check(&format!("$simple {FIRST} (i32.const 0) (i32.const -1)"), QUEUE_FULL),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 65537) (i32.const 0) (i32.const 0)"),
                OUT_OF_RANGE,
            ),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 0)"),
                EFAULT,
            ),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)"),
                OUT_OF_RANGE,
            ),
            check(
                &format!("$listed {FIRST} (i32.const 0) (i32.const 0) (i32.const 65534) (i32.const 1)"),
                EFAULT,
            ),
            check("$channel (i32.const 65532)", EFAULT),
            check("$open (i32.const 0) (i32.const 1025) (i32.const 100)", OUT_OF_RANGE),
            check("$open (i32.const 65535) (i32.const 2) (i32.const 100)", EFAULT),
            check(
                &receive(
                    second,
                    "(i32.const 0) (i32.const 0) (i32.const 104) (i32.const 0) (i32.const 0) (i32.const 108)",
                ),
                EAGAIN,
            ),
            check(&format!("$receive_wait {second} (i64.const 1000)"), ETIMEDOUT),
            check(&format!("$simple {FIRST} (i32.const 0) (i32.const 40)"), 0),
            check(
                &receive(
                    second,
                    "(i32.const 200) (i32.const 39) (i32.const 104) (i32.const 0) (i32.const 0) (i32.const 108)",
                ),
                ERANGE,
            ),
            "(call $check (i32.load (i32.const 104)) (i32.const 40))".into(),
            check(
                &receive(
                    second,
                    "(i32.const 65500) (i32.const 40) (i32.const 104) (i32.const 0) (i32.const 0) (i32.const 108)",
                ),
                EFAULT,
            ),
            check(
                &receive(
                    second,
                    "(i32.const 200) (i32.const 40) (i32.const 65534) (i32.const 0) (i32.const 0) (i32.const 108)",
                ),
                EFAULT,
            ),
            check(
                &receive(
                    second,
                    "(i32.const 200) (i32.const 40) (i32.const 104) (i32.const 0) (i32.const 0) (i32.const -1)",
                ),
                EFAULT,
            ),
            // Nothing was taken by the attempts.
            check(
                &receive(
                    second,
                    "(i32.const 200) (i32.const -1) (i32.const 104) (i32.const -1) (i32.const -1) (i32.const 108)",
                ),
                0,
            ),
        ]
        .concat(),
    );
}

#[test]
fn channels_end_at_the_limit_of_handles() {
    // With room for one more handle a channel is refused as a whole; the room is still there.
    let text = format!(
        r#"(module {IMPORTS} (func (export "_start")
            (call $check (call $channel (i32.const 8)) (i32.const 0))
            (call $check (call $channel (i32.const 16)) (i32.const 24))
            (call $check (call $open (i32.const 0) (i32.const 4) (i32.const 24)) (i32.const 0))
            (call $check (call $channel (i32.const 16)) (i32.const 24))
            (drop (call $close (i32.load (i32.const 24))))))"#
    );
    wat_with(&["--max-handles", "3"], &text).run().success();
}
