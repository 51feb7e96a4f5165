//! Values inside serde types, and serde types out of values with shared parts.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use nodule_abi::limits::VALUE_DEPTH_MAX;
use nodule_abi::value::{
    BigInt, Date, DecodeErrorKind, EncodeError, ErrorKind, ErrorValue, Value, as_set, decode, encode, from_slice,
    to_vec,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// `value` is written as the tree `tree`, and both are read as `value`.
#[track_caller]
fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, tree: impl Into<Value>) {
    let tree = tree.into();
    let bytes = to_vec(&value).unwrap();
    assert_eq!(bytes, encode(&tree).unwrap(), "{value:?}");
    assert_eq!(from_slice::<T>(&bytes).unwrap(), value);
    assert_eq!(tree.deserialize_into::<T>().unwrap(), value);
}

#[track_caller]
fn reads<T: DeserializeOwned + PartialEq + Debug>(tree: impl Into<Value>, value: T) {
    assert_eq!(from_slice::<T>(&encode(&tree.into()).unwrap()).unwrap(), value);
}

#[track_caller]
fn refuses<T: DeserializeOwned + Debug>(tree: impl Into<Value>) {
    from_slice::<T>(&encode(&tree.into()).unwrap()).unwrap_err();
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
    let inner = Envelope {
        id: 2,
        body: Value::Undefined,
        more: None,
    };
    let tree = Value::Object(
        [
            ("id", 1.into()),
            ("body", specials.clone()),
            (
                "more",
                Value::Object(
                    [("id", 2.into()), ("body", Value::Undefined), ("more", Value::Null)]
                        .into_iter()
                        .collect(),
                ),
            ),
        ]
        .into_iter()
        .collect(),
    );
    same(
        Envelope {
            id: 1,
            body: specials,
            more: Some(Box::new(inner)),
        },
        tree,
    );
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
    same(
        WithSet {
            set: BTreeSet::from([1, 2]),
        },
        Value::object([("set", Value::Set(vec![1.into(), 2.into()]))]),
    );
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Other(Value),
    }
    reads(5, Either::Number(5));
    reads(
        Value::object([("a", Value::array([1, 2]))]),
        Either::Other(Value::object([("a", Value::array([1, 2]))])),
    );
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
    let envelope = || Envelope {
        id: 1,
        body: pair(),
        more: Some(Box::new(Envelope {
            id: 2,
            body: pair(),
            more: None,
        })),
    };
    let bytes = to_vec(&envelope()).unwrap();
    let second = decode(&bytes)
        .unwrap()
        .get("more")
        .unwrap()
        .get("body")
        .unwrap()
        .clone();
    assert_eq!(
        second,
        Value::Array(vec![Value::Shared(1, Box::new(Value::array([1]))), Value::Ref(1)])
    );
    assert_eq!(from_slice::<Envelope>(&bytes).unwrap(), envelope());
    // An embedded value cannot refer to what is outside.
    let outside = Value::object([
        ("skipped", Value::Shared(0, Box::new(Value::Array(vec![])))),
        ("body", Value::Ref(0)),
    ]);
    refuses::<BTreeMap<String, Value>>(outside);
}

#[test]
fn references_are_read_as_copies() {
    let shared = |id, value: Value| Value::Shared(id, Box::new(value));
    let twice = Value::Array(vec![shared(0, Value::array([1, 2])), Value::Ref(0), Value::Ref(0)]);
    reads(twice, vec![vec![1, 2]; 3]);
    let after_ignored = Value::object([
        (
            "ignored",
            Value::Array(vec![
                shared(0, Value::array([0])),
                shared(1, Value::object([("n", shared(2, Value::array([5])))])),
            ]),
        ),
        ("direct", Value::Ref(2)),
        ("inside", Value::Ref(1)),
    ]);
    #[derive(Debug, PartialEq, Deserialize)]
    struct Late {
        direct: Vec<u8>,
        inside: BTreeMap<String, Vec<u8>>,
    }
    reads(
        after_ignored,
        Late {
            direct: vec![5],
            inside: BTreeMap::from([("n".to_owned(), vec![5])]),
        },
    );
    let cycle = shared(0, Value::Array(vec![Value::Ref(0)]));
    refuses::<Tree>(cycle.clone());
    reads(cycle.clone(), cycle);
    // A cycle that was skipped at first.
    let skipped = Value::object([
        ("ignored", shared(0, Value::Array(vec![Value::Ref(0)]))),
        ("tree", Value::Ref(0)),
    ]);
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
        levels.push(Value::Shared(
            id,
            Box::new(Value::Array(vec![Value::Ref(id - 1), Value::Ref(id - 1)])),
        ));
    }
    let bytes = encode(&Value::Array(levels)).unwrap();
    let error = from_slice::<Tree>(&bytes).unwrap_err();
    assert_eq!(
        error.kind,
        DecodeErrorKind::Custom("references expand to too much".to_owned())
    );
    from_slice::<IgnoredAny>(&bytes).unwrap();
    from_slice::<Value>(&bytes).unwrap();
}

#[derive(Debug, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Rectangle { width: u32 },
}

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
    let wide: Vec<Shape> = (0..2 * VALUE_DEPTH_MAX)
        .map(|_| Shape::Rectangle { width: 0 })
        .collect();
    assert_eq!(from_slice::<Vec<Shape>>(&to_vec(&wide).unwrap()).unwrap(), wide);
}
