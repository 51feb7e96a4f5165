//! Compiled code of a host, once a digest: who wants what is being compiled waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::Semaphore;
use wasmtime::InstancePre;

use super::host::Host;
use super::linker;
use super::module::Digest;
use super::module_error::ModuleError;
use super::state::IsolateState;

/// Compiled code, shared by all modules with the same bytes.
pub(super) struct Code {
    pub wasm: wasmtime::Module,
    pub digest: Digest,
    /// The bytes it was compiled from, when some module needs them.
    source: OnceLock<Arc<[u8]>>,
    /// The code with all its imports resolved. Side modules have none.
    pre: OnceLock<InstancePre<IsolateState>>,
}

impl Code {
    pub fn new(wasm: wasmtime::Module, digest: Digest) -> Self {
        Self {
            wasm,
            digest,
            source: OnceLock::new(),
            pre: OnceLock::new(),
        }
    }

    /// The bytes it was compiled from, if they are kept.
    pub fn source(&self) -> Option<&Arc<[u8]>> {
        self.source.get()
    }

    /// Keeps the bytes it was compiled from, once for all modules.
    pub fn keep_source(&self, bytes: impl FnOnce() -> Arc<[u8]>) {
        self.source.get_or_init(bytes);
    }

    /// Resolves all imports, once.
    pub fn link(&self, host: &Host, name: &str) -> Result<InstancePre<IsolateState>, ModuleError> {
        if let Some(pre) = self.pre.get() {
            return Ok(pre.clone());
        }
        let pre = linker::resolve(host.linker(), &self.wasm, name)?;
        Ok(self.pre.get_or_init(|| pre).clone())
    }
}

/// Where code comes from when it is not at hand.
pub(super) type Compile<'a> = dyn Fn() -> Result<wasmtime::Module, ModuleError> + 'a;

/// The code of one digest.
#[derive(Default)]
pub(super) struct Slot {
    /// Held while it is compiled.
    code: Mutex<Weak<Code>>,
    /// Whose turn it is among those that must not block a thread.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Slot {
    /// The code, if it is there. Never waits.
    pub fn get(&self) -> Option<Arc<Code>> {
        self.code.try_lock().ok()?.upgrade()
    }

    /// The code; compiles it, or waits for who does.
    pub fn get_or_compile(&self, digest: Digest, compile: &Compile<'_>) -> Result<Arc<Code>, ModuleError> {
        let mut code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = code.upgrade() {
            return Ok(code);
        }
        let compiled = Arc::new(Code::new(compile()?, digest));
        *code = Arc::downgrade(&compiled);
        Ok(compiled)
    }

    /// As [`Slot::get_or_compile`] without blocking the thread. When the future is dropped, a compilation that runs
    /// goes on to its end, and others wait for that.
    pub async fn get_or_compile_elsewhere(
        self: Arc<Self>,
        digest: Digest,
        compile: impl Fn() -> Result<wasmtime::Module, ModuleError> + Send + 'static,
    ) -> Result<Arc<Code>, ModuleError> {
        if let Some(code) = self.get() {
            return Ok(code);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(code) = self.get() {
            return Ok(code);
        }
        on_blocking_thread(move || {
            let _turn = turn;
            self.get_or_compile(digest, &compile)
        })
        .await
    }
}

/// How many modules are read or compiled at once for isolates: each may take a processor and hundreds of MiB. One that
/// nobody waits for any more keeps its place to its end.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(processors.max(2)))
});

/// Runs work that takes time on a thread for that, when it is its turn.
pub(super) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModuleError> + Send + 'static,
) -> Result<T, ModuleError> {
    // The semaphore is never closed.
    let turn = Arc::clone(&TURNS).acquire_owned().await.ok();
    let work = move || {
        let _turn = turn;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "the compilation of a module failed");
            Err(ModuleError::Invalid {
                name: "the module".into(),
                reason: "internal error of the host; see its log".into(),
            })
        }
    }
}

/// Entries at which dead ones are looked for at first.
pub(super) const PRUNE_AT_MIN: usize = 64;

/// The code of a host by digest. What nobody uses any more is forgotten.
pub(super) struct CodeMap {
    slots: Mutex<HashMap<Digest, Arc<Slot>>>,
    /// Swept when it has so many entries: twice what was alive at the last time.
    prune_at: AtomicUsize,
}

impl Default for CodeMap {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            prune_at: AtomicUsize::new(PRUNE_AT_MIN),
        }
    }
}

impl CodeMap {
    /// The place of a digest.
    pub fn slot(&self, digest: &Digest) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= self.prune_at.load(Ordering::Relaxed) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.get().is_some());
            self.prune_at
                .store((slots.len() * 2).max(PRUNE_AT_MIN), Ordering::Relaxed);
        }
        Arc::clone(slots.entry(*digest).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn engine() -> wasmtime::Engine {
        wasmtime::Engine::default()
    }

    fn compile(engine: &wasmtime::Engine) -> Result<wasmtime::Module, ModuleError> {
        Ok(wasmtime::Module::new(engine, "(module)").unwrap())
    }

    #[test]
    fn who_wants_what_is_being_compiled_waits_for_it() {
        let (map, engine, compiled) = (CodeMap::default(), engine(), AtomicUsize::new(0));
        let slow = || {
            compiled.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
            compile(&engine)
        };
        let codes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| map.slot(&[1; 32]).get_or_compile([1; 32], &slow).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(compiled.load(Ordering::Relaxed), 1);
        drop(codes);
        map.slot(&[1; 32]).get_or_compile([1; 32], &slow).unwrap();
        assert_eq!(compiled.load(Ordering::Relaxed), 2, "nobody kept it");
    }

    #[test]
    fn a_dropped_wait_leaves_the_code_to_the_others() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let compiled = Arc::new(AtomicUsize::new(0));
        let map = CodeMap::default();
        let wait = || {
            let (engine, compiled) = (engine(), Arc::clone(&compiled));
            map.slot(&[2; 32]).get_or_compile_elsewhere([2; 32], move || {
                compiled.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
                compile(&engine)
            })
        };
        runtime.block_on(async {
            let first = tokio::time::timeout(Duration::from_millis(5), wait()).await;
            assert!(first.is_err(), "it was dropped while it compiled");
            let (second, third) = tokio::join!(wait(), wait());
            assert!(Arc::ptr_eq(&second.unwrap(), &third.unwrap()));
            assert!(compiled.load(Ordering::Relaxed) <= 2);
        });
    }

    #[test]
    fn code_that_nobody_uses_is_forgotten() {
        let (map, engine) = (CodeMap::default(), engine());
        let kept = map
            .slot(&[0; 32])
            .get_or_compile([0; 32], &|| compile(&engine))
            .unwrap();
        for number in 0..1000_u32 {
            let mut digest = [1; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            map.slot(&digest);
        }
        assert!(map.slots.lock().unwrap().len() <= PRUNE_AT_MIN + 1);
        assert!(map.slot(&[0; 32]).get().is_some_and(|code| Arc::ptr_eq(&code, &kept)));
    }
}
