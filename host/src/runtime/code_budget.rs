//! What modules may hold that guests bring along: their bytes and their machine code, counted once a digest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::CODE_TOTAL_BYTES_MAX;

use super::module::{Digest, Module};
use super::state::IsolateState;

/// Counts the modules of a process, or those that an isolate compiled.
#[derive(Debug, Default)]
pub struct CodeBudget {
    state: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    bytes: usize,
    modules: HashMap<Digest, Held>,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    holders: usize,
}

/// A place in a budget; dropping it frees it.
#[derive(Debug)]
pub struct CodeCharge {
    budget: Arc<CodeBudget>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// So many bytes that are yet to be compiled.
    Bytes(usize),
    Module(Digest),
}

impl CodeBudget {
    /// Bytes that are taken.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// A place for bytes that are yet to be compiled. Otherwise how many it would be.
    fn reserve(self: &Arc<Self>, bytes: usize, max: usize) -> std::result::Result<CodeCharge, usize> {
        self.lock().add(bytes, max)?;
        Ok(self.charge(What::Bytes(bytes)))
    }

    /// A place for a module, shared with all that hold the same one.
    fn hold(self: &Arc<Self>, digest: Digest, bytes: usize, max: usize) -> std::result::Result<CodeCharge, usize> {
        let mut counted = self.lock();
        let (before, holders) = match counted.modules.get(&digest) {
            Some(held) => (held.bytes, held.holders),
            None => (0, 0),
        };
        // Its bytes may be kept only since another holder wanted them.
        let bytes = bytes.max(before);
        counted.add(bytes - before, max)?;
        let holders = holders + 1;
        counted.modules.insert(digest, Held { bytes, holders });
        drop(counted);
        Ok(self.charge(What::Module(digest)))
    }

    fn charge(self: &Arc<Self>, what: What) -> CodeCharge {
        CodeCharge {
            budget: Arc::clone(self),
            what,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn add(&mut self, bytes: usize, max: usize) -> std::result::Result<(), usize> {
        let wanted = self.bytes.saturating_add(bytes);
        if wanted > max {
            return Err(wanted);
        }
        self.bytes = wanted;
        Ok(())
    }
}

impl Drop for CodeCharge {
    fn drop(&mut self) {
        let mut counted = self.budget.lock();
        match &self.what {
            What::Bytes(bytes) => counted.bytes -= bytes,
            What::Module(digest) => {
                if let Some(held) = counted.modules.get_mut(digest) {
                    held.holders -= 1;
                    if held.holders == 0 {
                        counted.bytes -= held.bytes;
                        counted.modules.remove(digest);
                    }
                }
            }
        }
    }
}

/// What an isolate that compiles a module is charged: by its own limit and by that of the process.
#[derive(Debug)]
pub struct CompiledCharge {
    _own: CodeCharge,
    _process: CodeCharge,
}

impl IsolateState {
    /// Counts bytes that a worker is to be made of. `ENOMEM` when the process has too many.
    pub(crate) fn reserve_source(&self, bytes: usize) -> Result<CodeCharge> {
        let process = &self.shared.group.code;
        process.reserve(bytes, CODE_TOTAL_BYTES_MAX).map_err(process_full)
    }

    /// Counts bytes that are about to be compiled. `ENOMEM` when that is more than the isolate or the process may hold.
    pub(crate) fn reserve_compilation(&self, bytes: u64) -> Result<CompiledCharge> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(CompiledCharge {
            _own: self.compiled_by_it(|own, max| own.reserve(bytes, max))?,
            _process: self.reserve_source(bytes)?,
        })
    }

    /// As [`Self::reserve_compilation`], of what was compiled.
    pub(crate) fn hold_compiled(&self, module: &Module) -> Result<CompiledCharge> {
        let (digest, bytes) = (module.digest_bytes(), module.held_bytes());
        Ok(CompiledCharge {
            _own: self.compiled_by_it(|own, max| own.hold(digest, bytes, max))?,
            _process: self.hold_in_process(module).map_err(process_full)?,
        })
    }

    fn compiled_by_it(
        &self,
        count: impl FnOnce(&Arc<CodeBudget>, usize) -> std::result::Result<CodeCharge, usize>,
    ) -> Result<CodeCharge> {
        let max = self.limits.max_code_bytes;
        let left = max.map_or(usize::MAX, |max| max.saturating_sub(self.code_bytes));
        count(&self.threads.compiled, left).map_err(|wanted| {
            let (wanted, allowed) = (wanted.saturating_add(self.code_bytes), max.unwrap_or(usize::MAX));
            let message =
                format!("{wanted} bytes of code and modules wanted, {allowed} allowed (raise it with --max-code)");
            ErrorRecord::new(ErrorCode::Enomem, message).into()
        })
    }

    /// Counts the module that a worker runs, in place of the bytes that were counted before. Tells the reason when the
    /// process holds too many.
    pub(crate) fn hold_own_module(&mut self, module: &Module) -> std::result::Result<(), String> {
        self.threads.source_charge = None;
        let charge = self
            .hold_in_process(module)
            .map_err(|wanted| process_full(wanted).message)?;
        self.threads.source_charge = Some(charge);
        Ok(())
    }

    fn hold_in_process(&self, module: &Module) -> std::result::Result<CodeCharge, usize> {
        let process = &self.shared.group.code;
        process.hold(module.digest_bytes(), module.held_bytes(), CODE_TOTAL_BYTES_MAX)
    }
}

fn process_full(wanted: usize) -> Box<ErrorRecord> {
    let message = format!("{wanted} bytes of modules wanted, a process may hold {CODE_TOTAL_BYTES_MAX}");
    ErrorRecord::new(ErrorCode::Enomem, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_counts_once_and_until_its_last_holder_goes() {
        let budget = Arc::new(CodeBudget::default());
        let first = budget.hold([1; 32], 60, 100).unwrap();
        let second = budget.hold([1; 32], 60, 100).unwrap();
        assert_eq!(budget.hold([2; 32], 60, 100).unwrap_err(), 120);
        assert_eq!(budget.reserve(41, 100).unwrap_err(), 101);
        drop(first);
        assert_eq!(budget.bytes(), 60);
        let reserved = budget.reserve(40, 100).unwrap();
        drop((second, reserved));
        assert_eq!(budget.bytes(), 0);
    }
}
