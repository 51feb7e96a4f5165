//! Directory grants: which directories a guest sees, under which names, and the resolution of
//! guest paths to them.
//!
//! A guest path is absolute, or relative to the guest's current directory. It is normalized
//! textually first (`..` included), then the grant with the longest matching guest name says which
//! host path it is, as an inner mount hides an outer one. Grants add up: a read-only directory inside
//! a writable one is writable through the outer grant. What is left of the path is opened through
//! the grant's own directory descriptor, which the kernel does not let `..` or symbolic links leave.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt};
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use super::PermissionError;

/// What may be done inside a granted directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirAccess {
    /// Open, read and list.
    Read,
    /// Change only; what is left of [`DirAccess::ReadWrite`] when reading is dropped.
    Write,
    /// Both.
    ReadWrite,
}

impl DirAccess {
    fn from_parts(read: bool, write: bool) -> Option<Self> {
        match (read, write) {
            (true, true) => Some(Self::ReadWrite),
            (true, false) => Some(Self::Read),
            (false, true) => Some(Self::Write),
            (false, false) => None,
        }
    }

    /// Whether reading is part of it.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether writing is part of it.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }

    /// Whether all of `wanted` is part of it.
    pub fn covers(self, wanted: Self) -> bool {
        self.meet(wanted) == Some(wanted)
    }

    fn meet(self, other: Self) -> Option<Self> {
        Self::from_parts(
            self.reads() && other.reads(),
            self.writes() && other.writes(),
        )
    }

    fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::ReadWrite }
    }

    fn without(self, other: Self) -> Option<Self> {
        Self::from_parts(
            self.reads() && !other.reads(),
            self.writes() && !other.writes(),
        )
    }

    /// Its short form in a `--dir` flag.
    fn suffix(self) -> &'static str {
        match self {
            Self::Read => "ro",
            Self::Write => "wo",
            Self::ReadWrite => "rw",
        }
    }

    /// Node's name of the permission to do this.
    fn class(self) -> &'static str {
        if self.writes() {
            "FileSystemWrite"
        } else {
            "FileSystemRead"
        }
    }
}

/// Whether the host path of a grant may lead through symbolic links.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Refuse,
}

/// A host directory that a guest sees. Opened once, when it is granted.
#[derive(Clone, Debug)]
pub struct DirGrant {
    host: PathBuf,
    guest: PathBuf,
    access: DirAccess,
    dir: Arc<Dir>,
}

/// The opened directory is not compared: two grants are equal when they would be written alike.
impl PartialEq for DirGrant {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host && self.guest == other.guest && self.access == other.access
    }
}

impl DirGrant {
    /// Opens the host directory `host` to be seen as `guest`; a relative name counts from the
    /// current directory, so that `.` is seen as the current directory.
    ///
    /// # Errors
    /// `host` is no directory or cannot be opened; a name that no flag could carry (a colon in
    /// `guest`, text that is not UTF-8).
    pub fn open(
        host: impl AsRef<Path>,
        guest: &str,
        access: DirAccess,
    ) -> std::result::Result<Self, PermissionError> {
        open_host(host.as_ref(), guest, access, Links::Follow)
    }

    /// Parses `HOST[::GUEST][:MODE]`. `GUEST` defaults to `HOST` as typed; `MODE` is `ro`, `rw`
    /// (the default) or `wo`, and `,nofollow` after it refuses a host path that leads through a
    /// symbolic link: children get their grants so, because a guest that may write above the
    /// directory could have put a link in its place.
    ///
    /// # Errors
    /// As [`DirGrant::open`].
    pub fn parse(text: &str) -> std::result::Result<Self, PermissionError> {
        let (names, access, links) = split_mode(text);
        let (host, guest) = names.rsplit_once("::").unwrap_or((names, names));
        open_host(Path::new(host), guest, access, links)
    }

    /// The canonical path of the directory on the host when it was granted.
    pub fn host(&self) -> &Path {
        &self.host
    }

    /// The absolute path under which the guest sees it.
    pub fn guest(&self) -> &Path {
        &self.guest
    }

    /// What may be done in it.
    pub fn access(&self) -> DirAccess {
        self.access
    }

    /// The opened directory.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// The flag that grants this again.
    pub(super) fn flag(&self) -> String {
        let (host, guest, mode) = (
            self.host.display(),
            self.guest.display(),
            self.access.suffix(),
        );
        if self.host == self.guest {
            format!("--dir={host}:{mode},nofollow")
        } else {
            format!("--dir={host}::{guest}:{mode},nofollow")
        }
    }

