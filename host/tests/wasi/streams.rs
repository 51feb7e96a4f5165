//! The standard streams.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nodule::stdio::{Input, Output};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::guest::{CREATE, Guest, READ, TempDir, WRITE, errno, isolate};
use nodule::Permissions;
use nodule::permissions::DirAccess;

/// A guest whose output can be read here.
async fn with_output(room: usize) -> (Guest, tokio::io::DuplexStream) {
    let (write, read) = tokio::io::duplex(room);
    (Guest::new(|builder| builder.stdout(Output::stream(write))).await, read)
}

#[tokio::test]
async fn all_buffers_of_a_write_are_one_write() {
    let (mut guest, mut output) = with_output(1 << 20).await;
    assert_eq!(guest.write(1, &[b"one ", b"", b"two ", b"three"]).await, Ok(13));
    let large = vec![b'x'; 300_000];
    assert_eq!(guest.write(1, &[&large, b"end"]).await, Ok(300_003));
    assert_eq!(guest.write(1, &[]).await, Ok(0));
    drop(guest);
    let mut got = Vec::new();
    output.read_to_end(&mut got).await.unwrap();
    assert!(got == [b"one two three".as_slice(), &large, b"end"].concat());
}

#[tokio::test]
async fn bad_buffers_are_refused_before_anything_is_written() {
    let (mut guest, mut output) = with_output(1 << 20).await;
    let good = guest.put(b"good");
    let out = guest.room(4);
    for (buffers, wanted) in [
        (vec![good, (-1, 5)], errno::FAULT),
        (vec![good, (4 << 20, 1)], errno::FAULT),
        (vec![good, (8, -1)], errno::FAULT),
        (vec![good; 1025], errno::INVAL),
    ] {
        let (iovecs, count) = guest.iovecs(&buffers);
        assert_eq!(guest.call("fd_write", (1, iovecs, count, out)).await, wanted);
    }
    let (iovecs, count) = guest.iovecs(&[good]);
    assert_eq!(guest.call("fd_write", (1, iovecs, count, -1)).await, errno::FAULT);
    assert_eq!(guest.call("fd_write", (1, -8, 2, out)).await, errno::FAULT);
    assert_eq!(guest.call("fd_write", (1, iovecs, -1, out)).await, errno::INVAL);
    drop(guest);
    let mut got = Vec::new();
    output.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"");
}

#[tokio::test]
async fn a_closed_reader_is_an_error_number() {
    let (mut guest, output) = with_output(16).await;
    drop(output);
    assert_eq!(guest.write(1, &[b"late"]).await, Err(errno::PIPE));
    assert_eq!(guest.write(2, &[b"to nowhere"]).await, Ok(10));
    assert_eq!(guest.write(0, &[b"to input"]).await, Err(errno::BADF));
    assert_eq!(guest.read(1, 4).await, Err(errno::BADF));
}

#[tokio::test]
async fn input_fills_the_buffers_in_order_and_ends() {
    let mut guest = Guest::new(|builder| builder.stdin(Input::bytes("hello world"))).await;
    let (first, second, out) = (guest.room(6), guest.room(3), guest.room(4));
    let (iovecs, count) = guest.iovecs(&[(first, 6), (second, 3)]);
    assert_eq!(guest.call("fd_read", (0, iovecs, count, out)).await, 0);
    assert_eq!(guest.u32(out), 9);
    assert_eq!(
        (guest.bytes(first, 6), guest.bytes(second, 3)),
        (b"hello ".to_vec(), b"wor".to_vec())
    );
    assert_eq!(guest.read(0, 100).await, Ok(b"ld".to_vec()));
    assert_eq!(guest.read(0, 100).await, Ok(Vec::new()));
}

#[tokio::test]
async fn input_that_must_not_wait_says_so() {
    let (mut writer, reader) = tokio::io::duplex(64);
    let mut guest = Guest::new(|builder| builder.stdin(Input::stream(reader))).await;
    let nonblock = 4;
    let stat = guest.room(24);
    assert_eq!(guest.call("fd_fdstat_set_flags", (0, nonblock)).await, 0);
    assert_eq!(guest.call("fd_fdstat_get", (0, stat)).await, 0);
    assert_eq!(guest.bytes(stat, 4), [0, 0, 4, 0]);
    assert_eq!(guest.read(0, 10).await, Err(errno::AGAIN));
    writer.write_all(b"now").await.unwrap();
    assert_eq!(guest.read(0, 10).await, Ok(b"now".to_vec()));
}

