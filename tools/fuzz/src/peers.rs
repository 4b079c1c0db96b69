//! Who a node is, and whom it knows.

use net::auth::nvram::{Nvram, RECORD_LEN};
use net::auth::thumbprint::{Thumbprints, key_thumbprint};
use net::replicate::info::Info;
use storage::Timestamp;

/// The record of `nvram`: what it says is what it says when it is written again.
pub fn nvram(data: &[u8]) {
    let Some(record) = data.first_chunk::<RECORD_LEN>() else { return };
    let Ok(nvram) = Nvram::parse(record) else { return };
    let mut again = *record;
    nvram.encode(&mut again);
    assert_eq!(Nvram::parse(&again), Ok(nvram));
}

/// A list of certificates, a zero, and a certificate.
pub fn thumbprints(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (list, certificate) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let mut known = Thumbprints::default();
    if let Ok(list) = std::str::from_utf8(list) {
        let lines = list.lines().count();
        if let Ok(others) = known.add(list) {
            assert!(others.len() <= lines);
        }
        assert_eq!(known.accepts(certificate), known.find(certificate).is_some());
        let mut none = known.clone();
        none.remove_all(&known);
        assert!(none.is_empty());
    }
    if let Some(hash) = key_thumbprint(certificate) {
        let hash: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        let mut this = Thumbprints::default();
        this.add(&format!("x509 sha256={hash} name=it\n")).expect("the line is a good one");
        assert_eq!(this.find(certificate).map(|grant| grant.name.as_str()), Some("it"));
    }
}

/// A peer's `.info`: written and read again it says the same, and nothing in front of our lines is lost.
pub fn peer_info(data: &[u8]) {
    let info = Info::parse(data);
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(info.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
    let text = info.text(Timestamp(1_800_000_000));
    let again = Info::parse(&text);
    assert!(again.is_same_peer(&info));
    assert_eq!((&again.cursors, &again.holes), (&info.cursors, &info.holes));
    assert_eq!(again.text(Timestamp(1_800_000_000)), text);
}