    fn is_everything(&self) -> bool {
        self.host == Path::new("/") && self.guest == Path::new("/")
    }

    /// The grant over an opened directory. The host path is asked from the descriptor, so that it
    /// names what was opened, whatever happened to the path meanwhile.
    fn over(dir: Dir, guest: PathBuf, access: DirAccess) -> io::Result<Self> {
        let host = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()))?;
        if host.to_str().is_none() {
            return Err(io::Error::other("the path is not UTF-8"));
        }
        Ok(Self {
            host,
            guest,
            access,
            dir: Arc::new(dir),
        })
    }

    /// What both this and `wanted` grant, under the name of `wanted`.
    fn meet(&self, wanted: &Self) -> Option<Self> {
        let access = self.access.meet(wanted.access)?;
        if wanted.is_everything() {
            return Some(Self {
                access,
                ..self.clone()
            });
        }
        if let Ok(inner) = wanted.host.strip_prefix(&self.host) {
            // The paths say that `wanted` lies inside; a rename or link could have made that
            // untrue, so the directory found there must be the very one.
            let found = self.dir.open_dir(or_dot(inner)).ok()?;
            return same_directory(&found, &wanted.dir).then(|| Self {
                access,
                ..wanted.clone()
            });
        }
        let inner = self.host.strip_prefix(&wanted.host).ok()?;
        let guest = guest_name(&wanted.guest.join(inner)).ok()?;
        let found = wanted.dir.open_dir(or_dot(inner)).ok()?;
        same_directory(&found, &self.dir).then(|| Self {
            access,
            guest,
            ..self.clone()
        })
    }

    /// Whether `inner` shows nothing that this grant does not show at the same place.
    fn implies(&self, inner: &Self) -> bool {
        self.access.covers(inner.access)
            && inner
                .guest
                .strip_prefix(&self.guest)
                .is_ok_and(|rest| join(&self.host, rest) == inner.host)
    }
}

fn open_host(
    host: &Path,
    guest: &str,
    access: DirAccess,
    links: Links,
) -> std::result::Result<DirGrant, PermissionError> {
    let refuse = |reason: String| PermissionError::Dir {
        text: host.display().to_string(),
        reason,
    };
    if host.as_os_str().is_empty() || guest.is_empty() {
        return Err(refuse("a name is empty".to_owned()));
    }
    let guest = std::path::absolute(guest).map_err(|error| refuse(error.to_string()))?;
    let guest = guest_name(&guest).map_err(|reason| refuse(reason.to_owned()))?;
    let grant = Dir::open_ambient_dir(host, ambient_authority())
        .and_then(|dir| DirGrant::over(dir, guest, access))
        .map_err(|error| refuse(error.to_string()))?;
    if links == Links::Refuse && grant.host != host {
        return Err(refuse("the path leads through a symbolic link".to_owned()));
    }
    Ok(grant)
}

/// Splits `NAMES[:MODE]`. `a::ro` has no mode: `ro` is the guest's name there.
fn split_mode(text: &str) -> (&str, DirAccess, Links) {
    if let Some((names, mode)) = text
        .rsplit_once(':')
        .filter(|(names, _)| !names.ends_with(':'))
    {
        let (mode, links) = match mode.strip_suffix(",nofollow") {
            Some(mode) => (mode, Links::Refuse),
            None => (mode, Links::Follow),
        };
        let modes = [DirAccess::Read, DirAccess::Write, DirAccess::ReadWrite];
        if let Some(access) = modes.into_iter().find(|access| access.suffix() == mode) {
            return (names, access, links);
        }
    }
    (text, DirAccess::ReadWrite, Links::Follow)
}

/// Checks that an absolute path can be the guest's name of a grant, and normalizes it.
fn guest_name(path: &Path) -> std::result::Result<PathBuf, &'static str> {
    match path.to_str() {
        None => Err("the guest's name is not UTF-8"),
        Some(text) if text.contains([':', '\0']) => Err("the guest's name has a colon or NUL"),
        Some(_) => Ok(normalize(path)),
    }
}

/// Removes `.` and `..` from an absolute path, textually.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

/// The path inside a directory; the directory itself is `.`.
fn or_dot(inner: &Path) -> &Path {
    if inner.as_os_str().is_empty() {
        Path::new(".")
    } else {
        inner
    }
}

/// Joins without the final slash that [`Path::join`] leaves for an empty path.
fn join(directory: &Path, inner: &Path) -> PathBuf {
    if inner.as_os_str().is_empty() {
        directory.to_owned()
    } else {
        directory.join(inner)
    }
}

