//! The imports of the area `diagnostics`.

abi! {
    /// What a guest tells those who watch it.
    area diagnostics version 1 from "nodule:diagnostics/1" {
        /// Called by the guest's allocator when the sample interval of its figures (`nodule_heap`) is used up:
        /// `bytes` were allocated since the last call, the last of them here. The host notes the call stack for the
        /// heap profile that runs, and nothing when none does.
        fn heap_sample(bytes: u64);
    }
}
