/* Imports of nodule for C guests. Generated from the ABI table; do not edit. */
#ifndef NODULE_H
#define NODULE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NODULE_ABI_VERSION 1
#define NODULE_HOOK_BUFFER_BYTES 65536

/* Put once into a program, at file scope: states the ABI it was built for. */
#define NODULE_DECLARE_ABI() \
    __attribute__((export_name("nodule_abi_1"))) void nodule_abi_1(void) {}

/* Error numbers. */
enum nodule_error {
    NODULE_OK = 0,
    NODULE_EPERM = 1,
    NODULE_ENOENT = 2,
    NODULE_ESRCH = 3,
    NODULE_EINTR = 4,
    NODULE_EIO = 5,
    NODULE_ENXIO = 6,
    NODULE_E2BIG = 7,
    NODULE_ENOEXEC = 8,
    NODULE_EBADF = 9,
    NODULE_ECHILD = 10,
    NODULE_EAGAIN = 11,
    NODULE_ENOMEM = 12,
    NODULE_EACCES = 13,
    NODULE_EFAULT = 14,
    NODULE_EBUSY = 16,
    NODULE_EEXIST = 17,
    NODULE_EXDEV = 18,
    NODULE_ENODEV = 19,
    NODULE_ENOTDIR = 20,
    NODULE_EISDIR = 21,
    NODULE_EINVAL = 22,
    NODULE_ENFILE = 23,
    NODULE_EMFILE = 24,
    NODULE_ENOTTY = 25,
    NODULE_ETXTBSY = 26,
    NODULE_EFBIG = 27,
    NODULE_ENOSPC = 28,
    NODULE_ESPIPE = 29,
    NODULE_EROFS = 30,
    NODULE_EMLINK = 31,
    NODULE_EPIPE = 32,
    NODULE_ERANGE = 34,
    NODULE_ENAMETOOLONG = 36,
    NODULE_ENOSYS = 38,
    NODULE_ENOTEMPTY = 39,
    NODULE_ELOOP = 40,
    NODULE_EPROTO = 71,
    NODULE_EOVERFLOW = 75,
    NODULE_EILSEQ = 84,
    NODULE_ENOTSUP = 95,
    NODULE_EADDRINUSE = 98,
    NODULE_EADDRNOTAVAIL = 99,
    NODULE_ECONNRESET = 104,
    NODULE_ENOBUFS = 105,
    NODULE_ETIMEDOUT = 110,
    NODULE_ECONNREFUSED = 111,
    NODULE_ECANCELED = 125,
    NODULE_EOWNERDEAD = 130,
    NODULE_ERR_INVALID_ARG_TYPE = 1000,
    NODULE_ERR_INVALID_ARG_VALUE = 1001,
    NODULE_ERR_OUT_OF_RANGE = 1002,
    NODULE_ERR_MISSING_ARGS = 1003,
    NODULE_ERR_ACCESS_DENIED = 1004,
    NODULE_ERR_FEATURE_UNAVAILABLE_ON_PLATFORM = 1005,
    NODULE_ERR_OPERATION_FAILED = 1006,
    NODULE_ERR_UNKNOWN_SIGNAL = 1010,
    NODULE_ERR_UNKNOWN_CREDENTIAL = 1011,
    NODULE_ERR_DLOPEN_FAILED = 1012,
    NODULE_ERR_DLOPEN_DISABLED = 1013,
    NODULE_ERR_UNCAUGHT_EXCEPTION_CAPTURE_ALREADY_SET = 1014,
    NODULE_ERR_UNHANDLED_REJECTION = 1015,
    NODULE_ERR_WORKER_UNSUPPORTED_OPERATION = 1016,
    NODULE_ERR_IPC_CHANNEL_CLOSED = 1020,
    NODULE_ERR_IPC_DISCONNECTED = 1021,
    NODULE_ERR_INVALID_URL_SCHEME = 1022,
    NODULE_ERR_CONSTRUCT_CALL_REQUIRED = 1023,
    NODULE_ERR_CONSTRUCT_CALL_INVALID = 1024,
    NODULE_25 = 1025,
    NODULE_11 = 1026,
    NODULE_9 = 1027,
    NODULE_ABORT_ERR = 1028,
    NODULE_ERR_WORKER_OUT_OF_MEMORY = 1030,
    NODULE_ERR_WORKER_INIT_FAILED = 1031,
    NODULE_ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST = 1032,
    NODULE_ERR_INVALID_TRANSFER_OBJECT = 1033,
    NODULE_ERR_WORKER_HANDLE_NOT_TRANSFERABLE = 1034,
    NODULE_ERR_CLOSED_MESSAGE_PORT = 1035,
    NODULE_ERR_WORKER_PATH = 1036,
    NODULE_ERR_WORKER_INVALID_EXEC_ARGV = 1037,
    NODULE_ERR_MODULE_NOT_FOUND = 1038,
    NODULE_ERR_WORKER_NOT_RUNNING = 1039,
    NODULE_ERR_WORKER_UNSERIALIZABLE_ERROR = 1040,
    NODULE_ERR_WORKER_MESSAGING_FAILED = 1041,
    NODULE_ERR_WORKER_MESSAGING_ERRORED = 1042,
    NODULE_ERR_WORKER_MESSAGING_SAME_THREAD = 1043,
    NODULE_ERR_WORKER_MESSAGING_TIMEOUT = 1044,
    NODULE_ERR_HEAP_PROFILE_HAVE_BEEN_STARTED = 1045,
    NODULE_ERR_ABI_MISMATCH = 2000,
    NODULE_ERR_HANDLE_CLOSED = 2001,
    NODULE_ERR_GUEST_PANIC = 2002,
    NODULE_ERR_WASM_UNREACHABLE = 2003,
    NODULE_ERR_WASM_OUT_OF_BOUNDS = 2004,
    NODULE_ERR_WASM_INDIRECT_CALL = 2005,
    NODULE_ERR_WASM_ARITHMETIC = 2006,
    NODULE_ERR_WASM_ATOMIC = 2007,
    NODULE_ERR_WASM_STACK_OVERFLOW = 2008,
    NODULE_ERR_WORKER_CPU_LIMIT = 2009,
    NODULE_ERR_WORKER_DEADLINE = 2010,
    NODULE_ERR_WORKER_OUT_OF_FUEL = 2011,
    NODULE_ERR_WORKER_QUEUE_FULL = 2012,
    NODULE_ERR_INTERNAL = 2099,
};

