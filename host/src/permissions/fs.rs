//! Directory grants: which directories a guest sees, under which names, and the resolution of
//! guest paths to them.
//!
//! A guest path is absolute, or relative to the guest's current directory. It is normalized
//! textually first (`..` included), then the grant with the longest matching guest name says which
//! host path it is, as an inner mount hides an outer one. Grants add up: a read-only directory inside
//! a writable one is writable through the outer grant. What is left of the path is opened through
//! the grant's own directory descriptor, which the kernel does not let `..` or symbolic links leave.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use super::PermissionError;
use super::dir::{DirAccess, DirGrant, guest_name, join, normalize, or_dot};

/// A directory to be opened for a WASI guest before it starts.
#[derive(Clone, Debug)]
pub struct Preopen {
    /// The name WASI gives it: absolute, or relative to the current directory (`.`).
    pub name: String,
    /// The opened directory.
    pub dir: Arc<Dir>,
    /// What may be done in it; never [`DirAccess::Write`], which WASI cannot express.
    pub access: DirAccess,
}

/// Where a granted path leads.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub dir: Arc<Dir>,
    pub relative: PathBuf,
    pub host: PathBuf,
}

/// The directory grants of one isolate; no two have the same guest name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FsGrants(Vec<DirGrant>);

impl FsGrants {
    pub fn iter(&self) -> impl Iterator<Item = &DirGrant> {
        self.0.iter()
    }

    /// Adds a grant; the same directory under the same name is widened.
    pub fn insert(&mut self, grant: DirGrant) -> std::result::Result<(), PermissionError> {
        match self.0.iter_mut().find(|known| known.guest() == grant.guest()) {
            None => self.0.push(grant),
            Some(known) if known.host() == grant.host() => {
                known.access = known.access.join(grant.access);
            }
            Some(known) => {
                return Err(PermissionError::DirTaken {
                    guest: grant.guest().display().to_string(),
                    first: known.host().display().to_string(),
                    second: grant.host().display().to_string(),
                });
            }
        }
        Ok(())
    }

    /// The grants around an absolute guest path, innermost first, with the path inside each.
    fn around<'a, 'p>(&'a self, path: &'p Path) -> Vec<(&'a DirGrant, &'p Path)> {
        let inside = |grant: &'a DirGrant| Some((grant, path.strip_prefix(grant.guest()).ok()?));
        let mut found: Vec<_> = self.0.iter().filter_map(inside).collect();
        found.sort_by_key(|(_, inner)| inner.components().count());
        found
    }

    pub fn check(&self, path: &str, cwd: &Path, wanted: DirAccess) -> Result<Resolved> {
        if path.contains('\0') {
            let received = format!("'{}'", path.escape_debug());
            let reason = "must be a string without null bytes";
            return Err(ErrorRecord::invalid_arg_value("path", reason, &received).into());
        }
        let absolute = normalize(&cwd.join(path));
        let around = self.around(&absolute);
        let Some((innermost, inner)) = around.first() else {
            return Err(denied(&absolute, wanted, &flag_for(&absolute, wanted)));
        };
        let host = join(innermost.host(), inner);
        let allowed = around
            .iter()
            .find(|(grant, inner)| grant.access.covers(wanted) && join(grant.host(), inner) == host);
        let Some((grant, inner)) = allowed else {
            let guest = innermost.guest().display();
            // A guest whose names hide the host's learns no host path here.
            let host = if innermost.host() == innermost.guest() {
                ""
            } else {
                "HOST::"
            };
            return Err(denied(&absolute, wanted, &format!("--dir={host}{guest}")));
        };
        // No path at all opens nothing (`ENOENT`), not the current directory.
        let relative = if path.is_empty() { Path::new("") } else { or_dot(inner) };
        if grant.dir().metadata(relative).is_err_and(|error| is_escape(&error)) {
            let flag = "a --dir for the place its symbolic links lead to";
            return Err(denied(&absolute, wanted, flag));
        }
        Ok(Resolved {
            dir: grant.dir().clone(),
            relative: relative.to_owned(),
            host,
        })
    }

