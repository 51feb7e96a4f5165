//! The imports of the area `worker_threads`.

abi! {
    /// Threads: isolates that an isolate starts (Node: `worker_threads`).
    ///
    /// Messages go in and come out as in `nodule:messaging/1`: bytes, a side list of resources, a transfer list.
    area worker_threads version 1 from "nodule:worker_threads/1" {
        /// Starts a worker. `options` is a CBOR object (all members optional): `path` (of a module), `module` (handle of
        /// a compiled module), `name`, `argv`, `env` (object, or `"share"`), `execArgv`, `stdin`, `stdout`, `stderr`,
        /// `trackUnmanagedFds`, `resourceLimits` (object), `entry`, `permissions` (array of flags), `cwd`. Without
        /// `path`, `module` and `code_len` the worker runs the caller's own module; with `code_len` the module (binary or
        /// text) at `code`. The message is its `workerData`; `message_len` 0 for none.
        ///
        /// Writes 6 numbers to `result`: handle of the worker, handle of the port to its `parentPort`, its thread id,
        /// and the handles of its `stdin` (writable), `stdout` and `stderr` (readable), 0 where not asked for.
        /// Events: `WorkerOnline`, then `WorkerExit` once; its messages are in the port by then.
        ///
        /// Errors, with nothing started: `ERR_ACCESS_DENIED` (`WorkerThreads`), `ERR_WORKER_PATH`, `ERR_INVALID_URL_SCHEME`,
        /// `ERR_WORKER_INVALID_EXEC_ARGV`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE` (a limit), `EAGAIN` (too many
        /// workers), `ENOMEM` (too large modules in the process), and those of a message. What goes wrong later is told by `exit_error`.
        fn spawn(options: *const u8, options_len: u32, code: *const u8, code_len: u32, message: *const u8, message_len: u32, resources: *const u32, resources_len: u32, transfer: *const u32, transfer_len: u32, result: *mut u32) -> u32;
        /// Ends a worker in whatever state it is; `WorkerExit` with code 1 follows. Repeating has no effect.
        fn terminate(worker: u32) -> u32;
        /// The error that ended a worker, as a sized CBOR error record. `ENOENT` when none did or it runs.
        fn exit_error(worker: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// Facts of this thread, as a sized CBOR object: `threadId`, `threadName` (null in the main thread),
        /// `resourceLimits`, `parentPort` (handle, or 0), `isInternalThread`.
        fn this_thread(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// The `workerData` of this thread: as `nodule:messaging/1` `receive`, once. `ENOENT` when there is none.
        fn worker_data(buf: *mut u8, cap: u32, len: *mut u32, resources: *mut u32, resources_cap: u32, resources_len: *mut u32) -> u32;

        /// Sets the environment data under a CBOR key, which later workers get a copy of; `message_len` 0 deletes.
        /// Only resources that cloning shares may be in it. `E2BIG` when there is too much.
        fn set_environment_data(key: *const u8, key_len: u32, message: *const u8, message_len: u32, resources: *const u32, resources_len: u32) -> u32;
        /// The environment data under a CBOR key, as `receive`. `ENOENT` when there is none.
        fn get_environment_data(key: *const u8, key_len: u32, buf: *mut u8, cap: u32, len: *mut u32, resources: *mut u32, resources_cap: u32, resources_len: *mut u32) -> u32;

        /// Compiles a module (binary or text form, at most 256 MiB) and writes its handle, which messages can carry. Parks
        /// the isolate while it compiles. `ERR_WORKER_INIT_FAILED` for one that is not valid or cannot be linked, `ENOMEM`
        /// when the modules that the isolate compiled and holds, or those of the process, would be too large.
        fn module_compile(code: *const u8, code_len: u32, module: *mut u32) -> u32;
        /// Writes a handle of the module that the caller is an instance of.
        fn module_current(module: *mut u32) -> u32;
        /// The SHA-256 of a module's bytes, in hexadecimal, as a sized result.
        fn module_digest(module: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;

        /// Makes a context: a second instance in this isolate, without grants, that runs while the caller waits for
        /// events. `options` and code as in `spawn` (`path`, `module`, `name`, `argv`, `entry` count). Writes 2 numbers to
        /// `result`: handle of the context, handle of the port to its `parentPort`. Events as of a worker.
        fn create_context(options: *const u8, options_len: u32, code: *const u8, code_len: u32, result: *mut u32) -> u32;

        /// Posts a message to another thread and writes the handle of the request, about which `ThreadMessageDone`
        /// comes once. `timeout_ms` < 0 for none. `ERR_WORKER_MESSAGING_SAME_THREAD`, and those of a message.
        fn post_to_thread(thread: u32, message: *const u8, message_len: u32, resources: *const u32, resources_len: u32, transfer: *const u32, transfer_len: u32, timeout_ms: f64, request: *mut u32) -> u32;
        /// Says whether this thread has listeners for such messages (`on` not 0).
        fn thread_messages_listen(on: u32) -> u32;
        /// The oldest such message, as `receive`. Writes 2 numbers to `origin`: the sender's thread id, and a token for
        /// `thread_message_done`. `EAGAIN` when there is none: a `ThreadMessage` event follows.
        fn thread_message_receive(buf: *mut u8, cap: u32, len: *mut u32, resources: *mut u32, resources_cap: u32, resources_len: *mut u32, origin: *mut u32) -> u32;
        /// Tells the sender that its message was processed: `failed` 0, 1 when a listener failed, 2 when there was none.
        fn thread_message_done(token: u32, failed: u32) -> u32;

        /// How long a worker waited for events and how long it did not, since it was online, in ns: `times[0]` idle,
        /// `times[1]` active. Zeros before it was online and after its end. `worker` 0: the calling isolate.
        fn event_loop_utilization(worker: u32, times: *mut u64) -> u32;
        /// CPU time of a worker in µs: `usage[0]` user, `usage[1]` system. `ERR_WORKER_NOT_RUNNING`.
        fn cpu_usage(worker: u32, usage: *mut u64) -> u32;
        /// Asks for a core dump of a worker (`options` 1: with host internals, 2: with numeric values). Writes the handle of
        /// the reply: `WorkerReply` comes when it can be read. `ERR_WORKER_NOT_RUNNING`.
        fn heap_snapshot(worker: u32, options: u32, reply: *mut u32) -> u32;
        /// Asks for the heap statistics of a worker: the reply is a CBOR object.
        fn heap_statistics(worker: u32, reply: *mut u32) -> u32;
        /// Asks for a CPU profile with a sample every `interval_us` (0: every tick) and at most `buffer_len` samples. The
        /// reply is empty when it has started; closing its handle stops it.
        fn start_cpu_profile(worker: u32, interval_us: f64, buffer_len: u32, reply: *mut u32) -> u32;
        /// Asks for a heap profile with a sample every `interval_bytes`. As `start_cpu_profile`;
        /// `ERR_HEAP_PROFILE_HAVE_BEEN_STARTED` when one runs.
        fn start_heap_profile(worker: u32, interval_bytes: f64, stack_depth: u32, reply: *mut u32) -> u32;
        /// Stops the profile behind the handle of its start; the new reply is its JSON text, also the second time.
        fn stop_profile(profile: u32, reply: *mut u32) -> u32;
        /// Reads on in a reply: up to `cap` bytes (at most 1 MiB), `*len` 0 at its end. `EAGAIN` before `WorkerReply`;
        /// the request's own error when it failed.
        fn read_reply(reply: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }
}
