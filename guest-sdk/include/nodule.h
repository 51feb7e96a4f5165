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
    NODULE_ERR_CHILD_PROCESS_IPC_REQUIRED = 1050,
    NODULE_ERR_CHILD_PROCESS_STDIO_MAXBUFFER = 1051,
    NODULE_ERR_CHILD_CLOSED_BEFORE_REPLY = 1052,
    NODULE_ERR_IPC_ONE_PIPE = 1053,
    NODULE_ERR_IPC_SYNC_FORK = 1054,
    NODULE_ERR_INVALID_SYNC_FORK_INPUT = 1055,
    NODULE_ERR_INVALID_HANDLE_TYPE = 1056,
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
    NODULE_ERR_IPC_BACKPRESSURE = 2013,
    NODULE_ERR_IPC_MESSAGE_TOO_LARGE = 2014,
    NODULE_ERR_IPC_CODEC_MISMATCH = 2015,
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
    NODULE_EVENT_CHILD_EXIT = 50,
    NODULE_EVENT_IPC_MESSAGE = 51,
    NODULE_EVENT_IPC_DISCONNECT = 52,
    NODULE_EVENT_IPC_SENT = 53,
    NODULE_EVENT_IPC_DRAIN = 54,
    NODULE_EVENT_IPC_ERROR = 55,
};

/* Kinds of the entries of a message's side list. */
enum nodule_resource_kind {
    NODULE_RESOURCE_PORT = 0,
    NODULE_RESOURCE_SHARED_BUFFER = 1,
    NODULE_RESOURCE_MODULE = 9,
    NODULE_RESOURCE_ARRAY_BUFFER = 10,
};

/* What nodule_shared_memory_rmw does. */
enum nodule_atomic_operation {
    NODULE_ATOMIC_ADD = 0,
    NODULE_ATOMIC_SUB = 1,
    NODULE_ATOMIC_AND = 2,
    NODULE_ATOMIC_OR = 3,
    NODULE_ATOMIC_XOR = 4,
    NODULE_ATOMIC_EXCHANGE = 5,
};