fn same_directory(a: &Dir, b: &Dir) -> bool {
    match (a.dir_metadata(), b.dir_metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Whether the error is cap-std's own refusal to leave a directory, not one of the system.
fn is_escape(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

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
        match self.0.iter_mut().find(|known| known.guest == grant.guest) {
            None => self.0.push(grant),
            Some(known) if known.host == grant.host => {
                known.access = known.access.join(grant.access);
            }
            Some(known) => {
                return Err(PermissionError::DirTaken {
                    guest: grant.guest.display().to_string(),
                    first: known.host.display().to_string(),
                    second: grant.host.display().to_string(),
                });
            }
        }
        Ok(())
    }

    /// The grants around an absolute guest path, innermost first, with the path inside each.
    fn around<'a, 'p>(&'a self, path: &'p Path) -> Vec<(&'a DirGrant, &'p Path)> {
        let inside = |grant: &'a DirGrant| Some((grant, path.strip_prefix(&grant.guest).ok()?));
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
        let host = join(&innermost.host, inner);
        let allowed = around
            .iter()
            .find(|(grant, inner)| grant.access.covers(wanted) && join(&grant.host, inner) == host);
        let Some((grant, inner)) = allowed else {
            let guest = innermost.guest.display();
            // A guest whose names hide the host's learns no host path here.
            let host = if innermost.host == innermost.guest {
                ""
            } else {
                "HOST::"
            };
            return Err(denied(&absolute, wanted, &format!("--dir={host}{guest}")));
        };
        // No path at all opens nothing (`ENOENT`), not the current directory.
        let relative = if path.is_empty() {
            Path::new("")
        } else {
            or_dot(inner)
        };
        if grant
            .dir
            .metadata(relative)
            .is_err_and(|error| is_escape(&error))
        {
            let flag = "a --dir for the place its symbolic links lead to";
            return Err(denied(&absolute, wanted, flag));
        }
        Ok(Resolved {
            dir: grant.dir.clone(),
            relative: relative.to_owned(),
            host,
        })
    }

    /// Opens the directory `path` as a grant of its own, which lies inside these.
    pub fn sub_dir(
        &self,
        path: &str,
        cwd: &Path,
        guest: &str,
        access: DirAccess,
    ) -> Result<DirGrant> {
        let place = self.check(path, cwd, access)?;
        let guest = guest_name(&cwd.join(guest)).map_err(|reason| {
            Box::new(ErrorRecord::invalid_arg_value(
                "guest",
                reason,
                &format!("{guest:?}"),
            ))
        })?;
        place
            .dir
            .open_dir(&place.relative)
            .and_then(|dir| DirGrant::over(dir, guest, access))
            .map_err(|error| {
                let code = error
                    .raw_os_error()
                    .map_or(ErrorCode::Eacces, ErrorCode::from_errno);
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
            if only.as_ref().is_some_and(|only| *only != grant.guest) {
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
        let pairs = wanted
            .0
            .iter()
            .flat_map(|w| self.0.iter().map(move |mine| (mine, w)));
        let mut pairs: Vec<_> = pairs.collect();
        // Names given by `wanted` go before names kept from here, and these before names that
        // follow from a directory further out.
        pairs.sort_by_key(
            |(mine, w)| match (w.is_everything(), w.host.starts_with(&mine.host)) {
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
        both.without_repeats()
    }

    /// Leaves out grants that only repeat what the one around them shows anyway.
    fn without_repeats(self) -> Self {
        let around = |inner: &DirGrant| {
            let outer = self.0.iter().filter(|outer| {
                inner.guest != outer.guest && inner.guest.starts_with(&outer.guest)
            });
            outer.max_by_key(|outer| outer.guest.components().count())
        };
        let kept = self
            .0
            .iter()
            .filter(|inner| !around(inner).is_some_and(|outer| outer.implies(inner)));
        Self(kept.cloned().collect())
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
            add(&grant.guest, &grant.dir, grant.access);
            if let Ok(inner) = grant.guest.strip_prefix(cwd) {
                add(or_dot(inner), &grant.dir, grant.access);
            }
        }
        if let Some((grant, inner)) = self.around(cwd).first()
            && !inner.as_os_str().is_empty()
            && let Ok(dir) = grant.dir.open_dir(inner)
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
            .filter_map(|grant| Some((grant, host.strip_prefix(&grant.host).ok()?)));
        let (grant, inner) = inside.max_by_key(|(grant, _)| grant.host.components().count())?;
        Some(normalize(&grant.guest.join(inner)))
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
