//! `setEnvironmentData`: values that every later worker starts with.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::{ENVIRONMENT_DATA_BYTES_MAX, ENVIRONMENT_DATA_COUNT_MAX};

use crate::messaging::{Account, Charged, Message};

/// Values by their encoded keys. Cheap to clone: a worker gets a copy at its construction.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentData {
    values: Arc<BTreeMap<Arc<[u8]>, Arc<Charged>>>,
}

/// Bytes a value counts for.
fn cost(key: &[u8], value: &Message) -> usize {
    key.len() + value.cost()
}

impl EnvironmentData {
    /// Sets a value whose resources are shared by cloning; `account` pays for it as long as anybody has it. `E2BIG` when
    /// there is too much; nothing changes then.
    pub fn set(&mut self, account: &Arc<Account>, key: &[u8], value: Message) -> Result<()> {
        let others = self.values.iter().filter(|(other, _)| ***other != *key);
        let (count, bytes) = others.fold((0, 0), |(count, bytes), (key, value)| {
            (count + 1, bytes + cost(key, &value.message))
        });
        let cost = cost(key, &value);
        if count >= ENVIRONMENT_DATA_COUNT_MAX || bytes + cost > ENVIRONMENT_DATA_BYTES_MAX {
            return Err(too_much(&format!(
                "at most {ENVIRONMENT_DATA_COUNT_MAX} values and {ENVIRONMENT_DATA_BYTES_MAX} bytes"
            )));
        }
        let charge = account.hold(cost);
        let charge = charge.ok_or_else(|| too_much("it shares the bound of the queues of the process"))?;
        let value = Arc::new(Charged { message: value, charge });
        Arc::make_mut(&mut self.values).insert(key.into(), value);
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
        self.values.get(key).map(|value| &value.message)
    }
}

fn too_much(reason: &str) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::E2big, format!("environment data is full: {reason}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::IsolateShared;

    fn message(len: usize) -> Message {
        Message {
            bytes: Arc::<[u8]>::from(vec![0; len]).into(),
            resources: Vec::new(),
        }
    }

    #[test]
    fn values_are_paid_for_while_anybody_has_them() {
        let isolate = IsolateShared::root();
        let (account, budget) = (&isolate.queued, &isolate.group.queues);
        let mut data = EnvironmentData::default();
        data.set(account, b"key", message(1000)).unwrap();
        assert!(budget.bytes() > 1000);
        let copy = data.clone();
        data.set(account, b"key", message(10)).unwrap();
        assert!(budget.bytes() > 1000, "a worker has the old value");
        drop(copy);
        assert!((10..1000).contains(&budget.bytes()));
        let error = data
            .set(account, b"other", message(ENVIRONMENT_DATA_BYTES_MAX))
            .unwrap_err();
        assert!(error.is_code("E2BIG"));
        data.delete(b"key");
        assert_eq!(budget.bytes(), 0);
    }
}
