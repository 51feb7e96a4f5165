//! The scopes of `process.permission`: [`Permissions::has`] and [`Permissions::drop`].

use std::path::{Path, PathBuf};

use nodule_abi::error::{ErrorRecord, Result};

use super::grant::Executable;
use super::{Capability, DirAccess, EnvPattern, Grant, NetPattern, Pattern, Permissions};

/// A scope by its name.
#[derive(Clone, Copy)]
enum Scope {
    Fs(DirAccess),
    Net,
    Run,
    Env,
    Flag(Capability),
}

impl Scope {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "fs" => Self::Fs(DirAccess::ReadWrite),
            "fs.read" => Self::Fs(DirAccess::Read),
            "fs.write" => Self::Fs(DirAccess::Write),
            "net" => Self::Net,
            "run" => Self::Run,
            "env" => Self::Env,
            "child" => Self::Flag(Capability::Child),
            "worker" => Self::Flag(Capability::Worker),
            "sys" => Self::Flag(Capability::Sys),
            "signal" => Self::Flag(Capability::Signal),
            "addon" => Self::Flag(Capability::Addon),
            "shared_memory" => Self::Flag(Capability::SharedMemory),
            "inspector" => Self::Flag(Capability::Inspector),
            "ffi" => Self::Flag(Capability::Ffi),
            "wasi" => Self::Flag(Capability::Wasi),
            _ => return None,
        })
    }
}

impl Permissions {
    /// Whether `scope` is granted: for the resource `reference`, or all of it without one. `fs`
    /// means reading and writing. An unknown scope is not granted. Scopes without resources
    /// (`child`, `worker`…) ignore the reference, as in Node. Relative paths count from the
    /// process's current directory.
    pub fn has(&self, scope: &str, reference: Option<&str>) -> bool {
        match Scope::from_name(scope) {
            None => false,
            Some(Scope::Flag(capability)) => self.allows(capability),
            Some(Scope::Net) => has_in(&self.net, reference, |text| NetPattern::parse(text).ok()),
            Some(Scope::Env) => has_in(&self.env, reference, |text| Some(EnvPattern::Name(text.to_owned()))),
            Some(Scope::Run) => has_in(&self.run, reference, |text| Executable::parse(text).ok()),
            Some(Scope::Fs(access)) => {
                let cwd = self.process_directory();
                let path = reference.map(|path| (path, cwd.as_path()));
                (!access.reads() || self.fs.has(path, DirAccess::Read))
                    && (!access.writes() || self.fs.has(path, DirAccess::Write))
            }
        }
    }

    /// Gives up all of `scope`, or the one grant that equals `reference`; there is no way back.
    /// Other grants stay, and so does what is open already. Scopes without resources ignore the
    /// reference, as in Node. Nothing happens when the reference is not granted anyway.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` if the call cannot do what it asks for, so that no guest believes
    /// to have given up what it still has: an unknown scope, or a reference that equals no grant but
    /// is covered by a wider one, which can only be dropped whole.
    pub fn drop(&mut self, scope: &str, reference: Option<&str>) -> Result<()> {
        let invalid = |argument, reason, value: &str| {
            Err(ErrorRecord::invalid_arg_value(argument, reason, &format!("'{value}'")).into())
        };
        let Some(known) = Scope::from_name(scope) else {
            return invalid("scope", "is not a permission scope", scope);
        };
        let dropped = match (known, reference) {
            (Scope::Flag(capability), _) => {
                self.capabilities[capability as usize] = false;
                return Ok(());
            }
            (Scope::Fs(access), reference) => self.drop_directory(access, reference),
            (Scope::Net, reference) => drop_in(&mut self.net, reference, |text| NetPattern::parse(text).ok()),
            (Scope::Env, reference) => drop_in(&mut self.env, reference, |text| EnvPattern::parse(text).ok()),
            (Scope::Run, reference) => drop_in(&mut self.run, reference, |text| Executable::parse(text).ok()),
        };
        match (dropped, reference) {
            (false, Some(reference)) => invalid(
                "reference",
                "must equal a grant exactly; a wider grant can only be dropped whole",
                reference,
            ),
            _ => Ok(()),
        }
    }

    /// Returns false if no grant equals the reference but a wider one covers it.
    fn drop_directory(&mut self, access: DirAccess, reference: Option<&str>) -> bool {
        let cwd = self.process_directory();
        let path = reference.map(|path| (path, cwd.as_path()));
        let before = self.fs.clone();
        self.fs.drop(path, access);
        let unchanged = self.fs == before;
        let still_has = |wanted| path.is_some() && self.fs.has(path, wanted);
        let still = (access.reads() && still_has(DirAccess::Read)) || (access.writes() && still_has(DirAccess::Write));
        !(unchanged && still)
    }

    /// The process's current directory by the guest's name, or the host's if it has none.
    fn process_directory(&self) -> PathBuf {
        let host = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
        self.guest_path(&host).unwrap_or(host)
    }
}

fn has_in<T: Pattern>(grant: &Grant<T>, reference: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> bool {
    match reference {
        None => *grant == Grant::All,
        Some(text) => parse(text).is_some_and(|wanted| grant.covers(&wanted)),
    }
}

/// Returns false if no grant equals the reference but a wider one covers it, or it is malformed.
fn drop_in<T: Pattern>(grant: &mut Grant<T>, reference: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> bool {
    let Some(text) = reference else {
        *grant = Grant::None;
        return true;
    };
    match parse(text) {
        None => false,
        Some(reference) => grant.remove(&reference) || !grant.covers(&reference),
    }
}
