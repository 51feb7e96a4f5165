//! The import table. Every function that a guest may import is declared here and nowhere else.
//!
//! # Conventions
//!
//! - Pointers and lengths are byte addresses and counts in the guest's linear memory.
//! - Functions that can fail return an error number ([`crate::error::ErrorCode`]), 0 for success.
//!   `nodule:error/1` `last` describes the failure.
//! - **Sized results**: a triple `buf, cap, len`. The host always writes the full length to `*len`;
//!   when it exceeds `cap` nothing else is written and the result is `ERANGE`: grow and call again.
//! - **Values** are CBOR ([`crate::value`]); strings are UTF-8 without a terminator.
//! - A pointer outside the memory gives `EFAULT`, a length above its limit ([`crate::limits`])
//!   `ERR_OUT_OF_RANGE` or `ENAMETOOLONG`, text that is not UTF-8 `EILSEQ`, an unknown handle `ERR_HANDLE_CLOSED`.
//! - Unless stated otherwise a call does not block.

/// The wasm type of a parameter or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmType {
    /// 32-bit integer; also pointers, lengths, handles.
    I32,
    /// 64-bit integer.
    I64,
    /// 64-bit float.
    F64,
}

impl WasmType {
    /// The name in the wasm text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// A type that can stand in an import's signature.
pub trait AbiType {
    /// How it travels.
    const WASM: WasmType;
    /// How the C header spells it.
    const C: &'static str;
}

macro_rules! abi_types {
    ($($type:ty => $wasm:ident, $c:literal;)*) => {
        $(impl AbiType for $type { const WASM: WasmType = WasmType::$wasm; const C: &'static str = $c; })*
    };
}

abi_types! {
    i32 => I32, "int32_t ";
    u32 => I32, "uint32_t ";
    i64 => I64, "int64_t ";
    u64 => I64, "uint64_t ";
    f64 => F64, "double ";
    *const u8 => I32, "const uint8_t *";
    *mut u8 => I32, "uint8_t *";
    *mut u32 => I32, "uint32_t *";
    *mut u64 => I32, "uint64_t *";
    *mut crate::event::EventRecord => I32, "struct nodule_event *";
}

/// One parameter of an import.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its wasm type.
    pub wasm: WasmType,
    /// Its C type, ready to be followed by the name.
    pub c: &'static str,
}

/// One function a guest may import.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// Name within the area's namespace.
    pub name: &'static str,
    /// Lines of its documentation.
    pub docs: &'static [&'static str],
    /// Parameters in order.
    pub params: &'static [Param],
    /// The result, if any.
    pub result: Option<Param>,
}

/// One area: a namespace `nodule:<name>/<version>`.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Name of the area.
    pub name: &'static str,
    /// Version of its interface.
    pub version: u32,
    /// The import namespace.
    pub namespace: &'static str,
    /// Lines of its documentation.
    pub docs: &'static [&'static str],
    /// Its functions in order.
    pub imports: &'static [Import],
}

/// The prefix of every namespace of ours.
pub const NAMESPACE_PREFIX: &str = "nodule:";

macro_rules! result_of {
    () => {
        None
    };
    ($ret:ty) => {
        Some(Param {
            name: "result",
            wasm: <$ret as AbiType>::WASM,
            c: <$ret as AbiType>::C,
        })
    };
}

