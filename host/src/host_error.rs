//! What can go wrong in a host function, and what the guest sees of it.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use wasmtime::Caller;

use crate::runtime::IsolateState;

/// A failure inside a host function. The variant says what becomes of it.
#[derive(Debug)]
pub enum HostError {
    /// A mistake of the guest, or a refusal: an error number for the guest.
    Errno(Box<ErrorRecord>),
    /// As `Errno`, of a code and its usual text. The record is made only if the guest asks: codes are also answers,
    /// as `EAGAIN`.
    Code(ErrorCode),
    /// A broken invariant, or the end of the isolate: the guest is unwound.
    Trap(wasmtime::Error),
    /// A failure of the host: logged, `ERR_INTERNAL` for the guest.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl HostError {
    /// The guest is unwound with this message.
    pub fn trap(message: &'static str) -> Self {
        Self::Trap(wasmtime::Error::msg(message))
    }

    /// A failure of the host.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<Box<ErrorRecord>> for HostError {
    fn from(record: Box<ErrorRecord>) -> Self {
        Self::Errno(record)
    }
}

impl From<ErrorRecord> for HostError {
    fn from(record: ErrorRecord) -> Self {
        Self::Errno(Box::new(record))
    }
}

impl From<ErrorCode> for HostError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

/// What `nodule:error/1` `last` tells.
#[derive(Clone, Debug)]
pub enum LastError {
    /// A code and its usual text.
    Code(ErrorCode),
    /// A whole record.
    Record(Box<ErrorRecord>),
}

impl LastError {
    /// The record.
    pub fn record(self) -> Box<ErrorRecord> {
        match self {
            Self::Code(code) => ErrorRecord::new(code, code.text()).into(),
            Self::Record(record) => record,
        }
    }
}

/// The result of a host function as its import returns it: 0, or an error number, with the record kept
/// for `nodule:error/1` `last`; or the trap.
pub fn respond(caller: &mut Caller<'_, IsolateState>, result: Result<(), HostError>) -> wasmtime::Result<u32> {
    let record = match result {
        Ok(()) => return Ok(0),
        Err(HostError::Trap(error)) => return Err(error),
        Err(HostError::Errno(record)) => record,
        Err(HostError::Code(code)) => {
            caller.data_mut().last_error = Some(LastError::Code(code));
            return Ok(u32::from(code.number()));
        }
        Err(HostError::Internal(error)) => {
            tracing::error!(%error, "a host function failed");
            Box::new(ErrorRecord::new(
                ErrorCode::Internal,
                "internal error of the host; see its log",
            ))
        }
    };
    let code = record.error_code().unwrap_or(match &*record.name {
        // Those of JavaScript itself, which have no code.
        "TypeError" => ErrorCode::InvalidArgType,
        "RangeError" => ErrorCode::OutOfRange,
        _ => ErrorCode::Internal,
    });
    caller.data_mut().last_error = Some(LastError::Record(record));
    Ok(u32::from(code.number()))
}
