//! Every import, ours and WASI's, with every kind of bad argument: the guest gets errors, the host lives on.
//!
//! The functions come from the linker, so that a new import is tested without a line here.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use nodule_abi::imports;

use crate::abi::{Registered, registered};
use crate::hostile::Random;
use crate::support::{Run, wat_with};

/// Bytes of the memory of the caller.
const MEMORY: i64 = 2 * 65536;
/// What pointers, lengths, handles and flags become. At 1024 lies text, at 2048 a value.
const I32_VALUES: [i64; 18] = [
    0,
    1,
    3,
    8,
    22,
    1024,
    2048,
    65535,
    65536,
    MEMORY - 1,
    MEMORY,
    MEMORY + 1,
    0x7fff_fff8,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_0000,
    0xffff_fff8,
    0xffff_ffff,
];
const I64_VALUES: [i64; 8] = [0, 1, -1, i64::MIN, i64::MAX, 1 << 31, 1 << 32, 1_000_000];
const F64_VALUES: [&str; 8] = ["0", "-1", "0.5", "1e300", "-inf", "inf", "nan", "5e-324"];
/// Random combinations on top of the systematic ones.
const RANDOM_CALLS: usize = 150;

/// Functions that end the guest, or the process, when they do what they are for.
const ENDING: [(&str, &str); 6] = [
    ("nodule:process/1", "abort"),
    ("nodule:process/1", "exit"),
    ("nodule:process/1", "uncaught"),
    ("nodule:process/1", "kill"),
    ("wasi_snapshot_preview1", "proc_exit"),
    ("wasi_snapshot_preview1", "proc_raise"),
];

/// The code with which the caller ends after its last call.
const SURVIVED: i32 = 42;

/// One call: constants in the text format.
type Arguments = Vec<String>;

/// What parameter `index` may become.
fn values(function: &Registered, index: usize) -> Vec<String> {
    let table = imports::find(&function.namespace, &function.name);
    let name = table
        .and_then(|import| import.params.get(index))
        .map_or("", |param| param.name);
    match (function.params[index], name) {
        // Waiting without end for what is kept alive is no misuse.
        ("i32", "keep_alive") => vec!["(i32.const 0)".into()],
        ("i32", _) => I32_VALUES.iter().map(|value| format!("(i32.const {value})")).collect(),
        ("i64", _) => I64_VALUES.iter().map(|value| format!("(i64.const {value})")).collect(),
        ("f64", _) => F64_VALUES.iter().map(|value| format!("(f64.const {value})")).collect(),
        (other, _) => panic!("{function:?}: no values for {other}"),
    }
}

/// Each parameter through all its values while the others are plausible, zero or huge; then random combinations.
fn calls(function: &Registered) -> Vec<Arguments> {
    let grid: Vec<_> = (0..function.params.len())
        .map(|index| values(function, index))
        .collect();
    let plausible = |position: usize, values: &Vec<String>| values[[5, 3][position % 2].min(values.len() - 1)].clone();
    let bases: [Arguments; 3] = [
        grid.iter()
            .enumerate()
            .map(|(position, values)| plausible(position, values))
            .collect(),
        grid.iter().map(|values| values[0].clone()).collect(),
        grid.iter().map(|values| values[values.len() - 1].clone()).collect(),
    ];
    let mut calls = vec![bases[0].clone()];
    for base in &bases {
        for (index, values) in grid.iter().enumerate() {
            for value in values {
                let mut call = base.clone();
                call[index].clone_from(value);
                calls.push(call);
            }
        }
    }
    let mut random = Random(1 + function.name.len() as u64);
    for _ in 0..if grid.is_empty() { 0 } else { RANDOM_CALLS } {
        calls.push(
            grid.iter()
                .map(|values| values[random.below(values.len())].clone())
                .collect(),
        );
    }
    calls
}

/// A module that makes these calls, each in a function of its own, and then ends with [`SURVIVED`]; with one more
/// when a call trapped. A trap is handled: the loop goes on behind it.
fn caller(function: &Registered, calls: &[Arguments]) -> String {
    let Registered {
        namespace,
        name,
        params,
        results,
    } = function;
    let mut text = format!(
        r#"(module (import "{namespace}" "{name}" (func $f (param {}) (result {})))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 2) (data (i32.const 1024) "no/such/file") (data (i32.const 2048) "\a1\64file\63abc")
        (global $next (mut i32) (i32.const 0)) (global $trapped (mut i32) (i32.const 0))
        (table {count} funcref)
        (func $run (export "nodule_resume") (local $call i32)
            (loop $again
                (local.set $call (global.get $next))
                (if (i32.ge_u (local.get $call) (i32.const {count}))
                    (then (call $exit (i32.add (i32.const {SURVIVED}) (global.get $trapped)))))
                (global.set $next (i32.add (local.get $call) (i32.const 1)))
                (call_indirect (local.get $call))
                (br $again)))
        (func (export "_start") (call $run))
        (func (export "nodule_hook_buffer") (result i32) (i32.const 65536))
        (func (export "nodule_uncaught") (param i32 i32) (result i32)
            (global.set $trapped (i32.const 1)) (i32.const 1))
        "#,
        params.join(" "),
        results.join(" "),
        count = calls.len(),
    );
    let drop = "drop ".repeat(results.len());
    for (index, call) in calls.iter().enumerate() {
        let _ = writeln!(
            text,
            "(func $call{index} (call $f {}) {drop}) (elem (i32.const {index}) $call{index})",
            call.join(" ")
        );
    }
    text.push(')');
    text
}

