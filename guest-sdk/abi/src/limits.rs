//! Every bound of the interface. A guest that passes more gets an error before anything is allocated.

/// Longest path or file name, as on Linux (`PATH_MAX`).
pub const PATH_BYTES_MAX: u32 = 4096;
/// Longest attribute name, scope name, symbol name.
pub const NAME_BYTES_MAX: u32 = 1024;
/// Longest environment key or value.
pub const ENV_BYTES_MAX: u32 = 128 * 1024;
/// Most variables in one environment.
pub const ENV_COUNT_MAX: usize = 16 * 1024;
/// Total bytes of keys and values in one environment.
pub const ENV_TOTAL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest encoded argument value of a call that takes one.
pub const VALUE_BYTES_MAX: u32 = 1024 * 1024;
/// Longest error record; longer messages and stacks are cut by the sender.
pub const ERROR_RECORD_BYTES_MAX: u32 = 64 * 1024;
/// Bytes a guest reserves for [`crate::hooks::HOOK_BUFFER`].
pub const HOOK_BUFFER_BYTES: usize = 64 * 1024;
/// Most events one `wait` returns.
pub const EVENT_BATCH_MAX: u32 = 1024;
/// Most events queued for an isolate by sources without back-pressure of their own (signals).
/// A further one is dropped and counted; the count is reported with the next delivered record.
pub const EVENT_QUEUE_LEN_MAX: usize = 64 * 1024;
/// Default bound of open handles of an isolate.
pub const HANDLES_MAX_DEFAULT: usize = 64 * 1024;
/// Most bytes one stream read returns.
pub const STREAM_READ_BYTES_MAX: u32 = 1024 * 1024;
/// Most bytes one stream write takes.
pub const STREAM_WRITE_BYTES_MAX: u32 = 1024 * 1024;
/// Largest write to stdio that is atomic with respect to other isolates of the process.
pub const STDIO_ATOMIC_BYTES: usize = 64 * 1024;
/// Most buffers in one vectored read or write (`IOV_MAX`).
pub const IOVECS_MAX: u32 = 1024;
/// Longest timer, as in Node: a longer delay becomes 1 ms.
pub const TIMER_DELAY_MS_MAX: f64 = 2_147_483_647.0;
/// Deepest nesting of an encoded value.
pub const VALUE_DEPTH_MAX: usize = 1000;
/// Most side modules one isolate may load.
pub const SIDE_MODULES_MAX: usize = 256;
/// Largest side module file.
pub const SIDE_MODULE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most resources beside one message, and most entries of one transfer list.
pub const MESSAGE_RESOURCES_MAX: u32 = 64 * 1024;
/// Bytes queued for one receiver from which on senders are told to wait.
pub const QUEUE_HIGH_BYTES: usize = 16 * 1024 * 1024;
/// Messages queued for one receiver from which on senders are told to wait.
pub const QUEUE_HIGH_MESSAGES: usize = 64 * 1024;
/// Most bytes queued for one receiver; a further message is refused with `ERR_WORKER_QUEUE_FULL`.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Most bytes queued in all channels of one process together, with `workerData` that was not taken, environment data and
/// messages from thread to thread; a further message is refused with `ERR_WORKER_QUEUE_FULL`. An isolate that is not the
/// root has at most half of them queued, together with all that it started.
pub const QUEUES_TOTAL_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes and machine code of all modules that the guests of one process compiled and hold, each digest counted once, the
/// modules of workers included. A further one is refused with `ENOMEM`.
pub const CODE_TOTAL_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Most contexts of one isolate.
pub const CONTEXTS_MAX: usize = 64;
/// Most threads of one process, nested ones counted.
pub const WORKERS_MAX: usize = 16 * 1024;
/// Largest module of a worker.
pub const WORKER_MODULE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Most values of environment data, and their bytes together.
pub const ENVIRONMENT_DATA_COUNT_MAX: usize = 4096;
/// Bytes of all environment data.
pub const ENVIRONMENT_DATA_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most messages of other threads that wait for a thread, or that it has not answered. A further one has failed.
pub const THREAD_MESSAGES_LEN_MAX: usize = 64 * 1024;
/// Bytes of the messages of other threads that wait for a thread.
pub const THREAD_MESSAGES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most windows of shared memory an isolate has at a time.
pub const WINDOWS_MAX: usize = 1024;
/// Longest shared buffer or page-backed ArrayBuffer.
pub const SHARED_BUFFER_BYTES_MAX: u64 = 4 << 30;
/// ArrayBuffers of the SDK from this size on lie in pages of their own.
pub const PAGE_BACKED_BYTES_MIN: usize = 64 * 1024;
/// Most arguments of a child process, and bytes of them and its environment together: what the system may refuse
/// (`E2BIG`) is never more.
pub const CHILD_ARGS_MAX: usize = 64 * 1024;
/// Most entries of `stdio`.
pub const CHILD_STDIO_MAX: usize = 256;
/// Longest options of a child process.
pub const CHILD_OPTIONS_BYTES_MAX: u32 = 8 * 1024 * 1024;
/// Child processes of one isolate that run at a time, by default.
pub const CHILDREN_MAX_DEFAULT: usize = 1024;
/// Longest message between processes.
pub const IPC_MESSAGE_BYTES_MAX: u32 = 512 * 1024 * 1024;
/// Bytes that may wait to be sent over a channel between processes; a further message is refused with
/// `ERR_IPC_BACKPRESSURE`. A single message may be larger.
pub const IPC_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Unsent bytes from which on `send` asks to stop, as in Node.
pub const IPC_BACKLOG_BYTES: usize = 128 * 1024;
/// Bytes of messages that were received and not fetched, from which on nothing more is read.
pub const IPC_INBOX_BYTES: usize = 1024 * 1024;
/// Most descriptors that come with one message.
pub const IPC_DESCRIPTORS_MAX: usize = 64;

const _: () = assert!(HOOK_BUFFER_BYTES >= ERROR_RECORD_BYTES_MAX as usize);
const _: () = assert!(VALUE_BYTES_MAX >= ERROR_RECORD_BYTES_MAX);
const _: () = assert!(STDIO_ATOMIC_BYTES <= STREAM_READ_BYTES_MAX as usize);
