//! Refusals and the checks without paths.

use std::ffi::OsStr;
use std::path::Path;

use nodule_abi::error::Result;

use crate::permissions::{Capability, Grant, NetHost, Permissions};

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (String, String, String) {
    let record = *result.unwrap_err();
    assert_eq!(record.code.as_deref(), Some("ERR_ACCESS_DENIED"), "{record}");
    let flag = record.message.rsplit_once("allow it with ").unwrap().1.to_owned();
    (record.permission.unwrap().into_owned(), record.resource.unwrap(), flag)
}

fn expect(permission: &str, resource: &str, flag: &str) -> (String, String, String) {
    (permission.to_owned(), resource.to_owned(), flag.to_owned())
}

#[test]
fn refusals_carry_permission_resource_and_flag() {
    let none = Permissions::none()
        .deny(Capability::Worker)
        .deny(Capability::SharedMemory);
    let root = Path::new("/");
    for (refused, expected) in [
        (
            refusal(none.check_child("a.wasm")),
            expect("ChildProcess", "a.wasm", "--allow-child"),
        ),
        (
            refusal(none.check_worker("")),
            expect("WorkerThreads", "", "--allow-worker"),
        ),
        (refusal(none.check_sys("uid")), expect("Sys", "uid", "--allow-sys")),
        (
            refusal(none.check_shared_memory("")),
            expect("SharedMemory", "", "--allow-shared-memory"),
        ),
        (
            refusal(none.check_inspector("")),
            expect("Inspector", "", "--allow-inspector"),
        ),
        (refusal(none.check_ffi("")), expect("FFI", "", "--allow-ffi")),
        (refusal(none.check_wasi("")), expect("WASI", "", "--allow-wasi")),
        (
            refusal(none.check_env("HOME")),
            expect("Env", "HOME", "--allow-env=HOME"),
        ),
        (
            refusal(none.check_run("/bin/ls", root, OsStr::new(""))),
            expect("Run", "/bin/ls", "--allow-run=/bin/ls"),
        ),
        (
            refusal(none.check_net("127.0.0.1:80")),
            expect("Net", "127.0.0.1:80", "--allow-net=127.0.0.1:80"),
        ),
        (
            refusal(none.check_signal(1, |_| false)),
            expect("Signal", "1", "--allow-signal"),
        ),
        (
            refusal(none.check_read("/a/b", root)),
            expect("FileSystemRead", "/a/b", "--dir=/a:ro"),
        ),
        (
            refusal(none.check_write("b", Path::new("/a"))),
            expect("FileSystemWrite", "/a/b", "--dir=/a"),
        ),
    ] {
        assert_eq!(refused, expected);
    }
}

#[test]
fn a_refused_addon_has_its_own_code() {
    let record = Permissions::none().check_addon("/a.wasm").unwrap_err();
    assert!(record.is_code("ERR_DLOPEN_DISABLED"));
    assert_eq!(record.permission.as_deref(), Some("Addon"));
    assert!(record.message.ends_with("allow it with --allow-dlopen"), "{record}");
    let _ = Permissions::none()
        .allow(Capability::Addon)
        .check_addon("/a.wasm")
        .unwrap();
}

#[test]
fn the_flag_a_refusal_names_allows_the_same_call() {
    let try_all = |permissions: &Permissions| {
        vec![
            permissions.check_child("x").map(drop),
            permissions.check_worker("").map(drop),
            permissions.check_sys("uid").map(drop),
            permissions.check_shared_memory("").map(drop),
            permissions.check_inspector("").map(drop),
            permissions.check_ffi("").map(drop),
            permissions.check_wasi("").map(drop),
            permissions.check_addon("/x").map(drop),
            permissions.check_env("HOME").map(drop),
            permissions
                .check_run("/bin/sh", Path::new("/"), OsStr::new(""))
                .map(drop),
            permissions
                .check_run("sh", Path::new("/"), OsStr::new("/bin"))
                .map(drop),
            permissions.check_net("[::1]:80").map(drop),
            permissions.check_signal(1, |_| false).map(drop),
            permissions.check_read("/etc/passwd", Path::new("/")).map(drop),
            permissions.check_write("x", Path::new("/tmp")).map(drop),
        ]
    };
    let none = Permissions::none()
        .deny(Capability::Worker)
        .deny(Capability::SharedMemory);
    for (n, refused) in try_all(&none).into_iter().enumerate() {
        let message = refused.unwrap_err().message;
        let flag = message.rsplit_once("allow it with ").unwrap().1;
        let granted = none.clone().with_flag(flag).unwrap();
        assert!(try_all(&granted)[n].is_ok(), "{flag} does not allow: {message}");
    }
}

