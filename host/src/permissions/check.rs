//! The checks, and the proof values they return.
//!
//! A refusal is `ERR_ACCESS_DENIED` with Node's name of the permission, the resource, and the flag
//! that would allow it.

use std::ffi::OsStr;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use super::grant::{self, Executable};
use super::{Capability, DirAccess, EnvPattern, Grant, NetHost, NetPattern, Permissions};

/// Declares the proof and the check of each capability that only needs to be granted.
macro_rules! capability_checks {
    ($($proof:ident = $check:ident, $capability:ident, $class:literal, $what:literal;)*) => {
        $(
            #[doc = concat!("Proof that [`Permissions::", stringify!($check), "`] allowed it.")]
            #[derive(Debug)]
            #[must_use = "the operation takes the proof"]
            pub struct $proof(());

            impl Permissions {
                #[doc = concat!("Checks [`Capability::", stringify!($capability), "`]; ")]
                /// `resource` is what the refusal names.
                ///
                /// # Errors
                /// `ERR_ACCESS_DENIED`.
                pub fn $check(&self, resource: &str) -> Result<$proof> {
                    if self.allows(Capability::$capability) {
                        return Ok($proof(()));
                    }
                    let what = match resource {
                        "" => $what.to_owned(),
                        resource => format!("{} ({resource})", $what),
                    };
                    let flag = Capability::$capability.flag();
                    Err(ErrorRecord::access_denied($class, resource, &what, flag).into())
                }
            }
        )*
    };
}

capability_checks! {
    CheckedChild = check_child, Child, "ChildProcess", "start a nodule child";
    CheckedWorker = check_worker, Worker, "WorkerThreads", "create a worker";
    CheckedSys = check_sys, Sys, "Sys", "use what is the system's";
    CheckedSharedMemory = check_shared_memory, SharedMemory, "SharedMemory", "use shared memory";
    CheckedInspector = check_inspector, Inspector, "Inspector", "open the inspector";
    CheckedFfi = check_ffi, Ffi, "FFI", "call a native library";
    CheckedWasi = check_wasi, Wasi, "WASI", "create a WASI instance";
}

/// Proof that side modules may be loaded.
#[derive(Debug)]
#[must_use = "the operation takes the proof"]
pub struct CheckedAddon(());

/// Proof that an environment variable may be read and set.
#[derive(Debug)]
#[must_use = "the operation takes the proof"]
pub struct CheckedEnv {
    name: String,
}

impl CheckedEnv {
    /// The variable.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Proof that a native executable may be started.
#[derive(Debug)]
#[must_use = "the operation takes the proof"]
pub struct CheckedRun {
    path: PathBuf,
    everything: bool,
}

impl CheckedRun {
    /// The absolute path to execute: the canonical one when single executables are granted, so
    /// that a link exchanged after the check leads nowhere else.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks a variable that the guest puts into the environment of the executable. Those that
    /// make the dynamic loader run other code need the grant of all executables.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`.
    pub fn check_env(&self, name: &str) -> Result<()> {
        let loads_code = ["LD_", "DYLD_"].iter().any(|prefix| name.starts_with(prefix))
            || matches!(name, "GCONV_PATH" | "GLIBC_TUNABLES");
        if !loads_code || self.everything {
            return Ok(());
        }
        let what = format!("start {} with the loader variable {name}", self.path.display());
        Err(ErrorRecord::access_denied("Run", name, &what, "--allow-run").into())
    }
}

/// Proof that an address may be used.
#[derive(Debug)]
#[must_use = "the operation takes the proof"]
pub struct CheckedNet {
    address: NetPattern,
}

impl CheckedNet {
    /// The host; `None` stands for all hosts.
    pub fn host(&self) -> Option<&NetHost> {
        self.address.host()
    }

    /// The port; `None` if the check was about a host alone.
    pub fn port(&self) -> Option<u16> {
        self.address.port()
    }
}

/// Proof that a process or process group may be signalled.
#[derive(Debug)]
#[must_use = "the operation takes the proof"]
pub struct CheckedSignal {
    pid: i32,
}

impl CheckedSignal {
    /// The target as `kill(2)` takes it: 0 the own group, negative a group, -1 all processes.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

/// Marks a [`CheckedPath`] that may be read.
#[derive(Debug)]
pub enum ForRead {}
/// Marks a [`CheckedPath`] that may be written.
#[derive(Debug)]
pub enum ForWrite {}

/// Proof that a path may be used, [`ForRead`] or [`ForWrite`].
#[derive(Debug)]
#[must_use = "the operation takes the proof"]
pub struct CheckedPath<A> {
    dir: Arc<Dir>,
    relative: PathBuf,
    host: PathBuf,
    access: PhantomData<A>,
}

impl<A> CheckedPath<A> {
    /// The granted directory. Open [`CheckedPath::relative`] through it and nothing else: it
    /// follows no link out of the directory, whatever a guest changes after the check.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// The path inside the directory; `.` is the directory, and the empty path opens nothing.
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// The path on the host, for messages and keys. Its symbolic links are not resolved, so it must
    /// not be opened.
    pub fn host(&self) -> &Path {
        &self.host
    }
}

impl CheckedPath<ForRead> {
    /// Opens the file for reading, without waiting for anybody: a pipe that nobody writes to would be waited for. `None`
    /// when it is no regular file.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_regular(&self) -> std::io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = self.dir.open_with(&self.relative, &options)?.into_std();
        let is_regular = file.metadata()?.is_file();
        Ok(is_regular.then_some(file))
    }
}

impl Permissions {
    /// Checks the loading of the side module `path`.
    ///
    /// # Errors
    /// `ERR_DLOPEN_DISABLED`.
    pub fn check_addon(&self, path: &str) -> Result<CheckedAddon> {
        if self.allows(Capability::Addon) {
            return Ok(CheckedAddon(()));
        }
        let flag = Capability::Addon.flag();
        let what = format!("load the side module {path}");
        let denied = ErrorRecord::access_denied("Addon", path, &what, flag);
        let disabled = ErrorRecord::new(ErrorCode::DlopenDisabled, denied.message);
        Err(ErrorRecord {
            permission: denied.permission,
            resource: denied.resource,
            ..disabled
        }
        .into())
    }

