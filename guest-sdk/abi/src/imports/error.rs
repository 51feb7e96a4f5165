//! The imports of the area `error`.

abi! {
    /// Details of the last failure.
    area error version 1 from "nodule:error/1" {
        /// The error record of the calling isolate's most recent failed import, as a sized CBOR value.
        /// `ENOENT` when nothing failed yet. Does not change the record.
        fn last(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }
}
