//! The imports of the area `stdio`.

abi! {
    /// Standard streams. Writing to one's own is WASI `fd_write`, which parks the isolate until the bytes are accepted.
    /// The streams of workers are handles to `read` and `write`; closing one ends it for the other side.
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
        /// Writes what fits of `len` (at most 1 MiB) bytes to the stream and gives how many that were in `*written`.
        /// `EAGAIN` when nothing fits: an event of kind `Writable` follows. `EPIPE` when the reader is gone.
        /// The handle keeps the isolate alive only while a write waits.
        fn write(handle: u32, bytes: *const u8, len: u32, written: *mut u32) -> u32;
        /// Opens the descriptor `fd` (from 3 on) that the parent process gave this one as a stream: writes the handle to
        /// read from and the handle to write to. Both go to the same descriptor. `EBADF` when there is none.
        fn open(fd: u32, handles: *mut u32) -> u32;
    }
}
