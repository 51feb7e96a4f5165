//! Accessors, conversions and descriptions of values.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::value::{
    BigInt, BigIntRangeError, Date, DecodeErrorKind, EncodeError, ErrorKind, ErrorValue, Object, Primitive, RegExp,
    SparseArray, TypedArray, TypedArrayKind, Value, View, ViewKind, decode,
};

/// The texts were taken from the messages of Node 20.20.
#[test]
fn descriptions_are_those_of_node() {
    let described: Vec<(Value, &str)> = vec![
        (Value::Undefined, "undefined"),
        (Value::Null, "null"),
        (true.into(), "type boolean (true)"),
        (5.into(), "type number (5)"),
        ((-0.0).into(), "type number (-0)"),
        (f64::NAN.into(), "type number (NaN)"),
        (f64::INFINITY.into(), "type number (Infinity)"),
        (f64::NEG_INFINITY.into(), "type number (-Infinity)"),
        (1e21.into(), "type number (1e+21)"),
        (1.5e-7.into(), "type number (1.5e-7)"),
        (0.000_001.into(), "type number (0.000001)"),
        (
            123_456_789_012_345_680_000.0.into(),
            "type number (123456789012345680000)",
        ),
        (BigInt::from(5i64).into(), "type bigint (5n)"),
        (
            BigInt::from(-12_345_678_901_234_567_890_123_456_789i128).into(),
            "type bigint (-12345678901234567890123456789n)",
        ),
        ("abc".into(), "type string ('abc')"),
        ("it's".into(), "type string (\"it's\")"),
        ("it's \"q\"\n".into(), "type string (\"it's \\\"q\\\"\\n\")"),
        (
            "a'\u{1}\\\t\r\u{8}\u{c}".into(),
            "type string (\"a'\\u0001\\\\\\t\\r\\b\\f\")",
        ),
        (
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
            "type string ('aaaaaaaaaaaaaaaaaaaaaaaaaaaa')",
        ),
        (
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
            "type string ('aaaaaaaaaaaaaaaaaaaaaaaaa...')",
        ),
        ("é".repeat(29).into(), "type string ('ééééééééééééééééééééééééé...')"),
        (Value::Wtf16(vec![0x61, 0xd800]), "type string ('a\u{fffd}')"),
        (Value::Array(vec![]), "an instance of Array"),
        (Value::SparseArray(Box::default()), "an instance of Array"),
        (Object::new().into(), "an instance of Object"),
        (Value::Map(vec![]), "an instance of Map"),
        (Value::Set(vec![]), "an instance of Set"),
        (Date::INVALID.into(), "an instance of Date"),
        (
            Value::RegExp(Box::new(RegExp {
                source: "x".into(),
                flags: String::new(),
            })),
            "an instance of RegExp",
        ),
        (
            ErrorValue::new(ErrorKind::TypeError, "x").into(),
            "an instance of TypeError",
        ),
        (
            Value::ErrorRecord([("name", "AbortError")].into_iter().collect()),
            "an instance of AbortError",
        ),
        (Value::ErrorRecord(Object::new()), "an instance of Error"),
        (vec![1u8].into(), "an instance of Uint8Array"),
        (Value::Boxed(Box::new(Primitive::Number(1.0))), "an instance of Number"),
        (decode(&[0x40]).unwrap(), "an instance of ArrayBuffer"),
        (Value::Shared(0, Box::new(Value::Array(vec![]))), "an instance of Array"),
        (Value::Resource(0), "an instance of Object"),
    ];
    for (value, text) in described {
        assert_eq!(value.describe(), text);
    }
    let view = View {
        kind: ViewKind::DataView,
        buffer: Value::Resource(0),
        byte_offset: 0,
        length: None,
    };
    assert_eq!(Value::View(Box::new(view)).describe(), "an instance of DataView");
}

#[test]
fn accessors_see_their_kind_only() {
    let object = Value::object([
        ("n", Value::from(5)),
        ("s", "x".into()),
        ("b", true.into()),
        ("u", Value::Undefined),
    ]);
    assert_eq!(object.get("n").and_then(Value::as_u32), Some(5));
    assert_eq!(object.get("s").and_then(Value::as_str), Some("x"));
    assert_eq!(object.get("b").and_then(Value::as_bool), Some(true));
    assert!(object.get("u").unwrap().is_nullish() && Value::Null.is_nullish() && !object.is_nullish());
    assert_eq!((object.get("missing"), Value::Null.get("n")), (None, None));
    assert_eq!(Value::Shared(0, Box::new(object.clone())).get("n"), object.get("n"));
    assert_eq!(Value::from(1.5).as_f64(), Some(1.5));
    let fractions = [1.5, -1.0, -0.0, 4_294_967_296.0, f64::NAN, f64::INFINITY];
    assert!(fractions.iter().all(|number| Value::from(*number).as_u32().is_none()));
    assert_eq!(Value::from(4_294_967_295.0).as_u32(), Some(u32::MAX));
    assert_eq!(Value::from(-5).as_i64(), Some(-5));
    assert_eq!(Value::from(9_007_199_254_740_992.0).as_i64(), None);
    assert_eq!(
        (
            Value::from("5").as_f64(),
            Value::from(5).as_str(),
            Value::from(1).as_bool()
        ),
        (None, None, None)
    );
    assert_eq!(Value::array([1, 2]).as_array().map(<[Value]>::len), Some(2));
    assert_eq!(Value::from(vec![1u8]).as_bytes(), Some(&[1u8][..]));
    let clamped = TypedArray {
        kind: TypedArrayKind::Uint8Clamped,
        bytes: vec![1],
    };
    assert_eq!(Value::TypedArray(clamped).as_bytes(), None);
}

