//! Modules: from bytes to compiled code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::InstancePre;

use super::host::Host;
use super::linker;
use super::state::IsolateState;

/// Why a module cannot be used. Messages end with a hint where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The bytes are neither a wasm module nor its text form.
    #[error(
        "{name} is not a wasm module: it starts with {found}, not with \\0asm (hint: compile it for wasm32-wasip1)"
    )]
    NotWasm {
        /// What was loaded.
        name: String,
        /// Its first bytes.
        found: String,
    },
    /// A component, which nodule does not run.
    #[error(
        "{name} is a component, not a core module (hint: build for wasm32-wasip1 instead of wasm32-wasip2, \
         or take the core module out with `wasm-tools component unbundle`)"
    )]
    Component {
        /// What was loaded.
        name: String,
    },
    /// Precompiled code, which is trusted blindly once loaded.
    #[error(
        "{name} is precompiled code, which is not checked when it is loaded (pass --allow-precompiled if you made it yourself)"
    )]
    Precompiled {
        /// What was loaded.
        name: String,
    },
    /// The bytes do not parse or validate.
    #[error("{name} is not a valid wasm module: {reason}")]
    Invalid {
        /// What was loaded.
        name: String,
        /// The first thing wrong with it.
        reason: String,
    },
    /// An import that the host does not have.
    #[error("{name} cannot be linked: {reason}")]
    Link {
        /// What was loaded.
        name: String,
        /// Which import, wanted and present version.
        reason: String,
    },
    /// The module was built for another ABI.
    #[error(
        "{name} was built for ABI {wanted} of nodule; this nodule has ABI {present} (hint: rebuild it with the matching SDK)"
    )]
    AbiMismatch {
        /// What was loaded.
        name: String,
        /// The number in the module.
        wanted: String,
        /// Ours.
        present: u32,
    },
}

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
    /// The code with all its imports resolved.
    pre: InstancePre<IsolateState>,
    name: String,
    path: Option<PathBuf>,
    digest: Digest,
}

impl Module {
    /// Compiles a module, or takes it from the cache. Accepts the binary and the text format.
    ///
    /// Imports are checked here: a module that wants something the host does not have is refused before it runs.
    pub fn from_bytes(host: &Host, name: &str, bytes: &[u8]) -> Result<Self, ModuleError> {
        let (wasm, digest) = load_or_compile(host, name, &binary_form(name, bytes)?)?;
        Self::checked(host, wasm, name, None, digest)
    }

    /// Reads and compiles a file; see [`Module::from_bytes`].
    pub fn from_file(host: &Host, path: impl AsRef<Path>) -> Result<Self, ModuleError> {
        let path = path.as_ref();
        let unreadable = |error| ModuleError::Unreadable {
            path: path.to_path_buf(),
            error,
        };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let module = Self::from_bytes(host, &path.display().to_string(), &bytes)?;
        Ok(module.with_path(path))
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
        // SAFETY: the caller vouches for the file; the engine checks version and settings in its header.
        let wasm =
            unsafe { wasmtime::Module::deserialize(host.engine(), &bytes) }.map_err(|error| ModuleError::Invalid {
                name: name.clone(),
                reason: one_line(&error),
            })?;
        let digest = Sha256::digest(&bytes).into();
        Ok(Self::checked(host, wasm, &name, None, digest)?.with_path(path))
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

    fn checked(
        host: &Host,
        wasm: wasmtime::Module,
        name: &str,
        path: Option<PathBuf>,
        digest: Digest,
    ) -> Result<Self, ModuleError> {
        let pre = linker::resolve(host.linker(), &wasm, name)?;
        Ok(Self {
            inner: Arc::new(Inner {
                pre,
                name: name.into(),
                path,
                digest,
            }),
        })
    }

    fn with_path(self, path: &Path) -> Self {
        let Inner { pre, name, digest, .. } = &*self.inner;
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        Self {
            inner: Arc::new(Inner {
                pre: pre.clone(),
                name: name.clone(),
                path: Some(path),
                digest: *digest,
            }),
        }
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
        hex(&self.inner.digest)
    }

    /// The engine's module.
    pub fn wasm(&self) -> &wasmtime::Module {
        self.inner.pre.module()
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
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
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

/// Code whose imports are not looked at, and the digest of its bytes in hexadecimal: a side module.
pub(crate) fn compile_unlinked(
    host: &Host,
    name: &str,
    binary: &[u8],
) -> Result<(wasmtime::Module, String), ModuleError> {
    let (wasm, digest) = load_or_compile(host, name, binary)?;
    Ok((wasm, hex(&digest)))
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn load_or_compile(host: &Host, name: &str, binary: &[u8]) -> Result<(wasmtime::Module, Digest), ModuleError> {
    let digest: Digest = Sha256::digest(binary).into();
    let wasm = match host.cache().and_then(|cache| cache.load(host.engine(), &digest)) {
        Some(wasm) => wasm,
        None => compile(host, name, binary, &digest)?,
    };
    Ok((wasm, digest))
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

/// The innermost cause, on one line.
fn one_line(error: &wasmtime::Error) -> String {
    error
        .root_cause()
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_string()
}
