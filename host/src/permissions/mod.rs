//! What an isolate may do, and the checks that every guarded import asks.
//!
//! Nothing is granted by default but workers and shared memory (argv, standard streams, clocks, randomness and
//! memory within limits need no grant). Grants only shrink: [`Permissions::drop`] gives one up for good,
//! and [`Permissions::narrow`] gives a worker or child what both its creator has and it wants.
//!
//! A check returns a proof value ([`CheckedEnv`], [`CheckedPath`]…) with private fields. The function
//! that does the guarded thing takes that value, so it cannot be called unchecked, nor with
//! something else than what was checked.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | [`Permissions`]: building, narrowing, flags |
//! | `scope.rs` | the scopes of `process.permission`: `has` and `drop` |
//! | `check.rs` | the checks and their proof values |
//! | `grant.rs`, `net.rs` | list grants: environment names, executables, network addresses |
//! | `narrow.rs` | narrowing in the words of the command line |
//! | `dir.rs`, `fs.rs` | one directory grant · all of them and the resolution of guest paths |

mod check;
mod dir;
mod error;
mod fs;
mod grant;
mod narrow;
mod net;
mod scope;

use std::path::{Path, PathBuf};

use nodule_abi::error::Result;

pub use check::{
    CheckedAddon, CheckedChild, CheckedEnv, CheckedFfi, CheckedInspector, CheckedNet, CheckedPath, CheckedRun,
    CheckedSharedMemory, CheckedSignal, CheckedSys, CheckedWasi, CheckedWorker, ForRead, ForWrite,
};
pub use dir::{DirAccess, DirGrant};
pub use error::PermissionError;
pub use fs::Preopen;
pub use grant::{EnvPattern, Executable, Grant, Pattern};
pub use net::{NetHost, NetPattern};

use fs::FsGrants;

/// A capability that is granted or not, without a list of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Starting nodule children (`fork`, a wasm module given to `spawn`).
    Child,
    /// Creating workers; granted by default.
    Worker,
    /// Reading and changing what is the system's: user and group ids, priorities.
    Sys,
    /// Sending signals to processes other than this one and its descendants.
    Signal,
    /// Loading side modules (`process.dlopen`).
    Addon,
    /// Creating and attaching shared buffers; granted by default.
    SharedMemory,
    /// Opening the inspector.
    Inspector,
    /// Calling native libraries.
    Ffi,
    /// Creating further WASI instances.
    Wasi,
}

impl Capability {
    /// Every capability, in the order of the enum.
    pub const ALL: [Self; 9] = [
        Self::Child,
        Self::Worker,
        Self::Sys,
        Self::Signal,
        Self::Addon,
        Self::SharedMemory,
        Self::Inspector,
        Self::Ffi,
        Self::Wasi,
    ];

    /// The flag that grants it.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Child => "--allow-child",
            Self::Worker => "--allow-worker",
            Self::Sys => "--allow-sys",
            Self::Signal => "--allow-signal",
            Self::Addon => "--allow-dlopen",
            Self::SharedMemory => "--allow-shared-memory",
            Self::Inspector => "--allow-inspector",
            Self::Ffi => "--allow-ffi",
            Self::Wasi => "--allow-wasi",
        }
    }

    /// The flag that refuses it, for what is granted by default.
    pub const fn deny_flag(self) -> Option<&'static str> {
        match self {
            Self::Worker => Some("--deny-worker"),
            Self::SharedMemory => Some("--deny-shared-memory"),
            Self::Child | Self::Sys | Self::Signal | Self::Addon | Self::Inspector | Self::Ffi | Self::Wasi => None,
        }
    }
}

/// The flag that grants everything.
const ALLOW_ALL: &str = "-A";

/// What one isolate is granted. By default nothing but workers and shared memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Permissions {
    fs: FsGrants,
    net: Grant<NetPattern>,
    run: Grant<Executable>,
    env: Grant<EnvPattern>,
    capabilities: [bool; Capability::ALL.len()],
}

/// The same as [`Permissions::none`].
impl Default for Permissions {
    fn default() -> Self {
        Self::none()
    }
}

