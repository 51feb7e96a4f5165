//! Message channels: delivery, order, ends, what keeps an isolate alive.

use std::time::Duration;

use crate::guests::tests;
use crate::support::{guest, node};

/// The order of the ends of channels as a script of Node.
const CLOSE_IN_NODE: &str = r#"
    const { MessageChannel, receiveMessageOnPort } = require('node:worker_threads');
    const say = (text) => () => console.log(text);
    function postsThenClose(next) {
        const { port1, port2 } = new MessageChannel();
        port2.on('message', (number) => console.log(`message ${number}`));
        port1.on('close', say('closer: close'));
        port2.on('close', () => { console.log('peer: close'); setImmediate(next); });
        port1.postMessage(1);
        port1.postMessage(2);
        port1.close(say('closer: callback'));
        console.log('close returned');
        port1.postMessage(3);
        port2.postMessage(4);
    }
    function closeInAHandler(next) {
        const { port1, port2 } = new MessageChannel();
        port2.on('message', (number) => {
            console.log(`in handler: message ${number}`);
            port2.close();
            port2.close();
        });
        port2.on('close', () => { console.log('in handler: own close'); setImmediate(next); });
        for (let number = 1; number <= 3; number++) port1.postMessage(number);
    }
    postsThenClose(() => closeInAHandler(() => {
        const { port1, port2 } = new MessageChannel();
        port1.postMessage('still here');
        port1.close();
        console.log(`after close: ${receiveMessageOnPort(port2).message} ${receiveMessageOnPort(port2)}`);
        console.log(`has_ref ${port1.hasRef()}`);
    }));
"#;

// proves: MessagePort.close, MessagePort.event.close, MessagePort.hasRef
#[test]
fn close_comes_after_what_is_queued_as_in_node() {
    let run = guest(tests::MESSAGING_CLOSE).run().success();
    let same = "close returned\nmessage 1\nmessage 2\ncloser: close\ncloser: callback\npeer: close\n\
        in handler: message 1\nin handler: message 2\nin handler: message 3\nin handler: own close\n\
        after close: still here undefined\nhas_ref false\n";
    if let Some(node) = node(&["-e", CLOSE_IN_NODE]) {
        node.run().success().stdout(same);
    }
    run.stdout(&format!("{same}dropped end: close after 2 messages\n"));
}

// proves: MessageChannel, MessageChannel.port1, MessageChannel.port2, MessagePort, MessagePort.postMessage
// proves: MessagePort.event.message, MessagePort.event.messageerror, MessagePort.ref, MessagePort.unref
// proves: MessagePort.start, MessagePort.onmessageerror
// proves: MessagePort.onmessage, worker_threads.receiveMessageOnPort, worker_threads.receiveMessageOnPortTimeout
#[test]
fn ports_deliver_keep_alive_and_decode() {
    guest(tests::MESSAGING_PORT).run().success().stdout(
        "new: has_ref false\nlistening: has_ref true\nunref'd: has_ref false\nref'd: has_ref true\n\
         removed true, has_ref false\nqueued Some(1)\nempty None\nundefined Some(Undefined)\n\
         onmessage: has_ref true\ncleared: has_ref false\n\
         started: None\nonmessageerror: DataCloneError\nonmessage: 2 0\nstopped: Some(3)\n\
         unlisted: TypeError [ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST]: Object that needs transfer was found in \
         message but not listed in transferList, true\n\
         moved: MessagePort { is_open: false, .. }\nwaited None\nthere Some(5)\nclosed None\n\
         once: Some(\"one\")\ntyped: one [1.0, -0.0]\nvalue: Some(\"one\")\nvalue: Some(\"no numbers\")\n\
         messageerror: DataCloneError Some(\"25\")\ntyped: two [1.0, -0.0]\nvalue: Some(\"two\")\n\
         with 1 port(s), the same: true\nanswer to question\n",
    );
}

// proves: clone.primitives, clone.bigint, clone.object, clone.array, clone.map_set, clone.date, clone.regexp
// proves: clone.boxed, clone.error, clone.arraybuffer, clone.typed_array, clone.identity, clone.module
// proves: clone.uncloneable, worker_threads.structuredClone, worker_threads.markAsUncloneable
#[test]
fn every_kind_of_value_arrives_as_it_was() {
    let run = guest(tests::MESSAGING_CLONE).run().success();
    run.check(!run.stdout.contains("became"), "no value changes on its way");
    run.stdout(include_str!("golden/messaging_clone.txt"));
}

