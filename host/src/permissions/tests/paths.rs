//! Directory grants on a real file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{ROOT, Tree, read};
use crate::permissions::{DirAccess, DirGrant, PermissionError, Permissions};

#[test]
fn paths_resolve_by_guest_names_and_the_current_directory() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::Read), ("b", "/data/b", DirAccess::Read)]);
    for (path, cwd, content) in [
        ("/data/file", ROOT, "a/file"),
        ("/data/sub/../file", ROOT, "a/file"),
        (
            "/x/../data/./sub//file",
            ROOT,
            "a/file".replace("file", "sub/file").as_str(),
        ),
        ("file", "/data/sub", "a/sub/file"),
        ("../file", "/data/sub", "a/file"),
        ("/data/in/file", ROOT, "a/sub/file"),
        ("/data/b/file", ROOT, "b/file"),
        ("b/file", "/data", "b/file"),
    ] {
        assert_eq!(read(&permissions, path, cwd).unwrap(), content, "{path} in {cwd}");
    }
    let checked = permissions.check_read("/data", Path::new(ROOT)).unwrap();
    assert_eq!(
        (checked.relative(), checked.host()),
        (Path::new("."), tree.path("a").as_path())
    );
}

#[test]
fn neither_dots_nor_links_lead_out() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::ReadWrite)]);
    let host_path = tree.path("a/file");
    for path in [
        "/data/../etc/passwd",
        "/data/sub/../../b/file",
        "../etc/passwd",
        "/etc/passwd",
        "/datax/file",
        "/data/out/file",
        "/data/abs/file",
        "/data/out",
        "/data/sub/../out/new",
        host_path.to_str().unwrap(),
    ] {
        for refused in [
            permissions.check_read(path, Path::new("/data")).map(drop),
            permissions.check_write(path, Path::new("/data")).map(drop),
        ] {
            assert!(refused.unwrap_err().is_code("ERR_ACCESS_DENIED"), "{path}");
        }
    }
    let nul = permissions.check_read("/data/\0", Path::new(ROOT)).unwrap_err();
    assert!(nul.is_code("ERR_INVALID_ARG_VALUE"));
}

#[test]
fn a_link_made_after_the_check_does_not_lead_out_either() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::ReadWrite)]);
    let checked = permissions.check_read("/data/sub/file", Path::new(ROOT)).unwrap();
    fs::remove_dir_all(tree.path("a/sub")).unwrap();
    symlink("../b", tree.path("a/sub")).unwrap();
    assert!(checked.dir().open(checked.relative()).is_err());
}

#[test]
fn missing_files_and_empty_paths_pass_the_check_and_fail_to_open() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::ReadWrite)]);
    for path in ["new", "new/deeper", ""] {
        let checked = permissions.check_write(path, Path::new("/data")).unwrap();
        let error = checked.dir().open(checked.relative()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{path:?}");
    }
}

#[test]
fn reading_and_writing_are_granted_apart_and_add_up() {
    let tree = Tree::new();
    let read_only = tree.permissions(&[("a", "/data", DirAccess::Read)]);
    let refused = read_only.check_write("/data/file", Path::new(ROOT)).unwrap_err();
    assert_eq!(refused.permission.as_deref(), Some("FileSystemWrite"));
    assert!(refused.message.ends_with("--dir=HOST::/data"), "{refused}");

    let same = [("a", "/d", DirAccess::ReadWrite), ("a/sub", "/d/sub", DirAccess::Read)];
    assert!(tree.permissions(&same).check_write("/d/sub/x", Path::new(ROOT)).is_ok());
    let other = [("a", "/d", DirAccess::ReadWrite), ("b", "/d/sub", DirAccess::Read)];
    assert!(
        tree.permissions(&other)
            .check_write("/d/sub/x", Path::new(ROOT))
            .is_err()
    );
}

