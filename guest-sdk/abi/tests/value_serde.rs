//! Serde types to bytes and back.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::limits::VALUE_DEPTH_MAX;
use nodule_abi::value::{
    BigInt, Bytes, Date, DecodeErrorKind, EncodeError, ErrorKind, ErrorValue, Object, TypedArray, TypedArrayKind,
    Value, append, as_set, decode, encode, from_slice, to_vec,
};
use serde::de::{DeserializeOwned, IgnoredAny};
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
    let array = |kind, bytes: &[u8]| Value::TypedArray(TypedArray { kind, bytes: bytes.to_vec() });
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
    same(BTreeMap::from([("b".to_owned(), 2), ("a".to_owned(), 1)]), Value::object([("a", 1), ("b", 2)]));
    same(BTreeMap::from([(1, true)]), Value::Map(vec![(1.into(), true.into())]));
    let mixed = BTreeMap::from([(Some("a".to_owned()), 1), (None, 2)]);
    same(mixed, Value::Map(vec![(Value::Null, 2.into()), ("a".into(), 1.into())]));
    same(BTreeMap::from([((1, 2), 3)]), Value::Map(vec![(Value::array([1, 2]), 3.into())]));
    same(BTreeMap::<u32, u32>::new(), Object::new());
    reads(Value::Map(vec![("a".into(), 1.into())]), BTreeMap::from([("a".to_owned(), 1)]));
    let inner = BTreeMap::from([(1, BTreeMap::from([(2, 3)]))]);
    same(inner, Value::Map(vec![(1.into(), Value::Map(vec![(2.into(), 3.into())]))]));
}

#[test]
fn structs() {
    let record = || Record { name: "n".into(), count: 2, ratio: None };
    same(record(), Value::Object([("name", "n".into()), ("count", 2.into()), ("ratio", Value::Null)].into_iter().collect()));
    // Another order, an unknown member, a missing option, an error record.
    let other = [("count", Value::from(2)), ("more", Value::object([("x", vec![0u8; 100])])), ("name", "n".into())];
    reads(Value::object(other.clone()), record());
    reads(Value::ErrorRecord(other.into_iter().collect()), record());
    refuses::<Record>(Value::object([("name", "n")]));
    let unknown_field_with_every_kind = Value::object([("x", Value::Map(vec![(Value::Date(Date::INVALID), Value::Resource(1))])), ("y", Value::from(BigInt::from(1i64)))]);
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
    same(vec![Shape::Empty, Shape::Circle(1.0)], Value::Array(vec!["Empty".into(), Value::object([("Circle", 1)])]));
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
    let bytes = to_vec(&Borrowed { text: "abc", bytes: Slice(&[1, 2]) }).unwrap();
    let read: Borrowed<'_> = from_slice(&bytes).unwrap();
    assert_eq!(read, Borrowed { text: "abc", bytes: Slice(&[1, 2]) });
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
            assert_eq!(decode(&bytes).unwrap(), Value::Array(vec![expected.into(), "after".into()]));
        }
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        first: u32,
        #[serde(flatten)]
        rest: BTreeMap<String, u32>,
    }
    let flat = Flat { first: 1, rest: BTreeMap::from([("x".to_owned(), 2)]) };
    same(flat, Value::object([("first", 1), ("x", 2)]));
}

#[test]
fn append_leaves_no_trace_of_a_failure() {
    let mut out = b"head".to_vec();
    append(&mut out, &1).unwrap();
    assert_eq!(out, b"head\x01");
    assert_eq!(append(&mut out, &(1, Value::Ref(0))), Err(EncodeError::Custom(EncodeError::UnknownRef(0).to_string())));
    assert_eq!(out, b"head\x01");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Envelope {
    id: u32,
    body: Value,
    more: Option<Box<Envelope>>,
}

#[test]
fn values_inside_serde_types() {
    let specials = Value::Array(vec![
        Value::Undefined,
        Value::Date(Date::from_ms(1)),
        Value::Resource(3),
        Value::Wtf16(vec![0xd800]),
        Value::Map(vec![(1.into(), Value::Set(vec![]))]),
    ]);
    let inner = Envelope { id: 2, body: Value::Undefined, more: None };
    let tree = Value::Object(
        [("id", 1.into()), ("body", specials.clone()), ("more", Value::Object(
            [("id", 2.into()), ("body", Value::Undefined), ("more", Value::Null)].into_iter().collect(),
        ))].into_iter().collect(),
    );
    same(Envelope { id: 1, body: specials, more: Some(Box::new(inner)) }, tree);
    same(Date::from_ms(5), Date::from_ms(5));
    same(BigInt::from(5i64), BigInt::from(5i64));
    let error = ErrorValue::new(ErrorKind::RangeError, "m");
    same(error.clone(), error);
    refuses::<Date>(5);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct WithSet {
        #[serde(with = "as_set")]
        set: BTreeSet<u32>,
    }
    same(WithSet { set: BTreeSet::from([1, 2]) }, Value::object([("set", Value::Set(vec![1.into(), 2.into()]))]));
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Other(Value),
    }
    reads(5, Either::Number(5));
    reads(Value::object([("a", Value::array([1, 2]))]), Either::Other(Value::object([("a", Value::array([1, 2]))])));
    assert!(written_for_people(&Value::Null).is_err());
}

