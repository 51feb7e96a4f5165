//! Directory grants on a real file system, `has`/`drop`, flags, and narrowing as a property.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A fresh directory tree, removed at the end:
/// `a/file`, `a/sub/file`, `a/out` -> `../b`, `a/abs` -> the absolute path of `b`, `b/file`.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "nodule-perm-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(root.join("a/sub")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        for file in ["a/file", "a/sub/file", "b/file"] {
            fs::write(root.join(file), file).unwrap();
        }
        symlink("../b", root.join("a/out")).unwrap();
        symlink(root.join("b"), root.join("a/abs")).unwrap();
        symlink("sub", root.join("a/in")).unwrap();
        Self(root)
    }

    fn path(&self, inner: &str) -> PathBuf {
        self.0.join(inner)
    }

    fn grant(&self, inner: &str, guest: &str, access: DirAccess) -> DirGrant {
        DirGrant::open(self.path(inner), guest, access).unwrap()
    }

    fn permissions(&self, grants: &[(&str, &str, DirAccess)]) -> Permissions {
        grants.iter().fold(
            Permissions::none(),
            |permissions, (inner, guest, access)| {
                permissions
                    .with_dir(self.grant(inner, guest, *access))
                    .unwrap()
            },
        )
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ROOT: &str = "/";

fn read(permissions: &Permissions, path: &str, cwd: &str) -> Result<String> {
    let checked = permissions.check_read(path, Path::new(cwd))?;
    let mut text = String::new();
    checked
        .dir()
        .open(checked.relative())
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    Ok(text)
}

#[test]
fn paths_resolve_by_guest_names_and_the_current_directory() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[
        ("a", "/data", DirAccess::Read),
        ("b", "/data/b", DirAccess::Read),
    ]);
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
        assert_eq!(
            read(&permissions, path, cwd).unwrap(),
            content,
            "{path} in {cwd}"
        );
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
    let nul = permissions
        .check_read("/data/\0", Path::new(ROOT))
        .unwrap_err();
    assert!(nul.is_code("ERR_INVALID_ARG_VALUE"));
}

#[test]
fn a_link_made_after_the_check_does_not_lead_out_either() {
    let tree = Tree::new();
    let permissions = tree.permissions(&[("a", "/data", DirAccess::ReadWrite)]);
    let checked = permissions
        .check_read("/data/sub/file", Path::new(ROOT))
        .unwrap();
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
    let refused = read_only
        .check_write("/data/file", Path::new(ROOT))
        .unwrap_err();
    assert_eq!(refused.permission.as_deref(), Some("FileSystemWrite"));
    assert!(refused.message.ends_with("--dir=HOST::/data"), "{refused}");

    let same = [
        ("a", "/d", DirAccess::ReadWrite),
        ("a/sub", "/d/sub", DirAccess::Read),
    ];
    assert!(
        tree.permissions(&same)
            .check_write("/d/sub/x", Path::new(ROOT))
            .is_ok()
    );
    let other = [
        ("a", "/d", DirAccess::ReadWrite),
        ("b", "/d/sub", DirAccess::Read),
    ];
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
        assert_eq!(
            (plain.guest(), plain.access()),
            (tree.path("a").as_path(), access)
        );
        let named = DirGrant::parse(&format!("{host}::/x/../data{mode}")).unwrap();
        assert_eq!(
            (named.guest(), named.access()),
            (Path::new("/data"), access)
        );
    }
    let here = DirGrant::parse(".").unwrap();
    assert_eq!(here.guest(), std::env::current_dir().unwrap());
    let named_ro = DirGrant::parse(&format!("{host}::ro")).unwrap();
    assert_eq!(
        named_ro.guest(),
        std::env::current_dir().unwrap().join("ro")
    );
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
    assert_eq!(
        widened,
        tree.permissions(&[("a", "/data", DirAccess::ReadWrite)])
    );
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
    assert_eq!(
        preopens[1].dir.read_to_string("file").unwrap(),
        "a/sub/file"
    );
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
    let sub = permissions
        .sub_dir("in", cwd, "/s", DirAccess::Read)
        .unwrap();
    assert_eq!(
        (sub.host(), sub.guest()),
        (tree.path("a/sub").as_path(), Path::new("/s"))
    );
    let code = |path, guest, access| {
        permissions
            .sub_dir(path, cwd, guest, access)
            .unwrap_err()
            .code
            .unwrap()
    };
    assert_eq!(code("in", "/s", DirAccess::ReadWrite), "ERR_ACCESS_DENIED");
    assert_eq!(code("out", "/s", DirAccess::Read), "ERR_ACCESS_DENIED");
    assert_eq!(code("/etc", "/s", DirAccess::Read), "ERR_ACCESS_DENIED");
    assert_eq!(code("none", "/s", DirAccess::Read), "ENOENT");
    assert_eq!(code("file", "/s", DirAccess::Read), "ENOTDIR");
    assert_eq!(code("in", "a:b", DirAccess::Read), "ERR_INVALID_ARG_VALUE");
}

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
        "shared_memory",
    ];
    for scope in scopes {
        assert!(!none.has(scope, None), "{scope}");
        assert!(all.has(scope, None), "{scope}");
    }
    assert!(none.has("worker", None) && none.has("worker", Some("any")));
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
        let left: Vec<_> = [
            "child", "worker", "net", "run", "env", "sys", "fs.read", "fs.write",
        ]
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
        .permissions(&[
            ("a", "/a", DirAccess::ReadWrite),
            ("b", "/b", DirAccess::ReadWrite),
        ])
        .allow_net(Permissions::parse_net("a:1,b").unwrap())
        .allow_env(Permissions::parse_env("X*,Y").unwrap());
    let mut refused = |scope, reference| {
        let before = permissions.clone();
        let error = permissions.drop(scope, Some(reference)).unwrap_err();
        assert!(
            error.is_code("ERR_INVALID_ARG_VALUE"),
            "{scope} {reference}"
        );
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
    ] {
        let refused = Permissions::from_flags([flag]);
        assert_eq!(
            refused,
            Err(PermissionError::Flag {
                text: flag.to_owned()
            })
        );
    }
    let tree = Tree::new();
    let dir = format!("--dir={}::/x", tree.path("a").display());
    let all = Permissions::from_flags([dir.as_str(), "-A"]).unwrap();
    assert!(all.has("fs", None) && read(&all, "/x/file", ROOT).is_ok());
}