#[test]
fn conversions_choose_number_or_bigint_by_size() {
    const SAFE: i64 = (1 << 53) - 1;
    assert_eq!(Value::from(SAFE), Value::Number(SAFE as f64));
    assert_eq!(Value::from(-SAFE), Value::Number(-SAFE as f64));
    assert_eq!(Value::from(SAFE + 1), Value::BigInt(BigInt::from(SAFE + 1)));
    assert_eq!(Value::from(u64::MAX), Value::BigInt(BigInt::from(u64::MAX)));
    assert_eq!(Value::from(5u64), Value::Number(5.0));
    assert_eq!(Value::from(i128::MIN), Value::BigInt(BigInt::from(i128::MIN)));
    assert_eq!(Value::from(u128::MAX), Value::BigInt(BigInt::from(u128::MAX)));
    assert_eq!(
        (Value::from(()), Value::from(None::<u8>), Value::from(Some("x"))),
        (Value::Null, Value::Null, "x".into())
    );
}

#[test]
fn objects_are_ordered_maps() {
    let mut object = Object::new();
    assert_eq!(object.insert("a", 1), None);
    assert_eq!(object.insert("b", 2), None);
    assert_eq!(object.insert("a", 3), Some(Value::from(1)));
    assert_eq!(
        object.entries(),
        [("a".to_owned(), Value::from(3)), ("b".to_owned(), Value::from(2))]
    );
    assert_eq!(
        (object.remove("a"), object.remove("a"), object.len()),
        (Some(Value::from(3)), None, 1)
    );
    assert!(!object.is_empty() && Object::new().is_empty());
}

#[test]
fn bigints_convert_in_range_and_print() {
    let two_to_128 = BigInt::from_sign_magnitude(false, &[&[1][..], &[0; 16]].concat());
    assert_eq!(u128::try_from(&two_to_128), Err(BigIntRangeError));
    assert_eq!(two_to_128.to_string(), "340282366920938463463374607431768211456");
    assert_eq!(i128::try_from(&BigInt::from(u128::MAX)), Err(BigIntRangeError));
    assert_eq!(u128::try_from(&BigInt::from(-1i64)), Err(BigIntRangeError));
    assert_eq!(u64::try_from(&BigInt::from(1u128 << 64)), Err(BigIntRangeError));
    assert_eq!(i64::try_from(&BigInt::from(i64::MIN)), Ok(i64::MIN));
    assert_eq!(
        i64::try_from(&BigInt::from(i128::from(i64::MIN) - 1)),
        Err(BigIntRangeError)
    );
    assert_eq!(BigInt::from_sign_magnitude(true, &[0, 0]), BigInt::from(0u64));
    assert_eq!(BigInt::from_sign_magnitude(true, &[0, 5]).to_string(), "-5");
    // 10^19 is one group of digits: the ones below must be filled up with zeros.
    assert_eq!(
        BigInt::from(10_000_000_000_000_000_000u64).to_string(),
        "10000000000000000000"
    );
    assert_eq!(BigInt::from(0u64).to_string(), "0");
    let huge = BigInt::from_sign_magnitude(false, &[1; 2000]).to_string();
    assert_eq!((huge.len(), &huge[..6]), (4002, "0x0101"));
}

#[test]
fn errors_say_what_and_where() {
    assert_eq!(DecodeErrorKind::TrailingBytes.to_string(), "trailing bytes");
    assert_eq!(decode(&[0, 0]).unwrap_err().to_string(), "trailing bytes at byte 1");
    assert_eq!(
        EncodeError::UnknownRef(3).to_string(),
        "no shared value with the id 3 comes before its reference"
    );
    let array = SparseArray {
        length: 1,
        elements: vec![(0, Value::Null)],
        named: Object::new(),
    };
    assert!(array.is_dense() && !SparseArray { length: 2, ..array }.is_dense());
}

#[cfg(feature = "std")]
#[test]
fn dates_are_system_times_to_the_millisecond() {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    let time = UNIX_EPOCH + Duration::from_micros(1500);
    assert_eq!(Date::from(time).ms(), Some(1));
    assert_eq!(Date::from(UNIX_EPOCH - Duration::from_micros(1500)).ms(), Some(-2));
    assert_eq!(
        Option::<SystemTime>::from(Date::from_ms(-2)),
        Some(UNIX_EPOCH - Duration::from_millis(2))
    );
    assert_eq!(Option::<SystemTime>::from(Date::INVALID), None);
}
