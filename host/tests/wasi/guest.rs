//! A guest that does nothing but hand calls on: each import is an export of the same name, and one with the prefix
//! `slots_` that takes its arguments from the first words of the memory.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nodule::wasmtime::WasmParams;
use nodule::{Host, IsolateBuilder, Module, Plugin};

/// Calls of WASI the tests make; `i` and `I` are 32 and 64 bits. All give an error number.
pub const CALLS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// Calls of nodule the tests make.
const NODULE_CALLS: &[(&str, &str, &str)] = &[
    ("nodule:event_loop/1", "wait", "iiIii"),
    ("nodule:event_loop/1", "close", "i"),
    ("nodule:process/1", "env_set", "iiii"),
    ("nodule:process/1", "permission_drop", "iiii"),
    ("nodule:process/1", "chdir", "ii"),
    ("nodule:stdio/1", "open_stdin", "i"),
    ("nodule:stdio/1", "read", "iiii"),
    ("nodule:stdio/1", "is_tty", "ii"),
    ("nodule:stdio/1", "window_size", "ii"),
];

/// Where the memory behind the argument slots starts.
pub const FREE_FROM: u32 = 128;

/// Pages of 64 KiB.
const MEMORY_PAGES: u32 = 64;

fn wasm_type(letter: char) -> &'static str {
    if letter == 'I' { "i64" } else { "i32" }
}

fn text() -> String {
    let wasi = CALLS
        .iter()
        .map(|(name, params)| ("wasi_snapshot_preview1", *name, *params));
    let calls: Vec<_> = wasi.chain(NODULE_CALLS.iter().copied()).collect();
    let mut text =
        String::from("(module\n(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))\n");
    let types = |params: &str| {
        params
            .chars()
            .map(|letter| format!(" (param {})", wasm_type(letter)))
            .collect::<String>()
    };
    for (namespace, name, params) in &calls {
        text += &format!(
            "(import \"{namespace}\" \"{name}\" (func $host_{name}{} (result i32)))\n",
            types(params)
        );
    }
    text += &format!("(memory (export \"memory\") {MEMORY_PAGES})\n");
    for (_, name, params) in &calls {
        let arguments: String = (0..params.len()).map(|index| format!(" (local.get {index})")).collect();
        text += &format!(
            "(func (export \"{name}\"){} (result i32) (call $host_{name}{arguments}))\n",
            types(params)
        );
        let slots = params.chars().enumerate();
        let arguments: String = slots
            .map(|(index, letter)| format!(" ({}.load (i32.const {}))", wasm_type(letter), index * 8))
            .collect();
        text += &format!("(func (export \"slots_{name}\") (result i32) (call $host_{name}{arguments}))\n");
    }
    text + "(func (export \"proc_exit\") (param i32) (call $proc_exit (local.get 0))))"
}

/// One host for all tests of a process.
pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::builder().no_cache().build().unwrap())
}

/// An isolate that runs this text.
pub fn isolate(text: &str) -> IsolateBuilder {
    host().isolate(&Module::from_bytes(host(), "guest", text.as_bytes()).unwrap())
}

/// The instance and a place where its memory is free.
pub struct Guest {
    pub plugin: Plugin,
    free: u32,
}

impl Guest {
    pub async fn new(change: impl FnOnce(IsolateBuilder) -> IsolateBuilder) -> Self {
        static MODULE: OnceLock<Module> = OnceLock::new();
        let module = MODULE.get_or_init(|| Module::from_bytes(host(), "calls", text().as_bytes()).unwrap());
        let plugin = change(host().isolate(module))
            .plugin()
            .await
            .unwrap_or_else(|status| panic!("{status:?}"));
        Self {
            plugin,
            free: FREE_FROM,
        }
    }

    /// Room for `len` bytes, aligned.
    pub fn room(&mut self, len: usize) -> i32 {
        let address = self.free;
        self.free = (self.free + len as u32).next_multiple_of(8);
        assert!(self.free <= MEMORY_PAGES << 16, "the guest's memory is used up");
        address as i32
    }