#[test]
fn a_child_does_not_follow_a_link_put_in_place_of_its_directory() {
    let tree = Tree::new();
    let flags = tree
        .permissions(&[("a/sub", "/s", DirAccess::Read)])
        .flags();
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

/// Random sets over few names, so that they overlap often.
struct Generator {
    state: u64,
}

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn list<T: Pattern>(&mut self, from: &[T]) -> Grant<T> {
        match self.below(5) {
            0 => Grant::None,
            1 => Grant::All,
            _ => {
                let mut grant = Grant::None;
                for _ in 0..=self.below(3) {
                    grant.extend(Grant::Some(vec![self.pick(from)]));
                }
                grant
            }
        }
    }

    fn permissions(&mut self, pool: &Pool) -> Permissions {
        let mut permissions = Permissions::none()
            .allow_net(self.list(&pool.net))
            .allow_run(self.list(&pool.run))
            .allow_env(self.list(&pool.env));
        permissions.capabilities = std::array::from_fn(|_| self.below(2) == 0);
        for _ in 0..self.below(4) {
            // A second directory under a taken name is refused: that is one grant less.
            if let Ok(more) = permissions.clone().with_dir(self.pick(&pool.dirs)) {
                permissions = more;
            }
        }
        permissions
    }
}

struct Pool {
    net: Vec<NetPattern>,
    run: Vec<Executable>,
    env: Vec<EnvPattern>,
    dirs: Vec<DirGrant>,
    tree: Tree,
}

impl Pool {
    fn new() -> Self {
        let tree = Tree::new();
        let net = ["a", "a:1", "b:1", ":1", ":2", "127.0.0.1", "[::1]:2"];
        let env = ["A", "AB", "A*", "AB*", "B", "*"];
        let run = ["/bin/sh", "/bin/cat", "/no/such"];
        let own = tree.path("a").display().to_string();
        let mut dirs = Vec::new();
        for access in [DirAccess::Read, DirAccess::Write, DirAccess::ReadWrite] {
            for (host, guest) in [
                ("a", "/d"),
                ("a", "/e"),
                ("a", &own),
                ("a/sub", "/d/sub"),
                ("a/sub", "/e"),
                ("b", "/d/sub"),
                ("b", "/b"),
                ("", "/d"),
                ("", "/t"),
            ] {
                dirs.push(tree.grant(host, guest, access));
            }
            dirs.push(DirGrant::open("/", "/", access).unwrap());
        }
        Self {
            net: net
                .iter()
                .map(|text| NetPattern::parse(text).unwrap())
                .collect(),
            run: run
                .iter()
                .map(|text| Executable::parse(text).unwrap())
                .collect(),
            env: env
                .iter()
                .map(|text| EnvPattern::parse(text).unwrap())
                .collect(),
            dirs,
            tree,
        }
    }

    /// Guest paths to ask for.
    fn paths(&self) -> Vec<String> {
        let names = [
            "/d",
            "/d/file",
            "/d/sub/file",
            "/d/a/sub/file",
            "/e/file",
            "/e/sub/x",
            "/b/x",
            "/t/b/file",
            "/etc/x",
        ];
        let hosts = ["a/file", "a/sub/file", "b/file"]
            .map(|inner| self.tree.path(inner).display().to_string());
        names.into_iter().map(str::to_owned).chain(hosts).collect()
    }
}

