//! What was applied last: a line in a file of 9fat, so that settings from outside are applied once, and what a person
//! changes afterwards stays.
//!
//! Knows the line. The machine's name in the cloud decides, as for cloud-init; where there is none, the text itself.

use super::Given;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use sha1::{Digest, Sha1};

/// The name of the file in 9fat.
pub const FILE: &str = "cloud.id";
/// Bytes of it that are read at most.
pub const FILE_LEN_MAX: u64 = 4096;
/// Bytes of a machine's name that count.
pub const INSTANCE_LEN_MAX: usize = 256;

/// What the file says once `given` was applied.
pub fn mark(given: &Given) -> String {
    let instance = given.instance.as_deref().map(str::trim).filter(|instance| is_plain(instance));
    match instance {
        Some(instance) => format!("instance={instance}\n"),
        None => {
            let mut line = String::from("sha1=");
            for byte in Sha1::digest(&given.user_data) {
                // Writing to a string does not fail.
                let _ = write!(line, "{byte:02x}");
            }
            line + "\n"
        }
    }
}

fn is_plain(instance: &str) -> bool {
    (1..=INSTANCE_LEN_MAX).contains(&instance.len()) && !instance.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;
    use std::vec::Vec;

    fn given(instance: Option<&str>, text: &str) -> Given {
        let user_data = Vec::from(text.as_bytes());
        Given { source: Source::NoCloud, instance: instance.map(Into::into), user_data }
    }

    #[test]
    fn a_machine_is_known_by_its_name_and_a_text_without_one_by_itself() {
        assert_eq!(mark(&given(Some(" i-1 "), "a")), "instance=i-1\n");
        assert_eq!(mark(&given(Some("i-1"), "b")), mark(&given(Some("i-1"), "a")));
        assert_eq!(mark(&given(None, "abc")), "sha1=a9993e364706816aba3e25717850c26c9cd0d89d\n");
        for odd in ["", "a\nb", &"x".repeat(300)] {
            assert_eq!(mark(&given(Some(odd), "abc")), mark(&given(None, "abc")), "{odd:?}");
        }
    }
}
