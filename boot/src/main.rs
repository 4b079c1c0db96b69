//! The image's entry.
fn main() {}
