//! How symbols, memory and table come together.

use super::super::{RTLD_GLOBAL, RTLD_LAZY, RTLD_NOW};
use super::{ENV, Guest};

#[tokio::test]
async fn code_data_and_pointers_meet_in_the_guest() {
    let mut guest = Guest::new().await;
    let body = format!(
        r#"{ENV}
        (import "env" "twice" (func $twice (param i32) (result i32)))
        (import "GOT.mem" "base_value" (global $base_value (mut i32)))
        (import "GOT.mem" "counter" (global $counter (mut i32)))
        (import "GOT.func" "twice" (global $twice_address (mut i32)))
        (import "GOT.func" "plus" (global $plus_address (mut i32)))
        (data (global.get $memory_base) "\05\00\00\00")
        (elem (global.get $table_base) func $plus)
        (global (export "counter") i32 (i32.const 0))
        (global (export "pointer") i32 (i32.const 4))
        (func $plus (export "plus") (param i32) (result i32) (i32.add (local.get 0) (i32.load (global.get $counter))))
        (func (export "callback") (param i32) (result i32) (call $twice (i32.add (local.get 0) (i32.load (global.get $base_value)))))
        (func (export "address_of") (param i32) (result i32)
            (select (global.get $twice_address) (global.get $plus_address) (local.get 0)))
        (func (export "__wasm_apply_data_relocs") (i32.store (i32.add (global.get $memory_base) (i32.const 4)) (global.get $counter)))
        (func (export "__wasm_call_ctors")
            (i32.store (i32.load (i32.add (global.get $memory_base) (i32.const 4)))
                (i32.add (i32.const 100) (i32.load (global.get $counter)))))"#
    );
    guest.library("all.wasm", "(mem-info (memory 32 17) (table 1 3))", &body);
    let handle = guest.open("all.wasm", RTLD_NOW).await;

    let (kind, counter) = guest.symbol(handle, "counter").await.unwrap();
    assert_eq!((kind, counter % (1 << 17)), (1, 0));
    assert_eq!(guest.word(counter), 105, "data, then relocations, then constructors");
    let (_, pointer) = guest.symbol(handle, "pointer").await.unwrap();
    assert_eq!((pointer, guest.word(pointer)), (counter + 4, counter));

    assert_eq!(guest.call(handle, "plus", 1).await.unwrap(), 106);
    assert_eq!(guest.call(handle, "callback", 1).await.unwrap(), 86);
    let (_, plus) = guest.symbol(handle, "plus").await.unwrap();
    assert_eq!(plus, 8, "the place its element segment gave it, aligned to 8");
    assert_eq!(guest.call(handle, "address_of", 0).await.unwrap(), 8);
    assert_eq!(
        guest.call(handle, "address_of", 1).await.unwrap(),
        1,
        "the main module's own address of the function"
    );

    let missing = guest.symbol(handle, "absent").await.unwrap_err();
    assert!(
        missing.is_code("ERR_DLOPEN_FAILED") && missing.message.contains("absent"),
        "{missing}"
    );
    assert!(
        guest.symbol(handle, "__wasm_call_ctors").await.is_err(),
        "for the loader alone"
    );
}

#[tokio::test]
async fn a_function_is_appended_to_the_table_once() {
    let mut guest = Guest::new().await;
    guest.library(
        "f.wasm",
        "(mem-info (memory 0 0) (table 0 0))",
        r#"(func (export "f") (param i32) (result i32) (i32.const 7))"#,
    );
    let handle = guest.open("f.wasm", RTLD_NOW).await;
    let first = guest.symbol(handle, "f").await.unwrap();
    assert_eq!(first, (0, 4));
    assert_eq!(guest.symbol(handle, "f").await.unwrap(), first);
    assert_eq!(guest.call(handle, "f", 0).await.unwrap(), 7);
}

#[tokio::test]
async fn the_same_file_gives_the_same_handle_until_it_is_closed_as_often() {
    let mut guest = Guest::new().await;
    guest.library(
        "a.wasm",
        "(mem-info (memory 4 0) (table 0 0))",
        r#"(global (export "a") i32 (i32.const 0))"#,
    );
    std::fs::hard_link(guest.directory.join("a.wasm"), guest.directory.join("b.wasm")).unwrap();
    let handle = guest.open("a.wasm", RTLD_NOW).await;
    assert_eq!(guest.open("b.wasm", RTLD_LAZY).await, handle);
    let symbol = guest.symbol(handle, "a").await.unwrap();
    guest.close(handle).await.unwrap();
    assert_eq!(guest.symbol(handle, "a").await.unwrap(), symbol);
    guest.close(handle).await.unwrap();
    assert!(guest.close(handle).await.unwrap_err().is_code("ERR_HANDLE_CLOSED"));
    assert!(
        guest
            .symbol(handle, "a")
            .await
            .unwrap_err()
            .is_code("ERR_HANDLE_CLOSED")
    );
    let again = guest.open("a.wasm", RTLD_NOW).await;
    assert_ne!(again, handle, "handles are never reused");
    assert_eq!(guest.symbol(again, "a").await.unwrap(), symbol, "never unmapped");
}

