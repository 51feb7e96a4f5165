//! The imports of the area `timers`.

abi! {
    /// Timers of the host (Node: `timers`).
    area timers version 1 from "nodule:timers/1" {
        /// Starts a timer and writes its handle to `*handle`. It is due after `delay_ms` (fractions allowed;
        /// below 1, above 2147483647 and NaN become 1) and, with `repeat` not 0, every `delay_ms` again.
        /// A due timer gives one event of kind `Timer`. `EMFILE` when the handle limit is reached.
        fn set(delay_ms: f64, repeat: u32, handle: *mut u32) -> u32;
        /// Starts the timer's time anew (Node: `timeout.refresh()`).
        fn refresh(handle: u32) -> u32;
    }
}
