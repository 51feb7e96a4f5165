//! Values that every later worker starts with.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Value;
use crate::error::Result;
use crate::messaging::{received, transfer};
use crate::sys::messaging::MessageRef;
use crate::sys::worker_threads as host;

/// The encoding of undefined.
const UNDEFINED: [u8; 1] = [0xf7];

/// Sets the value under `key` for this thread and for every worker it makes from now on, theirs included
/// (Node: `setEnvironmentData`). `Value::Undefined` deletes it.
///
/// # Errors
/// `DataCloneError` for a value that cannot be cloned; `E2BIG` when there is too much (4,096 values, 16 MiB).
pub fn set_environment_data(key: impl Into<Value>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    let key = crate::value::encode(&key.into())?;
    let encoded = transfer::encode(0, value, &[])?;
    encoded.send(|message| match message.bytes == UNDEFINED {
        true => host::set_environment_data(&key, MessageRef::default()),
        false => host::set_environment_data(&key, message),
    })
}

/// The value under `key`, if there is one (Node: `getEnvironmentData`).
///
/// # Errors
/// `DataCloneError` when the value is no `T`.
pub fn get_environment_data<T: DeserializeOwned>(key: impl Into<Value>) -> Result<Option<T>> {
    let key = crate::value::encode(&key.into())?;
    let mut message = received::buffers();
    match host::get_environment_data(&key, &mut message)? {
        true => received::read(message).map(Some),
        false => Ok(None),
    }
}
