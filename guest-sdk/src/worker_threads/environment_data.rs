//! Values that every later worker starts with.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Value;
use crate::error::Result;
use crate::messaging::{Encoded, Received, TransferList};
use crate::sys;

/// The encoding of undefined.
const UNDEFINED: [u8; 1] = [0xf7];

/// Sets the value under `key` for this thread and for every worker it makes from now on, theirs included
/// (Node: `setEnvironmentData`). `Value::Undefined` deletes it.
///
/// # Errors
/// `DataCloneError` for a value that cannot be cloned; `E2BIG` when there is too much (4,096 values, 16 MiB).
pub fn set_environment_data(key: impl Into<Value>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    let key = crate::value::encode(&key.into())?;
    let encoded = Encoded::new(value, &TransferList::new())?;
    if encoded.bytes() == UNDEFINED {
        return sys::worker_threads::delete_environment_data(&key);
    }
    sys::worker_threads::set_environment_data(&key, encoded.parts())
}

/// The value under `key`, if there is one (Node: `getEnvironmentData`).
///
/// # Errors
/// The value is no `T`.
pub fn get_environment_data<T: DeserializeOwned>(key: impl Into<Value>) -> Result<Option<T>> {
    let key = crate::value::encode(&key.into())?;
    match Received::fetch_found(|out| sys::worker_threads::get_environment_data(&key, out))? {
        Some(message) => message.decode().map(Some),
        None => Ok(None),
    }
}
