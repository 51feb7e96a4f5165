//! Serde types to bytes and back.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::value::{
    BigInt, Bytes, Date, DecodeErrorKind, EncodeError, Object, TypedArray, TypedArrayKind, Value, append, decode,
    encode, from_slice, to_vec,
};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// `value` is written as the tree `tree`, and both are read as `value`.
#[track_caller]
fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, tree: impl Into<Value>) {
    let tree = tree.into();
    let bytes = to_vec(&value).unwrap();
    assert_eq!(bytes, encode(&tree).unwrap(), "{value:?}");
    assert_eq!(from_slice::<T>(&bytes).unwrap(), value);
    assert_eq!(Value::from_serialize(&value).unwrap(), tree);
    assert_eq!(tree.deserialize_into::<T>().unwrap(), value);
}

/// The tree is read as `value`, although that is not what `value` is written as.
#[track_caller]
fn reads<T: DeserializeOwned + PartialEq + Debug>(tree: impl Into<Value>, value: T) {
    assert_eq!(from_slice::<T>(&encode(&tree.into()).unwrap()).unwrap(), value);
}

#[track_caller]
fn refuses<T: DeserializeOwned + Debug>(tree: impl Into<Value>) {
    from_slice::<T>(&encode(&tree.into()).unwrap()).unwrap_err();
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u32, String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    name: String,
    count: u32,
    ratio: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(u8, u8),
    Rectangle { width: u32, height: u32 },
}

#[test]
fn primitives() {
    same((), Value::Null);
    same(Unit, Value::Null);
    same(true, true);
    same(5u8, 5);
    same(-5i8, -5);
    same(1.5f32, 1.5);
    same(1e300, 1e300);
    same(2.0, 2);
    same('€', "€");
    same("text".to_owned(), "text");
    same(Some(1), 1);
    same(None::<u32>, Value::Null);
    same(Newtype(7), 7);
    reads(Value::Undefined, ());
    reads(Value::Undefined, None::<String>);
    reads("x", Some("x".to_owned()));
    reads(3, 3.0f64);
    refuses::<u32>(1.5);
    refuses::<u32>(-1);
    refuses::<u8>(256);
    refuses::<String>(1);
    refuses::<bool>(Value::Null);
    assert!(from_slice::<f64>(&to_vec(&f64::NAN).unwrap()).unwrap().is_nan());
}

#[test]
fn integers_beyond_53_bits_are_bigints() {
    const SAFE: i64 = (1 << 53) - 1;
    same(SAFE, Value::Number(SAFE as f64));
    same(-SAFE, Value::Number(-SAFE as f64));
    same(SAFE + 1, BigInt::from(SAFE + 1));
    same(-SAFE - 1, BigInt::from(-SAFE - 1));
    same(i64::MIN, BigInt::from(i64::MIN));
    same(u64::MAX, BigInt::from(u64::MAX));
    same(5u128, 5);
    same(-5i128, -5);
    same(u128::MAX, BigInt::from(u128::MAX));
    same(i128::MIN, BigInt::from(i128::MIN));
    reads(BigInt::from(7i64), 7u8);
    reads(BigInt::from(-7i64), -7i32);
    refuses::<u64>(BigInt::from(u128::MAX));
    refuses::<i128>(BigInt::from_sign_magnitude(false, &[1; 17]));
}

