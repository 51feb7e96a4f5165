//! Modules: from bytes to compiled code.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, InstancePre};

use super::code::{Code, on_blocking_thread};
use super::code_budget::CompiledCharge;
use super::host::Host;
use super::known_files::FileStamp;
use super::module_error::{ModuleError, one_line};
use super::state::IsolateState;

/// The import that starts a worker: namespace and name.
const SPAWN_IMPORT: (&str, &str) = (nodule_abi::imports::namespace::worker_threads, "spawn");

/// Digest of a module's bytes.
pub type Digest = [u8; 32];

/// Compiled code that isolates can be made of. Cheap to clone.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.inner.name)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

struct Inner {
    code: Arc<Code>,
    /// The code with all its imports resolved.
    pre: InstancePre<IsolateState>,
    name: String,
    path: Option<PathBuf>,
    source: Source,
    /// What it is charged, if a guest brought it along.
    charge: Option<Arc<CompiledCharge>>,
}

/// What a module was compiled from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Bytes that its code keeps.
    Bytes,
    /// The file at `Inner::path`.
    File,
    Precompiled,
}

/// A [`Module`] that others keep.
pub(super) struct WeakModule(Weak<Inner>);

impl WeakModule {
    pub fn upgrade(&self) -> Option<Module> {
        Some(Module {
            inner: self.0.upgrade()?,
        })
    }
}

impl Module {
    /// Compiles a module, or takes it from the cache or from memory. Accepts the binary and the text format.
    ///
    /// Imports are checked here: a module that wants something the host does not have is refused before it runs.
    pub fn from_bytes(host: &Host, name: &str, bytes: &[u8]) -> Result<Self, ModuleError> {
        let binary = binary_form(name, bytes)?;
        Self::from_binary(host, name, &binary, None, Source::Bytes)
    }

    /// Reads and compiles a file; see [`Module::from_bytes`].
    pub fn from_file(host: &Host, path: impl AsRef<Path>) -> Result<Self, ModuleError> {
        let path = path.as_ref();
        let unreadable = |error| ModuleError::Unreadable {
            path: path.to_path_buf(),
            error,
        };
        let (bytes, stamp) = read_stamped(path).map_err(unreadable)?;
        let name = path.display().to_string();
        let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let binary = binary_form(&name, &bytes)?;
        let module = Self::from_binary(host, &name, &binary, Some(absolute), Source::File)?;
        if let Some(stamp) = stamp {
            host.known_files().remember(path, stamp, &module);
        }
        Ok(module)
    }

    pub(super) fn from_binary(
        host: &Host,
        name: &str,
        binary: &[u8],
        path: Option<PathBuf>,
        source: Source,
    ) -> Result<Self, ModuleError> {
        let digest: Digest = Sha256::digest(binary).into();
        let slot = host.codes().slot(&digest);
        let code = slot.get_or_compile(digest, &|| load_or_compile(host, name, binary, &digest))?;
        if source == Source::Bytes {
            code.keep_source(|| binary.into());
        }
        Self::linked(host, code, name, path, source)
    }

    /// As [`Module::from_bytes`], without blocking the thread. Dropping the future is fine at any time.
    pub async fn load_bytes(host: &Host, name: &str, bytes: Arc<[u8]>) -> Result<Self, ModuleError> {
        let owned_name = name.to_owned();
        let (binary, digest) = on_blocking_thread(move || {
            let binary: Arc<[u8]> = match binary_form(&owned_name, &bytes)? {
                std::borrow::Cow::Borrowed(_) => Arc::clone(&bytes),
                std::borrow::Cow::Owned(binary) => binary.into(),
            };
            let digest: Digest = Sha256::digest(&binary).into();
            Ok((binary, digest))
        })
        .await?;
        let (compiling_host, owned_name, source) = (host.clone(), name.to_owned(), Arc::clone(&binary));
        let compile = move || load_or_compile(&compiling_host, &owned_name, &binary, &digest);
        let code = host
            .codes()
            .slot(&digest)
            .get_or_compile_elsewhere(digest, compile)
            .await?;
        code.keep_source(|| source);
        Self::linked(host, code, name, None, Source::Bytes)
    }