#[tokio::test]
async fn streams_are_no_files() {
    let mut guest = Guest::new(|builder| builder).await;
    let out = guest.room(64);
    for fd in 0..3 {
        assert_eq!(guest.call("fd_seek", (fd, 0_i64, 0, out)).await, errno::SPIPE);
        assert_eq!(guest.call("fd_tell", (fd, out)).await, errno::SPIPE);
        assert_eq!(guest.call("fd_filestat_get", (fd, out)).await, 0);
        assert_eq!(guest.call("fd_fdstat_get", (fd, out)).await, 0);
        assert_eq!(guest.bytes(out, 1), [0], "not a terminal");
        assert_eq!(guest.call("fd_prestat_get", (fd, out)).await, errno::BADF);
    }
    let (buffer, _) = guest.iovecs(&[(0, 4)]);
    assert_eq!(guest.call("fd_pwrite", (1, buffer, 1, 0_i64, out)).await, errno::SPIPE);
    assert_eq!(guest.call("fd_pread", (0, buffer, 1, 0_i64, out)).await, errno::SPIPE);
}

#[tokio::test]
async fn closed_and_renumbered_streams_lead_where_the_guest_put_them() {
    let dir = TempDir::new();
    let (write, mut output) = tokio::io::duplex(1024);
    let permissions = Permissions::none()
        .dir(dir.path(), "/data", DirAccess::ReadWrite)
        .unwrap();
    let mut guest = Guest::new(|builder| builder.stdout(Output::stream(write)).permissions(permissions)).await;
    let file = guest.open(3, "log", CREATE, READ | WRITE).await.unwrap();
    // 1 becomes the file, 9 does not exist.
    assert_eq!(guest.call("fd_renumber", (1, 9)).await, errno::BADF);
    assert_eq!(guest.call("fd_renumber", (1, 0)).await, 0);
    assert_eq!(guest.call("fd_renumber", (file, 2)).await, 0);
    assert_eq!(guest.write(1, &[b"lost"]).await, Err(errno::BADF));
    assert_eq!(guest.write(0, &[b"stream"]).await, Ok(6));
    assert_eq!(guest.write(2, &[b"file"]).await, Ok(4));
    assert_eq!(guest.call("fd_close", 0).await, 0);
    assert_eq!(guest.write(0, &[b"lost"]).await, Err(errno::BADF));
    drop(guest);
    let mut got = String::new();
    output.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "stream");
    assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "file");
}

#[tokio::test]
async fn the_stream_api_waits_by_events() {
    let (mut writer, reader) = tokio::io::duplex(64);
    let mut guest = Guest::new(|builder| builder.stdin(Input::stream(reader))).await;
    let (handle, buffer, len, events, count) = (
        guest.room(4),
        guest.room(16),
        guest.room(4),
        guest.room(320),
        guest.room(4),
    );
    assert_eq!(guest.call("open_stdin", handle).await, 0);
    assert_eq!(guest.call("open_stdin", handle).await, 16, "EBUSY");
    let stream = guest.u32(handle) as i32;
    // Nobody reads: nothing keeps the loop alive.
    assert_eq!(guest.call("wait", (events, 10, -1_i64, 0, count)).await, 0);
    assert_eq!(guest.u32(count), 0);
    assert_eq!(guest.call("read", (stream, buffer, 16, len)).await, 11, "EAGAIN");
    let writing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        writer.write_all(b"event").await.unwrap();
    });
    assert_eq!(guest.call("wait", (events, 10, -1_i64, 0, count)).await, 0);
    assert_eq!(
        (guest.u32(count), guest.u32(events), guest.u32(events + 4)),
        (1, 3, stream as u32)
    );
    assert_eq!(guest.call("read", (stream, buffer, 16, len)).await, 0);
    let got = guest.u32(len) as usize;
    assert_eq!(guest.bytes(buffer, got), b"event");
    writing.await.unwrap();
    assert_eq!(guest.call("read", (stream, buffer, 16, len)).await, 0);
    assert_eq!(guest.u32(len), 0, "the end");
    for (cap, address) in [(0, buffer), ((1 << 20) + 1, buffer)] {
        assert_eq!(
            guest.call("read", (stream, address, cap, len)).await,
            1002,
            "ERR_OUT_OF_RANGE"
        );
    }
    assert_eq!(guest.call("read", (stream, -1, 16, len)).await, 14, "EFAULT");
    assert_eq!(guest.call("close", stream).await, 0);
    assert_eq!(
        guest.call("read", (stream, buffer, 16, len)).await,
        2001,
        "ERR_HANDLE_CLOSED"
    );
    assert_eq!(guest.call("open_stdin", handle).await, 0);
    assert_eq!(guest.call("is_tty", (0, len)).await, 0);
    assert_eq!(guest.call("is_tty", (3, len)).await, 9, "EBADF");
    assert_eq!(guest.call("window_size", (1, buffer)).await, 25, "ENOTTY");
}

