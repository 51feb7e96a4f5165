//! The host: engine, linker and cache together.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{Engine, Linker};

use super::cache::Cache;
use super::engine::{self, EngineOptions, Ticker};
use super::isolate::{ExitStatus, IsolateBuilder};
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
    cache: Option<Cache>,
    ticker: Arc<Ticker>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("cache", &self.inner.cache)
            .finish_non_exhaustive()
    }
}

type LinkerHook = Box<dyn FnOnce(&mut Linker<IsolateState>) -> wasmtime::Result<()>>;

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

    /// Adds host functions of the embedder. They may shadow nothing: a name that is taken is an error.
    /// Default: none.
    #[must_use]
    pub fn linker(mut self, hook: impl FnOnce(&mut Linker<IsolateState>) -> wasmtime::Result<()> + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Builds the host. Fails when the machine cannot run the engine, a chosen cache directory is unusable
    /// or a linker hook fails. An unusable default cache is only logged.
    pub fn build(self) -> anyhow::Result<Host> {
        let engine = engine::build(self.options).map_err(anyhow::Error::from)?;
        let mut linker = linker::build(&engine).map_err(anyhow::Error::from)?;
        for hook in self.hooks {
            hook(&mut linker).map_err(anyhow::Error::from)?;
        }
        let cache = match self.cache {
            CacheChoice::Off => None,
            CacheChoice::At(directory) => Some(Cache::open(directory)?),
            CacheChoice::Default => Cache::default_directory().and_then(|directory| {
                Cache::open(directory)
                    .inspect_err(|error| tracing::warn!(%error, "compiled code is not cached"))
                    .ok()
            }),
        };
        let ticker = Arc::new(Ticker::start(&engine)?);
        Ok(Host {
            inner: Arc::new(Inner {
                options: self.options,
                engine,
                linker,
                cache,
                ticker,
            }),
        })
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
        self.inner.cache.as_ref()
    }

    pub(super) fn ticker(&self) -> &Arc<Ticker> {
        &self.inner.ticker
    }
}
