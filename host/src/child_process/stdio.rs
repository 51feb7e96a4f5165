//! The descriptors of a child, and the parent's ends of its pipes.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};

use cap_std::fs::{OpenOptions, OpenOptionsExt as _};
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::options::{FileFlags, StdioEntry};
use crate::handles::{Handle, Resource};
use crate::runtime::IsolateState;
use crate::spawn_tied::Tied;
use crate::stdio::{Output, ReadStream};

/// Bytes a pipe holds in each direction.
const PIPE_BYTES: usize = 256 * 1024;
/// Bytes a pump moves at once.
const PUMP_BYTES: usize = 64 * 1024;

/// The descriptors of a child that is about to start.
#[derive(Debug, Default)]
pub struct Plan {
    /// Descriptors and the numbers they get.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// By descriptor of the child: the parent's end of a pipe.
    pub pipes: Vec<Option<OwnedFd>>,
    /// The parent's end of the channel, and the child's number of it.
    pub channel: Option<(OwnedFd, RawFd)>,
    /// Numbers from 3 on that are streams.
    pub streams: Vec<RawFd>,
    /// What moves bytes between the child and streams of the isolate that are no descriptors.
    pub pumps: Pumps,
}

/// The tasks between a child and streams of the isolate.
#[derive(Debug, Default)]
pub struct Pumps {
    /// Into the child; of no use after its end.
    feed: Option<Tied>,
    /// Out of the child: to the end of what it wrote.
    drains: Vec<Tied>,
}

impl Pumps {
    /// The child has ended: ready when all it wrote is where it belongs.
    pub async fn ended(self) {
        drop(self.feed);
        for drain in self.drains {
            drain.ended().await;
        }
    }
}

/// A pair of connected sockets, closed when a program begins.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    for end in [&pair.0, &pair.1] {
        // A smaller buffer serves as well.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(end, PIPE_BYTES);
    }
    Ok(pair)
}

fn failed(error: io::Error) -> Box<ErrorRecord> {
    let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
    ErrorRecord::system(code, "spawn").into()
}

fn null(index: RawFd) -> io::Result<OwnedFd> {
    let mode = if index == 0 { OFlags::RDONLY } else { OFlags::WRONLY };
    Ok(rustix::fs::open("/dev/null", mode | OFlags::CLOEXEC, Mode::empty())?)
}

impl Plan {
    /// Makes the descriptors for these entries. When it fails, all that was made is closed.
    ///
    /// # Errors
    /// `EMFILE` and `ENFILE` when the system has no more; `EBADF` for a descriptor that is none of the guest;
    /// `ERR_INVALID_ARG_VALUE` for a stream without one.
    pub fn make(state: &IsolateState, entries: &[StdioEntry]) -> Result<Self> {
        let mut plan = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            // `options` bounds their number.
            let index = RawFd::try_from(index).unwrap_or(RawFd::MAX);
            let mut ours = None;
            match entry {
                StdioEntry::Pipe => {
                    let (end, theirs) = socket_pair().map_err(failed)?;
                    ours = Some(end);
                    plan.add(theirs, index);
                }
                StdioEntry::Ipc => {
                    let (end, theirs) = socket_pair().map_err(failed)?;
                    plan.channel = Some((end, index));
                    plan.fds.push((theirs, index));
                }
                StdioEntry::Ignore if index < 3 => plan.fds.push((null(index).map_err(failed)?, index)),
                StdioEntry::Ignore => {}
                StdioEntry::Inherit => plan.inherit(state, u32::try_from(index).unwrap_or(u32::MAX), index)?,
                StdioEntry::Fd(fd) => plan.inherit(state, *fd, index)?,
                StdioEntry::Handle(handle) => plan.add(stream(state, *handle)?, index),
                StdioEntry::File { path, flags } => plan.add(file(state, path, *flags)?, index),
            }
            plan.pipes.push(ours);
        }
        Ok(plan)
    }

    fn add(&mut self, fd: OwnedFd, index: RawFd) {
        if index > 2 {
            self.streams.push(index);
        }
        self.fds.push((fd, index));
    }

    /// Gives the child the isolate's own stream `fd`.
    fn inherit(&mut self, state: &IsolateState, fd: u32, index: RawFd) -> Result<()> {
        let own = match fd {
            0 => state.stdio.stdin.os_fd(),
            1 => state.stdio.stdout.os_fd(),
            2 => state.stdio.stderr.os_fd(),
            fd => {
                let fd = state
                    .process
                    .stream_fd(fd)
                    .ok_or_else(|| ErrorRecord::system(ErrorCode::Ebadf, "spawn"))?;
                Some(fd.try_clone_to_owned())
            }
        };
        if let Some(own) = own {
            self.add(own.map_err(failed)?, index);
            return Ok(());
        }
        let (ours, theirs) = socket_pair().map_err(failed)?;
        match fd {
            0 => self.pumps.feed = Some(Tied::spawn(feed(state.stdio.stdin.stream.share(), ours))),
            1 => self
                .pumps
                .drains
                .push(Tied::spawn(drain(ours, state.stdio.stdout.clone()))),
            _ => self
                .pumps
                .drains
                .push(Tied::spawn(drain(ours, state.stdio.stderr.clone()))),
        }
        self.add(theirs, index);
        Ok(())
    }
}