    /// As [`Module::from_file`], without blocking the thread. Dropping the future is fine at any time. A file that did
    /// not change since it was loaded is not read again.
    pub async fn load_file(host: &Host, path: &Path) -> Result<Self, ModuleError> {
        let known = host.known_files().entry(path);
        let at_hand = || known.get(FileStamp::at(path)?);
        if let Some(module) = at_hand() {
            return Ok(module);
        }
        let turn = Arc::clone(&known.turn).lock_owned().await;
        if let Some(module) = at_hand() {
            return Ok(module);
        }
        let (host, path) = (host.clone(), path.to_path_buf());
        on_blocking_thread(move || {
            let _turn = turn;
            Self::from_file(&host, path)
        })
        .await
    }

    /// As [`Module::load_file`] of a file that is open already, under the path that its guest knows. What is larger than
    /// `max_bytes` is refused.
    pub(crate) async fn load_open_file(
        host: &Host,
        file: File,
        path: &Path,
        max_bytes: u64,
    ) -> Result<Self, ModuleError> {
        let known = host.known_files().entry(path);
        let stamp = file.metadata().ok().and_then(|metadata| FileStamp::of(&metadata));
        let at_hand = || known.get(stamp?);
        if let Some(module) = at_hand() {
            return Ok(module);
        }
        let turn = Arc::clone(&known.turn).lock_owned().await;
        if let Some(module) = at_hand() {
            return Ok(module);
        }
        let (host, path) = (host.clone(), path.to_path_buf());
        on_blocking_thread(move || {
            let _turn = turn;
            let name = path.display().to_string();
            let bytes = read_at_most(file, max_bytes).map_err(|error| ModuleError::Unreadable {
                path: path.clone(),
                error,
            })?;
            let binary = binary_form(&name, &bytes)?;
            let module = Self::from_binary(&host, &name, &binary, Some(path.clone()), Source::Bytes)?;
            if let Some(stamp) = stamp {
                host.known_files().remember(&path, stamp, &module);
            }
            Ok(module)
        })
        .await
    }

    /// This module in another host: one with another stack size shares the code as it is, one that compiles
    /// differently (fuel, optimization) has it compiled from the bytes, or from the cache. The same bytes are
    /// brought there once.
    ///
    /// # Errors
    /// [`ModuleError::NoSource`] when it must be compiled and its file changed or is gone, or it was precompiled;
    /// [`ModuleError::Link`] when the other host has not all of its imports.
    pub fn for_host(&self, host: &Host) -> Result<Self, ModuleError> {
        if Engine::same(self.wasm().engine(), host.engine()) {
            return Ok(self.clone());
        }
        let digest = self.inner.code.digest;
        let code = host
            .codes()
            .slot(&digest)
            .get_or_compile(digest, &|| self.compile_for(host))?;
        self.with_code(host, code)
    }

    /// As [`Module::for_host`], without blocking the thread.
    pub async fn load_for_host(&self, host: &Host) -> Result<Self, ModuleError> {
        if Engine::same(self.wasm().engine(), host.engine()) {
            return Ok(self.clone());
        }
        let digest = self.inner.code.digest;
        let (module, compiling_host) = (self.clone(), host.clone());
        let compile = move || module.compile_for(&compiling_host);
        let code = host
            .codes()
            .slot(&digest)
            .get_or_compile_elsewhere(digest, compile)
            .await?;
        self.with_code(host, code)
    }

    fn with_code(&self, host: &Host, code: Arc<Code>) -> Result<Self, ModuleError> {
        let Inner { name, path, source, .. } = &*self.inner;
        if let (Source::Bytes, Some(bytes)) = (source, self.inner.code.source()) {
            code.keep_source(|| Arc::clone(bytes));
        }
        let mut module = Self::linked(host, code, name, path.clone(), *source)?;
        if let Some(inner) = Arc::get_mut(&mut module.inner) {
            inner.charge.clone_from(&self.inner.charge);
        }
        Ok(module)
    }