/* How a wait on shared memory ended. */
enum nodule_wait_result {
    NODULE_WAIT_WOKEN = 0,
    NODULE_WAIT_NOT_EQUAL = 1,
    NODULE_WAIT_TIMED_OUT = 2,
    NODULE_WAIT_PENDING = 3,
    NODULE_WAIT_OWNER_DEAD = 4,
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
 * Standard streams. Writing to one's own is WASI `fd_write`, which parks the isolate until the bytes are accepted.
 * The streams of workers are handles to `read` and `write`; closing one ends it for the other side.
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

/*
 * Writes what fits of `len` (at most 1 MiB) bytes to the stream and gives how many that were in `*written`.
 * `EAGAIN` when nothing fits: an event of kind `Writable` follows. `EPIPE` when the reader is gone.
 * The handle keeps the isolate alive only while a write waits.
 */
__attribute__((import_module("nodule:stdio/1"), import_name("write")))
uint32_t nodule_stdio_write(uint32_t handle, const uint8_t *bytes, uint32_t len, uint32_t *written);

/*
 * Opens the descriptor `fd` (from 3 on) that the parent process gave this one as a stream: writes the handle to
 * read from and the handle to write to. Both go to the same descriptor. `EBADF` when there is none.
 */
__attribute__((import_module("nodule:stdio/1"), import_name("open")))
uint32_t nodule_stdio_open(uint32_t fd, uint32_t *handles);

/* ---- nodule:locks/1 ----
 * Web Locks: names that one isolate of the process holds, or several share. A lock is a handle; closing it
 * (`event_loop` `close`) releases the lock or gives the request up. The end of an isolate releases its locks.
 */

/*
 * Requests the lock `name` (at most 1024 bytes) and gives its handle. `mode`: 0 exclusive, 1 shared. `flags`: bit 0
 * only if available, bit 1 steal it from who holds it. `*granted` 1: it is held now; 0: an event of kind
 * `LockGranted` follows. With bit 0 and a lock that is not available `*handle` is 0. A holder hears that its lock
 * was stolen by an event of kind `LockStolen`. Requests for a name are granted in order. A request that waits
 * for another isolate keeps this one alive. `NotSupportedError` (code `9`) for a name that starts with `-` and
 * for flags that exclude each other, `EMFILE` when there are too many handles.
 */
__attribute__((import_module("nodule:locks/1"), import_name("request")))
uint32_t nodule_locks_request(const uint8_t *name, uint32_t name_len, uint32_t mode, uint32_t flags, uint32_t *handle, uint32_t *granted);

/*
 * All locks of the process as a sized value: `{held, pending}`, both lists of `{name, mode, clientId}` in the order
 * of their requests.
 */
__attribute__((import_module("nodule:locks/1"), import_name("query")))
uint32_t nodule_locks_query(uint8_t *buf, uint32_t cap, uint32_t *len);

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

/* ---- nodule:worker_threads/1 ----
 * Threads: isolates that an isolate starts (Node: `worker_threads`).
 *
 * Messages go in and come out as in `nodule:messaging/1`: bytes, a side list of resources, a transfer list.
 */

/*
 * Starts a worker. `options` is a CBOR object (all members optional): `path` (of a module), `module` (handle of
 * a compiled module), `name`, `argv`, `env` (object, or `"share"`), `execArgv`, `stdin`, `stdout`, `stderr`,
 * `trackUnmanagedFds`, `resourceLimits` (object), `entry`, `permissions` (array of flags), `cwd`. Without
 * `path`, `module` and `code_len` the worker runs the caller's own module; with `code_len` the module (binary or
 * text) at `code`. The message is its `workerData`; `message_len` 0 for none.
 *
 * Writes 6 numbers to `result`: handle of the worker, handle of the port to its `parentPort`, its thread id,
 * and the handles of its `stdin` (writable), `stdout` and `stderr` (readable), 0 where not asked for.
 * Events: `WorkerOnline`, then `WorkerExit` once; its messages are in the port by then.
 *
 * Errors, with nothing started: `ERR_ACCESS_DENIED` (`WorkerThreads`), `ERR_WORKER_PATH`, `ERR_INVALID_URL_SCHEME`,
 * `ERR_WORKER_INVALID_EXEC_ARGV`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE` (a limit), `EAGAIN` (too many
 * workers), `ENOMEM` (too large modules in the process), and those of a message. What goes wrong later is told by `exit_error`.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("spawn")))
uint32_t nodule_worker_threads_spawn(const uint8_t *options, uint32_t options_len, const uint8_t *code, uint32_t code_len, const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len, const uint32_t *transfer, uint32_t transfer_len, uint32_t *result);

/*
 * Ends a worker in whatever state it is; `WorkerExit` with code 1 follows. Repeating has no effect.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("terminate")))
uint32_t nodule_worker_threads_terminate(uint32_t worker);

/*
 * The error that ended a worker, as a sized CBOR error record. `ENOENT` when none did or it runs.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("exit_error")))
uint32_t nodule_worker_threads_exit_error(uint32_t worker, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Facts of this thread, as a sized CBOR object: `threadId`, `threadName` (null in the main thread),
 * `resourceLimits`, `parentPort` (handle, or 0), `isInternalThread`.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("this_thread")))
uint32_t nodule_worker_threads_this_thread(uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * The `workerData` of this thread: as `nodule:messaging/1` `receive`, once. `ENOENT` when there is none.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("worker_data")))
uint32_t nodule_worker_threads_worker_data(uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *resources, uint32_t resources_cap, uint32_t *resources_len);

/*
 * Sets the environment data under a CBOR key, which later workers get a copy of; `message_len` 0 deletes.
 * Only resources that cloning shares may be in it. `E2BIG` when there is too much.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("set_environment_data")))
uint32_t nodule_worker_threads_set_environment_data(const uint8_t *key, uint32_t key_len, const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len);

/*
 * The environment data under a CBOR key, as `receive`. `ENOENT` when there is none.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("get_environment_data")))
uint32_t nodule_worker_threads_get_environment_data(const uint8_t *key, uint32_t key_len, uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *resources, uint32_t resources_cap, uint32_t *resources_len);

/*
 * Compiles a module (binary or text form, at most 256 MiB) and writes its handle, which messages can carry. Parks
 * the isolate while it compiles. `ERR_WORKER_INIT_FAILED` for one that is not valid or cannot be linked, `ENOMEM`
 * when the modules that the isolate compiled and holds, or those of the process, would be too large.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("module_compile")))
uint32_t nodule_worker_threads_module_compile(const uint8_t *code, uint32_t code_len, uint32_t *module);

/*
 * Writes a handle of the module that the caller is an instance of.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("module_current")))
uint32_t nodule_worker_threads_module_current(uint32_t *module);

/*
 * The SHA-256 of a module's bytes, in hexadecimal, as a sized result.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("module_digest")))
uint32_t nodule_worker_threads_module_digest(uint32_t module, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Makes a context: a second instance in this isolate, without grants, that runs while the caller waits for
 * events. `options` and code as in `spawn` (`path`, `module`, `name`, `argv`, `entry` count). Writes 2 numbers to
 * `result`: handle of the context, handle of the port to its `parentPort`. Events as of a worker.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("create_context")))
uint32_t nodule_worker_threads_create_context(const uint8_t *options, uint32_t options_len, const uint8_t *code, uint32_t code_len, uint32_t *result);

/*
 * Posts a message to another thread and writes the handle of the request, about which `ThreadMessageDone`
 * comes once. `timeout_ms` < 0 for none. `ERR_WORKER_MESSAGING_SAME_THREAD`, and those of a message.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("post_to_thread")))
uint32_t nodule_worker_threads_post_to_thread(uint32_t thread, const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len, const uint32_t *transfer, uint32_t transfer_len, double timeout_ms, uint32_t *request);

/*
 * Says whether this thread has listeners for such messages (`on` not 0).
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("thread_messages_listen")))
uint32_t nodule_worker_threads_thread_messages_listen(uint32_t on);

/*
 * The oldest such message, as `receive`. Writes 2 numbers to `origin`: the sender's thread id, and a token for
 * `thread_message_done`. `EAGAIN` when there is none: a `ThreadMessage` event follows.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("thread_message_receive")))
uint32_t nodule_worker_threads_thread_message_receive(uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *resources, uint32_t resources_cap, uint32_t *resources_len, uint32_t *origin);

/*
 * Tells the sender that its message was processed: `failed` 0, 1 when a listener failed, 2 when there was none.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("thread_message_done")))
uint32_t nodule_worker_threads_thread_message_done(uint32_t token, uint32_t failed);

/*
 * How long a worker waited for events and how long it did not, since it was online, in ns: `times[0]` idle,
 * `times[1]` active. Zeros before it was online and after its end. `worker` 0: the calling isolate.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("event_loop_utilization")))
uint32_t nodule_worker_threads_event_loop_utilization(uint32_t worker, uint64_t *times);

/*
 * CPU time of a worker in µs: `usage[0]` user, `usage[1]` system. `ERR_WORKER_NOT_RUNNING`.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("cpu_usage")))
uint32_t nodule_worker_threads_cpu_usage(uint32_t worker, uint64_t *usage);

/*
 * Asks for a core dump of a worker (`options` 1: with host internals, 2: with numeric values). Writes the handle of
 * the reply: `WorkerReply` comes when it can be read. `ERR_WORKER_NOT_RUNNING`.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("heap_snapshot")))
uint32_t nodule_worker_threads_heap_snapshot(uint32_t worker, uint32_t options, uint32_t *reply);

/*
 * Asks for the heap statistics of a worker: the reply is a CBOR object.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("heap_statistics")))
uint32_t nodule_worker_threads_heap_statistics(uint32_t worker, uint32_t *reply);

/*
 * Asks for a CPU profile with a sample every `interval_us` (0: every tick) and at most `buffer_len` samples. The
 * reply is empty when it has started; closing its handle stops it.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("start_cpu_profile")))
uint32_t nodule_worker_threads_start_cpu_profile(uint32_t worker, double interval_us, uint32_t buffer_len, uint32_t *reply);

/*
 * Asks for a heap profile with a sample every `interval_bytes`. As `start_cpu_profile`;
 * `ERR_HEAP_PROFILE_HAVE_BEEN_STARTED` when one runs.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("start_heap_profile")))
uint32_t nodule_worker_threads_start_heap_profile(uint32_t worker, double interval_bytes, uint32_t stack_depth, uint32_t *reply);

/*
 * Stops the profile behind the handle of its start; the new reply is its JSON text, also the second time.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("stop_profile")))
uint32_t nodule_worker_threads_stop_profile(uint32_t profile, uint32_t *reply);

/*
 * Reads on in a reply: up to `cap` bytes (at most 1 MiB), `*len` 0 at its end. `EAGAIN` before `WorkerReply`;
 * the request's own error when it failed.
 */
__attribute__((import_module("nodule:worker_threads/1"), import_name("read_reply")))
uint32_t nodule_worker_threads_read_reply(uint32_t reply, uint8_t *buf, uint32_t cap, uint32_t *len);

/* ---- nodule:diagnostics/1 ----
 * What a guest tells those who watch it.
 */

/*
 * Called by the guest's allocator when the sample interval of its figures (`nodule_heap`) is used up:
 * `bytes` were allocated since the last call, the last of them here. The host notes the call stack for the
 * heap profile that runs, and nothing when none does.
 */
__attribute__((import_module("nodule:diagnostics/1"), import_name("heap_sample")))
void nodule_diagnostics_heap_sample(uint64_t bytes);

/* ---- nodule:shared_memory/1 ----
 * Memory that isolates share, and what `Atomics` needs of the host (Node: `SharedArrayBuffer`, `Atomics`).
 * A window is a range of the guest's own linear memory behind which lie the pages of a buffer: an address in it is a
 * plain pointer, and atomic instructions there are atomic between isolates.
 * An atomic access that is not aligned traps (`ERR_WASM_ATOMIC`).
 * Closing a handle (`nodule:event_loop/1` `close`) unmaps its window.
 */

/*
 * Makes a shared buffer of zeros and writes its handle to `*handle`. It can grow to `max_byte_length`;
 * with 18446744073709551615 it cannot grow.
 * `RangeError` beyond 4 GiB or when the length is above the maximum, `ENOMEM` above the limits of the isolate.
 * `ERR_ACCESS_DENIED` when shared memory is denied.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("create")))
uint32_t nodule_shared_memory_create(uint64_t byte_length, uint64_t max_byte_length, uint32_t *handle);

/*
 * Writes the current length to `*result`.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("byte_length")))
uint32_t nodule_shared_memory_byte_length(uint32_t handle, uint64_t *result);

/*
 * Writes the greatest length to `*result`.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("max_byte_length")))
uint32_t nodule_shared_memory_max_byte_length(uint32_t handle, uint64_t *result);

/*
 * Writes 1 to `*result` when the buffer can grow, else 0.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("is_growable")))
uint32_t nodule_shared_memory_is_growable(uint32_t handle, uint32_t *result);

/*
 * Grows a buffer for all that hold it. `RangeError` when it is longer, beyond its maximum, or cannot grow
 * (then `TypeError`).
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("grow")))
uint32_t nodule_shared_memory_grow(uint32_t handle, uint64_t byte_length);

/*
 * Makes a window of the buffer's greatest length and writes its address, a multiple of 65536, to `*address`;
 * the same address for every handle of the same buffer. Grows the memory of the module when no free range
 * fits. `ENOMEM` when the memory is full or at its limit, or there are 1,024 windows.
 * `ERR_ACCESS_DENIED` when shared memory is denied.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("map")))
uint32_t nodule_shared_memory_map(uint32_t handle, uint32_t *address);

/*
 * Ends the use of the window by this handle; with the last use the range holds zeros and is kept for
 * later windows. Without a window nothing happens.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("unmap")))
uint32_t nodule_shared_memory_unmap(uint32_t handle);

/*
 * Waits while the cell of `bits` (32 or 64) at `address` is not notified (Node: `Atomics.wait`). Writes to
 * `*result` 0 woken, 1 the cell does not hold `expected`, 2 the time is over. `timeout_ms` may be a fraction; NaN is
 * for ever, below 0 is 0. `TypeError` outside of windows of shared buffers, `RangeError` behind the length of the
 * buffer. Parks this isolate only. When another process has the buffer too: `ENOMEM` when too many of this process wait
 * for such cells, `ENOSYS` before Linux 5.16.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("wait")))
uint32_t nodule_shared_memory_wait(uint32_t address, uint32_t bits, uint64_t expected, double timeout_ms, uint32_t *result);

/*
 * As `wait`, without waiting: writes 3 to `*result` and a handle to `*handle`, which gets one event of kind
 * `WaitDone`, when the cell holds `expected`. The guest closes the handle; closing it earlier ends the wait.
 * It keeps the isolate alive when the time is finite. `EMFILE` when the handle limit is reached.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("wait_async")))
uint32_t nodule_shared_memory_wait_async(uint32_t address, uint32_t bits, uint64_t expected, double timeout_ms, uint32_t *result, uint32_t *handle);

/*
 * As `wait` on a cell of 32 bits that says that the thread `owner` holds a lock; writes 4 to `*result` when that
 * thread does not run any more. `ENOTSUP` when another process has the buffer too.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("wait_owned")))
uint32_t nodule_shared_memory_wait_owned(uint32_t address, uint32_t expected, uint32_t owner, double timeout_ms, uint32_t *result);

/*
 * The number of this thread, which says in a lock word who holds it; 0 is the main thread.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("owner_id")))
uint32_t nodule_shared_memory_owner_id(void);

/*
 * Wakes up to `count` waiters on the cell at `address`, those first that waited longest, and writes
 * how many to `*woken` (Node: `Atomics.notify`). 4294967295 wakes all. Outside of windows of shared buffers there are
 * none. When another process has the buffer too, waiters from before it had come first, then those of all processes in
 * the order of arrival.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("notify")))
uint32_t nodule_shared_memory_notify(uint32_t address, uint32_t count, uint32_t *woken);

/*
 * Reads the cell of `bits` (8, 16, 32, 64) at `address`, for guests without atomic instructions.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("load")))
uint32_t nodule_shared_memory_load(uint32_t address, uint32_t bits, uint64_t *result);

/*
 * Writes the cell of `bits` at `address`.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("store")))
uint32_t nodule_shared_memory_store(uint32_t address, uint32_t bits, uint64_t value);

/*
 * Changes the cell of `bits` at `address` and writes its old value to `*result`. `operation` is a number of
 * `nodule_atomic_operation`.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("rmw")))
uint32_t nodule_shared_memory_rmw(uint32_t address, uint32_t bits, uint32_t operation, uint64_t operand, uint64_t *result);

/*
 * Writes `replacement` to the cell of `bits` at `address` when it holds `expected`, and its old value to
 * `*result` in any case.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("compare_exchange")))
uint32_t nodule_shared_memory_compare_exchange(uint32_t address, uint32_t bits, uint64_t expected, uint64_t replacement, uint64_t *result);

/*
 * Makes an ArrayBuffer of zeros that lies in pages of its own, in a window at `*address`: moving it to another
 * isolate copies nothing. Errors as of `create` and `map`, but nothing is denied. Closing the handle frees it.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("array_buffer_create")))
uint32_t nodule_shared_memory_array_buffer_create(uint64_t byte_length, uint32_t *handle, uint32_t *address);

/*
 * Makes the window of a received ArrayBuffer and writes its address to `*address`. Errors as of `map`.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("array_buffer_map")))
uint32_t nodule_shared_memory_array_buffer_map(uint32_t handle, uint32_t *address);

/*
 * Writes the length of an ArrayBuffer to `*result`.
 */
__attribute__((import_module("nodule:shared_memory/1"), import_name("array_buffer_byte_length")))
uint32_t nodule_shared_memory_array_buffer_byte_length(uint32_t handle, uint64_t *result);

/* ---- nodule:child_process/1 ----
 * Child processes (Node: `child_process`).
 *
 * Options are one CBOR object with Node's names: `file`, `args`, `cwd`, `env`, `argv0`, `stdio`, `detached`, `uid`,
 * `gid`, `serialization`, `shell`, `timeout`, `killSignal`, `windowsHide`, `windowsVerbatimArguments`; for the
 * synchronous form `maxBuffer`; with `fork: true` (`file` is then the module) `execPath`, `execArgv`, `silent`; nodule's
 * own are `permissions` (flags of grants to narrow to), `killOnParentDeath` and `killTree`. What is absent or undefined
 * has Node's default. An entry of `stdio` is a word of Node's, a descriptor of the process (0 to 2, or one its own
 * parent gave it), `{handle}` with a stream of the area `stdio`, `{file, flags}` with a path and Node's flags (`r`, `a`,
 * `wx`…) for a file inside the grants, or null.
 */

/*
 * Starts a process; parks the isolate until it runs or it is known that it cannot. Needs the grant `run` for a
 * program of the system, `child` for a module. Writes 3 numbers to `result`: handle of the child; its pid, 0 when it
 * did not start; handle of the channel to it (area `ipc`), 0 for none. Writes 2 numbers for each entry of `stdio`
 * (3 at least) to `stdio`: handle to read from, handle to write to, 0 for none; `ERANGE` when `stdio_cap` entries
 * cannot hold them. `ChildExit` comes once for a process that started. That it did not for `EACCES`, `EAGAIN`,
 * `EMFILE`, `ENFILE`, `ENOENT` is no failure of this call, see `start_error`. `ERR_ACCESS_DENIED`, those of bad
 * options, and what else the system says.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("spawn")))
uint32_t nodule_child_process_spawn(const uint8_t *options, uint32_t options_len, uint32_t *stdio, uint32_t stdio_cap, uint32_t *result);

/*
 * Why a child did not start, as a sized error record. `ESRCH` when it did.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("start_error")))
uint32_t nodule_child_process_start_error(uint32_t child, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * What a child was started as: the sized CBOR object `{spawnfile, spawnargs}`.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("start_facts")))
uint32_t nodule_child_process_start_facts(uint32_t child, uint8_t *buf, uint32_t cap, uint32_t *len);

/*
 * Sends `signal` (0 tests) to the child, never to another process that got its pid. `ESRCH` when it has ended,
 * `EINVAL`, `EPERM`.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("kill")))
uint32_t nodule_child_process_kill(uint32_t child, int32_t signal);

/*
 * Stops the child and all below it, sends `signal` bottom-up and lets them go on; after `grace_ms`, unless it is
 * negative, `SIGKILL` for what is left. Parks the isolate until the signals are sent; writes how many got it.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("kill_tree")))
uint32_t nodule_child_process_kill_tree(uint32_t child, int32_t signal, double grace_ms, uint32_t *count);

/*
 * Runs a process to its end, with `input` as its standard input (`input_len` 0xffffffff for none), while this
 * isolate is parked. Writes the handle of its result. What the process does is no failure of this call, nor is
 * that it did not start.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("spawn_sync")))
uint32_t nodule_child_process_spawn_sync(const uint8_t *options, uint32_t options_len, const uint8_t *input, uint32_t input_len, uint32_t *result);

/*
 * The result: a sized CBOR object `{pid, output, status, signal, error}`, as Node's `spawnSync` gives it.
 */
__attribute__((import_module("nodule:child_process/1"), import_name("sync_result")))
uint32_t nodule_child_process_sync_result(uint32_t result, uint8_t *buf, uint32_t cap, uint32_t *len);

/* ---- nodule:ipc/1 ----
 * Channels between processes, on Node's wire (Node: `subprocess.send`, `process.send`). The channel to a child comes
 * from `nodule:child_process/1` `spawn`, the one to the parent is the attribute `channel` of `nodule:process/1`.
 */

/*
 * Writes 2 numbers to `facts`: 1 while the channel is connected, else 0; its serialization (0 JSON, 1 advanced).
 */
__attribute__((import_module("nodule:ipc/1"), import_name("state")))
uint32_t nodule_ipc_state(uint32_t channel, uint32_t *facts);

/*
 * Sends a message as the channel's serialization has it: JSON text without line ends, or CBOR. `resources` and
 * `transfer` are those of `nodule:messaging/1` `post`, and for advanced channels only: shared buffers are shared
 * with the other process, ports and ArrayBuffers move there, at most 63 in a message; `DataCloneError` for buffers that
 * can grow and for modules. `handle` is a native handle to send along, or 0.
 * `flags`: 1 keeps `handle` open here, 2 asks for an `IpcSent` event. Writes 2 numbers to `outcome`: the request
 * that the event names, and 1 when the backlog is short, as Node's `send` says it. Does not wait.
 * `ERR_IPC_CHANNEL_CLOSED`, `ERR_IPC_BACKPRESSURE` (`IpcDrain` follows), `ERR_IPC_MESSAGE_TOO_LARGE`,
 * `ERR_INVALID_HANDLE_TYPE`, `EILSEQ` for JSON that is no UTF-8, and those of a message.
 */
__attribute__((import_module("nodule:ipc/1"), import_name("send")))
uint32_t nodule_ipc_send(uint32_t channel, const uint8_t *message, uint32_t message_len, const uint32_t *resources, uint32_t resources_len, const uint32_t *transfer, uint32_t transfer_len, uint32_t handle, uint32_t flags, uint32_t *outcome);

/*
 * The oldest message, as `nodule:messaging/1` `receive`; writes the native handle that came with it, or 0.
 * `EAGAIN` when there is none: an `IpcMessage` event follows. `ENOMEM` when buffers in it are above the limits of the isolate,
 * `DataCloneError` when they are not what the other side said: the message is gone then.
 */
__attribute__((import_module("nodule:ipc/1"), import_name("receive")))
uint32_t nodule_ipc_receive(uint32_t channel, uint8_t *buf, uint32_t cap, uint32_t *len, uint32_t *resources, uint32_t resources_cap, uint32_t *resources_len, uint32_t *handle);

/*
 * Begins delivery: `IpcMessage` comes when there are messages.
 */
__attribute__((import_module("nodule:ipc/1"), import_name("start")))
uint32_t nodule_ipc_start(uint32_t channel);

/*
 * Ends delivery; messages stay queued, and the other side has to wait once the queue is full.
 */
__attribute__((import_module("nodule:ipc/1"), import_name("stop")))
uint32_t nodule_ipc_stop(uint32_t channel);

/*
 * Closes the channel after what is queued; `IpcDisconnect` follows. It is not connected any more when this returns.
 * `ERR_IPC_DISCONNECTED` when it was not before.
 */
__attribute__((import_module("nodule:ipc/1"), import_name("disconnect")))
uint32_t nodule_ipc_disconnect(uint32_t channel);

/*
 * The type of a native handle as Node names it (`net.Socket`, `net.Server`, `dgram.Socket`…), as sized text.
 */
__attribute__((import_module("nodule:ipc/1"), import_name("handle_type")))
uint32_t nodule_ipc_handle_type(uint32_t handle, uint8_t *buf, uint32_t cap, uint32_t *len);

#ifdef __cplusplus
}
#endif

#endif
