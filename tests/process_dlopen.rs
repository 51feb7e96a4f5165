//! Side modules in C and Rust, loaded by guests. Hostile ones are tested where they are linked, in the host.

use std::path::PathBuf;

use crate::guests::{c, tests};
use crate::support::guest_with;

fn side_modules() -> PathBuf {
    nodule_tests::repository()
        .join("guests/target/side")
        .canonicalize()
        .unwrap()
}

// proves: process.dlopen
#[test]
fn side_modules_share_memory_table_and_symbols_with_the_guest() {
    let directory = side_modules();
    let grant = format!("--dir={}:ro", directory.display());
    // The program tries to load itself, too.
    let own = tests::PROCESS_DLOPEN.path();
    let own_grant = format!("--dir={}:ro", own.parent().unwrap().display());
    let run = guest_with(&["--allow-dlopen", &grant, &own_grant], tests::PROCESS_DLOPEN)
        .arg(&directory)
        .run()
        .success();
    for line in [
        "measures 5 5 50",
        "note summed",
        "sum 20 total 11",
        "deep 100",
        "same address true",
        "created 101",
        "scale shared true",
        "note tallied",
        "step 1: 49 14",
        "step 2: none",
        "total 33 intact true",
        "absent: ERR_DLOPEN_FAILED",
        "bonus: loaded",
        "bonus 1001",
        "closed true true",
    ] {
        run.check(
            run.stdout.lines().any(|found| found == line),
            &format!("line {line:?} expected"),
        );
    }
    run.stdout_has("missing file: ERR_DLOPEN_FAILED")
        .stdout_has("no side module: ERR_DLOPEN_FAILED")
        .stdout_has("does not start with a dylink.0 section");
}

// proves: process.dlopen
#[test]
fn a_missing_function_traps_when_it_is_called() {
    let directory = side_modules();
    let grant = format!("--dir={}:ro", directory.display());
    guest_with(&["--allow-dlopen", &grant], tests::PROCESS_DLOPEN)
        .arg(&directory)
        .arg("late")
        .run()
        .code(1)
        .stderr_has("[ERR_WASM_UNREACHABLE]: undefined symbol late_bonus, called from ");
}

// proves: process.dlopen
#[test]
fn loading_needs_both_grants() {
    let directory = side_modules();
    let grant = format!("--dir={}:ro", directory.display());
    for (flag, refusal) in [
        (grant.as_str(), "[ERR_DLOPEN_DISABLED]: "),
        ("--allow-dlopen", "[ERR_DLOPEN_FAILED]: "),
    ] {
        guest_with(&[flag], tests::PROCESS_DLOPEN)
            .arg(&directory)
            .run()
            .code(1)
            .stderr_has(refusal);
    }
}

// proves: process.dlopen
#[test]
fn the_allocator_leaves_side_modules_alone() {
    let grant = format!("--dir={}::/side:ro", side_modules().display());
    guest_with(&["--allow-dlopen", &grant], c::PROCESS_DLOPEN_EARLY)
        .run()
        .success()
        .stdout("grown 1 scale 10 scaled 30\n");
}
