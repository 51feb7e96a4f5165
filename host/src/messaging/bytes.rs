//! The bytes of a message. Short ones lie in the message itself: allocating them would be a third of what sending one
//! costs, most of it because they are freed by another thread.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Longest bytes that lie in the message: with them it is as large as a cache line and a bit.
pub const SHORT_BYTES_MAX: usize = 46;

/// Bytes that are cheap to clone.
#[derive(Clone)]
pub enum MessageBytes {
    /// At most [`SHORT_BYTES_MAX`].
    Short {
        /// How many of `bytes` count.
        len: u8,
        /// The bytes, and zeroes.
        bytes: [u8; SHORT_BYTES_MAX],
    },
    /// More.
    Long(Arc<[u8]>),
}

impl MessageBytes {
    /// Short bytes that `fill` writes into zeroes; `None` when `len` is not short.
    pub fn short<E>(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Option<Self>, E> {
        let mut bytes = [0; SHORT_BYTES_MAX];
        let (Some(part), Ok(number)) = (bytes.get_mut(..len), u8::try_from(len)) else {
            return Ok(None);
        };
        fill(part)?;
        Ok(Some(Self::Short { len: number, bytes }))
    }
}

impl Deref for MessageBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Long(bytes) => bytes,
        }
    }
}

impl From<Arc<[u8]>> for MessageBytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Long(bytes)
    }
}

impl From<&[u8]> for MessageBytes {
    fn from(bytes: &[u8]) -> Self {
        let fill = |place: &mut [u8]| {
            place.copy_from_slice(bytes);
            Ok::<_, ()>(())
        };
        match Self::short(bytes.len(), fill) {
            Ok(Some(short)) => short,
            Ok(None) | Err(()) => Self::Long(bytes.into()),
        }
    }
}

impl fmt::Debug for MessageBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_bytes_lie_in_the_message() {
        for len in 0..=SHORT_BYTES_MAX {
            let filled = MessageBytes::short(len, |part| {
                part.fill(7);
                Ok::<_, ()>(())
            });
            let Ok(Some(bytes)) = filled else {
                panic!("{len} bytes are short")
            };
            assert_eq!(&*bytes, vec![7; len]);
        }
        let filled = MessageBytes::short(SHORT_BYTES_MAX + 1, |_| Ok::<_, ()>(()));
        assert!(matches!(filled, Ok(None)));
        assert!(size_of::<MessageBytes>() <= 48);
    }
}
