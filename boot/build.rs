//! Says how the image's binaries are linked: each without a host's start files and with a linker script of its own.

use std::path::Path;

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    link("granary-kernel", &Path::new(&here).join("link.ld"));
    link("granary-bios", &Path::new(&here).join("src/bios/link.ld"));
    // What a BIOS starts has no headers.
    println!("cargo:rustc-link-arg-bin=granary-bios=-Wl,--oformat=binary");
}

/// Links binary `name` as a static image, laid out by `script`.
fn link(name: &str, script: &Path) {
    let script = script.display();
    let layout = format!("-T{script}");
    let arguments = [
        "-nostdlib",
        "-nostartfiles",
        "-static",
        "-no-pie",
        &layout,
        "-Wl,--build-id=none",
        "-Wl,--no-eh-frame-hdr",
    ];
    for argument in arguments {
        println!("cargo:rustc-link-arg-bin={name}={argument}");
    }
    println!("cargo:rerun-if-changed={script}");
}
