//! What is refused, and that the guest goes on.

use super::super::{RTLD_GLOBAL, RTLD_LAZY, RTLD_NOW};
use super::{ENV, Guest, MAIN, granted};
use crate::permissions::{DirAccess, Permissions};
use crate::{Limits, OnMemoryLimit};

#[tokio::test]
async fn what_cannot_be_linked_is_named() {
    let mut guest = Guest::new().await;
    for (name, dylink, body, reason) in [
        (
            "type.wasm",
            "",
            r#"(import "env" "twice" (func (param i64)))"#,
            "symbol twice has the type",
        ),
        (
            "kind.wasm",
            "",
            r#"(import "env" "thing" (global i32))"#,
            "imports \"env\" \"thing\" as a global",
        ),
        (
            "got.wasm",
            "",
            r#"(import "GOT.mem" "base_value" (global i32))"#,
            "GOT.mem",
        ),
        ("wide.wasm", "", r#"(import "env" "memory" (memory i64 0))"#, "memory"),
        ("many.wasm", "", r#"(import "env" "memory" (memory 60000))"#, "memory"),
        (
            "segment.wasm",
            "(mem-info (memory 4 0) (table 0 0))",
            r#"(import "env" "memory" (memory 0)) (import "env" "__memory_base" (global $b i32)) (data (global.get $b) "x")
            (data (i32.const -4) "12345678")"#,
            "out of bounds",
        ),
        (
            "elements.wasm",
            "",
            r#"(import "env" "__indirect_function_table" (table 0 funcref)) (func $f) (elem (i32.const 9999) func $f)"#,
            "out of bounds",
        ),
        ("start.wasm", "", "(func $f unreachable) (start $f)", "unreachable"),
        (
            "ctors.wasm",
            "",
            r#"(func (export "__wasm_call_ctors") (param i32))"#,
            "__wasm_call_ctors with parameters",
        ),
    ] {
        guest.library(name, dylink, body);
        let message = guest.refusal(name, RTLD_LAZY).await;
        assert!(message.contains(reason), "{name}: {message}");
    }
}

#[tokio::test]
async fn files_that_are_no_side_modules_are_refused() {
    let mut guest = Guest::new().await;
    let path = |name: &str| guest.directory.join(name);
    std::fs::write(path("garbage.wasm"), [0x7f, b'E', b'L', b'F', 1, 2, 3]).unwrap();
    std::fs::write(path("empty.wasm"), []).unwrap();
    std::fs::write(path("plain.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    let mut cut = wat::parse_str(r#"(module (@dylink.0 (needed "x")) (func))"#).unwrap();
    cut.truncate(cut.len() - 2);
    std::fs::write(path("cut.wasm"), cut).unwrap();
    let invalid = wat::parse_str("(module (@dylink.0) (func (result i32) nop))").unwrap();
    std::fs::write(path("invalid.wasm"), invalid).unwrap();
    let huge = std::fs::File::create(path("huge.wasm")).unwrap();
    huge.set_len(nodule_abi::limits::SIDE_MODULE_BYTES_MAX + 1).unwrap();
    std::fs::create_dir(path("directory.wasm")).unwrap();
    nix::unistd::mkfifo(&path("fifo.wasm"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path("outside.wasm")).unwrap();
    for (name, reason) in [
        ("garbage.wasm", "not a wasm module"),
        ("empty.wasm", "empty"),
        ("plain.wasm", "no side module"),
        ("cut.wasm", "not a valid wasm module"),
        ("invalid.wasm", "not a valid wasm module"),
        ("huge.wasm", "larger than"),
        ("directory.wasm", "EINVAL"),
        ("fifo.wasm", "EINVAL"),
        ("outside.wasm", "--dir"),
        ("missing.wasm", "ENOENT"),
        ("../etc/hostname", "--dir"),
    ] {
        let message = guest.refusal(name, RTLD_NOW).await;
        assert!(message.contains(reason), "{name}: {message}");
    }
    for flags in [0, RTLD_GLOBAL, RTLD_NOW | 4, u32::MAX] {
        assert!(guest.refusal("plain.wasm", flags).await.contains("invalid mode"));
    }
}

#[tokio::test]
async fn loading_needs_its_grant() {
    let mut guest = Guest::with(MAIN, Limits::default(), |directory| {
        Permissions::none().dir(directory, "/lib", DirAccess::Read).unwrap()
    })
    .await;
    guest.library("a.wasm", "", "");
    let record = guest.try_open("a.wasm", RTLD_NOW).await.unwrap_err();
    assert!(
        record.is_code("ERR_DLOPEN_DISABLED") && record.message.contains("--allow-dlopen"),
        "{record}"
    );
}

#[tokio::test]
async fn the_main_module_must_export_what_is_shared() {
    let main = MAIN.replace("(export \"__stack_pointer\")", "").replace(
        "(table (export \"__indirect_function_table\") 4 funcref)",
        "(table (export \"__indirect_function_table\") 4 4 funcref)",
    );
    let mut guest = Guest::with(&main, Limits::default(), granted).await;
    guest.library("a.wasm", "", "");
    let message = guest.refusal("a.wasm", RTLD_NOW).await;
    assert!(
        message.contains("--export-table --growable-table") && message.contains("--export=__stack_pointer"),
        "{message}"
    );
    assert!(!message.contains("--export-memory"), "{message}");
}

#[tokio::test]
async fn room_that_is_not_there_is_refused_and_the_guest_goes_on() {
    let limits = Limits {
        max_memory_bytes: 1 << 20,
        max_table_elements: 16,
        on_memory_limit: OnMemoryLimit::End,
        ..Limits::default()
    };
    let mut guest = Guest::with(MAIN, limits, granted).await;
    for (name, dylink, reason) in [
        (
            "big.wasm",
            "(mem-info (memory 0xffffffff 0) (table 0 0))",
            "memory is full",
        ),
        (
            "limit.wasm",
            "(mem-info (memory 0x100000 0) (table 0 0))",
            "--max-memory",
        ),
        ("aligned.wasm", "(mem-info (memory 1 31) (table 0 0))", "memory is full"),
        ("beyond.wasm", "(mem-info (memory 1 32) (table 0 0))", "alignment 2^32"),
        (
            "table.wasm",
            "(mem-info (memory 0 0) (table 0xffffffff 0))",
            "table is full",
        ),
        (
            "table_aligned.wasm",
            "(mem-info (memory 0 0) (table 1 31))",
            "table is full",
        ),
    ] {
        guest.library(name, dylink, "");
        let message = guest.refusal(name, RTLD_NOW).await;
        assert!(message.contains(reason), "{name}: {message}");
    }
    guest.library(
        "fits.wasm",
        "(mem-info (memory 0x10000 4) (table 3 0))",
        r#"(global (export "end") i32 (i32.const 0xfffc))"#,
    );
    let handle = guest.open("fits.wasm", RTLD_NOW).await;
    let (_, end) = guest.symbol(handle, "end").await.unwrap();
    assert_eq!((end, guest.word(end)), (0x1_fffc, 0));
}

#[tokio::test]
async fn a_constructor_that_traps_makes_the_load_fail() {
    let mut guest = Guest::new().await;
    let body = format!(
        r#"{ENV} (func (export "__wasm_call_ctors") (global.set $sp (i32.const 16)) unreachable)
        (func (export "f") (param i32) (result i32) (i32.const 1))"#
    );
    guest.library("bad.wasm", "", &body);
    guest.library(
        "good.wasm",
        "",
        r#"(func (export "f") (param i32) (result i32) (i32.const 2))"#,
    );
    guest.library("both.wasm", r#"(needed "good.wasm" "bad.wasm")"#, "");
    for name in ["bad.wasm", "both.wasm"] {
        let message = guest.refusal(name, RTLD_NOW | RTLD_GLOBAL).await;
        assert!(
            message.contains("/lib/bad.wasm: __wasm_call_ctors failed: wasm trap: wasm `unreachable`"),
            "{message}"
        );
        assert_eq!(guest.plugin.call::<(), i32>("stack_pointer", ()).await.unwrap(), 4096);
    }
    let good = guest.open("good.wasm", RTLD_NOW).await;
    assert_eq!(guest.call(good, "f", 0).await.unwrap(), 2, "what was complete stays");
}

#[tokio::test]
async fn the_number_of_side_modules_is_bounded() {
    let mut guest = Guest::new().await;
    // Failed ones count, because what they took is not given back.
    guest.library("trap.wasm", "", r#"(func (export "__wasm_call_ctors") unreachable)"#);
    for _ in 0..nodule_abi::limits::SIDE_MODULES_MAX {
        assert!(guest.refusal("trap.wasm", RTLD_NOW).await.contains("unreachable"));
    }
    assert!(
        guest
            .refusal("trap.wasm", RTLD_NOW)
            .await
            .contains("more than 256 side modules")
    );
}
