//! A real Node as parent and as child of a module.

use crate::guests::tests;
use crate::support::{Cmd, binary, cache_directory, guest_with, node};

/// Node that runs a script with these variables: where nodule is, and the guest that answers its parent.
fn parent(script: &str) -> Option<Cmd> {
    let command = node(&["parent.mjs"])?;
    Some(
        command
            .file("parent.mjs", script)
            .env("NODULE", binary())
            .env("PEER", tests::IPC_PEER.path())
            .env("NODULE_CACHE_DIR", cache_directory()),
    )
}

/// A module that forks this script.
fn child(words: &[&str], script: &str) -> Option<Cmd> {
    node(&[])?;
    let command = guest_with(&["--allow-run=node"], tests::CHILD_SCRIPT).args(words);
    let command = command.file("child.cjs", script);
    Some(command.args(["execPath=node", "--", "./child.cjs"]))
}

const EVENTS: &str = r#"
    import { fork } from 'node:child_process';
    const child = fork(process.env.PEER, process.argv.slice(2), { execPath: process.env.NODULE, execArgv: ['run'] });
    for (const name of ['spawn', 'disconnect', 'exit', 'close', 'error']) {
        child.on(name, (...values) => console.log(name, ...values));
    }
    const shown = (message) => {
        const text = JSON.stringify(message);
        return text.length > 200 ? `${text.length} units` : text;
    };
    child.on('message', (message) => console.log('message', shown(message)));
"#;

// proves: child_process.ipc.node_parent, child_process.ipc.env, child_process.ipc.json, process.send, process.event.message
#[test]
fn node_forks_a_module() {
    let script = EVENTS.to_owned()
        + r#"
        child.send('text äöü');
        child.send({ list: [1, null, { a: 'b' }] });
        child.send('ä'.repeat(400_000));
        child.send({ do: 'text', n: 400_000 });
        child.send({ do: 'env' });
        child.send({ do: 'count_and_exit', n: 3 });
    "#;
    let Some(node) = parent(&script) else { return };
    let run = node.run().success();
    let lines: Vec<_> = run.stdout.lines().filter(|line| *line != "exit 0").collect();
    let expected = [
        "spawn",
        "message {\"ready\":true}",
        "message {\"echo\":\"text äöü\"}",
        "message {\"echo\":{\"list\":[1,null,{\"a\":\"b\"}]}}",
        "message 400011 units",
        "message 400011 units",
        "message {\"env\":[null,null]}",
        "message {\"index\":0}",
        "message {\"index\":1}",
        "message {\"index\":2}",
        "disconnect",
        "exit 0 null",
        "close 0 null",
    ];
    run.check(lines == expected, &format!("{expected:#?}"));
}

// proves: child_process.ipc.node_parent, process.event.disconnect, process.disconnect, process.channel.unref
#[test]
fn either_side_hangs_up() {
    let by_parent = EVENTS.to_owned() + "child.on('message', () => child.disconnect());";
    let Some(node) = parent(&by_parent) else { return };
    let run = node.run().success().stdout_has("disconnect after 0\n");
    run.check(run.stdout.contains("exit 0 null"), "the child ended by itself");
    let by_child = EVENTS.to_owned() + "child.send({ do: 'disconnect' });";
    let Some(node) = parent(&by_child) else { return };
    node.run()
        .success()
        .stdout_has("connected Some(false)\n")
        .stdout_has("disconnect\n")
        .stdout_has("exit 0 null\n");
}

// proves: child_process.ipc.node_parent
#[test]
fn node_sees_how_a_module_ends() {
    let ends = [
        ("{ do: 'exit', code: 7 }", "exit 7 null"),
        ("{ do: 'panic' }", "exit 1 null"),
        ("{ do: 'kill', signal: 'SIGTERM' }", "exit null SIGTERM"),
        ("{ do: 'kill', signal: 'SIGKILL' }", "exit null SIGKILL"),
    ];
    for (message, end) in ends {
        let script = EVENTS.to_owned() + &format!("child.send({message});");
        let Some(node) = parent(&script) else { return };
        node.run().code(0).stdout_has(end);
    }
}

