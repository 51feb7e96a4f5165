//! The channel to the parent: taken over from the environment at the start of the process.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::Value;
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::channel::{IpcChannel, Reference, channel, insert};
use super::wire::Serialization;
use crate::inherited_fd;
use crate::runtime::{IsolateState, ThreadId};

/// Number of the descriptor, as Node names the variable.
pub const FD_VARIABLE: &str = "NODE_CHANNEL_FD";
/// Name of the serialization.
pub const SERIALIZATION_VARIABLE: &str = "NODE_CHANNEL_SERIALIZATION_MODE";

/// Whether a variable tells a process of its channel. No guest sees them, and no child inherits them.
pub fn is_channel_variable(name: &str) -> bool {
    name == FD_VARIABLE || name == SERIALIZATION_VARIABLE
}

/// A channel that is opened by whoever comes first. Clones are of the same one.
#[derive(Clone, Debug)]
pub struct ChannelSeed {
    serialization: Serialization,
    fd: Arc<Mutex<Option<OwnedFd>>>,
}

impl ChannelSeed {
    /// Of one end of a socket pair.
    pub fn new(fd: OwnedFd, serialization: Serialization) -> Self {
        Self {
            serialization,
            fd: Arc::new(Mutex::new(Some(fd))),
        }
    }

    /// Takes over the channel that the parent named, if it did. Called once, before there are threads or other descriptors.
    ///
    /// # Errors
    /// Says why what it named is no channel.
    pub fn from_environment() -> std::result::Result<Option<Self>, String> {
        let Some(number) = std::env::var_os(FD_VARIABLE) else {
            return Ok(None);
        };
        let mode = std::env::var_os(SERIALIZATION_VARIABLE).unwrap_or_else(|| Serialization::Json.name().into());
        let serialization = mode.to_str().and_then(Serialization::from_name);
        let serialization = serialization.ok_or_else(|| format!("{SERIALIZATION_VARIABLE}={}", mode.display()))?;
        let parsed = number.to_str().and_then(|text| text.parse::<RawFd>().ok());
        // The first three are the standard streams.
        let parsed = parsed.filter(|number| *number > 2);
        let fd = parsed.ok_or_else(|| format!("{FD_VARIABLE}={}", number.display()))?;
        let fd = take_over(fd).map_err(|error| format!("{FD_VARIABLE}={fd}: {error}"))?;
        Ok(Some(Self::new(fd, serialization)))
    }

    /// Opens it on the current runtime; nothing when somebody did before.
    pub fn open(&self) -> io::Result<Option<IpcChannel>> {
        let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner).take();
        fd.map(|fd| IpcChannel::open(fd, self.serialization)).transpose()
    }
}

/// Opens the channel to the parent for the isolate that is the process. It keeps the isolate alive only once the guest wants
/// that, as in Node.
///
/// # Errors
/// What the system says, and `EMFILE` when there is no room for a handle.
pub fn open_parent_channel(state: &mut IsolateState, seed: &ChannelSeed) -> Result<()> {
    let channel = seed.open().map_err(|error| {
        let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
        ErrorRecord::system(code, "open")
    })?;
    if let Some(channel) = channel {
        state.process.channel = Some(insert(state, channel, Reference::Unref)?);
        state.shared.group.has_parent_channel.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// `process.channel` (the handle) and `process.connected`: undefined without a channel to a parent.
///
/// # Errors
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a worker of a process that has one.
pub fn parent_channel_attribute(state: &IsolateState, name: &str) -> Result<Value> {
    let is_main = state.shared.thread == ThreadId::MAIN;
    if !is_main && state.shared.group.has_parent_channel.load(Ordering::Relaxed) {
        state.process.require_main(&format!("process.{name}"))?;
    }
    let Some(handle) = state.process.channel else {
        return Ok(Value::Undefined);
    };
    // Closed by the guest it is as in Node when it is disconnected.
    let channel = channel(state, handle).ok();
    Ok(match name {
        "channel" => channel.map_or(Value::Null, |_| handle.number().into()),
        _ => channel.is_some_and(IpcChannel::is_connected).into(),
    })
}

/// The descriptor `number`, if it is a connected UNIX stream socket; it is no longer inherited by children.
fn take_over(number: RawFd) -> io::Result<OwnedFd> {
    let fd = inherited_fd::take(number)?;
    let is_channel =
        sockopt::socket_domain(&fd)? == AddressFamily::UNIX && sockopt::socket_type(&fd)? == SocketType::STREAM;
    match is_channel {
        true => Ok(fd),
        false => Err(io::Error::other("it is no UNIX stream socket")),
    }
}
