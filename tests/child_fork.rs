//! Forked modules and the messages between parent and child, in both serializations.

use crate::guests::tests;
use crate::support::{Cmd, Run, guest_with};

const SERIALIZATIONS: [&str; 2] = ["json", "advanced"];

fn fork(words: &[&str]) -> Cmd {
    guest_with(&["--allow-child"], tests::CHILD_FORK).args(words)
}

/// Runs a scenario in both serializations, which must print the same.
fn in_both(words: &[&str], expected: &str) {
    for serialization in SERIALIZATIONS {
        let setting = format!("serialization={serialization}");
        fork(words).arg(&setting).run().success().stdout(expected);
    }
}

/// The child that sends everything back says this at its end, whatever its parent says at that time.
const CHILD_END: &str = "child disconnect Ok(Some(false))\n";

/// As [`in_both`], of a scenario with the child that sends everything back.
fn with_echo(words: &[&str], expected: &str) {
    for serialization in SERIALIZATIONS {
        let setting = format!("serialization={serialization}");
        let run = fork(words).arg(&setting).run().success();
        run.check(run.stdout.replacen(CHILD_END, "", 1) == expected, expected);
        run.check(run.stdout.contains(CHILD_END), "the child heard of it");
    }
}

// proves: child_process.fork, ChildProcess.send, ChildProcess.disconnect, ChildProcess.connected
// proves: ChildProcess.event.message, ChildProcess.event.disconnect, child_process.options.serialization
// proves: process.send, process.connected, child_process.options.execArgv, child_process.options.execPath
#[test]
fn parent_and_child_talk_and_the_parent_hangs_up() {
    with_echo(
        &["echo"],
        "send true true\nspawn\nmessage one\nmessage two\ndisconnected connected=false\ndisconnect connected=false\n\
         exit 0 null code=Some(0) signal=None\nclose 0 null\n",
    );
}

// proves: child_process.ipc.flush_at_exit, ChildProcess.event.message, ChildProcess.event.exit, process.send
#[test]
fn nothing_sent_is_lost_however_a_child_ends() {
    let ends = [
        ("return", "0 null"),
        ("exit", "7 null"),
        ("trap", "1 null"),
        ("disconnect", "0 null"),
    ];
    for (end, code) in ends {
        for (count, bytes) in [("0", "0"), ("1", "10"), ("500", "2000"), ("40", "100000")] {
            for serialization in SERIALIZATIONS {
                let setting = format!("serialization={serialization}");
                let run = fork(&["last_words", end, count, bytes, &setting]).run().code(0);
                let (first, rest) = run.stdout.split_once('\n').unwrap();
                let ended: Vec<_> = rest
                    .lines()
                    .filter(|line| !line.starts_with("fd "))
                    .map(|line| line.split(" code=").next().unwrap_or_default())
                    .collect();
                let messages = format!("messages {count}");
                let expected = [
                    messages.as_str(),
                    "disconnect connected=false",
                    &format!("exit {code}"),
                    &format!("close {code}"),
                ];
                run.check(
                    first == "spawn" && ended == expected,
                    "one message is missing, or an event is out of order",
                );
            }
        }
    }
}

// proves: ChildProcess.event.message, process.event.message
#[test]
fn a_failing_listener_loses_no_message() {
    let steps = |number: u32| match number % 2 {
        0 => format!("message {number}\ntick after {number}\n"),
        _ => format!("caught odd {number}\ntick after {number}\n"),
    };
    let expected: String = (0..6).map(steps).collect();
    with_echo(&["failing"], &expected);
    // Of the child's nine the parent hears those that it did not fail on.
    let heard: String = (0..9)
        .filter(|number| number % 3 != 0)
        .map(|number| format!("message {number}\n"))
        .collect();
    in_both(&["failing_child"], &heard);
}

// proves: child_process.ipc.json
#[test]
fn values_become_json_as_in_node() {
    fork(&["kinds"]).run().success().stdout(
        "refused TypeError ERR_MISSING_ARGS The \"message\" argument must be specified\n\
         refused TypeError ERR_INVALID_ARG_TYPE The \"message\" argument must be one of type string, object, number, or boolean. \
         Received type bigint (1n)\n\
         refused TypeError - Do not know how to serialize a BigInt\n\
         refused TypeError - Converting circular structure to JSON\n\
         message Null\nmessage Bool(true)\nmessage Number(1.5)\nmessage String(\"äöü\\n🦀\")\n\
         message Object(Object([(\"n\", Null), (\"z\", Number(0.0))]))\nmessage Array([Null, Null])\n\
         message String(\"1970-01-01T00:00:00.000Z\")\n\
         message Object(Object([(\"type\", String(\"Buffer\")), (\"data\", Array([Number(1.0), Number(2.0)]))]))\n\
         message Object(Object([]))\nmessage Object(Object([]))\nmessage String(\"last\")\n\
         child disconnect Ok(Some(false))\n",
    );
}

