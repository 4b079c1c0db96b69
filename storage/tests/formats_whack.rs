//! Blocks that plan9port's venti packed, both ways.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;
use storage::whack::{Encoder, decode};

fn read(path: &Path) -> Option<Vec<u8>> {
    let gz = path.with_extension(format!("{}.gz", path.extension()?.to_str()?));
    if let Ok(file) = std::fs::File::open(gz) {
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        return Some(bytes);
    }
    std::fs::read(path).ok()
}

#[test]
fn packs_and_unpacks_as_venti_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/venti/whack");
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut encoder = Encoder::new();
    let mut counts = (0, 0);
    for line in index.lines().skip(1) {
        let name = line.split('\t').next().unwrap();
        let plain = read(&folder.join(format!("{name}.plain"))).unwrap();
        let mut packed = Vec::new();
        let len = encoder.encode(&plain, &mut packed);
        match read(&folder.join(format!("{name}.whack"))) {
            Some(expected) => {
                assert_eq!(len, Some(expected.len()), "{name}");
                assert!(packed == expected, "{name}: other bytes");
                assert!(decode(&expected, plain.len()).unwrap() == plain, "{name}: unpacks to other bytes");
                counts.0 += 1;
            }
            None => {
                assert_eq!(len, None, "{name}: venti gave up, we did not");
                counts.1 += 1;
            }
        }
    }
    assert_eq!(counts, (27, 4), "pairs and blocks left as they were");
}
