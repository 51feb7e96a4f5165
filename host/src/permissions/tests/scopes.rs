//! `has`, `drop` and flags.

use super::{ROOT, Tree, read};
use crate::permissions::{DirAccess, PermissionError, Permissions};

#[test]
fn has_answers_for_whole_scopes_and_references() {
    let tree = Tree::new();
    let none = Permissions::none();
    let all = Permissions::all().unwrap();
    let scopes = [
        "fs",
        "fs.read",
        "fs.write",
        "child",
        "net",
        "inspector",
        "wasi",
        "addon",
        "ffi",
        "run",
        "env",
        "sys",
        "signal",
    ];
    for scope in scopes {
        assert!(!none.has(scope, None), "{scope}");
        assert!(all.has(scope, None), "{scope}");
    }
    for scope in ["worker", "shared_memory"] {
        assert!(none.has(scope, None) && none.has(scope, Some("any")), "{scope}");
    }
    assert!(!all.has("unknown", None) && !all.has("", None) && !all.has("FS", None));

    let some = tree
        .permissions(&[("a", "/data", DirAccess::Read)])
        .allow_net(Permissions::parse_net("localhost:80,:443").unwrap())
        .allow_env(Permissions::parse_env("HOME,APP_*").unwrap())
        .allow_run(Permissions::parse_run("/bin/sh").unwrap());
    for (scope, reference, granted) in [
        ("fs.read", Some("/data/file"), true),
        ("fs.read", Some("/data/out"), false),
        ("fs.read", Some("/etc"), false),
        ("fs.write", Some("/data/file"), false),
        ("fs", Some("/data/file"), false),
        ("fs.read", None, false),
        ("net", Some("localhost:80"), true),
        ("net", Some("example.com:443"), true),
        ("net", Some("localhost:81"), false),
        ("net", Some("not an address"), false),
        ("net", None, false),
        ("env", Some("HOME"), true),
        ("env", Some("APP_X"), true),
        ("env", Some("PATH"), false),
        ("env", None, false),
        ("run", Some("sh"), true),
        ("run", Some("/bin/cat"), false),
        ("run", None, false),
    ] {
        assert_eq!(some.has(scope, reference), granted, "{scope} {reference:?}");
    }
}

#[test]
fn drop_gives_up_whole_scopes() {
    for scope in [
        "fs",
        "fs.read",
        "fs.write",
        "child",
        "worker",
        "net",
        "inspector",
        "wasi",
        "addon",
        "ffi",
        "run",
        "env",
        "sys",
        "signal",
        "shared_memory",
    ] {
        let mut permissions = Permissions::all().unwrap();
        permissions.drop(scope, None).unwrap();
        assert!(!permissions.has(scope, None), "{scope}");
        let left: Vec<_> = ["child", "worker", "net", "run", "env", "sys", "fs.read", "fs.write"]
            .into_iter()
            .filter(|other| !permissions.has(other, None))
            .collect();
        let expected: &[&str] = match scope {
            "fs" => &["fs.read", "fs.write"],
            "inspector" | "wasi" | "addon" | "ffi" | "signal" | "shared_memory" => &[],
            scope => &[scope],
        };
        assert_eq!(left, expected);
    }
}

#[test]
fn drop_takes_exactly_the_grant_it_names() {
    let tree = Tree::new();
    let mut permissions = tree
        .permissions(&[("a", "/a", DirAccess::ReadWrite), ("b", "/b", DirAccess::ReadWrite)])
        .allow_net(Permissions::parse_net("a:1,b").unwrap())
        .allow_env(Permissions::parse_env("X*,Y").unwrap());
    let mut refused = |scope, reference| {
        let before = permissions.clone();
        let error = permissions.drop(scope, Some(reference)).unwrap_err();
        assert!(error.is_code("ERR_INVALID_ARG_VALUE"), "{scope} {reference}");
        assert_eq!(permissions, before, "{scope} {reference}");
    };
    refused("fs.read", "/a/sub");
    refused("fs", "/a/file");
    refused("net", "b:80");
    refused("net", "no address");
    refused("env", "X1");
    refused("unknown", "x");

    permissions.drop("fs.read", Some("/a/")).unwrap();
    assert!(!permissions.has("fs.read", Some("/a")) && permissions.has("fs.write", Some("/a")));
    permissions.drop("fs.write", Some("/a")).unwrap();
    assert_eq!(permissions.dirs().count(), 1);
    assert!(permissions.has("fs", Some("/b/file")));
    permissions.drop("fs", Some("/elsewhere")).unwrap();
    permissions.drop("net", Some("a:1")).unwrap();
    assert!(!permissions.has("net", Some("a:1")) && permissions.has("net", Some("b:1")));
    permissions.drop("env", Some("X*")).unwrap();
    assert!(!permissions.has("env", Some("X1")) && permissions.has("env", Some("Y")));

    let mut all = Permissions::all().unwrap();
    assert!(all.drop("net", Some("a:1")).is_err());
    assert!(all.drop("fs.read", Some("/etc")).is_err());
    assert!(all.has("net", None) && all.has("fs.read", None));
    all.drop("child", Some("any")).unwrap();
    assert!(!all.has("child", None));
}

#[test]
fn bad_flags_are_refused() {
    for flag in [
        "--allow-nothing",
        "--allow-child=x",
        "-A=x",
        "--dir",
        "net",
        "",
        "--deny-worker=1",
        "--deny-shared-memory=1",
    ] {
        let refused = Permissions::from_flags([flag]);
        assert_eq!(refused, Err(PermissionError::Flag { text: flag.to_owned() }));
    }
    let tree = Tree::new();
    let dir = format!("--dir={}::/x", tree.path("a").display());
    let all = Permissions::from_flags([dir.as_str(), "-A"]).unwrap();
    assert!(all.has("fs", None) && read(&all, "/x/file", ROOT).is_ok());
}
