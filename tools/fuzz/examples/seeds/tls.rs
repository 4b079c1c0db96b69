//! Seeds of TLS 1.3: one whole conversation, in pieces of several sizes, whole and cut off.

use super::Seeds;
use granary_fuzz::tls::conversation;

pub(super) fn add(seeds: &mut Seeds) {
    let [to_server, to_client] = conversation();
    for (target, said) in [("tls_server", to_server), ("tls_client", to_client)] {
        for (what, size, len) in [
            ("whole", 255, said.len()),
            ("small-pieces", 6, said.len()),
            ("cut-off", 255, said.len() / 2),
            ("hello", 255, 100),
        ] {
            seeds.add(target, what, &[&[size], &said[..len]]);
        }
    }
}