/* One event of nodule_event_loop_wait. */
struct nodule_event {
    uint32_t kind;
    uint32_t handle;
    uint64_t args[3];
};

enum nodule_event_kind {
    NODULE_EVENT_TIMER = 1,
    NODULE_EVENT_SIGNAL = 2,
    NODULE_EVENT_READABLE = 3,
    NODULE_EVENT_WRITABLE = 4,
    NODULE_EVENT_MESSAGE = 10,
    NODULE_EVENT_PORT_CLOSE = 11,
    NODULE_EVENT_PORT_DRAIN = 12,
    NODULE_EVENT_BROADCAST = 13,
    NODULE_EVENT_THREAD_MESSAGE = 14,
    NODULE_EVENT_THREAD_MESSAGE_DONE = 15,
    NODULE_EVENT_WORKER_ONLINE = 20,
    NODULE_EVENT_WORKER_EXIT = 21,
    NODULE_EVENT_WORKER_REPLY = 22,
    NODULE_EVENT_LOCK_GRANTED = 30,
    NODULE_EVENT_LOCK_STOLEN = 31,
    NODULE_EVENT_WAIT_DONE = 40,
};

/* Kinds of the entries of a message's side list. */
enum nodule_resource_kind {
    NODULE_RESOURCE_PORT = 0,
    NODULE_RESOURCE_SHARED_BUFFER = 1,
    NODULE_RESOURCE_MODULE = 9,
    NODULE_RESOURCE_ARRAY_BUFFER = 10,
};

/* ---- nodule:error/1 ----
 * Details of the last failure.
 */

/*
 * The error record of the calling isolate's most recent failed import, as a sized CBOR value.
 * `ENOENT` when nothing failed yet. Does not change the record.
 */
__attribute__((import_module("nodule:error/1"), import_name("last")))
uint32_t nodule_error_last(uint8_t *buf, uint32_t cap, uint32_t *len);