macro_rules! abi {
    ($(
        $(#[doc = $area_doc:literal])*
        area $area:ident version $version:literal from $namespace:literal {
            $(
                $(#[doc = $doc:literal])*
                fn $name:ident($($param:ident: $type:ty),* $(,)?) $(-> $ret:ty)?;
            )*
        }
    )*) => {
        /// Every area, in the order of the documentation.
        pub const AREAS: &[Area] = &[$(Area {
            name: stringify!($area),
            version: $version,
            namespace: $namespace,
            docs: &[$($area_doc),*],
            imports: &[$(Import {
                name: stringify!($name),
                docs: &[$($doc),*],
                params: &[$(Param {
                    name: stringify!($param),
                    wasm: <$type as AbiType>::WASM,
                    c: <$type as AbiType>::C,
                }),*],
                result: result_of!($($ret)?),
            }),*],
        }),*];

        /// The import namespaces by area.
        pub mod namespace {
            $(
                #[doc = concat!("Namespace of the area `", stringify!($area), "`.")]
                #[allow(non_upper_case_globals, reason = "named after the area")]
                pub const $area: &str = $namespace;
            )*
        }

        /// The externs a guest links against. Calling one is unsafe: pointers are not checked on this side.
        #[allow(unsafe_code, reason = "declarations of imports")]
        #[allow(clashing_extern_declarations, reason = "the same name in two namespaces")]
        pub mod raw {
            $(
                $(#[doc = $area_doc])*
                pub mod $area {
                    #[cfg_attr(
                        target_family = "wasm",
                        link(wasm_import_module = $namespace)
                    )]
                    unsafe extern "C" {
                        $(
                            $(#[doc = $doc])*
                            pub fn $name($($param: $type),*) $(-> $ret)?;
                        )*
                    }
                }
            )*
        }
    };
}

abi! {
    /// Details of the last failure.
    area error version 1 from "nodule:error/1" {
        /// The error record of the calling isolate's most recent failed import, as a sized CBOR value.
        /// `ENOENT` when nothing failed yet. Does not change the record.
        fn last(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }

    /// Waiting for events, and what keeps an isolate alive.
    area event_loop version 1 from "nodule:event_loop/1" {
        /// Waits until at least one event is there, then writes up to `cap` (1..=1024) records to `events`
        /// and their number to `*count`. Blocks only the calling isolate.
        /// `timeout_ns` < 0 waits without end, 0 polls. `*count` is 0 when the time is over, and also, at once,
        /// when `keep_alive` is 0 and nothing that is ref'd could ever produce an event.
        fn wait(events: *mut crate::event::EventRecord, cap: u32, timeout_ns: i64, keep_alive: u32, count: *mut u32) -> u32;
        /// Lets `handle` keep the isolate alive. Repeating has no effect.
        fn ref_handle(handle: u32) -> u32;
        /// Lets the isolate end although `handle` is open. Repeating has no effect.
        fn unref_handle(handle: u32) -> u32;
        /// Writes to `*result` whether `handle` keeps the isolate alive (1) or not (0).
        fn has_ref(handle: u32, result: *mut u32) -> u32;
        /// Closes `handle`; it is never reused.
        fn close(handle: u32) -> u32;
    }

    /// Timers of the host (Node: `timers`).
    area timers version 1 from "nodule:timers/1" {
        /// Starts a timer and writes its handle to `*handle`. It is due after `delay_ms` (fractions allowed;
        /// below 1, above 2147483647 and NaN become 1) and, with `repeat` not 0, every `delay_ms` again.
        /// A due timer gives one event of kind `Timer`. `EMFILE` when the handle limit is reached.
        fn set(delay_ms: f64, repeat: u32, handle: *mut u32) -> u32;
        /// Starts the timer's time anew (Node: `timeout.refresh()`).
        fn refresh(handle: u32) -> u32;
    }

    /// Standard streams. Writing is WASI `fd_write`, which parks the isolate until the bytes are accepted.
    area stdio version 1 from "nodule:stdio/1" {
        /// Writes 1 to `*result` when stdio `fd` (0..=2) is a terminal, else 0. `EBADF` for other fds.
        fn is_tty(fd: u32, result: *mut u32) -> u32;
        /// Columns and rows of the terminal behind `fd`, to `size[0]` and `size[1]`. `ENOTTY` when it is none.
        fn window_size(fd: u32, size: *mut u32) -> u32;
        /// Opens the isolate's standard input as a stream and writes its handle to `*handle`.
        /// It keeps the isolate alive only while a read waits. `EBUSY` when it is open already.
        fn open_stdin(handle: *mut u32) -> u32;
        /// Reads up to `cap` (at most 1 MiB) bytes from the stream; `*len` 0 means its end.
        /// `EAGAIN` when nothing is there: an event of kind `Readable` follows.
        fn read(handle: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }

    /// The machine (Node: `os`).
    area os version 1 from "nodule:os/1" {
        /// One entry a CPU, as a sized CBOR array of `{model, speed, times: {user, nice, sys, idle, irq}}` (MHz, ms).
        fn cpus(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// How many CPUs the process may use: affinity and cgroup quota counted, at least 1.
        fn available_parallelism() -> u32;
    }

    /// This process (Node: `process`).
    area process version 1 from "nodule:process/1" {
        /// The attribute `name`, spelled as in Node (`execPath`, `report.directory`), as a sized CBOR value.
        /// `ENOENT` for a name that is no attribute.
        fn get(name: *const u8, name_len: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Sets a writable attribute (`title`, `exitCode`, `debugPort`, `noDeprecation`, `throwDeprecation`,
        /// `traceDeprecation`, `sourceMapsEnabled`, `report.*`) to a CBOR value. Errors are Node's
        /// (`ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_SIGNAL`); `EPERM` for a read-only one.
        fn set(name: *const u8, name_len: u32, value: *const u8, value_len: u32) -> u32;

        /// The environment variable `key`, as sized UTF-8. `ENOENT` when it is not set.
        fn env_get(key: *const u8, key_len: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Sets an environment variable of this isolate. An empty key is ignored. `ERR_INVALID_ARG_VALUE`
        /// for `=` or NUL in the key or NUL in the value, `E2BIG` when the environment is full.
        fn env_set(key: *const u8, key_len: u32, value: *const u8, value_len: u32) -> u32;
        /// Removes an environment variable; a missing one is no error.
        fn env_delete(key: *const u8, key_len: u32) -> u32;
        /// All environment variables as a sized CBOR object.
        fn env_all(buf: *mut u8, cap: u32, len: *mut u32) -> u32;

        /// The real user id. `ERR_ACCESS_DENIED` without the grant `sys`.
        fn getuid(id: *mut u32) -> u32;
        /// The effective user id. Needs the grant `sys`.
        fn geteuid(id: *mut u32) -> u32;
        /// The real group id. Needs the grant `sys`.
        fn getgid(id: *mut u32) -> u32;
        /// The effective group id. Needs the grant `sys`.
        fn getegid(id: *mut u32) -> u32;
        /// The supplementary groups and the effective one, as a sized CBOR array. Needs the grant `sys`.
        fn getgroups(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Sets the user id to a CBOR number or name. Parks the isolate while a name is looked up.
        /// Needs the grant `sys`. `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_CREDENTIAL`, `EPERM`.
        fn setuid(id: *const u8, id_len: u32) -> u32;
        /// Sets the effective user id; as `setuid`.
        fn seteuid(id: *const u8, id_len: u32) -> u32;
        /// Sets the group id; as `setuid`.
        fn setgid(id: *const u8, id_len: u32) -> u32;
        /// Sets the effective group id; as `setuid`.
        fn setegid(id: *const u8, id_len: u32) -> u32;
        /// Sets the supplementary groups to a CBOR array of numbers and names; as `setuid`.
        fn setgroups(groups: *const u8, groups_len: u32) -> u32;
        /// Sets the groups of a user from the group database: a CBOR array `[user, extraGroup]`; as `setuid`.
        fn initgroups(arguments: *const u8, arguments_len: u32) -> u32;

        /// Monotonic time in ns from an arbitrary point, the same in all processes of the machine.
        fn hrtime() -> u64;
        /// Seconds since the process started.
        fn uptime() -> f64;
        /// CPU time of the process: `usage[0]` user, `usage[1]` system, µs.
        fn cpu_usage(usage: *mut u64) -> u32;
        /// CPU time of this isolate: `usage[0]` user, `usage[1]` system, µs.
        fn thread_cpu_usage(usage: *mut u64) -> u32;
        /// Memory in bytes: `usage[0..5]` = rss, heapTotal, heapUsed, external, arrayBuffers. `heap_used` is what the
        /// guest's allocator counts, or 0 when it does not count: then heapUsed equals heapTotal.
        fn memory_usage(heap_used: u64, usage: *mut u64) -> u32;
        /// Resident set size of the process in bytes.
        fn rss() -> u64;
        /// The 16 fields of Node's `resourceUsage()`, in its order.
        fn resource_usage(usage: *mut u64) -> u32;
        /// Bytes still free for the process, cgroup counted.
        fn available_memory() -> u64;
        /// Memory limit of the process in bytes, 0 when there is none.
        fn constrained_memory() -> u64;

        /// The working directory as sized UTF-8.
        fn cwd(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Changes the working directory of the process; it must lie in a granted directory
        /// (`ERR_ACCESS_DENIED`, `FileSystemRead`). Node's error for a bad one.
        fn chdir(path: *const u8, path_len: u32) -> u32;

        /// Loads the wasm side module `path` (`dylink.0` convention) and writes its handle. `flags`: 1 RTLD_LAZY,
        /// 2 RTLD_NOW, 256 RTLD_GLOBAL. Parks the isolate while it compiles. `ERR_DLOPEN_DISABLED` without the grant
        /// `addon`, else `ERR_DLOPEN_FAILED`.
        fn dlopen(path: *const u8, path_len: u32, flags: u32, handle: *mut u32) -> u32;
        /// Looks a symbol up: `result[0]` is 0 for a function, whose table index (a function pointer) is `result[1]`,
        /// or 1 for data, whose address is `result[1]`. `ERR_DLOPEN_FAILED` when there is none.
        fn dlsym(handle: u32, name: *const u8, name_len: u32, result: *mut u32) -> u32;
        /// Gives a handle of `dlopen` back. Never unmaps.
        fn dlclose(handle: u32) -> u32;

        /// Prints a warning (a CBOR error record, `info` its detail) to stderr or where `--redirect-warnings` says,
        /// unless a flag forbids it.
        fn print_warning(warning: *const u8, warning_len: u32) -> u32;
        /// The wasm backtrace of the caller as sized UTF-8, one `    at function (place)` a line, innermost first;
        /// empty when there is none.
        fn stack(buf: *mut u8, cap: u32, len: *mut u32) -> u32;

        /// Sends `signal` to `pid` (0 own group, negative a group, signal 0 tests). `EINVAL`, `ESRCH`, `EPERM`;
        /// `ERR_ACCESS_DENIED` for other than the own process and its descendants without the grant `signal`.
        fn kill(pid: i32, signal: i32) -> u32;
        /// Delivers `signal` as events of kind `Signal` instead of its default action. Main isolate only.
        /// `EINVAL` for SIGKILL, SIGSTOP and unknown numbers. SIGBREAK (1021) is accepted and never fires.
        fn signal_listen(signal: i32) -> u32;
        /// Restores the default action of `signal`.
        fn signal_unlisten(signal: i32) -> u32;
        /// Writes a core dump and ends the process by SIGABRT. Does not return.
        fn abort() -> u32;
        /// Ends the isolate: runs the guest's exit hook unless it ran, then unwinds. Does not return.
        fn exit(code: i64) -> u32;
        /// Remembers a panic (a CBOR error record) for the trap that follows.
        fn panic(record: *const u8, record_len: u32) -> u32;
        /// Raises an error record as uncaught: unwinds to the host, which runs the uncaught steps.
        /// `origin` is a number of `Origin`. Does not return, unless the record cannot be read.
        fn uncaught(record: *const u8, record_len: u32, origin: u32) -> u32;

        /// Sets the file mode mask to `mask` (0..=0o777), or only reads it when `mask` is 0xffffffff;
        /// writes the old one to `*old`.
        fn umask(mask: u32, old: *mut u32) -> u32;
        /// Replaces the process: a CBOR object `{file, args, env}`. Returns only on failure.
        /// Needs the grant `run` for the file, or `child` for a wasm module.
        fn execve(arguments: *const u8, arguments_len: u32) -> u32;
        /// Loads variables from an env file into the environment; existing ones stay. `path_len` 0 means `.env`.
        fn load_env_file(path: *const u8, path_len: u32) -> u32;

        /// Writes to `*result` whether `scope` is granted, whole (`reference` 0) or for a reference.
        /// An unknown scope gives 0.
        fn permission_has(scope: *const u8, scope_len: u32, reference: *const u8, reference_len: u32, result: *mut u32) -> u32;
        /// Gives a grant up for good: all of `scope` (`reference` 0) or the grant equal to the reference.
        fn permission_drop(scope: *const u8, scope_len: u32, reference: *const u8, reference_len: u32) -> u32;

        /// The diagnostic report as sized JSON text; `error` is a CBOR error record or absent (`error_len` 0).
        fn get_report(error: *const u8, error_len: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Writes the report to `filename` (`filename_len` 0: the configured or default name) and gives the name
        /// written, as a sized string.
        fn write_report(filename: *const u8, filename_len: u32, error: *const u8, error_len: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Type names of the ref'd resources, as a sized CBOR array.
        fn get_active_resources_info(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Version and entries of an import namespace (`process`, `node:process`), as a sized CBOR object
        /// `{name, version, imports}`. `ENOENT` when there is none.
        fn get_builtin_module(id: *const u8, id_len: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;

        /// Sends a CBOR value to the parent over the IPC channel, with the resource `handle` or 0, and writes the id
        /// under which it is reported sent to `*request`. `ERR_IPC_CHANNEL_CLOSED` without a channel.
        fn send(message: *const u8, message_len: u32, handle: u32, request: *mut u32) -> u32;
        /// Closes the IPC channel after what is queued. `ERR_IPC_DISCONNECTED` without a channel.
        fn disconnect() -> u32;
    }
}

/// The area with this name.
pub fn area(name: &str) -> Option<&'static Area> {
    AREAS.iter().find(|area| area.name == name)
}

/// The import `name` of the namespace `namespace`.
pub fn find(namespace: &str, name: &str) -> Option<&'static Import> {
    let area = AREAS.iter().find(|area| area.namespace == namespace)?;
    area.imports.iter().find(|import| import.name == name)
}

/// The table as text, one line an import: `nodule:process/1 kill (i32 i32) -> i32`. Committed as the golden listing.
pub fn listing() -> alloc::string::String {
    use core::fmt::Write as _;
    let mut text = alloc::string::String::new();
    for area in AREAS {
        for import in area.imports {
            let params: alloc::vec::Vec<_> = import.params.iter().map(|param| param.wasm.name()).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, "{} {} ({})", area.namespace, import.name, params.join(" "));
            if let Some(result) = &import.result {
                let _ = write!(text, " -> {}", result.wasm.name());
            }
            text.push('\n');
        }
    }
    text
}
