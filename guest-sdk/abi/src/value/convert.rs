//! From Rust types to [`Value`].

use super::{BigInt, Date, ErrorValue, Object, TypedArray, TypedArrayKind, Value, wire};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

#[cfg(feature = "std")]
extern crate std;

/// Conversions that need nothing but a constructor around (a conversion of) the value.
macro_rules! value_from {
    ($($type:ty: |$value:ident| $make:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $make
            }
        }
    )*};
}

value_from! {
    bool: |flag| Value::Bool(flag);
    f64: |number| Value::Number(number);
    f32: |number| Value::Number(number.into());
    i8: |integer| Value::Number(integer.into());
    i16: |integer| Value::Number(integer.into());
    i32: |integer| Value::Number(integer.into());
    u8: |integer| Value::Number(integer.into());
    u16: |integer| Value::Number(integer.into());
    u32: |integer| Value::Number(integer.into());
    &str: |text| Value::String(text.into());
    String: |text| Value::String(text);
    BigInt: |integer| Value::BigInt(integer);
    Date: |date| Value::Date(date);
    Object: |object| Value::Object(object);
    ErrorValue: |error| Value::Error(Box::new(error));
    Vec<Value>: |elements| Value::Array(elements);
    Vec<u8>: |bytes| Value::TypedArray(TypedArray { kind: TypedArrayKind::Uint8, bytes });
    &[u8]: |bytes| Value::from(bytes.to_vec());
}

/// `null`.
impl From<()> for Value {
    fn from((): ()) -> Self {
        Value::Null
    }
}

/// `None` becomes `null`.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A number up to 53 bits, a bigint above.
impl From<i64> for Value {
    #[allow(clippy::cast_precision_loss, reason = "integers of at most 53 bits are exact")]
    fn from(integer: i64) -> Self {
        if integer.unsigned_abs() <= wire::SAFE_INTEGER_MAX {
            Value::Number(integer as f64)
        } else {
            Value::BigInt(integer.into())
        }
    }
}

/// A number up to 53 bits, a bigint above.
impl From<u64> for Value {
    fn from(integer: u64) -> Self {
        i64::try_from(integer).map_or_else(|_| Value::BigInt(integer.into()), Value::from)
    }
}

/// A number up to 53 bits, a bigint above.
impl From<i128> for Value {
    fn from(integer: i128) -> Self {
        i64::try_from(integer).map_or_else(|_| Value::BigInt(integer.into()), Value::from)
    }
}

/// A number up to 53 bits, a bigint above.
impl From<u128> for Value {
    fn from(integer: u128) -> Self {
        i64::try_from(integer).map_or_else(|_| Value::BigInt(integer.into()), Value::from)
    }
}

/// To the millisecond; invalid when out of range.
#[cfg(feature = "std")]
impl From<std::time::SystemTime> for Date {
    fn from(time: std::time::SystemTime) -> Self {
        let ms = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()),
            // Towards the past, so that equal steps of time remain equal across the epoch.
            Err(before) => i64::try_from(before.duration().as_nanos().div_ceil(1_000_000)).map(|ms| -ms),
        };
        ms.map_or(Date::INVALID, Date::from_ms)
    }
}

/// `None` when the date is invalid or the system's clock cannot hold it.
#[cfg(feature = "std")]
impl From<Date> for Option<std::time::SystemTime> {
    fn from(date: Date) -> Self {
        let ms = date.ms()?;
        let distance = std::time::Duration::from_millis(ms.unsigned_abs());
        let epoch = std::time::UNIX_EPOCH;
        if ms < 0 {
            epoch.checked_sub(distance)
        } else {
            epoch.checked_add(distance)
        }
    }
}
