//! Entries of `stdio`.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::Value;

use super::{Form, shown};
use crate::process::js_text;

/// One entry of `stdio`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StdioEntry {
    /// A socket pair.
    Pipe,
    /// The message channel.
    Ipc,
    /// `/dev/null` for the first three, nothing for the others.
    Ignore,
    /// The parent's own.
    Inherit,
    /// A descriptor of the guest.
    Fd(u32),
    /// A stream handle of the guest.
    Handle(u32),
    /// A file of the guest, opened with Node's flags.
    File {
        /// Its path.
        path: String,
        /// How it is opened.
        flags: FileFlags,
    },
}

/// How a file is opened (Node: file system flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFlags {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Always at its end.
    pub append: bool,
    /// Made when it is not there.
    pub create: bool,
    /// Emptied first.
    pub truncate: bool,
    /// Refused when it is there.
    pub exclusive: bool,
}

impl FileFlags {
    /// Node's text: `r`, `r+`, `w`, `w+`, `a`, `a+`, each with an `x` behind the letter that writes.
    fn parse(text: &str) -> Option<Self> {
        let (letters, plus) = match text.strip_suffix('+') {
            Some(letters) => (letters, true),
            None => (text, false),
        };
        let (letter, exclusive) = match letters.strip_suffix('x') {
            Some(letter) => (letter, true),
            None => (letters, false),
        };
        let is_write = matches!(letter, "w" | "a");
        if !is_write && (letter != "r" || exclusive) {
            return None;
        }
        Some(Self {
            read: !is_write || plus,
            write: is_write || plus,
            append: letter == "a",
            create: is_write,
            truncate: letter == "w",
            exclusive,
        })
    }
}

/// What Node says of an entry that is none.
pub(super) fn invalid_stdio(value: &Value) -> Box<ErrorRecord> {
    ErrorRecord::invalid_arg_value("stdio", "is invalid", &shown(value)).into()
}

pub(super) fn word_entry(word: &str) -> Option<StdioEntry> {
    match word {
        "pipe" | "overlapped" => Some(StdioEntry::Pipe),
        "ipc" => Some(StdioEntry::Ipc),
        "ignore" => Some(StdioEntry::Ignore),
        "inherit" => Some(StdioEntry::Inherit),
        _ => None,
    }
}

pub(super) fn entry(index: usize, value: &Value, form: Form) -> Result<StdioEntry> {
    match value {
        Value::Undefined | Value::Null if index < 3 => Ok(StdioEntry::Pipe),
        Value::Undefined | Value::Null => Ok(StdioEntry::Ignore),
        Value::String(word) => match (word_entry(word), form) {
            (Some(entry), _) => Ok(entry),
            (None, Form::Async) => Err(ErrorRecord::new(
                ErrorCode::InvalidSyncForkInput,
                format!("{}: {}", ErrorCode::InvalidSyncForkInput.text(), js_text::quoted(word)),
            )
            .into()),
            (None, Form::Sync) => Err(invalid_stdio(value)),
        },
        Value::Number(_) => {
            let fd = value.as_u32().ok_or_else(|| invalid_stdio(value))?;
            Ok(StdioEntry::Fd(fd))
        }
        other => object_entry(other).ok_or_else(|| invalid_stdio(other)),
    }
}

/// `{handle}` or `{file, flags}`.
fn object_entry(value: &Value) -> Option<StdioEntry> {
    if let Some(handle) = value.get("handle").and_then(Value::as_u32) {
        return Some(StdioEntry::Handle(handle));
    }
    let path = value
        .get("file")
        .and_then(Value::as_str)
        .filter(|path| !path.contains('\0'))?;
    let flags = value.get("flags").and_then(Value::as_str).unwrap_or("r");
    Some(StdioEntry::File {
        path: path.to_owned(),
        flags: FileFlags::parse(flags)?,
    })
}
