//! The standard streams of an isolate.
//!
//! | file | what it does |
//! |---|---|
//! | `output` | [`Output`]: where output goes |
//! | `shared` | one lock a place that is written to, and what becomes of writes that are given up |
//! | `input` | [`Input`]: where input comes from |
//! | `reader` | what WASI and the stream API read from |
//! | `streams` | streams a guest has handles of: the ends of its workers' pipes |
//! | `pipe` | bounded pipes between an isolate and its host |
//! | `channel` | streams of the OS process, without blocking and without changing what is shared |
//! | `imports` | `nodule:stdio/1` |

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::fs::FileType;

mod channel;
pub mod imports;
mod input;
mod output;
mod pipe;
mod reader;
mod shared;
mod streams;

pub use input::{Input, Stdin};
pub use output::Output;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use reader::ReadStream;
pub(crate) use shared::finish_writes;
pub use streams::{WriteStream, insert_reader, insert_writer};

/// Where the standard streams of a new isolate lead. Default: empty input, output to nowhere.
#[derive(Debug, Default)]
pub struct StdioOptions {
    /// Its input.
    pub stdin: Input,
    /// Its output.
    pub stdout: Output,
    /// Its error output.
    pub stderr: Output,
}

/// The host's ends of the pipes of an isolate.
#[derive(Debug)]
pub struct Pipes {
    /// Present when [`Input::pipe`] was chosen.
    pub stdin: Option<PipeWriter>,
    /// Present when [`Output::pipe`] was chosen.
    pub stdout: Option<PipeReader>,
    /// Present when [`Output::pipe`] was chosen.
    pub stderr: Option<PipeReader>,
}

impl StdioOptions {
    /// Makes the pipes that were asked for and gives the host's ends.
    pub fn take_pipes(&mut self) -> Pipes {
        Pipes {
            stdin: self.stdin.take_pipe(),
            stdout: self.stdout.take_pipe(),
            stderr: self.stderr.take_pipe(),
        }
    }

    /// The streams of the isolate. Streams of the process are opened at their first use.
    pub fn open(self) -> IsolateStdio {
        IsolateStdio {
            stdin: self.stdin.open(),
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }
}

/// The standard streams of a running isolate.
#[derive(Debug)]
pub struct IsolateStdio {
    /// Its input.
    pub stdin: Stdin,
    /// Its output.
    pub stdout: Output,
    /// Its error output.
    pub stderr: Output,
}

impl IsolateStdio {
    /// Closes the stream handle of standard input.
    pub fn close_stdin(&mut self) {
        self.stdin.close();
    }

    /// Node's name of the type of standard input, as [`Output::type_name`].
    pub fn stdin_type_name(&self) -> &'static str {
        self.stdin.type_name()
    }
}

/// Node's name of the type of a standard stream of the process.
fn type_name(fd: BorrowedFd<'_>) -> &'static str {
    if rustix::termios::isatty(fd) {
        return "TTYWrap";
    }
    match rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Fifo | FileType::Socket) => "PipeWrap",
        _ => "FSReqCallback",
    }
}

/// Columns and rows, if `fd` is a terminal.
fn window_size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Pause before an event is offered again to a full queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// Calls `notify` until it gives `true`: until the queue takes the event.
async fn tell(notify: impl Fn() -> bool) {
    while !notify() {
        tokio::time::sleep(QUEUE_FULL_PAUSE).await;
    }
}