#[test]
fn dir_flags_are_parsed_and_refused_with_a_reason() {
    let tree = Tree::new();
    let host = tree.path("a").display().to_string();
    for (mode, access) in [
        ("", DirAccess::ReadWrite),
        (":ro", DirAccess::Read),
        (":rw", DirAccess::ReadWrite),
    ] {
        let plain = DirGrant::parse(&format!("{host}{mode}")).unwrap();
        assert_eq!((plain.guest(), plain.access()), (tree.path("a").as_path(), access));
        let named = DirGrant::parse(&format!("{host}::/x/../data{mode}")).unwrap();
        assert_eq!((named.guest(), named.access()), (Path::new("/data"), access));
    }
    let here = DirGrant::parse(".").unwrap();
    assert_eq!(here.guest(), std::env::current_dir().unwrap());
    let named_ro = DirGrant::parse(&format!("{host}::ro")).unwrap();
    assert_eq!(named_ro.guest(), std::env::current_dir().unwrap().join("ro"));
    assert_eq!(named_ro.access(), DirAccess::ReadWrite);

    for (text, reason) in [
        (format!("{host}/file"), "Not a directory"),
        (format!("{host}/none"), "No such file"),
        (format!("{host}::a:b"), "colon"),
        (format!("{host}::"), "empty"),
        (String::new(), "empty"),
        (format!("{host}/abs:rw,nofollow"), "symbolic link"),
    ] {
        let error = DirGrant::parse(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(error.contains("--dir=HOST[::GUEST][:ro]"), "{error}");
    }
    let followed = DirGrant::parse(&format!("{host}/abs")).unwrap();
    assert_eq!(followed.host(), tree.path("b"));
}

#[test]
fn one_guest_name_stands_for_one_directory() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::Read)]);
    let widened = permissions
        .clone()
        .with_dir(tree.grant("a", "/data", DirAccess::Write))
        .unwrap();
    assert_eq!(widened, tree.permissions(&[("a", "/data", DirAccess::ReadWrite)]));
    let taken = permissions.with_dir(tree.grant("b", "/data", DirAccess::Read));
    assert!(matches!(taken, Err(PermissionError::DirTaken { .. })));
}

#[test]
fn preopens_follow_the_current_directory() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[
        ("a", "/data", DirAccess::ReadWrite),
        ("b", "/data/sub/b", DirAccess::Write),
    ]);
    let names = |cwd: &str| -> Vec<String> {
        permissions
            .preopens(Path::new(cwd))
            .into_iter()
            .map(|preopen| preopen.name)
            .collect()
    };
    assert_eq!(names("/elsewhere"), ["/data"]);
    assert_eq!(names("/"), ["/data", "data"]);
    assert_eq!(names("/data"), ["/data", "."]);
    assert_eq!(names("/data/sub"), ["/data", "."]);
    let preopens = permissions.preopens(Path::new("/data/sub"));
    assert_eq!(preopens[1].dir.read_to_string("file").unwrap(), "a/sub/file");
    assert_eq!(
        permissions.guest_path(&tree.path("a/sub")).unwrap(),
        Path::new("/data/sub")
    );
    assert_eq!(permissions.guest_path(&tree.0), None);
}

#[test]
fn sub_dir_opens_only_what_is_granted() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::Read)]);
    let cwd = Path::new("/data");
    let sub = permissions.sub_dir("in", cwd, "/s", DirAccess::Read).unwrap();
    assert_eq!(
        (sub.host(), sub.guest()),
        (tree.path("a/sub").as_path(), Path::new("/s"))
    );
    let code = |path, guest, access| permissions.sub_dir(path, cwd, guest, access).unwrap_err().code.unwrap();
    assert_eq!(code("in", "/s", DirAccess::ReadWrite), "ERR_ACCESS_DENIED");
    assert_eq!(code("out", "/s", DirAccess::Read), "ERR_ACCESS_DENIED");
    assert_eq!(code("/etc", "/s", DirAccess::Read), "ERR_ACCESS_DENIED");
    assert_eq!(code("none", "/s", DirAccess::Read), "ENOENT");
    assert_eq!(code("file", "/s", DirAccess::Read), "ENOTDIR");
    assert_eq!(code("in", "a:b", DirAccess::Read), "ERR_INVALID_ARG_VALUE");
}

#[test]
fn a_child_does_not_follow_a_link_put_in_place_of_its_directory() {
    let tree = Tree::new();
    let flags = tree.permissions(&[("a/sub", "/s", DirAccess::Read)]).flags();
    fs::remove_dir_all(tree.path("a/sub")).unwrap();
    symlink("../b", tree.path("a/sub")).unwrap();
    let error = Permissions::from_flags(flags.iter().map(String::as_str)).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

#[test]
fn narrowing_checks_that_an_inner_directory_is_still_the_same() {
    let tree = Tree::new();
    let creator = tree.permissions(&[("a", "/a", DirAccess::ReadWrite)]);
    let wanted = tree.permissions(&[("a/sub", "/s", DirAccess::Read)]);
    assert_eq!(creator.narrow(&wanted), wanted);
    fs::rename(tree.path("a/sub"), tree.path("b/sub")).unwrap();
    fs::create_dir(tree.path("a/sub")).unwrap();
    assert_eq!(creator.narrow(&wanted), Permissions::none());
}
