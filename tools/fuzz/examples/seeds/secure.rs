//! Seeds of authentication and TLS: whole conversations, in pieces of several sizes, whole and cut off; and what
//! 9front's own programs said and wrote.

use super::{Seeds, fixture};
use granary_fuzz::tls_psk::{SESSIONS, to_client};
use granary_fuzz::{secure, tls13};
use serde_json::Value;

pub(super) fn add(seeds: &mut Seeds) {
    let [to_server, to_client] = tls13::conversation();
    for (target, said) in [("tls13_server", to_server), ("tls13_client", to_client)] {
        for (what, size, len) in [
            ("whole", 255, said.len()),
            ("small-pieces", 6, said.len()),
            ("cut-off", 255, said.len() / 2),
            ("hello", 255, 100),
        ] {
            seeds.add(target, what, &[&[size], &said[..len]]);
        }
    }
    authentication(seeds);
    psk(seeds);
    files(seeds);
}

fn authentication(seeds: &mut Seeds) {
    for (what, is_vouched_for) in [("vouched-for", true), ("own-account", false)] {
        let [to_server, to_client, tickets] = secure::conversation(is_vouched_for);
        let (kind, len) = (u8::from(!is_vouched_for), (tickets.len() as u16).to_be_bytes());
        for size in [255, 40] {
            seeds.add("secure_server", what, &[&[size], &to_server]);
            seeds.add("secure_client", what, &[&[size, kind], &len, &tickets, &to_client]);
        }
        seeds.add("secure_server", "choice", &[&[9], &to_server[..18]]);
    }
    seeds.add("secure_client", "version-2", &[&[99, 1, 0, 0], b"v.2 p9sk1@lab dp9ik@lab\0OK\0"]);
    seeds.add("secure_client", "no-dp9ik", &[&[99, 1, 0, 0], b"p9sk1@lab\0"]);
    for name in ["dp9ik-ccab", "dp9ik-00ae", "p9sk1-008c"] {
        let file = json(name);
        let went = |from: &str, to: &str| -> Vec<u8> {
            let steps = list(&file["auth_steps"]).iter();
            let steps = steps.filter(|step| step["dir"] == format!("{from}->{to}"));
            steps.flat_map(|step| bytes(&step["hex"])).collect()
        };
        let tickets = went("A", "C");
        let len = (tickets.len() as u16).to_be_bytes();
        seeds.add("secure_server", name, &[&[255], &went("C", "S")]);
        let said = went("S", "C");
        seeds.add("secure_client", name, &[&[255, 2], &len, &tickets, &said]);
        // With nothing better on offer, ours takes it, too.
        if let Some(rest) = said.strip_prefix(b"p9sk1@lab.example dp9ik@lab.example\0") {
            let offer = b"p9sk1@lab.example\0";
            seeds.add("secure_client", "p9sk1-alone", &[&[255, 2], &len, &tickets, offer, rest]);
        }
    }
    let file = json("tickets");
    for (vector, sealed) in
        list(&file["tickets"]).iter().chain(list(&file["authenticators"])).zip([0, 1].iter().cycle())
    {
        let kind = (vector["num"].as_u64().unwrap_or_default() as u8).wrapping_sub(64);
        seeds.add("tickets", "vector", &[&[kind, *sealed], &bytes(&vector["wire"])]);
    }
    for vector in list(&file["ticketreq"]) {
        seeds.add("tickets", "request", &[&[0, 0], &bytes(&vector["wire"])]);
    }
    let ticket = [&b"form1 Ts\x00\x00\x00\x00challengada"[..], &[0; 25], b"ada", &[0; 25], &[5; 48]].concat();
    seeds.add("tickets", "sealed-here", &[&[0, 1], &ticket]);
}

fn psk(seeds: &mut Seeds) {
    for (number, session) in (0..).zip(&*SESSIONS) {
        let to_client = to_client(session);
        for (target, said) in [("tls_psk_server", &session.to_server), ("tls_psk_client", &to_client)] {
            for (what, size, len) in [
                ("whole", 255, said.len()),
                ("small-pieces", 6, said.len()),
                ("cut-off", 255, said.len() / 2),
            ] {
                seeds.add(target, what, &[&[number, size], &said[..len]]);
            }
        }
        // Words, the end; a byte altered; a record doubled; cut off.
        seeds.add("tls_psk_records", "words", &[&[number, 99, 0, 0, 50, 0, 0x50, 0, 5, 0, 3, 1, 0, 0]]);
        seeds.add("tls_psk_records", "altered", &[&[number, 99, 0, 0, 50, 2, 0, 40, 1, 0, 0, 9]]);
        seeds.add("tls_psk_records", "doubled", &[&[number, 99, 0, 0, 50, 4, 0, 0, 1, 0, 0]]);
        seeds.add("tls_psk_records", "cut-off", &[&[number, 99, 0, 0, 50, 1, 0, 0, 3, 0, 70]]);
    }
}

fn files(seeds: &mut Seeds) {
    for vector in list(&json("nvram")["images"]) {
        seeds.add("nvram", "vector", &[&bytes(&vector["image126"])]);
    }
    for certificate in list(&json("thumbprint")["certificates"]) {
        let der = bytes(&certificate["cert_der"]);
        let lines: Vec<&str> =
            list(&certificate["file_lines"]).iter().filter_map(|line| line["line"].as_str()).collect();
        seeds.add("thumbprints", "certificate", &[b"\0", &der]);
        seeds.add("thumbprints", "lines", &[lines.join("\n").as_bytes(), b"\0", &der]);
    }
    let roles =
        "x509 sha256=+CSyDpjRk9h6VFZ98SuhFwPUY9JMAAAAAAAAAAAAAAA name='the shed' roles=read\n#include more\n";
    seeds.add("thumbprints", "roles", &[roles.as_bytes()]);
    let ants = "venti=tcp!10.0.0.2!17034\n# Mon Mar  4 10:11:12 CET 2024\narenas0=0x12f3126\narenas1=0x0\n";
    let ours = "venti=(tcp!10.0.0.2!17034 other)\nfossil='/dev/sd''E0'\n# granary names=tcp!10.0.0.2!564\n# granary rate=10M\n\
                # granary hours=22-6\n# granary: this node writes what follows, and writes it anew\n# a date\narenas0=0x52\n\
                # granary hole arenas0 0x52 4ac0d0b0a00000000000000000000000000000ff/2\n# granary hole arenas0 0x99 ?\n";
    let wrong = "venti=`{cat x}\nif(~ a b) echo\n# granary rate=0\n# granary nothing=1\narenas0=12x\n";
    for (what, text) in [("ants", ants), ("ours", ours), ("wrong", wrong)] {
        seeds.add("peer_info", what, &[text.as_bytes()]);
    }
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fixture(&format!("net/tests/fixtures/auth/{name}.json"))).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