#[test]
fn bytes() {
    same(Bytes(vec![1, 2]), vec![1u8, 2]);
    let array = |kind, bytes: &[u8]| {
        Value::TypedArray(TypedArray {
            kind,
            bytes: bytes.to_vec(),
        })
    };
    reads(decode(&[0x42, 1, 2]).unwrap(), Bytes(vec![1, 2]));
    reads(Value::array([1, 2]), Bytes(vec![1, 2]));
    // Plain `Vec<u8>` is a sequence to serde.
    same(vec![1u8, 2], Value::array([1, 2]));
    reads(vec![1u8, 2], vec![1u8, 2]);
    reads(decode(&[0x42, 1, 2]).unwrap(), [1u8, 2]);
    reads(array(TypedArrayKind::Uint8Clamped, &[255]), vec![255u16]);
    reads(array(TypedArrayKind::Int8, &[255]), vec![-1]);
    reads(array(TypedArrayKind::Uint16, &[1, 2, 3, 4]), vec![0x0201, 0x0403]);
    reads(array(TypedArrayKind::Int16, &[254, 255]), vec![-2]);
    reads(array(TypedArrayKind::Uint32, &[1, 0, 0, 1]), vec![0x0100_0001u32]);
    reads(array(TypedArrayKind::Int32, &[255; 4]), vec![-1]);
    reads(array(TypedArrayKind::BigUint64, &[255; 8]), vec![u64::MAX]);
    reads(array(TypedArrayKind::BigInt64, &[255; 8]), vec![-1i64]);
    reads(array(TypedArrayKind::Float16, &[0, 0x3e]), vec![1.5]);
    reads(array(TypedArrayKind::Float32, &1.5f32.to_le_bytes()), vec![1.5f32]);
    reads(array(TypedArrayKind::Float64, &0.1f64.to_le_bytes()), vec![0.1]);
    let half_an_element = from_slice::<Vec<u16>>(&[0xd8, 69, 0x41, 1]).unwrap_err();
    assert_eq!(half_an_element.kind, DecodeErrorKind::Invalid("typed array"));
    assert_eq!(half_an_element.offset, 4);
}

#[test]
fn sequences() {
    same(vec!["a".to_owned()], Value::array(["a"]));
    same((1, "x".to_owned()), Value::Array(vec![1.into(), "x".into()]));
    same([1, 2, 3], Value::array([1, 2, 3]));
    same(Pair(1, "x".to_owned()), Value::Array(vec![1.into(), "x".into()]));
    same(Vec::<u8>::new(), Value::Array(vec![]));
    same((0..300).collect::<Vec<u32>>(), Value::array(0..300));
    reads(Value::Set(vec![1.into(), 2.into()]), BTreeSet::from([1, 2]));
    refuses::<[u8; 2]>(Value::array([1, 2, 3]));
    refuses::<[u8; 2]>(Value::array([1]));
    refuses::<(u8,)>(vec![1u8, 2]);
}

#[test]
fn maps() {
    same(
        BTreeMap::from([("b".to_owned(), 2), ("a".to_owned(), 1)]),
        Value::object([("a", 1), ("b", 2)]),
    );
    same(BTreeMap::from([(1, true)]), Value::Map(vec![(1.into(), true.into())]));
    let mixed = BTreeMap::from([(Some("a".to_owned()), 1), (None, 2)]);
    same(mixed, Value::Map(vec![(Value::Null, 2.into()), ("a".into(), 1.into())]));
    same(
        BTreeMap::from([((1, 2), 3)]),
        Value::Map(vec![(Value::array([1, 2]), 3.into())]),
    );
    same(BTreeMap::<u32, u32>::new(), Object::new());
    reads(
        Value::Map(vec![("a".into(), 1.into())]),
        BTreeMap::from([("a".to_owned(), 1)]),
    );
    let inner = BTreeMap::from([(1, BTreeMap::from([(2, 3)]))]);
    same(
        inner,
        Value::Map(vec![(1.into(), Value::Map(vec![(2.into(), 3.into())]))]),
    );
}

#[test]
fn structs() {
    let record = || Record {
        name: "n".into(),
        count: 2,
        ratio: None,
    };
    same(
        record(),
        Value::Object(
            [("name", "n".into()), ("count", 2.into()), ("ratio", Value::Null)]
                .into_iter()
                .collect(),
        ),
    );
    // Another order, an unknown member, a missing option, an error record.
    let other = [
        ("count", Value::from(2)),
        ("more", Value::object([("x", vec![0u8; 100])])),
        ("name", "n".into()),
    ];
    reads(Value::object(other.clone()), record());
    reads(Value::ErrorRecord(other.into_iter().collect()), record());
    refuses::<Record>(Value::object([("name", "n")]));
    let unknown_field_with_every_kind = Value::object([
        ("x", Value::Map(vec![(Value::Date(Date::INVALID), Value::Resource(1))])),
        ("y", Value::from(BigInt::from(1i64))),
    ]);
    reads::<Empty>(unknown_field_with_every_kind, Empty {});
    let duplicate = from_slice::<Newtypes>(b"\xa2\x61a\x01\x61a\x01");
    assert!(duplicate.is_err());
}

