//! What 9front's own code answered, for the tests of this folder. `net/tests/fixtures/README.md` says how it was made.

use serde_json::Value;
use std::vec::Vec;

/// A file of `net/tests/fixtures/auth`.
pub(crate) fn fixture(name: &str) -> Value {
    let path = std::format!("{}/tests/fixtures/auth/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A list that is not empty.
pub(crate) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Bytes in hexadecimal.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value);
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Bytes in hexadecimal, as many as are wanted.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}
