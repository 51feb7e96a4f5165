//! The imports of the area `process`.

abi! {
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
    }
}