fn resolves(permissions: &Permissions, path: &str, access: DirAccess) -> Option<PathBuf> {
    permissions
        .fs
        .check(path, Path::new(ROOT), access)
        .ok()
        .map(|place| place.host)
}

/// Whether some grant allows this on the host path, by any name.
fn allows_host(permissions: &Permissions, host: &Path, access: DirAccess) -> bool {
    permissions
        .dirs()
        .any(|grant| grant.access().covers(access) && host.starts_with(grant.host()))
}

#[test]
fn narrowing_never_grants_what_either_refuses() {
    let pool = Pool::new();
    let mut random = Generator {
        state: 0x9e37_79b9_7f4a_7c15,
    };
    let mut granted_paths = 0;
    for _ in 0..400 {
        let (mine, wanted) = (random.permissions(&pool), random.permissions(&pool));
        let both = mine.narrow(&wanted);
        let refused_by_one = |scope: &str, reference: Option<&str>| {
            !(mine.has(scope, reference) && wanted.has(scope, reference))
        };
        for capability in Capability::ALL {
            assert_eq!(
                both.allows(capability),
                mine.allows(capability) && wanted.allows(capability)
            );
        }
        let net = [
            "a:1",
            "a:2",
            "b:1",
            "b:2",
            "127.0.0.1:1",
            "127.0.0.1",
            "[::1]:2",
            "a",
        ];
        let env = ["A", "AB", "ABC", "AC", "B", "C"];
        let run = ["/bin/sh", "/bin/cat", "/no/such", "/bin/ls"];
        let lists = [("net", &net[..]), ("env", &env[..]), ("run", &run[..])];
        for (scope, references) in lists {
            for reference in references.iter().copied().map(Some).chain([None]) {
                // Exact both ways: what both grant is granted too.
                assert_eq!(
                    both.has(scope, reference),
                    !refused_by_one(scope, reference),
                    "{scope} {reference:?}\n{mine:?}\n{wanted:?}"
                );
            }
        }
        for path in pool.paths() {
            for access in [DirAccess::Read, DirAccess::Write] {
                let Some(host) = resolves(&both, &path, access) else {
                    // The same place, allowed to both, must not get lost.
                    let places = (
                        resolves(&mine, &path, access),
                        resolves(&wanted, &path, access),
                    );
                    assert!(
                        places.0.is_none() || places.0 != places.1,
                        "{path} lost\n{mine:?}\n{wanted:?}"
                    );
                    continue;
                };
                granted_paths += 1;
                assert!(
                    allows_host(&mine, &host, access),
                    "{path}\n{mine:?}\n{wanted:?}"
                );
                assert!(
                    allows_host(&wanted, &host, access),
                    "{path}\n{mine:?}\n{wanted:?}"
                );
            }
        }
    }
    assert!(
        granted_paths > 500,
        "the sets overlap too rarely: {granted_paths}"
    );
}

#[test]
fn narrowing_to_everything_or_to_itself_changes_nothing() {
    let pool = Pool::new();
    let all = Permissions::all().unwrap();
    let mut random = Generator { state: 7 };
    for _ in 0..200 {
        let set = random.permissions(&pool);
        for same in [set.narrow(&all), set.narrow(&set)] {
            assert_eq!(same.capabilities, set.capabilities);
            for path in pool.paths() {
                for access in [DirAccess::Read, DirAccess::Write] {
                    assert_eq!(
                        resolves(&same, &path, access),
                        resolves(&set, &path, access),
                        "{path}\n{set:?}"
                    );
                }
            }
        }
        assert_eq!(all.narrow(&set).narrow(&set), set.narrow(&set));
    }
    assert_eq!(all.narrow(&all), all);
}

#[test]
fn flags_reproduce_the_set() {
    let pool = Pool::new();
    let mut random = Generator { state: 99 };
    for _ in 0..300 {
        let set = random.permissions(&pool);
        let flags = set.flags();
        let again = Permissions::from_flags(flags.iter().map(String::as_str)).unwrap();
        // The list `*` is read as everything, which is the same.
        let same_env = set.env == again.env
            || (again.env == Grant::All && set.env.covers(&EnvPattern::Prefix(String::new())));
        assert!(same_env, "{flags:?}");
        assert_eq!(
            Permissions {
                env: set.env.clone(),
                ..again
            },
            set,
            "{flags:?}"
        );
    }
    let all = Permissions::all().unwrap();
    assert_eq!(
        Permissions::from_flags(all.flags().iter().map(String::as_str)).unwrap(),
        all
    );
    assert_eq!(Permissions::from_flags(["-A"]).unwrap(), all);
    assert!(Permissions::none().flags().is_empty());
}
