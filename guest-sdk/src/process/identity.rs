//! Users and groups. Reading and setting need the grant `sys`; only the main isolate sets.

use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::sys;

/// A user or group by number or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Numeric id.
    Number(u32),
    /// Name, looked up in the system's database.
    Name(String),
}

impl From<u32> for Id {
    fn from(id: u32) -> Self {
        Self::Number(id)
    }
}

impl From<&str> for Id {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Id {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(id) => serializer.serialize_u32(*id),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

macro_rules! identities {
    ($($get:ident, $set:ident, $what:literal;)*) => {$(
        #[doc = concat!("The ", $what, " id of the process (Node: `process.", stringify!($get), "`).")]
        ///
        /// # Errors
        /// `ERR_ACCESS_DENIED` without the grant `sys`.
        pub fn $get() -> Result<u32> {
            sys::process::$get()
        }

        #[doc = concat!("Sets the ", $what, " id, for all threads (Node: `process.", stringify!($set), "`).")]
        ///
        /// # Errors
        /// `ERR_UNKNOWN_CREDENTIAL`, `EPERM`, `ERR_ACCESS_DENIED`, `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread.
        pub fn $set(id: impl Into<Id>) -> Result<()> {
            sys::process::$set(&id.into())
        }
    )*};
}

identities! {
    getuid, setuid, "user";
    geteuid, seteuid, "effective user";
    getgid, setgid, "group";
    getegid, setegid, "effective group";
}

/// The supplementary groups, the effective one included (Node: `process.getgroups`).
///
/// # Errors
/// `ERR_ACCESS_DENIED` without the grant `sys`.
pub fn getgroups() -> Result<Vec<u32>> {
    sys::process::getgroups()
}

/// Sets the supplementary groups (Node: `process.setgroups`).
///
/// # Errors
/// As [`setgid`]; for an unknown group the message names its place.
pub fn setgroups<I: Into<Id>>(groups: impl IntoIterator<Item = I>) -> Result<()> {
    let groups: Vec<Id> = groups.into_iter().map(Into::into).collect();
    sys::process::setgroups(&groups)
}

/// Sets all groups `user` is in and `extra_group` (Node: `process.initgroups`).
///
/// # Errors
/// As [`setgid`].
pub fn initgroups(user: impl Into<Id>, extra_group: impl Into<Id>) -> Result<()> {
    sys::process::initgroups(&(user.into(), extra_group.into()))
}
