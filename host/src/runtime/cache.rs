//! Compiled code on disk, by digest of the module and settings of the engine.
//!
//! Loading compiled code trusts it, so the directory must belong to the user and be writable by nobody else.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;

use super::module::Digest;

/// A directory of compiled code.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

/// What of an engine and of this version decides whether compiled code fits.
pub(super) fn settings_hash(engine: &Engine) -> u64 {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    env!("CARGO_PKG_VERSION").hash(&mut settings);
    settings.finish()
}

/// Numbers temporary files of this process.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

impl Cache {
    /// Opens (and creates) a cache directory. Refuses one that others could write into.
    pub fn open(directory: impl Into<PathBuf>) -> std::io::Result<Self> {
        let directory = directory.into();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let metadata = std::fs::metadata(&directory)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !own || metadata.mode() & 0o022 != 0 {
            let reason = format!(
                "{} must belong to you and be writable by nobody else (chmod 700), because cached code is trusted",
                directory.display()
            );
            return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, reason));
        }
        Ok(Self { directory })
    }

    /// The default directory: `$NODULE_CACHE_DIR`, else `$XDG_CACHE_HOME/nodule`, else `$HOME/.cache/nodule`.
    pub fn default_directory() -> Option<PathBuf> {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        variable("NODULE_CACHE_DIR")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("nodule")))
            .or_else(|| Some(variable("HOME")?.join(".cache/nodule")))
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory
            .join(format!("{digest}-{:016x}.cwasm", settings_hash(engine)))
    }

    /// The compiled form of the module with this digest.
    #[allow(
        unsafe_code,
        reason = "loading compiled code is unsafe by nature; the directory is checked at open"
    )]
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<wasmtime::Module> {
        let path = self.path(engine, digest);
        let file = std::fs::File::open(&path).ok()?;
        // SAFETY: `open` made sure that only this user can write into the directory, and `store` writes only
        // what the engine serialised.
        match unsafe { wasmtime::Module::deserialize_open_file(engine, file) } {
            Ok(module) => Some(module),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cached code is unusable and is compiled anew");
                None
            }
        }
    }

    /// The file of the compiled form of the module with this digest.
    pub(super) fn open_code(&self, engine: &Engine, digest: &Digest) -> Option<std::fs::File> {
        std::fs::File::open(self.path(engine, digest)).ok()
    }

    /// Keeps compiled code. A failure costs only speed, so it is logged.
    pub(super) fn store(&self, engine: &Engine, digest: &Digest, code: &[u8]) {
        if let Err(error) = self.try_store(&self.path(engine, digest), code) {
            tracing::warn!(directory = %self.directory.display(), %error, "compiled code could not be cached");
        }
    }

    /// Written beside and renamed, so that a reader sees all of it or nothing.
    fn try_store(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!(".{}-{sequence}.tmp", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = file.write_all(code).and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // Best effort: the error that counts is the first one.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}
