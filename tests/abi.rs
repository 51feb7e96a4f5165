//! The import table, what the host registers, and what happens to modules built for another host.

use std::sync::{Arc, Mutex};

use nodule::wasmtime::{Caller, ExternType, FuncType, Linker, ValType};
use nodule::{Host, IsolateState, Module};
use nodule_abi::ABI_VERSION;
use nodule_abi::imports::{AREAS, listing};

use crate::support::{first_difference, wat_with};

/// A function the host registers.
#[derive(Clone, Debug)]
pub struct Registered {
    pub namespace: String,
    pub name: String,
    pub params: Vec<&'static str>,
    pub results: Vec<&'static str>,
}

/// Everything a guest can import, as the linker has it. A host function lists it: only a running isolate has a store.
pub fn registered() -> Vec<Registered> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&found);
    let hook = move |linker: &mut Linker<IsolateState>| {
        let (all, list) = (linker.clone(), Arc::clone(&list));
        linker.func_wrap("test", "list", move |mut caller: Caller<'_, IsolateState>| {
            let items: Vec<_> = all
                .iter(&mut caller)
                .map(|(area, name, item)| (area.to_string(), name.to_string(), item))
                .collect();
            for (namespace, name, item) in items {
                if let ExternType::Func(function) = item.ty(&caller) {
                    let (params, results) = types(&function);
                    list.lock().unwrap().push(Registered {
                        namespace,
                        name,
                        params,
                        results,
                    });
                }
            }
        })?;
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let status = runtime.block_on(async {
        let host = Host::builder().no_cache().linker(hook).build().unwrap();
        let text = br#"(module (import "test" "list" (func $list)) (func (export "_start") (call $list)))"#;
        let module = Module::from_bytes(&host, "list", text).unwrap();
        host.isolate(&module).spawn().unwrap().join().await
    });
    assert!(status.success(), "{status:?}");
    let mut found = std::mem::take(&mut *found.lock().unwrap());
    found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    found
}

fn types(function: &FuncType) -> (Vec<&'static str>, Vec<&'static str>) {
    let name = |value: ValType| match value {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        other => panic!("a type no guest has: {other}"),
    };
    (
        function.params().map(name).collect(),
        function.results().map(name).collect(),
    )
}

#[test]
fn the_linker_has_what_the_table_says_and_no_more() {
    let ours = registered()
        .into_iter()
        .filter(|function| function.namespace.starts_with("nodule:"));
    let mut lines: Vec<String> = ours
        .map(|function| {
            let result = function
                .results
                .first()
                .map(|result| format!(" -> {result}"))
                .unwrap_or_default();
            format!(
                "{} {} ({}){result}",
                function.namespace,
                function.name,
                function.params.join(" ")
            )
        })
        .collect();
    let table = listing();
    let mut expected: Vec<_> = table.lines().map(String::from).collect();
    expected.sort();
    lines.sort();
    let difference = first_difference(&expected.join("\n"), &lines.join("\n"));
    assert!(
        difference.is_none(),
        "table and linker differ\n{}",
        difference.unwrap_or_default()
    );
}

#[test]
fn namespaces_are_made_of_name_and_version() {
    for area in AREAS {
        assert_eq!(area.namespace, format!("nodule:{}/{}", area.name, area.version));
    }
}

#[test]
fn every_import_is_documented() {
    for area in AREAS {
        assert!(!area.docs.is_empty(), "{}", area.name);
        for import in area.imports {
            assert!(!import.docs.is_empty(), "{} {}", area.name, import.name);
        }
    }
}

// proves: process.exit_code.4
#[test]
fn modules_for_another_host_are_refused_before_they_run() {
    let start = r#"(func (export "_start") unreachable)"#;
    let next = format!(
        "nodule:process/{}",
        AREAS.iter().find(|area| area.name == "process").unwrap().version + 1
    );
    let present = format!(
        "nodule:process/{}",
        AREAS.iter().find(|area| area.name == "process").unwrap().version
    );
    let cases = [
        (
            format!(r#"(import "{next}" "rss" (func (result i64)))"#),
            vec![next.as_str(), present.as_str()],
        ),
        (
            format!(r#"(import "{present}" "no_such" (func))"#),
            vec!["no_such", present.as_str()],
        ),
        (
            format!(r#"(import "{present}" "rss" (func (param i32)))"#),
            vec!["rss", present.as_str()],
        ),
        (
            r#"(import "nodule:nonsense/1" "x" (func))"#.to_string(),
            vec!["nonsense"],
        ),
        (
            r#"(import "wasi_snapshot_preview1" "no_such" (func))"#.to_string(),
            vec!["no_such", "wasi_snapshot_preview1"],
        ),
        (
            r#"(import "wasi_unstable" "fd_write" (func))"#.to_string(),
            vec!["wasi_unstable"],
        ),
        (r#"(import "env" "memcpy" (func))"#.to_string(), vec!["memcpy", "env"]),
        (
            r#"(import "env" "memory" (memory 1))"#.to_string(),
            vec!["memory", "env"],
        ),
    ];
    for (import, parts) in cases {
        let run = wat_with(&[], &format!("(module {import} {start})"))
            .run()
            .code(4)
            .stdout("");
        for part in parts {
            run.check(run.stderr.contains(part), &format!("stderr with {part:?} expected"));
        }
    }
}

// proves: process.exit_code.4
#[test]
fn a_module_for_another_abi_number_is_refused_with_both_numbers() {
    let other = ABI_VERSION + 41;
    let module = |number: u32| format!(r#"(module (func (export "nodule_abi_{number}")) (func (export "_start")))"#);
    wat_with(&[], &module(ABI_VERSION)).run().success();
    wat_with(&[], &module(other))
        .run()
        .code(4)
        .stderr_has(&other.to_string())
        .stderr_has(&ABI_VERSION.to_string());
}
