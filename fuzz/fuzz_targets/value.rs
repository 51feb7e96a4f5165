#![no_main]
//! The value codec on any bytes: it never panics, and there is one encoding per value.

use libfuzzer_sys::fuzz_target;
use nodule_abi::error::ErrorRecord;
use nodule_abi::value::{Value, decode, encode, from_slice, to_vec};

fuzz_target!(|bytes: &[u8]| {
    // What serde reads into types is checked for panics alone.
    let _ = from_slice::<ErrorRecord>(bytes);
    let _ = from_slice::<Vec<(String, Option<i64>)>>(bytes);
    let through_serde = from_slice::<Value>(bytes);
    let Ok(value) = decode(bytes) else {
        assert!(through_serde.is_err(), "serde reads what the decoder refuses");
        return;
    };
    let _ = value.describe();
    let encoded = encode(&value).expect("what was decoded can be encoded");
    assert_eq!(encoded, bytes, "one encoding per value: {value:?}");
    let read = through_serde.expect("serde reads what the decoder reads");
    assert_eq!(
        to_vec(&read).expect("what was read can be written"),
        bytes,
        "both ways give the same bytes"
    );
});