/* ---- nodule:event_loop/1 ----
 * Waiting for events, and what keeps an isolate alive.
 */

/*
 * Waits until at least one event is there, then writes up to `cap` (1..=1024) records to `events`
 * and their number to `*count`. Blocks only the calling isolate.
 * `timeout_ns` < 0 waits without end, 0 polls. `*count` is 0 when the time is over, and also, at once,
 * when `keep_alive` is 0 and nothing that is ref'd could ever produce an event.
 */
__attribute__((import_module("nodule:event_loop/1"), import_name("wait")))
uint32_t nodule_event_loop_wait(struct nodule_event *events, uint32_t cap, int64_t timeout_ns, uint32_t keep_alive, uint32_t *count);

/*
 * Lets `handle` keep the isolate alive. Repeating has no effect.
 */
__attribute__((import_module("nodule:event_loop/1"), import_name("ref_handle")))
uint32_t nodule_event_loop_ref_handle(uint32_t handle);

/*
 * Lets the isolate end although `handle` is open. Repeating has no effect.
 */
__attribute__((import_module("nodule:event_loop/1"), import_name("unref_handle")))
uint32_t nodule_event_loop_unref_handle(uint32_t handle);

/*
 * Writes to `*result` whether `handle` keeps the isolate alive (1) or not (0).
 */
__attribute__((import_module("nodule:event_loop/1"), import_name("has_ref")))
uint32_t nodule_event_loop_has_ref(uint32_t handle, uint32_t *result);

/*
 * Closes `handle`; it is never reused.
 */
__attribute__((import_module("nodule:event_loop/1"), import_name("close")))
uint32_t nodule_event_loop_close(uint32_t handle);

/* ---- nodule:timers/1 ----
 * Timers of the host (Node: `timers`).
 */

/*
 * Starts a timer and writes its handle to `*handle`. It is due after `delay_ms` (fractions allowed;
 * below 1, above 2147483647 and NaN become 1) and, with `repeat` not 0, every `delay_ms` again.
 * A due timer gives one event of kind `Timer`. `EMFILE` when the handle limit is reached.
 */
__attribute__((import_module("nodule:timers/1"), import_name("set")))
uint32_t nodule_timers_set(double delay_ms, uint32_t repeat, uint32_t *handle);

/*
 * Starts the timer's time anew (Node: `timeout.refresh()`).
 */
__attribute__((import_module("nodule:timers/1"), import_name("refresh")))
uint32_t nodule_timers_refresh(uint32_t handle);

/* ---- nodule:stdio/1 ----
 * Standard streams. Writing is WASI `fd_write`, which parks the isolate until the bytes are accepted.
 */

/*
 * Writes 1 to `*result` when stdio `fd` (0..=2) is a terminal, else 0. `EBADF` for other fds.
 */
__attribute__((import_module("nodule:stdio/1"), import_name("is_tty")))
uint32_t nodule_stdio_is_tty(uint32_t fd, uint32_t *result);

/*
 * Columns and rows of the terminal behind `fd`, to `size[0]` and `size[1]`. `ENOTTY` when it is none.
 */
__attribute__((import_module("nodule:stdio/1"), import_name("window_size")))
uint32_t nodule_stdio_window_size(uint32_t fd, uint32_t *size);

/*
 * Opens the isolate's standard input as a stream and writes its handle to `*handle`.
 * It keeps the isolate alive only while a read waits. `EBUSY` when it is open already.
 */
__attribute__((import_module("nodule:stdio/1"), import_name("open_stdin")))
uint32_t nodule_stdio_open_stdin(uint32_t *handle);

/*
 * Reads up to `cap` (at most 1 MiB) bytes from the stream; `*len` 0 means its end.
 * `EAGAIN` when nothing is there: an event of kind `Readable` follows.
 */
__attribute__((import_module("nodule:stdio/1"), import_name("read")))
uint32_t nodule_stdio_read(uint32_t handle, uint8_t *buf, uint32_t cap, uint32_t *len);

/* ---- nodule:os/1 ----
 * The machine (Node: `os`).
 */

/*
 * One entry a CPU, as a sized CBOR array of `{model, speed, times: {user, nice, sys, idle, irq}}` (MHz, ms).
 */
