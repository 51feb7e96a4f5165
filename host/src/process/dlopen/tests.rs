//! Side modules in text form, loaded by a guest that does what it is told.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nodule_abi::error::ErrorRecord;

use super::{RTLD_GLOBAL, RTLD_LAZY, RTLD_NOW};
use crate::permissions::{Capability, DirAccess, Permissions};
use crate::{Host, Limits, Module, OnMemoryLimit, Plugin};

/// The path or name goes to 1024; the handle comes to 0, what `dlsym` finds to 8.
const MAIN: &str = r#"(module
    (import "nodule:process/1" "dlopen" (func $dlopen (param i32 i32 i32 i32) (result i32)))
    (import "nodule:process/1" "dlsym" (func $dlsym (param i32 i32 i32 i32) (result i32)))
    (import "nodule:process/1" "dlclose" (func $dlclose (param i32) (result i32)))
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 4 funcref)
    (global $sp (export "__stack_pointer") (mut i32) (i32.const 4096))
    (global (export "base_value") i32 (i32.const 512))
    (data (i32.const 512) "\2a\00\00\00")
    (type $unary (func (param i32) (result i32)))
    (func $twice (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (elem (i32.const 1) func $twice)
    (func $open (export "open") (param $length i32) (param $flags i32) (result i32)
        (call $dlopen (i32.const 1024) (local.get $length) (local.get $flags) (i32.const 0)))
    (func (export "sym") (param $handle i32) (param $length i32) (result i32)
        (call $dlsym (local.get $handle) (i32.const 1024) (local.get $length) (i32.const 8)))
    (func (export "close") (param $handle i32) (result i32) (call $dlclose (local.get $handle)))
    (func (export "open_again") (result i32) (call $open (i32.load (i32.const 2000)) (i32.const 1)))
    (func (export "stack_pointer") (result i32) (global.get $sp))
    (func (export "call") (param $index i32) (param $argument i32) (result i32)
        (call_indirect (type $unary) (local.get $argument) (local.get $index))))"#;

/// What every side module imports.
const ENV: &str = r#"
    (import "env" "memory" (memory 0))
    (import "env" "__indirect_function_table" (table 0 funcref))
    (import "env" "__memory_base" (global $memory_base i32))
    (import "env" "__table_base" (global $table_base i32))
    (import "env" "__stack_pointer" (global $sp (mut i32)))"#;

/// A guest, and the directory its side modules are in.
struct Guest {
    plugin: Plugin,
    directory: PathBuf,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn new_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("nodule-dlopen-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn granted(directory: &Path) -> Permissions {
    Permissions::none()
        .allow(Capability::Addon)
        .dir(directory, "/lib", DirAccess::Read)
        .unwrap()
}

impl Guest {
    async fn new() -> Self {
        Self::with(MAIN, Limits::default(), granted).await
    }

    async fn with(main: &str, limits: Limits, permissions: fn(&Path) -> Permissions) -> Self {
        let directory = new_directory();
        let host = Host::builder().no_cache().build().unwrap();
        let module = Module::from_bytes(&host, "main", main.as_bytes()).unwrap();
        let isolate = host
            .isolate(&module)
            .limits(limits)
            .permissions(permissions(&directory));
        Self {
            plugin: isolate.plugin().await.unwrap(),
            directory,
        }
    }

    /// Writes the side module `name`: its `dylink.0` section and what follows the usual imports.
    fn library(&self, name: &str, dylink: &str, body: &str) {
        let text = format!("(module (@dylink.0 {dylink}) {body})");
        std::fs::write(self.directory.join(name), wat::parse_str(text).unwrap()).unwrap();
    }

    fn write_argument(&mut self, text: &str) -> i32 {
        self.plugin.write_memory(1024, text.as_bytes()).unwrap();
        i32::try_from(text.len()).unwrap()
    }

    fn word(&mut self, address: u32) -> u32 {
        u32::from_le_bytes(self.plugin.read_memory(address, 4).unwrap().try_into().unwrap())
    }

    fn result(&mut self, code: i32) -> Result<(), ErrorRecord> {
        if code == 0 {
            return Ok(());
        }
        let record = self.plugin.state().last_error.clone().unwrap();
        assert_eq!(code.unsigned_abs(), u32::from(record.error_code().unwrap().number()));
        Err(*record)
    }

    async fn try_open(&mut self, name: &str, flags: u32) -> Result<u32, ErrorRecord> {
        let length = self.write_argument(&format!("/lib/{name}"));
        let code = self
            .plugin
            .call::<_, i32>("open", (length, flags.cast_signed()))
            .await
            .map_err(|record| *record)?;
        self.result(code)?;
        Ok(self.word(0))
    }

    async fn open(&mut self, name: &str, flags: u32) -> u32 {
        self.try_open(name, flags).await.unwrap()
    }

    /// The message of the `ERR_DLOPEN_FAILED` that opening gives.
    async fn refusal(&mut self, name: &str, flags: u32) -> String {
        let record = self.try_open(name, flags).await.unwrap_err();
        assert!(record.is_code("ERR_DLOPEN_FAILED"), "{record}");
        record.message
    }

    /// The kind (0 function, 1 data) and the value of a symbol.
    async fn symbol(&mut self, handle: u32, name: &str) -> Result<(u32, u32), ErrorRecord> {
        let length = self.write_argument(name);
        let code = self
            .plugin
            .call::<_, i32>("sym", (handle.cast_signed(), length))
            .await
            .unwrap();
        self.result(code)?;
        Ok((self.word(8), self.word(12)))
    }

    async fn call(&mut self, handle: u32, name: &str, argument: i32) -> Result<i32, ErrorRecord> {
        let (kind, index) = self.symbol(handle, name).await?;
        assert_eq!(kind, 0, "{name} is no function");
        self.plugin
            .call::<_, i32>("call", (index.cast_signed(), argument))
            .await
            .map_err(|record| *record)
    }

    async fn close(&mut self, handle: u32) -> Result<(), ErrorRecord> {
        let code = self.plugin.call::<_, i32>("close", handle.cast_signed()).await.unwrap();
        self.result(code)
    }
}

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
    std::fs::create_dir(path("directory.wasm")).unwrap();
    nix::unistd::mkfifo(&path("fifo.wasm"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", path("outside.wasm")).unwrap();
    for (name, reason) in [
        ("garbage.wasm", "not a wasm module"),
        ("empty.wasm", "empty"),
        ("plain.wasm", "no side module"),
        ("cut.wasm", "not a valid wasm module"),
        ("invalid.wasm", "not a valid wasm module"),
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
async fn a_constructor_may_load_modules_itself() {
    let mut guest = Guest::new().await;
    // It opens itself: the path is still where it was.
    let body = r#"(import "env" "open_again" (func $open (result i32))) (import "GOT.mem" "code" (global $code (mut i32)))
        (import "env" "memory" (memory 0)) (global (export "code") i32 (i32.const 0))
        (func (export "__wasm_call_ctors") (i32.store (global.get $code) (i32.add (i32.const 1) (call $open))))"#;
    guest.library("again.wasm", "(mem-info (memory 4 2) (table 0 0))", body);
    guest
        .plugin
        .write_memory(2000, &("/lib/again.wasm".len() as u32).to_le_bytes())
        .unwrap();
    let handle = guest.open("again.wasm", RTLD_NOW).await;
    let (_, code) = guest.symbol(handle, "code").await.unwrap();
    assert_eq!(guest.word(code), 1, "the inner dlopen gave 0");
    guest.close(handle).await.unwrap();
    guest.close(handle).await.unwrap();
    assert!(guest.close(handle).await.is_err(), "it was opened twice");
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