    /// Opens the directory `path` as a grant of its own, which lies inside these.
    pub fn sub_dir(&self, path: &str, cwd: &Path, guest: &str, access: DirAccess) -> Result<DirGrant> {
        let place = self.check(path, cwd, access)?;
        let guest = guest_name(&cwd.join(guest))
            .map_err(|reason| Box::new(ErrorRecord::invalid_arg_value("guest", reason, &format!("{guest:?}"))))?;
        place
            .dir
            .open_dir(&place.relative)
            .and_then(|dir| DirGrant::over(dir, guest, access))
            .map_err(|error| {
                let code = error.raw_os_error().map_or(ErrorCode::Eacces, ErrorCode::from_errno);
                ErrorRecord::system_path(code, "open", path, None).into()
            })
    }

    /// Whether everything is granted (`path` absent) or this path.
    pub fn has(&self, path: Option<(&str, &Path)>, wanted: DirAccess) -> bool {
        match path {
            Some((path, cwd)) => self.check(path, cwd, wanted).is_ok(),
            None => self
                .0
                .iter()
                .any(|grant| grant.is_everything() && grant.access.covers(wanted)),
        }
    }

    /// Takes `dropped` from every grant, or from the one for exactly the directory `path`.
    pub fn drop(&mut self, path: Option<(&str, &Path)>, dropped: DirAccess) {
        let only = path.map(|(path, cwd)| normalize(&cwd.join(path)));
        self.0.retain_mut(|grant| {
            if only.as_ref().is_some_and(|only| *only != grant.guest()) {
                return true;
            }
            match grant.access.without(dropped) {
                Some(left) => {
                    grant.access = left;
                    true
                }
                None => false,
            }
        });
    }

    /// What both grant. A directory that cannot be looked at any more is left out.
    pub fn meet(&self, wanted: &Self) -> Self {
        let pairs = wanted.0.iter().flat_map(|w| self.0.iter().map(move |mine| (mine, w)));
        let mut pairs: Vec<_> = pairs.collect();
        // Names given by `wanted` go before names kept from here, and these before names that
        // follow from a directory further out.
        pairs.sort_by_key(
            |(mine, w)| match (w.is_everything(), w.host().starts_with(mine.host())) {
                (false, true) => 0,
                (true, _) => 1,
                (false, false) => 2,
            },
        );
        let mut both = Self::default();
        for grant in pairs.into_iter().filter_map(|(mine, w)| mine.meet(w)) {
            // Another directory under a name already taken stays hidden.
            let _ = both.insert(grant);
        }
        both
    }

    /// See [`super::Permissions::preopens`].
    pub fn preopens(&self, cwd: &Path) -> Vec<Preopen> {
        let mut preopens = Vec::new();
        let mut add = |name: &Path, dir: &Arc<Dir>, access: DirAccess| {
            // WASI has no write-only directories.
            if access.reads()
                && let Some(name) = name.to_str()
            {
                preopens.push(Preopen {
                    name: name.to_owned(),
                    dir: dir.clone(),
                    access,
                });
            }
        };
        for grant in &self.0 {
            add(grant.guest(), grant.dir(), grant.access);
            if let Ok(inner) = grant.guest().strip_prefix(cwd) {
                add(or_dot(inner), grant.dir(), grant.access);
            }
        }
        if let Some((grant, inner)) = self.around(cwd).first()
            && !inner.as_os_str().is_empty()
            && let Ok(dir) = grant.dir().open_dir(inner)
        {
            add(Path::new("."), &Arc::new(dir), grant.access);
        }
        preopens
    }

    /// See [`super::Permissions::guest_path`].
    pub fn guest_path(&self, host: &Path) -> Option<PathBuf> {
        let inside = self
            .0
            .iter()
            .filter_map(|grant| Some((grant, host.strip_prefix(grant.host()).ok()?)));
        let (grant, inner) = inside.max_by_key(|(grant, _)| grant.host().components().count())?;
        Some(normalize(&grant.guest().join(inner)))
    }
}

/// The flag that would grant a path no grant covers: its directory is granted.
fn flag_for(path: &Path, wanted: DirAccess) -> String {
    let directory = path.parent().unwrap_or(path).display();
    if wanted.writes() {
        format!("--dir={directory}")
    } else {
        format!("--dir={directory}:ro")
    }
}

fn denied(path: &Path, wanted: DirAccess, flag: &str) -> Box<ErrorRecord> {
    let path = path.display().to_string();
    let verb = if wanted.writes() { "write" } else { "read" };
    ErrorRecord::access_denied(wanted.class(), &path, &format!("{verb} {path}"), flag).into()
}

/// Whether the error is cap-std's own refusal to leave a directory, not one of the system.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}
