//! What runs the guest's instructions: KVM where it is shown to work, QEMU's own translator otherwise.

use crate::machine::Spec;
use std::path::Path;
use std::time::Duration;

/// How instructions are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// Translation; works everywhere, some twenty times slower.
    Tcg,
}

impl Accelerator {
    /// QEMU's name for it.
    pub fn argument(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg,thread=multi",
        }
    }

    /// The processor to show to the guest.
    pub fn cpu(self) -> &'static str {
        match self {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max",
        }
    }

    /// The fastest that works here. KVM may be present and still fail on long-mode guests, so the kernel itself is
    /// started under it, without a disk, and must reach its console.
    pub fn probe(kernel: &Path) -> Accelerator {
        if !Path::new("/dev/kvm").exists() {
            return Accelerator::Tcg;
        }
        let spec = Spec { disks: Vec::new(), memory: "128M".into(), ..Spec::new(kernel, Path::new("")) };
        let works = spec
            .start(Accelerator::Kvm)
            .and_then(|mut machine| machine.wait_for_console("granary", Duration::from_secs(5)))
            .is_ok();
        if works { Accelerator::Kvm } else { Accelerator::Tcg }
    }
}
