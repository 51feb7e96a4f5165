//! Properties that hold for any value and any bytes.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::value::{
    ArrayBuffer, BigInt, Bytes, Date, ErrorKind, ErrorValue, Object, Primitive, RegExp, SparseArray, TypedArray,
    TypedArrayKind, Value, View, ViewKind, decode, encode, from_slice, to_vec,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Numbers other than NaN, which no value equals.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<i64>().prop_map(|integer| integer as f64),
        any::<f32>().prop_map(f64::from),
        any::<u64>().prop_map(f64::from_bits),
        any::<f64>(),
    ]
    .prop_map(|number| if number.is_nan() { 0.0 } else { number })
}

fn big_int() -> impl Strategy<Value = BigInt> {
    (any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(negative, bytes)| BigInt::from_sign_magnitude(negative, &bytes))
}

/// Code units that are no valid UTF-16.
fn lone_surrogates() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..5).prop_map(|mut units| {
        units.push(0xd83d);
        units
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    vec((".{0,3}", value), 0..5).prop_map(|members| members.into_iter().collect())
}

fn typed_array() -> impl Strategy<Value = TypedArray> {
    (select(TypedArrayKind::ALL), 0..5usize).prop_flat_map(|(kind, length)| {
        vec(any::<u8>(), length * kind.element_bytes()).prop_map(move |bytes| TypedArray { kind, bytes })
    })
}

fn buffer() -> impl Strategy<Value = Value> {
    let array_buffer = (vec(any::<u8>(), 0..20), proptest::option::of(0..100u64)).prop_map(|(bytes, spare)| {
        let max_byte_length = spare.map(|spare| bytes.len() as u64 + spare);
        Value::ArrayBuffer(ArrayBuffer { bytes, max_byte_length })
    });
    prop_oneof![array_buffer, any::<u32>().prop_map(Value::Resource)]
}

/// Views over less than all of their buffers.
fn view() -> impl Strategy<Value = Value> {
    let array = |kind: TypedArrayKind| (ViewKind::TypedArray(kind), kind.element_bytes() as u64);
    let kinds: Vec<_> = TypedArrayKind::ALL
        .iter()
        .copied()
        .map(array)
        .chain([(ViewKind::DataView, 1)])
        .collect();
    (select(kinds), buffer(), 0..4u64, proptest::option::of(0..4u64)).prop_map(
        |((kind, element_bytes), mut buffer, place, length)| {
            let byte_offset = place * element_bytes;
            if let Value::ArrayBuffer(buffer) = &mut buffer {
                let spare = buffer.bytes.len() as u64 + 1;
                let end = byte_offset + length.unwrap_or(0) * element_bytes;
                buffer.bytes.resize(usize::try_from(end + spare).unwrap(), 7);
                buffer.max_byte_length = buffer.max_byte_length.map(|max| max + end + spare);
            }
            Value::View(Box::new(View {
                kind,
                buffer,
                byte_offset,
                length,
            }))
        },
    )
}

fn leaf() -> impl Strategy<Value = Value> {
    let flags = proptest::sample::subsequence(vec!['d', 'g', 'i', 'm', 's', 'u', 'v', 'y'], 0..=8);
    let primitive = prop_oneof![
        any::<bool>().prop_map(Primitive::Boolean),
        number().prop_map(Primitive::Number),
        ".{0,4}".prop_map(Primitive::String),
        lone_surrogates().prop_map(Primitive::Wtf16),
        big_int().prop_map(Primitive::BigInt),
    ];
    prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        big_int().prop_map(Value::BigInt),
        ".*".prop_map(Value::String),
        lone_surrogates().prop_map(Value::Wtf16),
        (-8_640_000_000_000_001..=8_640_000_000_000_001i64).prop_map(|ms| Value::Date(Date::from_ms(ms))),
        (-10_000_000_000_000..10_000_000_000_000i64).prop_map(|ms| Value::Date(Date::from_ms(ms))),
        (".{0,8}", flags).prop_map(|(source, flags)| {
            Value::RegExp(Box::new(RegExp {
                source,
                flags: flags.into_iter().collect(),
            }))
        }),
        primitive.prop_map(|primitive| Value::Boxed(Box::new(primitive))),
        buffer(),
        typed_array().prop_map(Value::TypedArray),
        view(),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 60, 5, |inner| {
        let sparse = (vec((0..50u32, inner.clone()), 0..4), object(inner.clone()), 1..10u32);
        let error = (
            select(ErrorKind::ALL),
            proptest::option::of(".{0,4}"),
            proptest::option::of(".{0,4}"),
            proptest::option::of(inner.clone()),
        );
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            vec(inner.clone(), 0..5).prop_map(Value::Set),
            vec((inner.clone(), inner.clone()), 0..5).prop_map(Value::Map),
            object(inner.clone()).prop_map(Value::Object),
            object(inner.clone()).prop_map(Value::ErrorRecord),
            sparse.prop_map(|(elements, named, spare)| {
                let elements: Vec<_> = elements.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
                let length = elements.last().map_or(0, |(index, _)| index + 1) + spare;
                let named = named
                    .into_iter()
                    .map(|(name, value)| (format!("_{name}"), value))
                    .collect();
                Value::SparseArray(Box::new(SparseArray {
                    length,
                    elements,
                    named,
                }))
            }),
            error.prop_map(|(kind, message, stack, cause)| {
                Value::Error(Box::new(ErrorValue {
                    kind,
                    message,
                    stack,
                    cause,
                }))
            }),
            // Marks of sharing; `number_shared` makes their ids right.
            inner.clone().prop_map(|inner| Value::Shared(0, Box::new(inner))),
            any::<u32>().prop_map(Value::Ref),
        ]
    })
}

