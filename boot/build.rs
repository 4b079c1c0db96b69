//! Says how the image's binaries are linked: each without a host's start files and with a linker script of its own.

use std::path::Path;

/// Linked for one address.
const FIXED: [&str; 3] = ["-static", "-no-pie", "-Wl,--no-eh-frame-hdr"];
/// Linked so that its addresses can be changed: the dynamic table lists them.
const MOVABLE: [&str; 5] = [
    "-static-pie",
    "-Wl,--no-dynamic-linker",
    "-Wl,-z,norelro",
    "-Wl,-z,max-page-size=4096",
    "-Wl,--no-eh-frame-hdr",
];

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    link("granary-kernel", &Path::new(&here).join("link.ld"), &FIXED);
    link("granary-bios", &Path::new(&here).join("src/bios/link.ld"), &FIXED);
    link("granary-uefi", &Path::new(&here).join("src/uefi/link.ld"), &MOVABLE);
    // What a BIOS starts has no headers.
    println!("cargo:rustc-link-arg-bin=granary-bios=-Wl,--oformat=binary");
}

/// Links binary `name`, laid out by `script`.
fn link(name: &str, script: &Path, kind: &[&str]) {
    let script = script.display();
    let layout = format!("-T{script}");
    let common = ["-nostdlib", "-nostartfiles", &layout, "-Wl,--build-id=none"];
    for argument in common.iter().chain(kind) {
        println!("cargo:rustc-link-arg-bin={name}={argument}");
    }
    println!("cargo:rerun-if-changed={script}");
}
