//! Kinds of cells: the atomic integers of the standard library.

use std::sync::atomic::{AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use nodule_abi::atomic::AtomicOperation;

use crate::sys::Plain;

mod sealed {
    use nodule_abi::atomic::AtomicOperation;

    /// Sequentially consistent accesses.
    pub trait Access {
        type Value: Copy + PartialEq + std::fmt::Debug;
        fn get(&self) -> Self::Value;
        fn set(&self, value: Self::Value);
        fn modify(&self, operation: AtomicOperation, operand: Self::Value) -> Self::Value;
        fn replace(&self, expected: Self::Value, replacement: Self::Value) -> Self::Value;
        fn bits(value: Self::Value) -> u64;
    }
}

pub(crate) use sealed::Access;

/// A cell of 8, 16, 32 or 64 bits. Other types cannot implement it.
#[allow(private_bounds, reason = "sealed")]
pub trait Cell: Access + Plain {}

/// A cell that can be waited on: 32 or 64 bits.
pub trait WaitCell: Cell {}

macro_rules! cells {
    ($($atomic:ident, $int:ident;)*) => {
        $(
            impl Plain for $atomic {}
            impl Cell for $atomic {}

            #[cfg(not(all(target_family = "wasm", not(target_feature = "atomics"))))]
            impl Access for $atomic {
                type Value = $int;

                fn get(&self) -> $int {
                    self.load(std::sync::atomic::Ordering::SeqCst)
                }

                fn set(&self, value: $int) {
                    self.store(value, std::sync::atomic::Ordering::SeqCst);
                }

                fn modify(&self, operation: AtomicOperation, operand: $int) -> $int {
                    use std::sync::atomic::Ordering::SeqCst;
                    match operation {
                        AtomicOperation::Add => self.fetch_add(operand, SeqCst),
                        AtomicOperation::Sub => self.fetch_sub(operand, SeqCst),
                        AtomicOperation::And => self.fetch_and(operand, SeqCst),
                        AtomicOperation::Or => self.fetch_or(operand, SeqCst),
                        AtomicOperation::Xor => self.fetch_xor(operand, SeqCst),
                        AtomicOperation::Exchange => self.swap(operand, SeqCst),
                    }
                }

                fn replace(&self, expected: $int, replacement: $int) -> $int {
                    use std::sync::atomic::Ordering::SeqCst;
                    match self.compare_exchange(expected, replacement, SeqCst, SeqCst) {
                        Ok(old) | Err(old) => old,
                    }
                }

                #[allow(clippy::cast_sign_loss, clippy::cast_lossless, reason = "the bits as they are")]
                fn bits(value: $int) -> u64 {
                    value as u64
                }
            }

            #[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_lossless, reason = "the bits as they are")]
            impl Access for $atomic {
                type Value = $int;

                fn get(&self) -> $int {
                    crate::sys::by_import::load(self) as $int
                }

                fn set(&self, value: $int) {
                    crate::sys::by_import::store(self, value as u64);
                }

                fn modify(&self, operation: AtomicOperation, operand: $int) -> $int {
                    crate::sys::by_import::modify(self, operation, operand as u64) as $int
                }

                fn replace(&self, expected: $int, replacement: $int) -> $int {
                    crate::sys::by_import::compare_exchange(self, expected as u64, replacement as u64) as $int
                }

                fn bits(value: $int) -> u64 {
                    value as u64
                }
            }
        )*
    };
}

cells! {
    AtomicI8, i8;
    AtomicU8, u8;
    AtomicI16, i16;
    AtomicU16, u16;
    AtomicI32, i32;
    AtomicU32, u32;
    AtomicI64, i64;
    AtomicU64, u64;
}

impl WaitCell for AtomicI32 {}
impl WaitCell for AtomicU32 {}
impl WaitCell for AtomicI64 {}
impl WaitCell for AtomicU64 {}
