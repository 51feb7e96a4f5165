//! One granted directory: what it is on the host, its guest name, what may be done in it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt};

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
        Self::from_parts(self.reads() && other.reads(), self.writes() && other.writes())
    }

    pub(super) fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::ReadWrite }
    }

    pub(super) fn without(self, other: Self) -> Option<Self> {
        Self::from_parts(self.reads() && !other.reads(), self.writes() && !other.writes())
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
    pub(super) fn class(self) -> &'static str {
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
    pub(super) access: DirAccess,
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
    pub fn open(host: impl AsRef<Path>, guest: &str, access: DirAccess) -> Result<Self, PermissionError> {
        open_host(host.as_ref(), guest, access, Links::Follow)
    }

    /// Parses `HOST[::GUEST][:MODE]`. `GUEST` defaults to `HOST` as typed; `MODE` is `ro`, `rw`
    /// (the default) or `wo`, and `,nofollow` after it refuses a host path that leads through a
    /// symbolic link: children get their grants so, because a guest that may write above the
    /// directory could have put a link in its place.
    ///
    /// # Errors
    /// As [`DirGrant::open`].
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
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
        let (host, guest, mode) = (self.host.display(), self.guest.display(), self.access.suffix());
        if self.host == self.guest {
            format!("--dir={host}:{mode},nofollow")
        } else {
            format!("--dir={host}::{guest}:{mode},nofollow")
        }
    }

    pub(super) fn is_everything(&self) -> bool {
        self.host == Path::new("/") && self.guest == Path::new("/")
    }

    /// The grant over an opened directory. The host path is asked from the descriptor, so that it
    /// names what was opened, whatever happened to the path meanwhile.
    pub(super) fn over(dir: Dir, guest: PathBuf, access: DirAccess) -> io::Result<Self> {
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
    pub(super) fn meet(&self, wanted: &Self) -> Option<Self> {
        let access = self.access.meet(wanted.access)?;
        if wanted.is_everything() {
            return Some(Self { access, ..self.clone() });
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
}

fn open_host(host: &Path, guest: &str, access: DirAccess, links: Links) -> Result<DirGrant, PermissionError> {
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
    if let Some((names, mode)) = text.rsplit_once(':').filter(|(names, _)| !names.ends_with(':')) {
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
pub(super) fn guest_name(path: &Path) -> Result<PathBuf, &'static str> {
    match path.to_str() {
        None => Err("the guest's name is not UTF-8"),
        Some(text) if text.contains([':', '\0']) => Err("the guest's name has a colon or NUL"),
        Some(_) => Ok(normalize(path)),
    }
}

/// Removes `.` and `..` from an absolute path, textually.
pub(super) fn normalize(path: &Path) -> PathBuf {
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
pub(super) fn or_dot(inner: &Path) -> &Path {
    if inner.as_os_str().is_empty() {
        Path::new(".")
    } else {
        inner
    }
}

/// Joins without the final slash that [`Path::join`] leaves for an empty path.
pub(super) fn join(directory: &Path, inner: &Path) -> PathBuf {
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
