//! The descriptors of a child, and the parent's ends of its pipes.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use cap_std::fs::{OpenOptions, OpenOptionsExt as _};
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::options::{FileFlags, StdioEntry};
use super::start_failure::StartFailure;
use crate::handles::{Handle, Resource};
use crate::ipc::{IpcChannel, Serialization};
use crate::runtime::IsolateState;
use crate::spawn_tied::Tied;
use crate::stdio::{Output, ReadStream, WriteStream};

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
    /// The parent's end of the channel.
    channel: Option<OwnedFd>,
    /// The child's number of the channel.
    pub channel_number: Option<RawFd>,
    /// What becomes of those ends where the isolate goes on beside the child.
    pub ends: Ends,
    /// Numbers from 3 on that are streams.
    pub streams: Vec<RawFd>,
    /// What moves bytes between the child and streams of the isolate that are no descriptors.
    pub pumps: Pumps,
}

/// The ends of the parent, ready for use.
#[derive(Debug, Default)]
pub struct Ends {
    /// By descriptor of the child: what is read from and what is written to.
    pub streams: Vec<(Option<ReadStream>, Option<WriteStream>)>,
    /// The channel.
    pub channel: Option<IpcChannel>,
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

fn failed(error: io::Error) -> StartFailure {
    StartFailure::of(&error)
}

fn null(index: RawFd) -> io::Result<OwnedFd> {
    let mode = if index == 0 { OFlags::RDONLY } else { OFlags::WRONLY };
    Ok(rustix::fs::open("/dev/null", mode | OFlags::CLOEXEC, Mode::empty())?)
}

impl Plan {
    /// For a child that did not start because there are no descriptors.
    pub fn without_descriptors(entries: &[StdioEntry]) -> Self {
        let mut plan = Self::default();
        plan.ends.streams.resize_with(entries.len(), Default::default);
        plan
    }

    /// Makes the descriptors for these entries. When it fails, all that was made is closed.
    ///
    /// # Errors
    /// `EMFILE` and `ENFILE` when the system has no more, as failures of the start; `EBADF` for a descriptor that is none
    /// of the guest; `ERR_INVALID_ARG_VALUE` for a stream without one.
    pub fn make(state: &IsolateState, entries: &[StdioEntry]) -> std::result::Result<Self, StartFailure> {
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
                    (plan.channel, plan.channel_number) = (Some(end), Some(index));
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

    /// Readies the ends of the parent before the child starts: once it runs, nothing can fail.
    ///
    /// # Errors
    /// `EMFILE` and others, as failures of the start.
    pub fn ready_ends(&mut self, serialization: Serialization) -> std::result::Result<(), StartFailure> {
        for (index, pipe) in std::mem::take(&mut self.pipes).into_iter().enumerate() {
            let open = |is_wanted: bool| pipe.as_ref().filter(|_| is_wanted).map(AsFd::as_fd);
            let reader = open(index > 0).map(ReadStream::from_fd).transpose();
            let writer = open(index == 0 || index > 2).map(WriteStream::from_fd).transpose();
            self.ends
                .streams
                .push((reader.map_err(failed)?, writer.map_err(failed)?));
        }
        if let Some(end) = self.channel.take() {
            self.ends.channel = Some(IpcChannel::open(end, serialization).map_err(failed)?);
        }
        Ok(())
    }

    fn add(&mut self, fd: OwnedFd, index: RawFd) {
        if index > 2 {
            self.streams.push(index);
        }
        self.fds.push((fd, index));
    }

    /// Gives the child the isolate's own stream `fd`.
    fn inherit(&mut self, state: &IsolateState, fd: u32, index: RawFd) -> std::result::Result<(), StartFailure> {
        let own = match fd {
            0 => state.stdio.stdin.os_fd(),
            1 => state.stdio.stdout.os_fd(),
            2 => state.stdio.stderr.os_fd(),
            fd => {
                let fd = state.process.stream_fd(fd).ok_or(StartFailure::System(libc::EBADF))?;
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

/// A parent's end of a pipe, to be read and written by a task.
pub fn asynchronous(fd: OwnedFd) -> io::Result<UnixStream> {
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

/// Gives the isolate the parent's ends: by entry the handle to read from and the one to write to, 0 for none.
///
/// # Errors
/// `EMFILE` when the isolate has too many handles.
pub fn insert(
    state: &mut IsolateState,
    streams: Vec<(Option<ReadStream>, Option<WriteStream>)>,
) -> Result<Vec<[u32; 2]>> {
    let mut handles = Vec::with_capacity(streams.len());
    for (reader, writer) in streams {
        let mut insert = |resource: Option<Resource>| match resource {
            Some(resource) => state.handles.insert(resource, false).map(Handle::number),
            None => Ok(0),
        };
        let reader = insert(reader.map(Resource::Reader))?;
        handles.push([reader, insert(writer.map(Resource::Writer))?]);
    }
    Ok(handles)
}