__attribute__((import_module("nodule:os/1"), import_name("cpus")))
uint32_t nodule_os_cpus(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * How many CPUs the process may use: affinity and cgroup quota counted, at least 1.
 */
__attribute__((import_module("nodule:os/1"), import_name("available_parallelism")))
uint32_t nodule_os_available_parallelism(void);

/* ---- nodule:process/1 ----
 * This process (Node: `process`).
 */

/*
 * The attribute `name`, spelled as in Node (`execPath`, `report.directory`), as a sized CBOR value.
 * `ENOENT` for a name that is no attribute.
 */
__attribute__((import_module("nodule:process/1"), import_name("get")))
uint32_t nodule_process_get(const uint8_t *name, uint32_t name_len, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Sets a writable attribute (`title`, `exitCode`, `debugPort`, `noDeprecation`, `throwDeprecation`,
 * `traceDeprecation`, `sourceMapsEnabled`, `report.*`) to a CBOR value. Errors are Node's
 * (`ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_SIGNAL`); `EPERM` for a read-only one.
 */
__attribute__((import_module("nodule:process/1"), import_name("set")))
uint32_t nodule_process_set(const uint8_t *name, uint32_t name_len, const uint8_t *value, uint32_t value_len);

/*
 * The environment variable `key`, as sized UTF-8. `ENOENT` when it is not set.
 */
__attribute__((import_module("nodule:process/1"), import_name("env_get")))
uint32_t nodule_process_env_get(const uint8_t *key, uint32_t key_len, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Sets an environment variable of this isolate. An empty key is ignored. `ERR_INVALID_ARG_VALUE`
 * for `=` or NUL in the key or NUL in the value, `E2BIG` when the environment is full.
 */
__attribute__((import_module("nodule:process/1"), import_name("env_set")))
uint32_t nodule_process_env_set(const uint8_t *key, uint32_t key_len, const uint8_t *value, uint32_t value_len);

/*
 * Removes an environment variable; a missing one is no error.
 */
__attribute__((import_module("nodule:process/1"), import_name("env_delete")))
uint32_t nodule_process_env_delete(const uint8_t *key, uint32_t key_len);

/*
 * All environment variables as a sized CBOR object.
 */
__attribute__((import_module("nodule:process/1"), import_name("env_all")))
uint32_t nodule_process_env_all(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * The real user id. `ERR_ACCESS_DENIED` without the grant `sys`.
 */
__attribute__((import_module("nodule:process/1"), import_name("getuid")))
uint32_t nodule_process_getuid(uint32_t *id);

/*
 * The effective user id. Needs the grant `sys`.
 */
__attribute__((import_module("nodule:process/1"), import_name("geteuid")))
uint32_t nodule_process_geteuid(uint32_t *id);

/*
 * The real group id. Needs the grant `sys`.
 */
__attribute__((import_module("nodule:process/1"), import_name("getgid")))
uint32_t nodule_process_getgid(uint32_t *id);

/*
 * The effective group id. Needs the grant `sys`.
 */
__attribute__((import_module("nodule:process/1"), import_name("getegid")))
uint32_t nodule_process_getegid(uint32_t *id);

/*
 * The supplementary groups and the effective one, as a sized CBOR array. Needs the grant `sys`.
 */
__attribute__((import_module("nodule:process/1"), import_name("getgroups")))
uint32_t nodule_process_getgroups(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Sets the user id to a CBOR number or name. Parks the isolate while a name is looked up.
 * Needs the grant `sys`. `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, `ERR_UNKNOWN_CREDENTIAL`, `EPERM`.
 */
__attribute__((import_module("nodule:process/1"), import_name("setuid")))
uint32_t nodule_process_setuid(const uint8_t *id, uint32_t id_len);

/*
 * Sets the effective user id; as `setuid`.
 */
__attribute__((import_module("nodule:process/1"), import_name("seteuid")))
uint32_t nodule_process_seteuid(const uint8_t *id, uint32_t id_len);

/*
 * Sets the group id; as `setuid`.
 */
__attribute__((import_module("nodule:process/1"), import_name("setgid")))
uint32_t nodule_process_setgid(const uint8_t *id, uint32_t id_len);

/*
 * Sets the effective group id; as `setuid`.
 */
__attribute__((import_module("nodule:process/1"), import_name("setegid")))
uint32_t nodule_process_setegid(const uint8_t *id, uint32_t id_len);

/*
 * Sets the supplementary groups to a CBOR array of numbers and names; as `setuid`.
 */
__attribute__((import_module("nodule:process/1"), import_name("setgroups")))
uint32_t nodule_process_setgroups(const uint8_t *groups, uint32_t groups_len);

/*
 * Sets the groups of a user from the group database: a CBOR array `[user, extraGroup]`; as `setuid`.
 */
__attribute__((import_module("nodule:process/1"), import_name("initgroups")))
uint32_t nodule_process_initgroups(const uint8_t *arguments, uint32_t arguments_len);

/*
 * Monotonic time in ns from an arbitrary point, the same in all processes of the machine.
 */
__attribute__((import_module("nodule:process/1"), import_name("hrtime")))
uint64_t nodule_process_hrtime(void);

/*
 * Seconds since the process started.
 */
__attribute__((import_module("nodule:process/1"), import_name("uptime")))
double nodule_process_uptime(void);

/*
 * CPU time of the process: `usage[0]` user, `usage[1]` system, µs.
 */
__attribute__((import_module("nodule:process/1"), import_name("cpu_usage")))
uint32_t nodule_process_cpu_usage(uint64_t *usage);

/*
 * CPU time of this isolate: `usage[0]` user, `usage[1]` system, µs.
 */
__attribute__((import_module("nodule:process/1"), import_name("thread_cpu_usage")))
uint32_t nodule_process_thread_cpu_usage(uint64_t *usage);

/*
 * Memory in bytes: `usage[0..5]` = rss, heapTotal, heapUsed, external, arrayBuffers. `heap_used` is what the
 * guest's allocator counts, or 0 when it does not count: then heapUsed equals heapTotal.
 */
__attribute__((import_module("nodule:process/1"), import_name("memory_usage")))
uint32_t nodule_process_memory_usage(uint64_t heap_used, uint64_t *usage);

/*
 * Resident set size of the process in bytes.
 */
__attribute__((import_module("nodule:process/1"), import_name("rss")))
uint64_t nodule_process_rss(void);

/*
 * The 16 fields of Node's `resourceUsage()`, in its order.
 */
__attribute__((import_module("nodule:process/1"), import_name("resource_usage")))
uint32_t nodule_process_resource_usage(uint64_t *usage);

/*
 * Bytes still free for the process, cgroup counted.
 */
__attribute__((import_module("nodule:process/1"), import_name("available_memory")))
uint64_t nodule_process_available_memory(void);

/*
 * Memory limit of the process in bytes, 0 when there is none.
 */
__attribute__((import_module("nodule:process/1"), import_name("constrained_memory")))
uint64_t nodule_process_constrained_memory(void);

/*
 * The working directory as sized UTF-8.
 */
__attribute__((import_module("nodule:process/1"), import_name("cwd")))
uint32_t nodule_process_cwd(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Changes the working directory of the process; it must lie in a granted directory
 * (`ERR_ACCESS_DENIED`, `FileSystemRead`). Node's error for a bad one.
 */
__attribute__((import_module("nodule:process/1"), import_name("chdir")))
uint32_t nodule_process_chdir(const uint8_t *path, uint32_t path_len);

/*
 * Loads the wasm side module `path` (`dylink.0` convention) and writes its handle. `flags`: 1 RTLD_LAZY,
 * 2 RTLD_NOW, 256 RTLD_GLOBAL. Parks the isolate while it compiles. `ERR_DLOPEN_DISABLED` without the grant
 * `addon`, else `ERR_DLOPEN_FAILED`.
 */
__attribute__((import_module("nodule:process/1"), import_name("dlopen")))
uint32_t nodule_process_dlopen(const uint8_t *path, uint32_t path_len, uint32_t flags, uint32_t *handle);

/*
 * Looks a symbol up: `result[0]` is 0 for a function, whose table index (a function pointer) is `result[1]`,
 * or 1 for data, whose address is `result[1]`. `ERR_DLOPEN_FAILED` when there is none.
 */
__attribute__((import_module("nodule:process/1"), import_name("dlsym")))
uint32_t nodule_process_dlsym(uint32_t handle, const uint8_t *name, uint32_t name_len, uint32_t *result);

/*
 * Gives a handle of `dlopen` back. Never unmaps.
 */
__attribute__((import_module("nodule:process/1"), import_name("dlclose")))
uint32_t nodule_process_dlclose(uint32_t handle);

/*
 * Prints a warning (a CBOR error record, `info` its detail) to stderr or where `--redirect-warnings` says,
 * unless a flag forbids it.
 */
__attribute__((import_module("nodule:process/1"), import_name("print_warning")))
uint32_t nodule_process_print_warning(const uint8_t *warning, uint32_t warning_len);

/*
 * The wasm backtrace of the caller as sized UTF-8, one `    at function (place)` a line, innermost first;
 * empty when there is none.
 */
__attribute__((import_module("nodule:process/1"), import_name("stack")))
uint32_t nodule_process_stack(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Sends `signal` to `pid` (0 own group, negative a group, signal 0 tests). `EINVAL`, `ESRCH`, `EPERM`;
 * `ERR_ACCESS_DENIED` for other than the own process and its descendants without the grant `signal`.
 */
__attribute__((import_module("nodule:process/1"), import_name("kill")))
uint32_t nodule_process_kill(int32_t pid, int32_t signal);

/*
 * Delivers `signal` as events of kind `Signal` instead of its default action. Main isolate only.
 * `EINVAL` for SIGKILL, SIGSTOP and unknown numbers. SIGBREAK (1021) is accepted and never fires.
 */
__attribute__((import_module("nodule:process/1"), import_name("signal_listen")))
uint32_t nodule_process_signal_listen(int32_t signal);

/*
 * Restores the default action of `signal`.
 */
__attribute__((import_module("nodule:process/1"), import_name("signal_unlisten")))
uint32_t nodule_process_signal_unlisten(int32_t signal);

/*
 * Writes a core dump and ends the process by SIGABRT. Does not return.
 */
__attribute__((import_module("nodule:process/1"), import_name("abort")))
uint32_t nodule_process_abort(void);

/*
 * Ends the isolate: runs the guest's exit hook unless it ran, then unwinds. Does not return.
 */
__attribute__((import_module("nodule:process/1"), import_name("exit")))
uint32_t nodule_process_exit(int64_t code);

/*
 * Remembers a panic (a CBOR error record) for the trap that follows.
 */
__attribute__((import_module("nodule:process/1"), import_name("panic")))
uint32_t nodule_process_panic(const uint8_t *record, uint32_t record_len);

/*
 * Raises an error record as uncaught: unwinds to the host, which runs the uncaught steps.
 * `origin` is a number of `Origin`. Does not return, unless the record cannot be read.
 */
__attribute__((import_module("nodule:process/1"), import_name("uncaught")))
uint32_t nodule_process_uncaught(const uint8_t *record, uint32_t record_len, uint32_t origin);

/*
 * Sets the file mode mask to `mask` (0..=0o777), or only reads it when `mask` is 0xffffffff;
 * writes the old one to `*old`.
 */
__attribute__((import_module("nodule:process/1"), import_name("umask")))
uint32_t nodule_process_umask(uint32_t mask, uint32_t *old);

/*
 * Replaces the process: a CBOR object `{file, args, env}`. Returns only on failure.
 * Needs the grant `run` for the file, or `child` for a wasm module.
 */
__attribute__((import_module("nodule:process/1"), import_name("execve")))
uint32_t nodule_process_execve(const uint8_t *arguments, uint32_t arguments_len);

/*
 * Loads variables from an env file into the environment; existing ones stay. `path_len` 0 means `.env`.
 */
__attribute__((import_module("nodule:process/1"), import_name("load_env_file")))
uint32_t nodule_process_load_env_file(const uint8_t *path, uint32_t path_len);

/*
 * Writes to `*result` whether `scope` is granted, whole (`reference` 0) or for a reference.
 * An unknown scope gives 0.
 */
__attribute__((import_module("nodule:process/1"), import_name("permission_has")))
uint32_t nodule_process_permission_has(const uint8_t *scope, uint32_t scope_len, const uint8_t *reference, uint32_t reference_len, uint32_t *result);

/*
 * Gives a grant up for good: all of `scope` (`reference` 0) or the grant equal to the reference.
 */
__attribute__((import_module("nodule:process/1"), import_name("permission_drop")))
uint32_t nodule_process_permission_drop(const uint8_t *scope, uint32_t scope_len, const uint8_t *reference, uint32_t reference_len);

/*
 * The diagnostic report as sized JSON text; `error` is a CBOR error record or absent (`error_len` 0).
 */
__attribute__((import_module("nodule:process/1"), import_name("get_report")))
uint32_t nodule_process_get_report(const uint8_t *error, uint32_t error_len, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Writes the report to `filename` (`filename_len` 0: the configured or default name) and gives the name
 * written, as a sized string.
 */
__attribute__((import_module("nodule:process/1"), import_name("write_report")))
uint32_t nodule_process_write_report(const uint8_t *filename, uint32_t filename_len, const uint8_t *error, uint32_t error_len, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Type names of the ref'd resources, as a sized CBOR array.
 */
__attribute__((import_module("nodule:process/1"), import_name("get_active_resources_info")))
uint32_t nodule_process_get_active_resources_info(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Version and entries of an import namespace (`process`, `node:process`), as a sized CBOR object
 * `{name, version, imports}`. `ENOENT` when there is none.
 */
__attribute__((import_module("nodule:process/1"), import_name("get_builtin_module")))
uint32_t nodule_process_get_builtin_module(const uint8_t *id, uint32_t id_len, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Sends a CBOR value to the parent over the IPC channel, with the resource `handle` or 0, and writes the id
 * under which it is reported sent to `*request`. `ERR_IPC_CHANNEL_CLOSED` without a channel.
 */
__attribute__((import_module("nodule:process/1"), import_name("send")))
uint32_t nodule_process_send(const uint8_t *message, uint32_t message_len, uint32_t handle, uint32_t *request);

/*
 * Closes the IPC channel after what is queued. `ERR_IPC_DISCONNECTED` without a channel.
 */
__attribute__((import_module("nodule:process/1"), import_name("disconnect")))
uint32_t nodule_process_disconnect(void);

/* ---- nodule:messaging/1 ----
 * Message channels, broadcast channels and structured clones.
 *
 * A message is a value (CBOR, `message`) and a side list of resources. On its way in, `resources` holds the
 * handles that `Value::Resource(i)` means, and `transfer` the handles that move; both are counted in entries.
 * Kinds that move must be in `transfer`; what is there leaves the caller also when no resource names it.
 * On its way out, `resources` gets two numbers an entry, handle and kind; `EAGAIN` means that nothing is there,
 * `ERANGE` that a buffer is too small: both lengths are written then and nothing is taken.
 *
 * Posting fails all or nothing, in this order: `ERR_INVALID_TRANSFER_OBJECT` for a handle of a kind that does
 * not move, `DataCloneError` for a duplicate, the source port, and a port that is closed, moved or marked,
 * `ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST` for a resource that must be listed.
 */

/*
 * Makes a channel and writes the handles of its two ports to `ports[0]` and `ports[1]`. They neither deliver
 * nor keep the isolate alive until `start` and `ref_handle`. `EMFILE` when the handle limit is reached.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("channel")))
uint32_t nodule_messaging_channel(uint32_t *ports);

/*
 * Sends a message to the other end of `port`; 0 stands for a port that was closed or moved. On a closed
 * channel it is dropped. `flags`: bit 0, `EAGAIN` instead of queueing above the receiver's high-water mark,
 * with a `PortDrain` event to follow. `*outcome` becomes 1 when the receiver's queue is below its high-water
 * mark, 0 when not (`PortDrain` follows), 2 when the message held its own target: the channel is closed and
 * lost. `ERR_WORKER_QUEUE_FULL` at the hard bound of the receiver's queue.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("post")))
uint32_t nodule_messaging_post(uint32_t port, const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len, const uint32_t *transfer, uint32_t transfer_len, uint32_t flags, uint32_t *outcome);

/*
 * Takes the oldest message of `port`. The port need not be started, and can be closed.
 * `EMFILE` when there is no room for its resources: the message is lost then.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("receive")))
uint32_t nodule_messaging_receive(uint32_t port, uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *resources, uint32_t resources_cap, uint32_t *resources_len);

/*
 * Waits until a message is there. Blocks only the calling isolate. `timeout_ns` < 0 waits without end.
 * `ETIMEDOUT` when the time is over, `ERR_CLOSED_MESSAGE_PORT` when none can come any more.
 * Also for broadcast channels.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("receive_wait")))
uint32_t nodule_messaging_receive_wait(uint32_t port, int64_t timeout_ns);

/*
 * Begins delivery: `Message` events. On a port that is started it asks for another event when messages are there.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("start")))
uint32_t nodule_messaging_start(uint32_t port);

/*
 * Stops delivery; messages queue up.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("stop")))
uint32_t nodule_messaging_stop(uint32_t port);

/*
 * Closes the channel: sending ends on both sides. Each end gets `PortClose` after the messages that are queued
 * for it; the caller's at once when it is not started. Repeating has no effect.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("close")))
uint32_t nodule_messaging_close(uint32_t port);

/*
 * Writes to `*result` whether the channel of `port` is open (1) or closed (0).
 */
__attribute__((import_module("nodule:messaging/1"), import_name("is_open")))
uint32_t nodule_messaging_is_open(uint32_t port, uint32_t *result);

/*
 * Checks a transfer list before the message is encoded, as `post` does. `source` is the sending port or 0.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("check_transfer")))
uint32_t nodule_messaging_check_transfer(uint32_t source, const uint32_t *transfer, uint32_t transfer_len);

/*
 * Marks the resource of `handle` for good. `flags`: bit 0 untransferable, bit 1 uncloneable.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("mark")))
uint32_t nodule_messaging_mark(uint32_t handle, uint32_t flags);

/*
 * Writes the marks of `handle` to `*flags`.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("marks")))
uint32_t nodule_messaging_marks(uint32_t handle, uint32_t *flags);

/*
 * Clones a message within the isolate, moving what is in `transfer`. `*len` and `*resources_len` are known
 * beforehand: those of the message.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("clone_message")))
uint32_t nodule_messaging_clone_message(const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len, const uint32_t *transfer, uint32_t transfer_len, uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *out_resources, uint32_t out_resources_cap, uint32_t *out_resources_len);

/*
 * Joins the broadcast channel `name` (at most 1024 bytes) of the process and writes the handle to `*handle`.
 * It keeps the isolate alive and gives `Broadcast` events from the start.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("broadcast_open")))
uint32_t nodule_messaging_broadcast_open(const uint8_t *name, uint32_t name_len, uint32_t *handle);

/*
 * Sends a message to all other channels of the name. `InvalidStateError` when `handle` is closed.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("broadcast_post")))
uint32_t nodule_messaging_broadcast_post(uint32_t handle, const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len);

/*
 * Takes a message. `flags` bit 0: the oldest one of `handle`. Otherwise the next in order for any channel of
 * the calling isolate with the name of `handle`: each message reaches them in order of creation before the
 * next one. `*target` becomes the channel it is for. `ERR_WORKER_QUEUE_FULL`, once, in place of messages that
 * `*target` lost because it did not take them in time; the text says how many.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("broadcast_receive")))
uint32_t nodule_messaging_broadcast_receive(uint32_t handle, uint32_t flags, uint32_t *target, uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *resources, uint32_t resources_cap, uint32_t *resources_len);

/*
 * Asks for another event when messages are there for any channel of the isolate with the name of `handle`.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("broadcast_rearm")))
uint32_t nodule_messaging_broadcast_rearm(uint32_t handle);

/*
 * A handle of the compiled module that the caller is an instance of.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("own_module")))
uint32_t nodule_messaging_own_module(uint32_t *handle);

/*
 * The SHA-256 of a module's bytes, in hexadecimal, as a sized result.
 */
__attribute__((import_module("nodule:messaging/1"), import_name("module_digest")))
uint32_t nodule_messaging_module_digest(uint32_t handle, uint8_t *buf, uint32_t cap, uint32_t *len);

#ifdef __cplusplus
}
#endif

#endif
