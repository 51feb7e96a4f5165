//! Side modules in text form, loaded by a guest that does what it is told.

mod linking;
mod refusals;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nodule_abi::error::Result;

use crate::permissions::{Capability, DirAccess, Permissions};
use crate::{Host, Limits, Module, Plugin};

/// The path or name goes to 1024; the handle comes to 0, what `dlsym` finds to 8.
const MAIN: &str = r#"(module
    (import "nodule:process/1" "dlopen" (func $dlopen (param i32 i32 i32 i32) (result i32)))
    (import "nodule:process/1" "dlsym" (func $dlsym (param i32 i32 i32 i32) (result i32)))
    (import "nodule:process/1" "dlclose" (func $dlclose (param i32) (result i32)))
    (memory (export "memory") 1)
    (table (export "__indirect_function_table") 4 funcref)
    (global $sp (export "__stack_pointer") (mut i32) (i32.const 4096))
    (global (export "base_value") i32 (i32.const 512))
    (data (i32.const 512) "\2a\00\00\00")
    (type $unary (func (param i32) (result i32)))
    (func $twice (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (elem (i32.const 1) func $twice)
    (func $open (export "open") (param $length i32) (param $flags i32) (result i32)
        (call $dlopen (i32.const 1024) (local.get $length) (local.get $flags) (i32.const 0)))
    (func (export "sym") (param $handle i32) (param $length i32) (result i32)
        (call $dlsym (local.get $handle) (i32.const 1024) (local.get $length) (i32.const 8)))
    (func (export "close") (param $handle i32) (result i32) (call $dlclose (local.get $handle)))
    (func (export "open_again") (result i32) (call $open (i32.load (i32.const 2000)) (i32.const 1)))
    (func (export "stack_pointer") (result i32) (global.get $sp))
    (func (export "call") (param $index i32) (param $argument i32) (result i32)
        (call_indirect (type $unary) (local.get $argument) (local.get $index))))"#;

/// What every side module imports.
const ENV: &str = r#"
    (import "env" "memory" (memory 0))
    (import "env" "__indirect_function_table" (table 0 funcref))
    (import "env" "__memory_base" (global $memory_base i32))
    (import "env" "__table_base" (global $table_base i32))
    (import "env" "__stack_pointer" (global $sp (mut i32)))"#;

/// A guest, and the directory its side modules are in.
struct Guest {
    plugin: Plugin,
    directory: PathBuf,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn new_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("nodule-dlopen-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn granted(directory: &Path) -> Permissions {
    Permissions::none()
        .allow(Capability::Addon)
        .dir(directory, "/lib", DirAccess::Read)
        .unwrap()
}

impl Guest {
    async fn new() -> Self {
        Self::with(MAIN, Limits::default(), granted).await
    }

    async fn with(main: &str, limits: Limits, permissions: fn(&Path) -> Permissions) -> Self {
        let directory = new_directory();
        let host = Host::builder().no_cache().build().unwrap();
        let module = Module::from_bytes(&host, "main", main.as_bytes()).unwrap();
        let isolate = host
            .isolate(&module)
            .limits(limits)
            .permissions(permissions(&directory));
        Self {
            plugin: isolate.plugin().await.unwrap(),
            directory,
        }
    }

    /// Writes the side module `name`: its `dylink.0` section and what follows the usual imports.
    fn library(&self, name: &str, dylink: &str, body: &str) {
        let text = format!("(module (@dylink.0 {dylink}) {body})");
        std::fs::write(self.directory.join(name), wat::parse_str(text).unwrap()).unwrap();
    }

    fn write_argument(&mut self, text: &str) -> i32 {
        self.plugin.write_memory(1024, text.as_bytes()).unwrap();
        i32::try_from(text.len()).unwrap()
    }

    fn word(&mut self, address: u32) -> u32 {
        u32::from_le_bytes(self.plugin.read_memory(address, 4).unwrap().try_into().unwrap())
    }

    fn result(&mut self, code: i32) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let record = self.plugin.state().last_error.clone().unwrap().record();
        assert_eq!(code.unsigned_abs(), u32::from(record.error_code().unwrap().number()));
        Err(record)
    }

    async fn try_open(&mut self, name: &str, flags: u32) -> Result<u32> {
        let length = self.write_argument(&format!("/lib/{name}"));
        let code = self
            .plugin
            .call::<_, i32>("open", (length, flags.cast_signed()))
            .await?;
        self.result(code)?;
        Ok(self.word(0))
    }

    async fn open(&mut self, name: &str, flags: u32) -> u32 {
        self.try_open(name, flags).await.unwrap()
    }

    /// The message of the `ERR_DLOPEN_FAILED` that opening gives.
    async fn refusal(&mut self, name: &str, flags: u32) -> String {
        let record = self.try_open(name, flags).await.unwrap_err();
        assert!(record.is_code("ERR_DLOPEN_FAILED"), "{record}");
        record.message
    }

    /// The kind (0 function, 1 data) and the value of a symbol.
    async fn symbol(&mut self, handle: u32, name: &str) -> Result<(u32, u32)> {
        let length = self.write_argument(name);
        let code = self
            .plugin
            .call::<_, i32>("sym", (handle.cast_signed(), length))
            .await
            .unwrap();
        self.result(code)?;
        Ok((self.word(8), self.word(12)))
    }

    async fn call(&mut self, handle: u32, name: &str, argument: i32) -> Result<i32> {
        let (kind, index) = self.symbol(handle, name).await?;
        assert_eq!(kind, 0, "{name} is no function");
        self.plugin
            .call::<_, i32>("call", (index.cast_signed(), argument))
            .await
    }

    async fn close(&mut self, handle: u32) -> Result<()> {
        let code = self.plugin.call::<_, i32>("close", handle.cast_signed()).await.unwrap();
        self.result(code)
    }
}
