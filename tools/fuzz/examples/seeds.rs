//! Makes the seed corpus from the fixtures: `cargo run --release --example seeds` in this folder writes
//! `seeds/TARGET/NN-WHAT`. Files of other names there were found by fuzzing and are left alone.

#![allow(clippy::unwrap_used, reason = "a fixture that is not as it was stops this program")]

#[path = "seeds/machine.rs"]
mod machine;
#[path = "seeds/secure.rs"]
mod secure;
#[path = "seeds/venti.rs"]
mod venti;

use flate2::read::GzDecoder;
// Where the flags of `run` are set, this program counts its branches, too.
use libfuzzer_sys as _;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Seeds by target.
#[derive(Default)]
struct Seeds(HashMap<&'static str, Vec<(String, Vec<u8>)>>);

impl Seeds {
    /// Adds a seed that is these parts, one after the other.
    fn add(&mut self, target: &'static str, what: &str, parts: &[&[u8]]) {
        let seeds = self.0.entry(target).or_default();
        seeds.push((format!("{:02}-{what}", seeds.len()), parts.concat()));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A fixture, unpacked if its name ends in `.gz`.
fn fixture(path: &str) -> Vec<u8> {
    let bytes = std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    if !path.ends_with(".gz") {
        return bytes;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
    unpacked
}

fn main() {
    let mut seeds = Seeds::default();
    venti::add(&mut seeds);
    machine::add(&mut seeds);
    secure::add(&mut seeds);
    let mut total = 0;
    for (target, seeds) in seeds.0 {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in seeds {
            total += bytes.len();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    println!("{total} bytes of seeds");
}
