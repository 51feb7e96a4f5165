//! Why a process was not started: an error of the call, or one that the guest hears of later.

use nodule_abi::error::{ErrorCode, ErrorRecord};

/// A start that failed.
#[derive(Debug)]
pub enum StartFailure {
    /// The system said so, with this error number.
    System(i32),
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
        matches!(
            self,
            Self::System(libc::EACCES | libc::EAGAIN | libc::EMFILE | libc::ENFILE | libc::ENOENT)
        )
    }

    /// The error, of a start of `file` by the call `syscall`; `arguments` are all it was given, its name first.
    pub fn record(self, syscall: &str, file: &str, arguments: &[String]) -> Box<ErrorRecord> {
        match self {
            Self::Guest(record) => record,
            Self::System(errno) => {
                let code = ErrorCode::from_errno(errno);
                let syscall = format!("{syscall} {file}");
                Box::new(ErrorRecord {
                    path: Some(file.to_owned()),
                    errno: Some(-errno),
                    syscall: Some(syscall.clone().into()),
                    spawnargs: Some(arguments.iter().skip(1).cloned().collect()),
                    ..ErrorRecord::new(code, format!("{syscall} {code}"))
                })
            }
        }
    }
}

impl From<Box<ErrorRecord>> for StartFailure {
    fn from(record: Box<ErrorRecord>) -> Self {
        Self::Guest(record)
    }
}
