//! Channels to a peer that is this test, or a program that keeps to nothing; what a channel survives.

use std::io::{BufRead as _, BufReader, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::guests::tests;
use crate::support::{Cmd, Run, Running, guest, guest_with};

/// A fork of the program by itself.
fn forked(line: &[&str]) -> Cmd {
    let directory = tests::CHILD_FORK.path();
    let read = format!("--dir={}:ro", directory.parent().unwrap().display());
    guest_with(&["--allow-child", &read], tests::CHILD_FORK).args(line)
}

/// Both ways to write messages.
const SERIALIZATIONS: [&str; 2] = ["serialization=json", "serialization=advanced"];

/// Runs it both ways. What the child says goes to the same output, at any time, and is left out.
#[track_caller]
fn both(line: &[&str], expected: &str) {
    for serialization in SERIALIZATIONS {
        let run = forked(line).arg(serialization).run().success();
        let lines = run.stdout.lines().filter(|line| !line.starts_with("child "));
        let shown: String = lines.map(|line| format!("{line}\n")).collect();
        run.check(shown == expected, &format!("{expected}expected, there is\n{shown}"));
    }
}

// proves: ChildProcess.send
#[test]
fn a_callback_hears_that_a_message_was_written() {
    for serialization in SERIALIZATIONS {
        let run = forked(&["callback", serialization]).run().code(0);
        run.check(
            run.stdout.starts_with("called\nwritten true\n"),
            "not before the call returned",
        );
    }
}

// proves: child_process.ipc.flush_at_exit, ChildProcess.event.message, ChildProcess.event.disconnect
// proves: ChildProcess.event.exit, ChildProcess.event.close, process.send
#[test]
fn last_words_are_heard_however_a_child_ends() {
    for (count, bytes) in [("1000", "20"), ("60", "300000"), ("3", "4194304")] {
        for (end, code) in [("return", 0), ("exit", 7), ("trap", 1), ("disconnect", 0)] {
            for serialization in SERIALIZATIONS {
                let run = forked(&["last_words", end, count, bytes, serialization]).run().code(0);
                run.stdout(&format!(
                    "spawn\nmessages {count}\ndisconnect connected=false\n\
                     exit {code} null code=Some({code}) signal=None\nclose {code} null\n"
                ));
            }
        }
    }
}

// proves: ChildProcess.event.message, process.event.message
#[test]
fn a_listener_that_fails_loses_no_message() {
    both(&["failing_often"], "caught 286 seen 1000 ticks 1000\n");
}

// proves: child_process.options.silent, child_process.options.stdio, child_process.options.execArgv
// proves: child_process.options.execPath
#[test]
fn a_fork_has_the_streams_and_options_it_is_given() {
    let run = forked(&["last_words", "return", "1", "1", "silent=true"])
        .run()
        .success();
    run.stdout_has("fd 1 end bytes \"\"\n")
        .stdout_has("fd 2 end bytes \"\"\n");
    let run = forked(&["last_words", "return", "1", "1", "stdio=[ignore,pipe,inherit,null,ipc]"]).run();
    run.success()
        .stdout_has("fd 1 end bytes \"\"\n")
        .stdout_has("messages 1\n");
    let directory = tests::CHILD_GRANTS.path();
    let read = format!("--dir={}:ro", directory.parent().unwrap().display());
    let flags = ["--allow-child", &read, "--no-deprecation"];
    let options = |line: &[&str]| guest_with(&flags, tests::CHILD_GRANTS).args(line).run().success();
    options(&["fork", "--", "probe", "argv"]).stdout_has("\"--no-deprecation\"]\n");
    options(&["fork", "execArgv=[--no-warnings]", "--", "probe", "argv"]).stdout_has(" [\"--no-warnings\"]\n");
    options(&["fork", "execArgv=[]", "--", "probe", "argv"]).stdout_has(" []\n");
    // Its own binary, by another name.
    let link = tempfile::TempDir::new().unwrap();
    let path = link.path().join("another");
    std::os::unix::fs::symlink(crate::support::binary(), &path).unwrap();
    options(&["fork", &format!("execPath={}", path.display()), "--", "probe", "child"])
        .stdout("child: true\nended Some(0) None\n");
}

/// A process whose parent is this test: it says what it hears of its channel on its error output.
struct Peer {
    socket: UnixStream,
    /// The same, read in large pieces: a process that ends does not wait long for one who takes nothing.
    reader: BufReader<UnixStream>,
    running: Running,
}

impl Peer {
    fn start(serialization: &str, arguments: &[&str]) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // Its output is the socket until the shell has given that another number.
        let script = "exec 9>&1 1>&2; NODE_CHANNEL_FD=9 exec \"$0\" \"$@\"";
        let command = guest(tests::IPC_PEER).args(arguments).through_shell(script);
        let command = command.env("NODE_CHANNEL_SERIALIZATION_MODE", serialization);
        let running = command.stdout_to(theirs).start();
        let reader = BufReader::with_capacity(1 << 16, socket.try_clone().unwrap());
        Self {
            socket,
            reader,
            running,
        }
    }

    fn json() -> Self {
        let mut peer = Self::start("json", &[]);
        assert_eq!(peer.line(), "{\"ready\":true}");
        peer
    }

    fn advanced() -> Self {
        let mut peer = Self::start("advanced", &[]);
        assert_eq!(peer.frame(), b"\xd9\xd9\xf7\xa1\x65ready\xf5");
        peer
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a line with a descriptor on its first byte.
    fn send_with(&mut self, line: &str, fd: BorrowedFd<'_>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let bytes = [IoSlice::new(line.as_bytes())];
        let sent = sendmsg(&self.socket, &bytes, &mut control, SendFlags::empty()).unwrap();
        assert_eq!(sent, line.len());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.strip_suffix('\n').expect("a whole line").to_owned()
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        self.reader.read_exact(&mut len).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        self.reader.read_exact(&mut frame).unwrap();
        frame
    }

    /// Waits until the other side has closed it; then for the end of the process.
    fn closed(mut self) -> Run {
        let mut rest = Vec::new();
        // It is reset when the other side had not read all.
        let _ = self.reader.read_to_end(&mut rest);
        self.running.wait()
    }

    /// Hangs up.
    fn hang_up(self) -> Run {
        drop((self.socket, self.reader));
        self.running.wait()
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    [&len.to_be_bytes(), payload].concat()
}

// proves: child_process.ipc.json, child_process.ipc.internal_prefix, child_process.ipc.env
#[test]
fn lines_are_messages_however_they_come() {
    let mut peer = Peer::json();
    peer.send("1\n\"two\"\n\n\n[3]\n");
    for expected in ["{\"echo\":1}", "{\"echo\":\"two\"}", "{\"echo\":[3]}"] {
        assert_eq!(peer.line(), expected);
    }
    // Byte for byte, within letters, too.
    for byte in "{\"a\":\"ä🦀\"}\n".bytes() {
        peer.send([byte]);
    }
    assert_eq!(peer.line(), "{\"echo\":{\"a\":\"ä🦀\"}}");
    // What hosts tell each other is not for the guest; the prefix alone is none of that.
    peer.send("{\"cmd\":\"NODE_UNKNOWN\"}\n{\"cmd\":\"NODE_HANDLE_ACK\"}\n{\"cmd\":\"NODE_HANDLE_NACK\"}\n{\"cmd\":\"NODE_\"}\n");
    assert_eq!(peer.line(), "{\"echo\":{\"cmd\":\"NODE_\"}}");
    // A handle that did not come is asked for again.
    peer.send("{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":\"m\"}\n");
    assert_eq!(peer.line(), "{\"cmd\":\"NODE_HANDLE_NACK\"}");
    peer.send("{\"do\":\"env\"}\n");
    assert_eq!(peer.line(), "{\"env\":[null,null]}");
    let text = "x".repeat(5_000_000);
    let mut writer = peer.socket.try_clone().unwrap();
    let sent = format!("\"{text}\"\n");
    let writing = std::thread::spawn(move || writer.write_all(sent.as_bytes()).unwrap());
    assert_eq!(peer.line().len(), text.len() + "{\"echo\":\"\"}".len());
    writing.join().unwrap();
    peer.hang_up().code(0).stderr("disconnect after 7\nexit 0\n");
}

// proves: child_process.ipc.advanced
#[test]
fn frames_are_messages_however_they_come() {
    let mut peer = Peer::advanced();
    let frames = [frame(b"\xd9\xd9\xf7\x05"), frame(b"\xd9\xd9\xf7\x65hello")].concat();
    peer.send(&frames);
    assert_eq!(peer.frame(), b"\xd9\xd9\xf7\xa1\x64echo\x05");
    assert_eq!(peer.frame(), b"\xd9\xd9\xf7\xa1\x64echo\x65hello");
    for byte in &frames {
        peer.send([*byte]);
    }
    assert_eq!(peer.frame(), b"\xd9\xd9\xf7\xa1\x64echo\x05");
    assert_eq!(peer.frame(), b"\xd9\xd9\xf7\xa1\x64echo\x65hello");
    // One that is cut off is an error of that message only.
    peer.send([frame(b"\xd9\xd9\xf7\x65hel"), frame(b"\xd9\xd9\xf7\x06")].concat());
    assert_eq!(peer.frame(), b"\xd9\xd9\xf7\xa1\x64echo\x06");
    peer.hang_up()
        .code(0)
        .stderr_has("error DataCloneError 25 ")
        .stderr_has("disconnect after 5\nexit 0\n");
}

// proves: child_process.ipc.advanced, child_process.ipc.json
#[test]
fn a_peer_that_keeps_to_nothing_loses_its_channel() {
    let mismatch = "ERR_IPC_CODEC_MISMATCH the other side sent what is no message";
    for (bytes, error) in [
        (frame(b"\xff\x0f\"\x01a"), mismatch),
        (frame(b""), mismatch),
        (frame(b"{}"), mismatch),
        (
            vec![0xff; 1000],
            "ERR_IPC_MESSAGE_TOO_LARGE the message is larger than 512 MiB",
        ),
    ] {
        let mut peer = Peer::advanced();
        peer.send(bytes);
        let run = peer.closed().code(0);
        run.stderr_has(error).stderr_has("disconnect after 0\nexit 0\n");
    }
    for (bytes, error) in [
        (&b"not json\n"[..], "SyntaxError - Unexpected token"),
        (b"{\"a\":\n", "SyntaxError - Unexpected end of JSON input"),
        (b"\"\xff\xfe\"\n", mismatch),
        (b"\0\n", "SyntaxError"),
    ] {
        let mut peer = Peer::json();
        peer.send(bytes);
        peer.closed().code(0).stderr_has(error).stderr_has("\nexit 0\n");
    }
    // What is nested too deeply is an error of that message only.
    let mut peer = Peer::json();
    peer.send([vec![b'['; 200_000], vec![b']'; 200_000], b"\n1\n".to_vec()].concat());
    assert_eq!(peer.line(), "{\"echo\":1}");
    peer.hang_up().code(0).stderr_has("nested too deeply");
}

// proves: process.event.disconnect, process.connected
#[test]
fn a_peer_may_leave_at_any_moment() {
    // Before anything was said, and in the middle of it.
    let peer = Peer::start("json", &[]);
    let run = peer.hang_up();
    run.check(run.code.is_some(), "it ends by itself");
    for bytes in [&b"{\"a\":"[..], b"1\n{", b"\"\xc3"] {
        let mut peer = Peer::json();
        peer.send(bytes);
        peer.hang_up()
            .code(0)
            .stderr_has("disconnect after ")
            .stderr_has("exit 0\n");
    }
    for bytes in [&b"\0"[..], b"\0\0\0\x09\xd9\xd9", b"\0\xff\xff\xff\xd9\xd9\xf7"] {
        let mut peer = Peer::advanced();
        peer.send(bytes);
        peer.hang_up().code(0).stderr("disconnect after 0\nexit 0\n");
    }
    // Who does not read is not waited for once he is gone.
    let mut peer = Peer::json();
    peer.send("{\"do\":\"text\",\"n\":3000000}\n");
    peer.hang_up().code(0).stderr_has("exit 0\n");
    // A guest with something else to do goes on without it.
    let mut peer = Peer::start("json", &["hold"]);
    assert_eq!(peer.line(), "{\"ready\":true}");
    peer.hang_up().code(0).stderr("disconnect after 0\nheld\nexit 0\n");
}

// proves: process.disconnect, process.event.disconnect, process.event.message
#[test]
fn a_message_that_was_half_there_is_delivered_before_the_end() {
    let mut peer = Peer::json();
    peer.send("{\"do\":\"disconnect\"}\n{\"second\":");
    // It has hung up, and knows so at once; the rest of a message is waited for.
    peer.running.wait_for_stderr("connected Some(false)\n");
    peer.send("true}\n");
    peer.closed().code(0).stderr_has("disconnect after 2\nexit 0\n");
}

// proves: process.send, child_process.ipc.flush_at_exit
#[test]
fn what_was_sent_is_written_before_the_end() {
    let mut peer = Peer::json();
    peer.send("{\"do\":\"count_and_exit\",\"n\":20000}\n");
    for index in 0..20_000 {
        assert_eq!(peer.line(), format!("{{\"index\":{index}}}"));
    }
    peer.closed().code(0).stderr("exit 0\n");
    // Of a guest that ends, too, while nobody reads yet.
    let mut peer = Peer::json();
    peer.send("{\"do\":\"text\",\"n\":1000000}\n{\"do\":\"exit\",\"code\":5}\n");
    assert_eq!(peer.line().len(), "{\"text\":\"\"}".len() + 2_000_000);
    peer.closed().code(5).stderr("exit 5\n");
}

// proves: process.channel.ref, process.channel.unref
#[test]
fn a_channel_that_is_given_up_lets_its_process_end() {
    let mut peer = Peer::json();
    peer.send("{\"do\":\"ref\"}\n");
    assert_eq!(peer.line(), "{\"hasRef\":true}");
    peer.send("{\"do\":\"unref\"}\n");
    assert_eq!(peer.line(), "{\"hasRef\":false}");
    peer.closed().code(0).stderr("exit 0\n");
}

// proves: child_process.ipc.env
#[test]
fn a_channel_that_is_none_is_told_and_left() {
    for fd in ["99", "0", "x", "-1"] {
        let run = guest(tests::PROCESS_CHANNEL).env("NODE_CHANNEL_FD", fd).run().code(0);
        run.stderr_has(&format!(
            "nodule: there is no channel to the parent process: NODE_CHANNEL_FD={fd}"
        ))
        .stdout_has("channel false connected None\n");
    }
    // A descriptor that is something else.
    let command = guest(tests::PROCESS_CHANNEL).env("NODE_CHANNEL_FD", "9");
    let run = command
        .through_shell("exec 9</dev/null; exec \"$0\" \"$@\"")
        .run()
        .code(0);
    run.stderr_has("NODE_CHANNEL_FD=9").stdout_has("channel false");
}

/// A program of the system that this guest takes for its child with a channel.
fn hostile_child(script: &str, serialization: &str) -> Run {
    let command = guest_with(&["--allow-run"], tests::CHILD_FORK).args(["watch", "execPath=/bin/sh", serialization]);
    command.arg(format!("execArgv=[-c,{script}]")).run().success()
}

// proves: ChildProcess.event.error, ChildProcess.event.message, ChildProcess.event.disconnect, ChildProcess.event.exit
#[test]
fn a_child_that_keeps_to_nothing_loses_its_channel() {
    let end = "disconnect connected=false\nexit 3 null code=Some(3) signal=None\nclose 3 null\n";
    let mismatch = "error Error ERR_IPC_CODEC_MISMATCH the other side sent what is no message\n";
    for (script, expected) in [
        // What is whole counts; half of one does not.
        (
            "printf '1\\n\"two\"\\n{\"half' >&3; exit 3",
            "message Number(1.0)\nmessage String(\"two\")\n",
        ),
        (
            "printf 'garbage\\n' >&3; exit 3",
            "error SyntaxError - Unexpected token 'g' in JSON at position 0\n",
        ),
        ("printf '\"\\377\"\\n' >&3; exit 3", mismatch),
        // It hangs up and goes on.
        ("exec 3>&-; exit 3", ""),
    ] {
        hostile_child(script, "serialization=json").stdout(&format!("spawn\n{expected}{end}"));
    }
    let too_large = "error RangeError ERR_IPC_MESSAGE_TOO_LARGE the message is larger than 512 MiB\n";
    for (script, expected) in [
        ("printf '\\377\\377\\377\\377xx' >&3; exit 3", too_large),
        ("printf '\\0\\0\\0\\1x' >&3; exit 3", mismatch),
        ("printf '\\0\\0' >&3; exit 3", ""),
    ] {
        hostile_child(script, "serialization=advanced").stdout(&format!("spawn\n{expected}{end}"));
    }
    // Somebody below it holds the channel: the end of the child comes all the same.
    let script = "sleep 60 & echo $! >&2; printf '1\\n' >&3; exit 3";
    let command = guest_with(&["--allow-run"], tests::CHILD_FORK).args(["watch", "execPath=/bin/sh"]);
    let running = command.arg(format!("execArgv=[-c,{script}]")).start();
    let output = running.wait_for_stdout("close 3 null\n");
    assert_eq!(output, format!("spawn\nmessage Number(1.0)\n{end}"));
}

// proves: child_process.handle.nack
#[test]
fn a_handle_that_is_lost_is_sent_three_times_more_and_then_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sent = "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\",\"msg\":\"m\"}\n";
    for lost in 0..5 {
        let mut peer = Peer::json();
        peer.send_with(sent, listener.as_fd());
        assert_eq!(peer.line(), "{\"cmd\":\"NODE_HANDLE_ACK\"}");
        // It comes back; what is read here has no descriptors.
        let back: serde_json::Value = serde_json::from_str(&peer.line()).unwrap();
        assert_eq!(back["cmd"], "NODE_HANDLE");
        assert_eq!(back["type"], "net.Server");
        assert_eq!(back["msg"]["echo"], "m");
        // Nothing overtakes it.
        peer.send("5\n");
        for _ in 0..lost.min(3) {
            peer.send("{\"cmd\":\"NODE_HANDLE_NACK\"}\n");
            let again: serde_json::Value = serde_json::from_str(&peer.line()).unwrap();
            assert_eq!(again, back);
        }
        let is_given_up = lost > 3;
        let answer = if is_given_up { "NACK" } else { "ACK" };
        peer.send(format!("{{\"cmd\":\"NODE_HANDLE_{answer}\"}}\n"));
        assert_eq!(peer.line(), "{\"echo\":5}");
        let run = peer.hang_up().code(0);
        let warning = "SentHandleNotReceivedWarning: Handle did not reach the receiving process correctly";
        run.check(
            run.stderr.contains(warning) == is_given_up,
            "a warning when it is given up",
        );
    }
}
