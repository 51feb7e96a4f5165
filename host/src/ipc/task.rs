//! The task of a channel: it reads, and writes what could not be written at once.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::channel::Shared;
use super::internal::{HandleMessage, Internal, parse};
use super::native_handle::NativeHandle;
use super::resources::Along;
use super::socket::Socket;
use super::state::{Incoming, Plan, Step};
use super::wire::{Framer, Payload, Serialization, WireError};
use super::{descriptors, linger};

/// Reads between two looks at what else is to be done.
const READS_MAX: usize = 16;

/// Ends the channel with its task, whatever ends that, also before it ran.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish();
        linger::leave(&self.0);
    }
}

/// Runs a channel to its end.
pub(super) fn run(shared: Arc<Shared>, socket: AsyncFd<Arc<Socket>>) -> impl Future<Output = ()> + Send {
    let ending = Ending(shared);
    async move { serve(&ending.0, socket).await }
}

async fn serve(shared: &Shared, socket: AsyncFd<Arc<Socket>>) {
    let mut reader = Reader::new(shared.serialization, shared.is_port);
    let mut writable: Option<AsyncFd<OwnedFd>> = None;
    loop {
        let plan = shared.lock().plan(reader.framer.is_mid_message());
        let Plan::Wait { read, write, until } = plan else {
            return;
        };
        if !write {
            writable = None;
        } else if writable.is_none() {
            match socket.get_ref().duplicate().and_then(descriptors::writable) {
                Ok(registered) => writable = Some(registered),
                Err(error) => {
                    tracing::warn!(%error, "a channel between processes cannot be written to any more");
                    return;
                }
            }
        }
        tokio::select! {
            biased;
            () = shared.changed.notified() => {}
            ready = socket.readable(), if read => {
                let Ok(mut ready) = ready else { return };
                match reader.read(shared, socket.get_ref()) {
                    Found::More => {}
                    Found::Nothing => ready.clear_ready(),
                    Found::End => return,
                    Found::Garbage(error) => {
                        shared.fail(error.code());
                        return;
                    }
                }
            }
            ready = is_writable(writable.as_ref()), if write => {
                if !ready {
                    return;
                }
                shared.lock().unblock();
            }
            () = sleep_until(until), if until.is_some() => {}
        }
        let lost = shared.lock().take_lost_handles();
        if let Some(warner) = shared.warner.get().filter(|_| lost > 0) {
            warner.handles_lost(lost).await;
        }
    }
}

/// Waits for room to write; gives `false` when there will be none.
async fn is_writable(writable: Option<&AsyncFd<OwnedFd>>) -> bool {
    match writable {
        Some(writable) => match writable.writable().await {
            Ok(mut ready) => {
                // What does not fit after all is found by the next write.
                ready.clear_ready();
                true
            }
            Err(_) => false,
        },
        None => std::future::pending().await,
    }
}

async fn sleep_until(until: Option<Instant>) {
    if let Some(until) = until {
        tokio::time::sleep_until(until.into()).await;
    }
}

/// What reading found.
enum Found {
    /// There may be more.
    More,
    /// Nothing more for now.
    Nothing,
    /// The other side has ended.
    End,
    /// What is no message.
    Garbage(WireError),
}

/// What is half read.
struct Reader {
    framer: Framer,
    serialization: Serialization,
    /// It is the channel of a port.
    is_port: bool,
    /// What came with a frame that is not complete yet.
    descriptors: Vec<OwnedFd>,
    steps: Vec<Step>,
}

impl Reader {
    fn new(serialization: Serialization, is_port: bool) -> Self {
        Self {
            framer: Framer::new(serialization),
            serialization,
            is_port,
            descriptors: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn read(&mut self, shared: &Shared, socket: &Socket) -> Found {
        for _ in 0..READS_MAX {
            let space = self.framer.space();
            let wanted = space.len();
            let received = match socket.receive(space) {
                Ok(received) if received.bytes == 0 => return Found::End,
                Ok(received) => received,
                Err(Errno::WOULDBLOCK) => return Found::Nothing,
                Err(error) => {
                    tracing::debug!(%error, "a channel between processes was cut off");
                    return Found::End;
                }
            };
            let bytes = received.bytes;
            self.framer.filled(bytes);
            let has_descriptors = received.is_truncated || !received.descriptors.is_empty();
            if has_descriptors {
                // One handle is under way at a time; what is replaced belonged to no message.
                self.descriptors = match received.is_truncated {
                    true => Vec::new(),
                    false => received.descriptors,
                };
            }
            let result = self.take_messages();
            let goes_on = shared.lock().apply(self.steps.drain(..), bytes);
            if let Err(error) = result {
                return Found::Garbage(error);
            }
            // A read that gave less than there was room for has emptied the socket, which saves the one that says so. One
            // with descriptors ends behind them.
            if bytes < wanted && !has_descriptors {
                return Found::Nothing;
            }
            if !goes_on {
                return Found::More;
            }
        }
        Found::More
    }

    fn take_messages(&mut self) -> Result<(), WireError> {
        while let Some(payload) = self.framer.next()? {
            let step = match parse(self.serialization, &payload) {
                None => Step::Message(Incoming {
                    payload,
                    handle: None,
                    along: Along::Nothing,
                }),
                Some(Internal::PortMessage(range)) if self.is_port => Step::Message(Incoming {
                    payload: payload.part(range),
                    handle: None,
                    along: Along::Nothing,
                }),
                Some(Internal::Handle(about)) => self.take_handle(payload, about),
                Some(Internal::Ack) => Step::Acknowledged,
                Some(Internal::Nack) => Step::Refused,
                Some(Internal::Other | Internal::PortMessage(_)) => continue,
            };
            self.steps.push(step);
        }
        Ok(())
    }

    /// The message in a `NODE_HANDLE`.
    fn take_handle(&mut self, payload: Payload, mut about: HandleMessage) -> Step {
        let mut descriptors = std::mem::take(&mut self.descriptors).into_iter();
        if descriptors.len() == 0 {
            return Step::WithoutHandle;
        }
        let types = about.types.take();
        let has_native = types.is_none() || !about.kind.is_empty();
        let native = if has_native { descriptors.next() } else { None };
        let payload = match about.message.take() {
            Some(range) => payload.part(range),
            None => Payload::from(null(self.serialization)),
        };
        Step::WithHandle(Incoming {
            payload,
            handle: native.and_then(|fd| NativeHandle::received(fd, about)),
            along: types.map_or(Along::Nothing, |types| Along::check(types, descriptors)),
        })
    }
}

fn null(serialization: Serialization) -> &'static [u8] {
    match serialization {
        Serialization::Json => b"null",
        Serialization::Advanced => &[0xf6],
    }
}
