//! Starts images, attacks them from outside.
fn main() {}