#[tokio::test]
async fn needed_libraries_are_found_in_the_directory_and_loaded_once() {
    let mut guest = Guest::new().await;
    let bottom = format!(
        r#"{ENV} (global (export "count") i32 (i32.const 0))
        (func (export "__wasm_call_ctors") (i32.store (global.get $memory_base) (i32.add (i32.load (global.get $memory_base)) (i32.const 1))))
        (func (export "bottom") (param i32) (result i32) (i32.add (local.get 0) (i32.load (global.get $memory_base))))"#
    );
    guest.library("bottom.wasm", "(mem-info (memory 4 2) (table 0 0))", &bottom);
    let middle = r#"(import "env" "bottom" (func $bottom (param i32) (result i32)))
        (func (export "NAME") (param i32) (result i32) (call $bottom (i32.mul (local.get 0) (i32.const 10))))"#;
    for name in ["left", "right"] {
        let dylink = r#"(mem-info (memory 0 0) (table 0 0)) (needed "bottom.wasm")"#;
        guest.library(&format!("{name}.wasm"), dylink, &middle.replace("NAME", name));
    }
    guest.library(
        "top.wasm",
        r#"(mem-info (memory 0 0) (table 0 0)) (needed "left.wasm" "right.wasm")"#,
        r#"(import "env" "left" (func $left (param i32) (result i32))) (import "env" "right" (func $right (param i32) (result i32)))
        (func (export "top") (param i32) (result i32) (i32.add (call $left (local.get 0)) (call $right (local.get 0))))"#,
    );
    let handle = guest.open("top.wasm", RTLD_NOW).await;
    assert_eq!(guest.call(handle, "top", 1).await.unwrap(), 22);
    assert_eq!(
        guest.call(handle, "bottom", 1).await.unwrap(),
        2,
        "symbols of needed libraries are found, too"
    );
    let bottom = guest.open("bottom.wasm", RTLD_NOW).await;
    let (_, count) = guest.symbol(bottom, "count").await.unwrap();
    assert_eq!(guest.word(count), 1);

    guest.library("lost.wasm", r#"(needed "nowhere.wasm")"#, "");
    let message = guest.refusal("lost.wasm", RTLD_NOW).await;
    assert!(message.contains("nowhere.wasm (needed by /lib/lost.wasm)"), "{message}");
}

#[tokio::test]
async fn a_cycle_of_needed_libraries_is_resolved() {
    let mut guest = Guest::new().await;
    // Each counts down by calling the other.
    for (name, other) in [("ping", "pong"), ("pong", "ping")] {
        let body = format!(
            r#"(import "env" "{other}" (func $other (param i32) (result i32)))
            (func (export "{name}") (param i32) (result i32)
                (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
                    (else (i32.add (i32.const 1) (call $other (i32.sub (local.get 0) (i32.const 1)))))))"#
        );
        let dylink = format!(r#"(mem-info (memory 0 0) (table 0 0)) (needed "{other}.wasm")"#);
        guest.library(&format!("{name}.wasm"), &dylink, &body);
    }
    let handle = guest.open("ping.wasm", RTLD_NOW).await;
    assert_eq!(guest.call(handle, "ping", 9).await.unwrap(), 9);
    let error = guest.call(handle, "ping", 1_000_000).await.unwrap_err();
    assert!(error.is_code("ERR_WASM_STACK_OVERFLOW"), "{error}");
    assert_eq!(guest.call(handle, "ping", 10).await.unwrap(), 10);

    guest.library("self.wasm", r#"(needed "self.wasm")"#, "");
    guest.open("self.wasm", RTLD_NOW).await;
}

#[tokio::test]
async fn only_global_libraries_are_seen_by_later_ones() {
    let mut guest = Guest::new().await;
    guest.library(
        "give.wasm",
        "",
        r#"(func (export "give") (param i32) (result i32) (i32.const 11))"#,
    );
    guest.library(
        "take.wasm",
        "",
        r#"(import "env" "give" (func $give (param i32) (result i32)))
        (func (export "take") (param i32) (result i32) (call $give (local.get 0)))"#,
    );
    guest.open("give.wasm", RTLD_NOW).await;
    let message = guest.refusal("take.wasm", RTLD_NOW).await;
    assert!(message.contains("undefined symbol: give"), "{message}");

    let lazy = guest.open("take.wasm", RTLD_LAZY).await;
    let error = guest.call(lazy, "take", 0).await.unwrap_err();
    assert!(
        error
            .message
            .contains("undefined symbol give, called from /lib/take.wasm"),
        "{error}"
    );
    guest.open("give.wasm", RTLD_NOW | RTLD_GLOBAL).await;
    assert_eq!(
        guest.call(lazy, "take", 0).await.unwrap(),
        11,
        "bound when it is called"
    );
}

#[tokio::test]
async fn a_pointer_to_a_missing_function_is_a_stub_where_the_type_is_known() {
    let mut guest = Guest::new().await;
    let body = r#"(import "env" "gone" (func (param i32) (result i32)))
        (import "GOT.func" "gone" (global $gone (mut i32)))
        (func (export "pointer") (param i32) (result i32) (global.get $gone))"#;
    guest.library("typed.wasm", "", body);
    let handle = guest.open("typed.wasm", RTLD_LAZY).await;
    let pointer = guest.call(handle, "pointer", 0).await.unwrap();
    let error = guest.plugin.call::<_, i32>("call", (pointer, 0)).await.unwrap_err();
    assert!(error.message.contains("undefined symbol gone"), "{error}");

    let untyped = r#"(import "GOT.func" "gone" (global (mut i32))) (import "GOT.mem" "lost" (global (mut i32)))"#;
    guest.library("untyped.wasm", "", untyped);
    let message = guest.refusal("untyped.wasm", RTLD_LAZY).await;
    assert!(message.contains("undefined symbol: gone, lost"), "{message}");
}

#[tokio::test]
async fn weak_symbols_may_be_missing() {
    let mut guest = Guest::new().await;
    guest.library(
        "weak.wasm",
        r#"(import-info "env" "maybe" binding-weak) (import-info "GOT.func" "maybe" binding-weak)"#,
        r#"(import "env" "maybe" (func $maybe (param i32) (result i32))) (import "GOT.func" "maybe" (global $maybe (mut i32)))
        (func (export "ask") (param i32) (result i32)
            (if (result i32) (global.get $maybe) (then (call $maybe (i32.const 1))) (else (i32.const -1))))"#,
    );
    let handle = guest.open("weak.wasm", RTLD_NOW).await;
    assert_eq!(guest.call(handle, "ask", 0).await.unwrap(), -1);
}

#[tokio::test]
async fn functions_of_the_host_are_there_for_side_modules() {
    let mut guest = Guest::new().await;
    let body = format!(
        r#"{ENV} (import "nodule:process/1" "env_set" (func $env_set (param i32 i32 i32 i32) (result i32)))
        (data (global.get $memory_base) "KEYvalue")
        (func (export "set") (param i32) (result i32)
            (call $env_set (global.get $memory_base) (i32.const 3) (i32.add (global.get $memory_base) (i32.const 3)) (i32.const 5)))"#
    );
    guest.library("host.wasm", "(mem-info (memory 8 0) (table 0 0))", &body);
    let handle = guest.open("host.wasm", RTLD_NOW).await;
    assert_eq!(guest.call(handle, "set", 0).await.unwrap(), 0);
    assert_eq!(guest.plugin.state().process.env.get("KEY").as_deref(), Some("value"));

    let unknown = r#"(import "nodule:process/9" "f" (func))"#;
    guest.library("unknown.wasm", "", unknown);
    assert!(
        guest
            .refusal("unknown.wasm", RTLD_NOW)
            .await
            .contains("undefined symbol: nodule:process/9 f")
    );
    guest.open("unknown.wasm", RTLD_LAZY).await;
}

#[tokio::test]
async fn a_constructor_may_load_modules_itself() {
    let mut guest = Guest::new().await;
    // It opens itself: the path is still where it was.
    let body = r#"(import "env" "open_again" (func $open (result i32))) (import "GOT.mem" "code" (global $code (mut i32)))
        (import "env" "memory" (memory 0)) (global (export "code") i32 (i32.const 0))
        (func (export "__wasm_call_ctors") (i32.store (global.get $code) (i32.add (i32.const 1) (call $open))))"#;
    guest.library("again.wasm", "(mem-info (memory 4 2) (table 0 0))", body);
    guest
        .plugin
        .write_memory(2000, &u32::try_from("/lib/again.wasm".len()).unwrap().to_le_bytes())
        .unwrap();
    let handle = guest.open("again.wasm", RTLD_NOW).await;
    let (_, code) = guest.symbol(handle, "code").await.unwrap();
    assert_eq!(guest.word(code), 1, "the inner dlopen gave 0");
    guest.close(handle).await.unwrap();
    guest.close(handle).await.unwrap();
    assert!(guest.close(handle).await.is_err(), "it was opened twice");
}

#[tokio::test]
async fn run_time_paths_are_searched_after_the_directory() {
    let mut guest = Guest::new().await;
    std::fs::create_dir(guest.directory.join("deep")).unwrap();
    guest.library(
        "deep/inner.wasm",
        "",
        r#"(func (export "inner") (param i32) (result i32) (i32.const 3))"#,
    );
    guest.library(
        "outer.wasm",
        r#"(needed "inner.wasm") (runtime-path "$ORIGIN/absent" "$ORIGIN/deep")"#,
        "",
    );
    let handle = guest.open("outer.wasm", RTLD_NOW).await;
    assert_eq!(guest.call(handle, "inner", 0).await.unwrap(), 3);
}
