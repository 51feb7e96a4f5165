//! What a future of a task or of `main` may return.

use std::convert::Infallible;

use crate::error::Error;

/// A value a task can end with: `Result` may fail, plain values cannot. For a type that is not listed return
/// `Ok::<_, nodule_sdk::Error>(value)`.
pub trait Outcome {
    /// What success gives.
    type Value: 'static;

    /// Success or the error the task failed with.
    fn into_result(self) -> Result<Self::Value, Error>;
}

impl<T: 'static, E: Into<Error>> Outcome for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, Error> {
        self.map_err(Into::into)
    }
}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {$(
        impl Outcome for $type {
            type Value = $type;

            fn into_result(self) -> Result<$type, Error> {
                Ok(self)
            }
        }
    )*};
}

plain! {
    (), bool, char, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64,
    String, &'static str, Infallible, crate::Value,
}

impl<T: 'static> Outcome for Vec<T> {
    type Value = Self;

    fn into_result(self) -> Result<Self, Error> {
        Ok(self)
    }
}

impl<T: 'static> Outcome for Option<T> {
    type Value = Self;

    fn into_result(self) -> Result<Self, Error> {
        Ok(self)
    }
}
