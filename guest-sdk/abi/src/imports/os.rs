//! The imports of the area `os`.

abi! {
    /// The machine (Node: `os`).
    area os version 1 from "nodule:os/1" {
        /// One entry a CPU, as a sized CBOR array of `{model, speed, times: {user, nice, sys, idle, irq}}` (MHz, ms).
        fn cpus(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
        /// How many CPUs the process may use: affinity and cgroup quota counted, at least 1.
        fn available_parallelism() -> u32;
    }
}
