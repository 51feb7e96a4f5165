//! Modules by path, so that a file that did not change is not read again for every isolate made of it.

use std::collections::{HashMap, VecDeque};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::code::PRUNE_AT_MIN;
use super::module::{Module, WeakModule};

/// What tells that a file was not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that changed less than this ago may change again without a new time.
const STAMP_AGE_MIN: Duration = Duration::from_millis(100);

impl FileStamp {
    /// The stamp of a file, if it is old enough to tell anything.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let age = metadata.modified().ok()?.elapsed().ok()?;
        let changed = SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(metadata.ctime()).ok()?)
            + Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).ok()?);
        if !metadata.is_file() || age < STAMP_AGE_MIN || changed.elapsed().ok()? < STAMP_AGE_MIN {
            return None;
        }
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The stamp of what a path leads to.
    pub fn at(path: &Path) -> Option<Self> {
        Self::of(&std::fs::metadata(path).ok()?)
    }
}

/// Modules kept although nobody uses them, the latest ones.
const KEPT_MODULES_MAX: usize = 8;

/// What is known of a path.
#[derive(Default)]
pub(super) struct KnownFile {
    module: Mutex<Option<(FileStamp, WeakModule)>>,
    /// Held while the file is loaded.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

/// Modules by path.
#[derive(Default)]
pub(super) struct KnownFiles {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    files: HashMap<PathBuf, Arc<KnownFile>>,
    prune_at: usize,
    kept: VecDeque<Module>,
}

impl KnownFile {
    /// The module of this file, if it did not change since.
    pub fn get(&self, stamp: FileStamp) -> Option<Module> {
        let known = self.module.lock().unwrap_or_else(PoisonError::into_inner);
        let (known_stamp, module) = known.as_ref()?;
        (*known_stamp == stamp).then(|| module.upgrade()).flatten()
    }

    fn is_alive(&self) -> bool {
        let known = self.module.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|(_, module)| module.upgrade().is_some())
    }
}

impl KnownFiles {
    /// The entry of a path.
    pub fn entry(&self, path: &Path) -> Arc<KnownFile> {
        let mut inner = self.lock();
        if inner.files.len() >= inner.prune_at.max(PRUNE_AT_MIN) {
            inner
                .files
                .retain(|_, file| Arc::strong_count(file) > 1 || file.is_alive());
            inner.prune_at = inner.files.len() * 2;
        }
        Arc::clone(inner.files.entry(path.to_path_buf()).or_default())
    }

    /// Remembers the module of a file.
    pub fn remember(&self, path: &Path, stamp: FileStamp, module: &Module) {
        let entry = self.entry(path);
        *entry.module.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, module.downgrade()));
        let mut inner = self.lock();
        inner.kept.push_back(module.clone());
        let oldest = (inner.kept.len() > KEPT_MODULES_MAX).then(|| inner.kept.pop_front());
        drop(inner);
        // Unmapping code takes time, and needs no lock.
        drop(oldest);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
