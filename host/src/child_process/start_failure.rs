//! Why a process was not started: an error of the call, or one that the guest hears of later.

use nodule_abi::error::{ErrorCode, ErrorRecord};

use super::program::Names;

/// A start that failed.
#[derive(Debug)]
pub enum StartFailure {
    /// The system said so, with this error number.
    System(i32),
    /// As many children run as may; `EAGAIN` for the guest, and this about the limit.
    NoRoom(String),
    /// A mistake of the guest, or a refusal.
    Guest(Box<ErrorRecord>),
}

impl StartFailure {
    /// Of an error of the system.
    pub fn of(error: &std::io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Whether Node tells it by an `'error'` event instead of throwing it.
    pub fn is_told_later(&self) -> bool {
        match self {
            Self::System(errno) => matches!(
                *errno,
                libc::EACCES | libc::EAGAIN | libc::EMFILE | libc::ENFILE | libc::ENOENT
            ),
            Self::NoRoom(_) => true,
            Self::Guest(_) => false,
        }
    }

    /// Whether there are no descriptors for the streams of the child either.
    pub fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Self::System(libc::EMFILE | libc::ENFILE))
    }

    /// The error as the call gives it: what Node throws does not name the file.
    pub fn thrown(self, syscall: &'static str) -> Box<ErrorRecord> {
        let errno = match self {
            Self::Guest(record) => return record,
            Self::System(errno) => errno,
            Self::NoRoom(_) => libc::EAGAIN,
        };
        Box::new(ErrorRecord {
            errno: Some(-errno),
            ..ErrorRecord::system(ErrorCode::from_errno(errno), syscall)
        })
    }

    /// The error, of a start by the call `syscall`.
    pub fn record(self, syscall: &str, names: &Names) -> Box<ErrorRecord> {
        let (errno, remark) = match self {
            Self::Guest(record) => return record,
            Self::System(errno) => (errno, String::new()),
            Self::NoRoom(why) => (libc::EAGAIN, format!(": {why}")),
        };
        let code = ErrorCode::from_errno(errno);
        let syscall = format!("{syscall} {}", names.spawnfile);
        Box::new(ErrorRecord {
            path: Some(names.spawnfile.clone()),
            errno: Some(-errno),
            syscall: Some(syscall.clone().into()),
            spawnargs: Some(names.spawnargs.iter().skip(1).cloned().collect()),
            ..ErrorRecord::new(code, format!("{syscall} {code}{remark}"))
        })
    }
}

impl From<Box<ErrorRecord>> for StartFailure {
    fn from(record: Box<ErrorRecord>) -> Self {
        Self::Guest(record)
    }
}
