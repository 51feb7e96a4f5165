//! The imports of the area `event_loop`.

abi! {
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
}
