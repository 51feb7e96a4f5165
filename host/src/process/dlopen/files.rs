//! From a path to compiled side modules: the file, and those it needs that are not loaded yet.
//! Runs on a blocking thread; touches nothing of the isolate.

use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::{SIDE_MODULE_BYTES_MAX, SIDE_MODULES_MAX};

use super::dylink::Dylink;
use super::failed;
use crate::permissions::{CheckedAddon, CheckedPath, ForRead, Permissions};
use crate::runtime::{Host, IsolateState, binary_form, compile_unlinked};

/// Tells files apart, whatever their paths. A file that was written anew is another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl FileId {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }
}

/// A side module that something depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Dependency {
    /// Loaded earlier: its place among the isolate's libraries.
    Loaded(usize),
    /// Loaded now: its place in [`Group::files`].
    New(usize),
}

/// A compiled file.
#[derive(Debug)]
pub(super) struct SideFile {
    pub id: FileId,
    /// The path it was found under.
    pub name: String,
    pub module: wasmtime::Module,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    pub dylink: Dylink,
    /// The libraries it needs, in its order.
    pub needed: Vec<Dependency>,
}

/// What one `dlopen` brings in.
#[derive(Debug)]
pub(super) struct Group {
    /// What was asked for.
    pub root: Dependency,
    /// New files, the one asked for first.
    pub files: Vec<SideFile>,
}

impl Group {
    /// The new files, each after those it needs as far as they are no cycle.
    pub(super) fn dependency_order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.files.len());
        let mut seen = vec![false; self.files.len()];
        // Each entry: a file, and how many of its needed libraries were looked at.
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..self.files.len() {
            if std::mem::replace(&mut seen[start], true) {
                continue;
            }
            path.push((start, 0));
            while let Some((file, next)) = path.last_mut() {
                match self.files[*file].needed.get(*next) {
                    None => {
                        order.push(*file);
                        path.pop();
                    }
                    Some(dependency) => {
                        *next += 1;
                        if let Dependency::New(needed) = *dependency
                            && !std::mem::replace(&mut seen[needed], true)
                        {
                            path.push((needed, 0));
                        }
                    }
                }
            }
        }
        order
    }
}

/// Finds and compiles side modules.
pub(super) struct Loader {
    host: Host,
    permissions: Permissions,
    cwd: PathBuf,
    /// Files loaded earlier.
    loaded: HashMap<FileId, usize>,
    /// How many more may be loaded.
    room: usize,
}

/// An opened file.
struct Found {
    id: FileId,
    path: PathBuf,
    file: std::fs::File,
}

impl Loader {
    /// A loader for an isolate; what that has loaded already is not loaded again.
    pub(super) fn new(_proof: CheckedAddon, state: &IsolateState, cwd: PathBuf) -> Self {
        let side_modules = &state.process.side_modules;
        Self {
            host: state.host.clone(),
            permissions: state.permissions.clone(),
            cwd,
            loaded: side_modules.by_file.clone(),
            room: SIDE_MODULES_MAX.saturating_sub(side_modules.mapped),
        }
    }

    /// Loads `path` and everything it needs.
    pub(super) fn load(mut self, path: &str) -> Result<Group> {
        let mut group = Group {
            root: Dependency::New(0),
            files: Vec::new(),
        };
        let found = self.open(Path::new(path)).map_err(|error| unreadable(path, &error))?;
        let mut queue = VecDeque::new();
        group.root = self.add(&mut group.files, &mut queue, found)?;
        // Breadth first; every file is added once, so cycles end.
        while let Some((file, directory)) = queue.pop_front() {
            let needed = group.files[file].dylink.needed.clone();
            for name in needed {
                let found = self.search(&group.files[file], &directory, &name)?;
                let dependency = self.add(&mut group.files, &mut queue, found)?;
                group.files[file].needed.push(dependency);
            }
        }
        Ok(group)
    }

    /// Adds a file unless it is there already.
    fn add(
        &mut self,
        files: &mut Vec<SideFile>,
        queue: &mut VecDeque<(usize, PathBuf)>,
        found: Found,
    ) -> Result<Dependency> {
        if let Some(library) = self.loaded.get(&found.id) {
            return Ok(Dependency::Loaded(*library));
        }
        if let Some(file) = files.iter().position(|file| file.id == found.id) {
            return Ok(Dependency::New(file));
        }
        if files.len() >= self.room {
            return Err(failed(format!(
                "more than {SIDE_MODULES_MAX} side modules, failed ones included"
            )));
        }
        let directory = found.path.parent().unwrap_or(Path::new("")).to_path_buf();
        files.push(self.compile(found)?);
        queue.push_back((files.len() - 1, directory));
        Ok(Dependency::New(files.len() - 1))
    }