// proves: transfer.MessagePort, transfer.ArrayBuffer, worker_threads.markAsUntransferable
// proves: worker_threads.isMarkedAsUntransferable
#[test]
fn transfers_move_everything_or_nothing() {
    guest(tests::MESSAGING_TRANSFER)
        .run()
        .code(0)
        .stdout(include_str!("golden/messaging_transfer.txt"))
        .stderr_has("Warning: The target port was posted to itself, and the communication channel was lost");
}

/// The texts of refused transfers as a script of Node; what a list may hold differs, so only those of ports.
const REFUSALS_IN_NODE: &str = r#"
    const { MessageChannel } = require('node:worker_threads');
    const shown = (what, f) => {
        try { f(); console.log(`${what}: posted`); } catch (error) {
            console.log(`${what}: ${error.name} Some("${error.code}") ${error.message}`);
        }
    };
    const { port1 } = new MessageChannel();
    const other = new MessageChannel();
    const buffer = new ArrayBuffer(3);
    shown('duplicate buffer', () => port1.postMessage(0, [buffer, other.port1, buffer]));
    shown('duplicate port', () => port1.postMessage(0, [buffer, other.port1, other.port1]));
    shown('source port', () => port1.postMessage(0, [buffer, port1]));
    port1.postMessage(0, [other.port2]);
    shown('closed port', () => port1.postMessage(0, [buffer, other.port2]));
    const gone = new ArrayBuffer(1);
    port1.postMessage(0, [gone]);
    shown('again', () => port1.postMessage(gone));
"#;

#[test]
fn refusals_read_as_in_node() {
    let ours = include_str!("golden/messaging_transfer.txt");
    let Some(node) = node(&["-e", REFUSALS_IN_NODE]) else {
        return;
    };
    let node = node.run().success();
    for line in node.stdout.lines() {
        node.check(ours.lines().any(|ours| ours == line), &format!("{line:?} here as well"));
    }
}

/// One property of the guest, which checks it over 10,000 rounds.
fn property(name: &str, expected: &str) {
    guest(tests::MESSAGING_PROPERTIES)
        .arg(name)
        .run()
        .success()
        .stdout(expected);
}

// O5
#[test]
fn messages_keep_their_order_whoever_reads() {
    property("fifo", "fifo: 10013 of 10013 messages in order\n");
}

// O6
#[test]
fn close_is_last_and_once() {
    property("close", "close: 10000 rounds, 20000 closes\n");
}

// O10
#[test]
fn a_failed_transfer_changes_nothing() {
    property("transfer", "transfer: 10000 rounds, both outcomes often: true\n");
}

// O16
#[test]
fn a_failing_listener_loses_nothing() {
    property("failing", "failing: 10000 messages, 10000 ticks, true\n");
}

// proves: MessagePort.postMessageAsync, MessagePort.event.drain
#[test]
fn queues_are_bounded_and_turns_are_shared() {
    guest(tests::MESSAGING_PRESSURE)
        .time_limit(Duration::from_secs(180))
        .run()
        .success()
        .stdout(
            "above the mark after 65536 messages\ndrains 0 while nobody reads\n\
             drains 1 when it was read, room true\nsent without a reader: 4\nsent 20, received 20\n\
             other port after at most 1000: true\ntimer fired although the port went on: true\n\
             innermost closed: true\nstale events are bounded: true\nposted within the bound: true\nrefused true\n\
             memory within the bound: true\naccepted again: Ok(true)\n\
             a message beyond the bound: Some(\"ERR_WORKER_QUEUE_FULL\")\n",
        );
}

// proves: BroadcastChannel, BroadcastChannel.name, BroadcastChannel.onmessage, BroadcastChannel.onmessageerror
// proves: BroadcastChannel.postMessage, BroadcastChannel.close, BroadcastChannel.ref, BroadcastChannel.unref
// proves: BroadcastChannel.event.message, BroadcastChannel.event.messageerror
#[test]
fn broadcasts_have_one_order_and_lose_nothing_silently() {
    guest(tests::MESSAGING_BROADCAST).run().success().stdout(
        "c2:1 tick c3:1 tick c2:2 tick c3:2 tick c1:3 tick c3:3 tick\nc3:4 c3:5 c3:6\n\
         InvalidStateError Some(\"11\") BroadcastChannel is closed.\nname another name, null null\n\
         Some(2) Some(1) None None\nSome(3) None\nport: ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST\n\
         one order: true\nfast 300, slow 256, \
         lost [\"ERR_WORKER_QUEUE_FULL 45 messages were lost: the queue of the channel was full\"]\n\
         messageerror 25\n",
    );
}
