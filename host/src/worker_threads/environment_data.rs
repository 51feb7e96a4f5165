//! `setEnvironmentData`: values that every later worker starts with.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::{ENVIRONMENT_DATA_BYTES_MAX, ENVIRONMENT_DATA_COUNT_MAX};

use crate::messaging::Message;

/// Values by their encoded keys. Cheap to clone: a worker gets a copy at its construction.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentData {
    values: Arc<BTreeMap<Vec<u8>, Arc<Message>>>,
}

impl EnvironmentData {
    /// Sets a value whose resources are shared by cloning. `E2BIG` when there is too much; nothing changes then.
    pub fn set(&mut self, key: Vec<u8>, value: Message) -> Result<()> {
        let size = |key: &[u8], value: &Message| key.len() + value.bytes.len();
        let others = self.values.iter().filter(|(other, _)| **other != key);
        let (count, bytes) = others.fold((0, 0), |(count, bytes), (key, value)| {
            (count + 1, bytes + size(key, value))
        });
        if count >= ENVIRONMENT_DATA_COUNT_MAX || bytes + size(&key, &value) > ENVIRONMENT_DATA_BYTES_MAX {
            let message = format!(
                "environment data is full: at most {ENVIRONMENT_DATA_COUNT_MAX} values and {ENVIRONMENT_DATA_BYTES_MAX} bytes"
            );
            return Err(ErrorRecord::new(ErrorCode::E2big, message).into());
        }
        Arc::make_mut(&mut self.values).insert(key, Arc::new(value));
        Ok(())
    }

    /// Deletes a value.
    pub fn delete(&mut self, key: &[u8]) {
        if self.values.contains_key(key) {
            Arc::make_mut(&mut self.values).remove(key);
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Option<&Message> {
        self.values.get(key).map(|value| &**value)
    }
}