/// Gives marks of sharing the ids that decoding would give them, and removes those that cannot be.
fn number_shared(value: Value, count: &mut u32) -> Value {
    let value = match value {
        Value::Shared(_, inner) if inner.is_object_kind() => {
            let id = *count;
            *count += 1;
            return Value::Shared(id, Box::new(number_shared(*inner, count)));
        }
        Value::Shared(_, inner) => return number_shared(*inner, count),
        Value::Ref(_) if *count == 0 => return Value::Undefined,
        Value::Ref(id) => return Value::Ref(id % *count),
        other => other,
    };
    let mut number = |value: Value| number_shared(value, count);
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(number).collect()),
        Value::Set(values) => Value::Set(values.into_iter().map(number).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| {
                let key = number(key);
                (key, number(value))
            });
            Value::Map(pairs.collect())
        }
        Value::Object(object) => Value::Object(object.into_iter().map(|(key, value)| (key, number(value))).collect()),
        Value::ErrorRecord(object) => {
            Value::ErrorRecord(object.into_iter().map(|(key, value)| (key, number(value))).collect())
        }
        Value::SparseArray(array) => Value::SparseArray(Box::new(SparseArray {
            length: array.length,
            elements: array
                .elements
                .into_iter()
                .map(|(index, value)| (index, number(value)))
                .collect(),
            named: array
                .named
                .into_iter()
                .map(|(name, value)| (name, number(value)))
                .collect(),
        })),
        Value::Error(error) => Value::from(ErrorValue {
            cause: error.cause.map(number),
            ..*error
        }),
        other => other,
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    id: u64,
    offset: i128,
    ratio: f64,
    name: String,
    tags: Vec<Option<char>>,
    body: Bytes,
    table: BTreeMap<i16, Vec<Kind>>,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Text(String),
    Pair(u8, i64),
    Fields { a: bool, b: () },
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        ".{0,4}".prop_map(Kind::Text),
        any::<(u8, i64)>().prop_map(|(first, second)| Kind::Pair(first, second)),
        any::<bool>().prop_map(|a| Kind::Fields { a, b: () }),
    ]
}

