//! Plugins: an instance whose exports the embedder calls.

use std::sync::Arc;

use wasmtime::{Instance, Store, WasmParams, WasmResults};

use super::host::Host;
use super::isolate::{ExitStatus, IsolateId};
use super::lifecycle::Lifecycle;
use super::limits::LimitExceeded;
use super::metered::{CpuUsage, Metered};
use super::state::{IsolateShared, IsolateState};
use super::trap;
use crate::guest_memory;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

/// An instance of a module. One call runs at a time; the instance keeps its memory between calls.
pub struct Plugin {
    store: Store<IsolateState>,
    shared: Arc<IsolateShared>,
    host: Host,
    instance: Instance,
}

impl Plugin {
    pub(super) async fn start(
        mut store: Store<IsolateState>,
        shared: Arc<IsolateShared>,
        host: Host,
    ) -> std::result::Result<Self, ExitStatus> {
        let module = store.data().module.clone();
        let ticker = Arc::clone(host.ticker());
        let cpu = Arc::clone(&shared.cpu);
        let start = async {
            let instance = Lifecycle::new(&mut store).instantiate(&module).await?;
            if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut store, "_initialize") {
                let result = initialize.call_async(&mut store, ()).await;
                result.map_err(|error| {
                    ExitStatus::failed(super::lifecycle::code::BOOTSTRAP, trap::error_record(&error))
                })?;
            }
            Ok(instance)
        };
        let instance = Metered::new(start, ticker, cpu).await?;
        Ok(Self {
            store,
            shared,
            host,
            instance,
        })
    }

    /// Calls the export `name`. `P` and `R` are tuples of `i32`, `i64`, `f32`, `f64` (or one of them).
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` when there is no such export or it has another type; the error record of a trap;
    /// the code of an exceeded limit. A limit on wall time counts per call.
    pub async fn call<P: WasmParams + Sync, R: WasmResults + Sync>(&mut self, name: &str, arguments: P) -> Result<R> {
        let function = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, name)
            .map_err(|error| {
                ErrorRecord::new(
                    ErrorCode::InvalidArgValue,
                    format!("export {name:?} cannot be called this way: {}", error.root_cause()),
                )
            })?;
        let timeout = self.store.data().limits.timeout;
        let terminate = self.shared.terminate.clone();
        let call = function.call_async(&mut self.store, arguments);
        let call = Metered::new(call, Arc::clone(self.host.ticker()), Arc::clone(&self.shared.cpu));
        let limited = async {
            match timeout {
                None => call.await,
                Some(timeout) => match tokio::time::timeout(timeout, call).await {
                    Ok(result) => result,
                    Err(_) => Err(LimitExceeded::timeout(timeout).into()),
                },
            }
        };
        let result = tokio::select! {
            biased;
            () = terminate.cancelled() => return Err(ErrorRecord::new(ErrorCode::Ecanceled, "the plugin was terminated").into()),
            result = limited => result,
        };
        result.map_err(|error| match error.downcast_ref::<LimitExceeded>() {
            Some(limit) => limit.0.clone(),
            None => self
                .store
                .data_mut()
                .panic
                .take()
                .unwrap_or_else(|| trap::error_record(&error))
                .into(),
        })
    }

    /// Copies `len` bytes out of the plugin's memory. `EFAULT` when they lie outside.
    pub fn read_memory(&mut self, address: u32, len: usize) -> Result<Vec<u8>> {
        let outside = || ErrorRecord::new(ErrorCode::Efault, "range outside the memory of the plugin");
        let memory = self.store.data().exports.memory.ok_or_else(outside)?;
        guest_memory::copy_out(&self.store, memory, address as usize, len).map_err(|_| outside().into())
    }

    /// Copies bytes into the plugin's memory. `EFAULT` when they do not fit.
    pub fn write_memory(&mut self, address: u32, bytes: &[u8]) -> Result<()> {
        let outside = || ErrorRecord::new(ErrorCode::Efault, "range outside the memory of the plugin");
        let memory = self.store.data().exports.memory.ok_or_else(outside)?;
        guest_memory::copy_in(&mut self.store, memory, address as usize, bytes).map_err(|_| outside().into())
    }

    /// The embedder's values and the isolate's facts.
    pub fn state(&self) -> &IsolateState {
        self.store.data()
    }

    /// The embedder's values, to change them.
    pub fn state_mut(&mut self) -> &mut IsolateState {
        self.store.data_mut()
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store<IsolateState> {
        &self.store
    }

    /// Its id.
    pub fn id(&self) -> IsolateId {
        self.shared.id
    }

    /// CPU time it used so far.
    pub fn cpu_usage(&self) -> &CpuUsage {
        &self.shared.cpu
    }

    /// A handle that ends a running call from elsewhere; later calls fail with `ECANCELED`.
    pub fn terminator(&self) -> tokio_util::sync::CancellationToken {
        self.shared.terminate.clone()
    }
}

/// Its workers end with it.
impl Drop for Plugin {
    fn drop(&mut self) {
        self.shared.children.terminate_all();
    }
}
