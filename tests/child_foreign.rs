//! Guests and Node as each other's parents and children: the same traces, handles both ways, nothing overtakes.

use crate::children::{IN_NODE, in_node};
use crate::guests::tests;
use crate::support::{Cmd, Run, binary, first_difference, guest_with, node};

/// The directory of the test programs, to read.
fn modules() -> String {
    let directory = tests::CHILD_FORK.path();
    format!("--dir={}:ro", directory.parent().unwrap().display())
}

/// What the parent tells. The child says things on its own, at any time.
fn told(run: &Run) -> String {
    let lines = run.stdout.lines().filter(|line| !line.starts_with("child "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A scenario of `child_fork` with a guest and Node in each part: guest and guest, Node and Node, guest and Node, Node and
/// guest. `None` without Node.
fn in_all_parts(line: &[&str]) -> Option<[Run; 4]> {
    let guest = |flags: &[&str]| guest_with(flags, tests::CHILD_FORK).args(line);
    let module = format!("module={}", tests::CHILD_FORK.path().display());
    let node_and_guest = in_node("child_fork", line)?.args([&format!("execPath={}", binary().display()), &module]);
    let guest_and_node = guest(&["--allow-run=node"]).file("child_process.cjs", IN_NODE);
    let commands: [Cmd; 4] = [
        guest(&["--allow-child", &modules()]),
        in_node("child_fork", line)?,
        guest_and_node.args(["execPath=node", "module=./child_process.cjs"]),
        node_and_guest,
    ];
    Some(commands.map(|command| command.run().code(0)))
}

// proves: child_process.ipc.node_parent, child_process.ipc.node_child, child_process.fork
#[test]
fn traces_do_not_tell_who_is_the_parent_and_who_the_child() {
    for line in [
        &["echo"][..],
        &["late", "50"],
        &["last_words", "return", "5", "1000"],
        &["last_words", "exit", "5", "100000"],
        &["last_words", "disconnect", "5", "1000"],
        &["unheard"],
        &["failing_child"],
        &["signal", "SIGTERM"],
        &["signal", "SIGKILL"],
        &["listen", "unref"],
    ] {
        let Some(runs) = in_all_parts(line) else { return };
        let expected = told(&runs[0]);
        runs[0].check(expected.contains("\n"), "there is a trace");
        for (part, run) in runs.iter().enumerate() {
            let mut shown = told(run);
            // Node does not emit 'close' when the parent has hung up.
            let is_node = part % 2 == 1;
            if is_node && matches!(line[0], "echo" | "late") && !shown.contains("close") {
                shown += "close 0 null\n";
            }
            let difference = first_difference(&expected, &shown).unwrap_or_default();
            run.check(
                shown == expected,
                &format!("another trace in part {part}\n{difference}"),
            );
        }
    }
}

/// Node that forks the guest `ipc_peer` and does something with it; `None` without Node.
fn parent(scenario: &str) -> Option<Cmd> {
    let command = node(&["ipc_parent.cjs", scenario])?;
    let script = include_str!("scripts/ipc_parent.cjs");
    let command = command.file("ipc_parent.cjs", script).arg(binary());
    Some(command.arg(tests::IPC_PEER.path()))
}

/// Fails unless Node tells just this between the first message of its child and the end, and the guest says that at its.
fn conversation(scenario: &str, expected: &str, said: &str, end: &str) {
    let Some(parent) = parent(scenario) else { return };
    let run = parent.run().success();
    let mut lines: Vec<_> = run.stdout.lines().collect();
    // When the output of a child has ended, and when it has itself, is not promised.
    lines.retain(|line| !line.starts_with("said ") && !line.starts_with("exit ") && *line != "disconnect");
    let shown: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let expected = format!("{{\"ready\":true}}\n{expected}");
    let difference = first_difference(&expected, &shown);
    run.check(difference.is_none(), &difference.unwrap_or_default());
    run.check(
        run.stdout.contains(&format!("said {said:?}\n")),
        &format!("it says {said:?}"),
    );
    let end = format!("exit {end}");
    run.check(run.stdout.lines().any(|line| line == end), &end);
    run.check(
        run.stdout.lines().filter(|line| *line == "disconnect").count() == 1,
        "one end",
    );
}

// proves: child_process.ipc.node_parent, child_process.ipc.json, process.send, process.disconnect
#[test]
fn node_talks_with_a_guest_and_sees_its_end() {
    conversation(
        "messages",
        "{\"echo\":1}\n{\"echo\":\"two\"}\n{\"echo\":null}\n{\"echo\":true}\n{\"echo\":{\"a\":[null,\"ä\\n\"]}}\n\
         {\"echo\":[0,1.5]}\nconnected false\n",
        "disconnect after 6\nexit 0\n",
        "0 ",
    );
    conversation(
        "text",
        "400000 true\n400000 true\n",
        "disconnect after 2\nexit 0\n",
        "0 ",
    );
    conversation(
        "child_disconnect",
        "",
        "connected Some(false)\ndisconnect after 1\nexit 0\n",
        "0 ",
    );
    conversation("exit", "", "exit 7\n", "7 ");
    conversation("panic", "", "exit 1\n", "1 ");
    conversation("signal", "", "", " SIGTERM");
    conversation("killed", "kill true\n", "", " SIGKILL");
    conversation("ref", "{\"hasRef\":true}\n{\"hasRef\":false}\n", "exit 0\n", "0 ");
    conversation("env", "{\"env\":[null,null]}\n", "disconnect after 1\nexit 0\n", "0 ");
    conversation(
        "callback",
        "\"with a callback\"\n{\"written\":true}\n",
        "disconnect after 1\nexit 0\n",
        "0 ",
    );
}

// proves: child_process.ipc.node_parent, child_process.ipc.flush_at_exit
#[test]
fn thousands_of_messages_come_in_order_and_before_the_end() {
    conversation("count", "seen 5000\n", "exit 0\n", "0 ");
    conversation("flood", "seen 5000\n", "disconnect after 5000\nexit 0\n", "0 ");
}

// proves: child_process.handle.net.Server, child_process.handle.net.Socket, child_process.handle.dgram.Socket
// proves: child_process.handle.net.Native, child_process.options.keepOpen
#[test]
fn handles_serve_after_they_went_to_a_guest_and_back() {
    let said = "disconnect after 1\nexit 0\n";
    let back = |text: &str, kind: &str| format!("{{\"echo\":\"{text}\",\"kind\":\"{kind}\"}}");
    let server = format!(
        "{} true true\nfrom the server that came back\n",
        back("a server", "net.Server")
    );
    conversation("server", &server, said, "0 ");
    let socket = format!(
        "{} true\nover the socket that came back\n",
        back("a socket", "net.Socket")
    );
    conversation("socket", &socket, said, "0 ");
    let datagrams = format!("{} true true\na datagram\n", back("a datagram socket", "dgram.Socket"));
    conversation("dgram", &datagrams, said, "0 ");
    let native = format!("{}\nfrom the raw handle\n", back("a raw handle", "net.Native"));
    conversation("native", &native, said, "0 ");
    // Kept open it can be sent once more, and then no more.
    let kept = "{\"echo\":{\"keep\":true},\"kind\":\"net.Server\"} true\n";
    conversation(
        "keep",
        &kept.repeat(2),
        "kept net.Server\ngiven away ERR_HANDLE_CLOSED\ndisconnect after 1\nexit 0\n",
        "0 ",
    );
    // Sixty messages, every third with a handle, and as many back.
    conversation("mixed", "in order true\n", "disconnect after 60\nexit 0\n", "0 ");
}

// proves: child_process.ipc.node_child, child_process.options.execPath
#[test]
fn node_is_the_child_of_a_guest() {
    let guest = |line: &[&str]| {
        let command = guest_with(&["--allow-run=node"], tests::CHILD_FORK).file("child_process.cjs", IN_NODE);
        command
            .args(line)
            .args(["execPath=node", "module=./child_process.cjs"])
            .run()
    };
    if node(&[]).is_none() {
        return;
    }
    // Letters of two bytes each, there and back.
    guest(&["big", "400000"])
        .success()
        .stdout_has("message of 400000 units\n");
    guest(&["last_words", "trap", "3", "1000"])
        .code(0)
        .stdout_has("messages 3\n");
    guest(&["failing_often"])
        .success()
        .stdout_has("caught 286 seen 1000 ticks 1000\n");
    // It does not understand clones of another make, and ends of it.
    let run = guest(&["echo", "serialization=advanced"]).code(0);
    run.stderr_has("Unable to deserialize cloned data")
        .stdout_has("disconnect connected=false\nexit 1 null code=Some(1) signal=None\nclose 1 null\n");
}