// proves: child_process.handle.net.Server, child_process.handle.net.Socket, child_process.handle.dgram.Socket
// proves: child_process.options.keepOpen
#[test]
fn handles_go_to_a_module_and_come_back() {
    let script = EVENTS.to_owned()
        + r#"
        import net from 'node:net';
        import dgram from 'node:dgram';
        const server = net.createServer().listen(0, '127.0.0.1', () => {
            child.send('server', server);
            child.once('message', () => child.on('message', back));
        });
        let socket;
        const back = (message, handle) => {
            if (!message.kind) return;
            console.log('back', message.echo, message.kind);
            if (message.echo === 'server') return greet(handle);
            if (message.echo === 'socket') {
                handle.end('through the child');
                socket = dgram.createSocket('udp4').bind(0, '127.0.0.1', () => child.send('datagrams', socket));
                return;
            }
            console.log('bound', handle.address().port > 0);
            handle.close();
            socket.close();
            child.disconnect();
        };
        // The listener that came back accepts; what it accepts goes through the child, too.
        const greet = (listener) => {
            listener.on('connection', (socket) => {
                listener.close();
                child.send('socket', socket);
            });
            server.close();
            const client = net.connect(listener.address().port, '127.0.0.1').setEncoding('utf8');
            client.on('data', (text) => console.log('client got', text));
        };
    "#;
    let Some(node) = parent(&script) else { return };
    node.run()
        .success()
        .stdout_has("back server net.Server\n")
        .stdout_has("back socket net.Socket\n")
        .stdout_has("back datagrams dgram.Socket\nbound true\n")
        .stdout_has("client got through the child\n")
        .stdout_has("exit 0 null\n");
}

const ECHO: &str = "
    process.on('message', (message) => process.send(message));
    process.on('disconnect', () => console.log('node: disconnect', process.connected));
    process.send(Object.keys(process.env).filter((name) => name.startsWith('NODE_CHANNEL')));
";

// proves: child_process.ipc.node_child, child_process.ipc.json, child_process.fork, child_process.options.execPath
#[test]
fn a_module_forks_a_script() {
    let Some(command) = child(&["hang_up", "large"], ECHO) else {
        return;
    };
    let run = command.run().success().stdout_has("node: disconnect false\n");
    // Both write to the same output: who hears first of the end is open.
    let told = run.stdout.replacen("node: disconnect false\n", "", 1);
    run.check(
        told == "spawn\nmessage Array([])\nmessage String(\"text äöü\")\n\
                 message Object(Object([(\"list\", Array([Number(1.0), Null]))]))\nmessage of 400000 units\n\
                 message String(\"last\")\ndisconnect connected=false\n\
                 exit 0 null code=Some(0) signal=None\nclose 0 null\n",
        "messages, then the end",
    );
}

// proves: child_process.ipc.node_child, ChildProcess.event.exit, ChildProcess.event.disconnect
#[test]
fn a_module_sees_how_a_script_ends() {
    let ends = [
        (
            "process.exit(7)",
            "disconnect connected=false\nexit 7 null code=Some(7) signal=None\nclose 7 null\n",
        ),
        (
            "process.kill(process.pid, 'SIGKILL')",
            "disconnect connected=false\nexit null SIGKILL code=None signal=Some(\"SIGKILL\")\nclose null SIGKILL\n",
        ),
        (
            "process.disconnect()",
            "disconnect connected=false\nexit 0 null code=Some(0) signal=None\nclose 0 null\n",
        ),
    ];
    for (end, expected) in ends {
        let script = format!("process.on('message', (message) => {{ if (message === 'last') {end}; }});");
        let Some(command) = child(&[], &script) else { return };
        command.run().success().stdout(&format!("spawn\n{expected}"));
    }
}

// proves: child_process.ipc.internal_prefix
#[test]
fn internal_messages_are_kept_from_listeners() {
    let script = "
        process.on('message', (message) => {
            if (message !== 'last') return;
            process.send({ cmd: 'NODE_whatever', a: 1 });
            process.send({ cmd: 'NODE_' });
            process.send({ cmd: 'other' });
            process.disconnect();
        });
    ";
    let Some(command) = child(&[], script) else { return };
    let run = command.run().success();
    let messages: Vec<_> = run.stdout.lines().filter(|line| line.starts_with("message")).collect();
    let expected = ["NODE_", "other"].map(|name| format!("message Object(Object([(\"cmd\", String(\"{name}\"))]))"));
    run.check(messages == expected, "the first one is internal");
}