/// Building. Every method takes what it grants and adds it to what is granted already.
impl Permissions {
    /// Grants nothing but workers and shared memory: the default of every isolate.
    pub fn none() -> Self {
        let nothing = Self {
            fs: FsGrants::default(),
            net: Grant::None,
            run: Grant::None,
            env: Grant::None,
            capabilities: [false; Capability::ALL.len()],
        };
        nothing.allow(Capability::Worker).allow(Capability::SharedMemory)
    }

    /// Grants everything, the whole file system under its own names included (`-A`).
    ///
    /// # Errors
    /// The root directory cannot be opened.
    pub fn all() -> std::result::Result<Self, PermissionError> {
        let mut all = Self::none()
            .allow_net(Grant::All)
            .allow_run(Grant::All)
            .allow_env(Grant::All)
            .dir("/", "/", DirAccess::ReadWrite)?;
        all.capabilities = [true; Capability::ALL.len()];
        Ok(all)
    }

    /// Default: only [`Capability::Worker`] and [`Capability::SharedMemory`]. Grants a capability.
    #[must_use]
    pub fn allow(mut self, capability: Capability) -> Self {
        self.capabilities[capability as usize] = true;
        self
    }

    /// Default: all but [`Capability::Worker`] and [`Capability::SharedMemory`] are denied. Denies a capability.
    #[must_use]
    pub fn deny(mut self, capability: Capability) -> Self {
        self.capabilities[capability as usize] = false;
        self
    }

    /// Default: no network. Grants listening, connecting and resolving for these addresses.
    #[must_use]
    pub fn allow_net(mut self, grant: Grant<NetPattern>) -> Self {
        self.net.extend(grant);
        self
    }

    /// Default: no native executables. Grants starting these, which run outside the sandbox.
    #[must_use]
    pub fn allow_run(mut self, grant: Grant<Executable>) -> Self {
        self.run.extend(grant);
        self
    }

    /// Default: no environment variables. Grants reading and setting these.
    #[must_use]
    pub fn allow_env(mut self, grant: Grant<EnvPattern>) -> Self {
        self.env.extend(grant);
        self
    }

    /// Default: no directories. Grants the host directory `host` under the guest's name `guest`;
    /// a relative name counts from the current directory. Grants add up: a read-only directory
    /// inside a writable one stays writable.
    ///
    /// # Errors
    /// As [`DirGrant::open`]; `guest` already names another directory.
    pub fn dir(
        self,
        host: impl AsRef<Path>,
        guest: &str,
        access: DirAccess,
    ) -> std::result::Result<Self, PermissionError> {
        self.with_dir(DirGrant::open(host, guest, access)?)
    }

    /// Default: no directories. Grants an opened directory.
    ///
    /// # Errors
    /// Its guest name is already that of another directory.
    pub fn with_dir(mut self, grant: DirGrant) -> std::result::Result<Self, PermissionError> {
        self.fs.insert(grant)?;
        Ok(self)
    }

    /// Parses the value of `--allow-net`: a comma-separated list, or empty text for everything.
    ///
    /// # Errors
    /// The first entry that is no [`NetPattern`].
    pub fn parse_net(text: &str) -> std::result::Result<Grant<NetPattern>, PermissionError> {
        Grant::parse(text, NetPattern::parse)
    }

    /// Parses the value of `--allow-run`: a comma-separated list, or empty text for everything.
    ///
    /// # Errors
    /// The first entry that is no [`Executable`].
    pub fn parse_run(text: &str) -> std::result::Result<Grant<Executable>, PermissionError> {
        Grant::parse(text, Executable::parse)
    }

    /// Parses the value of `--allow-env`: a comma-separated list; empty text or `*` for everything.
    ///
    /// # Errors
    /// The first entry that is no [`EnvPattern`].
    pub fn parse_env(text: &str) -> std::result::Result<Grant<EnvPattern>, PermissionError> {
        if text == "*" {
            return Ok(Grant::All);
        }
        Grant::parse(text, EnvPattern::parse)
    }
}

/// What is granted, and handing it on.
impl Permissions {
    /// The directory grants.
    pub fn dirs(&self) -> impl Iterator<Item = &DirGrant> {
        self.fs.iter()
    }

    /// The network grant.
    pub fn net(&self) -> &Grant<NetPattern> {
        &self.net
    }

    /// The grant of native executables.
    pub fn run(&self) -> &Grant<Executable> {
        &self.run
    }

