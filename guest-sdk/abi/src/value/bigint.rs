//! Integers of any size, as sign and magnitude.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// Magnitudes of more bytes than this are displayed in hexadecimal: the time for decimal grows with the square.
const DECIMAL_BYTES_MAX: usize = 1024;
/// Largest power of ten in a limb, and its number of zeros.
const DECIMAL_CHUNK: (u64, usize) = (10_000_000_000_000_000_000, 19);

/// An integer of any size.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct BigInt {
    /// Never set for zero.
    negative: bool,
    /// Big-endian without leading zeros; empty for zero.
    magnitude: Vec<u8>,
}

/// A bigint that does not fit the integer type asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BigIntRangeError;

impl fmt::Display for BigIntRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bigint is out of range")
    }
}

impl core::error::Error for BigIntRangeError {}

impl BigInt {
    /// The integer with this sign and big-endian magnitude. Zero has no sign.
    pub fn from_sign_magnitude(negative: bool, magnitude: &[u8]) -> Self {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let magnitude = magnitude.get(zeros..).unwrap_or_default().to_vec();
        BigInt {
            negative: negative && !magnitude.is_empty(),
            magnitude,
        }
    }

    /// Whether the integer is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Big-endian bytes of the absolute value, without leading zeros.
    pub fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }

    /// The content of a CBOR bignum: the magnitude, of a negative integer less one (RFC 8949 §3.4.3).
    pub(super) fn to_bignum(&self) -> Vec<u8> {
        let mut bytes = self.magnitude.clone();
        if self.negative {
            for byte in bytes.iter_mut().rev() {
                let borrow = *byte == 0;
                *byte = byte.wrapping_sub(1);
                if !borrow {
                    break;
                }
            }
            if bytes.first() == Some(&0) {
                bytes.remove(0);
            }
        }
        bytes
    }

    /// The inverse of [`to_bignum`](Self::to_bignum).
    pub(super) fn from_bignum(negative: bool, content: &[u8]) -> Self {
        if !negative {
            return BigInt::from_sign_magnitude(false, content);
        }
        let mut magnitude = vec![0];
        magnitude.extend_from_slice(content);
        for byte in magnitude.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        BigInt::from_sign_magnitude(true, &magnitude)
    }

    fn magnitude_u128(&self) -> Result<u128, BigIntRangeError> {
        let mut wide = [0; 16];
        let start = wide.len().checked_sub(self.magnitude.len()).ok_or(BigIntRangeError)?;
        wide[start..].copy_from_slice(&self.magnitude);
        Ok(u128::from_be_bytes(wide))
    }

    /// Decimal digits in groups of [`DECIMAL_CHUNK`], least significant first.
    fn decimal_chunks(&self) -> Vec<u64> {
        let mut limbs: Vec<u64> = self
            .magnitude
            .rchunks(8)
            .rev()
            .map(|chunk| chunk.iter().fold(0, |limb, byte| (limb << 8) | u64::from(*byte)))
            .collect();
        let mut chunks = Vec::new();
        let mut first = 0;
        while first < limbs.len() {
            let mut remainder = 0;
            for limb in &mut limbs[first..] {
                let dividend = (u128::from(remainder) << 64) | u128::from(*limb);
                // Both results are below 2^64, because the remainder is below the divisor.
                *limb = u64::try_from(dividend / u128::from(DECIMAL_CHUNK.0)).unwrap_or_default();
                remainder = u64::try_from(dividend % u128::from(DECIMAL_CHUNK.0)).unwrap_or_default();
            }
            chunks.push(remainder);
            while limbs.get(first) == Some(&0) {
                first += 1;
            }
        }
        chunks
    }
}

/// Decimal; hexadecimal with `0x` when the magnitude has more than 1,024 bytes.
impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        if self.magnitude.len() > DECIMAL_BYTES_MAX {
            f.write_str("0x")?;
            return self.magnitude.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        }
        let chunks = self.decimal_chunks();
        let mut chunks = chunks.iter().rev();
        write!(f, "{}", chunks.next().copied().unwrap_or_default())?;
        chunks.try_for_each(|chunk| write!(f, "{chunk:0width$}", width = DECIMAL_CHUNK.1))
    }
}

impl From<u128> for BigInt {
    fn from(integer: u128) -> Self {
        BigInt::from_sign_magnitude(false, &integer.to_be_bytes())
    }
}

impl From<i128> for BigInt {
    fn from(integer: i128) -> Self {
        BigInt::from_sign_magnitude(integer < 0, &integer.unsigned_abs().to_be_bytes())
    }
}

impl From<u64> for BigInt {
    fn from(integer: u64) -> Self {
        BigInt::from(u128::from(integer))
    }
}

impl From<i64> for BigInt {
    fn from(integer: i64) -> Self {
        BigInt::from(i128::from(integer))
    }
}

impl TryFrom<&BigInt> for u128 {
    type Error = BigIntRangeError;

    fn try_from(integer: &BigInt) -> Result<Self, BigIntRangeError> {
        if integer.negative {
            Err(BigIntRangeError)
        } else {
            integer.magnitude_u128()
        }
    }
}

impl TryFrom<&BigInt> for i128 {
    type Error = BigIntRangeError;

    fn try_from(integer: &BigInt) -> Result<Self, BigIntRangeError> {
        let magnitude = integer.magnitude_u128()?;
        if integer.negative {
            0i128.checked_sub_unsigned(magnitude).ok_or(BigIntRangeError)
        } else {
            i128::try_from(magnitude).map_err(|_| BigIntRangeError)
        }
    }
}

impl TryFrom<&BigInt> for u64 {
    type Error = BigIntRangeError;

    fn try_from(integer: &BigInt) -> Result<Self, BigIntRangeError> {
        u64::try_from(u128::try_from(integer)?).map_err(|_| BigIntRangeError)
    }
}

impl TryFrom<&BigInt> for i64 {
    type Error = BigIntRangeError;

    fn try_from(integer: &BigInt) -> Result<Self, BigIntRangeError> {
        i64::try_from(i128::try_from(integer)?).map_err(|_| BigIntRangeError)
    }
}