    #[allow(unsafe_code, reason = "the only way to load compiled code")]
    fn compile_for(&self, host: &Host) -> Result<wasmtime::Module, ModuleError> {
        let Inner { code, name, path, .. } = &*self.inner;
        if let Some(wasm) = host.cache().and_then(|cache| cache.load(host.engine(), &code.digest)) {
            return Ok(wasm);
        }
        let invalid = |error: &wasmtime::Error| ModuleError::Invalid {
            name: name.clone(),
            reason: one_line(error),
        };
        if generates_the_same_code(self.wasm().engine(), host.engine()) {
            let serialized = self.wasm().serialize().map_err(|error| invalid(&error))?;
            // SAFETY: the engine serialised it a moment ago, and nobody else had it since.
            let wasm = unsafe { wasmtime::Module::deserialize(host.engine(), serialized) };
            return wasm.map_err(|error| invalid(&error));
        }
        let gone = |reason: &str| ModuleError::NoSource {
            name: name.clone(),
            reason: reason.into(),
        };
        match (self.inner.source, path) {
            (Source::Bytes, _) => {
                let binary = code.source().ok_or_else(|| gone("its bytes were not kept"))?;
                compile(host, name, binary, &code.digest)
            }
            (Source::File, Some(path)) => {
                let bytes = std::fs::read(path).map_err(|error| gone(&error.to_string()))?;
                let binary = binary_form(name, &bytes)?;
                if Digest::from(Sha256::digest(&binary)) != code.digest {
                    return Err(gone("its file changed since it was loaded"));
                }
                compile(host, name, &binary, &code.digest)
            }
            (Source::File | Source::Precompiled, _) => Err(gone("it was loaded precompiled")),
        }
    }

    pub(super) fn linked(
        host: &Host,
        code: Arc<Code>,
        name: &str,
        path: Option<PathBuf>,
        source: Source,
    ) -> Result<Self, ModuleError> {
        let pre = code.link(host, name)?;
        Ok(Self {
            inner: Arc::new(Inner {
                code,
                pre,
                name: name.into(),
                path,
                source,
                charge: None,
            }),
        })
    }

    /// Loads code written by [`Module::precompile`] or `nodule compile`.
    ///
    /// The code is trusted: load only files that you made and that nobody else can write.
    /// A file of another nodule version or another machine type is refused.
    #[allow(unsafe_code, reason = "the only way to load compiled code")]
    pub fn from_trusted_precompiled(host: &Host, path: impl AsRef<Path>) -> Result<Self, ModuleError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| ModuleError::Unreadable {
            path: path.to_path_buf(),
            error,
        })?;
        let digest: Digest = Sha256::digest(&bytes).into();
        let deserialize = || {
            // SAFETY: the caller vouches for the file; the engine checks version and settings in its header.
            unsafe { wasmtime::Module::deserialize(host.engine(), &bytes) }.map_err(|error| ModuleError::Invalid {
                name: name.clone(),
                reason: one_line(&error),
            })
        };
        let code = host.codes().slot(&digest).get_or_compile(digest, &deserialize)?;
        let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        Self::linked(host, code, &name, Some(absolute), Source::Precompiled)
    }

    /// Compiles to code for [`Module::from_trusted_precompiled`].
    pub fn precompile(host: &Host, name: &str, bytes: &[u8]) -> Result<Vec<u8>, ModuleError> {
        let binary = binary_form(name, bytes)?;
        host.engine()
            .precompile_module(&binary)
            .map_err(|error| ModuleError::Invalid {
                name: name.into(),
                reason: one_line(&error),
            })
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Absolute path of its file, if it came from one.
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// SHA-256 of its bytes, in hexadecimal.
    pub fn digest(&self) -> String {
        hex(&self.inner.code.digest)
    }

    /// The engine's module.
    pub fn wasm(&self) -> &wasmtime::Module {
        &self.inner.code.wasm
    }

    /// Bytes of its machine code.
    pub fn code_bytes(&self) -> usize {
        self.wasm().text().len()
    }

    pub(super) fn digest_bytes(&self) -> Digest {
        self.inner.code.digest
    }

    /// Bytes the host holds for it: its compiled image, and what it was compiled from.
    pub(super) fn held_bytes(&self) -> usize {
        let image = self.wasm().image_range();
        let image_bytes = (image.end as usize).saturating_sub(image.start as usize);
        image_bytes + self.inner.code.source().map_or(0, |bytes| bytes.len())
    }

    /// It, with what the guest is charged that brought it along.
    #[must_use]
    pub(crate) fn charged(mut self, charge: CompiledCharge) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.charge = Some(Arc::new(charge));
        }
        self
    }

    /// Whether it imports what starts workers.
    pub(crate) fn makes_workers(&self) -> bool {
        let mut imports = self.wasm().imports();
        imports.any(|import| (import.module(), import.name()) == SPAWN_IMPORT)
    }

    pub(super) fn downgrade(&self) -> WeakModule {
        WeakModule(Arc::downgrade(&self.inner))
    }

    pub(super) fn pre(&self) -> &InstancePre<IsolateState> {
        &self.inner.pre
    }
}

