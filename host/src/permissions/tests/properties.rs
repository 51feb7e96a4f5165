//! Narrowing and flags over random sets.

use std::path::{Path, PathBuf};

use super::{ROOT, Tree};
use crate::permissions::{
    Capability, DirAccess, DirGrant, EnvPattern, Executable, Grant, NetPattern, Pattern, Permissions,
};

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
            net: net.iter().map(|text| NetPattern::parse(text).unwrap()).collect(),
            run: run.iter().map(|text| Executable::parse(text).unwrap()).collect(),
            env: env.iter().map(|text| EnvPattern::parse(text).unwrap()).collect(),
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
        let hosts = ["a/file", "a/sub/file", "b/file"].map(|inner| self.tree.path(inner).display().to_string());
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
        let refused_by_one =
            |scope: &str, reference: Option<&str>| !(mine.has(scope, reference) && wanted.has(scope, reference));
        for capability in Capability::ALL {
            assert_eq!(
                both.allows(capability),
                mine.allows(capability) && wanted.allows(capability)
            );
        }
        let net = ["a:1", "a:2", "b:1", "b:2", "127.0.0.1:1", "127.0.0.1", "[::1]:2", "a"];
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
                    let places = (resolves(&mine, &path, access), resolves(&wanted, &path, access));
                    assert!(
                        places.0.is_none() || places.0 != places.1,
                        "{path} lost\n{mine:?}\n{wanted:?}"
                    );
                    continue;
                };
                granted_paths += 1;
                assert!(allows_host(&mine, &host, access), "{path}\n{mine:?}\n{wanted:?}");
                assert!(allows_host(&wanted, &host, access), "{path}\n{mine:?}\n{wanted:?}");
            }
        }
    }
    assert!(granted_paths > 500, "the sets overlap too rarely: {granted_paths}");
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
        let same_env =
            set.env == again.env || (again.env == Grant::All && set.env.covers(&EnvPattern::Prefix(String::new())));
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