#[derive(Debug, PartialEq, Deserialize)]
struct Empty {}

#[derive(Debug, PartialEq, Deserialize)]
struct Newtypes {
    #[allow(dead_code, reason = "read by Debug")]
    a: Newtype,
}

#[test]
fn enums() {
    same(Shape::Empty, "Empty");
    same(Shape::Circle(0.5), Value::object([("Circle", 0.5)]));
    same(Shape::Line(1, 2), Value::object([("Line", Value::array([1, 2]))]));
    let rectangle = Value::object([("Rectangle", Value::object([("width", 1), ("height", 2)]))]);
    same(Shape::Rectangle { width: 1, height: 2 }, rectangle);
    same(
        vec![Shape::Empty, Shape::Circle(1.0)],
        Value::Array(vec!["Empty".into(), Value::object([("Circle", 1)])]),
    );
    reads(Value::object([("Empty", Value::Null)]), Shape::Empty);
    refuses::<Shape>("Square");
    refuses::<Shape>(Object::new());
    refuses::<Shape>(Value::object([("Circle", 1), ("Empty", 2)]));
    refuses::<Shape>(1);
}

#[test]
fn borrowed_text_and_bytes() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        #[serde(borrow)]
        bytes: Slice<'a>,
    }
    #[derive(Debug, PartialEq)]
    struct Slice<'a>(&'a [u8]);
    impl Serialize for Slice<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }
    impl<'de: 'a, 'a> Deserialize<'de> for Slice<'a> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <&[u8]>::deserialize(deserializer).map(Slice)
        }
    }
    let bytes = to_vec(&Borrowed {
        text: "abc",
        bytes: Slice(&[1, 2]),
    })
    .unwrap();
    let read: Borrowed<'_> = from_slice(&bytes).unwrap();
    assert_eq!(
        read,
        Borrowed {
            text: "abc",
            bytes: Slice(&[1, 2])
        }
    );
    assert!(bytes.as_ptr_range().contains(&read.text.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&read.bytes.0.as_ptr()));
}

#[test]
fn lengths_that_are_unknown_or_wrong() {
    struct Entries(Option<usize>, u32);
    impl Serialize for Entries {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(self.0)?;
            for index in 0..self.1 {
                map.serialize_entry(&index.to_string(), &index)?;
            }
            map.end()
        }
    }
    for announced in [None, Some(0), Some(1), Some(1000)] {
        for count in [0, 1, 23, 24, 300] {
            let expected: Object = (0..count).map(|index| (index.to_string(), index)).collect();
            let bytes = to_vec(&(Entries(announced, count), "after")).unwrap();
            assert_eq!(
                decode(&bytes).unwrap(),
                Value::Array(vec![expected.into(), "after".into()])
            );
        }
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        first: u32,
        #[serde(flatten)]
        rest: BTreeMap<String, u32>,
    }
    let flat = Flat {
        first: 1,
        rest: BTreeMap::from([("x".to_owned(), 2)]),
    };
    same(flat, Value::object([("first", 1), ("x", 2)]));
}

#[test]
fn append_leaves_no_trace_of_a_failure() {
    let mut out = b"head".to_vec();
    append(&mut out, &1).unwrap();
    assert_eq!(out, b"head\x01");
    assert_eq!(
        append(&mut out, &(1, Value::Ref(0))),
        Err(EncodeError::Custom(EncodeError::UnknownRef(0).to_string()))
    );
    assert_eq!(out, b"head\x01");
}
