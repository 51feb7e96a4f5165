//! The imports of the area `child_process`.

abi! {
    /// Child processes (Node: `child_process`).
    ///
    /// Options are one CBOR object with Node's names: `file`, `args`, `cwd`, `env`, `argv0`, `stdio`, `detached`, `uid`,
    /// `gid`, `serialization`, `shell`, `timeout`, `killSignal`, `windowsHide`, `windowsVerbatimArguments`; for the
    /// synchronous form `maxBuffer`; with `fork: true` (`file` is then the module) `execPath`, `execArgv`, `silent`; nodule's
    /// own are `permissions` (flags of grants to narrow to), `killOnParentDeath` and `killTree`. What is absent or undefined
    /// has Node's default. An entry of `stdio` is a word of Node's, a descriptor of the process (0 to 2, or one its own
    /// parent gave it), `{handle}` with a stream of the area `stdio`, `{file, flags}` with a path and Node's flags (`r`, `a`,
    /// `wx`…) for a file inside the grants, or null.
    area child_process version 1 from "nodule:child_process/1" {
        /// Starts a process; parks the isolate until it runs or it is known that it cannot. Needs the grant `run` for a
        /// program of the system, `child` for a module. Writes 3 numbers to `result`: handle of the child; its pid, 0 when it
        /// did not start; handle of the channel to it (area `ipc`), 0 for none. Writes 2 numbers for each entry of `stdio`
        /// (3 at least) to `stdio`: handle to read from, handle to write to, 0 for none; `ERANGE` when `stdio_cap` entries
        /// cannot hold them. `ChildExit` comes once for a process that started. That it did not for `EACCES`, `EAGAIN`,
        /// `EMFILE`, `ENFILE`, `ENOENT` is no failure of this call, see `start_error`. `ERR_ACCESS_DENIED`, those of bad
        /// options, and what else the system says.
        fn spawn(options: *const u8, options_len: u32, stdio: *mut u32, stdio_cap: u32, result: *mut u32) -> u32;
        /// Why a child did not start, as a sized error record. `ESRCH` when it did.
        fn start_error(child: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// What a child was started as: the sized CBOR object `{spawnfile, spawnargs}`.
        fn start_facts(child: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Sends `signal` (0 tests) to the child, never to another process that got its pid. `ESRCH` when it has ended,
        /// `EINVAL`, `EPERM`.
        fn kill(child: u32, signal: i32) -> u32;
        /// Stops the child and all below it, sends `signal` bottom-up and lets them go on; after `grace_ms`, unless it is
        /// negative, `SIGKILL` for what is left. Parks the isolate until the signals are sent; writes how many got it.
        fn kill_tree(child: u32, signal: i32, grace_ms: f64, count: *mut u32) -> u32;
        /// Runs a process to its end, with `input` as its standard input (`input_len` 0xffffffff for none), while this
        /// isolate is parked. Writes the handle of its result. What the process does is no failure of this call, nor is
        /// that it did not start.
        fn spawn_sync(options: *const u8, options_len: u32, input: *const u8, input_len: u32, result: *mut u32) -> u32;
        /// The result: a sized CBOR object `{pid, output, status, signal, error}`, as Node's `spawnSync` gives it.
        fn sync_result(result: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }
}