#[test]
fn signals_reach_own_processes_without_a_grant() {
    let none = Permissions::none();
    let own = i32::try_from(std::process::id()).unwrap();
    let descendant = |pid| pid == 77;
    for allowed in [own, -own, 77, -77] {
        assert_eq!(none.check_signal(allowed, descendant).unwrap().pid(), allowed);
    }
    for refused in [-1, 1, -78, 78, i32::MIN] {
        assert!(none.check_signal(refused, descendant).is_err(), "{refused}");
    }
    assert!(
        none.check_signal(-1, |_| true).is_err(),
        "all processes are never only ours"
    );
    let leads_group = rustix::process::getpgrp().as_raw_nonzero().get() == own;
    assert_eq!(none.check_signal(0, |_| false).is_ok(), leads_group);
    assert!(none.check_signal(0, |_| true).is_ok());
    let granted = Permissions::none().allow(Capability::Signal);
    assert!(
        [-1, 0, 1]
            .into_iter()
            .all(|pid| granted.check_signal(pid, |_| false).is_ok())
    );
}

#[test]
fn a_granted_executable_is_run_by_its_canonical_path() {
    let granted = Permissions::none().allow_run(Permissions::parse_run("/bin/sh").unwrap());
    let canonical = Path::new("/bin/sh").canonicalize().unwrap();
    for (file, cwd, search) in [
        ("/bin/sh", "/", ""),
        ("sh", "/", "/nowhere:/bin"),
        ("./sh", "/bin", ""),
        ("../bin/sh", "/etc", ""),
        ("sh", "/", "bin"),
    ] {
        let run = granted.check_run(file, Path::new(cwd), OsStr::new(search)).unwrap();
        assert_eq!(run.path(), canonical, "{file} in {cwd}");
    }
    for (file, search) in [("sh", "/nowhere"), ("/bin/cat", ""), ("cat", "/bin"), ("", "/bin")] {
        assert!(
            granted.check_run(file, Path::new("/"), OsStr::new(search)).is_err(),
            "{file}"
        );
    }
}

#[test]
fn loader_variables_need_all_executables() {
    let one = Permissions::none().allow_run(Permissions::parse_run("/bin/sh").unwrap());
    let all = Permissions::none().allow_run(Grant::All);
    let run = |permissions: &Permissions| {
        permissions
            .check_run("/bin/sh", Path::new("/"), OsStr::new(""))
            .unwrap()
    };
    assert!(run(&one).check_env("PATH").is_ok());
    for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH"] {
        assert!(run(&one).check_env(name).is_err(), "{name}");
        assert!(run(&all).check_env(name).is_ok(), "{name}");
    }
}

#[test]
fn a_name_found_nowhere_is_no_question_of_permission_when_all_is_granted() {
    let all = Permissions::none().allow_run(Grant::All);
    let missing = all.check_run("no-such", Path::new("/"), OsStr::new("/bin"));
    assert!(missing.unwrap_err().is_code("ENOENT"));
}

#[test]
fn malformed_addresses_are_bad_values() {
    let all = Permissions::none().allow_net(Grant::All);
    assert!(all.check_net("a b").unwrap_err().is_code("ERR_INVALID_ARG_VALUE"));
    let checked = all.check_net("Example.com:443").unwrap();
    assert_eq!(checked.host(), Some(&NetHost::Name("example.com".to_owned())));
    assert_eq!(checked.port(), Some(443));
}