/// Whether a format for people can write the value.
fn written_for_people(value: &Value) -> Result<(), std::fmt::Error> {
    // `fmt::Formatter` is the human-readable serializer that serde brings along.
    struct Show<'a>(&'a Value);
    impl std::fmt::Display for Show<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.serialize(f)
        }
    }
    use std::fmt::Write;
    let mut out = String::new();
    write!(out, "{}", Show(value))
}

#[test]
fn shared_values_inside_serde_types() {
    let pair = || Value::Array(vec![Value::Shared(0, Box::new(Value::array([1]))), Value::Ref(0)]);
    // Each embedded value has ids of its own.
    let envelope = || Envelope { id: 1, body: pair(), more: Some(Box::new(Envelope { id: 2, body: pair(), more: None })) };
    let bytes = to_vec(&envelope()).unwrap();
    let second = decode(&bytes).unwrap().get("more").unwrap().get("body").unwrap().clone();
    assert_eq!(second, Value::Array(vec![Value::Shared(1, Box::new(Value::array([1]))), Value::Ref(1)]));
    assert_eq!(from_slice::<Envelope>(&bytes).unwrap(), envelope());
    // An embedded value cannot refer to what is outside.
    let outside = Value::object([("skipped", Value::Shared(0, Box::new(Value::Array(vec![])))), ("body", Value::Ref(0))]);
    refuses::<BTreeMap<String, Value>>(outside);
}

#[test]
fn references_are_read_as_copies() {
    let shared = |id, value: Value| Value::Shared(id, Box::new(value));
    let twice = Value::Array(vec![shared(0, Value::array([1, 2])), Value::Ref(0), Value::Ref(0)]);
    reads(twice, vec![vec![1, 2]; 3]);
    let after_ignored = Value::object([
        ("ignored", Value::Array(vec![shared(0, Value::array([0])), shared(1, Value::object([("n", shared(2, Value::array([5])))]))])),
        ("direct", Value::Ref(2)),
        ("inside", Value::Ref(1)),
    ]);
    #[derive(Debug, PartialEq, Deserialize)]
    struct Late {
        direct: Vec<u8>,
        inside: BTreeMap<String, Vec<u8>>,
    }
    reads(after_ignored, Late { direct: vec![5], inside: BTreeMap::from([("n".to_owned(), vec![5])]) });
    let cycle = shared(0, Value::Array(vec![Value::Ref(0)]));
    refuses::<Tree>(cycle.clone());
    reads(cycle.clone(), cycle);
    // A cycle that was skipped at first.
    let skipped = Value::object([("ignored", shared(0, Value::Array(vec![Value::Ref(0)]))), ("tree", Value::Ref(0))]);
    #[derive(Debug, Deserialize)]
    struct Skipped {
        #[allow(dead_code, reason = "read by Debug")]
        tree: Tree,
    }
    refuses::<Skipped>(skipped);
}

#[test]
fn references_do_not_expand_without_end() {
    // [a, [a, a], ...]: each level refers twice to the level before.
    let mut levels = vec![Value::Shared(0, Box::new(Value::Array(vec![])))];
    for id in 1..40 {
        levels.push(Value::Shared(id, Box::new(Value::Array(vec![Value::Ref(id - 1), Value::Ref(id - 1)]))));
    }
    let bytes = encode(&Value::Array(levels)).unwrap();
    let error = from_slice::<Tree>(&bytes).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Custom("references expand to too much".to_owned()));
    from_slice::<IgnoredAny>(&bytes).unwrap();
    from_slice::<Value>(&bytes).unwrap();
}

#[derive(Debug, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[test]
fn nesting_of_serde_types() {
    let tree = |depth: usize| (1..depth).fold(Tree(vec![]), |inner, _| Tree(vec![inner]));
    let bytes = to_vec(&tree(VALUE_DEPTH_MAX)).unwrap();
    from_slice::<Tree>(&bytes).unwrap();
    assert!(matches!(to_vec(&tree(VALUE_DEPTH_MAX + 1)), Err(EncodeError::TooDeep)));
    let mut deeper = vec![0x81; VALUE_DEPTH_MAX];
    deeper.push(0x80);
    assert_eq!(from_slice::<Tree>(&deeper).unwrap_err().kind, DecodeErrorKind::TooDeep);
    // Levels of an embedded value count as well.
    let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    to_vec(&[nested(VALUE_DEPTH_MAX - 1)]).unwrap();
    assert_eq!(to_vec(&[nested(VALUE_DEPTH_MAX)]), Err(EncodeError::TooDeep));
    // Levels are given back.
    let wide: Vec<Shape> = (0..2 * VALUE_DEPTH_MAX).map(|_| Shape::Rectangle { width: 0, height: 0 }).collect();
    assert_eq!(from_slice::<Vec<Shape>>(&to_vec(&wide).unwrap()).unwrap(), wide);
}