/// The descriptor behind a stream handle of the guest.
fn stream(state: &IsolateState, handle: u32) -> Result<OwnedFd> {
    let invalid = || ErrorRecord::invalid_arg_value("stdio", "is invalid", "a stream without a descriptor");
    let fd = match state.handles.get(Handle::from_guest(handle))? {
        Resource::Reader(stream) => stream.os_fd(),
        Resource::Writer(stream) => stream.os_fd(),
        Resource::Stdin => state.stdio.stdin.os_fd().transpose().ok().flatten(),
        _ => None,
    };
    Ok(fd.ok_or_else(invalid)?)
}

/// A file inside a grant, opened for a child.
fn file(state: &IsolateState, path: &str, flags: FileFlags) -> Result<OwnedFd> {
    let cwd = state.process.cwd(&state.permissions)?;
    let failed = |error: io::Error| -> Box<ErrorRecord> {
        let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
        ErrorRecord::system_path(code, "open", path, None).into()
    };
    let mut options = OpenOptions::new();
    options
        .read(flags.read)
        .write(flags.write && !flags.append)
        .append(flags.append)
        .create(flags.create && !flags.exclusive)
        .create_new(flags.exclusive)
        .truncate(flags.truncate)
        // Opening a pipe that nobody uses would wait.
        .custom_flags(libc::O_NONBLOCK);
    let readable = match flags.read {
        true => Some(state.permissions.check_read(path, &cwd)?),
        false => None,
    };
    let opened = match flags.write {
        true => {
            let place = state.permissions.check_write(path, &cwd)?;
            place.dir().open_with(place.relative(), &options)
        }
        false => match readable {
            Some(place) => place.dir().open_with(place.relative(), &options),
            None => return Err(ErrorRecord::system(ErrorCode::Einval, "open").into()),
        },
    };
    let file = opened.map_err(failed)?.into_std();
    let is_regular = file.metadata().map_err(failed)?.is_file();
    if !is_regular {
        return Err(ErrorRecord::system_path(ErrorCode::Einval, "open", path, None).into());
    }
    // A child expects its streams to wait.
    let fd = OwnedFd::from(file);
    let flags = rustix::fs::fcntl_getfl(&fd).map_err(|error| failed(error.into()))?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
    Ok(fd)
}

fn asynchronous(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Writes what an isolate would read to a child.
async fn feed(from: ReadStream, to: OwnedFd) {
    let moved = async {
        let mut to = asynchronous(to)?;
        let mut buffer = vec![0; PUMP_BYTES];
        loop {
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                return Ok::<_, io::Error>(());
            }
            tokio::io::AsyncWriteExt::write_all(&mut to, &buffer[..len]).await?;
        }
    };
    if let Err(error) = moved.await {
        tracing::debug!(%error, "the input of a child ended early");
    }
}

/// Writes what a child writes to where an isolate writes.
async fn drain(from: OwnedFd, to: Output) {
    let moved = async {
        let mut from = asynchronous(from)?;
        let mut buffer = vec![0; PUMP_BYTES];
        loop {
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                return Ok::<_, io::Error>(());
            }
            to.write_all(&buffer[..len]).await?;
        }
    };
    if let Err(error) = moved.await {
        tracing::debug!(%error, "the output of a child ended early");
    }
}

/// Handles of the parent's ends: by entry one to read from and one to write to.
///
/// # Errors
/// `EMFILE` when the isolate has too many handles, or the system too many descriptors.
pub fn insert(state: &mut IsolateState, pipes: &[Option<OwnedFd>]) -> Result<Vec<[u32; 2]>> {
    let mut handles = Vec::with_capacity(pipes.len());
    for (index, pipe) in pipes.iter().enumerate() {
        let Some(pipe) = pipe else {
            handles.push([0; 2]);
            continue;
        };
        let reader = match index {
            0 => 0,
            _ => {
                let stream = ReadStream::from_fd(pipe.as_fd()).map_err(failed)?;
                state.handles.insert(Resource::Reader(stream), false)?.number()
            }
        };
        let writer = match index {
            1 | 2 => 0,
            _ => {
                let stream = crate::stdio::WriteStream::from_fd(pipe.as_fd()).map_err(failed)?;
                state.handles.insert(Resource::Writer(stream), false)?.number()
            }
        };
        handles.push([reader, writer]);
    }
    Ok(handles)
}