    /// Finds a needed library: in the directory of the file that needs it, then in that file's run-time paths.
    fn search(&self, file: &SideFile, directory: &Path, name: &str) -> Result<Found> {
        let runtime_paths = file
            .dylink
            .runtime_paths
            .iter()
            .map(|path| match path.strip_prefix("$ORIGIN") {
                Some(rest) => directory.join(rest.trim_start_matches('/')),
                None => directory.join(path),
            });
        let mut error: Box<ErrorRecord> = ErrorRecord::system(ErrorCode::Enoent, "open").into();
        for directory in std::iter::once(directory.to_path_buf()).chain(runtime_paths) {
            match self.open(&directory.join(name)) {
                Ok(found) => return Ok(found),
                // A place without the library tells less than a place that is not to be looked at.
                Err(refusal) if error.path.is_none() || error.is_code("ENOENT") => error = refusal,
                Err(_) => {}
            }
        }
        Err(unreadable(&format!("{name} (needed by {})", file.name), &error))
    }

    /// Opens a regular file inside the grants.
    fn open(&self, path: &Path) -> Result<Found> {
        let text = path.to_string_lossy();
        let checked: CheckedPath<ForRead> = self.permissions.check_read(&text, &self.cwd)?;
        let refused = |error: std::io::Error| {
            let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
            ErrorRecord::system_path(code, "open", &text, None)
        };
        let no_file = || ErrorRecord::system_path(ErrorCode::Einval, "open", &text, None);
        let file = checked.open_regular().map_err(refused)?.ok_or_else(no_file)?;
        let metadata = file.metadata().map_err(refused)?;
        Ok(Found {
            id: FileId::of(&metadata),
            path: path.to_path_buf(),
            file,
        })
    }

    fn compile(&self, found: Found) -> Result<SideFile> {
        let name = found.path.to_string_lossy().into_owned();
        let too_large = || failed(format!("{name} is larger than {SIDE_MODULE_BYTES_MAX} bytes"));
        if found.id.size > SIDE_MODULE_BYTES_MAX {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        // It may grow while it is read.
        let read = found.file.take(SIDE_MODULE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(format!("{name}: {error}")))?;
        if bytes.len() as u64 > SIDE_MODULE_BYTES_MAX {
            return Err(too_large());
        }
        let binary = binary_form(&name, &bytes).map_err(|error| failed(error.to_string()))?;
        let dylink = Dylink::parse(&name, &binary)?;
        let (module, digest) =
            compile_unlinked(&self.host, &name, &binary).map_err(|error| failed(error.to_string()))?;
        Ok(SideFile {
            id: found.id,
            name,
            module,
            digest,
            dylink,
            needed: Vec::new(),
        })
    }
}

/// The failure to read a file, as one of `dlopen`; a refusal keeps what was refused.
fn unreadable(what: &str, error: &ErrorRecord) -> Box<ErrorRecord> {
    let mut record = failed(format!("{what}: {}", error.message));
    record.permission = error.permission.clone();
    record.resource = error.resource.clone();
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(needed: &[&[usize]]) -> Group {
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, "(module)").unwrap();
        let id = FileId {
            device: 0,
            inode: 0,
            size: 0,
            modified_s: 0,
            modified_ns: 0,
        };
        let file = |needed: &&[usize]| SideFile {
            id,
            name: String::new(),
            module: module.clone(),
            digest: String::new(),
            dylink: Dylink::default(),
            needed: needed.iter().map(|file| Dependency::New(*file)).collect(),
        };
        Group {
            root: Dependency::New(0),
            files: needed.iter().map(file).collect(),
        }
    }

    #[test]
    fn needed_libraries_come_first_and_cycles_end() {
        assert_eq!(group(&[&[1, 2], &[3], &[3], &[]]).dependency_order(), [3, 1, 2, 0]);
        assert_eq!(group(&[&[1], &[0]]).dependency_order(), [1, 0]);
        assert_eq!(group(&[&[0]]).dependency_order(), [0]);
        let chain: Vec<Vec<usize>> = (1..=10_000)
            .map(|next| if next < 10_000 { vec![next] } else { vec![0] })
            .collect();
        let chain: Vec<&[usize]> = chain.iter().map(Vec::as_slice).collect();
        assert_eq!(group(&chain).dependency_order().first(), Some(&9_999));
    }
}
