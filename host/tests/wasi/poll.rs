//! `poll_oneoff` and the clocks.

use std::time::{Duration, Instant};

use nodule::Permissions;
use nodule::permissions::DirAccess;
use nodule::stdio::Input;
use tokio::io::AsyncWriteExt as _;

use super::guest::{CREATE, Guest, READ, TempDir, WRITE, errno, isolate};

const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

fn clock(userdata: u64, id: u32, timeout: Duration, absolute: bool) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[8] = CLOCK;
    bytes[16..20].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&(timeout.as_nanos() as u64).to_le_bytes());
    bytes[40] = u8::from(absolute);
    bytes
}

fn fd(userdata: u64, kind: u8, fd: i32) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[8] = kind;
    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
    bytes
}

#[derive(Debug, PartialEq)]
struct Event {
    userdata: u64,
    errno: i32,
    kind: u8,
    bytes: u64,
    hangup: bool,
}

fn event(userdata: u64, errno: i32, kind: u8, bytes: u64) -> Event {
    Event {
        userdata,
        errno,
        kind,
        bytes,
        hangup: false,
    }
}

async fn poll(guest: &mut Guest, subscriptions: &[[u8; 48]]) -> Vec<Event> {
    let (input, _) = guest.put(subscriptions.as_flattened());
    let output = guest.room(32 * subscriptions.len());
    let out = guest.room(4);
    assert_eq!(
        guest
            .call("poll_oneoff", (input, output, subscriptions.len() as i32, out))
            .await,
        0
    );
    (0..guest.u32(out) as i32)
        .map(|index| output + 32 * index)
        .map(|at| Event {
            userdata: guest.u64(at),
            errno: i32::from(guest.u16(at + 8)),
            kind: guest.bytes(at + 10, 1)[0],
            bytes: guest.u64(at + 16),
            hangup: guest.u16(at + 24) == 1,
        })
        .collect()
}

#[tokio::test]
async fn clocks_wait_their_time_and_no_less() {
    let mut guest = Guest::new(|builder| builder).await;
    let out = guest.room(8);
    let wait = Duration::from_millis(20);
    for id in [0, 1] {
        let start = Instant::now();
        assert_eq!(
            poll(&mut guest, &[clock(7, id, wait, false)]).await,
            [event(7, 0, CLOCK, 0)]
        );
        assert!(start.elapsed() >= wait);
        assert_eq!(guest.call("clock_time_get", (id as i32, 1_i64, out)).await, 0);
        let due = Duration::from_nanos(guest.u64(out)) + wait;
        let start = Instant::now();
        assert_eq!(
            poll(&mut guest, &[clock(8, id, due, true)]).await,
            [event(8, 0, CLOCK, 0)]
        );
        let waited = start.elapsed();
        assert!(waited > wait / 2 && waited < wait * 20, "{waited:?}");
        assert_eq!(
            poll(&mut guest, &[clock(9, id, wait, true)]).await,
            [event(9, 0, CLOCK, 0)],
            "long ago"
        );
    }
    let hour = Duration::from_secs(3600);
    let events = poll(
        &mut guest,
        &[
            clock(1, 1, hour, false),
            clock(2, 1, wait, false),
            clock(3, 0, wait, false),
        ],
    )
    .await;
    assert!(
        events.contains(&event(2, 0, CLOCK, 0)) && !events.contains(&event(1, 0, CLOCK, 0)),
        "{events:?}"
    );
}

#[tokio::test]
async fn standard_input_is_ready_when_it_has_something() {
    let (mut writer, reader) = tokio::io::duplex(64);
    let mut guest = Guest::new(|builder| builder.stdin(Input::stream(reader))).await;
    let wait = Duration::from_millis(20);
    let subscriptions = [fd(1, FD_READ, 0), clock(2, 1, wait, false)];
    assert_eq!(poll(&mut guest, &subscriptions).await, [event(2, 0, CLOCK, 0)]);
    let writing = tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        writer.write_all(b"data").await.unwrap();
        writer
    });
    assert_eq!(poll(&mut guest, &[fd(1, FD_READ, 0)]).await, [event(1, 0, FD_READ, 4)]);
    assert_eq!(guest.read(0, 10).await, Ok(b"data".to_vec()));
    drop(writing.await.unwrap());
    let end = Event {
        hangup: true,
        ..event(1, 0, FD_READ, 0)
    };
    assert_eq!(poll(&mut guest, &[fd(1, FD_READ, 0)]).await, [end]);
}