// proves: child_process.ipc.advanced, child_process.options.serialization
#[test]
fn values_keep_their_kinds_in_advanced_mode() {
    let run = fork(&["kinds", "serialization=advanced"]).run().success();
    for part in [
        "message Object(Object([(\"u\", Undefined), (\"n\", Number(NaN)), (\"z\", Number(-0.0))]))\n",
        "message Array([Undefined, Null])\n",
        "message Date(Date(Some(0)))\n",
        "message TypedArray(TypedArray { kind: Uint8, bytes: [1, 2] })\n",
        "message Map([(String(\"k\"), Number(1.0))])\n",
        "message Set([Number(1.0)])\n",
        "message Shared(0, Array([Ref(0)]))\n",
    ] {
        run.check(run.stdout.contains(part), part);
    }
}

// proves: ChildProcess.send, ChildProcess.send_async, child_process.ipc.json, child_process.ipc.advanced
#[test]
fn large_messages_and_full_queues() {
    with_echo(&["big", "400000"], "message of 400000 units\n");
    with_echo(
        &["pressure"],
        "asked to stop true, sent some true\nrefused ERR_IPC_BACKPRESSURE\nsent after waiting\nall came back\n\
         ",
    );
    for serialization in SERIALIZATIONS {
        let setting = format!("serialization={serialization}");
        fork(&["async", "100", "1000000", &setting])
            .run()
            .success()
            .stdout_has("messages 100\ndisconnect connected=false\nexit 0 null");
    }
}

// proves: ChildProcess.send, ChildProcess.disconnect, ChildProcess.channel, ChildProcess.connected
#[test]
fn what_a_closed_channel_says() {
    with_echo(
        &["closed"],
        "connected false channel false\nsend Ok(false)\nsend_with Ok(false)\nagain Ok(())\ncalled\nspawn\n\
         error Error ERR_IPC_CHANNEL_CLOSED Channel closed\ncallback Error ERR_IPC_CHANNEL_CLOSED Channel closed\n\
         error Error ERR_IPC_DISCONNECTED IPC channel is already disconnected\ndisconnect connected=false\n\
         exit 0 null code=Some(0) signal=None\nclose 0 null\n",
    );
    with_echo(&["closed_unheard"], "again ERR_IPC_DISCONNECTED\n");
    with_echo(&["mismatch"], "error DataCloneError 25\nmessage 5\n");
}

// proves: process.event.message, process.event.disconnect, process.channel
#[test]
fn messages_wait_for_a_late_listener() {
    let run = fork(&["late", "200"]).run().success();
    run.check(
        run.stdout
            .starts_with("spawn\nmessage 0\nmessage 1\nmessage 2\ndisconnect connected=false\nexit 0 null"),
        "three messages, in order",
    );
}

// proves: ChildProcess.channel.ref, ChildProcess.channel.unref, ChildProcess.unref, process.channel.ref, process.channel.unref
#[test]
fn what_is_unrefed_keeps_nobody() {
    with_echo(&["unref"], "has_ref false\n");
    // A child that listens stays as long as its parent; one whose channel is unref'd ends by itself.
    fork(&["listen", "unref"])
        .run()
        .success()
        .stdout("spawn\ndisconnect connected=false\nexit 0 null code=Some(0) signal=None\nclose 0 null\n");
}

// proves: child_process.options.silent
#[test]
fn a_silent_child_writes_into_pipes() {
    let run = fork(&["last_words", "trap", "1", "1", "silent=true"]).run().success();
    run.check(
        run.stdout.contains("fd 1 end") && run.stdout.contains("fd 2 data\n"),
        "both are read",
    );
}

// proves: ChildProcess.event.exit, ChildProcess.signalCode, ChildProcess.exitCode
#[test]
fn a_child_may_end_by_a_signal() {
    let expected =
        "spawn\ndisconnect connected=false\nexit null SIGKILL code=None signal=Some(\"SIGKILL\")\nclose null SIGKILL\n";
    in_both(&["signal", "SIGKILL"], expected);
}

fn sequence(run: &Run) -> Vec<&str> {
    run.stdout
        .lines()
        .filter_map(|line| line.strip_prefix("message "))
        .collect()
}

// proves: ChildProcess.event.message
#[test]
fn messages_nobody_listens_for_are_let_go_and_the_end_comes() {
    for serialization in SERIALIZATIONS {
        let setting = format!("serialization={serialization}");
        let run = fork(&["unheard", &setting]).run().success();
        run.check(
            sequence(&run).is_empty() && run.stdout.ends_with("close 0 null\n"),
            "the end",
        );
    }
}
