//! Tests of the area as a whole.
//!
//! | file | what it tests |
//! |---|---|
//! | `check.rs` | refusals and the checks without paths |
//! | `paths.rs` | directory grants on a real file system |
//! | `scopes.rs` | `has`, `drop` and flags |
//! | `properties.rs` | narrowing and flags over random sets |

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod check;
mod paths;
mod properties;
mod scopes;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nodule_abi::error::Result;

use super::{DirAccess, DirGrant, Permissions};

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
        grants
            .iter()
            .fold(Permissions::none(), |permissions, (inner, guest, access)| {
                permissions.with_dir(self.grant(inner, guest, *access)).unwrap()
            })
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