const ECHO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 3)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 1024))
        (loop $again
            (i32.store (i32.const 4) (i32.const 100000))
            (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (if (i32.load (i32.const 8)) (then
                (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)) (then unreachable))
                (br $again))))))"#;

#[tokio::test(flavor = "multi_thread")]
async fn pipes_carry_input_through_a_guest_to_its_output() {
    let mut isolate = isolate(ECHO)
        .stdin(Input::pipe())
        .stdout(Output::pipe())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (isolate.stdin.take().unwrap(), isolate.stdout.take().unwrap());
    let data: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    let sent = data.clone();
    let writing = tokio::spawn(async move { stdin.write_all(&sent).await.unwrap() });
    let mut got = Vec::new();
    stdout.read_to_end(&mut got).await.unwrap();
    writing.await.unwrap();
    assert!(got == data);
    assert!(isolate.join().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_parked_in_a_stream_ends_when_terminated() {
    // Reads forever; then writes into a pipe that nobody empties.
    for fill in [0, 1 << 20] {
        let mut isolate = isolate(ECHO)
            .stdin(Input::pipe())
            .stdout(Output::pipe())
            .spawn()
            .unwrap();
        let mut stdin = isolate.stdin.take().unwrap();
        let feeding = tokio::spawn(async move {
            let _ = stdin.write_all(&vec![0; fill]).await;
            std::future::pending::<()>().await;
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
        isolate.terminate();
        let status = tokio::time::timeout(Duration::from_secs(5), isolate.join())
            .await
            .unwrap();
        assert_eq!(status.code, 1);
        feeding.abort();
    }
}

/// Run by [`inherited_streams_carry_everything_whatever_they_are`] in a process of its own: the guest copies the
/// standard input of that process to its standard error output, where the test harness writes nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "part of another test"]
async fn echo_of_inherited_streams() {
    let isolate = isolate(ECHO)
        .stdin(Input::inherit())
        .stdout(Output::inherit_stderr())
        .spawn()
        .unwrap();
    let status = isolate.join().await;
    assert!(status.success(), "{status:?}");
}

fn echo_process(stdin: impl Into<Stdio>, stderr: impl Into<Stdio>) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "streams::echo_of_inherited_streams", "--ignored"])
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// Sends `data` through a process whose streams are `stdin` and `stderr`, with the other ends here.
fn echo((stdin, mut input): (OwnedFd, File), (stderr, mut output): (OwnedFd, File), data: &[u8]) -> Vec<u8> {
    let mut process = echo_process(stdin, stderr);
    let data = data.to_vec();
    let writing = std::thread::spawn(move || input.write_all(&data).unwrap());
    // Late, so that the guest meets full streams.
    std::thread::sleep(Duration::from_millis(100));
    let mut got = Vec::new();
    output.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(process.wait().unwrap().success());
    got
}

fn pipe() -> (OwnedFd, File) {
    let (read, write) = std::io::pipe().unwrap();
    (read.into(), OwnedFd::from(write).into())
}

fn socket() -> (OwnedFd, File) {
    let (one, other) = UnixStream::pair().unwrap();
    (one.into(), OwnedFd::from(other).into())
}

#[test]
fn inherited_streams_carry_everything_whatever_they_are() {
    let data: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    let (read, write) = pipe();
    assert!(echo(pipe(), (OwnedFd::from(write), read.into()), &data) == data);
    assert!(echo(socket(), socket(), &data) == data);

    let dir = TempDir::new();
    std::fs::write(dir.path().join("in"), &data).unwrap();
    let mut output = File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(dir.path().join("out"))
        .unwrap();
    output.write_all(b"before").unwrap();
    let input = File::open(dir.path().join("in")).unwrap();
    let process = echo_process(input, output.try_clone().unwrap());
    assert!(process.wait_with_output().unwrap().status.success());
    output.rewind().unwrap();
    let mut got = Vec::new();
    output.read_to_end(&mut got).unwrap();
    assert!(got == [b"before".as_slice(), &data].concat());

    let process = echo_process(Stdio::null(), Stdio::null());
    assert!(process.wait_with_output().unwrap().status.success());
}