prop_compose! {
    fn message()(
        (id, offset, ratio) in (any::<u64>(), any::<i128>(), number()),
        name in ".*",
        tags in vec(any::<Option<char>>(), 0..4),
        body in vec(any::<u8>(), 0..40),
        table in btree_map(any::<i16>(), vec(kind(), 0..4), 0..4),
        value in value().prop_map(|value| number_shared(value, &mut 0)),
    ) -> Message {
        Message { id, offset, ratio, name, tags, body: Bytes(body), table, value }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_value_survives(value in value()) {
        let value = number_shared(value, &mut 0);
        let bytes = encode(&value).unwrap();
        prop_assert_eq!(&decode(&bytes).unwrap(), &value);
        prop_assert_eq!(&from_slice::<Value>(&bytes).unwrap(), &value);
        prop_assert_eq!(to_vec(&value).unwrap(), bytes);
    }

    #[test]
    fn a_message_survives(message in message()) {
        let bytes = to_vec(&message).unwrap();
        prop_assert_eq!(&from_slice::<Message>(&bytes).unwrap(), &message);
        prop_assert_eq!(encode(&decode(&bytes).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn integers_survive(unsigned: u128, signed: i128, small: i64) {
        prop_assert_eq!(u128::try_from(&BigInt::from(unsigned)).unwrap(), unsigned);
        prop_assert_eq!(i128::try_from(&BigInt::from(signed)).unwrap(), signed);
        prop_assert_eq!(BigInt::from(unsigned).to_string(), unsigned.to_string());
        prop_assert_eq!(BigInt::from(signed).to_string(), signed.to_string());
        prop_assert_eq!(from_slice::<i64>(&to_vec(&small).unwrap()).unwrap(), small);
        prop_assert_eq!(from_slice::<i128>(&to_vec(&signed).unwrap()).unwrap(), signed);
        prop_assert_eq!(from_slice::<u128>(&to_vec(&unsigned).unwrap()).unwrap(), unsigned);
    }

    #[test]
    fn numbers_are_shortest_and_survive(number in number()) {
        let bytes = encode(&Value::Number(number)).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap().as_f64().unwrap().to_bits(), number.to_bits());
        if bytes[0] == 0xfb {
            #[allow(clippy::cast_possible_truncation, reason = "whether it loses anything is the question")]
            let single = number as f32;
            prop_assert!(f64::from(single) != number);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        check_bytes(&bytes)?;
    }

    /// Bytes of items that begin well, glued together.
    #[test]
    fn likely_bytes_do_no_harm(parts in vec(select(PARTS), 0..30)) {
        check_bytes(&parts.concat())?;
    }

    /// Encodings with one byte changed.
    #[test]
    fn damaged_bytes_do_no_harm(value in value(), place: usize, byte: u8) {
        let mut bytes = encode(&number_shared(value, &mut 0)).unwrap();
        let place = place % bytes.len();
        bytes[place] = byte;
        check_bytes(&bytes)?;
        check_bytes(&bytes[..place])?;
    }
}

const PARTS: &[&[u8]] = &[
    b"\x00",
    b"\x01",
    b"\x02",
    b"\x18\x20",
    b"\x20",
    b"\x40",
    b"\x42\x00\xd8",
    b"\x60",
    b"\x61a",
    b"\x61b",
    b"\x80",
    b"\x81",
    b"\x82",
    b"\x83",
    b"\xa0",
    b"\xa1",
    b"\xa2",
    b"\xc1",
    b"\xc2",
    b"\xc3",
    b"\xd8\x1b",
    b"\xd8\x1c",
    b"\xd8\x1d",
    b"\xd8\x23",
    b"\xd8\x40",
    b"\xd8\x45",
    b"\xd8\x56",
    b"\xd9\x01\x02",
    b"\xd9\x01\x03",
    b"\xd9\x03\xe9",
    b"\xd9\x52\x4a",
    b"\xda\x6e\x6f\x64\x75",
    b"\xf4",
    b"\xf6",
    b"\xf7",
    b"\xf9\x7e\x00",
    b"\xf9\x38\x00",
    b"\xd8\x1b\x82\x65WTF16",
    b"\xd8\x1b\x83\x65Array",
    b"\xd8\x1b\x82\x65Error",
    b"\xd8\x1b\x82\x6bErrorRecord",
    b"\xd8\x1b\x83\x6bArrayBuffer",
    b"\xd8\x1b\x84\x6bUint16Array",
    b"\xd8\x1b\x84\x68DataView",
    b"\xd8\x1b\x82\x66Number",
    b"\x67message",
    b"\x65cause",
];

/// A type with most of what serde asks of a deserializer.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "read only to be dropped")]
enum Anything<'a> {
    Unit,
    Text(&'a str),
    Bytes(&'a [u8]),
    List(Vec<Anything<'a>>),
    Table(BTreeMap<Option<i64>, Value>),
    Fields { a: Option<Box<Anything<'a>>>, b: f32 },
}

/// Reading terminates without a panic; what can be read has exactly this encoding.
fn check_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = decode(bytes) {
        prop_assert_eq!(encode(&value).unwrap(), reordered(bytes, &value));
        prop_assert_eq!(
            format!("{:?}", from_slice::<Value>(bytes).unwrap()),
            format!("{value:?}")
        );
        let _ = value.describe();
    }
    let _ = from_slice::<Anything<'_>>(bytes);
    let _ = from_slice::<Message>(bytes);
    let _ = from_slice::<Vec<Vec<u16>>>(bytes);
    let _ = from_slice::<BTreeMap<Bytes, Value>>(bytes);
    let _ = from_slice::<serde::de::IgnoredAny>(bytes);
    Ok(())
}

/// The expected encoding: the bytes, except that the members of errors may come in any order.
fn reordered(bytes: &[u8], value: &Value) -> Vec<u8> {
    if format!("{value:?}").contains("ErrorValue") {
        encode(value).unwrap()
    } else {
        bytes.to_vec()
    }
}