fn run(flags: &[&str], text: &str) -> Run {
    let flags = [&["--no-cache", "--optimize", "0"], flags].concat();
    wat_with(&flags, text).time_limit(Duration::from_secs(120)).run()
}

/// Calls all functions but the ending ones, two at a time; each has a process of its own.
fn survey(flags: &[&str]) {
    let functions = registered()
        .into_iter()
        .filter(|function| !ENDING.contains(&(function.namespace.as_str(), function.name.as_str())));
    let work = Mutex::new(functions);
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let next = || work.lock().unwrap().next();
                while let Some(function) = next() {
                    let run = run(flags, &caller(&function, &calls(&function)));
                    // WASI leaves it to the host whether values without a meaning are an error or a trap. A cell that is
                    // not aligned traps as it does with atomic instructions.
                    let may_trap = ["wasi_", "nodule:shared_memory/"]
                        .iter()
                        .any(|start| function.namespace.starts_with(start));
                    let traps = may_trap && run.code == Some(SURVIVED + 1);
                    if run.code != Some(SURVIVED) && !traps {
                        let line = format!(
                            "{} {}: code {:?}, signal {:?}\n{}",
                            function.namespace, function.name, run.code, run.signal, run.stderr
                        );
                        problems.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_import_survives_every_argument() {
    survey(&[]);
}

#[test]
fn every_import_survives_every_argument_with_grants() {
    survey(&[
        "--dir",
        ".",
        "--allow-net",
        "--allow-run",
        "--allow-child",
        "--allow-env",
        "--allow-sys",
        "--allow-dlopen",
    ]);
}

/// One call of a function that ends the guest when it succeeds.
fn ending_call(namespace: &str, name: &str, arguments: &[&str]) -> Run {
    let function = registered()
        .into_iter()
        .find(|function| function.namespace == namespace && function.name == name);
    let function = function.unwrap_or_else(|| panic!("{namespace} {name} is not registered"));
    run(
        &[],
        &caller(&function, &[arguments.iter().map(|text| (*text).to_string()).collect()]),
    )
}

// proves: process.exit_code.0
#[test]
fn every_exit_code_passes_through() {
    for (code, seen) in [
        ("0", 0),
        ("1", 1),
        ("125", 125),
        ("126", 126),
        ("134", 134),
        ("255", 255),
        ("256", 0),
        ("-1", 255),
        ("0x80000000", 0),
    ] {
        ending_call("wasi_snapshot_preview1", "proc_exit", &[&format!("(i32.const {code})")]).code(seen);
    }
    for (code, seen) in [
        ("300", 44),
        ("-1", 255),
        ("0x7fffffffffffffff", 255),
        ("0x8000000000000000", 0),
    ] {
        ending_call("nodule:process/1", "exit", &[&format!("(i64.const {code})")]).code(seen);
    }
}

#[test]
fn records_that_cannot_be_read_do_not_end_the_guest() {
    for (pointer, len) in [
        ("0", "0"),
        ("0", "16"),
        ("2048", "3"),
        ("65530", "0x7fffffff"),
        ("131072", "1"),
        ("-1", "-1"),
    ] {
        let arguments = [
            format!("(i32.const {pointer})"),
            format!("(i32.const {len})"),
            "(i32.const 0)".to_string(),
        ];
        ending_call(
            "nodule:process/1",
            "uncaught",
            &arguments.each_ref().map(String::as_str),
        )
        .code(SURVIVED);
    }
}

#[test]
fn signals_that_do_not_exist_are_refused() {
    for signal in ["65", "-1", "1000000", "0x7fffffff", "0x80000000"] {
        // To its own group, which is the command alone.
        for pid in ["0", "1", "0x7fffffff"] {
            let arguments = [format!("(i32.const {pid})"), format!("(i32.const {signal})")];
            ending_call("nodule:process/1", "kill", &arguments.each_ref().map(String::as_str)).code(SURVIVED);
        }
    }
}
