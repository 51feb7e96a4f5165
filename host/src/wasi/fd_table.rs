//! What is known of the guest's file descriptors beside what `wasmtime_wasi` keeps.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::errno::{Errno, Result};
use crate::permissions::{DirAccess, Permissions};

/// The number of the first preopened directory.
const FIRST_PREOPEN: u32 = 3;

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// What a call does with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub read: bool,
    pub write: bool,
}

impl Wanted {
    pub const READ: Self = Self {
        read: true,
        write: false,
    };
    pub const WRITE: Self = Self {
        read: false,
        write: true,
    };

    fn granted_by(self, access: DirAccess) -> bool {
        (access.reads() || !self.read) && (access.writes() || !self.write)
    }
}

/// A directory that was open from the start.
#[derive(Debug)]
pub struct Preopen {
    name: PathBuf,
    /// The guest's name of the grant it came from.
    grant: PathBuf,
    /// What was granted at the start.
    access: Option<DirAccess>,
}

impl Preopen {
    /// The directory named `name`, in a guest that starts in `cwd`.
    pub fn new(name: String, cwd: &Path, permissions: &Permissions) -> Self {
        let name = PathBuf::from(name);
        let place = normalize(&cwd.join(&name));
        let around = permissions.dirs().filter(|grant| place.starts_with(grant.guest()));
        let grant = around.max_by_key(|grant| grant.guest().components().count());
        Self {
            name,
            grant: grant.map_or(place, |grant| grant.guest().to_owned()),
            access: grant.map(|grant| grant.access()),
        }
    }

    /// What is still granted. `PERM` for what never was, `NOTCAPABLE` for what was given up.
    fn check(&self, permissions: &Permissions, wanted: Wanted) -> Result<DirAccess> {
        let access = permissions
            .dirs()
            .find(|grant| grant.guest() == self.grant)
            .map(|grant| grant.access());
        match access {
            Some(access) if wanted.granted_by(access) => Ok(access),
            _ if self.access.is_some_and(|access| wanted.granted_by(access)) => Err(Errno::NOTCAPABLE.into()),
            _ => Err(Errno::PERM.into()),
        }
    }
}

#[derive(Debug)]
enum Entry {
    Preopen(Preopen),
    /// Opened by the guest, under a grant that allowed this then.
    Opened(DirAccess),
}

/// Where a path call really goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The descriptor of the directory.
    pub fd: u32,
    /// The directory within it that the guest means.
    pub prefix: PathBuf,
    /// What may be done there.
    pub access: DirAccess,
}

/// The table.
#[derive(Debug)]
pub struct FdTable {
    /// Under which number each standard stream can be reached, while it is open.
    streams: [Option<u32>; 3],
    entries: HashMap<u32, Entry>,
    /// The working directory when the directories were opened, as the guest names it.
    start: PathBuf,
    /// Reads of standard input do not wait.
    pub stdin_nonblocking: bool,
}

impl FdTable {
    /// The table of a guest that starts in `start`.
    pub fn new(start: PathBuf, preopens: Vec<Preopen>) -> Self {
        let entries = (FIRST_PREOPEN..)
            .zip(preopens.into_iter().map(Entry::Preopen))
            .collect();
        Self {
            streams: [Some(0), Some(1), Some(2)],
            entries,
            start,
            stdin_nonblocking: false,
        }
    }

    /// The standard stream behind `fd`.
    pub fn stream(&self, fd: u32) -> Option<Stream> {
        let index = self.streams.iter().position(|stream| *stream == Some(fd))?;
        [Stream::Stdin, Stream::Stdout, Stream::Stderr].get(index).copied()
    }

    /// How many descriptors are open.
    pub fn len(&self) -> usize {
        self.entries.len() + self.streams.iter().flatten().count()
    }

    /// Adds a descriptor the guest opened.
    pub fn opened(&mut self, fd: u32, access: DirAccess) {
        self.entries.insert(fd, Entry::Opened(access));
    }

    /// Forgets a descriptor that was closed.
    pub fn closed(&mut self, fd: u32) {
        self.entries.remove(&fd);
        for stream in &mut self.streams {
            if *stream == Some(fd) {
                *stream = None;
            }
        }
    }

    /// `from` was renumbered to `to`, which was closed.
    pub fn renumbered(&mut self, from: u32, to: u32) {
        if from == to {
            return;
        }
        self.closed(to);
        if let Some(entry) = self.entries.remove(&from) {
            self.entries.insert(to, entry);
        }
        for stream in &mut self.streams {
            if *stream == Some(from) {
                *stream = Some(to);
            }
        }
    }

    /// Checks a call on the descriptor itself.
    pub fn check(&self, permissions: &Permissions, fd: u32, wanted: Wanted) -> Result<DirAccess> {
        match self.entries.get(&fd) {
            None => Err(Errno::BADF.into()),
            Some(Entry::Preopen(preopen)) => preopen.check(permissions, wanted),
            Some(Entry::Opened(access)) if wanted.granted_by(*access) => Ok(*access),
            Some(Entry::Opened(_)) => Err(Errno::PERM.into()),
        }
    }

