//! What the descriptors of a child are, and the streams at this end of its pipes.

use nodule_abi::value::Object;

use crate::Value;
use crate::stream::{Readable, Writable};

/// What a descriptor of a child is (Node: an entry of `options.stdio`).
#[derive(Clone, Debug, Default)]
pub enum Stdio {
    /// What is there when nobody says: a pipe for 0 to 2, nothing above (Node: null).
    #[default]
    Default,
    /// A pipe to this process.
    Pipe,
    /// The same as [`Self::Pipe`].
    Overlapped,
    /// `/dev/null` for 0 to 2, nothing above.
    Ignore,
    /// The same descriptor of this process.
    Inherit,
    /// The channel for messages.
    Ipc,
    /// A descriptor of this process: 0 to 2, or one from 3 on that its own parent gave it.
    Fd(u32),
    /// A file, see [`Self::file`].
    File {
        /// Its path.
        path: String,
        /// How it is opened.
        flags: String,
    },
    /// A stream that the child reads from in this process's stead.
    Readable(Readable),
    /// A stream that the child writes to.
    Writable(Writable),
}

impl Stdio {
    /// A file that the host opens for the child, with Node's flags (`r`, `r+`, `w`, `a`, `wx`, …) and within the grants:
    /// files that this isolate has opened have no descriptor that another process could be given.
    pub fn file(path: impl Into<String>, flags: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            flags: flags.into(),
        }
    }

    /// The child has it now. What this isolate does not read itself is left to the child.
    pub(super) fn hand_over(&self) {
        if let Self::Readable(stream) = self {
            stream.pause();
        }
    }

    /// As the host takes it.
    fn value(&self) -> Value {
        let word = match self {
            Self::Default => return Value::Null,
            Self::Pipe => "pipe",
            Self::Overlapped => "overlapped",
            Self::Ignore => "ignore",
            Self::Inherit => "inherit",
            Self::Ipc => "ipc",
            Self::Fd(fd) => return (*fd).into(),
            Self::File { path, flags } => {
                return Value::object([("file", path.as_str()), ("flags", flags.as_str())]);
            }
            Self::Readable(stream) => return Value::object([("handle", stream.raw_handle())]),
            Self::Writable(stream) => return Value::object([("handle", stream.raw_handle())]),
        };
        word.into()
    }
}

impl From<&Readable> for Stdio {
    fn from(stream: &Readable) -> Self {
        Self::Readable(stream.clone())
    }
}

impl From<&Writable> for Stdio {
    fn from(stream: &Writable) -> Self {
        Self::Writable(stream.clone())
    }
}

/// What all descriptors of a child are: one [`Stdio`] for 0 to 2, or a list with an entry for each. Missing entries are
/// [`Stdio::Default`].
#[derive(Clone, Debug)]
pub struct StdioList {
    pub(super) value: Value,
    /// Streams stay open until the child has them.
    pub(super) entries: Vec<Stdio>,
}

impl From<Stdio> for StdioList {
    fn from(entry: Stdio) -> Self {
        Self {
            value: entry.value(),
            entries: vec![entry],
        }
    }
}

impl From<Vec<Stdio>> for StdioList {
    fn from(entries: Vec<Stdio>) -> Self {
        Self {
            value: Value::array(entries.iter().map(Stdio::value)),
            entries,
        }
    }
}

impl<const N: usize> From<[Stdio; N]> for StdioList {
    fn from(entries: [Stdio; N]) -> Self {
        Vec::from(entries).into()
    }
}

/// Which descriptors of a child are pipes; one entry for each that the host tells of.
pub(super) fn pipes(fields: &Object, is_fork: bool) -> Vec<bool> {
    let is_pipe = |entry: &Value, fd: usize| match entry {
        Value::String(word) => word == "pipe" || word == "overlapped",
        entry => entry.is_nullish() && fd < 3,
    };
    let is_silent = fields.get("silent").and_then(Value::as_bool).unwrap_or(false);
    let mut pipes = match fields.get("stdio") {
        Some(Value::Array(entries)) => {
            let entries = entries.iter().enumerate();
            let mut pipes: Vec<_> = entries.map(|(fd, entry)| is_pipe(entry, fd)).collect();
            pipes.resize(pipes.len().max(3), true);
            return pipes;
        }
        Some(word @ Value::String(_)) => vec![is_pipe(word, 0); 3],
        _ => vec![!is_fork || is_silent; 3],
    };
    if is_fork {
        pipes.push(false);
    }
    pipes
}

/// The stream at this end of a pipe to a child (Node: an entry of `subprocess.stdio`).
#[derive(Clone, Debug, Default)]
pub struct StdioStream {
    readable: Option<Readable>,
    writable: Option<Writable>,
}

impl StdioStream {
    /// The stream behind the two handles of an entry; `None` when there is neither.
    pub(super) fn of([to_read, to_write]: [u32; 2]) -> Option<Self> {
        let stream = Self {
            readable: (to_read != 0).then(|| Readable::from_handle(to_read).held()),
            writable: (to_write != 0).then(|| Writable::from_handle(to_write)),
        };
        (stream.readable.is_some() || stream.writable.is_some()).then_some(stream)
    }

    /// The stream behind two handles that were opened.
    pub(crate) fn opened([to_read, to_write]: [u32; 2]) -> Self {
        Self {
            readable: Some(Readable::from_handle(to_read)),
            writable: Some(Writable::from_handle(to_write)),
        }
    }

    /// The stream of a pipe to a child that did not start.
    pub(super) fn ended(fd: usize) -> Self {
        let closed = || {
            let stream = Writable::from_handle(0);
            stream.destroy();
            stream
        };
        Self {
            readable: (fd > 0).then(Readable::ended),
            writable: (fd == 0 || fd > 2).then(closed),
        }
    }

    /// What the child writes; `None` for its standard input.
    pub fn readable(&self) -> Option<&Readable> {
        self.readable.as_ref()
    }

    /// What the child reads; `None` for its standard output and error output.
    pub fn writable(&self) -> Option<&Writable> {
        self.writable.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipes_of(stdio: Option<StdioList>, is_fork: bool) -> Vec<bool> {
        let mut fields = Object::new();
        if let Some(stdio) = stdio {
            fields.insert("stdio", stdio.value);
        }
        pipes(&fields, is_fork)
    }

    #[test]
    fn the_descriptors_that_are_pipes_are_known() {
        assert_eq!(pipes_of(None, false), [true; 3]);
        assert_eq!(pipes_of(None, true), [false; 4]);
        assert_eq!(pipes_of(Some(Stdio::Pipe.into()), true), [true, true, true, false]);
        assert_eq!(pipes_of(Some(Stdio::Inherit.into()), false), [false; 3]);
        let list = [
            Stdio::Ignore,
            Stdio::Fd(2),
            Stdio::Default,
            Stdio::Default,
            Stdio::Overlapped,
        ];
        assert_eq!(pipes_of(Some(list.into()), true), [false, false, true, false, true]);
        assert_eq!(pipes_of(Some([Stdio::Ignore].into()), false), [false, true, true]);
    }
}
