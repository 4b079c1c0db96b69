//! `granary`: the host command.
fn main() {}
