//! The elements of typed arrays as a serde sequence.

use super::TypedArrayKind;
use super::error::{DecodeError, DecodeErrorKind};
use super::wire::half_to_f64;
use serde::de::{DeserializeSeed, IntoDeserializer, SeqAccess};

/// The elements that have not been read yet.
pub(super) struct TypedElements<'de> {
    kind: TypedArrayKind,
    bytes: &'de [u8],
}

impl<'de> TypedElements<'de> {
    pub fn new(kind: TypedArrayKind, bytes: &'de [u8]) -> Result<Self, DecodeError> {
        if bytes.len() % kind.element_bytes() != 0 {
            return Err(DecodeErrorKind::Invalid("typed array").at(super::error::OFFSET_UNKNOWN));
        }
        Ok(TypedElements { kind, bytes })
    }

    /// How many elements are left.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.element_bytes()
    }

    /// Takes the bytes of the next element.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (element, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*element)
    }
}

impl<'de> SeqAccess<'de> for TypedElements<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        /// Takes an element as `$type`, converted by `$convert`.
        macro_rules! next {
            ($type:ty) => {
                next!($type, |element| element)
            };
            ($type:ty, $convert:expr) => {
                match self.take() {
                    Some(bytes) => {
                        let element = $convert(<$type>::from_le_bytes(bytes));
                        seed.deserialize(element.into_deserializer()).map(Some)
                    }
                    None => Ok(None),
                }
            };
        }
        match self.kind {
            TypedArrayKind::Uint8 | TypedArrayKind::Uint8Clamped => next!(u8),
            TypedArrayKind::Uint16 => next!(u16),
            TypedArrayKind::Uint32 => next!(u32),
            TypedArrayKind::BigUint64 => next!(u64),
            TypedArrayKind::Int8 => next!(i8),
            TypedArrayKind::Int16 => next!(i16),
            TypedArrayKind::Int32 => next!(i32),
            TypedArrayKind::BigInt64 => next!(i64),
            TypedArrayKind::Float16 => next!(u16, half_to_f64),
            TypedArrayKind::Float32 => next!(f32),
            TypedArrayKind::Float64 => next!(f64),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len())
    }
}
