//! Tests of `nodule inspect`: what a report says, and in which order.

use super::report::{self, Kind, Report};
use super::{link, text};
use crate::runtime::Host;

fn read(module: &str) -> Report {
    let mut report = report::read("m.wat", module.as_bytes()).unwrap();
    if report.kind.is_linked_by_the_host() {
        link::check(&Host::builder().no_cache().build().unwrap(), &mut report);
    }
    report
}

#[test]
fn the_kind_follows_from_the_exports() {
    for (module, kind) in [
        (
            r#"(module (func (export "_start")) (func (export "_initialize")))"#,
            Kind::Command,
        ),
        (r#"(module (func (export "_initialize")))"#, Kind::Reactor),
        (r#"(module (memory (export "_start") 1))"#, Kind::Library),
        (
            r#"(module (@custom "dylink.0" (before first) "") (func (export "_start")))"#,
            Kind::SideModule,
        ),
        (r#"(component (import "x" (func)))"#, Kind::Component),
    ] {
        assert_eq!(read(module).kind, kind, "{module}");
    }
}

#[test]
fn every_unlinkable_import_has_its_reason() {
    let report = read(
        r#"(module
            (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func))
            (import "wasi_snapshot_preview1" "fd_read" (global i32))
            (import "nodule:process/9" "kill" (func))
            (import "\"\n" "\u{1b}" (func (param i64) (result f64))))"#,
    );
    let problems: Vec<_> = report.imports.iter().map(|import| import.problem.as_deref()).collect();
    assert_eq!(problems[0], None);
    assert!(problems[1].unwrap().contains("incompatible"), "{problems:?}");
    assert!(
        problems[2].unwrap().contains("expected global, but found function"),
        "{problems:?}"
    );
    assert!(problems[3].unwrap().contains("nodule:process/1"), "{problems:?}");
    assert!(problems[4].unwrap().contains("unknown import"), "{problems:?}");
    assert_eq!(report.imports[4].item.ty.as_deref(), Some("(i64) -> (f64)"));
    assert_eq!(report.problems, ["4 imports are unknown"]);
    assert!(
        !text::write(&report).contains('\x1b'),
        "names reach the terminal as they are"
    );
}

#[test]
fn imports_of_side_modules_are_left_to_the_loader() {
    let module = r#"(module (@custom "dylink.0" (before first) "") (import "env" "memory" (memory 1)))"#;
    assert!(read(module).problems.is_empty());
}

#[test]
fn another_abi_is_a_problem() {
    let report = read(r#"(module (func (export "nodule_abi_77")))"#);
    assert_eq!(report.abi.module.as_deref(), Some("77"));
    assert!(report.problems[0].contains("built for ABI 77"), "{:?}", report.problems);
    assert!(
        read(&format!(r#"(module (func (export "nodule_abi_{}")))"#, report.abi.host))
            .problems
            .is_empty()
    );
}

#[test]
fn memories_tables_sections_and_start_are_listed() {
    let report =
        read(r#"(module (memory 2 10) (memory 1) (table 3 funcref) (func $f) (start $f) (@custom "notes" "abc"))"#);
    let memories: Vec<_> = report
        .memories
        .iter()
        .map(|memory| (memory.min_pages, memory.max_pages))
        .collect();
    assert_eq!(memories, [(2, Some(10)), (1, None)]);
    assert_eq!(
        (report.tables[0].ty.as_str(), report.tables[0].min_elements),
        ("funcref", 3)
    );
    assert_eq!(report.start, Some(0));
    assert_eq!(
        (report.custom_sections[0].name.as_str(), report.custom_sections[0].bytes),
        ("notes", 3)
    );
    let text = text::write(&report);
    assert!(
        text.contains("2 pages (128 KiB), at most 10 (640 KiB)") && text.contains("notes (3 B)"),
        "{text}"
    );
}

#[test]
fn grants_are_derived_from_imports() {
    let report = read(
        r#"(module
            (import "nodule:process/1" "setuid" (func (param i32 i32) (result i32)))
            (import "nodule:process/1" "kill" (func (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32))))"#,
    );
    let flags: Vec<_> = report.permissions.iter().map(|want| want.flag).collect();
    assert_eq!(flags, ["--dir=DIR[::GUEST][:ro]", "--allow-sys", "--allow-signal"]);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_component_is_described_not_refused() {
    let report =
        read(r#"(component (import "a:b/c@1.0.0" (instance)) (core module (memory 1)) (export "e" (instance 0)))"#);
    assert_eq!(
        (report.imports[0].name.as_str(), report.imports[0].item.kind.as_ref()),
        ("a:b/c@1.0.0", "instance")
    );
    assert_eq!(report.exports[0].name, "e");
    assert!(report.memories.is_empty() && report.problems[0].contains("wasm32-wasip1"));
}

#[test]
fn what_is_no_module_exits_with_3() {
    for (bytes, message) in [
        (b"" as &[u8], "the file is empty"),
        (b"#!/bin/sh", "is not a wasm module"),
        (b"\0asm\x01\0\0\0\x01", "cut off"),
        (b"(module (func", "is not a valid wasm module"),
        (b"\0asm\x01\0\0\0\x63\x01\0", "is not a valid wasm module"),
    ] {
        let error = report::read("m", bytes).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.code.number(), 3);
    }
}

#[test]
fn json_says_the_same() {
    let json = serde_json::to_value(read(r#"(module (import "x" "y" (func)) (memory 1))"#)).unwrap();
    assert_eq!(json["kind"], "library");
    assert_eq!(json["imports"][0]["type"], "() -> ()");
    assert!(
        json["imports"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("unknown import")
    );
    assert_eq!(json["memories"][0]["min_pages"], 1);
}