    /// Writes bytes somewhere; gives address and length.
    pub fn put(&mut self, bytes: &[u8]) -> (i32, i32) {
        let address = self.room(bytes.len());
        self.plugin.write_memory(address as u32, bytes).unwrap();
        (address, bytes.len() as i32)
    }

    /// Writes buffer descriptions; gives address and count.
    pub fn iovecs(&mut self, buffers: &[(i32, i32)]) -> (i32, i32) {
        let bytes: Vec<u8> = buffers
            .iter()
            .flat_map(|(address, len)| [address.to_le_bytes(), len.to_le_bytes()].concat())
            .collect();
        (self.put(&bytes).0, buffers.len() as i32)
    }

    pub fn bytes(&mut self, address: i32, len: usize) -> Vec<u8> {
        self.plugin.read_memory(address as u32, len).unwrap()
    }

    pub fn u16(&mut self, address: i32) -> u16 {
        u16::from_le_bytes(self.bytes(address, 2).try_into().unwrap())
    }

    pub fn u32(&mut self, address: i32) -> u32 {
        u32::from_le_bytes(self.bytes(address, 4).try_into().unwrap())
    }

    pub fn u64(&mut self, address: i32) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().unwrap())
    }

    /// Makes a call; gives its error number.
    pub async fn call<P: WasmParams + Sync>(&mut self, name: &str, arguments: P) -> i32 {
        self.plugin
            .call::<P, i32>(name, arguments)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes to a descriptor; gives the count or the error number.
    pub async fn write(&mut self, fd: i32, parts: &[&[u8]]) -> Result<u32, i32> {
        let parts: Vec<_> = parts.iter().map(|part| self.put(part)).collect();
        let (iovecs, count) = self.iovecs(&parts);
        let out = self.room(4);
        match self.call("fd_write", (fd, iovecs, count, out)).await {
            0 => Ok(self.u32(out)),
            errno => Err(errno),
        }
    }

    /// Reads from a descriptor into one buffer; gives the bytes or the error number.
    pub async fn read(&mut self, fd: i32, max: usize) -> Result<Vec<u8>, i32> {
        let buffer = self.room(max);
        let (iovecs, count) = self.iovecs(&[(buffer, max as i32)]);
        let out = self.room(4);
        match self.call("fd_read", (fd, iovecs, count, out)).await {
            0 => {
                let len = self.u32(out) as usize;
                Ok(self.bytes(buffer, len))
            }
            errno => Err(errno),
        }
    }

    /// Opens a path; gives the descriptor or the error number.
    pub async fn open(&mut self, dir: i32, path: &str, oflags: i32, rights: i64) -> Result<i32, i32> {
        let (path, len) = self.put(path.as_bytes());
        let out = self.room(4);
        match self
            .call("path_open", (dir, 1, path, len, oflags, rights, rights, 0, out))
            .await
        {
            0 => Ok(self.u32(out) as i32),
            errno => Err(errno),
        }
    }
}

/// A directory that is removed at the end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "nodule-wasi-{}-{}",
            std::process::id(),
            LAST.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Error numbers of WASI.
pub mod errno {
    pub const AGAIN: i32 = 6;
    pub const BADF: i32 = 8;
    pub const FAULT: i32 = 21;
    pub const ILSEQ: i32 = 25;
    pub const INVAL: i32 = 28;
    pub const MFILE: i32 = 33;
    pub const NAMETOOLONG: i32 = 37;
    pub const NOENT: i32 = 44;
    pub const NOTSUP: i32 = 58;
    pub const PERM: i32 = 63;
    pub const PIPE: i32 = 64;
    pub const SPIPE: i32 = 70;
    pub const NOTCAPABLE: i32 = 76;
}

/// Rights and flags of `path_open`.
pub const READ: i64 = 1 << 1;
pub const WRITE: i64 = 1 << 6;
pub const CREATE: i32 = 1;
pub const DIRECTORY: i32 = 2;
