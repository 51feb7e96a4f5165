//! Arguments, environment, exit, signals, randomness.

use nodule::IsolateRole;

use super::guest::{Guest, errno, isolate};

/// The texts of `args_get` or `environ_get`.
async fn texts(guest: &mut Guest, name: &str) -> Vec<String> {
    let (count, bytes) = (guest.room(4), guest.room(4));
    assert_eq!(guest.call(&format!("{name}_sizes_get"), (count, bytes)).await, 0);
    let (count, bytes) = (guest.u32(count), guest.u32(bytes) as usize);
    let (pointers, buffer) = (guest.room(4 * count as usize), guest.room(bytes));
    assert_eq!(guest.call(&format!("{name}_get"), (pointers, buffer)).await, 0);
    (0..count as i32)
        .map(|index| {
            let address = guest.u32(pointers + 4 * index) as i32;
            let rest = guest.bytes(address, bytes - (address - buffer) as usize);
            let len = rest.iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8(rest[..len].to_vec()).unwrap()
        })
        .collect()
}

#[tokio::test]
async fn arguments_start_with_the_module() {
    let mut guest = Guest::new(|builder| builder.args(["one", "", "zwölf"])).await;
    assert_eq!(texts(&mut guest, "args").await, ["calls", "one", "", "zwölf"]);
    assert_eq!(guest.call("args_get", (-4, 64)).await, errno::FAULT);
    assert_eq!(guest.call("args_get", (64, -4)).await, errno::FAULT);
}

#[tokio::test]
async fn the_environment_is_live() {
    let mut guest = Guest::new(|builder| builder.env("B", "2").env("A", "1")).await;
    assert_eq!(texts(&mut guest, "environ").await, ["A=1", "B=2"]);
    let (key, value) = (guest.put(b"C"), guest.put(b"x=y"));
    assert_eq!(guest.call("env_set", (key.0, key.1, value.0, value.1)).await, 0);
    assert_eq!(texts(&mut guest, "environ").await, ["A=1", "B=2", "C=x=y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_is_kept() {
    for code in [0_u32, 1, 125, 126, 143, 255, 256, u32::MAX] {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        let status = isolate(&text).spawn().unwrap().join().await;
        assert_eq!((status.code, status.error), (i64::from(code), None));
    }
}

#[tokio::test]
async fn only_the_isolate_that_is_the_process_may_raise_signals() {
    let winch = 27;
    let mut embedded = Guest::new(|builder| builder).await;
    assert_eq!(embedded.call("proc_raise", winch).await, errno::NOTSUP);
    let mut main = Guest::new(|builder| builder.role(IsolateRole::Main)).await;
    // Ignored by default, so that the test goes on.
    assert_eq!(main.call("proc_raise", winch).await, 0);
    assert_eq!(main.call("proc_raise", 0).await, 0);
    for unknown in [31, 255, -1] {
        assert_eq!(main.call("proc_raise", unknown).await, errno::INVAL);
    }
}

#[tokio::test]
async fn randomness_fills_any_buffer() {
    let mut guest = Guest::new(|builder| builder).await;
    let buffer = guest.room(200_000);
    assert_eq!(guest.call("random_get", (buffer, 200_000)).await, 0);
    let bytes = guest.bytes(buffer, 200_000);
    for piece in bytes.chunks(50_000) {
        let ones: u32 = piece.iter().map(|byte| byte.count_ones()).sum();
        assert!((195_000..205_000).contains(&ones), "{ones}");
    }
    assert!(bytes[..65_536] != bytes[65_536..131_072]);
    assert_eq!(guest.call("random_get", (buffer, -1)).await, errno::FAULT);
    assert_eq!(guest.call("sched_yield", ()).await, 0);
}
