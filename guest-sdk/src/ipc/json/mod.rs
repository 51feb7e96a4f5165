//! Messages as JSON text, by the rules of Node's `JSON.stringify` and `JSON.parse`. Within the SDK every message is CBOR.
//!
//! | value | as JSON |
//! |---|---|
//! | undefined as a member | left out; as an element null |
//! | NaN, infinities | null; -0 is 0 |
//! | `Date` | text as `toISOString`; an invalid one null |
//! | bytes | `{"type":"Buffer","data":[…]}` |
//! | other typed arrays | objects whose keys are the indices |
//! | `Map`, `Set`, `RegExp`, `ArrayBuffer`, errors without members of their own | `{}` |
//! | objects around a boolean, number or string | what they hold |
//! | bigint inside, cycle | `TypeError` |

mod parse;
mod write;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::value::{self, Value};

use crate::error::{Error, Result};
use crate::messaging::data_clone;

/// Why a message cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is no JSON: whoever wrote it does not speak the protocol.
    NotJson(Error),
    /// It is JSON that has no value here.
    NoValue(Error),
}

/// The text of an encoded value.
///
/// # Errors
/// `ERR_MISSING_ARGS` for undefined, `ERR_INVALID_ARG_TYPE` for a bigint, `TypeError` for a bigint or cycle inside,
/// `DataCloneError` for a resource, `ERR_IPC_MESSAGE_TOO_LARGE`.
pub(super) fn from_cbor(bytes: &[u8]) -> Result<String> {
    let value = value::decode(bytes)?;
    match value.unshared() {
        Value::BigInt(_) => {
            let wanted = "one of type string, object, number, or boolean";
            Err(ErrorRecord::invalid_arg_type("message", wanted, &value.describe()).into())
        }
        Value::Undefined => Err(missing_message()),
        _ => write::text_of(&value),
    }
}

/// The error of sending undefined.
pub(super) fn missing_message() -> Error {
    Error::with_code(ErrorCode::MissingArgs, "The \"message\" argument must be specified")
}

/// The encoded value of a text.
pub(super) fn to_cbor(text: &[u8]) -> Result<Vec<u8>, Unreadable> {
    // As Node, which reads the bytes of a channel as text before it looks for messages.
    let text = String::from_utf8_lossy(text);
    let value = parse::parse(&text)?;
    value::encode(&value).map_err(|error| Unreadable::NoValue(unreadable(&error.to_string())))
}

/// The error of a message that cannot be read.
pub(super) fn unreadable(reason: &str) -> Error {
    data_clone(format!("The message could not be decoded: {reason}"))
}

#[cfg(test)]
mod tests;
