//! The host: engine, linker and cache together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::{Engine, Linker};

use super::admission::Admission;
use super::cache::Cache;
use super::code::CodeMap;
use super::engine::{self, EngineOptions, Ticker};
use super::isolate::{ExitStatus, IsolateBuilder};
use super::known_files::KnownFiles;
use super::linker;
use super::module::Module;
use super::plugin::Plugin;
use super::state::IsolateState;

/// The runtime. Cheap to clone; the last clone ends the ticker.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    options: EngineOptions,
    engine: Engine,
    linker: Linker<IsolateState>,
    codes: CodeMap,
    known_files: KnownFiles,
    family: Arc<Family>,
    /// The host this is a sibling of.
    root: Weak<Inner>,
    siblings: Mutex<Vec<Host>>,
}

/// What a host and its siblings share.
struct Family {
    hooks: Vec<LinkerHook>,
    cache: Option<Cache>,
    ticker: Arc<Ticker>,
    admission: Arc<Admission>,
}

/// Most siblings of a host: every stack class, with and without fuel, and those with another optimization.
const SIBLINGS_MAX: usize = 32;

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("options", &self.inner.options)
            .field("cache", &self.inner.family.cache)
            .finish_non_exhaustive()
    }
}

type LinkerHook = Box<dyn Fn(&mut Linker<IsolateState>) -> wasmtime::Result<()> + Send + Sync>;

/// Where compiled code is cached.
enum CacheChoice {
    Default,
    At(PathBuf),
    Off,
}

/// Settings of a [`Host`].
pub struct HostBuilder {
    options: EngineOptions,
    cache: CacheChoice,
    hooks: Vec<LinkerHook>,
}

impl HostBuilder {
    /// Engine settings. Default: [`EngineOptions::default`].
    #[must_use]
    pub fn engine_options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Keeps compiled code in this directory. Default: the user's cache directory ([`Cache::default_directory`]).
    #[must_use]
    pub fn cache_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = CacheChoice::At(directory.into());
        self
    }

    /// Keeps no compiled code. Default: a cache on disk.
    #[must_use]
    pub fn no_cache(mut self) -> Self {
        self.cache = CacheChoice::Off;
        self
    }

    /// Adds host functions of the embedder. They may shadow nothing: a name that is taken is an error. The hook runs
    /// once for the host and once for every sibling ([`Host::sibling`]). Default: none.
    #[must_use]
    pub fn linker(
        mut self,
        hook: impl Fn(&mut Linker<IsolateState>) -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Builds the host. Fails when the machine cannot run the engine, a chosen cache directory is unusable
    /// or a linker hook fails. An unusable default cache is only logged.
    pub fn build(self) -> anyhow::Result<Host> {
        let cache = match self.cache {
            CacheChoice::Off => None,
            CacheChoice::At(directory) => Some(Cache::open(directory)?),
            CacheChoice::Default => Cache::default_directory().and_then(|directory| {
                Cache::open(directory)
                    .inspect_err(|error| tracing::warn!(%error, "compiled code is not cached"))
                    .ok()
            }),
        };
        let family = Family {
            hooks: self.hooks,
            cache,
            ticker: Arc::new(Ticker::start()?),
            admission: Arc::default(),
        };
        Host::build(self.options, Arc::new(family), Weak::new())
    }
}

impl Host {
    /// Settings, all at their defaults.
    pub fn builder() -> HostBuilder {
        HostBuilder {
            options: EngineOptions::default(),
            cache: CacheChoice::Default,
            hooks: Vec::new(),
        }
    }

    /// A host with all defaults.
    pub fn new() -> anyhow::Result<Self> {
        Self::builder().build()
    }

    fn build(options: EngineOptions, family: Arc<Family>, root: Weak<Inner>) -> anyhow::Result<Self> {
        let engine = engine::build(options).map_err(anyhow::Error::from)?;
        let mut linker = linker::build(&engine).map_err(anyhow::Error::from)?;
        for hook in &family.hooks {
            hook(&mut linker).map_err(anyhow::Error::from)?;
        }
        family.ticker.serve(&engine);
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                engine,
                linker,
                codes: CodeMap::default(),
                known_files: KnownFiles::default(),
                family,
                root,
                siblings: Mutex::default(),
            }),
        })
    }

    /// A host with another engine, for isolates that want another stack size or fuel. It shares the cache, the linker
    /// hooks and the ticker; [`Module::for_host`] brings modules there. Made at first use and kept as long as the host
    /// it was first asked of. The stack size is rounded up to 0.25, 0.5, 1, 2, 4, 8 or 16 MiB, and is at most that.
    ///
    /// Fails when a linker hook fails, the machine cannot run the engine, or there are too many siblings.
    pub fn sibling(&self, options: EngineOptions) -> anyhow::Result<Self> {
        if options == self.options() {
            return Ok(self.clone());
        }
        if let Some(root) = self.inner.root.upgrade() {
            return Self { inner: root }.sibling(options);
        }
        let options = EngineOptions {
            max_stack_bytes: engine::stack_class(options.max_stack_bytes),
            ..options
        };
        let mut siblings = self.inner.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sibling) = siblings.iter().find(|sibling| sibling.options() == options) {
            return Ok(sibling.clone());
        }
        if options == self.options() {
            return Ok(self.clone());
        }
        anyhow::ensure!(
            siblings.len() < SIBLINGS_MAX,
            "a host has at most {SIBLINGS_MAX} siblings"
        );
        let family = Arc::clone(&self.inner.family);
        let sibling = Self::build(options, family, Arc::downgrade(&self.inner))?;
        siblings.push(sibling.clone());
        Ok(sibling)
    }

    /// Settings of a new isolate of `module`.
    pub fn isolate(&self, module: &Module) -> IsolateBuilder {
        IsolateBuilder::new(self.clone(), module.clone())
    }

    /// An instance of `module` whose exports the caller calls, with default settings.
    /// [`IsolateBuilder::plugin`] has all settings.
    pub async fn plugin(&self, module: &Module) -> Result<Plugin, ExitStatus> {
        self.isolate(module).plugin().await
    }

    /// The engine's settings.
    pub fn options(&self) -> EngineOptions {
        self.inner.options
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn linker(&self) -> &Linker<IsolateState> {
        &self.inner.linker
    }

    /// The cache of compiled code.
    pub fn cache(&self) -> Option<&Cache> {
        self.inner.family.cache.as_ref()
    }

    pub(super) fn codes(&self) -> &CodeMap {
        &self.inner.codes
    }

    pub(super) fn known_files(&self) -> &KnownFiles {
        &self.inner.known_files
    }

    pub(super) fn admission(&self) -> &Arc<Admission> {
        &self.inner.family.admission
    }

    pub(super) fn ticker(&self) -> &Arc<Ticker> {
        &self.inner.family.ticker
    }
}
