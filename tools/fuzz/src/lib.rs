//! What is fuzzed: one function per target, which takes any bytes and fails an assertion where a promise is broken.
//!
//! | module | targets |
//! |---|---|
//! | [`formats`] | venti's disk structures: what parses, encodes to the same again |
//! | [`texts`] | what people write, and scrubbers: `venti.conf`, `granary.ini`, the kernel's command line, `scrub` |
//! | [`cloud`] | settings from outside: user data, volumes, QEMU's items, SMBIOS, a server's answer |
//! | [`whack`] | packing and unpacking |
//! | [`tables`] | partition tables, and what is found on a disk by them |
//! | [`fat`] | a FAT file system with damage: mounted, listed, read, written |
//! | [`archive`] | what vac and fossil keep in blocks |
//! | [`repair`] | a store with damage at rest: checked, and brought back |
//! | [`store`] | a small store with damage: opened, read, written, synced, opened again |
//! | [`wire`] | venti's protocol, server's end and client's; HTTP requests |
//! | [`secure`] | 9front's authentication, both ends, with TLS-PSK behind it; its tickets |
//! | [`tls_psk`] | TLS-PSK, both ends, on recorded sessions; records that are altered on their way |
//! | [`tls13`] | TLS 1.3, both ends |
//! | [`peers`] | who a node is and whom it knows: `nvram`, `thumbprints`, `NAME.info` |
//! | [`network`] | frames from a card that shares the work on checksums |
//! | [`node`] | a node's tree by 9P, whatever its client sends |
//! | [`machine`] | firmware's tables, disks' health, the kernel as a loader sees it, and which of two is started |
//!
//! Each target is a program of `fuzz_targets` too, for libFuzzer; `run` beside this folder builds and runs them without
//! cargo-fuzz. `seeds/TARGET` is where a run begins: made by `src/bin/seeds.rs` from the fixtures, and what earlier runs
//! found worth keeping.
//!
//! Must not know how bytes are chosen.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a finding is told")]

extern crate alloc;

pub mod archive;
pub mod cloud;
pub mod fat;
pub mod formats;
mod input;
pub mod machine;
pub mod network;
pub mod node;
pub mod peers;
pub mod repair;
pub mod secure;
pub mod store;
pub mod tables;
pub mod texts;
pub mod tls13;
pub mod tls_psk;
pub mod whack;
pub mod wire;

pub use input::Input;

/// Every target: its name, which is that of its program and of its folder of seeds, and its function.
pub const TARGETS: [(&str, fn(&[u8])); 57] = [
    ("arena_partition", formats::arena_partition),
    ("arena_head", formats::arena_head),
    ("arena_tail", formats::arena_tail),
    ("clump", formats::clump),
    ("directory", formats::directory),
    ("index_section", formats::index_section),
    ("index_config", formats::index_config),
    ("bucket", formats::bucket),
    ("bloom", formats::bloom),
    ("scrub_records", texts::scrub_records),
    ("names", texts::names),
    ("venti_config", texts::venti_config),
    ("settings", texts::settings),
    ("user_data", cloud::user_data),
    ("cloud_volume", cloud::cloud_volume),
    ("fw_cfg", cloud::fw_cfg),
    ("smbios", cloud::smbios),
    ("http_answer", cloud::http_answer),
    ("whack_decode", whack::whack_decode),
    ("whack_round_trip", whack::whack_round_trip),
    ("gpt", tables::gpt),
    ("mbr", tables::mbr),
    ("prep", tables::prep),
    ("disk", tables::disk),
    ("fat", fat::fat),
    ("archive_entry", archive::archive_entry),
    ("archive_root", archive::archive_root),
    ("meta_block", archive::meta_block),
    ("file_entry", archive::file_entry),
    ("stream", archive::stream),
    ("zero_truncation", archive::zero_truncation),
    ("repair", repair::repair),
    ("store", store::store),
    ("greeting", wire::greeting),
    ("frames", wire::frames),
    ("session", wire::session),
    ("connection", wire::connection),
    ("client", wire::client),
    ("http_request", wire::http_request),
    ("p9_message", wire::p9_message),
    ("frame_sums", network::frame_sums),
    ("p9_session", node::p9_session),
    ("secure_server", secure::secure_server),
    ("secure_client", secure::secure_client),
    ("tickets", secure::tickets),
    ("tls_psk_server", tls_psk::tls_psk_server),
    ("tls_psk_client", tls_psk::tls_psk_client),
    ("tls_psk_records", tls_psk::tls_psk_records),
    ("tls13_server", tls13::tls13_server),
    ("tls13_client", tls13::tls13_client),
    ("nvram", peers::nvram),
    ("thumbprints", peers::thumbprints),
    ("peer_info", peers::peer_info),
    ("acpi", machine::acpi),
    ("disk_health", machine::disk_health),
    ("kernel_file", machine::kernel_file),
    ("kernel_slots", machine::kernel_slots),
];
