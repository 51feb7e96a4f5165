//! Encoding a message and moving what is in its transfer list: all or nothing.

use nodule_abi::error::ErrorCode;
use nodule_abi::value::{self, EncodeError};
use serde::Serialize;

use super::side_list;
use crate::error::{Error, Result};
use crate::sys::IsolateCell;
use crate::sys::messaging::{self, MessageRef};

/// Something that can be in a transfer list: [`MessagePort`](super::MessagePort), [`ArrayBuffer`](super::ArrayBuffer).
/// Other types cannot implement it.
pub trait Transferable: Transfer {}

/// A list of what moves with a message: `&[&port, &buffer]`.
pub type TransferList<'a> = &'a [&'a dyn Transferable];

pub(crate) mod sealed {
    /// How a type moves.
    pub trait Transfer {
        /// Its handle, 0 when it is closed or was moved; `None` when it lies in the guest's memory.
        fn handle(&self) -> Option<u32>;
        /// Address of what it shares with its clones, and Node's class.
        fn identity(&self) -> (*const (), &'static str);
        /// Why it cannot move, if it lies in the guest's memory.
        fn refusal(&self) -> Option<&'static str>;
        /// It has moved.
        fn detach(&self);
    }
}

pub(crate) use sealed::Transfer;

thread_local! {
    /// The buffer of the last message, to be used again.
    static BUFFER: IsolateCell<Vec<u8>> = const { IsolateCell::new(Vec::new()) };
}

/// Larger buffers are not kept.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// A `DataCloneError`.
pub(crate) fn data_clone(text: impl Into<String>) -> Error {
    Error::with_code(ErrorCode::DataClone, text)
}

/// The error of a value that has no encoding. What a `Serialize` implementation said stays as it is.
fn encode_error(error: EncodeError) -> Error {
    match error {
        // An embedded `Value` has only text for it.
        EncodeError::Custom(message) if message != EncodeError::TooDeep.to_string() => Error::new(message),
        EncodeError::Custom(message) => data_clone(format!("The value could not be cloned: {message}")),
        EncodeError::TooDeep
        | EncodeError::DuplicateShared(_)
        | EncodeError::NotShareable(_)
        | EncodeError::UnknownRef(_)
        | EncodeError::Invalid(_) => data_clone(format!("The value could not be cloned: {error}")),
    }
}

/// An encoded message whose transfer list is still the sender's.
pub(crate) struct Encoded<'a> {
    pub bytes: Vec<u8>,
    pub resources: Vec<u32>,
    pub handles: Vec<u32>,
    transfer: TransferList<'a>,
}

/// Steps 1 to 6 of a transfer: checks the list, encodes, checks again. `source` is the sending port, or 0.
pub(crate) fn encode<'a, T: Serialize + ?Sized>(
    source: u32,
    value: &T,
    transfer: TransferList<'a>,
) -> Result<Encoded<'a>> {
    let handles = check(source, transfer)?;
    let mut bytes = BUFFER.with(|buffer| buffer.with(std::mem::take));
    bytes.clear();
    let resources = side_list::encoding(&handles, || value::append(&mut bytes, value).map_err(encode_error));
    let checked = resources.and_then(|resources| check_local(transfer).map(|()| resources));
    match checked {
        Ok(resources) => Ok(Encoded {
            bytes,
            resources,
            handles,
            transfer,
        }),
        Err(error) => {
            keep(bytes);
            Err(error)
        }
    }
}

fn keep(bytes: Vec<u8>) {
    if bytes.capacity() <= KEPT_BYTES_MAX {
        BUFFER.with(|buffer| buffer.with(|buffer| *buffer = bytes));
    }
}

fn check(source: u32, transfer: TransferList<'_>) -> Result<Vec<u32>> {
    if transfer.is_empty() {
        return Ok(Vec::new());
    }
    let handles: Vec<_> = transfer.iter().filter_map(|item| item.handle()).collect();
    messaging::check_transfer(source, &handles)?;
    let mut seen = std::collections::BTreeSet::new();
    for item in transfer {
        let (address, class) = item.identity();
        if !seen.insert(address) {
            return Err(data_clone(format!("Transfer list contains duplicate {class}")));
        }
    }
    check_local(transfer)?;
    Ok(handles)
}

fn check_local(transfer: TransferList<'_>) -> Result<()> {
    match transfer.iter().find_map(|item| item.refusal()) {
        Some(text) => Err(data_clone(text)),
        None => Ok(()),
    }
}

impl Encoded<'_> {
    pub fn message(&self) -> MessageRef<'_> {
        MessageRef {
            bytes: &self.bytes,
            resources: &self.resources,
            transfer: &self.handles,
        }
    }

    /// Step 7: what the host took is no longer the sender's.
    pub fn sent(self) {
        self.transfer.iter().for_each(|item| item.detach());
        keep(self.bytes);
    }

    /// Sends it, and detaches what moved when that succeeds.
    pub fn send<R>(self, send: impl FnOnce(MessageRef<'_>) -> Result<R>) -> Result<R> {
        let result = send(self.message());
        match result {
            Ok(_) => self.sent(),
            Err(_) => keep(self.bytes),
        }
        result
    }
}