    /// The grant of environment variables.
    pub fn env(&self) -> &Grant<EnvPattern> {
        &self.env
    }

    /// Whether a capability is granted.
    pub fn allows(&self, capability: Capability) -> bool {
        self.capabilities[capability as usize]
    }

    /// What a worker or child gets that asks for `wanted`: what both grant, never more than here.
    /// [`Permissions::all`] asks for all that is here.
    ///
    /// Directories are compared by what they are on the host and keep the names of `wanted`. One
    /// that cannot be looked at any more is left out.
    #[must_use]
    pub fn narrow(&self, wanted: &Self) -> Self {
        Self {
            fs: self.fs.meet(&wanted.fs),
            net: self.net.meet(&wanted.net),
            run: self.run.meet(&wanted.run),
            env: self.env.meet(&wanted.env),
            capabilities: std::array::from_fn(|n| self.capabilities[n] && wanted.capabilities[n]),
        }
    }

    /// The directory at the guest path `path` as a grant of its own: how the wish of a *guest* for
    /// a directory becomes part of a set to narrow to. Unlike [`DirGrant::open`] it opens nothing
    /// that is not granted here.
    ///
    /// # Errors
    /// `ERR_ACCESS_DENIED`, `ERR_INVALID_ARG_VALUE` for a bad name, or why it cannot be opened.
    pub fn sub_dir(&self, path: &str, cwd: &Path, guest: &str, access: DirAccess) -> Result<DirGrant> {
        self.fs.sub_dir(path, cwd, guest, access)
    }

    /// The directories to open for a WASI guest whose current directory is `cwd`: every readable
    /// grant under its absolute name, those inside `cwd` also under their relative names, and `.`
    /// when `cwd` is inside one. Ask again after the current directory changed.
    pub fn preopens(&self, cwd: &Path) -> Vec<Preopen> {
        self.fs.preopens(cwd)
    }

    /// The guest's absolute name of a host path, if it is inside a granted directory.
    pub fn guest_path(&self, host: &Path) -> Option<PathBuf> {
        self.fs.guest_path(host)
    }

    /// The flags that grant this set again, in a child that is handed the same directories.
    pub fn flags(&self) -> Vec<String> {
        let lists = [
            self.net.flags("--allow-net"),
            self.run.flags("--allow-run"),
            self.env.flags("--allow-env"),
        ];
        let capabilities = Capability::ALL.into_iter().filter_map(|capability| {
            match (capability.deny_flag(), self.allows(capability)) {
                (Some(_), true) | (None, false) => None,
                (Some(deny), false) => Some(deny.to_owned()),
                (None, true) => Some(capability.flag().to_owned()),
            }
        });
        let dirs = self.fs.iter().map(DirGrant::flag);
        dirs.chain(lists.into_iter().flatten()).chain(capabilities).collect()
    }

    /// The set that these flags grant, beginning with [`Permissions::none`].
    ///
    /// # Errors
    /// A flag that is none, or a grant that cannot be made.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> std::result::Result<Self, PermissionError> {
        flags.into_iter().try_fold(Self::none(), Self::with_flag)
    }

    pub(crate) fn with_flag(self, text: &str) -> std::result::Result<Self, PermissionError> {
        let (flag, value) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (text, None),
        };
        let capability = Capability::ALL.into_iter().find(|capability| capability.flag() == flag);
        let denied = |capability: &Capability| capability.deny_flag() == Some(flag);
        if let (None, Some(denied)) = (value, Capability::ALL.into_iter().find(denied)) {
            return Ok(self.deny(denied));
        }
        match (flag, value, capability) {
            (ALLOW_ALL, None, _) => self.fs.iter().cloned().try_fold(Self::all()?, Self::with_dir),
            ("--dir", Some(value), _) => self.with_dir(DirGrant::parse(value)?),
            ("--allow-net", value, _) => Ok(self.allow_net(Self::parse_net(value.unwrap_or_default())?)),
            ("--allow-run", value, _) => Ok(self.allow_run(Self::parse_run(value.unwrap_or_default())?)),
            ("--allow-env", value, _) => Ok(self.allow_env(Self::parse_env(value.unwrap_or_default())?)),
            (_, None, Some(capability)) => Ok(self.allow(capability)),
            _ => Err(PermissionError::Flag { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests;
