//! Channels between processes: the end of a parent ([`crate::child_process::ChildProcess`]) and that of a child
//! ([`crate::process`]), which offer what is here.
//!
//! | file | what it holds |
//! |---|---|
//! | `end` | an end: its events, its delivery, what keeps it alive |
//! | `send` | sending, with callbacks and with waiting |
//! | `handle` | native handles beside messages |
//! | `json` | messages as JSON text |

mod end;
mod handle;
mod json;
mod send;

pub(crate) use end::{End, KeepAlive};
pub use handle::SendHandle;
pub use send::SendOptions;

use std::fmt;

/// The channel to another process: what keeps the isolate alive (Node: `subprocess.channel`, `process.channel`).
#[derive(Clone)]
pub struct Channel(End);

impl Channel {
    /// The channel of an end that is connected.
    pub(crate) fn of(end: &End) -> Option<Self> {
        end.is_connected().then(|| Self(end.clone()))
    }

    /// Lets the channel keep the isolate alive, whoever listens (Node: `channel.ref`).
    pub fn ref_(&self) {
        self.0.set_ref(true);
    }

    /// Lets the isolate end although the channel is open, whoever listens (Node: `channel.unref`).
    pub fn unref(&self) {
        self.0.set_ref(false);
    }

    /// Whether the channel keeps the isolate alive (Node: `channel.hasRef`).
    pub fn has_ref(&self) -> bool {
        self.0.has_ref()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("has_ref", &self.has_ref())
            .finish_non_exhaustive()
    }
}