#[tokio::test]
async fn output_and_files_are_ready_at_once() {
    let dir = TempDir::new();
    let permissions = Permissions::none()
        .dir(dir.path(), "/data", DirAccess::ReadWrite)
        .unwrap();
    let mut guest = Guest::new(|builder| builder.permissions(permissions)).await;
    let file = guest.open(3, "file", CREATE, READ | WRITE).await.unwrap();
    assert_eq!(guest.write(file, &[b"12345"]).await, Ok(5));
    let out = guest.room(8);
    assert_eq!(guest.call("fd_seek", (file, 2_i64, 0, out)).await, 0);
    let hour = Duration::from_secs(3600);
    let subscriptions = [
        clock(1, 1, hour, false),
        fd(2, FD_WRITE, 1),
        fd(3, FD_WRITE, 2),
        fd(4, FD_WRITE, file),
        fd(5, FD_READ, file),
    ];
    let events = poll(&mut guest, &subscriptions).await;
    assert_eq!(
        events,
        [
            event(2, 0, FD_WRITE, 1),
            event(3, 0, FD_WRITE, 1),
            event(4, 0, FD_WRITE, 1),
            event(5, 0, FD_READ, 3)
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_waited_for_is_an_error_of_its_event() {
    let mut guest = Guest::new(|builder| builder).await;
    let hour = Duration::from_secs(3600);
    let subscriptions = [
        clock(1, 1, hour, false),
        fd(2, FD_READ, 99),
        fd(3, FD_WRITE, 0),
        fd(4, FD_READ, 1),
        clock(5, 2, hour, false),
        clock(6, 77, hour, false),
    ];
    let events = poll(&mut guest, &subscriptions).await;
    assert_eq!(
        events,
        [
            event(2, errno::BADF, FD_READ, 0),
            event(3, errno::BADF, FD_WRITE, 0),
            event(4, errno::BADF, FD_READ, 0),
            event(5, errno::NOTSUP, CLOCK, 0),
            event(6, errno::INVAL, CLOCK, 0)
        ]
    );
    let (input, _) = guest.put(&fd(1, 3, 0));
    let out = guest.room(32);
    for (subscriptions, events, count, wanted) in [
        (input, out, 0, errno::INVAL),
        (input, out, 1, errno::INVAL),
        (input, out, 4097, errno::INVAL),
        (-8, out, 1, errno::FAULT),
        (input, -8, 1, errno::FAULT),
    ] {
        assert_eq!(
            guest.call("poll_oneoff", (subscriptions, events, count, out)).await,
            wanted
        );
    }
}

#[tokio::test]
async fn clocks_are_those_of_the_machine() {
    let mut guest = Guest::new(|builder| builder).await;
    let out = guest.room(8);
    let mut time = async |id: i32| {
        assert_eq!(guest.call("clock_time_get", (id, 0_i64, out)).await, 0);
        guest.u64(out)
    };
    let before = nodule::process::usage::hrtime();
    let monotonic = time(1).await;
    assert!(before <= monotonic && monotonic <= nodule::process::usage::hrtime());
    let realtime = time(0).await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    assert!(realtime <= now && now - realtime < 1_000_000_000);
    assert!(time(2).await < monotonic);
    for id in [0, 1, 2, 3] {
        assert_eq!(guest.call("clock_res_get", (id, out)).await, 0);
        assert!((1..=1_000_000).contains(&guest.u64(out)));
    }
    assert_eq!(guest.call("clock_time_get", (4, 0_i64, out)).await, errno::INVAL);
    assert_eq!(guest.call("clock_time_get", (1, 0_i64, -1)).await, errno::FAULT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_guest_ends_when_terminated() {
    let sleeper = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const -1))
            (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;
    let isolate = isolate(sleeper).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    isolate.terminate();
    let status = tokio::time::timeout(Duration::from_secs(5), isolate.join())
        .await
        .unwrap();
    assert_eq!(status.code, 1);
}