    /// Checks the use of the environment variable `name`.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`.
    pub fn check_env(&self, name: &str) -> Result<CheckedEnv> {
        let name = name.to_owned();
        let wanted = EnvPattern::Name(name);
        if self.env.covers(&wanted) {
            return Ok(CheckedEnv {
                name: wanted.to_string(),
            });
        }
        let what = format!("use the environment variable {wanted}");
        let flag = format!("--allow-env={wanted}");
        Err(ErrorRecord::access_denied("Env", &wanted.to_string(), &what, &flag).into())
    }

    /// Checks the start of the native executable `file`: a host path, relative to the host
    /// directory `cwd`, or a name without `/` to be found in the search path `search`.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`; `ENOENT` for a name found nowhere when all executables are granted.
    pub fn check_run(&self, file: &str, cwd: &Path, search: &OsStr) -> Result<CheckedRun> {
        let found = if file.contains('/') {
            std::path::absolute(cwd.join(file)).ok()
        } else {
            grant::search_path(file, cwd, search)
        };
        if self.run == Grant::All {
            let Some(path) = found else {
                return Err(ErrorRecord::system_path(ErrorCode::Enoent, "spawn", file, None).into());
            };
            return Ok(CheckedRun { path, everything: true });
        }
        match found.and_then(|path| Executable::at(&path)) {
            Some(executable) if self.run.covers(&executable) => Ok(CheckedRun {
                path: executable.path().to_owned(),
                everything: false,
            }),
            _ => {
                let flag = format!("--allow-run={file}");
                Err(ErrorRecord::access_denied("Run", file, &format!("start {file}"), &flag).into())
            }
        }
    }

    /// Checks the use of a network address: `host:port`, or `host` alone to mean all its ports.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`; `ERR_INVALID_ARG_VALUE` if it is no address.
    pub fn check_net(&self, address: &str) -> Result<CheckedNet> {
        let Ok(wanted) = NetPattern::parse(address) else {
            let received = format!("'{}'", address.escape_debug());
            let reason = "must be a network address, host or host:port";
            return Err(ErrorRecord::invalid_arg_value("address", reason, &received).into());
        };
        if self.net.covers(&wanted) {
            return Ok(CheckedNet { address: wanted });
        }
        let what = format!("use the address {wanted}");
        let flag = format!("--allow-net={wanted}");
        Err(ErrorRecord::access_denied("Net", &wanted.to_string(), &what, &flag).into())
    }

    /// Checks a signal to `pid` (as `kill(2)` takes it). Without [`Capability::Signal`] it may go
    /// to this process, to processes that `is_descendant` knows, and to groups led by one of these.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`.
    pub fn check_signal(&self, pid: i32, is_descendant: impl Fn(u32) -> bool) -> Result<CheckedSignal> {
        let leader = match pid {
            0 => u32::try_from(rustix::process::getpgrp().as_raw_nonzero().get()).ok(),
            // All processes: led by nobody.
            -1 => None,
            pid => Some(pid.unsigned_abs()),
        };
        let own = std::process::id();
        let is_ours = leader.is_some_and(|pid| pid == own || is_descendant(pid));
        if is_ours || self.allows(Capability::Signal) {
            return Ok(CheckedSignal { pid });
        }
        let what = match pid {
            0 => "signal the process group".to_owned(),
            -1 => "signal all processes".to_owned(),
            pid if pid < 0 => format!("signal the process group {}", pid.unsigned_abs()),
            pid => format!("signal the process {pid}"),
        };
        let flag = Capability::Signal.flag();
        Err(ErrorRecord::access_denied("Signal", &pid.to_string(), &what, flag).into())
    }

    /// Checks the reading of the guest path `path`; relative ones count from `cwd`, an absolute
    /// path by the guest's names.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`; `ERR_INVALID_ARG_VALUE` for a path with NUL.
    pub fn check_read(&self, path: &str, cwd: &Path) -> Result<CheckedPath<ForRead>> {
        self.check_path(path, cwd, DirAccess::Read)
    }

    /// Checks the writing of the guest path `path`, as [`Permissions::check_read`].
    ///
    /// # Errors
    /// As [`Permissions::check_read`].
    pub fn check_write(&self, path: &str, cwd: &Path) -> Result<CheckedPath<ForWrite>> {
        self.check_path(path, cwd, DirAccess::Write)
    }

    fn check_path<A>(&self, path: &str, cwd: &Path, access: DirAccess) -> Result<CheckedPath<A>> {
        let place = self.fs.check(path, cwd, access)?;
        Ok(CheckedPath {
            dir: place.dir,
            relative: place.relative,
            host: place.host,
            access: PhantomData,
        })
    }
}