    /// Checks a call on a path within `fd` and says where it goes. Directories with relative names follow the
    /// working directory, which `cwd` gives as the guest names it.
    pub fn target(
        &self,
        permissions: &Permissions,
        fd: u32,
        wanted: Wanted,
        cwd: impl FnOnce() -> PathBuf,
    ) -> Result<Target> {
        if let Some(Entry::Preopen(preopen)) = self.entries.get(&fd)
            && preopen.name.is_relative()
        {
            let cwd = cwd();
            if cwd != self.start {
                return self.moved(permissions, &normalize(&cwd.join(&preopen.name)), wanted);
            }
        }
        let access = self.check(permissions, fd, wanted)?;
        Ok(Target {
            fd,
            prefix: PathBuf::new(),
            access,
        })
    }

    /// The target of an absolute guest path.
    fn moved(&self, permissions: &Permissions, place: &Path, wanted: Wanted) -> Result<Target> {
        let absolute = self.entries.iter().filter_map(|(fd, entry)| match entry {
            Entry::Preopen(preopen) if preopen.name.is_absolute() => {
                Some((*fd, preopen, place.strip_prefix(&preopen.name).ok()?))
            }
            Entry::Preopen(_) | Entry::Opened(_) => None,
        });
        let (fd, preopen, prefix) = absolute
            .max_by_key(|(_, preopen, _)| preopen.name.components().count())
            .ok_or(Errno::NOTCAPABLE)?;
        let access = preopen.check(permissions, wanted)?;
        Ok(Target {
            fd,
            prefix: prefix.to_owned(),
            access,
        })
    }
}

/// Removes `.` and `..` from an absolute path, textually.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::super::errno::WasiError;
    use super::*;

    fn errno<T>(result: Result<T>) -> Errno {
        match result {
            Err(WasiError::Errno(errno)) => errno,
            _ => panic!("no errno"),
        }
    }

    /// A guest that starts in `/work`, with `/work` (as `.` too, fds 3 and 4) and a read-only `/data` (fd 5).
    fn guest() -> (Permissions, FdTable) {
        let temp = std::env::temp_dir();
        let permissions = Permissions::none()
            .dir(&temp, "/work", DirAccess::ReadWrite)
            .and_then(|permissions| permissions.dir(&temp, "/data", DirAccess::Read))
            .unwrap();
        let cwd = Path::new("/work");
        let preopens = ["/work", ".", "/data"].map(|name| Preopen::new(name.into(), cwd, &permissions));
        (permissions, FdTable::new(cwd.into(), preopens.into()))
    }

    #[test]
    fn streams_are_found_under_the_number_the_guest_gave_them() {
        let mut fds = FdTable::new("/".into(), Vec::new());
        assert_eq!(fds.len(), 3);
        assert_eq!(fds.stream(1), Some(Stream::Stdout));
        fds.renumbered(1, 9);
        assert_eq!((fds.stream(1), fds.stream(9)), (None, Some(Stream::Stdout)));
        fds.opened(1, DirAccess::Read);
        fds.renumbered(1, 0);
        assert_eq!((fds.stream(0), fds.stream(1)), (None, None));
        fds.closed(9);
        assert_eq!(fds.stream(9), None);
        assert_eq!(fds.len(), 2);
    }

    #[test]
    fn dropped_grants_stop_preopens_but_not_what_is_open() {
        let (mut permissions, mut fds) = guest();
        fds.opened(9, DirAccess::ReadWrite);
        assert!(fds.check(&permissions, 3, Wanted::WRITE).is_ok());
        assert_eq!(errno(fds.check(&permissions, 5, Wanted::WRITE)), Errno::PERM);
        permissions.drop("fs.write", None).unwrap();
        assert_eq!(errno(fds.check(&permissions, 4, Wanted::WRITE)), Errno::NOTCAPABLE);
        assert!(fds.check(&permissions, 4, Wanted::READ).is_ok());
        permissions.drop("fs.read", None).unwrap();
        assert_eq!(
            errno(fds.target(&permissions, 4, Wanted::READ, || "/work".into())),
            Errno::NOTCAPABLE
        );
        assert!(fds.check(&permissions, 9, Wanted::WRITE).is_ok());
    }

    #[test]
    fn relative_names_follow_the_working_directory() {
        let (permissions, fds) = guest();
        let target = |fd, cwd: &str| fds.target(&permissions, fd, Wanted::READ, || cwd.into());
        assert_eq!(
            target(4, "/work").unwrap(),
            Target {
                fd: 4,
                prefix: "".into(),
                access: DirAccess::ReadWrite
            }
        );
        assert_eq!(
            target(4, "/work/a/b").unwrap(),
            Target {
                fd: 3,
                prefix: "a/b".into(),
                access: DirAccess::ReadWrite
            }
        );
        assert_eq!(
            target(4, "/data/x").unwrap(),
            Target {
                fd: 5,
                prefix: "x".into(),
                access: DirAccess::Read
            }
        );
        assert_eq!(target(3, "/data/x").unwrap().fd, 3);
        assert_eq!(errno(target(4, "/elsewhere")), Errno::NOTCAPABLE);
        let write = fds.target(&permissions, 4, Wanted::WRITE, || "/data".into());
        assert_eq!(errno(write), Errno::PERM);
    }
}