/// The binary form of what may be text.
pub fn binary_form<'a>(name: &str, bytes: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, ModuleError> {
    if bytes.starts_with(b"\0asm") {
        // Layer 1 in the version field marks a component.
        if bytes.get(6..8) == Some(&[1, 0]) {
            return Err(ModuleError::Component { name: name.into() });
        }
        return Ok(bytes.into());
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(ModuleError::Precompiled { name: name.into() });
    }
    let looks_like_text = std::str::from_utf8(bytes).is_ok_and(|text| {
        let text = text.trim_start();
        text.starts_with('(') || text.starts_with(";;")
    });
    if looks_like_text {
        let binary = wat::parse_bytes(bytes).map_err(|error| ModuleError::Invalid {
            name: name.into(),
            reason: error.to_string(),
        })?;
        if binary.get(6..8) == Some(&[1, 0]) {
            return Err(ModuleError::Component { name: name.into() });
        }
        return Ok(binary);
    }
    let found = if bytes.is_empty() {
        "nothing (the file is empty)".into()
    } else {
        format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(4)]))
    };
    Err(ModuleError::NotWasm {
        name: name.into(),
        found,
    })
}

/// The bytes of a file, and its stamp if it stayed the same meanwhile.
fn read_stamped(path: &Path) -> std::io::Result<(Vec<u8>, Option<FileStamp>)> {
    let mut file = File::open(path)?;
    let before = FileStamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let after = FileStamp::of(&file.metadata()?);
    Ok((bytes, before.filter(|_| before == after)))
}

/// Whether code compiled for one engine runs in the other.
fn generates_the_same_code(one: &Engine, other: &Engine) -> bool {
    super::cache::settings_hash(one) == super::cache::settings_hash(other)
}

fn read_at_most(file: File, max_bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(std::io::Error::other(format!("it is larger than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Code whose imports are not looked at, and the digest of its bytes in hexadecimal: a side module.
pub(crate) fn compile_unlinked(
    host: &Host,
    name: &str,
    binary: &[u8],
) -> Result<(wasmtime::Module, String), ModuleError> {
    let digest: Digest = Sha256::digest(binary).into();
    let slot = host.codes().slot(&digest);
    let code = slot.get_or_compile(digest, &|| load_or_compile(host, name, binary, &digest))?;
    Ok((code.wasm.clone(), hex(&digest)))
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn load_or_compile(host: &Host, name: &str, binary: &[u8], digest: &Digest) -> Result<wasmtime::Module, ModuleError> {
    match host.cache().and_then(|cache| cache.load(host.engine(), digest)) {
        Some(wasm) => Ok(wasm),
        None => compile(host, name, binary, digest),
    }
}

fn compile(host: &Host, name: &str, binary: &[u8], digest: &Digest) -> Result<wasmtime::Module, ModuleError> {
    let invalid = |error: &wasmtime::Error| ModuleError::Invalid {
        name: name.into(),
        reason: one_line(error),
    };
    let wasm = wasmtime::Module::from_binary(host.engine(), binary).map_err(|error| invalid(&error))?;
    if let Some(cache) = host.cache() {
        match wasm.serialize() {
            Ok(code) => cache.store(host.engine(), digest, &code),
            Err(error) => tracing::warn!(%error, "compiled code could not be serialised for the cache"),
        }
    }
    Ok(wasm)
}
