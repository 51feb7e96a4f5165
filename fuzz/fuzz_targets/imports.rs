#![no_main]
//! Sequences of imports with any arguments, on any memory: the host neither panics nor hangs.
//!
//! One module has a wrapper for every import of the ABI table. The input is a list of calls, with small numbers
//! for the arguments more often than large ones; the rest of it is laid into the guest's memory.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use nodule::{Host, Limits, Module, Permissions};
use nodule_abi::imports::{AREAS, Area, Import, WasmType};

/// Where calls lie in the memory: the number of the import, then seven arguments, 8 bytes each.
const CALLS: u32 = 65536;
const CALL_BYTES: usize = 64;
const CALLS_MAX: usize = 64;
const ARGUMENTS_MAX: usize = 7;

/// Calls that reach beyond this process.
const LEFT_OUT: [&str; 1] = ["kill"];

fn imports() -> impl Iterator<Item = (&'static Area, &'static Import)> {
    AREAS
        .iter()
        .flat_map(|area| area.imports.iter().map(move |import| (area, import)))
        .filter(|(_, import)| !LEFT_OUT.contains(&import.name))
}

/// The module: `run(count)` makes the calls that lie at [`CALLS`].
fn module_text() -> String {
    let mut text = String::from("(module\n");
    let mut thunks = String::new();
    let count = imports().count();
    for (number, (area, import)) in imports().enumerate() {
        let params: Vec<_> = import.params.iter().map(|param| param.wasm.name()).collect();
        let result = import.result.as_ref().map_or("", |result| result.wasm.name());
        let _ = writeln!(
            text,
            "(import \"{}\" \"{}\" (func $i{number} (param {}) (result {result})))",
            area.namespace,
            import.name,
            params.join(" ")
        );
        let _ = write!(thunks, "(func $t{number} (param $at i32) (call $i{number}");
        for (index, param) in import.params.iter().enumerate() {
            let load = format!("offset={} (local.get $at)", 8 * (index + 1));
            let _ = match (param.wasm, param.name) {
                // A wait is no hang.
                (_, "timeout_ns") => write!(thunks, " (i64.and (i64.load {load}) (i64.const 0xfffff))"),
                (WasmType::I32, _) => write!(thunks, " (i32.load {load})"),
                (WasmType::I64, _) => write!(thunks, " (i64.load {load})"),
                (WasmType::F64, _) => write!(thunks, " (f64.load {load})"),
            };
        }
        let drop = if import.result.is_some() { "drop" } else { "" };
        let _ = writeln!(thunks, ") {drop}) (elem (i32.const {number}) $t{number})");
    }
    let _ = write!(
        text,
        "(memory (export \"memory\") 2) (table {count} funcref) (type $thunk (func (param i32)))\n{thunks}
        (func (export \"run\") (param $count i32) (local $at i32)
            (local.set $at (i32.const {CALLS}))
            (block $done (loop $again
                (br_if $done (i32.eqz (local.get $count)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (call_indirect (type $thunk) (local.get $at)
                    (i32.rem_u (i32.load (local.get $at)) (i32.const {count})))
                (local.set $at (i32.add (local.get $at) (i32.const {CALL_BYTES})))
                (br $again)))))"
    );
    text
}

/// Turns the input into calls; gives them and what is left.
fn calls(mut bytes: &[u8]) -> (Vec<u8>, usize, &[u8]) {
    let mut take = |len: usize| {
        let (taken, rest) = bytes.split_at(len.min(bytes.len()));
        bytes = rest;
        taken
            .iter()
            .rev()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let count = usize::try_from(take(1)).unwrap_or(0) % CALLS_MAX;
    let mut memory = Vec::with_capacity(count * CALL_BYTES);
    for _ in 0..count {
        memory.extend_from_slice(&take(1).to_le_bytes());
        for _ in 0..ARGUMENTS_MAX {
            let argument = match take(1) {
                0xff => take(8),
                0xfe => u64::from(u32::MAX) - take(1),
                0xfd => 2 * 65536 - take(1),
                0xfc => take(4),
                0xfb => take(2),
                small => small,
            };
            memory.extend_from_slice(&argument.to_le_bytes());
        }
    }
    (memory, count, bytes)
}

struct Fixture {
    runtime: tokio::runtime::Runtime,
    host: Host,
    module: Module,
    permissions: Permissions,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let host = Host::builder().no_cache().build().expect("a host");
        let module = Module::from_bytes(&host, "calls", module_text().as_bytes()).expect("the module of all imports");
        let permissions = Permissions::none().allow_env(Permissions::parse_env("*").expect("a grant"));
        Fixture {
            runtime,
            host,
            module,
            permissions,
        }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (memory, count, rest) = calls(bytes);
    let Fixture {
        runtime,
        host,
        module,
        permissions,
    } = fixture();
    runtime.block_on(async {
        let limits = Limits {
            timeout: Some(Duration::from_secs(5)),
            max_handles: 100,
            ..Limits::default()
        };
        let isolate = host.isolate(module).permissions(permissions.clone()).limits(limits);
        let mut plugin = isolate.plugin().await.expect("an instance");
        plugin
            .write_memory(0, &rest[..rest.len().min(CALLS as usize)])
            .expect("it fits");
        plugin.write_memory(CALLS, &memory).expect("it fits");
        let result = plugin
            .call::<i32, ()>("run", i32::try_from(count).expect("a small number"))
            .await;
        // Errors are the guest's; the time limit is the one that tells of a hang.
        let is_hang = result.is_err_and(|error| error.code.as_deref() == Some("ERR_WORKER_DEADLINE"));
        assert!(!is_hang, "a call did not come back");
    });
});
