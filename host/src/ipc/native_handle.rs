//! Handles of the system that come and go with messages: sockets and servers, as Node sends them.
//!
//! A guest can hold one, close it, ask what it is and send it on.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::internal::HandleMessage;
use super::resources::Descriptor;

/// What a handle is, as Node names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleType {
    /// A connection.
    Socket,
    /// A listening server.
    Server,
    /// A raw handle of a stream or server.
    Native,
    /// A UDP socket.
    DgramSocket,
    /// A raw handle of a UDP socket.
    DgramNative,
}

impl HandleType {
    const ALL: [Self; 5] = [
        Self::Socket,
        Self::Server,
        Self::Native,
        Self::DgramSocket,
        Self::DgramNative,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "net.Socket",
            Self::Server => "net.Server",
            Self::Native => "net.Native",
            Self::DgramSocket => "dgram.Socket",
            Self::DgramNative => "dgram.Native",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Node's name of the resource, for `getActiveResourcesInfo()`.
    pub const fn resource_name(self) -> &'static str {
        match self {
            Self::Socket | Self::Native => "TCPSocketWrap",
            Self::Server => "TCPServerWrap",
            Self::DgramSocket | Self::DgramNative => "UDPWrap",
        }
    }
}

/// A descriptor and what Node says about it. Clones share it; it is closed with the last.
#[derive(Clone, Debug)]
pub struct NativeHandle {
    fd: Arc<OwnedFd>,
    about: Arc<About>,
}

#[derive(Debug)]
struct About {
    kind: HandleType,
    key: Option<String>,
    dgram_type: Option<String>,
}

impl NativeHandle {
    /// What came with `message`; `None` when its type is unknown.
    pub(super) fn received(fd: OwnedFd, message: HandleMessage) -> Option<Self> {
        let about = About {
            kind: HandleType::from_name(&message.kind)?,
            key: message.key,
            dgram_type: message.dgram_type,
        };
        Some(Self {
            fd: Arc::new(fd),
            about: Arc::new(about),
        })
    }

    /// What it is.
    pub fn kind(&self) -> HandleType {
        self.about.kind
    }

    /// Its descriptor.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor::Plain(Arc::clone(&self.fd))
    }

    /// What is said about it beside the message it goes with: type, `key`, `dgramType`.
    pub(super) fn about(&self) -> (&'static str, Option<&str>, Option<&str>) {
        let About { kind, key, dgram_type } = &*self.about;
        (kind.name(), key.as_deref(), dgram_type.as_deref())
    }
}
